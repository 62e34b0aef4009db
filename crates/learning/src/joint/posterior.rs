//! What is known of every option and every pair, as one normal distribution over all coefficients.

use super::space::{Space, pair};
use crate::predictor::matrix::{Matrix, dot};
use crate::predictor::{Estimate, Forecast};

/// The expected quality of anything of which nothing is known.
const LEVEL: f64 = 0.6;
/// Standard deviations before any outcome: of what all combinations have in common, its constant and each slope; of an option's
/// constant and slopes; of a pair.
const SHARED: (f64, f64) = (0.3, 0.05);
const OPTION: (f64, f64) = (0.15, 0.04);
/// Of an option that has a place on a scale, its constant beside what the scale says; and of the scale, from one end to the
/// other's middle, constant and slopes.
const PLACED: f64 = 0.05;
const TREND: (f64, f64) = (0.15, 0.04);
const PAIR: f64 = 0.04;
/// The variance of single outcomes around what is expected of them.
pub(crate) const NOISE: f64 = 0.16;

/// Predicts the quality of combinations.
#[derive(Clone, Debug)]
pub struct JointPredictor {
    space: Space,
    /// How many numbers a request has.
    width: usize,
    /// Where the coefficients of each part are, and those of each pair of parts begin.
    parts: Vec<Layout>,
    pairs: Vec<usize>,
    covariance: Matrix,
    mean: Vec<f64>,
    outcomes: u64,
    /// Outcomes by part and option.
    tried: Vec<Vec<u64>>,
}

/// Where the coefficients of a part are.
#[derive(Clone, Debug)]
struct Layout {
    /// Where those of its options begin, and how many each has.
    begin: usize,
    stride: usize,
    /// Where those of its scale begin, and where each option stands on it, from -1 to 1.
    trend: Option<(usize, Vec<f64>)>,
}

impl Layout {
    fn option(&self, option: usize) -> usize {
        self.begin + option * self.stride
    }
}

/// What is known of every option and pair for one request, before they are put together.
pub(crate) struct Worth {
    /// What all have in common.
    pub(crate) base: f64,
    pub(crate) singles: Vec<Vec<f64>>,
    pub(crate) pairs: Vec<Vec<f64>>,
    /// Variances, as though options and pairs were independent.
    pub(crate) single_variances: Vec<Vec<f64>>,
    pub(crate) pair_variances: Vec<Vec<f64>>,
}

impl JointPredictor {
    /// One that knows nothing, for requests of `width` numbers, the first of which is always 1.
    pub fn new(space: Space, width: usize) -> Self {
        let width = width.max(1);
        let mut variances = vec![SHARED.1.powi(2); width];
        variances[0] = SHARED.0.powi(2);
        let (mut parts, mut pairs) = (Vec::new(), Vec::new());
        for part in space.parts() {
            let scale = centred(&part.scale, part.options.len());
            let begin = variances.len();
            let stride = if scale.is_some() { 1 } else { 1 + part.places.len() };
            for _ in &part.options {
                variances.push(if scale.is_some() { PLACED } else { OPTION.0 }.powi(2));
                variances.extend(vec![OPTION.1.powi(2); stride - 1]);
            }
            let trend = scale.map(|scale| {
                let begin = variances.len();
                variances.push(TREND.0.powi(2));
                variances.extend(vec![TREND.1.powi(2); part.places.len()]);
                (begin, scale)
            });
            parts.push(Layout { begin, stride, trend });
        }
        for (second, part) in space.parts().iter().enumerate() {
            for before in &space.parts()[..second] {
                pairs.push(variances.len());
                variances.extend(vec![PAIR.powi(2); before.options.len() * part.options.len()]);
            }
        }
        let mut mean = vec![0.0; variances.len()];
        mean[0] = LEVEL;
        let tried = space.parts().iter().map(|part| vec![0; part.options.len()]).collect();
        Self {
            space,
            width,
            parts,
            pairs,
            covariance: Matrix::diagonal(&variances),
            mean,
            outcomes: 0,
            tried,
        }
    }

    /// What can be combined.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// How many coefficients there are.
    pub fn size(&self) -> usize {
        self.mean.len()
    }

    /// Outcomes that it rests on.
    pub fn outcomes(&self) -> u64 {
        self.outcomes
    }

