//! Whether trees are for the better: they take the place of what is learned alone only where the log shows it.
//!
//! The log is cut into folds by question. For each, predictor and trees are trained on the others, and both ways of
//! playing, with the trees and without, decide what the fold asks. Where they differ, doubly robust scores from the
//! recorded propensities say by how much the one is better than the other, decision by decision, so that how hard a
//! question is cancels out.

use std::collections::BTreeMap;
use std::sync::Arc;

use burnish_types::Timestamp;
use serde::{Deserialize, Serialize};

use super::{BoostedTrees, TrainingRow, TreeSettings};
use crate::features::FeatureVector;
use crate::learner::Learner;
use crate::patterns::normal_quantile_above;
use crate::policies::Conservative;
use crate::predictor::Predictor;
use crate::selection::{self, LABEL_WEIGHT, Offer, Selection, Wish};

const FOLDS: u64 = 5;
/// A choice less likely than this tells nothing that one could rely on.
const SMALLEST_PROPENSITY: f64 = 0.01;
/// Fewer different questions than this, on which the two differ and the log can tell, show nothing.
const FEWEST_QUESTIONS: usize = 40;

/// A judged decision, in what a challenge needs of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ChallengeRow {
    /// What stands for the question: decisions with the same number are of the same question.
    pub question: u64,
    /// When it was decided.
    pub at: Timestamp,
    /// What was known of the question.
    pub x: FeatureVector,
    /// What could have been done: the strategy, its latency in milliseconds, and its propensity.
    pub options: Vec<(String, f64, f64)>,
    /// The place of what was done.
    pub chosen: usize,
    /// Whether it was the policy that chose; what a caller pinned is learned from, and compares nothing.
    pub drawn: bool,
    /// How good it was, in [0, 1].
    pub quality: f64,
    /// How much that may be trusted, in labels.
    pub trust: f64,
}

impl ChallengeRow {
    fn arm(&self) -> &str {
        self.options.get(self.chosen).map_or("", |(strategy, ..)| strategy)
    }
}

/// How a challenge is made.
#[derive(Clone, Debug, PartialEq)]
pub struct ChallengeSettings {
    /// The strategy that is played as long as nothing speaks against it, where one is set.
    pub baseline: Option<String>,
    /// After this many days an outcome counts half; `None` for ever the same.
    pub half_life_days: Option<f64>,
    /// The probability of promoting trees that are not for the better.
    pub level: f64,
    /// For the folds and the trees.
    pub seed: u64,
}

/// What the log says of the trees.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Challenge {
    /// Judged decisions that were learned from.
    pub n: usize,
    /// Those that the policy had drawn, on which the two ways of playing were compared.
    pub compared: usize,
    /// On how many of these the two differ.
    pub differing: usize,
    /// For how many of those the log can tell: both choices could have been made.
    pub covered: usize,
    /// How many different questions those are.
    pub questions: usize,
    /// By how much a decision that the trees change is better for it.
    pub gain: f64,
    /// Holds that with the probability `1 - 2 * level`.
    pub interval: [f64; 2],
    /// The probability of promoting trees that are not for the better.
    pub level: f64,
    /// Whether the trees are for the better: the interval lies above 0, and rests on enough.
    pub better: bool,
}

/// What outcomes leave to learn once the predictor has learned from them.
///
/// Rows are not weighed by their propensities: what is expected given the question and the strategy does not depend on
/// how often the strategy was taken, and such weights would only add noise. The comparison is weighed.
pub fn train(rows: &[ChallengeRow], settings: &ChallengeSettings) -> Option<BoostedTrees> {
    let rows: Vec<&ChallengeRow> = rows.iter().collect();
    trees(&rows, &learn(&rows, settings), settings.seed)
}

