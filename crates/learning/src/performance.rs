//! How well each strategy has done: a running mean, as a fold over the outcome log.

use std::collections::BTreeMap;

use burnish_types::{Judgement, Money, Prediction, Strategy};
use serde::{Deserialize, Serialize};

/// What one strategy is expected to do before any outcome: as good as a coin, counted as this many outcomes.
const PRIOR_OUTCOMES: f64 = 2.0;
const PRIOR_QUALITY: f64 = 0.5;

/// The quality in [0, 1] that a judgement reports of the whole answer; `None` where it speaks of less.
///
/// That a shown passage does not hold the answer says nothing of the others, so it is no quality.
pub fn quality(judgement: &Judgement) -> Option<f64> {
    match judgement {
        Judgement::Thumb { up } => Some(f64::from(*up)),
        Judgement::Score { value } => Some(value.clamp(0.0, 1.0)),
        Judgement::Passage { correct: true, .. } => Some(1.0),
        Judgement::Cited { .. } => Some(1.0),
        Judgement::Completed { done } => Some(f64::from(*done)),
        Judgement::AskedAgain => Some(0.0),
        Judgement::Supported { value } => Some(value.clamp(0.0, 1.0)),
        Judgement::Passage { correct: false, .. } | Judgement::Opened { .. } => None,
    }
}

/// Sums by strategy. Sums add, so the states of replicas that saw different outcomes can be merged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Performance {
    strategies: BTreeMap<Strategy, Sums>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Sums {
    outcomes: u64,
    quality: f64,
    quality_squared: f64,
}

impl Performance {
    /// Folds in one outcome of a request that `strategy` served.
    pub fn observe(&mut self, strategy: &Strategy, judgement: &Judgement) {
        if let Some(quality) = quality(judgement) {
            let sums = self.strategies.entry(strategy.clone()).or_default();
            sums.outcomes += 1;
            sums.quality += quality;
            sums.quality_squared += quality * quality;
        }
    }

    /// Adds what another replica saw.
    pub fn merge(&mut self, other: &Self) {
        for (strategy, more) in &other.strategies {
            let sums = self.strategies.entry(strategy.clone()).or_default();
            sums.outcomes += more.outcomes;
            sums.quality += more.quality;
            sums.quality_squared += more.quality_squared;
        }
    }

    /// The mean with the prior counted in, the standard deviation of that mean, and the latency as given: it
    /// is of the machine that runs now, and no outcome reports it.
    pub fn predict(&self, strategy: &Strategy, latency_ms: f64) -> Prediction {
        let sums = self.strategies.get(strategy).copied().unwrap_or_default();
        let weight = sums.outcomes as f64 + PRIOR_OUTCOMES;
        let mean = (sums.quality + PRIOR_OUTCOMES * PRIOR_QUALITY) / weight;
        // The prior's outcomes are half 0 and half 1, so they add half their number to the squares.
        let squares = (sums.quality_squared + PRIOR_OUTCOMES * 0.5) / weight;
        let variance = (squares - mean * mean).max(0.0);
        Prediction {
            quality: mean,
            quality_deviation: (variance / weight).sqrt(),
            latency_ms,
            cost: Money::ZERO,
            outcomes: sums.outcomes,
        }
    }

    /// The state as bytes for a snapshot.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The state of a snapshot; `None` where it is of another form, so that the log is folded anew.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use burnish_types::{ChunkId, Judgement, Strategy};
    use proptest::collection::vec;
    use proptest::prelude::any;
    use proptest::{prop_assert, prop_assert_eq, proptest};

    use super::Performance;

    #[test]
    fn predictions_move_from_the_prior_to_the_mean() {
        let strategy = Strategy::new("hybrid");
        let mut performance = Performance::default();
        assert_eq!(performance.predict(&strategy, 0.0).quality, 0.5);
        for _ in 0..98 {
            performance.observe(&strategy, &Judgement::Thumb { up: true });
        }
        performance.observe(&strategy, &Judgement::Passage { chunk: ChunkId(1), correct: false });
        let prediction = performance.predict(&strategy, 0.0);
        assert_eq!((prediction.quality, prediction.outcomes), (0.99, 98));
        assert!(prediction.quality_deviation < 0.02);
        assert_eq!(performance.predict(&Strategy::new("sparse"), 0.0).outcomes, 0);
    }

    fn log() -> impl proptest::strategy::Strategy<Value = Vec<(bool, f64)>> {
        vec((any::<bool>(), 0.0f64..=1.0), 0..60)
    }

    fn fold(log: &[(bool, f64)]) -> Performance {
        let mut performance = Performance::default();
        for &(first, value) in log {
            let strategy = Strategy::new(if first { "sparse" } else { "dense" });
            performance.observe(&strategy, &Judgement::Score { value });
        }
        performance
    }

    proptest! {
        #[test]
        fn two_halves_merged_are_the_whole(log in log(), cut in 0usize..60) {
            let cut = cut.min(log.len());
            let mut merged = fold(&log[..cut]);
            merged.merge(&fold(&log[cut..]));
            let whole = fold(&log);
            for name in ["sparse", "dense"] {
                let strategy = Strategy::new(name);
                let (merged, whole) = (merged.predict(&strategy, 0.0), whole.predict(&strategy, 0.0));
                prop_assert_eq!(merged.outcomes, whole.outcomes);
                prop_assert!((merged.quality - whole.quality).abs() < 1e-9);
            }
        }

        #[test]
        fn snapshots_keep_everything(log in log()) {
            let performance = fold(&log);
            prop_assert_eq!(Performance::from_bytes(&performance.to_bytes()), Some(performance));
        }
    }
}
