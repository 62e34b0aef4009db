//! Predictions for one query: estimates by arm, and how their errors go together.

use serde::{Deserialize, Serialize};

use super::matrix::Matrix;

/// The quality that is expected of an arm.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The mean, in [0, 1].
    pub mean: f64,
    /// The standard deviation of the mean, not of a single outcome around it.
    pub deviation: f64,
    /// Outcomes of this arm that it rests on.
    pub outcomes: u64,
}

/// The qualities of several arms for one query: jointly normal.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    estimates: Vec<Estimate>,
    /// Row by row.
    covariance: Vec<f64>,
    settled: bool,
}

impl Forecast {
    /// `covariance` row by row; where its length is not the square of that of `estimates`, errors are taken for
    /// independent.
    pub fn new(estimates: Vec<Estimate>, covariance: Vec<f64>) -> Self {
        let size = estimates.len();
        if covariance.len() == size * size && covariance.iter().all(|value| value.is_finite()) {
            return Self { estimates, covariance, settled: true };
        }
        let deviations: Vec<f64> = estimates.iter().map(|estimate| estimate.deviation.powi(2)).collect();
        let diagonal = Matrix::diagonal(&deviations);
        let covariance = (0..size).flat_map(|row| diagonal.row(row).to_vec()).collect();
        Self { estimates, covariance, settled: true }
    }

    /// Whether what was learned can be relied upon. Where it can't, after a drift, no
    /// alternative deserves a privilege.
    pub fn is_settled(&self) -> bool {
        self.settled
    }

    /// The same, not to be relied upon.
    pub(crate) fn unsettled(self) -> Self {
        Self { settled: false, ..self }
    }

    /// With the means moved by what something else knows better, as certain as before.
    pub(crate) fn corrected(mut self, corrections: &[f64]) -> Self {
        for (estimate, correction) in self.estimates.iter_mut().zip(corrections) {
            estimate.mean = (estimate.mean + correction).clamp(0.0, 1.0);
        }
        self
    }

    /// That of the arms at some places, each of which may come several times.
    pub(crate) fn at(&self, places: &[usize]) -> Self {
        let covariance =
            places.iter().flat_map(|row| places.iter().map(|column| self.covariance(*row, *column)));
        Self {
            estimates: places.iter().filter_map(|place| self.estimates.get(*place).copied()).collect(),
            covariance: covariance.collect(),
            settled: self.settled,
        }
    }

    /// With what is added to each arm, whose errors are independent of these.
    pub(crate) fn plus(mut self, added: &Self) -> Self {
        self.covariance.iter_mut().zip(&added.covariance).for_each(|(sum, more)| *sum += more);
        for (estimate, more) in self.estimates.iter_mut().zip(&added.estimates) {
            estimate.mean = (estimate.mean + more.mean).clamp(0.0, 1.0);
            estimate.deviation = estimate.deviation.hypot(more.deviation);
            estimate.outcomes = estimate.outcomes.min(more.outcomes);
        }
        self
    }

    /// The estimates, in the order in which the arms were given.
    pub fn estimates(&self) -> &[Estimate] {
        &self.estimates
    }

    /// The covariance of the errors of two arms, by their places.
    pub fn covariance(&self, left: usize, right: usize) -> f64 {
        self.covariance.get(left * self.estimates.len() + right).copied().unwrap_or_default()
    }

    /// The expected advantage of one arm over another, and its standard deviation.
    pub fn advantage(&self, of: usize, over: usize) -> (f64, f64) {
        let mean = |place: usize| self.estimates.get(place).map_or(0.0, |estimate| estimate.mean);
        let variance =
            self.covariance(of, of) + self.covariance(over, over) - 2.0 * self.covariance(of, over);
        (mean(of) - mean(over), variance.max(0.0).sqrt())
    }

    /// `count` draws of all arms' qualities; they are not cut to [0, 1].
    pub fn draws(&self, count: usize, random: &mut fastrand::Rng) -> Vec<Vec<f64>> {
        let size = self.estimates.len();
        let factor = self.factor();
        let mut normal = vec![0.0; size];
        let draw = |_| {
            normal.iter_mut().for_each(|value| *value = standard_normal(random));
            let value = |(row, estimate): (usize, &Estimate)| {
                estimate.mean + super::matrix::dot(&factor.row(row)[..=row], &normal)
            };
            self.estimates.iter().enumerate().map(value).collect()
        };
        (0..count).map(draw).collect()
    }

    /// A factor of the covariance, which rounding may have left not quite positive definite.
    fn factor(&self) -> Matrix {
        let size = self.estimates.len();
        let largest = (0..size).map(|place| self.covariance(place, place)).fold(0.0, f64::max);
        for jitter in [1e-12, 1e-9, 1e-6] {
            let mut matrix = Matrix::diagonal(&vec![jitter * largest + f64::MIN_POSITIVE; size]);
            for row in 0..size {
                for column in 0..size {
                    matrix.set(row, column, matrix.at(row, column) + self.covariance(row, column));
                }
            }
            if let Some(factor) = matrix.cholesky() {
                return factor;
            }
        }
        let deviations: Vec<f64> = self.estimates.iter().map(|estimate| estimate.deviation).collect();
        Matrix::diagonal(&deviations)
    }
}

/// Marsaglia and Bray's polar method.
pub(crate) fn standard_normal(random: &mut fastrand::Rng) -> f64 {
    loop {
        let (x, y) = (random.f64() * 2.0 - 1.0, random.f64() * 2.0 - 1.0);
        let square = x * x + y * y;
        if square > 0.0 && square < 1.0 {
            return x * (-2.0 * square.ln() / square).sqrt();
        }
    }
}
