//! What learns: a predictor that notices when what it knows no longer holds, and lets go of it.

mod change;

use std::collections::{BTreeMap, VecDeque};

use burnish_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::predictor::{Estimate, Forecast, Predictor, PredictorSettings, Prior};
use change::{Alarm, LevelChange};

/// The form of a snapshot; it changes whenever the form or the test for change does.
const SNAPSHOT_VERSION: u32 = 1;
/// How many outcomes are kept at hand, to be learned again after an alarm that they caused.
const RECENT: usize = 256;
/// After an alarm, what was known of each arm counts at most as if from this many outcomes.
const KEPT_OUTCOMES: f64 = 8.0;
/// Where two arms have exchanged what they do, of so many, since it is known which of it holds.
const KEPT_EXCHANGED: f64 = 60.0;
/// For so many outcomes after an alarm nothing is settled, and no alternative has a privilege.
const UNSETTLED_OUTCOMES: u32 = 300;

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
    /// The arm that now does what this one did, and the other way round, where that explains the outcomes best.
    pub exchanged_with: Option<String>,
}

/// A predictor with a test for change by arm.
#[derive(Clone, Debug)]
pub struct Learner {
    predictor: Predictor,
    arms: BTreeMap<String, usize>,
    names: Vec<String>,
    change: LevelChange,
    recent: VecDeque<Seen>,
    unsettled: u32,
}

/// A snapshot: what the predictor knows, and where the test for change stands.
#[derive(Serialize, Deserialize)]
struct Snapshot {
    version: u32,
    predictor: Vec<u8>,
    names: Vec<String>,
    change: LevelChange,
    recent: VecDeque<Seen>,
    unsettled: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
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

    /// One that goes on from what a predictor knows. Its test for change starts anew.
    pub fn from_predictor(predictor: Predictor) -> Self {
        Self {
            predictor,
            arms: BTreeMap::new(),
            names: Vec::new(),
            change: LevelChange::default(),
            recent: VecDeque::new(),
            unsettled: 0,
        }
    }

    /// Everything as bytes for a snapshot.
    pub fn to_bytes(&self) -> Vec<u8> {
        let snapshot = Snapshot {
            version: SNAPSHOT_VERSION,
            predictor: self.predictor.to_bytes(),
            names: self.names.clone(),
            change: self.change.clone(),
            recent: self.recent.clone(),
            unsettled: self.unsettled,
        };
        postcard::to_allocvec(&snapshot).unwrap_or_default()
    }

    /// The state of a snapshot, as [`Predictor::from_bytes`].
    pub fn from_bytes(settings: PredictorSettings, prior: Prior, bytes: &[u8]) -> Option<Self> {
        let snapshot: Snapshot = postcard::from_bytes(bytes).ok()?;
        if snapshot.version != SNAPSHOT_VERSION {
            return None;
        }
        let Snapshot { predictor, names, change, recent, unsettled, .. } = snapshot;
        if recent.iter().any(|seen| seen.arm >= names.len()) {
            return None;
        }
        let arms = names.iter().cloned().zip(0..).collect();
        let predictor = Predictor::from_bytes(settings, prior, &predictor)?;
        Some(Self { predictor, arms, names, change, recent, unsettled })
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
        let place = self.place(arm);
        let expected: Vec<Estimate> = self.names.iter().map(|name| self.predictor.predict(name, x)).collect();
        if !self.predictor.observe(arm, x, quality, weight, at) {
            return None;
        }
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(Seen { arm: place, x: x.to_vec(), quality, weight, at });
        self.unsettled = self.unsettled.saturating_sub(1);
        let alarm = self.change.observe(place, quality.clamp(0.0, 1.0), &expected)?;
        self.respond(alarm);
        let Alarm { outcomes, arm, shift, exchanged_with } = alarm;
        let exchanged_with = exchanged_with.map(|other| self.names[other].clone());
        Some(DriftEvent { arm: self.names[arm].clone(), at, outcomes_ago: outcomes, shift, exchanged_with })
    }

    /// Folds in what takes the place of an outcome that was taken back, or says too little to tell of a change: nothing is
    /// bet on it, so that however often one request is judged anew, it is one outcome to the test for change.
    pub fn revise(&mut self, arm: &str, x: &[f64], quality: f64, weight: f64, at: Timestamp) {
        if !self.predictor.observe(arm, x, quality, weight, at) {
            return;
        }
        let place = self.place(arm);
        let taken_back =
            |seen: &Seen| seen.arm == place && seen.at == at && seen.x == x && seen.weight == 0.0;
        if let Some(found) = self.recent.iter().rposition(taken_back) {
            self.recent[found].quality = quality;
            self.recent[found].weight = weight;
        }
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

    /// The qualities of several arms as [`Predictor::forecast`] says them; for a while after an alarm not to be relied
    /// upon.
    pub fn forecast<'a>(&self, arms: impl IntoIterator<Item = &'a str>, x: &[f64]) -> Forecast {
        let forecast = self.predictor.forecast(arms, x);
        if self.unsettled > 0 { forecast.unsettled() } else { forecast }
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

    /// Lets go of what was learned before the change, or hands it to the arm that it now holds for, and learns again
    /// what came after it.
    fn respond(&mut self, alarm: Alarm) {
        let since = self.recent.len() - alarm.outcomes.clamp(1, self.recent.len());
        let after: Vec<Seen> = self.recent.drain(..).skip(since).collect();
        let before = after.iter().map(|seen| seen.at.0).min().unwrap_or_default().saturating_sub(1);
        self.learn_again(&after, -1.0);
        let mut kept_outcomes = KEPT_OUTCOMES;
        if let Some(other) = alarm.exchanged_with {
            self.predictor.exchange(&self.names[alarm.arm], &self.names[other], Timestamp(before));
            kept_outcomes = KEPT_EXCHANGED;
        }
        for name in &self.names {
            let evidence = self.predictor.evidence(name);
            let mean_weight = after.iter().map(|seen| seen.weight).sum::<f64>() / after.len().max(1) as f64;
            let keep = (kept_outcomes * mean_weight / evidence.max(1e-12)).min(1.0);
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
