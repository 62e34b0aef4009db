//! Hierarchical ridge regression in closed form, from sums by arm.
//!
//! With `A = Σ w x xᵀ` and `b = Σ w x y` of an arm, `p` its expected coefficients and `Λ` the precision of its own:
//! given the shared `w0`, the arm's coefficients are normal with precision `M = A + Λ` and mean
//! `p + M⁻¹ (b − A p + Λ w0)`. Integrating each arm out leaves `w0` with precision
//! `Λ0 + Σ (Λ − Λ M⁻¹ Λ)` and mean `S0 Σ Λ M⁻¹ (b − A p)` (Gelman et al., Bayesian Data Analysis, 3rd edition,
//! section 15.1; the elimination is ours). One outcome changes `M` by a matrix of rank one, and so the shared
//! precision, which keeps both inverses at hand in O(size²) by Sherman and Morrison's formula.

use super::matrix::{Matrix, dot};

/// Rounding adds up over changes of rank one; after this many an inverse is made anew.
const CHANGES: u32 = 256;
/// A change that leaves less than this of a variance is not made by Sherman and Morrison's formula.
const LEAST_SHARE: f64 = 0.02;

/// One arm's own coefficients, given the shared ones.
#[derive(Clone, Debug)]
pub(crate) struct ArmPosterior {
    /// `p`.
    pub(crate) expected: Vec<f64>,
    /// The diagonal of `Λ`.
    precision: Vec<f64>,
    /// `M⁻¹`.
    covariance: Matrix,
    /// `b − A p`.
    residual: Vec<f64>,
    changes: u32,
}

/// What an arm's posterior says of one point.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    /// The mean.
    pub(crate) mean: f64,
    /// The variance of the arm's own part.
    pub(crate) own: f64,
    /// How the value moves with the shared coefficients.
    pub(crate) loading: Vec<f64>,
    /// `S0 ·` loading.
    pub(crate) shared: Vec<f64>,
}

/// The shared coefficients.
#[derive(Clone, Debug)]
pub(crate) struct SharedPosterior {
    covariance: Matrix,
    mean: Vec<f64>,
}

impl ArmPosterior {
    /// Of an arm without outcomes.
    pub(crate) fn unknown(expected: Vec<f64>, precision: Vec<f64>) -> Self {
        let variances: Vec<f64> = precision.iter().map(|precision| precision.recip()).collect();
        let residual = vec![0.0; expected.len()];
        Self { expected, precision, covariance: Matrix::diagonal(&variances), residual, changes: 0 }
    }

    /// From an arm's sums. Where they can't be a sum of outcomes (more was taken back than came in), the arm
    /// is as if nothing were known of it.
    pub(crate) fn new(gram: &Matrix, moment: &[f64], expected: Vec<f64>, precision: Vec<f64>) -> Self {
        let mut total = Matrix::diagonal(&precision);
        total.add(gram, 1.0);
        let Some(covariance) = total.inverse() else { return Self::unknown(expected, precision) };
        let explained = gram.times(&expected);
        let residual = moment.iter().zip(explained).map(|(moment, explained)| moment - explained).collect();
        Self { expected, precision, covariance, residual, changes: 0 }
    }

    /// Adds `weight · x xᵀ` and `weight · x y`, and takes the change over into `shared`. `false` where that
    /// can't be done precisely; the posterior must then be made anew.
    pub(crate) fn observe(&mut self, x: &[f64], y: f64, weight: f64, shared: &mut SharedPosterior) -> bool {
        let moved = self.covariance.times(x);
        let share = 1.0 + weight * dot(x, &moved);
        if self.changes >= CHANGES || !share.is_finite() || share < LEAST_SHARE {
            return false;
        }
        let loading: Vec<f64> =
            moved.iter().zip(&self.precision).map(|(moved, precision)| moved * precision).collect();
        let turned = shared.covariance.times(&loading);
        let shared_share = 1.0 + weight / share * dot(&loading, &turned);
        if !shared_share.is_finite() || shared_share < LEAST_SHARE {
            return false;
        }
        self.covariance.add_outer(&moved, -weight / share);
        shared.covariance.add_outer(&turned, -(weight / share) / shared_share);
        let error = y - dot(x, &self.expected);
        for (residual, x) in self.residual.iter_mut().zip(x) {
            *residual += weight * x * error;
        }
        self.changes += 1;
        true
    }

    /// What this arm says of the shared coefficients: `Λ M⁻¹ (b − A p)`.
    fn message(&self) -> impl Iterator<Item = f64> {
        let own = self.covariance.times(&self.residual);
        own.into_iter().zip(self.precision.clone()).map(|(own, precision)| own * precision)
    }

    pub(crate) fn at(&self, x: &[f64], shared: &SharedPosterior) -> Point {
        let moved = self.covariance.times(x);
        let loading: Vec<f64> =
            moved.iter().zip(&self.precision).map(|(moved, precision)| moved * precision).collect();
        Point {
            mean: dot(x, &self.expected) + dot(&moved, &self.residual) + dot(&loading, &shared.mean),
            own: dot(x, &moved).max(0.0),
            shared: shared.covariance.times(&loading),
            loading,
        }
    }
}

impl SharedPosterior {
    /// From all arms' posteriors, given the diagonal of `Λ0`.
    pub(crate) fn new<'a>(precision: &[f64], arms: impl Iterator<Item = &'a ArmPosterior> + Clone) -> Self {
        let mut total = Matrix::diagonal(precision);
        for arm in arms.clone() {
            total.add(&Matrix::diagonal(&arm.precision), 1.0);
            let mut scaled = Matrix::zero(arm.precision.len());
            for row in 0..arm.precision.len() {
                for column in 0..arm.precision.len() {
                    let value = arm.precision[row] * arm.covariance.at(row, column) * arm.precision[column];
                    scaled.set(row, column, value);
                }
            }
            total.add(&scaled, -1.0);
        }
        let covariance = total.inverse().unwrap_or_else(|| {
            Matrix::diagonal(&precision.iter().map(|precision| precision.recip()).collect::<Vec<_>>())
        });
        let mut shared = Self { covariance, mean: vec![0.0; precision.len()] };
        shared.refresh(arms);
        shared
    }

    /// Takes the mean over from the arms after one of them has changed.
    pub(crate) fn refresh<'a>(&mut self, arms: impl Iterator<Item = &'a ArmPosterior>) {
        let mut sum = vec![0.0; self.mean.len()];
        for arm in arms {
            for (sum, part) in sum.iter_mut().zip(arm.message()) {
                *sum += part;
            }
        }
        self.mean = self.covariance.times(&sum);
    }
}
