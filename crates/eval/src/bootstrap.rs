//! Means with the percentile bootstrap's 95 % interval (Efron 1979), over queries, seeded.

use fastrand::Rng;
use serde::Serialize;

use crate::EvalError;

/// How many times the queries are drawn again; the interval's ends then stand at ranks 50 and 1,950.
const RESAMPLES: usize = 2_000;

/// A mean over queries with what it rests on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct MeanInterval {
    /// The mean.
    pub mean: f64,
    /// The interval that holds the mean of such queries with 95 % confidence.
    pub ci95: [f64; 2],
    /// How many queries there were.
    pub n: usize,
}

/// The mean of `values`, one a query; `None` where there are none. The same seed gives the same interval.
pub fn mean(values: &[f64], seed: u64) -> Option<MeanInterval> {
    if values.is_empty() {
        return None;
    }
    let mut random = Rng::with_seed(seed);
    let mut means: Vec<f64> = (0..RESAMPLES).map(|_| resampled_mean(values, &mut random)).collect();
    means.sort_unstable_by(f64::total_cmp);
    let ci95 = [quantile(&means, 0.025), quantile(&means, 0.975)];
    Some(MeanInterval { mean: values.iter().sum::<f64>() / values.len() as f64, ci95, n: values.len() })
}

/// The mean of `left − right`, query by query, which is narrower than the two means' intervals suggest.
///
/// # Errors
/// If the two differ in length.
pub fn paired_difference(left: &[f64], right: &[f64], seed: u64) -> Result<Option<MeanInterval>, EvalError> {
    if left.len() != right.len() {
        return Err(EvalError::Unpaired { left: left.len(), right: right.len() });
    }
    let differences: Vec<f64> = left.iter().zip(right).map(|(left, right)| left - right).collect();
    Ok(mean(&differences, seed))
}

fn resampled_mean(values: &[f64], random: &mut Rng) -> f64 {
    let sum: f64 = (0..values.len()).map(|_| values[random.usize(..values.len())]).sum();
    sum / values.len() as f64
}

/// Linear between the two nearest ranks (Hyndman and Fan's type 7). `sorted` is not empty.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * (place - place.floor())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn intervals_match_the_normal_approximation() {
        // 400 coins with 100 heads: the standard error of the mean is sqrt(0.25 · 0.75 / 400) = 0.02165.
        let coins: Vec<f64> = (0..400).map(|i| f64::from(u8::from(i % 4 == 0))).collect();
        let interval = mean(&coins, 7).unwrap();
        assert_eq!((interval.mean, interval.n), (0.25, 400));
        assert!((interval.ci95[0] - (0.25 - 1.96 * 0.02165)).abs() < 0.006, "{interval:?}");
        assert!((interval.ci95[1] - (0.25 + 1.96 * 0.02165)).abs() < 0.006, "{interval:?}");
        assert_eq!(mean(&coins, 7), mean(&coins, 7));
        assert_ne!(mean(&coins, 7), mean(&coins, 8));
    }

    #[test]
    fn pairing_removes_what_both_share() {
        let right: Vec<f64> = (0..50).map(|i| f64::from(i % 2)).collect();
        let left: Vec<f64> = right.iter().map(|value| value + 0.125).collect();
        let difference = paired_difference(&left, &right, 1).unwrap().unwrap();
        assert_eq!(difference, MeanInterval { mean: 0.125, ci95: [0.125, 0.125], n: 50 });
        assert!(matches!(
            paired_difference(&left, &right[1..], 1),
            Err(EvalError::Unpaired { left: 50, right: 49 })
        ));
    }

    #[test]
    fn nothing_has_no_mean_and_one_value_has_no_width() {
        assert_eq!(mean(&[], 0), None);
        assert_eq!(mean(&[0.5], 0), Some(MeanInterval { mean: 0.5, ci95: [0.5, 0.5], n: 1 }));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn intervals_lie_within_the_values(values in proptest::collection::vec(0.0..1.0f64, 1..30), seed: u64) {
            let interval = mean(&values, seed).unwrap();
            let [low, high] = interval.ci95;
            let least = values.iter().copied().fold(f64::INFINITY, f64::min);
            let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            prop_assert!(least - 1e-12 <= low && low <= high && high <= most + 1e-12);
        }
    }
}
