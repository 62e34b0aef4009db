//! What each arm will do for a query: quality by hierarchical Bayesian regression, latency and cost by sums.
//!
//! All state is sums over outcomes, so that replicas merge by adding, an outcome can be taken back, and the state
//! can be folded anew from the log. Old outcomes fade by their own time, never by the clock. A prediction takes the
//! same time after any number of outcomes.

mod forecast;
pub(crate) mod matrix;
mod posterior;
mod prior;
mod profile;
mod sums;

use std::collections::BTreeMap;

use burnish_types::Timestamp;
use serde::{Deserialize, Serialize};

pub(crate) use forecast::standard_normal;
pub use forecast::{Estimate, Forecast};
pub use prior::{ArmPrior, Prior};
pub use profile::LatencyEstimate;

use posterior::{ArmPosterior, Point, SharedPosterior};
use sums::{Exchanged, Fading, Forgotten, Snapshot, Sums};

/// The form of a snapshot; it changes whenever the form does.
const SNAPSHOT_VERSION: u32 = 2;

/// How the predictor is built.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PredictorSettings {
    /// How many features are used: shorter vectors are filled up with 0, longer ones cut.
    pub dimensions: usize,
    /// After this many days an outcome counts half; `None` for ever the same.
    pub half_life_days: Option<f64>,
}

impl Default for PredictorSettings {
    fn default() -> Self {
        Self { dimensions: 32, half_life_days: None }
    }
}

/// Quality, latency and cost by arm. An arm is anything that can be chosen, by name.
#[derive(Clone, Debug)]
pub struct Predictor {
    settings: PredictorSettings,
    prior: Prior,
    fading: Fading,
    arms: BTreeMap<String, Arm>,
    exchanged: Vec<Exchanged>,
    shared: SharedPosterior,
}

#[derive(Clone, Debug)]
struct Arm {
    sums: Sums,
    posterior: ArmPosterior,
}

impl Predictor {
    /// One that has seen nothing.
    pub fn new(settings: PredictorSettings, prior: Prior) -> Self {
        let shared = SharedPosterior::new(
            &prior.shared_precision(settings.dimensions),
            std::iter::empty::<&ArmPosterior>(),
        );
        Self {
            settings,
            prior,
            fading: Fading::new(settings.half_life_days),
            arms: BTreeMap::new(),
            exchanged: Vec::new(),
            shared,
        }
    }

    /// How it is built.
    pub fn settings(&self) -> PredictorSettings {
        self.settings
    }

    /// Folds in that `arm` had `quality` (cut to [−1, 2], for what else was done may have been taken off it) for the features
    /// `x` (`x[0]` is 1), as of `at`, which should be the time of the outcome. `weight` is the inverse of the variance of the outcome's noise; with a
    /// negative one the same outcome is taken back. `false`, and nothing changes, where a value is not finite.
    pub fn observe(&mut self, arm: &str, x: &[f64], quality: f64, weight: f64, at: Timestamp) -> bool {
        let x = self.fitted(x);
        if !quality.is_finite() || !weight.is_finite() || x.iter().any(|value| !value.is_finite()) {
            return false;
        }
        self.advance(at);
        let factor = self.fading.factor(at);
        let quality = quality.clamp(-1.0, 2.0);
        let arm = Exchanged::now(&self.exchanged, arm, at);
        let arm = Self::arm(&mut self.arms, &self.settings, &self.prior, arm);
        let weight = weight * factor * arm.sums.kept(at);
        arm.sums.observe(&x, quality, weight);
        match arm.posterior.observe(&x, quality, weight, &mut self.shared) {
            true => self.shared.refresh(self.arms.values().map(|arm| &arm.posterior)),
            false => self.rebuild(),
        }
        true
    }

    /// Folds in how long a request of `arm` took, in milliseconds. With a weight of −1 it is taken back.
    pub fn observe_latency(&mut self, arm: &str, ms: f64, weight: f64, at: Timestamp) {
        self.advance(at);
        let weight = weight * self.fading.factor(at);
        Self::arm(&mut self.arms, &self.settings, &self.prior, arm).sums.profile.observe_latency(ms, weight);
    }

    /// Folds in what a request of `arm` cost, in US dollars. With a weight of −1 it is taken back.
    pub fn observe_cost(&mut self, arm: &str, usd: f64, weight: f64, at: Timestamp) {
        self.advance(at);
        let weight = weight * self.fading.factor(at);
        Self::arm(&mut self.arms, &self.settings, &self.prior, arm).sums.profile.observe_cost(usd, weight);
    }

