//! Turns a query into one plan among candidates, and says what each was expected to do.

use std::sync::Arc;

use burnish_learning::FeatureVector;
use burnish_learning::learner::Learner;
use burnish_learning::policies::{self, Ledger};
use burnish_learning::predictor::Estimate;
use burnish_learning::selection::{HOLDBACK, Offer, Selection, Wish};
use burnish_learning::trees::BoostedTrees;
use burnish_retrieval::{Means, Registry};
use burnish_types::{
    Answerer, Candidate, Decision, Parameters, Plan, Prediction, Query, QueryFeatures, RequestId, Store,
    Strategy, Timestamp,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::learned::{Account, Expense, Heard, Learned};
use crate::{EngineError, PlannerSettings, log, related};

/// The name of the policy of a decision that the caller made.
pub const PINNED: &str = "pinned";

/// Says what is wrong with the name of a policy.
///
/// # Errors
/// If there is no such policy, or its setting is out of range.
pub fn check_policy(name: &str) -> Result<(), EngineError> {
    policies::parse(name).map(|_| ()).map_err(|error| EngineError::InvalidSetting(error.to_string()))
}

/// Every strategy that there is, whether it can be used with the present settings or not.
pub fn strategy_names() -> Vec<&'static str> {
    Registry::default().iter().map(|retriever| retriever.name()).collect()
}

/// What the caller has decided already.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pinned {
    /// This strategy and no other.
    pub strategy: Option<Strategy>,
    /// This answerer and no other.
    pub answerer: Option<Answerer>,
    /// An answer that is written now, and not one that was kept.
    pub fresh: bool,
}

/// What stays the same over the candidates of a query.
pub(crate) struct Circumstances {
    pub(crate) id: RequestId,
    pub(crate) at: Timestamp,
    pub(crate) features: QueryFeatures,
    pub(crate) answerer: Answerer,
    pub(crate) context_tokens: u32,
    pub(crate) parameters: Option<Parameters>,
}

pub(crate) struct Planner {
    /// All that work with the encoder and the models, in the registry's order.
    strategies: Vec<Strategy>,
    /// The others, with the reason.
    unusable: Vec<(Strategy, String)>,
    /// Those that are chosen from.
    candidates: Vec<Strategy>,
    deciding: Mutex<Deciding>,
}