/// Compares playing with trees to playing without. The same settings give the same.
pub fn challenge(rows: &[ChallengeRow], settings: &ChallengeSettings) -> Challenge {
    let mut found = Challenge {
        n: rows.len(),
        compared: rows.iter().filter(|row| row.drawn).count(),
        level: settings.level,
        ..Challenge::default()
    };
    // Summed score and decisions by question.
    let mut scores: BTreeMap<u64, (f64, f64)> = BTreeMap::new();
    for fold in 0..FOLDS {
        let (held, others): (Vec<&ChallengeRow>, Vec<&ChallengeRow>) =
            rows.iter().partition(|row| fold_of(row.question, settings.seed) == fold);
        let learner = learn(&others, settings);
        let Some(trees) = trees(&others, &learner, settings.seed) else { continue };
        let mut selection = Selection::new(Box::new(Conservative::new(0.0)), settings.baseline.clone());
        selection.correct_by(Some(Arc::new(trees)));
        for row in held.into_iter().filter(|row| row.drawn) {
            let options = offers(row);
            let incumbents = selection.incumbents(&learner, &options, row.x.as_slice(), Wish::default());
            let Some([without, with]) = incumbents.filter(|[without, with]| without != with) else {
                continue;
            };
            found.differing += 1;
            if let Some(score) = score(row, [without, with], |place| {
                selection.predict(&learner, options[place].strategy, row.x.as_slice()).mean
            }) {
                found.covered += 1;
                let (sum, count) = scores.entry(row.question).or_default();
                *sum += score;
                *count += 1.0;
            }
        }
    }
    found.questions = scores.len();
    if let Some((mean, deviation)) = mean_over_groups(scores.values()) {
        let reach = normal_quantile_above(settings.level.clamp(1e-9, 0.5)) * deviation;
        (found.gain, found.interval) = (mean, [mean - reach, mean + reach]);
        found.better = found.questions >= FEWEST_QUESTIONS && found.interval[0] > 0.0;
    }
    found
}

/// How much better the second place is than the first (Dudík, Langford and Li 2011, equation 3, of both); `None` where
/// one of them could not have been chosen.
fn score(row: &ChallengeRow, places: [usize; 2], expected: impl Fn(usize) -> f64) -> Option<f64> {
    let [without, with] = places.map(|place| {
        let propensity = row.options[place].2;
        let residual = if row.chosen == place { (row.quality - expected(place)) / propensity } else { 0.0 };
        (propensity >= SMALLEST_PROPENSITY).then(|| expected(place) + residual)
    });
    Some(with? - without?)
}

/// The mean over decisions, and its standard deviation over questions.
fn mean_over_groups<'a>(groups: impl ExactSizeIterator<Item = &'a (f64, f64)> + Clone) -> Option<(f64, f64)> {
    let count = groups.len() as f64;
    if count < 2.0 {
        return None;
    }
    let rows: f64 = groups.clone().map(|(_, rows)| rows).sum();
    let mean = groups.clone().map(|(sum, _)| sum).sum::<f64>() / rows;
    let squares: f64 = groups.map(|(sum, rows)| (sum - mean * rows).powi(2)).sum();
    Some((mean, (squares * count / (count - 1.0)).sqrt() / rows))
}

fn learn(rows: &[&ChallengeRow], settings: &ChallengeSettings) -> Learner {
    let mut predictor = Predictor::new(selection::settings(settings.half_life_days), selection::prior());
    for row in rows {
        predictor.observe(row.arm(), row.x.as_slice(), row.quality, row.trust * LABEL_WEIGHT, row.at);
    }
    Learner::from_predictor(predictor)
}

fn trees(rows: &[&ChallengeRow], learner: &Learner, seed: u64) -> Option<BoostedTrees> {
    let row = |row: &&ChallengeRow| TrainingRow {
        arm: row.arm().to_owned(),
        x: row.x.to_vec(),
        quality: row.quality,
        expected: learner.predict(row.arm(), row.x.as_slice()).mean,
        weight: row.trust,
    };
    let rows: Vec<TrainingRow> = rows.iter().map(row).collect();
    BoostedTrees::fit(&rows, TreeSettings::default(), seed)
}

fn offers(row: &ChallengeRow) -> Vec<Offer<'_>> {
    let options = row.options.iter();
    options
        .map(|(strategy, latency_ms, _)| Offer { strategy, latency_ms: *latency_ms, cost_usd: 0.0 })
        .collect()
}

/// The last steps of splitmix64, so that near numbers lie in different folds.
fn fold_of(question: u64, seed: u64) -> u64 {
    let mut mixed = question ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) % FOLDS
}

#[cfg(test)]
mod tests;
