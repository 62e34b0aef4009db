//! A language model as the engine sees it: any number of endpoints and of other models that stand in for it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use burnish_types::{
    BoxFuture, EndpointFigures, LanguageModel, ModelError, ModelRequest, ModelStream, Money, Price, Timestamp,
};
use futures_util::{StreamExt, stream};

use crate::flight::Flights;
use crate::pool::Pool;
use crate::session::{Session, is_precise};
use crate::settings::{ModelSettings, SettingsError, SingleFlight};

/// A language model behind one or several endpoints.
pub struct Model {
    /// The model itself, then those that answer in its place.
    chain: Vec<Arc<Pool>>,
    single_flight: SingleFlight,
    flights: Arc<Flights>,
}

impl Model {
    /// The model that `settings` describe, without fallbacks. Nothing is sent yet.
    ///
    /// # Errors
    /// If the settings can't be used.
    pub fn new(settings: &ModelSettings) -> Result<Self, SettingsError> {
        if let Some(fallback) = settings.fallbacks.first() {
            return Err(no_fallback(settings, fallback, ""));
        }
        Ok(Self::over(vec![Arc::new(Pool::new(settings)?)], settings.single_flight))
    }

    /// All models of `settings`, each with its fallbacks among them.
    ///
    /// # Errors
    /// If the settings can't be used.
    pub fn all(settings: &[ModelSettings]) -> Result<Vec<Self>, SettingsError> {
        let mut pools = BTreeMap::new();
        for settings in settings {
            pools.insert(settings.name.as_str(), Arc::new(Pool::new(settings)?));
        }
        let known = settings.iter().map(|settings| settings.name.as_str()).collect::<Vec<_>>().join(", ");
        let model = |settings: &ModelSettings| {
            let others = settings.fallbacks.iter().map(|fallback| {
                let pool = pools.get(fallback.as_str()).filter(|_| *fallback != settings.name);
                pool.map(Arc::clone).ok_or_else(|| no_fallback(settings, fallback, &known))
            });
            let own = pools.get(settings.name.as_str()).map(Arc::clone).into_iter().map(Ok);
            let chain = own.chain(others).collect::<Result<Vec<_>, _>>()?;
            Ok(Self::over(chain, settings.single_flight))
        };
        settings.iter().map(model).collect()
    }

    fn over(chain: Vec<Arc<Pool>>, single_flight: SingleFlight) -> Self {
        Self { chain, single_flight, flights: Arc::default() }
    }

    async fn start(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        self.chain[0].check(&request)?;
        let shared = match self.single_flight {
            // Whoever pays has an answer of their own: nobody rides free on it, and nobody else pays for it.
            _ if request.purse.is_some() => false,
            SingleFlight::No => false,
            SingleFlight::Precise => is_precise(&request),
            SingleFlight::All => true,
        };
        let mut events: ModelStream = if shared {
            let session = || Session::new(self.chain.clone(), request.clone());
            self.flights.join(&request, session)
        } else {
            // Boxed, since it changes hands with each event.
            let session = Box::new(Session::new(self.chain.clone(), request));
            Box::pin(stream::unfold(session, |mut session| async {
                session.next().await.map(|event| (event, session))
            }))
        };
        // A failure that comes before anything else is told as such.
        match events.next().await {
            Some(Err(error)) => Err(error),
            first => Ok(Box::pin(stream::iter(first).chain(events))),
        }
    }
}

impl LanguageModel for Model {
    fn name(&self) -> &str {
        &self.chain[0].name
    }

    fn fingerprint(&self) -> String {
        let mut behind: Vec<String> =
            self.chain[0].endpoints.iter().map(|endpoint| endpoint.fingerprint()).collect();
        behind.sort_unstable();
        behind.dedup();
        behind.join("\n")
    }

    fn price(&self) -> Option<Price> {
        self.chain[0].price
    }

    fn stream(&self, request: ModelRequest) -> BoxFuture<'_, Result<ModelStream, ModelError>> {
        Box::pin(self.start(request))
    }

    fn figures(&self) -> Vec<EndpointFigures> {
        self.chain[0].figures()
    }

    fn budgeted_since(&self, now: Timestamp) -> Option<Timestamp> {
        self.chain[0].budgeted_since(now)
    }

    fn count_earlier(&self, at: Timestamp, cost: Option<Money>) {
        self.chain[0].count_earlier(at, cost);
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts =
            |pool: &Arc<Pool>| pool.endpoints.iter().map(|endpoint| endpoint.host()).collect::<Vec<_>>();
        f.debug_struct("Model")
            .field("name", &self.name())
            .field("endpoints", &self.chain.iter().map(hosts).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

fn no_fallback(settings: &ModelSettings, fallback: &str, known: &str) -> SettingsError {
    SettingsError::Fallback {
        name: settings.name.clone(),
        fallback: fallback.to_owned(),
        known: known.to_owned(),
    }
}