struct Deciding {
    selection: Selection,
    /// The last decision that the policy has counted.
    last: Option<RequestId>,
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
        let mut candidates: Vec<Strategy> = Vec::new();
        for name in settings.baseline.iter().chain(&settings.strategies) {
            match find(&strategies, &unusable, name) {
                Ok(strategy) if candidates.contains(&strategy) => {}
                Ok(strategy) => candidates.push(strategy),
                Err(EngineError::UnusableStrategy { .. }) if settings.baseline.as_ref() != Some(name) => {}
                Err(error) => return Err(error),
            }
        }
        if candidates.is_empty() {
            return Err(EngineError::InvalidSetting(format!(
                "none of the strategies to choose from ({}) can be used: name at least one of {}",
                settings.strategies.join(", "),
                strategies.iter().map(Strategy::as_str).collect::<Vec<_>>().join(", "),
            )));
        }
        let policy = policies::parse(&settings.policy)
            .map_err(|error| EngineError::InvalidSetting(error.to_string()))?;
        let selection = Selection::new(policy, settings.baseline.clone());
        let deciding = Mutex::new(Deciding { selection, last: None });
        Ok(Self { strategies, unusable, candidates, deciding })
    }

    pub(crate) fn strategies(&self) -> &[Strategy] {
        &self.strategies
    }

    /// Those that are chosen from.
    pub(crate) fn candidates(&self) -> &[Strategy] {
        &self.candidates
    }

    /// The policy's name with its settings.
    pub(crate) fn policy(&self) -> String {
        self.deciding.lock().selection.policy()
    }

    /// From now on trees correct what is learned; `None` for what is learned alone.
    pub(crate) fn correct_by(&self, trees: Option<Arc<BoostedTrees>>) {
        self.deciding.lock().selection.correct_by(trees);
    }

    /// The strategy called `name`, where it can be used.
    pub(crate) fn find(&self, name: &str) -> Result<Strategy, EngineError> {
        find(&self.strategies, &self.unusable, name)
    }

    /// What is expected of `strategy` for a question of which nothing is known.
    pub(crate) fn expected(&self, strategy: &Strategy, learned: &Learned) -> Prediction {
        let x = FeatureVector::new(&QueryFeatures::default());
        learned.with(|learner, expense| prediction(&self.predict(learner, strategy, &x), expense(strategy)))
    }

    /// What exploration has cost so far.
    pub(crate) fn account(&self) -> Account {
        let deciding = self.deciding.lock();
        let last_decision = deciding.last.map(|id| id.to_string());
        Account { ledger: deciding.selection.ledger(), last_decision }
    }

    /// Goes on from an earlier account, counting the decisions that were made since.
    pub(crate) fn resume(&self, account: Account, store: &dyn Store) -> Result<(), EngineError> {
        let Some(mut ledger) = account.ledger.or(self.account().ledger) else { return Ok(()) };
        let mut last = account.last_decision.and_then(|id| id.parse().ok());
        for stored in log::decisions(store, last) {
            let decision = stored?.decision;
            last = Some(decision.id);
            count(&mut ledger, &decision);
        }
        let mut deciding = self.deciding.lock();
        deciding.selection.resume(ledger);
        deciding.last = last;
        Ok(())
    }

    /// Takes note of what explored requests were worth, and of a drift.
    pub(crate) fn hear(&self, heard: Heard) {
        let mut deciding = self.deciding.lock();
        if heard.returned != 0.0 {
            deciding.selection.settle(heard.returned);
        }
        if heard.drifted {
            deciding.selection.renew();
        }
    }

    /// Whether it pays to look at what the indexes find before deciding, given what the words say.
    pub(crate) fn wants_a_look(&self, query: &Query, features: &QueryFeatures, learned: &Learned) -> bool {
        let x = FeatureVector::new(features);
        learned.with(|learner, expense| {
            let offers = self.offers(expense);
            !self.deciding.lock().selection.is_settled(learner, &offers, &x, wish(query))
        })
    }

    pub(crate) fn decide(
        &self,
        query: &Query,
        circumstances: Circumstances,
        pinned: Option<&Strategy>,
        learned: &Learned,
    ) -> Result<Decision, EngineError> {
        let x = FeatureVector::new(&circumstances.features);
        match pinned {
            Some(strategy) => {
                let strategy = self.find(strategy.as_str())?;
                let (estimate, expense) = learned
                    .with(|learner, expense| (self.predict(learner, &strategy, &x), expense(&strategy)));
                let plan = plan(query, &circumstances, &strategy);
                let only = Candidate { plan, prediction: prediction(&estimate, expense), propensity: 1.0 };
                let reason = "pinned by the caller".to_owned();
                Ok(decision(query, circumstances, PINNED.to_owned(), vec![only], 0, reason, 0.0))
            }
            None => learned.with(|learner, expense| self.choose(query, circumstances, &x, learner, expense)),
        }
    }

    fn choose(
        &self,
        query: &Query,
        circumstances: Circumstances,
        x: &FeatureVector,
        learner: &Learner,
        expense: &dyn Fn(&Strategy) -> Expense,
    ) -> Result<Decision, EngineError> {
        let offers = self.offers(expense);
        let mut deciding = self.deciding.lock();
        let seed = circumstances.id.seed();
        let selected = deciding.selection.decide(learner, &offers, x, wish(query), seed);
        let selected = selected.ok_or_else(|| EngineError::Internal("there is no strategy".to_owned()))?;
        deciding.last = deciding.last.max(Some(circumstances.id));
        drop(deciding);
        let described = self.candidates.iter().zip(&selected.estimates);
        let candidates =
            described.zip(&selected.choice.propensities).map(|((strategy, estimate), propensity)| {
                Candidate {
                    plan: plan(query, &circumstances, strategy),
                    prediction: prediction(estimate, expense(strategy)),
                    propensity: *propensity,
                }
            });
        let candidates = candidates.collect();
        let (policy, choice) = (selected.policy, selected.choice);
        Ok(decision(query, circumstances, policy, candidates, choice.chosen, choice.reason, choice.charge))
    }

    fn predict(&self, learner: &Learner, strategy: &Strategy, x: &FeatureVector) -> Estimate {
        self.deciding.lock().selection.predict(learner, strategy.as_str(), x)
    }

    fn offers(&self, expense: &dyn Fn(&Strategy) -> Expense) -> Vec<Offer<'_>> {
        let offer = |strategy| {
            let Expense { latency_ms, cost_usd } = expense(strategy);
            Offer { strategy: Strategy::as_str(strategy), latency_ms, cost_usd }
        };
        self.candidates.iter().map(offer).collect()
    }
}

/// Counts a decision as the policy did when it was made.
fn count(ledger: &mut Ledger, decision: &Decision) {
    let counts = decision.policy != PINNED && related::is_of_question(decision);
    let Some(choice) = decision.choice().filter(|_| counts) else { return };
    ledger.requests += 1;
    if decision.charge > 0.0 {
        ledger.explored += 1;
        ledger.expected += decision.charge;
        ledger.charged += decision.charge;
    } else {
        // Where some requests go without trees, what the others get is what would be played.
        let held_back = decision.policy.split(':').next() == Some(HOLDBACK);
        let likeliest = || {
            let candidates = decision.candidates.iter();
            candidates.max_by(|left, right| left.propensity.total_cmp(&right.propensity))
        };
        let played = if held_back { likeliest().unwrap_or(choice) } else { choice };
        ledger.expected += played.prediction.quality;
    }
}

fn wish(query: &Query) -> Wish {
    Wish {
        target_quality: Some(f64::from(query.target_quality)),
        budget_usd: query.budget.map(|budget| budget.micros() as f64 / 1e6),
    }
}

fn plan(query: &Query, circumstances: &Circumstances, strategy: &Strategy) -> Plan {
    Plan {
        strategy: strategy.clone(),
        depth: query.top_k,
        context_tokens: circumstances.context_tokens,
        answerer: circumstances.answerer.clone(),
        parameters: circumstances.parameters,
    }
}

pub(crate) fn prediction(estimate: &Estimate, expense: Expense) -> Prediction {
    Prediction {
        quality: estimate.mean,
        quality_deviation: estimate.deviation,
        latency_ms: expense.latency_ms,
        cost: expense.cost(),
        outcomes: estimate.outcomes,
    }
}

fn decision(
    query: &Query,
    circumstances: Circumstances,
    policy: String,
    candidates: Vec<Candidate>,
    chosen: usize,
    reason: String,
    charge: f64,
) -> Decision {
    let Circumstances { id, at, features, .. } = circumstances;
    let (text, user) = (query.text.clone(), query.user.clone());
    Decision { id, at, query: text, user, features, policy, candidates, chosen, reason, charge, cache: None }
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
