//! Boosted regression trees: a challenger that is trained from the whole log at once on what the predictor leaves, and
//! finds what no straight line says. Small on purpose: squared loss, histogram splits, shrinkage, and early stopping on
//! rows held out.

mod challenge;
mod grow;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use challenge::{Challenge, ChallengeRow, ChallengeSettings, challenge, train};
use grow::{Bins, Grower};

/// The form of a stored model; it changes whenever the form does.
const VERSION: u32 = 2;

/// One outcome to learn from.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingRow {
    /// The arm that was chosen.
    pub arm: String,
    /// The features of the query.
    pub x: Vec<f64>,
    /// The quality, in [0, 1].
    pub quality: f64,
    /// What is expected without the trees, in [0, 1].
    pub expected: f64,
    /// How much the row counts, at least 0: the inverse of its noise's variance.
    pub weight: f64,
}

/// How trees are grown.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TreeSettings {
    /// Splits from the root to a leaf, from 1 to 4.
    pub depth: usize,
    /// The most trees.
    pub trees: usize,
    /// Each tree's part, in (0, 1] (shrinkage).
    pub rate: f64,
    /// A leaf has at least this many rows.
    pub least_rows: usize,
    /// The share of rows held out to know when to stop, in [0, 0.5].
    pub held_out: f64,
    /// Growing stops after so many trees that have not lowered the error on the rows held out.
    pub patience: usize,
}

impl Default for TreeSettings {
    fn default() -> Self {
        Self { depth: 3, trees: 100, rate: 0.1, least_rows: 20, held_out: 0.2, patience: 20 }
    }
}

/// By how much the quality of an arm differs from what is expected without, by features (Friedman 2001, algorithm 2,
/// whose first stage is here the predictor).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BoostedTrees {
    version: u32,
    arms: Vec<String>,
    features: usize,
    trees: Vec<Tree>,
    /// Mean squared errors on the rows held out: of what was expected, and with the trees.
    held_out_errors: Option<(f64, f64)>,
}

/// Nodes from the root on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Node {
    Leaf(f64),
    /// At most `threshold` goes to node `low`, more to the one after it.
    Split {
        feature: usize,
        threshold: f64,
        low: usize,
    },
}

impl Tree {
    fn predict(&self, x: &[f64]) -> f64 {
        let mut place = 0;
        loop {
            match self.nodes.get(place) {
                Some(Node::Leaf(value)) => return *value,
                Some(Node::Split { feature, threshold, low }) if *low > place => {
                    let above = x.get(*feature).is_some_and(|value| value > threshold);
                    place = low + usize::from(above);
                }
                // A stored tree that leads nowhere says nothing.
                _ => return 0.0,
            }
        }
    }
}

impl BoostedTrees {
    /// Grows trees from `rows`; the same seed gives the same trees. Rows with values that are not finite, or of
    /// another length than the first, are left out. `None` where none is left.
    pub fn fit(rows: &[TrainingRow], settings: TreeSettings, seed: u64) -> Option<Self> {
        let features = rows.first()?.x.len();
        let usable = |row: &&TrainingRow| {
            row.x.len() == features
                && row
                    .x
                    .iter()
                    .chain([&row.quality, &row.expected, &row.weight])
                    .all(|value| value.is_finite())
                && row.weight > 0.0
        };
        let mut rows: Vec<&TrainingRow> = rows.iter().filter(usable).collect();
        fastrand::Rng::with_seed(seed).shuffle(&mut rows);
        let mut arms: Vec<String> = rows.iter().map(|row| row.arm.clone()).collect();
        arms.sort();
        arms.dedup();
        let mut model = Self { version: VERSION, arms, features, trees: Vec::new(), held_out_errors: None };
        let held_out = (rows.len() as f64 * settings.held_out.clamp(0.0, 0.5)) as usize;
        let (held_out, training) = rows.split_at(held_out);
        if training.is_empty() {
            return None;
        }
        model.boost(&Sample::of(&model, training), &Sample::of(&model, held_out), settings);
        Some(model)
    }

