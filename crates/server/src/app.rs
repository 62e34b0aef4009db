//! What every handler can reach.

use std::sync::Arc;

use burnish_engine::Engine;
use tokio::sync::Semaphore;

use crate::metrics::Metrics;
use crate::page::Templates;
use crate::settings::ServerSettings;

/// Cheap to clone; all clones are one.
pub(crate) type App = Arc<Shared>;

pub(crate) struct Shared {
    pub(crate) engine: Arc<Engine>,
    pub(crate) settings: ServerSettings,
    /// Whether requests may come by any host name.
    pub(crate) any_host: bool,
    pub(crate) metrics: Metrics,
    pub(crate) templates: Templates,
    /// One for each request that may be worked on.
    pub(crate) permits: Arc<Semaphore>,
}

impl Shared {
    pub(crate) fn new(engine: Arc<Engine>, settings: ServerSettings, any_host: bool) -> App {
        let permits = Arc::new(Semaphore::new(settings.max_concurrent_requests.min(Semaphore::MAX_PERMITS)));
        Arc::new(Self {
            engine,
            settings,
            any_host,
            metrics: Metrics::default(),
            templates: Templates::default(),
            permits,
        })
    }
}
