//! Seeing that outcomes are no longer what they were: ADWIN, and beside it a sharper likelihood ratio over the
//! same window.

use serde::{Deserialize, Serialize};

/// Buckets of one size before the two oldest are merged (Bifet & Gavaldà 2007, section 4: `M`).
const BUCKETS_OF_A_SIZE: usize = 5;
/// Values lie in [−1, 1], and ADWIN's bound is for values in [0, 1].
const RANGE: f64 = 2.0;
/// The likelihood ratio knows what was normal only after this many values.
const FEWEST_BEFORE: f64 = 20.0;
/// Variance that the values before are counted as having once, lest equal values look certain.
const PRIOR_VARIANCE: f64 = 0.25;
const LEAST_VARIANCE: f64 = 1e-3;
/// The log-likelihood ratio that sounds a false alarm in at most a share `CALIBRATED_AT` of stationary streams of 10,000
/// values; measured, as is the slack (docs/measurements.md).
const CALIBRATED_RATIO: f64 = 8.5;
const CALIBRATED_AT: f64 = 0.02;
/// A rise has to be this much more certain than a drop, in nats.
const RISE_SURCHARGE: f64 = 2.5;
/// What a lattice of few values adds to the deviation that chance reaches, times the ratio over the number of values.
const LATTICE_SLACK: f64 = 0.3;

/// How careful the detectors are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DriftSettings {
    /// ADWIN's δ in (0, 1): its bound on false alarms, which holds for any values in [−1, 1].
    pub delta: f64,
    /// In what share, in (0, 1), of stationary streams of 10,000 values the likelihood ratio may alarm; a measured
    /// figure, not a bound.
    pub false_alarms: f64,
}

impl Default for DriftSettings {
    fn default() -> Self {
        Self { delta: 0.002, false_alarms: 0.02 }
    }
}

/// Who saw the change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Detector {
    /// ADWIN, with its bound by the variance (Bifet & Gavaldà 2007, section 3.2, equation 3.1).
    Adwin,
    /// The likelihood ratio.
    Ratio,
}

/// The window was cut: what is older than the change is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cut {
    /// Who saw the change; ADWIN, where both did.
    pub detector: Detector,
    /// The mean before the change.
    pub before: f64,
    /// The mean since.
    pub after: f64,
    /// How many values were dropped.
    pub dropped: u64,
    /// How many are left.
    pub kept: u64,
}

/// A window of values that is as long as they stay alike, in memory that grows as the logarithm of its length.
///
/// The values are kept as ADWIN2's exponential histogram. After each, every boundary between two buckets is
/// taken for the time of a change and the means on both sides are compared, twice:
///
/// - as ADWIN does, whose bound is rigorous and therefore late;
/// - by the likelihood ratio of two normal means with the older side's variance, with the corrections for skewness
///   and lattice that values of few levels need, at a threshold that is calibrated for false alarms. It finds
///   drops in about half the outcomes. Among the detectors that were measured are betting e-detectors (Shin, Ramdas &
///   Rinaldo 2022): they were not quicker at equal false alarms, and need a baseline that the change has not touched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    settings: DriftSettings,
    /// Buckets of 2^row values, the oldest first.
    rows: Vec<Vec<Bucket>>,
    total: Bucket,
}

/// Sums of the powers of some values; sums add, so buckets merge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Bucket {
    count: f64,
    sum: f64,
    squares: f64,
    cubes: f64,
}

impl Bucket {
    fn of(value: f64) -> Self {
        Self { count: 1.0, sum: value, squares: value * value, cubes: value.powi(3) }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            sum: self.sum + other.sum,
            squares: self.squares + other.squares,
            cubes: self.cubes + other.cubes,
        }
    }

    fn minus(self, other: Self) -> Self {
        self.plus(Self { count: -other.count, sum: -other.sum, squares: -other.squares, cubes: -other.cubes })
    }

    fn mean(&self) -> f64 {
        self.sum / self.count
    }

    fn squared_deviations(&self) -> f64 {
        (self.squares - self.sum * self.mean()).max(0.0)
    }

    /// The third central moment over the variance: a sixth of it is what skewness adds to a quantile, per z² / n.
    fn skew(&self, variance: f64) -> f64 {
        let mean = self.mean();
        let third = (self.cubes - 3.0 * mean * self.squares) / self.count + 2.0 * mean.powi(3);
        (third / variance).clamp(-1.0, 1.0)
    }
}

impl Default for Drift {
    fn default() -> Self {
        Self::new(DriftSettings::default())
    }
}

