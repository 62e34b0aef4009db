//! The regression: where coefficients stand, how large they are believed to be, and what outcomes say of them.

use super::NOISE;
use crate::predictor::matrix::{Matrix, dot};
use crate::predictor::standard_normal;

/// Deviations of coefficients in deviations of single outcomes: those that are tried for blocks, for pairs and for kinds
/// of request by block, and what is thought likely before any outcome, with a logarithmic deviation of `LIKELY_WITHIN`.
const SCALES: [&[f64]; 3] =
    [&[0.04, 0.08, 0.16, 0.32], &[0.01, 0.03, 0.06, 0.12, 0.24], &[0.01, 0.03, 0.06, 0.12, 0.24]];
const LIKELY: [f64; 3] = [0.15, 0.06, 0.05];
const LIKELY_WITHIN: f64 = 1.0;
/// Of kinds of request, and of what all have in common: hardly believed to be anything before.
const CONTEXT_SCALE: f64 = 0.4;
const LEVEL_SCALE: f64 = 1.0;
/// Outcomes that the noise is counted as known from before.
const PRIOR_OUTCOMES: f64 = 8.0;
/// No outcome is expected to be surer than this to be 0 or 1 when it is weighed.
const SURE: f64 = 0.1;
/// More coefficients are not fitted: pairs of which least was seen are left as they are believed to be.
const MOST_COEFFICIENTS: usize = 400;

/// Which coefficients there are: one that all have in common, one a label, one a block, one a label and block, and one a
/// pair of blocks of different slots.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Layout {
    options: Vec<usize>,
    contexts: usize,
    /// Where the blocks of each slot begin, counted from the first block.
    blocks: Vec<usize>,
    /// Where the pairs of each two slots begin, by the second and then the first.
    pairs: Vec<usize>,
    all: usize,
    size: usize,
}

/// The groups whose scale is learned, in the order of `SCALES`, and those whose is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    Level,
    Context,
    Learned(usize),
}

impl Layout {
    pub(super) fn new(options: Vec<usize>, contexts: usize) -> Self {
        // A single label says nothing.
        let contexts = if contexts > 1 { contexts } else { 0 };
        let (mut blocks, mut all) = (Vec::new(), 0);
        for count in &options {
            blocks.push(all);
            all += count;
        }
        let mut size = 1 + contexts + all + contexts * all;
        let mut pairs = Vec::new();
        for second in 0..options.len() {
            for first in 0..second {
                pairs.push(size);
                size += options[first] * options[second];
            }
        }
        Self { options, contexts, blocks, pairs, all, size }
    }

    pub(super) fn holds(&self, options: &[u16], context: u16) -> bool {
        options.len() == self.options.len()
            && options.iter().zip(&self.options).all(|(option, count)| usize::from(*option) < *count)
            && usize::from(context) < self.contexts.max(1)
    }

    pub(super) fn block(&self, slot: usize, option: u16) -> usize {
        1 + self.contexts + self.blocks[slot] + usize::from(option)
    }

    /// `None` where there is but one label.
    pub(super) fn context_block(&self, context: u16, slot: usize, option: u16) -> Option<usize> {
        (self.contexts > 0).then(|| {
            1 + self.contexts
                + self.all * (1 + usize::from(context))
                + self.blocks[slot]
                + usize::from(option)
        })
    }

    pub(super) fn pair(&self, (first, one): (usize, u16), (second, other): (usize, u16)) -> usize {
        if first > second {
            return self.pair((second, other), (first, one));
        }
        self.pairs[second * (second - 1) / 2 + first]
            + usize::from(one) * self.options[second]
            + usize::from(other)
    }

    /// The coefficients of a combination over labels with their shares.
    pub(super) fn row(&self, options: &[u16], contexts: &[(u16, f64)]) -> Vec<(usize, f64)> {
        let mut row = vec![(0, 1.0)];
        if self.contexts > 0 {
            row.extend(contexts.iter().map(|(context, share)| (1 + usize::from(*context), *share)));
        }
        for (slot, option) in options.iter().enumerate() {
            row.push((self.block(slot, *option), 1.0));
            for (context, share) in contexts {
                row.extend(self.context_block(*context, slot, *option).map(|place| (place, *share)));
            }
            for (before, other) in options[..slot].iter().enumerate() {
                row.push((self.pair((before, *other), (slot, *option)), 1.0));
            }
        }
        row
    }

