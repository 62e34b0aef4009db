//! A test by betting for a change of level in what is left of outcomes after prediction.
//!
//! Every recent outcome may have been the first after a change. From each such start on, for every arm and each of
//! a few shifts `δ` of its level, a bet multiplies its capital with `1 + δ (y − m) / (m (1 − m))`, where `y` is the
//! quality and `m` what was predicted: for outcomes in [0, 1] of mean `m`, whatever their distribution, that is 1 in the mean (the
//! bets of Waudby-Smith and Ramdas 2024, section 4; for `y` in {0, 1} the likelihood ratio of `m + δ`). Beside
//! shifts, each pair of arms is bet to have exchanged what they do, as when a name now stands for another model: there
//! `m + δ` is what was predicted of the other arm for the same query, so that all that was learned of both speaks.
//!
//! Half of a start's capital is the mean over shifts, multiplied over arms, and half the mean over pairs. Summed over
//! starts that is an e-detector of Shiryaev and Roberts' kind (Shin, Ramdas and Rinaldo 2023): without a change it grows
//! by at most 1 an outcome in the mean, so that within `n` outcomes it passes `A` with a probability of at most `n / A`.
//! Its terms say when the change was, and how the levels moved.
//!
//! All of that holds for predictions that are right in the mean. Where they are not, as a linear one is not over few
//! queries that come again and again, a bet would gain for ever; what it has gained over all outcomes beyond chance
//! is therefore taken off its factors.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::predictor::Estimate;

/// How far back a change may lie, in outcomes.
const STARTS: usize = 256;
/// The shifts of an arm's level that are bet on.
const SHIFTS: [f64; 6] = [-0.4, -0.25, -0.12, 0.12, 0.25, 0.4];
/// Arms beyond this many are not taken to exchange anything: pairs are held for every start.
const PAIRED_ARMS: usize = 16;
/// No prediction is trusted to be nearer to 0 or 1 than this.
const EDGE: f64 = 0.05;
/// Predictions are taken to be off by so many of their standard deviations, in the shift's favour.
const CAUTION: f64 = 0.05;
/// Of an arm whose quality is not yet predicted within this deviation, nothing can be said to have changed.
const KNOWN_DEVIATION: f64 = 0.12;
/// An arm with fewer outcomes is known by belief alone, and nothing is taken to do as it does. How well it is known does
/// not matter: a bet on a wrong guess gains nothing.
const TRIED_OUTCOMES: u64 = 2;
/// A bet's mean gain over all outcomes is by chance within so many standard errors of 0.
const CHANCE: f64 = 3.0;
/// A factor is never below this: no single outcome rules out a change.
const LEAST_FACTOR: f64 = 0.02;
/// An exchange is believed where the outcomes of either arm make it so many times likelier. What merely got worse would
/// else be taken for another arm, and that one for what it was.
const SPOKEN: f64 = 20.0;
/// An alarm by chance in 10,000 outcomes has a probability of at most 5 % (10,000 / 200,000).
const ALARM: f64 = 200_000.0;
/// Capitals stop here, far above any alarm, so that sums stay finite.
const MOST_CAPITAL: f64 = 1e60;

/// Watches the outcomes of all arms, by the arms' places.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct LevelChange {
    starts: VecDeque<Start>,
    /// By arm: what a unit of stake has gained.
    scores: Vec<Gain>,
    /// By arm and other arm: what the bet that it now does as the other does has gained.
    exchanges: Vec<Vec<Gain>>,
}

/// What a bet has gained over all outcomes: sums of its gains and of their squares.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Gain {
    count: f64,
    sum: f64,
    squares: f64,
}

/// The bets since one outcome.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Start {
    levels: Vec<Level>,
    /// The capitals of the bets on exchanges, by pair; as many as there were at the start.
    pairs: Vec<Pair>,
    /// Their sum.
    exchanged: f64,
}

/// The capitals that each of two arms has won by its own outcomes for the bet that they exchanged what they do: the one of
/// the lower place first.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Pair([f64; 2]);

/// The capitals of the bets on one arm, by shift.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
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
    /// The place of the arm that it has likely exchanged its behaviour with.
    pub(crate) exchanged_with: Option<usize>,
}

