//! Turns a query into one plan among candidates, and says what each was expected to do.

use std::sync::Arc;

use burnish_learning::FeatureVector;
use burnish_learning::joint::Terms;
use burnish_learning::learner::Learner;
use burnish_learning::policies::{self, Ledger};
use burnish_learning::predictor::Estimate;
use burnish_learning::selection::{Considered, HOLDBACK, Jointly, JointlySelected, Offer, Selection, Wish};
use burnish_learning::trees::BoostedTrees;
use burnish_retrieval::{Means, Registry};
use burnish_types::{
    Answerer, Candidate, Decision, LanguageModel, Money, Parameters, Plan, Prediction, Query, QueryFeatures,
    RequestId, Sketch, Store, Strategy, Timestamp,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::combinations::{Asked, Combinations};
use crate::expenses::Expense;
use crate::frontier::Frontier;
use crate::learned::{Account, Heard, Known, Learned};
use crate::{EngineError, PlannerSettings, log, plans, related};

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
    /// So many passages and no other number.
    pub depth: Option<usize>,
    /// An answer that is written now, and not one that was kept.
    pub fresh: bool,
}

/// What stays the same over the candidates of a query.
pub(crate) struct Circumstances {
    pub(crate) id: RequestId,
    pub(crate) at: Timestamp,
    pub(crate) features: QueryFeatures,
    pub(crate) sketch: Option<Sketch>,
    /// The most that it may be expected to cost.
    pub(crate) budget: Option<Money>,
    /// What a US dollar is worth in quality, so that what may be spent lasts.
    pub(crate) worth_of_a_dollar: f64,
    /// All numbers of the request.
    pub(crate) numbers: Vec<f64>,
    pub(crate) asked: Asked,
    /// For whoever answers by writing.
    pub(crate) parameters: Option<Parameters>,
}