    fn group(&self, place: usize) -> Group {
        let blocks = 1 + self.contexts;
        match place {
            0 => Group::Level,
            _ if place < blocks => Group::Context,
            _ if place < blocks + self.all => Group::Learned(0),
            _ if place < blocks + self.all * (1 + self.contexts) => Group::Learned(2),
            _ => Group::Learned(1),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Regression {
    level: f64,
    /// Of single outcomes around what is expected of them.
    noise: f64,
    scales: [f64; 3],
    /// Of each coefficient of the layout, in deviations of the noise.
    priors: Vec<f64>,
    /// Where a coefficient stands among those that something is known of.
    known: Vec<Option<usize>>,
    mean: Vec<f64>,
    /// The lower triangular root of their precision, in units of the noise.
    root: Matrix,
}

/// What a scale is judged by, and what it leads to.
struct Fitted {
    worth: f64,
    noise: f64,
    mean: Vec<f64>,
    root: Matrix,
}

/// Sums over outcomes.
struct Seen {
    groups: Vec<Group>,
    products: Matrix,
    responses: Vec<f64>,
    squares: f64,
    weight: f64,
    noise: f64,
}

pub(super) type Outcome<'a> = (&'a [u16], u16, f64, f64);

impl Regression {
    /// `level` and `noise` are the mean and variance that are believed in before. Of shares, which vary least where
    /// they are nearly 0 or 1, each outcome is then weighed anew by what is expected of it.
    pub(super) fn fit(
        layout: &Layout,
        mut outcomes: Vec<Outcome<'_>>,
        level: f64,
        noise: f64,
        shares: bool,
    ) -> Self {
        let rows: Vec<Vec<usize>> = outcomes
            .iter()
            .map(|(options, context, ..)| {
                layout.row(options, &[(*context, 1.0)]).into_iter().map(|(place, _)| place).collect()
            })
            .collect();
        let mut weights = vec![0.0; layout.size];
        for (row, (.., weight)) in rows.iter().zip(&outcomes) {
            row.iter().for_each(|place| weights[*place] += weight);
        }
        let known = known(layout, &weights);
        let places: Vec<usize> = (0..layout.size).filter(|place| known[*place].is_some()).collect();
        let groups: Vec<Group> = places.iter().map(|place| layout.group(*place)).collect();
        let rows: Vec<Vec<usize>> =
            rows.iter().map(|row| row.iter().filter_map(|place| known[*place]).collect()).collect();
        let mut seen = Seen::of(&groups, &rows, &outcomes, level, noise);
        let (scales, mut fitted) = seen.best_scales();
        if shares {
            for (row, (.., weight)) in rows.iter().zip(&mut outcomes) {
                let expected =
                    (level + row.iter().map(|at| fitted.mean[*at]).sum::<f64>()).clamp(SURE, 1.0 - SURE);
                *weight *= NOISE / (expected * (1.0 - expected));
            }
            seen = Seen::of(&groups, &rows, &outcomes, level, noise);
            fitted = seen.fitted(&scales);
        }
        let priors = (0..layout.size).map(|place| scale(layout.group(place), &scales)).collect();
        Self { level, noise: fitted.noise, scales, priors, known, mean: fitted.mean, root: fitted.root }
    }

    pub(super) fn level(&self) -> f64 {
        self.level
    }

    pub(super) fn scales(&self) -> [f64; 3] {
        self.scales.map(|scale| scale * self.noise.sqrt())
    }

    /// What is expected of the sum of these coefficients, with the level.
    pub(super) fn mean(&self, row: &[(usize, f64)]) -> f64 {
        self.level * row.iter().filter(|(place, _)| *place == 0).map(|(_, value)| value).sum::<f64>()
            + row
                .iter()
                .filter_map(|(place, value)| Some(value * self.mean[self.known[*place]?]))
                .sum::<f64>()
    }

    /// Of a row that names each coefficient once.
    pub(super) fn variance(&self, row: &[(usize, f64)]) -> f64 {
        let mut dense = vec![0.0; self.mean.len()];
        let mut unknown = 0.0;
        for (place, value) in row {
            match self.known[*place] {
                Some(at) => dense[at] += value,
                None => unknown += (value * self.priors[*place]).powi(2),
            }
        }
        // Forward substitution: the squared length of `L⁻¹ x` is `xᵀ (L Lᵀ)⁻¹ x`.
        for at in 0..dense.len() {
            dense[at] = (dense[at] - dot(&self.root.row(at)[..at], &dense[..at])) / self.root.at(at, at);
        }
        self.noise * (unknown + dot(&dense, &dense))
    }

    /// All coefficients of the layout.
    pub(super) fn draw(&self, random: &mut fastrand::Rng) -> Vec<f64> {
        let size = self.mean.len();
        let mut drawn: Vec<f64> = (0..size).map(|_| standard_normal(random)).collect();
        // Back substitution with the transposed root, row by row of the root itself.
        for at in (0..size).rev() {
            drawn[at] /= self.root.at(at, at);
            let value = drawn[at];
            for (before, factor) in drawn[..at].iter_mut().zip(&self.root.row(at)[..at]) {
                *before -= factor * value;
            }
        }
        let deviation = self.noise.sqrt();
        self.known
            .iter()
            .zip(&self.priors)
            .map(|(known, prior)| match known {
                Some(at) => self.mean[*at] + deviation * drawn[*at],
                None => deviation * prior * standard_normal(random),
            })
            .collect()
    }

    pub(super) fn known_mean(&self) -> impl Fn(usize) -> f64 + '_ {
        |place| self.known[place].map_or(0.0, |at| self.mean[at])
    }
}

impl Seen {
    fn of(groups: &[Group], rows: &[Vec<usize>], outcomes: &[Outcome<'_>], level: f64, noise: f64) -> Self {
        let mut seen = Self {
            groups: groups.to_vec(),
            products: Matrix::zero(groups.len()),
            responses: vec![0.0; groups.len()],
            squares: 0.0,
            weight: 0.0,
            noise,
        };
        for (row, (_, _, response, weight)) in rows.iter().zip(outcomes) {
            let response = response - level;
            for one in row {
                seen.responses[*one] += weight * response;
                for other in row {
                    let sum = seen.products.at(*one, *other) + weight;
                    seen.products.set(*one, *other, sum);
                }
            }
            seen.squares += weight * response * response;
            seen.weight += weight;
        }
        seen
    }

    /// One group after the other, each from the small scales to the large, twice.
    fn best_scales(&self) -> ([f64; 3], Fitted) {
        let mut scales = [0.16, 0.06, 0.06];
        let mut best = self.fitted(&scales);
        for group in [1, 0, 2, 1] {
            if !self.groups.contains(&Group::Learned(group)) {
                continue;
            }
            for tried in SCALES[group] {
                let mut other = scales;
                other[group] = *tried;
                if other == scales {
                    continue;
                }
                let fitted = self.fitted(&other);
                if fitted.worth > best.worth {
                    (scales, best) = (other, fitted);
                }
            }
        }
        (scales, best)
    }

    /// The logarithm of the probability of what was seen, up to a constant, with the noise's inverse-gamma prior
    /// integrated out (Bishop 2006, exercise 3.13), and of the scales.
    fn fitted(&self, scales: &[f64; 3]) -> Fitted {
        let priors: Vec<f64> = self.groups.iter().map(|group| scale(*group, scales)).collect();
        let mut precision = self.products.clone();
        for (place, prior) in priors.iter().enumerate() {
            precision.set(place, place, precision.at(place, place) + 1.0 / (prior * prior));
        }
        let size = priors.len();
        // With proper priors a precision is positive definite; were it not by rounding, nothing is claimed to be known.
        let Some(root) = precision.cholesky() else {
            let root = Matrix::diagonal(&priors.iter().map(|prior| 1.0 / prior).collect::<Vec<_>>());
            return Fitted { worth: f64::NEG_INFINITY, noise: self.noise, mean: vec![0.0; size], root };
        };
        let mut half = self.responses.clone();
        for at in 0..size {
            half[at] = (half[at] - dot(&root.row(at)[..at], &half[..at])) / root.at(at, at);
        }
        let explained = dot(&half, &half);
        let mut mean = half;
        for at in (0..size).rev() {
            mean[at] /= root.at(at, at);
            let value = mean[at];
            for (before, factor) in mean[..at].iter_mut().zip(&root.row(at)[..at]) {
                *before -= factor * value;
            }
        }
        let rest = (self.squares - explained).max(0.0) + PRIOR_OUTCOMES * self.noise;
        let count = self.weight + PRIOR_OUTCOMES;
        let determinants: f64 = (0..size).map(|at| root.at(at, at).ln() + priors[at].ln()).sum();
        let likely: f64 = scales
            .iter()
            .zip(LIKELY)
            .map(|(scale, likely)| -0.5 * ((scale / likely).ln() / LIKELY_WITHIN).powi(2))
            .sum();
        Fitted { worth: likely - 0.5 * count * rest.ln() - determinants, noise: rest / count, mean, root }
    }
}

fn scale(group: Group, scales: &[f64; 3]) -> f64 {
    match group {
        Group::Level => LEVEL_SCALE,
        Group::Context => CONTEXT_SCALE,
        Group::Learned(group) => scales[group],
    }
}

/// Where those coefficients stand that something was seen of.
fn known(layout: &Layout, weights: &[f64]) -> Vec<Option<usize>> {
    let mut seen: Vec<usize> = (0..layout.size).filter(|place| weights[*place] > 0.0).collect();
    if seen.len() > MOST_COEFFICIENTS {
        let rank = |place: &usize| (layout.group(*place) == Group::Learned(1), -weights[*place]);
        seen.sort_by(|one, other| {
            let ((pair, weight), (other_pair, other_weight)) = (rank(one), rank(other));
            pair.cmp(&other_pair).then(weight.total_cmp(&other_weight)).then(one.cmp(other))
        });
        seen.truncate(MOST_COEFFICIENTS);
        seen.sort_unstable();
    }
    let mut known = vec![None; layout.size];
    seen.iter().enumerate().for_each(|(at, place)| known[*place] = Some(at));
    known
}

/// The same sum with each coefficient named once.
pub(super) fn gathered(mut row: Vec<(usize, f64)>) -> Vec<(usize, f64)> {
    row.sort_by_key(|(place, _)| *place);
    let mut gathered: Vec<(usize, f64)> = Vec::with_capacity(row.len());
    for (place, value) in row {
        match gathered.last_mut() {
            Some((last, sum)) if *last == place => *sum += value,
            _ => gathered.push((place, value)),
        }
    }
    gathered.retain(|(_, value)| *value != 0.0);
    gathered
}
