//! Percentile bootstrap intervals (Efron 1979) of means and of ratios of means.

use fastrand::Rng;

/// How many times the rows are drawn again.
const RESAMPLES: usize = 2_000;

/// The 95 % interval of the mean of `values`, which are not empty.
pub(super) fn of_mean(values: &[f64], seed: u64) -> [f64; 2] {
    let draw = |random: &mut Rng| {
        let sum: f64 = (0..values.len()).map(|_| values[random.usize(..values.len())]).sum();
        sum / values.len() as f64
    };
    interval(draw, seed)
}

/// The 95 % interval of the sum of `numerators` over that of `denominators`, drawn in pairs. The denominators are
/// not negative, and not all zero.
pub(super) fn of_ratio(numerators: &[f64], denominators: &[f64], seed: u64) -> [f64; 2] {
    let pairs: Vec<(f64, f64)> = numerators.iter().copied().zip(denominators.iter().copied()).collect();
    let draw = |random: &mut Rng| {
        let (above, below) = (0..pairs.len())
            .map(|_| pairs[random.usize(..pairs.len())])
            .fold((0.0, 0.0), |(above, below), (numerator, denominator)| {
                (above + numerator, below + denominator)
            });
        above / below
    };
    interval(draw, seed)
}

fn interval(mut draw: impl FnMut(&mut Rng) -> f64, seed: u64) -> [f64; 2] {
    let mut random = Rng::with_seed(seed);
    // A resample in which every weight is zero has no ratio, and says nothing.
    let mut drawn: Vec<f64> =
        (0..RESAMPLES).map(|_| draw(&mut random)).filter(|value| value.is_finite()).collect();
    drawn.sort_unstable_by(f64::total_cmp);
    [quantile(&drawn, 0.025), quantile(&drawn, 0.975)]
}

/// Linear between the two nearest ranks (Hyndman and Fan's type 7); not a number where nothing was drawn.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * sorted.len().saturating_sub(1) as f64;
    let at = |rank: f64| sorted.get(rank as usize).copied().unwrap_or(f64::NAN);
    let (below, above) = (at(place.floor()), at(place.ceil()));
    below + (above - below) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_match_the_normal_approximation() {
        // 400 coins with 100 heads: the standard error of the mean is sqrt(0.25 · 0.75 / 400) = 0.02165.
        let coins: Vec<f64> = (0..400).map(|i| f64::from(u8::from(i % 4 == 0))).collect();
        let [low, high] = of_mean(&coins, 7);
        assert!((low - 0.2076).abs() < 0.006 && (high - 0.2924).abs() < 0.006, "{low} {high}");
        assert_eq!(of_mean(&coins, 7), of_mean(&coins, 7));
        assert_eq!(of_ratio(&coins, &[1.0; 400], 7), of_mean(&coins, 7));
        // The ratio of what varies together does not vary.
        let doubled: Vec<f64> = coins.iter().map(|coin| 2.0 * coin + 2.0).collect();
        let halves: Vec<f64> = coins.iter().map(|coin| coin + 1.0).collect();
        assert_eq!(of_ratio(&doubled, &halves, 7), [2.0, 2.0]);
    }
}