pub(crate) struct Planner {
    /// All that work with the encoder and the models, in the registry's order.
    strategies: Vec<Strategy>,
    /// The others, with the reason.
    unusable: Vec<(Strategy, String)>,
    /// What is chosen from.
    combinations: Arc<Combinations>,
    /// The place of the strategy that the policy always takes, where it does.
    fixed: Option<u16>,
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
        context_reduction: f64,
        registry: &Registry,
        means: Means<'_>,
        models: &[Arc<dyn LanguageModel>],
        operations: &[String],
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
        let reads = |strategy: &Strategy| {
            registry.get(strategy.as_str()).is_none_or(|retriever| retriever.consults_documents())
        };
        let combinations =
            Combinations::new(candidates, reads, settings, context_reduction, models, operations)?;
        let combinations = Arc::new(combinations);
        let fixed = settings
            .policy
            .strip_prefix("fixed:")
            .and_then(|name| combinations.strategies().iter().position(|strategy| strategy.as_str() == name));
        let fixed = fixed.map(|place| place as u16);
        Ok(Self { strategies, unusable, combinations, fixed, deciding })
    }

    pub(crate) fn strategies(&self) -> &[Strategy] {
        &self.strategies
    }

    /// The strategies that are chosen from.
    pub(crate) fn candidates(&self) -> &[Strategy] {
        self.combinations.strategies()
    }

    /// What is chosen from.
    pub(crate) fn combinations(&self) -> &Arc<Combinations> {
        &self.combinations
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

    /// What is expected of `strategy` for a question of which nothing is known, whoever answers.
    pub(crate) fn expected(&self, strategy: &Strategy, learned: &Learned) -> Prediction {
        let x = FeatureVector::new(&QueryFeatures::default());
        learned.with(|Known { learner, expenses, .. }| {
            prediction(&self.predict(learner, strategy, &x), 0.0, expenses.of(strategy))
        })
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
        if !self.combinations.space().has_one_part() {
            return self.combinations.reads_anything();
        }
        learned.with(|Known { learner, expenses, .. }| {
            let offer = |strategy| {
                let Expense { latency_ms, cost_usd } = expenses.of(strategy);
                Offer { strategy: Strategy::as_str(strategy), latency_ms, cost_usd }
            };
            let offers: Vec<Offer<'_>> = self.candidates().iter().map(offer).collect();
            !self.deciding.lock().selection.is_settled(
                learner,
                &offers,
                x.as_slice(),
                wish(query, query.budget),
            )
        })
    }

    /// Decides, and counts that.
    pub(crate) fn decide(
        &self,
        query: &Query,
        circumstances: Circumstances,
        pinned: &Pinned,
        learned: &Learned,
    ) -> Result<Decision, EngineError> {
        match &pinned.strategy {
            Some(strategy) => {
                let strategy = match circumstances.asked.given {
                    Some(_) => strategy.clone(),
                    None => self.find(strategy.as_str())?,
                };
                Ok(learned.with(|known| self.decided(query, circumstances, strategy, known)))
            }
            None => learned.with(|known| self.choose(query, circumstances, known, true)),
        }
    }

    /// The decision that would be made now, counting nothing.
    pub(crate) fn rehearse(
        &self,
        query: &Query,
        circumstances: Circumstances,
        pinned: &Pinned,
        learned: &Learned,
    ) -> Result<Decision, EngineError> {
        match &pinned.strategy {
            Some(_) => self.decide(query, circumstances, pinned, learned),
            None => learned.with(|known| self.choose(query, circumstances, known, false)),
        }
    }

    /// The decision of a caller who names the strategy: all else is as it is until evidence speaks against it.
    fn decided(
        &self,
        query: &Query,
        circumstances: Circumstances,
        strategy: Strategy,
        known: Known<'_>,
    ) -> Decision {
        let x = FeatureVector::new(&circumstances.features);
        let baseline = self.combinations.space().plain(0);
        let plan = Plan { strategy, ..self.combinations.plan(&baseline, &circumstances.asked) };
        let mut estimate = self.predict(known.learner, &plan.strategy, &x);
        let combination = self.combinations.of(&plan);
        let added = combination.map_or(0.0, |combination| {
            let added = known.effects.forecast(&[&combination], &circumstances.numbers);
            added.estimates().first().map_or(0.0, |added| added.mean)
        });
        estimate.mean = (estimate.mean + added).clamp(0.0, 1.0);
        let expense = self.combinations.expense(&plan, &circumstances.asked, known.expenses);
        let only = Candidate {
            plan: written(plan, circumstances.parameters),
            prediction: prediction(&estimate, added, expense),
            propensity: 1.0,
        };
        decision(
            query,
            circumstances,
            PINNED.to_owned(),
            vec![only],
            0,
            "pinned by the caller".to_owned(),
            0.0,
        )
    }

    fn choose(
        &self,
        query: &Query,
        mut circumstances: Circumstances,
        Known { learner, effects, expenses }: Known<'_>,
        counts: bool,
    ) -> Result<Decision, EngineError> {
        let x = FeatureVector::new(&circumstances.features);
        let wish = wish(query, circumstances.budget);
        let (mut costs_usd, mut latencies_ms) = self.combinations.terms(&circumstances.asked, expenses);
        let too_dear = wish.budget_usd.filter(|budget| costs_usd.iter().all(|cost| cost > budget));
        let writes = !matches!(circumstances.asked.answerer, Some(Answerer::Passages | Answerer::Extractive));
        let too_dear = too_dear.filter(|_| writes && circumstances.asked.given.is_none());
        let unpriced = costs_usd.iter().all(|cost| cost.is_infinite());
        if too_dear.is_some() {
            circumstances.asked.answerer = Some(Answerer::Extractive);
            (costs_usd, latencies_ms) = self.combinations.terms(&circumstances.asked, expenses);
        }
        let mut admitted = self.combinations.admitted(&circumstances.asked);
        if let Some(fixed) = self.fixed.as_ref().filter(|_| circumstances.asked.given.is_none()) {
            admitted[0] = Some(vec![*fixed]);
        }
        let request = Jointly {
            learner,
            effects,
            terms: Terms { costs_usd: &costs_usd, latencies_ms: &latencies_ms },
            x: x.as_slice(),
            numbers: &circumstances.numbers,
            wish,
            worth_of_a_dollar: circumstances.worth_of_a_dollar,
            admitted: &admitted,
            seed: circumstances.id.seed(),
        };
        let mut deciding = self.deciding.lock();
        let selected = if counts {
            deciding.last = deciding.last.max(Some(circumstances.id));
            let selected = deciding.selection.decide_jointly(&request);
            drop(deciding);
            selected
        } else {
            let mut rehearsal = deciding.selection.rehearsal();
            drop(deciding);
            rehearsal.decide_jointly(&request)
        };
        let selected = selected.ok_or_else(|| EngineError::Internal("there is no strategy".to_owned()))?;
        let JointlySelected { considered, policy, choice } = selected;
        let candidate = |(known, propensity): (&Considered, &f64)| {
            let plan = self.combinations.plan(&known.combination, &circumstances.asked);
            let expense = Expense { latency_ms: latencies_ms[known.place], cost_usd: costs_usd[known.place] };
            let plan = written(plan, circumstances.parameters);
            Candidate {
                plan,
                prediction: prediction(&known.estimate, known.added, expense),
                propensity: *propensity,
            }
        };
        let candidates: Vec<Candidate> = considered.iter().zip(&choice.propensities).map(candidate).collect();
        let (candidates, chosen) = worth_telling(candidates, choice.chosen);
        let reason = match too_dear {
            Some(_) if unpriced => {
                format!("quoted, since there is a budget and no model has a known price: {}", choice.reason)
            }
            Some(budget) => format!(
                "quoted, since nothing that a language model writes is expected to fit the budget of ${budget:.6}: {}",
                choice.reason
            ),
            None => choice.reason,
        };
        let told = candidates.get(chosen).is_some_and(|choice| choice.plan.prompt.is_some());
        let reason = match circumstances.asked.prompts.why.as_ref().filter(|_| told) {
            Some(why) => format!("{reason}; {why}"),
            None => reason,
        };
        Ok(decision(query, circumstances, policy, candidates, chosen, reason, choice.charge))
    }

    fn predict(&self, learner: &Learner, strategy: &Strategy, x: &FeatureVector) -> Estimate {
        self.deciding.lock().selection.predict(learner, strategy.as_str(), x.as_slice())
    }
}

