//! A Bayesian test for a change of level in what is left of outcomes after prediction.
//!
//! Every recent outcome may have been the first after a change. From each such start on, the residuals of every
//! arm have a mean of their own, normal around 0, in place of 0; the ratio of the two marginal likelihoods has a closed form
//! in two sums by arm. The sum of the ratios over all starts is the statistic of Shiryaev and Roberts with a mixture
//! over the level after the change (Pollak 1985): without a change it grows by at most 1 an outcome in the mean, so
//! that within `n` outcomes it passes a threshold of `A` with a probability of at most `n / A`. Its terms, weighed by
//! how rare changes are, are the posterior of whether and when the last change was.

use std::collections::VecDeque;

/// How far back a change may lie, in outcomes.
const STARTS: usize = 256;
/// The variance of a level after a change around the one before.
const SHIFT_VARIANCE: f64 = 0.09;
/// An alarm by chance in 10,000 outcomes has a probability of at most 5 % (10,000 / 200,000).
const ALARM: f64 = 200_000.0;
/// One outcome in so many is the first after a change.
const RARITY: f64 = 5_000.0;
/// Above this probability of a change, predictions take it into account.
const SUSPICION: f64 = 0.25;
/// The noise is first taken for that of right or wrong, as if seen in this many outcomes.
const NOISE_OUTCOMES: f64 = 30.0;
/// After so many outcomes older ones count less for the noise.
const NOISE_MEMORY: f64 = 2_000.0;

/// Watches the residuals of all arms, by the arms' places.
#[derive(Clone, Debug, Default)]
pub(crate) struct LevelChange {
    noise: Vec<Noise>,
    starts: VecDeque<Start>,
}

/// The ratio of an arm's squared residuals to those of outcomes that are right or wrong.
#[derive(Clone, Copy, Debug)]
struct Noise {
    squares: f64,
    binary: f64,
}

/// The residuals since one outcome.
#[derive(Clone, Debug, Default)]
struct Start {
    levels: Vec<Level>,
    log_ratio: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Level {
    /// Residuals times their precisions, summed.
    moment: f64,
    precision: f64,
    log_ratio: f64,
}

/// What the residuals say at an alarm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Alarm {
    /// How many outcomes there were since the most likely start.
    pub(crate) outcomes: usize,
    /// The place of the arm that speaks most for a change.
    pub(crate) arm: usize,
    /// By how much its level has moved.
    pub(crate) shift: f64,
}

/// By how much the arms' levels may have moved, moment by moment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Doubt {
    /// The expected shift by arm, in the order asked for.
    pub(crate) means: Vec<f64>,
    /// Its covariance, row by row.
    pub(crate) covariance: Vec<f64>,
}

impl Level {
    fn mean(self) -> f64 {
        self.moment * self.variance()
    }

    fn variance(self) -> f64 {
        SHIFT_VARIANCE / (1.0 + self.precision * SHIFT_VARIANCE)
    }
}

impl LevelChange {
    /// Takes the outcome of the arm at `place`: its `quality`, and the mean and variance that were predicted of it.
    pub(crate) fn observe(&mut self, place: usize, quality: f64, mean: f64, variance: f64) -> Option<Alarm> {
        let residual = quality - mean;
        let binary = mean.clamp(0.1, 0.9) * (1.0 - mean.clamp(0.1, 0.9));
        let noise = self.noise(place, residual, binary);
        let precision = (noise + variance).max(1e-3).recip();
        self.starts.push_back(Start::default());
        if self.starts.len() > STARTS {
            self.starts.pop_front();
        }
        for start in &mut self.starts {
            start.observe(place, residual, precision);
        }
        if self.statistic() < ALARM {
            return None;
        }
        let alarm = self.locate();
        self.starts.clear();
        Some(alarm)
    }

    /// The alarm that another test has given, of the arm at `place`.
    pub(crate) fn give_alarm(&mut self, place: usize, residual: f64) -> Alarm {
        let located = self.locate();
        self.starts.clear();
        let shift = if located.arm == place { located.shift } else { residual };
        Alarm { arm: place, shift, outcomes: located.outcomes.max(1) }
    }

    /// How likely it is that a change has happened, in [0, 1].
    pub(crate) fn probability(&self) -> f64 {
        let odds = self.statistic() / RARITY;
        odds / (1.0 + odds)
    }

    /// How the levels of the arms at `places` (`None`: never seen) may have moved; nothing while that is unlikely.
    pub(crate) fn doubt(&self, places: &[Option<usize>]) -> Option<Doubt> {
        if self.probability() < SUSPICION {
            return None;
        }
        let size = places.len();
        let total = RARITY + self.statistic();
        let (mut means, mut covariance) = (vec![0.0; size], vec![0.0; size * size]);
        for start in &self.starts {
            let weight = start.log_ratio.exp() / total;
            let level = |place: &Option<usize>| {
                place.and_then(|place| start.levels.get(place)).copied().unwrap_or_default()
            };
            for (row, left) in places.iter().map(level).enumerate() {
                means[row] += weight * left.mean();
                covariance[row * size + row] += weight * left.variance();
                for (column, right) in places.iter().map(level).enumerate() {
                    covariance[row * size + column] += weight * left.mean() * right.mean();
                }
            }
        }
        for row in 0..size {
            for column in 0..size {
                covariance[row * size + column] -= means[row] * means[column];
            }
        }
        Some(Doubt { means, covariance })
    }

    fn statistic(&self) -> f64 {
        self.starts.iter().map(|start| start.log_ratio.min(60.0).exp()).sum()
    }

    fn locate(&self) -> Alarm {
        let likeliest = self
            .starts
            .iter()
            .enumerate()
            .max_by(|left, right| left.1.log_ratio.total_cmp(&right.1.log_ratio));
        let (index, levels) = likeliest.map_or((0, &[][..]), |(index, start)| (index, &start.levels[..]));
        let arm =
            levels.iter().enumerate().max_by(|left, right| left.1.log_ratio.total_cmp(&right.1.log_ratio));
        let (arm, shift) = arm.map_or((0, 0.0), |(arm, level)| (arm, level.mean()));
        Alarm { outcomes: self.starts.len() - index, arm, shift }
    }

    /// The variance of an outcome of this arm, from those before it.
    fn noise(&mut self, place: usize, residual: f64, binary: f64) -> f64 {
        let start = Noise { squares: NOISE_OUTCOMES * 0.2, binary: NOISE_OUTCOMES * 0.2 };
        if self.noise.len() <= place {
            self.noise.resize(place + 1, start);
        }
        let noise = &mut self.noise[place];
        let variance = binary * noise.squares / noise.binary;
        let keep = 1.0 - 1.0 / NOISE_MEMORY;
        noise.squares = noise.squares * keep + residual * residual;
        noise.binary = noise.binary * keep + binary;
        variance
    }
}

impl Start {
    fn observe(&mut self, place: usize, residual: f64, precision: f64) {
        if self.levels.len() <= place {
            self.levels.resize(place + 1, Level::default());
        }
        let level = &mut self.levels[place];
        level.moment += residual * precision;
        level.precision += precision;
        let spread = 1.0 + level.precision * SHIFT_VARIANCE;
        let log_ratio = 0.5 * (level.moment * level.moment * SHIFT_VARIANCE / spread - spread.ln());
        self.log_ratio += log_ratio - level.log_ratio;
        level.log_ratio = log_ratio;
    }
}