    /// By how much the quality of each of `arms` for the features `x` differs from what is expected without the trees,
    /// in [-1, 1]. Of an arm that was not in the log nothing is known: 0.
    pub fn corrections<'a>(&self, arms: impl IntoIterator<Item = &'a str>, x: &[f64]) -> Vec<f64> {
        let mut encoded = self.encode(None, x);
        let correction = |arm: &str| {
            if !self.arms.iter().any(|known| known == arm) {
                return 0.0;
            }
            for (place, known) in self.arms.iter().enumerate() {
                encoded[self.features + place] = f64::from(u8::from(known == arm));
            }
            self.trees.iter().map(|tree| tree.predict(&encoded)).sum::<f64>().clamp(-1.0, 1.0)
        };
        arms.into_iter().map(correction).collect()
    }

    /// How long the vectors of features are that it was trained on.
    pub fn features(&self) -> usize {
        self.features
    }

    /// How many trees there are.
    pub fn trees(&self) -> usize {
        self.trees.len()
    }

    /// The mean squared error on the rows that were held out: of what was expected, and with the trees.
    pub fn held_out_errors(&self) -> Option<(f64, f64)> {
        self.held_out_errors
    }

    /// In how many splits each feature decides, by its place; the arm counts as the place after the last one.
    pub fn importance(&self) -> BTreeMap<usize, usize> {
        let mut splits = BTreeMap::new();
        for node in self.trees.iter().flat_map(|tree| &tree.nodes) {
            if let Node::Split { feature, .. } = node {
                *splits.entry((*feature).min(self.features)).or_default() += 1;
            }
        }
        splits
    }

    /// The model as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// A stored model; `None` where it is of another form.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok().filter(|model: &Self| model.version == VERSION)
    }

    /// The features, then a 1 in the place of the arm.
    fn encode(&self, arm: Option<&str>, x: &[f64]) -> Vec<f64> {
        let mut encoded: Vec<f64> = x.iter().copied().take(self.features).collect();
        encoded.resize(self.features, 0.0);
        encoded.extend(self.arms.iter().map(|known| f64::from(u8::from(Some(known.as_str()) == arm))));
        encoded
    }

    fn boost(&mut self, training: &Sample, held_out: &Sample, settings: TreeSettings) {
        let bins = Bins::of(&training.x);
        let grower = Grower::new(&bins, &training.weights, settings);
        let mut residuals = training.residuals.clone();
        let mut held = held_out.residuals.clone();
        let start = held_out.error(&held);
        let (mut least, mut best) = (start, 0);
        for _ in 0..settings.trees {
            let tree = grower.grow(&residuals);
            training.subtract(&tree, &mut residuals);
            held_out.subtract(&tree, &mut held);
            self.trees.push(tree);
            let error = held_out.error(&held);
            if held.is_empty() || error < least {
                (least, best) = (error, self.trees.len());
            } else if self.trees.len() - best >= settings.patience.max(1) {
                break;
            }
        }
        self.trees.truncate(best);
        self.held_out_errors = (!held.is_empty()).then_some((start, least));
    }
}

/// Rows with the arm among the features.
struct Sample {
    x: Vec<Vec<f64>>,
    residuals: Vec<f64>,
    weights: Vec<f64>,
}

impl Sample {
    fn of(model: &BoostedTrees, rows: &[&TrainingRow]) -> Self {
        Self {
            x: rows.iter().map(|row| model.encode(Some(&row.arm), &row.x)).collect(),
            residuals: rows.iter().map(|row| row.quality.clamp(0.0, 1.0) - row.expected).collect(),
            weights: rows.iter().map(|row| row.weight).collect(),
        }
    }

    fn subtract(&self, tree: &Tree, residuals: &mut [f64]) {
        for (residual, x) in residuals.iter_mut().zip(&self.x) {
            *residual -= tree.predict(x);
        }
    }

