//! A policy over recorded outcomes, online: it sees the query, and the outcome of what it chose alone.

use burnish_learning::learner::{DriftEvent, Learner};
use burnish_learning::policies::{self, Alternative, Choice, Policy, Situation, UnknownPolicy, Wish};
use burnish_learning::predictor::{Forecast, PredictorSettings, Prior};
use burnish_types::Timestamp;

use crate::outcome_table::{RecordedOutcome, TABLE_FEATURES};

/// The inverse of the variance that single outcomes have around their expected quality.
const OUTCOME_WEIGHT: f64 = 1.0 / 0.16;

/// What a run is asked to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The policy, by name.
    pub policy: String,
    /// The arm that is played until evidence speaks against it; without it the table's first.
    pub baseline: Option<String>,
    /// Quality that is good enough; `None` where more is always better.
    pub quality_target: Option<f64>,
    /// What one request may be expected to cost, in US dollars.
    pub budget_usd: Option<f64>,
    /// How many orders of the rows.
    pub seeds: u64,
    /// The first of them.
    pub seed: u64,
}

/// A learner and a policy at work.
pub(crate) struct Player {
    arms: Vec<String>,
    baseline: usize,
    learner: Learner,
    policy: Box<dyn Policy>,
    random: fastrand::Rng,
    quality_target: Option<f64>,
    budget_usd: Option<f64>,
    clock: u64,
}

/// What a player did with one row.
pub(crate) struct Played {
    /// The places, in the table, of the arms that could be chosen.
    pub(crate) places: Vec<usize>,
    /// What it expected of them.
    pub(crate) forecast: Forecast,
    pub(crate) choice: Choice,
    /// The chosen arm's place in the table.
    pub(crate) arm: usize,
    pub(crate) outcome: RecordedOutcome,
    pub(crate) drift: Option<DriftEvent>,
}

impl Played {
    /// How much better one arm was expected to be than another, by their places in the table.
    pub(crate) fn advantage(&self, of: usize, over: usize) -> Option<f64> {
        let mean = |arm: usize| {
            let place = self.places.iter().position(|place| *place == arm)?;
            self.forecast.estimates().get(place).map(|estimate| estimate.mean)
        };
        Some(mean(of)? - mean(over)?)
    }
}

impl Player {
    pub(crate) fn new(arms: &[String], request: &Request, seed: u64) -> Result<Self, UnknownPolicy> {
        let baseline = request.baseline.as_ref();
        let settings = PredictorSettings { dimensions: TABLE_FEATURES, half_life_days: None };
        Ok(Self {
            arms: arms.to_vec(),
            baseline: baseline.and_then(|name| arms.iter().position(|arm| arm == name)).unwrap_or(0),
            learner: Learner::new(settings, Prior::default()),
            policy: policies::parse(&request.policy)?,
            random: fastrand::Rng::with_seed(seed ^ 0x5eed),
            quality_target: request.quality_target,
            budget_usd: request.budget_usd,
            clock: 0,
        })
    }

    pub(crate) fn policy(&self) -> &dyn Policy {
        self.policy.as_ref()
    }

    /// Chooses for one row and learns from the outcome of the choice. `None` where the row has no outcome.
    pub(crate) fn play(&mut self, x: &[f64], outcomes: &[Option<RecordedOutcome>]) -> Option<Played> {
        let places: Vec<usize> = (0..outcomes.len()).filter(|place| outcomes[*place].is_some()).collect();
        let names: Vec<&str> = places.iter().map(|place| self.arms[*place].as_str()).collect();
        let forecast = self.learner.forecast(names.iter().copied(), x);
        let alternatives = self.alternatives(&places);
        let situation = Situation {
            alternatives: &alternatives,
            forecast: &forecast,
            wish: Wish { target_quality: self.quality_target, budget_usd: self.budget_usd, latency_ms: None },
        };
        let choice = self.policy.choose(&situation, &mut self.random)?;
        let arm = places[choice.chosen];
        let outcome = outcomes[arm]?;
        let drift = self.learn(arm, x, outcome);
        if choice.charge > 0.0 {
            self.policy.settle(outcome.quality);
        }
        Some(Played { places, forecast, choice, arm, outcome, drift })
    }

    fn learn(&mut self, arm: usize, x: &[f64], outcome: RecordedOutcome) -> Option<DriftEvent> {
        // A row a second; recorded outcomes have no time of their own.
        self.clock += 1000;
        let (name, at) = (self.arms[arm].as_str(), Timestamp(self.clock));
        if let Some(usd) = outcome.cost_usd {
            self.learner.predictor_mut().observe_cost(name, usd, 1.0, at);
        }
        if let Some(ms) = outcome.latency_ms {
            self.learner.predictor_mut().observe_latency(name, ms, 1.0, at);
        }
        let drift = self.learner.observe(name, x, outcome.quality, OUTCOME_WEIGHT, at);
        if drift.is_some() {
            self.policy.renew();
        }
        drift
    }

    /// The arms at `places`; what was never seen is taken to cost as much as the mean of what was.
    fn alternatives(&self, places: &[usize]) -> Vec<Alternative> {
        let predictor = self.learner.predictor();
        let usual = |known: &dyn Fn(&str) -> Option<f64>| {
            crate::outcome_table::mean(self.arms.iter().filter_map(|arm| known(arm))).unwrap_or_default()
        };
        let cost = |arm: &str| predictor.cost(arm);
        let latency = |arm: &str| predictor.latency(arm).map(|latency| latency.mean_ms);
        let (usual_cost, usual_latency) = (usual(&cost), usual(&latency));
        let alternative = |place: &usize| {
            let arm = &self.arms[*place];
            Alternative {
                arm: arm.clone(),
                latency_ms: latency(arm).unwrap_or(usual_latency),
                spent: 0.0,
                cost_usd: cost(arm).unwrap_or(usual_cost),
                is_baseline: *place == self.baseline,
            }
        };
        places.iter().map(alternative).collect()
    }
}