    /// The quality of `arm` to expect for `x`. Of an arm that was never seen: what the prior says.
    pub fn predict(&self, arm: &str, x: &[f64]) -> Estimate {
        let x = self.fitted(x);
        self.estimate(arm, &self.point(arm, &x))
    }

    /// The qualities of several arms, and how their errors go together: what all have in common, such as how
    /// hard the question is, does not blur how they differ.
    pub fn forecast<'a>(&self, arms: impl IntoIterator<Item = &'a str>, x: &[f64]) -> Forecast {
        let x = self.fitted(x);
        let points: Vec<(Estimate, Point)> = arms
            .into_iter()
            .map(|arm| {
                let point = self.point(arm, &x);
                (self.estimate(arm, &point), point)
            })
            .collect();
        let covariance = points.iter().enumerate().flat_map(|(row, (_, left))| {
            points.iter().enumerate().map(move |(column, (_, right))| {
                let own = if row == column { left.own } else { 0.0 };
                own + matrix::dot(&left.loading, &right.shared)
            })
        });
        let covariance = covariance.collect();
        Forecast::new(points.into_iter().map(|(estimate, _)| estimate).collect(), covariance)
    }

    /// How long `arm` takes; `None` where that was never seen.
    pub fn latency(&self, arm: &str) -> Option<LatencyEstimate> {
        self.arms.get(arm).and_then(|arm| arm.sums.profile.latency())
    }

    /// What a request of `arm` costs in the mean, in US dollars; `None` where that was never seen.
    pub fn cost(&self, arm: &str) -> Option<f64> {
        self.arms.get(arm).and_then(|arm| arm.sums.profile.cost())
    }

    /// The arms that something is known of, with the number of their outcomes.
    pub fn arms(&self) -> impl Iterator<Item = (&str, u64)> {
        self.arms.iter().map(|(name, arm)| (name.as_str(), arm.sums.outcomes()))
    }

    /// How much evidence of the quality of `arm` there is: the sum of weights that has not faded.
    pub fn evidence(&self, arm: &str) -> f64 {
        self.arms.get(arm).map_or(0.0, |arm| arm.sums.weight().max(0.0))
    }

    /// After an alarm at `at`: of the quality of `arm` before, only the share `keep` counts further on, and the
    /// prior of its constant is no longer trusted. Outcomes of before that come or are taken back later count with
    /// that share, too, so that the order of the log does not matter.
    pub fn forget(&mut self, arm: &str, keep: f64, at: Timestamp) {
        self.advance(at);
        let keep = if keep.is_finite() { keep.clamp(0.0, 1.0) } else { 1.0 };
        Self::arm(&mut self.arms, &self.settings, &self.prior, arm).sums.forget(Forgotten { at, keep });
        self.rebuild();
    }

    /// From after `at` on, each of two arms does what the other did: what was learned of their qualities changes
    /// hands, with the counts of outcomes. Outcomes of before that come or are taken back later do so, too. Latencies and
    /// costs stay.
    pub fn exchange(&mut self, left: &str, right: &str, at: Timestamp) {
        self.swap(Exchanged { at, left: left.to_owned(), right: right.to_owned() });
        self.rebuild();
    }

    /// Adds what another replica saw.
    ///
    /// An alarm or an exchange that only one of the two had is taken to hold for all that the other knows.
    pub fn merge(&mut self, other: &Self) {
        let mut other = other.clone();
        self.align(&mut other);
        let only = |of: &[Exchanged], not: &[Exchanged]| -> Vec<Exchanged> {
            of.iter().filter(|exchange| !not.contains(exchange)).cloned().collect()
        };
        let (ours, theirs) =
            (only(&self.exchanged, &other.exchanged), only(&other.exchanged, &self.exchanged));
        ours.into_iter().for_each(|exchange| other.swap(exchange));
        theirs.into_iter().for_each(|exchange| self.swap(exchange));
        for (name, more) in other.arms {
            Self::arm(&mut self.arms, &self.settings, &self.prior, &name).sums.merge(more.sums);
        }
        self.rebuild();
    }

    /// The sums as bytes for a snapshot.
    pub fn to_bytes(&self) -> Vec<u8> {
        let snapshot = Snapshot {
            version: SNAPSHOT_VERSION,
            settings: self.settings,
            step: self.fading.step(),
            exchanged: self.exchanged.clone(),
            arms: self.arms.iter().map(|(name, arm)| (name.clone(), arm.sums.stored())).collect(),
        };
        serde_json::to_vec(&snapshot).unwrap_or_default()
    }

    /// The state of a snapshot under a prior, which may be another one than when it was taken. `None` where the
    /// snapshot is of another form or of other settings, so that the log is folded anew.
    pub fn from_bytes(settings: PredictorSettings, prior: Prior, bytes: &[u8]) -> Option<Self> {
        let snapshot: Snapshot = serde_json::from_slice(bytes).ok()?;
        if snapshot.version != SNAPSHOT_VERSION || snapshot.settings != settings {
            return None;
        }
        let mut predictor = Self::new(settings, prior);
        predictor.fading.advance_to(snapshot.step);
        predictor.exchanged = snapshot.exchanged;
        for (name, stored) in snapshot.arms {
            let sums = stored.sums(settings.dimensions)?;
            Self::arm(&mut predictor.arms, &settings, &predictor.prior, &name).sums = sums;
        }
        predictor.rebuild();
        Some(predictor)
    }

    fn swap(&mut self, exchange: Exchanged) {
        let Exchanged { left, right, .. } = &exchange;
        let sums = |arms: &mut BTreeMap<String, Arm>, name: &str| {
            let arm = Self::arm(arms, &self.settings, &self.prior, name);
            std::mem::replace(&mut arm.sums, Sums::new(self.settings.dimensions))
        };
        let (mut one, mut other) = (sums(&mut self.arms, left), sums(&mut self.arms, right));
        std::mem::swap(&mut one.profile, &mut other.profile);
        for (name, sums) in [(left, other), (right, one)] {
            Self::arm(&mut self.arms, &self.settings, &self.prior, name).sums = sums;
        }
        self.exchanged.push(exchange);
    }

    fn fitted(&self, x: &[f64]) -> Vec<f64> {
        let mut fitted: Vec<f64> = x.iter().copied().take(self.settings.dimensions).collect();
        fitted.resize(self.settings.dimensions, 0.0);
        fitted
    }

    fn point(&self, arm: &str, x: &[f64]) -> Point {
        match self.arms.get(arm) {
            Some(arm) => arm.posterior.at(x, &self.shared),
            None => unknown(&self.settings, &self.prior, arm).at(x, &self.shared),
        }
    }

    fn estimate(&self, arm: &str, point: &Point) -> Estimate {
        let variance = point.own + matrix::dot(&point.loading, &point.shared);
        Estimate {
            mean: if point.mean.is_finite() { point.mean.clamp(0.0, 1.0) } else { self.prior.level },
            deviation: variance.max(0.0).sqrt(),
            outcomes: self.arms.get(arm).map_or(0, |arm| arm.sums.outcomes()),
        }
    }

    fn arm<'a>(
        arms: &'a mut BTreeMap<String, Arm>,
        settings: &PredictorSettings,
        prior: &Prior,
        name: &str,
    ) -> &'a mut Arm {
        arms.entry(name.to_owned()).or_insert_with(|| Arm {
            sums: Sums::new(settings.dimensions),
            posterior: unknown(settings, prior, name),
        })
    }

    /// Lets everything fade up to the step of time that `at` lies in.
    fn advance(&mut self, at: Timestamp) {
        if let Some(factor) = self.fading.advance(at) {
            for arm in self.arms.values_mut() {
                arm.sums.scale(factor);
            }
            self.rebuild();
        }
    }

    /// Lets the one whose time is behind fade up to the other's.
    fn align(&mut self, other: &mut Self) {
        let step = self.fading.step().max(other.fading.step());
        for behind in [self, other] {
            if let Some(factor) = behind.fading.advance_to(step) {
                behind.arms.values_mut().for_each(|arm| arm.sums.scale(factor));
            }
        }
    }

    fn rebuild(&mut self) {
        let size = self.settings.dimensions;
        for (name, arm) in &mut self.arms {
            let precision = self.prior.precision(name, size, arm.sums.shaken());
            let expected = self.prior.coefficients(name, size);
            arm.posterior = arm.sums.posterior(expected, precision);
        }
        let precision = self.prior.shared_precision(size);
        self.shared = SharedPosterior::new(&precision, self.arms.values().map(|arm| &arm.posterior));
    }
}

fn unknown(settings: &PredictorSettings, prior: &Prior, arm: &str) -> ArmPosterior {
    let size = settings.dimensions;
    ArmPosterior::unknown(prior.coefficients(arm, size), prior.precision(arm, size, false))
}

#[cfg(test)]
mod tests;