impl LevelChange {
    /// Takes the outcome of the arm at `place`: its `quality`, and what was predicted of every arm, by place.
    pub(crate) fn observe(&mut self, place: usize, quality: f64, predicted: &[Estimate]) -> Option<Alarm> {
        let arms = predicted.len().min(PAIRED_ARMS);
        self.starts.push_back(Start::new(arms));
        if self.starts.len() > STARTS {
            self.starts.pop_front();
        }
        let own = predicted.get(place).filter(|own| own.deviation <= KNOWN_DEVIATION)?;
        let factors = self.shift_factors(place, quality, *own);
        let exchanges = self.exchange_factors(place, quality, *own, &predicted[..arms]);
        for start in &mut self.starts {
            start.observe(place, &factors, &exchanges);
        }
        if self.statistic() < ALARM {
            return None;
        }
        let alarm = self.locate(predicted);
        *self = Self::default();
        Some(alarm)
    }

    fn statistic(&self) -> f64 {
        self.starts.iter().map(Start::capital).sum()
    }

    /// The factors of the bets on a shift of the arm at `place`.
    fn shift_factors(&mut self, place: usize, quality: f64, own: Estimate) -> [f64; SHIFTS.len()] {
        if self.scores.len() <= place {
            self.scores.resize(place + 1, Gain::default());
        }
        let usual = self.scores[place].usual();
        self.scores[place].add(score(quality, own.mean.clamp(EDGE, 1.0 - EDGE)));
        SHIFTS.map(|shift| {
            let (mean, stake) = stake(own, shift);
            (1.0 + stake * (score(quality, mean) - usual)).max(LEAST_FACTOR)
        })
    }

    /// The factors of the bets that the arm at `place` now does as each other one of `predicted` does; 1 where too
    /// little is known.
    fn exchange_factors(
        &mut self,
        place: usize,
        quality: f64,
        own: Estimate,
        predicted: &[Estimate],
    ) -> Vec<f64> {
        if self.exchanges.len() <= place {
            self.exchanges.resize(place + 1, Vec::new());
        }
        let gains = &mut self.exchanges[place];
        gains.resize(gains.len().max(predicted.len()), Gain::default());
        let known = predicted.iter().enumerate().zip(gains).map(|((other, estimate), gain)| {
            if other == place || estimate.outcomes < TRIED_OUTCOMES {
                return 1.0;
            }
            let (mean, stake) = stake(own, estimate.mean - own.mean);
            let won = stake * score(quality, mean);
            let factor = (1.0 + won - gain.usual()).max(LEAST_FACTOR);
            gain.add(won);
            factor
        });
        known.collect()
    }

    fn locate(&self, predicted: &[Estimate]) -> Alarm {
        let likeliest = |(index, start): &(usize, &Start)| (*index, start.capital());
        let starts = self.starts.iter().enumerate();
        let index = starts.max_by(|left, right| likeliest(left).1.total_cmp(&likeliest(right).1));
        let Some((index, start)) = index else {
            return Alarm { outcomes: 0, arm: 0, shift: 0.0, exchanged_with: None };
        };
        let outcomes = self.starts.len() - index;
        let pairs = start.pairs.iter().enumerate();
        let pair = pairs.max_by(|left, right| left.1.capital().total_cmp(&right.1.capital()));
        if let Some((place, pair)) = pair
            && start.exchanges() > start.shifted()
            && pair.0.iter().all(|capital| *capital >= SPOKEN)
        {
            let (left, right) = pair_at(place);
            let mean = |place: usize| predicted.get(place).map_or(0.0, |estimate| estimate.mean);
            // Named is the arm that got worse.
            let (arm, other) = if mean(left) > mean(right) { (left, right) } else { (right, left) };
            return Alarm { outcomes, arm, shift: mean(other) - mean(arm), exchanged_with: Some(other) };
        }
        let levels = start.levels.iter().enumerate();
        let arm = levels.max_by(|left, right| left.1.capital().total_cmp(&right.1.capital()));
        let (arm, shift) = arm.map_or((0, 0.0), |(arm, level)| (arm, level.shift()));
        Alarm { outcomes, arm, shift, exchanged_with: None }
    }
}

/// The mean that a bet on `shift` takes for granted, and what it stakes.
fn stake(own: Estimate, shift: f64) -> (f64, f64) {
    let mean = (own.mean + CAUTION * own.deviation * shift.signum()).clamp(EDGE, 1.0 - EDGE);
    (mean, shift.clamp(EDGE / 2.0 - mean, 1.0 - EDGE / 2.0 - mean))
}