impl Drift {
    /// An empty window. Settings out of range are brought to the nearest that makes sense.
    pub fn new(settings: DriftSettings) -> Self {
        let share =
            |share: f64, otherwise: f64| if share.is_nan() { otherwise } else { share.clamp(1e-12, 0.5) };
        let default = DriftSettings::default();
        Self {
            settings: DriftSettings {
                delta: share(settings.delta, default.delta),
                false_alarms: share(settings.false_alarms, default.false_alarms),
            },
            rows: vec![Vec::new()],
            total: Bucket::default(),
        }
    }

    /// Takes in the next value, such as observed less predicted quality, and says whether the window was cut.
    ///
    /// A value beyond [−1, 1] counts as the nearest end; what is no number is passed over.
    pub fn insert(&mut self, value: f64) -> Option<Cut> {
        if value.is_nan() {
            return None;
        }
        let bucket = Bucket::of(value.clamp(-1.0, 1.0));
        self.total = self.total.plus(bucket);
        self.rows[0].push(bucket);
        self.merge_buckets();
        let (detector, before) = self.find_change()?;
        Some(self.cut(detector, before))
    }

    /// How many values the window holds.
    pub fn len(&self) -> u64 {
        self.total.count as u64
    }

    /// Whether the window holds no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The mean of the window; `None` where it is empty.
    pub fn mean(&self) -> Option<f64> {
        (!self.is_empty()).then(|| self.total.mean())
    }

    fn merge_buckets(&mut self) {
        let mut row = 0;
        while self.rows[row].len() > BUCKETS_OF_A_SIZE {
            let oldest: Vec<Bucket> = self.rows[row].drain(..2).collect();
            if self.rows.len() == row + 1 {
                self.rows.push(Vec::new());
            }
            row += 1;
            self.rows[row].push(oldest[0].plus(oldest[1]));
        }
    }

    /// The boundary where the two sides differ most beyond what chance explains, as the sum of what lies before it.
    fn find_change(&self) -> Option<(Detector, Bucket)> {
        let adwin = ((2.0 * self.total.count.ln().max(1.0)) / self.settings.delta).ln();
        let drop = CALIBRATED_RATIO + (CALIBRATED_AT / self.settings.false_alarms).ln();
        let window_variance = self.total.squared_deviations() / self.total.count;
        let mut before = Bucket::default();
        let mut found: Option<(Detector, Bucket, f64)> = None;
        for &bucket in self.rows.iter().rev().flatten() {
            before = before.plus(bucket);
            let after = self.total.count - before.count;
            if after < 1.0 {
                break;
            }
            let rise = self.total.minus(before).sum / after - before.mean();
            // The harmonic mean of both counts, halved.
            let pairs = before.count * after / self.total.count;
            let mut compare = |detector: Detector, bound: f64| {
                let excess = rise.abs() / bound;
                // ADWIN comes first and keeps its name, for its alarm is the more certain one.
                let is_more = found.is_none_or(|(other, _, most)| {
                    (detector == Detector::Adwin, excess) > (other == Detector::Adwin, most)
                });
                if excess > 1.0 && is_more {
                    found = Some((detector, before, excess));
                }
            };
            compare(Detector::Adwin, adwin_bound(window_variance, pairs, adwin));
            if before.count >= FEWEST_BEFORE {
                compare(Detector::Ratio, ratio_bound(&before, pairs, drop, rise));
            }
        }
        found.map(|(detector, before, _)| (detector, before))
    }

    fn cut(&mut self, detector: Detector, before: Bucket) -> Cut {
        let old = self.total;
        let mut left = before.count;
        for row in self.rows.iter_mut().rev() {
            let gone = row
                .iter()
                .take_while(|bucket| {
                    left -= bucket.count;
                    left >= 0.0
                })
                .count();
            row.drain(..gone);
            if left <= 0.0 {
                break;
            }
        }
        while self.rows.len() > 1 && self.rows.last().is_some_and(Vec::is_empty) {
            self.rows.pop();
        }
        // Summed anew, so that rounding does not pile up over the years.
        self.total = self.rows.iter().flatten().fold(Bucket::default(), |sum, &bucket| sum.plus(bucket));
        Cut {
            detector,
            before: before.mean(),
            after: old.minus(before).mean(),
            dropped: before.count as u64,
            kept: self.len(),
        }
    }
}

fn adwin_bound(variance: f64, pairs: f64, confidence: f64) -> f64 {
    (2.0 / pairs * variance * confidence).sqrt() + RANGE * 2.0 / (3.0 * pairs) * confidence
}

