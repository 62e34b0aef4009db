//! A policy replayed over the log of another one: in the order of time, learning from what the log reveals alone.

use std::collections::BTreeMap;

use burnish_engine::PINNED;
use burnish_learning::learner::Learner;
use burnish_learning::off_policy::{self, Estimate, Log, Logged};
use burnish_learning::policies;
use burnish_learning::selection::{self, LABEL_WEIGHT, Offer, Selection, Wish};
use burnish_learning::{FeatureVector, Settled};
use burnish_types::{Candidate, Decision};
use serde::Serialize;

use crate::EvalError;
use crate::bootstrap::{self, MeanInterval};

/// What a policy would have been worth.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReplayReport {
    /// Judged decisions that the estimates rest on.
    pub n: usize,
    /// Judged decisions that were pinned, or lack a true propensity: they tell nothing of other choices.
    pub left_out: usize,
    /// The policy with its settings.
    pub policy: String,
    /// What the logged decisions were worth.
    pub logged: Option<MeanInterval>,
    /// By estimator: `ips`, `snips`, `dr`.
    pub estimates: BTreeMap<&'static str, Value>,
    /// How much of the decisions each strategy would have got.
    pub shares: BTreeMap<String, f64>,
}

/// An estimate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Value {
    /// The mean quality.
    pub value: f64,
    /// The interval that holds it with 95 % confidence.
    pub ci95: [f64; 2],
    /// How many decisions of its own would tell as much.
    pub ess: f64,
}

impl From<Estimate> for Value {
    fn from(estimate: Estimate) -> Self {
        Self {
            value: estimate.value,
            ci95: [estimate.low, estimate.high],
            ess: estimate.effective_sample_size,
        }
    }
}

/// One decision of the log, in the terms of the estimators.
struct Row {
    x: Vec<f64>,
    action: usize,
    quality: f64,
    propensity: f64,
    target: Vec<f64>,
}

/// Replays `policy` over `log`, which is in the order of time.
///
/// # Errors
/// If there is no such policy.
pub fn replay(
    log: &[(Decision, Settled)],
    policy: &str,
    baseline: Option<&str>,
    seed: u64,
) -> Result<ReplayReport, EvalError> {
    let mut selection = Selection::new(policies::parse(policy)?, baseline.map(str::to_owned));
    let mut learner = Learner::new(selection::settings(None), selection::prior());
    let mut strategies: Vec<String> =
        log.iter().flat_map(|(decision, _)| names(decision)).map(str::to_owned).collect();
    strategies.sort();
    strategies.dedup();
    let mut rows = Vec::new();
    for (decision, settled) in log {
        let Some(choice) = decision.choice() else { continue };
        let x = FeatureVector::new(&decision.features);
        let arm = choice.plan.strategy.as_str();
        if decision.policy != PINNED && choice.propensity > 0.0 && choice.propensity <= 1.0 {
            let target = decide(&mut selection, &learner, decision, &x, &strategies, seed);
            let action = strategies.iter().position(|known| known == arm).unwrap_or_default();
            let (taken, chosen) = decision.strategies();
            let (quality, propensity) = (settled.quality, taken[chosen].1);
            rows.push(Row { x: x.to_vec(), action, quality, propensity, target });
        }
        let alone = settled.quality - choice.prediction.added;
        learner.observe(arm, x.as_slice(), alone, settled.trust * LABEL_WEIGHT, decision.at);
    }
    let qualities: Vec<f64> = rows.iter().map(|row| row.quality).collect();
    let total = rows.len().max(1) as f64;
    let share = |place: usize| rows.iter().map(|row| row.target[place]).sum::<f64>() / total;
    Ok(ReplayReport {
        n: rows.len(),
        left_out: log.len() - rows.len(),
        policy: selection.policy(),
        logged: bootstrap::mean(&qualities, seed),
        estimates: estimates(&rows, seed),
        shares: strategies.iter().enumerate().map(|(place, name)| (name.clone(), share(place))).collect(),
    })
}

fn names(decision: &Decision) -> impl Iterator<Item = &str> {
    decision.candidates.iter().map(|candidate| candidate.plan.strategy.as_str())
}

/// The probability that the policy gives to each of `strategies`.
fn decide(
    selection: &mut Selection,
    learner: &Learner,
    decision: &Decision,
    x: &FeatureVector,
    strategies: &[String],
    seed: u64,
) -> Vec<f64> {
    let offer = |(candidate, _)| {
        let Candidate { plan, prediction, .. }: &Candidate = candidate;
        let cost_usd = prediction.cost.micros() as f64 / 1e6;
        Offer { strategy: plan.strategy.as_str(), latency_ms: prediction.latency_ms, cost_usd }
    };
    let offers: Vec<Offer<'_>> = decision.strategies().0.into_iter().map(offer).collect();
    let selected =
        selection.decide(learner, &offers, x.as_slice(), Wish::default(), seed ^ decision.id.seed());
    let mut target = vec![0.0; strategies.len()];
    for (offer, propensity) in
        offers.iter().zip(selected.iter().flat_map(|selected| &selected.choice.propensities))
    {
        if let Some(place) = strategies.iter().position(|known| known == offer.strategy) {
            target[place] += propensity;
        }
    }
    target
}

