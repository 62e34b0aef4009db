//! What learns: a predictor that notices when what it knows no longer holds, and lets go of it.

mod change;

use std::collections::{BTreeMap, VecDeque};

use burnish_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::predictor::{Estimate, Forecast, Predictor, PredictorSettings, Prior};
use change::{Alarm, LevelChange};

/// How many outcomes are kept at hand, to be learned again after an alarm that they caused.
const RECENT: usize = 256;
/// After an alarm, what was known of each arm counts at most as if from this many outcomes.
const KEPT_OUTCOMES: f64 = 8.0;
/// For so many outcomes after an alarm nothing is settled, and no alternative has a privilege.
const UNSETTLED_OUTCOMES: u32 = 300;

/// Watches how far outcomes lie from what was predicted, beside the learner's own test.
pub trait ResidualDetector: Send + Sync {
    /// Takes an outcome's residual (quality less what was predicted, in [−1, 1]) of `arm`; `true` at an alarm,
    /// after which the detector starts afresh.
    fn observe(&mut self, arm: &str, residual: f64) -> bool;
}

/// Outcomes have changed: what was known was let go of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DriftEvent {
    /// The arm that spoke most for a change.
    pub arm: String,
    /// The outcome's time that gave the alarm.
    pub at: Timestamp,
    /// How many outcomes ago, of all arms, the change most likely was.
    pub outcomes_ago: usize,
    /// By how much the arm's quality has moved, about.
    pub shift: f64,
}

/// A predictor with a test for change by arm.
pub struct Learner {
    predictor: Predictor,
    arms: BTreeMap<String, usize>,
    names: Vec<String>,
    change: LevelChange,
    detectors: Vec<Box<dyn ResidualDetector>>,
    recent: VecDeque<Seen>,
    unsettled: u32,
}

#[derive(Clone, Debug)]
struct Seen {
    arm: usize,
    x: Vec<f64>,
    quality: f64,
    weight: f64,
    at: Timestamp,
}

impl Learner {
    /// One that has seen nothing.
    pub fn new(settings: PredictorSettings, prior: Prior) -> Self {
        Self::from_predictor(Predictor::new(settings, prior))
    }

    /// One that goes on from what a predictor knows, such as that of a snapshot. Its test for change starts anew.
    pub fn from_predictor(predictor: Predictor) -> Self {
        Self {
            predictor,
            arms: BTreeMap::new(),
            names: Vec::new(),
            change: LevelChange::default(),
            detectors: Vec::new(),
            recent: VecDeque::new(),
            unsettled: 0,
        }
    }

    /// Adds a test for change beside its own.
    pub fn watch_with(&mut self, detector: Box<dyn ResidualDetector>) {
        self.detectors.push(detector);
    }

    /// What it predicts from.
    pub fn predictor(&self) -> &Predictor {
        &self.predictor
    }

    /// For what needs no test for change: latencies, costs, merging.
    pub fn predictor_mut(&mut self) -> &mut Predictor {
        &mut self.predictor
    }

    /// Folds in an outcome as [`Predictor::observe`] does. The event, where it shows that outcomes have changed.
    pub fn observe(
        &mut self,
        arm: &str,
        x: &[f64],
        quality: f64,
        weight: f64,
        at: Timestamp,
    ) -> Option<DriftEvent> {
        let expected = self.predictor.predict(arm, x);
        if !self.predictor.observe(arm, x, quality, weight, at) {
            return None;
        }
        let quality = quality.clamp(0.0, 1.0);
        let place = self.place(arm);
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(Seen { arm: place, x: x.to_vec(), quality, weight, at });
        self.unsettled = self.unsettled.saturating_sub(1);
        let alarm = self.change.observe(place, quality, expected.mean, expected.deviation);
        let residual = quality - expected.mean;
        // Every detector sees every outcome, whether or not another one has given the alarm.
        let others =
            self.detectors.iter_mut().filter_map(|detector| detector.observe(arm, residual).then_some(()));
        let others = others.count() > 0;
        let alarm = alarm.or_else(|| others.then(|| self.change.give_alarm(place, residual)))?;
        self.respond(alarm);
        let Alarm { outcomes, arm, shift } = alarm;
        Some(DriftEvent { arm: self.names[arm].clone(), at, outcomes_ago: outcomes, shift })
    }

    /// Takes an outcome back that was observed with the same values.
    pub fn take_back(&mut self, arm: &str, x: &[f64], quality: f64, weight: f64, at: Timestamp) {
        self.predictor.observe(arm, x, quality, -weight, at);
        let place = self.place(arm);
        let same = |seen: &Seen| seen.arm == place && seen.at == at && seen.x == x && seen.weight == weight;
        if let Some(found) = self.recent.iter().rposition(same) {
            // Neutral, rather than gone: the places of the others count outcomes.
            self.recent[found].weight = 0.0;
        }
    }

    /// The quality to expect of an arm, as [`Predictor::predict`], whatever is suspected.
    pub fn predict(&self, arm: &str, x: &[f64]) -> Estimate {
        self.predictor.predict(arm, x)
    }

    /// The qualities of several arms as [`Predictor::forecast`] says them. Where a change is likely but not yet
    /// certain, they are moved by what the last outcomes say of it, and less certain.
    pub fn forecast<'a>(&self, arms: impl IntoIterator<Item = &'a str> + Clone, x: &[f64]) -> Forecast {
        let forecast = self.predictor.forecast(arms.clone(), x);
        let places: Vec<Option<usize>> = arms.into_iter().map(|arm| self.arms.get(arm).copied()).collect();
        match self.change.doubt(&places) {
            Some(doubt) => forecast.shifted(&doubt.means, &doubt.covariance),
            None if self.unsettled > 0 => forecast.unsettled(),
            None => forecast,
        }
    }

    /// How likely it is, in [0, 1], that outcomes have changed since what was learned of them.
    pub fn suspicion(&self) -> f64 {
        self.change.probability()
    }

    fn place(&mut self, arm: &str) -> usize {
        if let Some(place) = self.arms.get(arm) {
            return *place;
        }
        let place = self.names.len();
        self.arms.insert(arm.to_owned(), place);
        self.names.push(arm.to_owned());
        place
    }

    /// Lets go of what was learned before the change, and learns again what came after it.
    fn respond(&mut self, alarm: Alarm) {
        let since = self.recent.len() - alarm.outcomes.clamp(1, self.recent.len());
        let after: Vec<Seen> = self.recent.drain(..).skip(since).collect();
        let before = after.iter().map(|seen| seen.at.0).min().unwrap_or_default().saturating_sub(1);
        self.learn_again(&after, -1.0);
        for name in &self.names {
            let evidence = self.predictor.evidence(name);
            let mean_weight = after.iter().map(|seen| seen.weight).sum::<f64>() / after.len().max(1) as f64;
            let keep = (KEPT_OUTCOMES * mean_weight / evidence.max(1e-12)).min(1.0);
            self.predictor.forget(name, keep, Timestamp(before));
        }
        self.learn_again(&after, 1.0);
        self.recent.extend(after);
        self.unsettled = UNSETTLED_OUTCOMES;
    }

    fn learn_again(&mut self, outcomes: &[Seen], sign: f64) {
        for seen in outcomes.iter().filter(|seen| seen.weight != 0.0) {
            self.predictor.observe(&self.names[seen.arm], &seen.x, seen.quality, sign * seen.weight, seen.at);
        }
    }
}

#[cfg(test)]
mod tests;