    /// Folds in that `combination` had `quality` for a request of the numbers `x`; `weight` labels. What is not finite changes
    /// nothing. Returns how far that lies from what was expected, and the deviation of that.
    pub fn observe(
        &mut self,
        combination: &[u16],
        x: &[f64],
        quality: f64,
        weight: f64,
    ) -> Option<(f64, f64)> {
        let usable = quality.is_finite() && weight.is_finite() && weight > 0.0;
        if !usable || x.iter().any(|value| !value.is_finite()) || !self.holds(combination) {
            return None;
        }
        let row = self.row(combination, x);
        let moved = self.times(&row);
        let variance = row.iter().map(|(place, value)| value * moved[*place]).sum::<f64>().max(0.0);
        let error =
            quality.clamp(0.0, 1.0) - row.iter().map(|(place, value)| value * self.mean[*place]).sum::<f64>();
        let total = variance + NOISE / weight;
        self.covariance.add_outer(&moved, -total.recip());
        self.mean.iter_mut().zip(&moved).for_each(|(mean, moved)| *mean += moved * error / total);
        self.outcomes += 1;
        for (part, option) in combination.iter().enumerate() {
            self.tried[part][usize::from(*option)] += 1;
        }
        Some((error, total.sqrt()))
    }

    /// From now on the constant of an option, and its pairs, may be anything within so much of what they were: after a change.
    pub fn loosen(&mut self, part: usize, option: u16, deviation: f64) {
        let (Some(known), Some(layout)) = (self.space.parts().get(part), self.parts.get(part)) else {
            return;
        };
        if usize::from(option) >= known.options.len() || !deviation.is_finite() {
            return;
        }
        let place = layout.option(usize::from(option));
        let variance = self.covariance.at(place, place) + deviation * deviation;
        self.covariance.set(place, place, variance);
    }

    /// The quality to expect of some combinations, and how their errors go together.
    pub fn forecast(&self, combinations: &[&[u16]], x: &[f64]) -> Forecast {
        let rows: Vec<Vec<(usize, f64)>> =
            combinations.iter().map(|combination| self.row(combination, x)).collect();
        let moved = self.moved(combinations, x);
        let size = rows.len();
        let mut covariance = vec![0.0; size * size];
        for (left, row) in rows.iter().enumerate() {
            for (right, moved) in moved.iter().enumerate().take(left + 1) {
                let value = row.iter().map(|(place, value)| value * moved[*place]).sum();
                covariance[left * size + right] = value;
                covariance[right * size + left] = value;
            }
        }
        let estimate = |(place, row): (usize, &Vec<(usize, f64)>)| Estimate {
            mean: row.iter().map(|(at, value)| value * self.mean[*at]).sum::<f64>().clamp(0.0, 1.0),
            deviation: covariance[place * size + place].max(0.0).sqrt(),
            outcomes: self.least_tried(combinations[place]),
        };
        let estimates = rows.iter().enumerate().map(estimate).collect();
        Forecast::new(estimates, covariance)
    }

    /// The place of the combination of the best expected quality for a request of the numbers `x`.
    pub fn best(&self, x: &[f64]) -> usize {
        let worth = self.worth(x);
        let mut best = (f64::NEG_INFINITY, 0);
        self.space.sums(&worth.singles, &worth.pairs, |place, sum| {
            if sum > best.0 {
                best = (sum, place);
            }
        });
        best.1
    }

    /// What every option and pair is worth for a request of the numbers `x`.
    pub(crate) fn worth(&self, x: &[f64]) -> Worth {
        let base = (0..self.width).map(|place| at(x, place) * self.mean[place]).sum();
        let (mut singles, mut single_variances) = (Vec::new(), Vec::new());
        for (part, layout) in self.space.parts().iter().zip(&self.parts) {
            let numbers: Vec<f64> = numbers(&part.places, x).collect();
            let own = &numbers[..layout.stride];
            let mut means: Vec<f64> = (0..part.options.len())
                .map(|option| dot(&self.mean[layout.option(option)..][..own.len()], own))
                .collect();
            let mut variances: Vec<f64> =
                (0..part.options.len()).map(|option| self.variance(layout.option(option), own)).collect();
            if let Some((trend, scale)) = &layout.trend {
                let (slope, spread) =
                    (dot(&self.mean[*trend..][..numbers.len()], &numbers), self.variance(*trend, &numbers));
                for (option, place) in scale.iter().enumerate() {
                    let with_constant =
                        dot(&self.covariance.row(layout.option(option))[*trend..][..numbers.len()], &numbers);
                    means[option] += place * slope;
                    variances[option] += place * place * spread + 2.0 * place * with_constant;
                }
            }
            singles.push(means);
            single_variances.push(variances);
        }
        let (mut pairs, mut pair_variances) = (Vec::new(), Vec::new());
        let mut begins = self.pairs.iter();
        for (second, part) in self.space.parts().iter().enumerate() {
            for before in &self.space.parts()[..second] {
                let begin = begins.next().copied().unwrap_or_default();
                let count = before.options.len() * part.options.len();
                pairs.push(self.mean[begin..][..count].to_vec());
                pair_variances
                    .push((begin..begin + count).map(|place| self.covariance.at(place, place)).collect());
            }
        }
        Worth { base, singles, pairs, single_variances, pair_variances }
    }