fn estimates(rows: &[Row], seed: u64) -> BTreeMap<&'static str, Value> {
    let logged = rows.iter().map(|row| Logged {
        context: &row.x,
        position: 0,
        action: row.action,
        reward: row.quality,
        propensity: row.propensity,
        target: &row.target,
    });
    let Ok(log) = Log::new(logged.collect()) else { return BTreeMap::new() };
    let mut estimates = BTreeMap::from([
        ("ips", Value::from(off_policy::ips(&log, seed))),
        ("snips", Value::from(off_policy::snips(&log, seed))),
    ]);
    let model = off_policy::cross_fitted(&log, seed);
    if let Ok(estimate) = off_policy::doubly_robust(&log, &model, seed) {
        estimates.insert("dr", Value::from(estimate));
    }
    // What can't be estimated, such as the ratio of nothing to nothing, is no figure.
    estimates.retain(|_, value| value.value.is_finite() && value.ci95.iter().all(|end| end.is_finite()));
    estimates
}

#[cfg(test)]
mod tests {
    use burnish_types::{
        Answerer, Money, Plan, Prediction, QueryFeatures, RequestId, Strategy, Timestamp, UserContext,
    };

    use super::*;

    /// A log of a policy that takes `sparse` or `dense` with even chances; `dense` is worth 0.3 more.
    fn log(n: u64) -> Vec<(Decision, Settled)> {
        let mut random = fastrand::Rng::with_seed(3);
        (0..n)
            .map(|number| {
                let chosen = usize::from(random.bool());
                let quality = f64::from(u8::from(random.f64() < 0.4 + 0.3 * chosen as f64));
                let candidate = |name: &str| Candidate {
                    plan: Plan {
                        strategy: Strategy::new(name),
                        depth: 10,
                        context_tokens: 100,
                        reduction: 0.0,
                        answerer: Answerer::Passages,
                        parameters: None,
                        prompt: None,
                    },
                    prediction: Prediction {
                        quality: 0.5,
                        added: 0.0,
                        quality_deviation: 0.1,
                        latency_ms: 1.0,
                        cost: Money::ZERO,
                        outcomes: 0,
                    },
                    propensity: 0.5,
                };
                let decision = Decision {
                    id: RequestId::from_parts(number, u128::from(number)),
                    at: Timestamp(number * 1_000),
                    query: String::new(),
                    user: UserContext::default(),
                    features: QueryFeatures::default(),
                    sketch: None,
                    policy: "epsilon:0.5".to_owned(),
                    candidates: vec![candidate("sparse"), candidate("dense")],
                    chosen,
                    reason: String::new(),
                    charge: 0.0,
                    cache: None,
                    experiment: None,
                };
                (decision, Settled { quality, trust: 1.0 })
            })
            .collect()
    }

    #[test]
    fn fixed_policies_are_worth_what_their_strategy_is() {
        let log = log(2_000);
        for (policy, expected) in [("fixed:sparse", 0.4), ("fixed:dense", 0.7)] {
            let report = replay(&log, policy, None, 1).unwrap();
            assert_eq!((report.n, report.left_out), (2_000, 0));
            for (name, value) in &report.estimates {
                assert!(value.ci95[0] < expected && expected < value.ci95[1], "{policy} {name}: {value:?}");
            }
            assert_eq!(report.estimates.len(), 3);
        }
    }

    #[test]
    fn a_learning_policy_finds_the_better_one_and_the_same_seed_gives_the_same() {
        let log = log(2_000);
        let report = replay(&log, "thompson", None, 1).unwrap();
        assert!(report.shares["dense"] > 0.8, "{:?}", report.shares);
        assert!(report.estimates["dr"].value > 0.6, "{:?}", report.estimates);
        assert_eq!(report, replay(&log, "thompson", None, 1).unwrap());
    }

    #[test]
    fn pinned_decisions_and_empty_logs_are_no_evidence() {
        let mut pinned = log(5);
        pinned.iter_mut().for_each(|(decision, _)| decision.policy = PINNED.to_owned());
        for log in [pinned, Vec::new()] {
            let report = replay(&log, "conservative", None, 1).unwrap();
            assert_eq!((report.n, report.left_out, report.estimates.len()), (0, log.len(), 0));
        }
        assert!(replay(&[], "oracle", None, 1).is_err());
    }
}