/// What a unit of stake gains.
fn score(quality: f64, mean: f64) -> f64 {
    (quality - mean) / (mean * (1.0 - mean))
}

/// Where the pair of two places stands; each pair after all of lower places.
fn pair_of(left: usize, right: usize) -> usize {
    let (low, high) = (left.min(right), left.max(right));
    high * high.saturating_sub(1) / 2 + low
}

fn pair_at(pair: usize) -> (usize, usize) {
    let high = (1..=PAIRED_ARMS).take_while(|high| high * (high - 1) / 2 <= pair).last().unwrap_or(1);
    (pair - high * (high - 1) / 2, high)
}

impl Gain {
    fn add(&mut self, gain: f64) {
        self.count += 1.0;
        self.sum += gain;
        self.squares += gain * gain;
    }

    /// The mean gain as far as it is beyond chance.
    fn usual(&self) -> f64 {
        if self.count < 2.0 {
            return 0.0;
        }
        let mean = self.sum / self.count;
        let error = (self.squares / self.count / self.count).sqrt();
        mean.signum() * (mean.abs() - CHANCE * error).max(0.0)
    }
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

    /// The shift, weighed by capitals.
    fn shift(&self) -> f64 {
        let total = self.capitals.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        self.capitals.iter().zip(SHIFTS).map(|(capital, shift)| capital * shift).sum::<f64>() / total
    }
}

impl Pair {
    fn capital(&self) -> f64 {
        (self.0[0] * self.0[1]).min(MOST_CAPITAL)
    }
}

impl Start {
    fn new(arms: usize) -> Self {
        let pairs = vec![Pair([1.0; 2]); arms * arms.saturating_sub(1) / 2];
        Self { levels: Vec::new(), exchanged: pairs.len() as f64, pairs }
    }

    fn observe(&mut self, place: usize, factors: &[f64; SHIFTS.len()], exchanges: &[f64]) {
        if self.levels.len() <= place {
            self.levels.resize(place + 1, Level::default());
        }
        for (capital, factor) in self.levels[place].capitals.iter_mut().zip(factors) {
            *capital = (*capital * factor).min(MOST_CAPITAL);
        }
        let mut moved = false;
        for (other, factor) in exchanges.iter().enumerate().filter(|(other, _)| *other != place) {
            if let Some(pair) = self.pairs.get_mut(pair_of(place, other)) {
                let capital = &mut pair.0[usize::from(place > other)];
                *capital = (*capital * factor).min(MOST_CAPITAL);
                moved = true;
            }
        }
        if moved {
            self.exchanged = self.pairs.iter().map(Pair::capital).sum();
        }
    }

    /// The part of the capital that stands for arms that moved each by itself.
    fn shifted(&self) -> f64 {
        let product = self.levels.iter().map(Level::capital).product::<f64>().min(MOST_CAPITAL);
        if self.pairs.is_empty() { product } else { product / 2.0 }
    }

    /// The part that stands for exchanges.
    fn exchanges(&self) -> f64 {
        self.exchanged / (2.0 * self.pairs.len().max(1) as f64)
    }

    fn capital(&self) -> f64 {
        self.shifted() + self.exchanges()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_bet_gains_for_ever_is_usual_and_what_it_gains_by_chance_is_not() {
        let usual = |gains: &[f64]| {
            let mut gain = Gain::default();
            gains.iter().cycle().take(1_000).for_each(|value| gain.add(*value));
            gain.usual()
        };
        assert_eq!(usual(&[0.3, -0.3]), 0.0);
        assert_eq!(usual(&[0.3, -0.28]), 0.0);
        assert!((usual(&[0.3, -0.1]) - 0.1).abs() < 0.03);
        assert!((usual(&[-0.3, 0.1]) + 0.1).abs() < 0.03);
        assert_eq!(Gain::default().usual(), 0.0);
    }

    #[test]
    fn pairs_stand_where_they_are_looked_for() {
        for high in 1..PAIRED_ARMS {
            for low in 0..high {
                assert_eq!(pair_at(pair_of(high, low)), (low, high));
                assert!(pair_of(low, high) < PAIRED_ARMS * (PAIRED_ARMS - 1) / 2);
            }
        }
    }
}
