//! Stopping a challenger that does harm after as few exposures as chance allows.
//!
//! The difference that the arms show is compared with the one that is hoped for, `hoped`, at every exposure up to a
//! fixed number `N` of them. In the scale of its own information the distance of the two moves like Brownian motion
//! without drift if the challenger is as good as hoped, so that it ever passes `−b √I(N)` with a probability of
//! `2 Φ(−b)` by reflection; that is the boundary (O'Brien & Fleming 1979, read at every outcome). Since it spends
//! next to nothing early, it comes close to the one look after `N` exposures that no other test can beat.

use serde::{Deserialize, Serialize};

use crate::patterns::normal_quantile_above;
use crate::sequential::Arm;

/// Outcomes that a variance is counted as having before the first, and what it is then.
const PRIOR_OUTCOMES: f64 = 4.0;
const PRIOR_VARIANCE: f64 = 0.25;
const LEAST_VARIANCE: f64 = 1e-4;
/// What is expected of requests of which nothing is; as long as it is one number it plays no part.
const UNKNOWN_QUALITY: f64 = 0.5;
/// Squared distances of expected qualities from their mean after which outcomes say as much of the slope as was
/// believed before: that what is expected comes true.
const PRIOR_SQUARES: f64 = 0.25;

/// When a challenger is stopped for harm.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GuardSettings {
    /// Whether there is a guard.
    pub on: bool,
    /// How many exposures of the challenger it watches; later ones are the comparison's alone.
    pub exposures: u64,
    /// A challenger that is better by this, in [−1, 1], is stopped with a probability of `false_stop`; by default
    /// and at most the comparison's `retire_below`.
    pub hoped: f64,
    /// The probability, in (0, 0.5], of stopping one that is as good as hoped.
    pub false_stop: f64,
    /// One that seems to be worse by less than this, in [0, 1], does no harm, and is left to the comparison.
    pub tolerated: f64,
    /// What is known of the champion from before.
    pub history: Option<History>,
}

/// What is known of the champion from before the trial. It counts for the guard alone: the comparison rests on
/// requests that could have gone to either arm.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// The champion's mean quality, in [0, 1]. Where requests come with an expected quality, the mean of those
    /// stands in for it, for they speak of the same requests.
    pub quality: f64,
    /// How many outcomes of the champion that is worth, as far as requests are like those from before.
    pub outcomes: f64,
}

impl Default for GuardSettings {
    fn default() -> Self {
        Self { on: true, exposures: 150, hoped: 1.0, false_stop: 0.034, tolerated: 0.02, history: None }
    }
}

impl GuardSettings {
    fn bounded(self, most: f64) -> Self {
        let history = self.history.filter(|history| history.quality.is_finite() && history.outcomes > 0.0);
        Self {
            exposures: self.exposures.max(1),
            hoped: if self.hoped.is_nan() { most } else { self.hoped.clamp(-1.0, most) },
            false_stop: if self.false_stop.is_nan() { 0.034 } else { self.false_stop.clamp(1e-6, 0.5) },
            tolerated: if self.tolerated.is_nan() { 0.0 } else { self.tolerated.clamp(0.0, 1.0) },
            history: history.map(|history| History {
                quality: history.quality.clamp(0.0, 1.0),
                outcomes: history.outcomes.min(1e6),
            }),
            ..self
        }
    }
}

/// How the guard stands.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct GuardFinding {
    /// Whether it still watches.
    pub watching: bool,
    /// Exposures of the challenger so far.
    pub exposures: u64,
    /// How much of the evidence that stopping needs has been seen, in [0, 1].
    pub evidence: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Guard {
    settings: GuardSettings,
    /// In deviations.
    boundary: f64,
    exposures: u64,
    champion: Sums,
    challenger: Sums,
    pairs: Sums,
    tripped: bool,
}

/// Weighted sums of qualities and of what was expected of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Sums {
    weight: f64,
    squared_weight: f64,
    quality: f64,
    expected: f64,
    quality_squared: f64,
    expected_squared: f64,
    product: f64,
}

impl Sums {
    fn add(&mut self, quality: f64, expected: f64, weight: f64) {
        self.weight += weight;
        self.squared_weight += weight * weight;
        self.quality += weight * quality;
        self.expected += weight * expected;
        self.quality_squared += weight * quality * quality;
        self.expected_squared += weight * expected * expected;
        self.product += weight * quality * expected;
    }

    /// How many outcomes of equal weight say as much (Kish).
    fn count(&self) -> f64 {
        if self.weight > 0.0 { self.weight * self.weight / self.squared_weight } else { 0.0 }
    }

    fn mean(&self) -> f64 {
        self.quality / self.weight
    }

    /// Squared distances from the means, of quality, of what was expected, and their product.
    fn spread(&self) -> [f64; 3] {
        if self.weight <= 0.0 {
            return [0.0; 3];
        }
        let scale = self.count() / self.weight;
        let along = |sum: f64, left: f64, right: f64| scale * (sum - left * right / self.weight);
        [
            along(self.quality_squared, self.quality, self.quality).max(0.0),
            along(self.expected_squared, self.expected, self.expected).max(0.0),
            along(self.product, self.quality, self.expected),
        ]
    }

    /// Of one outcome around what is expected of it.
    fn variance(&self, slope: f64) -> f64 {
        let [quality, expected, product] = self.spread();
        let squares = (quality - 2.0 * slope * product + slope * slope * expected).max(0.0);
        ((squares + PRIOR_OUTCOMES * PRIOR_VARIANCE) / (self.count() + PRIOR_OUTCOMES)).max(LEAST_VARIANCE)
    }
}