/// So many candidates are all told; of more only those that might have been taken, and those than which none is both cheaper and
/// better.
const ALL_TOLD: usize = 12;

/// The candidates that a record of the decision tells, and the chosen one's place among them.
fn worth_telling(candidates: Vec<Candidate>, chosen: usize) -> (Vec<Candidate>, usize) {
    if candidates.len() <= ALL_TOLD {
        return (candidates, chosen);
    }
    let front = Frontier::of(&candidates).front;
    let mut told = Vec::new();
    let mut at = 0;
    for (place, candidate) in candidates.into_iter().enumerate() {
        if place == chosen {
            at = told.len();
        }
        if place == chosen || candidate.propensity > 0.0 || front.contains(&place) {
            told.push(candidate);
        }
    }
    (told, at)
}

/// Whether a decision's outcomes say how questions are best answered. Those of a prompt that is only tried say how good that is.
pub(crate) fn was_chosen(decision: &Decision) -> bool {
    if decision.experiment.as_ref().is_some_and(|assigned| assigned.challenger) {
        return false;
    }
    related::is_of_question(decision) || plans::is_of_route(decision)
}

/// Counts a decision as the policy did when it was made.
fn count(ledger: &mut Ledger, decision: &Decision) {
    let counts = decision.policy != PINNED && was_chosen(decision);
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

fn wish(query: &Query, budget: Option<Money>) -> Wish {
    Wish {
        target_quality: Some(f64::from(query.target_quality)),
        budget_usd: budget.map(|budget| budget.micros() as f64 / 1e6),
        latency_ms: query.latency_budget_ms,
    }
}

/// With parameters, where a language model writes.
fn written(plan: Plan, parameters: Option<Parameters>) -> Plan {
    let writes = matches!(plan.answerer, Answerer::Model(_));
    Plan { parameters: parameters.filter(|_| writes), ..plan }
}

fn prediction(estimate: &Estimate, added: f64, expense: Expense) -> Prediction {
    Prediction {
        quality: estimate.mean,
        quality_deviation: estimate.deviation,
        added,
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
    let Circumstances { id, at, features, sketch, .. } = circumstances;
    let (text, user) = (query.text.clone(), query.user.clone());
    let query = text;
    Decision {
        id,
        at,
        query,
        user,
        features,
        sketch,
        policy,
        candidates,
        chosen,
        reason,
        charge,
        cache: None,
        experiment: None,
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
