//! Turns a query into one plan among candidates, and says what each was expected to do.

use burnish_learning::BoundedExploration;
use burnish_retrieval::Registry;
use burnish_types::{
    Answerer, Candidate, Decision, Embedder, Plan, Prediction, Query, QueryFeatures, RequestId, Strategy,
    Timestamp,
};
use parking_lot::Mutex;

use crate::{EngineError, PlannerSettings};

/// What the caller has decided already.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pinned {
    /// This strategy and no other.
    pub strategy: Option<Strategy>,
    /// This answerer and no other.
    pub answerer: Option<Answerer>,
}

/// What stays the same over the candidates of a query.
pub(crate) struct Circumstances {
    pub(crate) id: RequestId,
    pub(crate) at: Timestamp,
    pub(crate) features: QueryFeatures,
    pub(crate) answerer: Answerer,
    pub(crate) context_tokens: u32,
}

pub(crate) struct Planner {
    /// All that work with the encoder, in the registry's order.
    strategies: Vec<Strategy>,
    /// The preferred one, then those that may be explored.
    candidates: Vec<Strategy>,
    policy: Mutex<BoundedExploration>,
}

impl Planner {
    pub(crate) fn new(
        settings: &PlannerSettings,
        registry: &Registry,
        embedder: &dyn Embedder,
    ) -> Result<Self, EngineError> {
        let usable = registry.iter().filter(|retriever| retriever.works_with(embedder));
        let strategies: Vec<Strategy> = usable.map(|retriever| Strategy::new(retriever.name())).collect();
        let mut candidates = vec![find(&strategies, &settings.prefer)?];
        for name in &settings.explore {
            if registry.get(name).is_none() {
                find(&strategies, name)?;
            }
            let strategy = strategies.iter().find(|strategy| strategy.as_str() == name);
            candidates.extend(
                strategy
                    .filter(|strategy| !candidates.contains(strategy))
                    .cloned()
                    .into_iter()
                    .collect::<Vec<_>>(),
            );
        }
        let policy = Mutex::new(BoundedExploration::new(settings.explore_share));
        Ok(Self { strategies, candidates, policy })
    }

    pub(crate) fn strategies(&self) -> &[Strategy] {
        &self.strategies
    }

    pub(crate) fn decide(
        &self,
        query: &Query,
        circumstances: Circumstances,
        pinned: Option<&Strategy>,
        predict: impl Fn(&Strategy) -> Prediction,
    ) -> Result<Decision, EngineError> {
        let Circumstances { id, at, features, answerer, context_tokens } = circumstances;
        let option = |strategy: &Strategy| {
            let plan = Plan {
                strategy: strategy.clone(),
                depth: query.top_k,
                context_tokens,
                answerer: answerer.clone(),
            };
            (plan, predict(strategy))
        };
        let (policy, candidates, chosen, reason) = match pinned {
            Some(strategy) => {
                let (plan, prediction) = option(&find(&self.strategies, strategy.as_str())?);
                let only = Candidate { plan, prediction, propensity: 1.0 };
                ("pinned".to_owned(), vec![only], 0, "pinned by the caller".to_owned())
            }
            None => {
                let mut policy = self.policy.lock();
                let choice = policy.choose(self.candidates.iter().map(option).collect(), id.seed());
                let choice =
                    choice.ok_or_else(|| EngineError::Internal("there is no strategy".to_owned()))?;
                (policy.name(), choice.candidates, choice.chosen, choice.reason)
            }
        };
        let (text, user) = (query.text.clone(), query.user.clone());
        Ok(Decision { id, at, query: text, user, features, policy, candidates, chosen, reason })
    }
}

fn find(strategies: &[Strategy], name: &str) -> Result<Strategy, EngineError> {
    let found = strategies.iter().find(|strategy| strategy.as_str() == name);
    found.cloned().ok_or_else(|| EngineError::UnknownStrategy {
        name: name.to_owned(),
        known: strategies.iter().map(|strategy| strategy.to_string()).collect(),
    })
}