/// How far chance moves a mean with a log-likelihood ratio of at most `drop`: Cornish & Fisher's expansion of a
/// quantile with the skewness towards the side to which the mean moved, and the slack for lattices.
fn ratio_bound(before: &Bucket, pairs: f64, drop: f64, rise: f64) -> f64 {
    let variance =
        ((before.squared_deviations() + PRIOR_VARIANCE) / (before.count + 1.0)).max(LEAST_VARIANCE);
    let ratio = if rise > 0.0 { drop + RISE_SURCHARGE } else { drop };
    let skew = (before.skew(variance) * rise.signum()).max(0.0);
    (2.0 / pairs * variance * ratio).sqrt() + (LATTICE_SLACK + skew / 3.0) / pairs * ratio
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;
    use proptest::collection::vec;
    use proptest::{prop_assert, prop_assert_eq, proptest};

    use super::*;

    /// Settings under which the ratio never speaks.
    const ADWIN_ALONE: DriftSettings = DriftSettings { delta: 0.002, false_alarms: 0.0 };

    /// Qualities of one mean, less what was predicted.
    #[derive(Clone, Copy, Debug)]
    enum Kind {
        /// Right or wrong.
        Coin(f64),
        /// Five grades.
        Graded(f64),
        /// Right or wrong, where some questions are hard, others easy, and the prediction knows.
        Heteroscedastic,
    }

    fn residual(kind: Kind, drop: f64, random: &mut Rng) -> f64 {
        match kind {
            Kind::Coin(mean) => f64::from(random.f64() < mean - drop) - mean,
            Kind::Graded(mean) => {
                f64::from((0..4u8).map(|_| u8::from(random.f64() < mean - drop)).sum::<u8>()) / 4.0 - mean
            }
            Kind::Heteroscedastic => {
                let predicted = if random.bool() { 0.4 } else { 0.97 };
                f64::from(random.f64() < predicted - drop) - predicted
            }
        }
    }

    /// After how many values of `drop` the window was cut, `warm` stationary ones having come before.
    fn delay(kind: Kind, drop: f64, warm: usize, seed: u64, settings: DriftSettings) -> Option<usize> {
        let mut random = Rng::with_seed(seed);
        let mut drift = Drift::new(settings);
        for _ in 0..warm {
            drift.insert(residual(kind, 0.0, &mut random));
        }
        (1..=3_000).find(|_| {
            let cut = drift.insert(residual(kind, drop, &mut random));
            cut.is_some_and(|cut| cut.after < cut.before)
        })
    }

    fn false_alarms(kind: Kind, seeds: std::ops::Range<u64>) -> usize {
        let alarmed = |&seed: &u64| {
            let mut random = Rng::with_seed(seed);
            let mut drift = Drift::default();
            (0..10_000).any(|_| drift.insert(residual(kind, 0.0, &mut random)).is_some())
        };
        seeds.filter(alarmed).count()
    }

    #[test]
    fn coins_raise_no_alarm_in_19_of_20_seeds() {
        assert!(false_alarms(Kind::Coin(0.8), 0..20) <= 1);
    }

    #[test]
    fn grades_raise_no_alarm_in_19_of_20_seeds() {
        assert!(false_alarms(Kind::Graded(0.7), 0..20) <= 1);
    }

    #[test]
    fn heteroscedastic_residuals_raise_no_alarm_in_19_of_20_seeds() {
        assert!(false_alarms(Kind::Heteroscedastic, 0..20) <= 1);
    }

    #[test]
    fn drops_are_found_soon() {
        // Kind, drop, and the outcomes within which 36 of 40 seeds have to find it.
        for (kind, drop, within) in [
            (Kind::Coin(0.8), 0.3, 95),
            (Kind::Coin(0.8), 0.5, 40),
            (Kind::Coin(0.95), 0.3, 60),
            (Kind::Graded(0.7), 0.3, 40),
        ] {
            let delay = |&seed: &u64| delay(kind, drop, 1_000, seed, DriftSettings::default());
            let found = (0..40).filter(|seed| delay(seed).is_some_and(|delay| delay <= within));
            let found = found.count();
            assert!(found >= 36, "{kind:?} less {drop}: {found} of 40 within {within}");
        }
    }

    #[test]
    fn a_cut_says_what_changed() {
        let mut drift = Drift::default();
        let values = std::iter::repeat_n([0.1, -0.1], 300).flatten().chain(std::iter::repeat_n(-0.9, 50));
        let cuts: Vec<Cut> = values.filter_map(|value| drift.insert(value)).collect();
        let cut = cuts[0];
        assert!(cut.before.abs() < 0.02 && cut.after < -0.5, "{cut:?}");
        assert!(cut.dropped >= 550 && cut.kept <= 20, "{cut:?}");
        assert!(drift.mean().unwrap() < -0.85 && drift.len() <= 60, "{drift:?}");
    }

    #[test]
    fn rises_are_found_too() {
        let mut random = Rng::with_seed(3);
        let mut drift = Drift::default();
        let mut coin = |mean: f64| f64::from(random.f64() < mean);
        assert!((0..1_000).all(|_| drift.insert(coin(0.3)).is_none()));
        let cut = (0..150).find_map(|_| drift.insert(coin(0.8))).unwrap();
        assert!(cut.after > cut.before, "{cut:?}");
    }

    #[test]
    fn both_detectors_see_changes() {
        for (settings, detector) in
            [(ADWIN_ALONE, Detector::Adwin), (DriftSettings::default(), Detector::Ratio)]
        {
            let mut drift = Drift::new(settings);
            let mut random = Rng::with_seed(1);
            let mut coin = |mean: f64| f64::from(random.f64() < mean);
            assert!((0..500).all(|_| drift.insert(coin(0.8)).is_none()));
            let cut = (0..500).find_map(|_| drift.insert(coin(0.2))).unwrap();
            assert_eq!(cut.detector, detector, "{cut:?}");
        }
    }

    #[test]
    fn memory_grows_as_the_logarithm() {
        let mut drift = Drift::default();
        for _ in 0..100_000 {
            drift.insert(0.25);
        }
        let buckets: usize = drift.rows.iter().map(Vec::len).sum();
        assert_eq!(drift.len(), 100_000);
        assert!(buckets <= BUCKETS_OF_A_SIZE * 17, "{buckets}");
    }

    #[test]
    #[ignore = "a table for docs/measurements.md; minutes without --release"]
    fn table() {
        for kind in [
            Kind::Coin(0.5),
            Kind::Coin(0.8),
            Kind::Coin(0.95),
            Kind::Coin(0.98),
            Kind::Graded(0.7),
            Kind::Heteroscedastic,
        ] {
            println!("{kind:?}: {} false alarms in 1,000 streams of 10,000", false_alarms(kind, 0..1_000));
        }
        for kind in [Kind::Coin(0.6), Kind::Coin(0.8), Kind::Coin(0.95), Kind::Graded(0.7)] {
            for (warm, settings) in
                [(200, DriftSettings::default()), (1_000, DriftSettings::default()), (1_000, ADWIN_ALONE)]
            {
                for drop in [0.15, 0.2, 0.3, 0.5] {
                    let mut delays: Vec<usize> = (0..1_000)
                        .map(|seed| delay(kind, drop, warm, seed, settings).unwrap_or(3_001))
                        .collect();
                    delays.sort_unstable();
                    let [median, p90, p95] = [500, 900, 950].map(|place: usize| delays[place - 1]);
                    let within = |most: usize| delays.iter().filter(|&&delay| delay <= most).count() / 10;
                    println!(
                        "{kind:?} less {drop} after {warm}, {settings:?}: median {median}, p90 {p90}, p95 {p95}, \
                         within 40 {} %, within 100 {} %",
                        within(40),
                        within(100)
                    );
                }
            }
        }
    }

    proptest! {
        #[test]
        fn the_window_counts_what_it_holds(values in vec(-1.5f64..1.5, 0..400), jump in 0usize..400) {
            let mut drift = Drift::default();
            let mut kept: Vec<f64> = Vec::new();
            for (place, value) in values.into_iter().enumerate() {
                let value = if place >= jump { value / 10.0 - 0.85 } else { value };
                kept.push(value.clamp(-1.0, 1.0));
                if let Some(cut) = drift.insert(value) {
                    prop_assert_eq!(cut.dropped + cut.kept, kept.len() as u64);
                    prop_assert!(cut.dropped > 0 && cut.kept > 0);
                    kept.drain(..cut.dropped as usize);
                    prop_assert!((cut.after - kept.iter().sum::<f64>() / kept.len() as f64).abs() < 1e-9);
                }
                prop_assert_eq!(drift.len(), kept.len() as u64);
                let mean = kept.iter().sum::<f64>() / kept.len() as f64;
                prop_assert!((drift.mean().unwrap() - mean).abs() < 1e-9);
            }
        }

        #[test]
        fn a_stored_window_goes_on_as_if_it_had_not_been(values in vec(-1.0f64..1.0, 0..100), more in vec(-1.0f64..-0.6, 60)) {
            let mut drift = Drift::default();
            values.iter().for_each(|&value| { drift.insert(value); });
            let mut stored: Drift = serde_json::from_str(&serde_json::to_string(&drift).unwrap()).unwrap();
            for value in more {
                let (cut, again) = (drift.insert(value), stored.insert(value));
                prop_assert_eq!(cut.map(|cut| (cut.dropped, cut.detector)), again.map(|cut| (cut.dropped, cut.detector)));
            }
        }

        #[test]
        fn what_is_no_number_is_passed_over(values in vec(-1.0f64..1.0, 1..50)) {
            let mut clean = Drift::default();
            let mut dirty = Drift::default();
            for value in values {
                clean.insert(value);
                dirty.insert(f64::NAN);
                dirty.insert(value);
            }
            prop_assert_eq!(clean, dirty);
        }
    }
}
