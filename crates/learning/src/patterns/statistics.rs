//! Means of rows that come in groups, how they differ, and which of many differences may be believed.

/// Quality lies in [0, 1]: rows of it that happen to be equal are not known to be so for ever. Each sum of squares is
/// counted as having one group more, whose rows are this far off.
const PRIOR_DEVIATION: f64 = 0.5;

/// Rows that are summed by group: rows of one group, such as the same question asked again, are not independent.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sample {
    /// The sum and the number of the rows of each group.
    groups: Vec<(f64, f64)>,
    rows: usize,
}

/// A mean with its standard error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Moment {
    pub(super) mean: f64,
    pub(super) variance: f64,
    /// One less than the groups.
    pub(super) freedom: f64,
}

impl Sample {
    /// Rows as pairs of group and value, those of one group next to each other.
    pub(super) fn new(rows: impl IntoIterator<Item = (usize, f64)>) -> Self {
        let mut sample = Self::default();
        let mut last = None;
        for (group, value) in rows {
            if last != Some(group) {
                sample.groups.push((0.0, 0.0));
                last = Some(group);
            }
            if let Some((sum, count)) = sample.groups.last_mut() {
                *sum += value;
                *count += 1.0;
            }
            sample.rows += 1;
        }
        sample
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn groups(&self) -> usize {
        self.groups.len()
    }

    /// The mean over rows, with the variance that it has over groups (the ratio estimator's, linearised).
    pub(super) fn moment(&self) -> Option<Moment> {
        let groups = self.groups.len() as f64;
        if groups < 2.0 {
            return None;
        }
        let rows = self.rows as f64;
        let mean = self.groups.iter().map(|(sum, _)| sum).sum::<f64>() / rows;
        let squares: f64 = self.groups.iter().map(|(sum, count)| (sum - mean * count).powi(2)).sum();
        let squares = squares + (PRIOR_DEVIATION * rows / groups).powi(2);
        Some(Moment {
            mean,
            variance: squares * groups / (groups - 1.0) / (rows * rows),
            freedom: groups - 1.0,
        })
    }
}

impl Moment {
    /// The mean of this less that of another.
    pub(super) fn less(&self, other: &Self) -> Self {
        Self {
            mean: self.mean - other.mean,
            variance: self.variance + other.variance,
            // Welch's lies between the smaller one and the sum of both.
            freedom: self.freedom.min(other.freedom),
        }
    }

    /// The probability of a mean at least so far from 0 where the true one is 0 (Student's t, both sides).
    pub(super) fn p_value(&self) -> f64 {
        (2.0 * normal_above(normal_of_t(self.mean.abs() / self.variance.sqrt(), self.freedom))).min(1.0)
    }

    /// The interval that misses the true mean with the probability `miss`.
    pub(super) fn interval(&self, miss: f64) -> [f64; 2] {
        let reach = t_of_normal(normal_quantile_above(miss / 2.0), self.freedom) * self.variance.sqrt();
        [self.mean - reach, self.mean + reach]
    }
}

/// Which of the tests with these p-values may be believed so that in the mean at most the share `rate` of them is
/// wrong (Benjamini and Hochberg 1995, procedure 1).
pub(super) fn believed(p_values: &[f64], rate: f64) -> Vec<bool> {
    let mut sorted = p_values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let tests = p_values.len().max(1) as f64;
    let limit =
        sorted.iter().enumerate().rev().find(|(place, p)| **p <= rate * (*place as f64 + 1.0) / tests);
    p_values.iter().map(|p| limit.is_some_and(|(_, limit)| p <= limit)).collect()
}

/// The normal quantile that is exceeded as often as `t` is by Student's t (Wallace 1959, equation 5.2).
fn normal_of_t(t: f64, freedom: f64) -> f64 {
    (8.0 * freedom + 1.0) / (8.0 * freedom + 3.0) * (freedom * (t * t / freedom).ln_1p()).sqrt()
}

/// The inverse of [`normal_of_t`].
fn t_of_normal(z: f64, freedom: f64) -> f64 {
    let scaled = z * (8.0 * freedom + 3.0) / (8.0 * freedom + 1.0);
    (freedom * (scaled * scaled / freedom).exp_m1()).sqrt()
}

/// How often a standard normal value exceeds `z`, of at least 0 (Numerical Recipes, `erfcc`: within 1.2e-7 of it).
pub(crate) fn normal_above(z: f64) -> f64 {
    const COEFFICIENTS: [f64; 10] = [
        -1.265_512_23,
        1.000_023_68,
        0.374_091_96,
        0.096_784_18,
        -0.186_288_06,
        0.278_868_07,
        -1.135_203_98,
        1.488_515_87,
        -0.822_152_23,
        0.170_872_77,
    ];
    let x = z.max(0.0) / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.5 * x);
    let series = COEFFICIENTS.iter().rev().fold(0.0, |sum, coefficient| sum * t + coefficient);
    0.5 * t * (series - x * x).exp()
}

/// The value that a standard normal one exceeds with the probability `share`, in (0, 0.5].
pub(crate) fn normal_quantile_above(share: f64) -> f64 {
    let (mut low, mut high) = (0.0, 38.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if normal_above(middle) > share { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_and_quantiles_are_those_of_the_tables() {
        for (z, above) in [(0.0, 0.5), (1.0, 0.158_655), (1.959_964, 0.025), (3.0, 0.001_349_9)] {
            assert!((normal_above(z) - above).abs() < 2e-6, "{z}");
            assert!((normal_quantile_above(above) - z).abs() < 1e-4, "{above}");
        }
        for (freedom, t) in [(5.0, 2.570_6), (10.0, 2.228_1), (30.0, 2.042_3), (1_000.0, 1.962_3)] {
            assert!((t_of_normal(1.959_964, freedom) - t).abs() < 0.01, "{freedom}");
            assert!((normal_of_t(t, freedom) - 1.96).abs() < 0.01, "{freedom}");
        }
    }

    #[test]
    fn a_question_asked_again_and_again_counts_once() {
        let values = [0.1, 0.9, 0.4, 0.6, 0.3, 0.8];
        let once = Sample::new(values.into_iter().enumerate()).moment().unwrap();
        let often = Sample::new(values.into_iter().enumerate().flat_map(|row| [row; 50])).moment().unwrap();
        assert!((once.mean - often.mean).abs() < 1e-12);
        assert!(often.variance > 0.7 * once.variance, "{once:?} {often:?}");
        assert_eq!(Sample::new([(0, 1.0)]).moment(), None);
        // Equal outcomes do not make certain.
        let equal = Sample::new((0..20).map(|group| (group, 1.0))).moment().unwrap();
        assert!(equal.interval(0.05)[0] < 0.97, "{equal:?}");
    }

    #[test]
    fn the_step_up_procedure_is_that_of_the_paper() {
        // Benjamini and Hochberg 1995, section 3.2: four of fifteen are rejected at 0.05.
        let p = [
            0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719,
            0.6528, 0.7590, 1.0000,
        ];
        assert_eq!(believed(&p, 0.05).iter().filter(|believed| **believed).count(), 4);
        assert!(believed(&[], 0.05).is_empty());
    }
}