/// What the arms show.
struct Shown {
    difference: f64,
    /// The inverse of the difference's variance, now and after all exposures.
    information: f64,
    at_last: f64,
}

/// In deviations. One that is passed between two looks is passed unseen, so that it may lie nearer (Siegmund 1985,
/// equation 10.19).
fn boundary(settings: &GuardSettings) -> f64 {
    let unseen = 0.583 / (settings.exposures as f64).sqrt();
    (normal_quantile_above(settings.false_stop / 2.0) - unseen).max(0.1)
}

impl Guard {
    pub(super) fn new(settings: GuardSettings, most: f64) -> Self {
        let settings = settings.bounded(most);
        Self {
            settings,
            boundary: boundary(&settings),
            exposures: 0,
            champion: Sums::default(),
            challenger: Sums::default(),
            pairs: Sums::default(),
            tripped: false,
        }
    }

    pub(super) fn settings(&self) -> &GuardSettings {
        &self.settings
    }

    /// How far above the mean a request's quality is expected to lie, as far as outcomes have borne that out.
    pub(super) fn shift(&self, expected: Option<f64>) -> f64 {
        let (slope, mean) = (self.slope(), self.mean_expected());
        expected.zip(mean).map_or(0.0, |(expected, mean)| slope * (expected - mean))
    }

    /// `propensity` is the challenger's. Weights are inverse propensities, so that both arms speak of the same
    /// requests if those change together with the propensities.
    pub(super) fn observe(&mut self, arm: Arm, quality: f64, expected: Option<f64>, propensity: f64) {
        let history = self.settings.history.map(|history| history.quality);
        let expected = expected.or(self.mean_expected()).or(history).unwrap_or(UNKNOWN_QUALITY);
        match arm {
            Arm::Champion => self.champion.add(quality, expected, 1.0 / (1.0 - propensity)),
            Arm::Challenger => {
                self.exposures += 1;
                self.challenger.add(quality, expected, 1.0 / propensity);
            }
        }
        self.look();
    }

    pub(super) fn observe_pair(&mut self, champion: f64, challenger: f64) {
        self.exposures += 1;
        self.pairs.add(challenger - champion, 0.0, 1.0);
        self.look();
    }

    pub(super) fn has_tripped(&self) -> bool {
        self.tripped
    }

    pub(super) fn difference(&self) -> Option<f64> {
        self.shown().map(|shown| shown.difference)
    }

    pub(super) fn finding(&self) -> GuardFinding {
        let evidence = if self.tripped { 1.0 } else { self.evidence().clamp(0.0, 1.0) };
        GuardFinding { watching: self.watches() && !self.tripped, exposures: self.exposures, evidence }
    }

    fn watches(&self) -> bool {
        self.settings.on && self.exposures <= self.settings.exposures
    }

    fn look(&mut self) {
        let harms = |shown: Shown| shown.difference <= -self.settings.tolerated;
        self.tripped |= self.watches() && self.evidence() >= 1.0 && self.shown().is_some_and(harms);
    }

    /// How far the way to the boundary has been gone.
    fn evidence(&self) -> f64 {
        self.shown().map_or(0.0, |shown| {
            let distance = (self.settings.hoped - shown.difference) * shown.information;
            distance / (self.boundary * shown.at_last.sqrt())
        })
    }

    fn shown(&self) -> Option<Shown> {
        let left = (self.settings.exposures as f64 / self.exposures.max(1) as f64).max(1.0);
        let (mut difference, mut information, mut at_last) = (0.0, 0.0, 0.0);
        if let Some((shown, variance, last)) = self.assigned(left) {
            (difference, information, at_last) = (shown / variance, 1.0 / variance, 1.0 / last);
        }
        if self.pairs.count() > 0.0 {
            let one = self.pairs.count() / self.pairs.variance(0.0);
            difference += self.pairs.mean() * one;
            information += one;
            at_last += one * left;
        }
        (information > 0.0).then(|| Shown { difference: difference / information, information, at_last })
    }

    /// The difference that assigned requests show, its variance, and that after `left` times as many of them.
    fn assigned(&self, left: f64) -> Option<(f64, f64, f64)> {
        let known = self.settings.history.map_or(0.0, |history| history.outcomes);
        let (one, other) = (self.challenger.count(), self.champion.count());
        if one <= 0.0 || other + known <= 0.0 {
            return None;
        }
        let (slope, centre) = (self.slope(), self.mean_expected().unwrap_or_default());
        let level = |sums: &Sums| sums.mean() - slope * (sums.expected / sums.weight - centre);
        let seen = if other > 0.0 { other * level(&self.champion) } else { 0.0 };
        let champion = (seen + known * centre) / (other + known);
        let (fresh, old) = (self.challenger.variance(slope), self.champion.variance(slope));
        let variance = |times: f64| fresh / (one * times) + old / (other * times + known);
        Some((level(&self.challenger) - champion, variance(1.0), variance(left)))
    }

    fn slope(&self) -> f64 {
        let ([_, expected, product], [_, other_expected, other_product]) =
            (self.champion.spread(), self.challenger.spread());
        ((product + other_product + PRIOR_SQUARES) / (expected + other_expected + PRIOR_SQUARES))
            .clamp(0.0, 1.0)
    }

    /// Over the requests of both arms.
    fn mean_expected(&self) -> Option<f64> {
        let weight = self.champion.weight + self.challenger.weight;
        (weight > 0.0).then(|| (self.champion.expected + self.challenger.expected) / weight)
    }
}