    fn error(&self, residuals: &[f64]) -> f64 {
        let weight: f64 = self.weights.iter().sum();
        let squares =
            residuals.iter().zip(&self.weights).map(|(residual, weight)| weight * residual * residual);
        squares.sum::<f64>() / weight.max(f64::MIN_POSITIVE)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::{prop_assert, proptest};

    use super::*;

    /// `wide` is good for large values of the first feature and `narrow` for small ones, with noise.
    fn rows(count: usize, noise: f64, seed: u64) -> Vec<TrainingRow> {
        let mut random = fastrand::Rng::with_seed(seed);
        let row = |place: usize| {
            let x = vec![1.0, random.f64(), random.f64()];
            let wide = place.is_multiple_of(2);
            let good = (x[1] > 0.5) == wide;
            let quality = (if good { 0.8 } else { 0.3 }) + noise * (random.f64() - 0.5);
            let arm = if wide { "wide" } else { "narrow" }.to_owned();
            TrainingRow { arm, x, quality: quality.clamp(0.0, 1.0), expected: 0.55, weight: 1.0 }
        };
        (0..count).map(row).collect()
    }

    fn predict(model: &BoostedTrees, arm: &str, x: &[f64], expected: f64) -> f64 {
        expected + model.corrections([arm], x)[0]
    }

    #[test]
    fn trees_find_which_arm_fits_which_query() {
        let model = BoostedTrees::fit(&rows(2_000, 0.8, 1), TreeSettings::default(), 7).unwrap();
        for (arm, value, expected) in
            [("wide", 0.9, 0.8), ("wide", 0.1, 0.3), ("narrow", 0.9, 0.3), ("narrow", 0.1, 0.8)]
        {
            let found = predict(&model, arm, &[1.0, value, 0.5], 0.55);
            assert!((found - expected).abs() < 0.08, "{arm} at {value}: {found}, not {expected}");
        }
        let (before, after) = model.held_out_errors().unwrap();
        assert!(after < 0.6 * before, "{after} {before}");
        let importance = model.importance();
        assert!(importance[&1] > importance.get(&2).copied().unwrap_or(0), "{importance:?}");
    }

    #[test]
    fn noise_alone_grows_next_to_nothing() {
        let mut rows = rows(600, 0.0, 2);
        let mut random = fastrand::Rng::with_seed(3);
        rows.iter_mut()
            .for_each(|row| (row.quality, row.expected) = (f64::from(u8::from(random.bool())), 0.5));
        let model = BoostedTrees::fit(&rows, TreeSettings::default(), 7).unwrap();
        assert!(model.trees() < 15, "{}", model.trees());
        let spread = (0..10).map(|place| predict(&model, "wide", &[1.0, f64::from(place) / 10.0, 0.5], 0.5));
        assert!(spread.into_iter().all(|value| (value - 0.5).abs() < 0.15));
    }

    #[test]
    fn a_model_is_the_same_for_the_same_seed_and_after_storing() {
        let rows = rows(300, 0.4, 4);
        let model = BoostedTrees::fit(&rows, TreeSettings::default(), 7).unwrap();
        assert_eq!(BoostedTrees::fit(&rows, TreeSettings::default(), 7), Some(model.clone()));
        let restored = BoostedTrees::from_bytes(&model.to_bytes()).unwrap();
        let x = [1.0, 0.3, 0.9];
        assert_eq!(restored.corrections(["wide", "other"], &x), model.corrections(["wide", "other"], &x));
        assert_eq!(BoostedTrees::from_bytes(b"{}"), None);
        assert_eq!(BoostedTrees::fit(&[], TreeSettings::default(), 7), None);
    }

    proptest! {
        #[test]
        fn corrections_stay_in_their_range_whatever_the_rows(
            values in vec((-1e6f64..1e6, -2.0f64..2.0, 0.0f64..3.0), 1..60), depth in 0usize..6, x in vec(-1e9f64..1e9, 0..4),
        ) {
            let row = |(x, quality, weight): &(f64, f64, f64)| TrainingRow {
                arm: if *x > 0.0 { "a" } else { "b" }.to_owned(), x: vec![*x, quality * 3.0], quality: *quality, expected: 0.5, weight: *weight,
            };
            let rows: Vec<TrainingRow> = values.iter().map(row).collect();
            let settings = TreeSettings { depth, trees: 10, least_rows: 2, ..TreeSettings::default() };
            if let Some(model) = BoostedTrees::fit(&rows, settings, 1) {
                for correction in model.corrections(["a", "b", "c"], &x) {
                    prop_assert!((-1.0..=1.0).contains(&correction));
                }
            }
        }
    }
}