    fn holds(&self, combination: &[u16]) -> bool {
        combination.len() == self.space.parts().len()
            && combination
                .iter()
                .zip(self.space.parts())
                .all(|(option, part)| usize::from(*option) < part.options.len())
    }

    fn least_tried(&self, combination: &[u16]) -> u64 {
        let tried =
            combination.iter().zip(&self.tried).filter_map(|(option, part)| part.get(usize::from(*option)));
        tried.copied().min().unwrap_or_default()
    }

    /// The places where a combination's coefficients stand, with what they are multiplied by.
    fn row(&self, combination: &[u16], x: &[f64]) -> Vec<(usize, f64)> {
        let mut row: Vec<(usize, f64)> = (0..self.width).map(|place| (place, at(x, place))).collect();
        for (part, option) in combination.iter().enumerate() {
            row.extend(self.option_row(part, *option, x));
        }
        row.extend(self.pair_places(combination).map(|place| (place, 1.0)));
        row
    }

    fn option_row<'a>(
        &'a self,
        part: usize,
        option: u16,
        x: &'a [f64],
    ) -> impl Iterator<Item = (usize, f64)> + 'a {
        let layout = &self.parts[part];
        let numbers: Vec<f64> = numbers(&self.space.parts()[part].places, x).collect();
        let begin = layout.option(usize::from(option));
        let own: Vec<(usize, f64)> =
            numbers[..layout.stride].iter().enumerate().map(|(at, value)| (begin + at, *value)).collect();
        let scaled = layout.trend.iter().flat_map(move |(trend, scale)| {
            let place = scale.get(usize::from(option)).copied().unwrap_or_default();
            numbers.clone().into_iter().enumerate().map(move |(at, value)| (trend + at, place * value))
        });
        own.into_iter().chain(scaled)
    }

    /// The variance of a block of coefficients, times `numbers`.
    fn variance(&self, begin: usize, numbers: &[f64]) -> f64 {
        let rows = numbers.iter().enumerate().map(|(row, value)| {
            value * dot(&self.covariance.row(begin + row)[begin..][..numbers.len()], numbers)
        });
        rows.sum::<f64>().max(0.0)
    }

    fn pair_places<'a>(&'a self, combination: &'a [u16]) -> impl Iterator<Item = usize> + 'a {
        (1..combination.len()).flat_map(move |second| {
            (0..second).map(move |first| {
                let options = self.space.parts()[second].options.len();
                let offset = usize::from(combination[first]) * options + usize::from(combination[second]);
                self.pairs[pair(first, second)] + offset
            })
        })
    }

    fn times(&self, row: &[(usize, f64)]) -> Vec<f64> {
        let mut product = vec![0.0; self.mean.len()];
        for (place, value) in row.iter().filter(|(_, value)| *value != 0.0) {
            add(&mut product, self.covariance.row(*place), *value);
        }
        product
    }

    /// The covariance times the row of each combination. What combinations have in common is computed once.
    fn moved(&self, combinations: &[&[u16]], x: &[f64]) -> Vec<Vec<f64>> {
        let base = self.times(&(0..self.width).map(|place| (place, at(x, place))).collect::<Vec<_>>());
        let mut options: Vec<Vec<Option<Vec<f64>>>> =
            self.space.parts().iter().map(|part| vec![None; part.options.len()]).collect();
        let mut moved = Vec::with_capacity(combinations.len());
        for combination in combinations {
            let mut sum = base.clone();
            for (part, option) in combination.iter().enumerate() {
                let known = &mut options[part][usize::from(*option)];
                let known = known.get_or_insert_with(|| {
                    self.times(&self.option_row(part, *option, x).collect::<Vec<_>>())
                });
                add(&mut sum, known, 1.0);
            }
            for place in self.pair_places(combination) {
                add(&mut sum, self.covariance.row(place), 1.0);
            }
            moved.push(sum);
        }
        moved
    }
}

/// Where the options stand from -1 to 1; `None` where they have no order.
fn centred(scale: &[f64], options: usize) -> Option<Vec<f64>> {
    let (low, high) = scale
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), at| (low.min(*at), high.max(*at)));
    let usable = scale.len() == options && high > low && (high - low).is_finite();
    usable.then(|| scale.iter().map(|at| 2.0 * (at - low) / (high - low) - 1.0).collect())
}

fn at(x: &[f64], place: usize) -> f64 {
    x.get(place).copied().unwrap_or_default()
}

/// What an option's coefficients are multiplied by: 1, and the numbers at its part's places.
fn numbers<'a>(places: &'a [usize], x: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
    std::iter::once(1.0).chain(places.iter().map(|place| at(x, *place)))
}

fn add(sum: &mut [f64], row: &[f64], factor: f64) {
    sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += factor * value);
}
