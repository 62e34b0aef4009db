//! Turns a query into one plan among candidates, and says what each was expected to do.

use burnish_learning::BoundedExploration;
use burnish_retrieval::{Means, Registry};
use burnish_types::{
    Answerer, Candidate, Decision, Plan, Prediction, Query, QueryFeatures, RequestId, Strategy, Timestamp,
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
    /// All that work with the encoder and the models, in the registry's order.
    strategies: Vec<Strategy>,
    /// The others, with the reason.
    unusable: Vec<(Strategy, String)>,
    /// The preferred one, then those that may be explored.
    candidates: Vec<Strategy>,
    policy: Mutex<BoundedExploration>,
}

impl Planner {
    pub(crate) fn new(
        settings: &PlannerSettings,
        registry: &Registry,
        means: Means<'_>,
    ) -> Result<Self, EngineError> {
        let mut strategies = Vec::new();
        let mut unusable = Vec::new();
        for retriever in registry.iter() {
            let strategy = Strategy::new(retriever.name());
            match retriever.works_with(means) {
                Ok(()) => strategies.push(strategy),
                Err(error) => unusable.push((strategy, error.to_string())),
            }
        }
        let mut candidates = vec![find(&strategies, &unusable, &settings.prefer)?];
        for name in &settings.explore {
            match find(&strategies, &unusable, name) {
                Ok(strategy) if candidates.contains(&strategy) => {}
                Ok(strategy) => candidates.push(strategy),
                Err(EngineError::UnusableStrategy { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let policy = Mutex::new(BoundedExploration::new(settings.explore_share));
        Ok(Self { strategies, unusable, candidates, policy })
    }

    pub(crate) fn strategies(&self) -> &[Strategy] {
        &self.strategies
    }

    /// The strategy called `name`, where it can be used.
    pub(crate) fn find(&self, name: &str) -> Result<Strategy, EngineError> {
        find(&self.strategies, &self.unusable, name)
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
                let (plan, prediction) = option(&self.find(strategy.as_str())?);
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

fn find(
    strategies: &[Strategy],
    unusable: &[(Strategy, String)],
    name: &str,
) -> Result<Strategy, EngineError> {
    if let Some(strategy) = strategies.iter().find(|strategy| strategy.as_str() == name) {
        return Ok(strategy.clone());
    }
    match unusable.iter().find(|(strategy, _)| strategy.as_str() == name) {
        Some((_, reason)) => Err(EngineError::UnusableStrategy { reason: reason.clone() }),
        None => Err(EngineError::UnknownStrategy {
            name: name.to_owned(),
            known: strategies.iter().map(Strategy::to_string).collect(),
        }),
    }
}
