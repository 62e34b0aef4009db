//! What is believed of each arm before any outcome.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The belief before any outcome. With `x` the features and `w0`, `w` drawn once for all requests,
/// an arm's expected quality is `level + Σ offsets + x·w0 + x·w`: `w0` is shared by all arms (how hard such
/// questions are), `w` is the arm's own. Both are normal around 0 with the deviations below.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Prior {
    /// The expected quality of an arm of which nothing is known, in [0, 1].
    pub level: f64,
    /// Standard deviation of the shared constant.
    pub shared_deviation: f64,
    /// Standard deviation of each shared coefficient but the constant.
    pub shared_slope_deviation: f64,
    /// How arms that [`Self::arms`] does not name may deviate from the shared part.
    pub other: ArmPrior,
    /// What is known of arms, by name.
    pub arms: BTreeMap<String, ArmPrior>,
}

/// What is believed of one arm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ArmPrior {
    /// Coefficients that are expected, by the feature's place: place 0, where the feature is always 1, is the
    /// arm's advantage in quality over [`Prior::level`].
    pub offsets: Vec<(usize, f64)>,
    /// Standard deviation of the arm's own constant: how little `offsets` is trusted.
    pub deviation: f64,
    /// Standard deviation of each of the arm's own coefficients but the constant.
    pub slope_deviation: f64,
}

impl Default for Prior {
    /// Hardly anything: any level, arms that differ by about 0.2, and features that matter a little.
    fn default() -> Self {
        Self {
            level: 0.6,
            shared_deviation: 0.3,
            shared_slope_deviation: 0.1,
            other: ArmPrior::default(),
            arms: BTreeMap::new(),
        }
    }
}

impl Default for ArmPrior {
    fn default() -> Self {
        Self { offsets: Vec::new(), deviation: 0.2, slope_deviation: 0.05 }
    }
}

/// Deviations below this are taken for it: a prior that nothing can move is a fixed policy.
const LEAST_DEVIATION: f64 = 1e-4;
/// After an alarm the arm's own constant is trusted no more than this.
const SHAKEN_DEVIATION: f64 = 0.25;

impl Prior {
    fn of(&self, arm: &str) -> &ArmPrior {
        self.arms.get(arm).unwrap_or(&self.other)
    }

    /// The expected coefficients of an arm.
    pub(crate) fn coefficients(&self, arm: &str, size: usize) -> Vec<f64> {
        let mut coefficients = vec![0.0; size];
        let offsets = [(0, self.level)].into_iter().chain(self.of(arm).offsets.iter().copied());
        for (place, offset) in offsets.filter(|(_, offset)| offset.is_finite()) {
            if let Some(coefficient) = coefficients.get_mut(place) {
                *coefficient += offset;
            }
        }
        coefficients
    }

    /// The diagonal of the precision of an arm's own coefficients.
    pub(crate) fn precision(&self, arm: &str, size: usize, shaken: bool) -> Vec<f64> {
        let own = self.of(arm);
        let constant = if shaken { own.deviation.max(SHAKEN_DEVIATION) } else { own.deviation };
        precision(constant, own.slope_deviation, size)
    }

    /// The diagonal of the precision of the shared coefficients.
    pub(crate) fn shared_precision(&self, size: usize) -> Vec<f64> {
        precision(self.shared_deviation, self.shared_slope_deviation, size)
    }
}

fn precision(constant: f64, slope: f64, size: usize) -> Vec<f64> {
    let of = |deviation: f64| deviation.max(LEAST_DEVIATION).powi(-2);
    (0..size).map(|place| of(if place == 0 { constant } else { slope })).collect()
}
