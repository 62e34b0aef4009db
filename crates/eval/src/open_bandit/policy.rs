//! A policy's mean distribution over items at each position, from what it showed.

use std::collections::{BTreeMap, BTreeSet};

use super::{BanditLog, Impression};

/// How far two logged probabilities may lie apart, relative to themselves, and be the same.
const SAME: f64 = 1e-9;

/// The probability of each item at each position, over the time of a log.
pub(super) struct MeanPolicy {
    by_position: BTreeMap<u32, Vec<f64>>,
}

/// The items that either log shows, ascending.
pub(super) fn items(log: &BanditLog, target: &BanditLog) -> Vec<u32> {
    let shown = log.impressions.iter().chain(&target.impressions).map(|shown| shown.item);
    shown.collect::<BTreeSet<_>>().into_iter().collect()
}

impl MeanPolicy {
    /// The policy that made `log`, over `items`, which ascend.
    pub(super) fn of(log: &BanditLog, items: &[u32]) -> Self {
        let by_position = fixed(&log.impressions, items).unwrap_or_else(|| shares(&log.impressions, items));
        Self { by_position }
    }

    /// The items' probabilities at a position; `None` where nothing was shown there.
    pub(super) fn at(&self, position: u32) -> Option<&[f64]> {
        self.by_position.get(&position).map(Vec::as_slice)
    }
}

/// The logged probabilities, where they never change. What is left to 1 is shared by the items not shown.
fn fixed(shown: &[Impression], items: &[u32]) -> Option<BTreeMap<u32, Vec<f64>>> {
    let mut logged: BTreeMap<(u32, u32), f64> = BTreeMap::new();
    for impression in shown {
        let first = logged.entry((impression.position, impression.item)).or_insert(impression.propensity);
        if (*first - impression.propensity).abs() > SAME * *first {
            return None;
        }
    }
    let positions: BTreeSet<u32> = shown.iter().map(|shown| shown.position).collect();
    let distribution = |position: u32| {
        let known: Vec<Option<f64>> =
            items.iter().map(|item| logged.get(&(position, *item)).copied()).collect();
        let sum: f64 = known.iter().flatten().sum();
        let unknown = known.iter().filter(|probability| probability.is_none()).count();
        let rest = (1.0 - sum).max(0.0) / unknown.max(1) as f64;
        normalised(known.into_iter().map(|probability| probability.unwrap_or(rest)).collect())
    };
    Some(positions.into_iter().map(|position| (position, distribution(position))).collect())
}

/// How often each item was shown at each position, as if as many more rows as there are items had followed the
/// items' shares at all positions, and in those each item had been shown once more.
fn shares(shown: &[Impression], items: &[u32]) -> BTreeMap<u32, Vec<f64>> {
    let mut counts: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for impression in shown {
        let row = counts.entry(impression.position).or_insert_with(|| vec![0.0; items.len()]);
        if let Ok(item) = items.binary_search(&impression.item) {
            row[item] += 1.0;
        }
    }
    let total = (shown.len() + items.len()) as f64;
    let overall: Vec<f64> = (0..items.len())
        .map(|item| (1.0 + counts.values().map(|row| row[item]).sum::<f64>()) / total)
        .collect();
    let prior = items.len() as f64;
    for row in counts.values_mut() {
        let smoothed = row.iter().zip(&overall).map(|(count, share)| count + prior * share).collect();
        *row = normalised(smoothed);
    }
    counts
}

fn normalised(mut weights: Vec<f64>) -> Vec<f64> {
    let sum: f64 = weights.iter().sum();
    for weight in &mut weights {
        *weight /= sum;
    }
    weights
}
