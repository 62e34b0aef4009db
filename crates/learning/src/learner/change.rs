//! A test by betting for a change of level in what is left of outcomes after prediction.
//!
//! Every recent outcome may have been the first after a change. From each such start on, for every arm and each of
//! a few shifts `δ` of its level, a bet multiplies its capital with `1 + δ (y − m) / (m (1 − m))`, where `y` is the
//! quality and `m` what was predicted: for outcomes in [0, 1] of mean `m`, whatever their distribution, that is 1 in the mean (the
//! bets of Waudby-Smith and Ramdas 2024, section 4; for `y` in {0, 1} the likelihood ratio of `m + δ`). The mean
//! capital over shifts, multiplied over arms and summed over starts, is an e-detector of Shiryaev and Roberts' kind
//! (Shin, Ramdas and Rinaldo 2023): without a change it grows by at most 1 an outcome in the mean, so that
//! within `n` outcomes it passes `A` with a probability of at most `n / A`. Its terms, weighed by how rare changes
//! are, say whether and when the last change was, and how the levels moved.

use std::collections::VecDeque;

/// How far back a change may lie, in outcomes.
const STARTS: usize = 256;
/// The shifts of an arm's level that are bet on.
const SHIFTS: [f64; 6] = [-0.4, -0.25, -0.12, 0.12, 0.25, 0.4];
/// No prediction is trusted to be nearer to 0 or 1 than this.
const EDGE: f64 = 0.05;
/// Predictions are taken to be off by so many of their standard deviations, in the shift's favour.
const CAUTION: f64 = 0.05;
/// Of an arm whose quality is not yet predicted within this deviation, nothing can be said to have changed.
const KNOWN_DEVIATION: f64 = 0.12;
/// An alarm by chance in 10,000 outcomes has a probability of at most 5 % (10,000 / 200,000).
const ALARM: f64 = 200_000.0;
/// One outcome in so many is the first after a change.
const RARITY: f64 = 5_000.0;
/// Above this probability of a change, predictions take it into account.
const SUSPICION: f64 = 0.25;

/// Watches the outcomes of all arms, by the arms' places.
#[derive(Clone, Debug, Default)]
pub(crate) struct LevelChange {
    starts: VecDeque<Start>,
}

/// The bets since one outcome, by arm.
#[derive(Clone, Debug, Default)]
struct Start {
    levels: Vec<Level>,
}

/// The capitals of the bets on one arm, by shift.
#[derive(Clone, Copy, Debug)]
struct Level {
    capitals: [f64; SHIFTS.len()],
}

/// What the outcomes say at an alarm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Alarm {
    /// How many outcomes there were since the most likely start.
    pub(crate) outcomes: usize,
    /// The place of the arm that speaks most for a change.
    pub(crate) arm: usize,
    /// By how much its level has moved.
    pub(crate) shift: f64,
}

/// By how much the arms' levels may have moved.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Doubt {
    /// The expected shift by arm, in the order asked for.
    pub(crate) means: Vec<f64>,
    /// Its covariance, row by row.
    pub(crate) covariance: Vec<f64>,
}

impl LevelChange {
    /// Takes the outcome of the arm at `place`: its `quality`, and the mean and deviation that were predicted.
    pub(crate) fn observe(&mut self, place: usize, quality: f64, mean: f64, deviation: f64) -> Option<Alarm> {
        let factors = factors(quality, mean, deviation);
        self.starts.push_back(Start::default());
        if self.starts.len() > STARTS {
            self.starts.pop_front();
        }
        for start in &mut self.starts {
            start.observe(place, &factors);
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
            let weight = start.capital() / total;
            let level = |place: &Option<usize>| {
                place.and_then(|place| start.levels.get(place)).copied().unwrap_or_default()
            };
            let moments: Vec<(f64, f64)> = places.iter().map(|place| level(place).moments()).collect();
            for (row, (left, square)) in moments.iter().enumerate() {
                means[row] += weight * left;
                for (column, (right, _)) in moments.iter().enumerate() {
                    let product = if row == column { *square } else { left * right };
                    covariance[row * size + column] += weight * product;
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
        self.starts.iter().map(Start::capital).sum()
    }

    fn locate(&self) -> Alarm {
        let starts = self.starts.iter().enumerate();
        let likeliest = starts.max_by(|left, right| left.1.capital().total_cmp(&right.1.capital()));
        let (index, levels) = likeliest.map_or((0, &[][..]), |(index, start)| (index, &start.levels[..]));
        let levels = levels.iter().enumerate();
        let arm = levels.max_by(|left, right| left.1.capital().total_cmp(&right.1.capital()));
        let (arm, shift) = arm.map_or((0, 0.0), |(arm, level)| (arm, level.moments().0));
        Alarm { outcomes: self.starts.len() - index, arm, shift }
    }
}

/// What each bet's capital is multiplied with.
fn factors(quality: f64, mean: f64, deviation: f64) -> [f64; SHIFTS.len()] {
    if deviation > KNOWN_DEVIATION {
        return [1.0; SHIFTS.len()];
    }
    SHIFTS.map(|shift| {
        let mean = (mean + CAUTION * deviation * shift.signum()).clamp(EDGE, 1.0 - EDGE);
        let stake = shift.clamp(EDGE / 2.0 - mean, 1.0 - EDGE / 2.0 - mean);
        1.0 + stake * (quality - mean) / (mean * (1.0 - mean))
    })
}

impl Default for Level {
    fn default() -> Self {
        Self { capitals: [1.0; SHIFTS.len()] }
    }
}

impl Level {
    fn capital(&self) -> f64 {
        self.capitals.iter().sum::<f64>() / SHIFTS.len() as f64
    }

    /// The mean of the shift and of its square, weighed by capitals.
    fn moments(&self) -> (f64, f64) {
        let total: f64 = self.capitals.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        let over = |of: fn(f64) -> f64| {
            self.capitals.iter().zip(SHIFTS).map(|(capital, shift)| capital * of(shift)).sum::<f64>() / total
        };
        (over(|shift| shift), over(|shift| shift * shift))
    }
}

impl Start {
    fn observe(&mut self, place: usize, factors: &[f64; SHIFTS.len()]) {
        if self.levels.len() <= place {
            self.levels.resize(place + 1, Level::default());
        }
        for (capital, factor) in self.levels[place].capitals.iter_mut().zip(factors) {
            *capital = (*capital * factor).min(1e60);
        }
    }

    fn capital(&self) -> f64 {
        self.levels.iter().map(Level::capital).product::<f64>().min(1e60)
    }
}
