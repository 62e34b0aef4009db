//! The sums of one arm, how they fade, and how they are stored.

use std::collections::BTreeMap;

use burnish_types::Timestamp;
use serde::{Deserialize, Serialize};

use super::PredictorSettings;
use super::matrix::Matrix;
use super::posterior::ArmPosterior;
use super::profile::Profile;

/// Sums are brought up to date this many times a half-life. Within a step newer outcomes count more than 1
/// instead, by 1.1 % at most.
const STEPS: f64 = 64.0;
const MS_PER_DAY: f64 = 86_400_000.0;

/// Everything that was seen of an arm.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sums {
    gram: Matrix,
    moment: Vec<f64>,
    weight: f64,
    outcomes: i64,
    pub(crate) profile: Profile,
    forgotten: Vec<Forgotten>,
}

/// Of the outcomes up to `at` only the share `keep` counts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Forgotten {
    pub(crate) at: Timestamp,
    pub(crate) keep: f64,
}

/// Up to `at`, each of two arms did what the other one has done since.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Exchanged {
    pub(crate) at: Timestamp,
    pub(crate) left: String,
    pub(crate) right: String,
}

impl Exchanged {
    /// The arm that now does what `arm` did at `at`.
    pub(crate) fn now<'a>(exchanges: &'a [Self], arm: &'a str, at: Timestamp) -> &'a str {
        exchanges.iter().filter(|exchange| exchange.at >= at).fold(arm, |arm, exchange| {
            match (exchange.left == arm, exchange.right == arm) {
                (true, _) => &exchange.right,
                (_, true) => &exchange.left,
                _ => arm,
            }
        })
    }
}

impl Sums {
    pub(crate) fn new(size: usize) -> Self {
        Self {
            gram: Matrix::zero(size),
            moment: vec![0.0; size],
            weight: 0.0,
            outcomes: 0,
            profile: Profile::default(),
            forgotten: Vec::new(),
        }
    }

    pub(crate) fn outcomes(&self) -> u64 {
        self.outcomes.max(0).unsigned_abs()
    }

    pub(crate) fn weight(&self) -> f64 {
        self.weight
    }

    pub(crate) fn shaken(&self) -> bool {
        !self.forgotten.is_empty()
    }

    /// The share of an outcome of `at` that later alarms have left.
    pub(crate) fn kept(&self, at: Timestamp) -> f64 {
        self.forgotten.iter().filter(|alarm| alarm.at >= at).map(|alarm| alarm.keep).product()
    }

    pub(crate) fn observe(&mut self, x: &[f64], quality: f64, weight: f64) {
        self.gram.add_outer(x, weight);
        for (moment, x) in self.moment.iter_mut().zip(x) {
            *moment += weight * x * quality;
        }
        self.weight += weight;
        self.outcomes += if weight < 0.0 { -1 } else { 1 };
    }

    pub(crate) fn scale(&mut self, factor: f64) {
        self.scale_quality(factor);
        self.profile.scale(factor);
    }

    fn scale_quality(&mut self, factor: f64) {
        self.gram.scale(factor);
        self.moment.iter_mut().for_each(|moment| *moment *= factor);
        self.weight *= factor;
    }

    pub(crate) fn forget(&mut self, alarm: Forgotten) {
        self.scale_quality(alarm.keep);
        self.forgotten.push(alarm);
    }

    pub(crate) fn merge(&mut self, mut other: Self) {
        let only = |of: &[Forgotten], not: &[Forgotten]| -> Vec<Forgotten> {
            of.iter().copied().filter(|alarm| !not.contains(alarm)).collect()
        };
        let (ours, theirs) =
            (only(&self.forgotten, &other.forgotten), only(&other.forgotten, &self.forgotten));
        ours.into_iter().for_each(|alarm| other.forget(alarm));
        theirs.into_iter().for_each(|alarm| self.forget(alarm));
        self.gram.add(&other.gram, 1.0);
        for (moment, more) in self.moment.iter_mut().zip(&other.moment) {
            *moment += more;
        }
        self.weight += other.weight;
        self.outcomes += other.outcomes;
        self.profile.merge(&other.profile);
    }

    pub(crate) fn posterior(&self, expected: Vec<f64>, precision: Vec<f64>) -> ArmPosterior {
        ArmPosterior::new(&self.gram, &self.moment, expected, precision)
    }

    pub(crate) fn stored(&self) -> StoredSums {
        StoredSums {
            gram: self.gram.lower(),
            moment: self.moment.clone(),
            weight: self.weight,
            outcomes: self.outcomes,
            profile: self.profile.clone(),
            forgotten: self.forgotten.clone(),
        }
    }
}

/// A snapshot of all arms.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    pub(crate) version: u32,
    pub(crate) settings: PredictorSettings,
    pub(crate) step: u64,
    pub(crate) exchanged: Vec<Exchanged>,
    pub(crate) arms: BTreeMap<String, StoredSums>,
}

/// One arm in a snapshot; of the gram matrix the lower triangle, row by row.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredSums {
    gram: Vec<f64>,
    moment: Vec<f64>,
    weight: f64,
    outcomes: i64,
    profile: Profile,
    forgotten: Vec<Forgotten>,
}

impl StoredSums {
    /// `None` where they are not for `size` features.
    pub(crate) fn sums(self, size: usize) -> Option<Sums> {
        let Self { gram, moment, weight, outcomes, profile, forgotten } = self;
        if moment.len() != size {
            return None;
        }
        Some(Sums { gram: Matrix::from_lower(size, &gram)?, moment, weight, outcomes, profile, forgotten })
    }
}

/// Exponential forgetting by the outcomes' own time. The sums hold weights as of a step on a fixed grid of
/// time, so that they do not depend on the order in which outcomes came.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Fading {
    step_ms: Option<f64>,
    step: u64,
}

impl Fading {
    pub(crate) fn new(half_life_days: Option<f64>) -> Self {
        let usable = half_life_days.filter(|days| days.is_finite() && *days > 0.0);
        Self { step_ms: usable.map(|days| (days * MS_PER_DAY / STEPS).max(1.0)), step: 0 }
    }

    pub(crate) fn step(&self) -> u64 {
        self.step
    }

    /// By how much all sums shrink when the time becomes `at`; `None` where they don't.
    pub(crate) fn advance(&mut self, at: Timestamp) -> Option<f64> {
        let step = self.step_ms.map_or(0.0, |step| (at.0 as f64 / step).floor());
        self.advance_to(step as u64)
    }

    /// As [`Self::advance`], to a step of the grid.
    pub(crate) fn advance_to(&mut self, step: u64) -> Option<f64> {
        if self.step_ms.is_none() || step <= self.step {
            return None;
        }
        let passed = (step - self.step) as f64 / STEPS;
        self.step = step;
        Some((-passed).exp2())
    }

    /// What an outcome of `at` counts as of the present step.
    pub(crate) fn factor(&self, at: Timestamp) -> f64 {
        self.step_ms.map_or(1.0, |step| ((at.0 as f64 / step - self.step as f64) / STEPS).exp2())
    }
}
