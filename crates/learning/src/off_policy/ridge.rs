//! Ridge regression from sums: rows are added, then it is solved for any penalty.

/// The sums that a ridge regression needs, of rows that are given by their numbers other than zero.
#[derive(Clone, Debug)]
pub(super) struct Ridge {
    dimensions: usize,
    /// The lower triangle of XᵀX, row by row.
    gram: Vec<f64>,
    moments: Vec<f64>,
}

impl Ridge {
    pub(super) fn new(dimensions: usize) -> Self {
        let gram = vec![0.0; dimensions * (dimensions + 1) / 2];
        Self { dimensions, gram, moments: vec![0.0; dimensions] }
    }

    /// Adds a row to XᵀX. Places ascend.
    pub(super) fn add_row(&mut self, features: &[(usize, f64)]) {
        for (count, &(place, value)) in features.iter().enumerate() {
            let start = place * (place + 1) / 2;
            for &(other, other_value) in &features[..=count] {
                self.gram[start + other] += value * other_value;
            }
        }
    }

    /// Forgets what was to be predicted; XᵀX stays.
    pub(super) fn clear_outcomes(&mut self) {
        self.moments.fill(0.0);
    }

    /// Adds what is to be predicted of a row to Xᵀy.
    pub(super) fn add_outcome(&mut self, features: &[(usize, f64)], outcome: f64) {
        for &(place, value) in features {
            self.moments[place] += value * outcome;
        }
    }

    /// The coefficients that minimise squared error plus `penalty` > 0 times their squares, by Cholesky's
    /// decomposition.
    pub(super) fn solve(&self, penalty: f64) -> Vec<f64> {
        let mut factor = self.gram.clone();
        let at = |row: usize, column: usize| row * (row + 1) / 2 + column;
        for column in 0..self.dimensions {
            for row in column..self.dimensions {
                let (row_start, column_start) = (at(row, 0), at(column, 0));
                let dot: f64 = factor[row_start..row_start + column]
                    .iter()
                    .zip(&factor[column_start..column_start + column])
                    .map(|(left, right)| left * right)
                    .sum();
                let rest = factor[row_start + column] - dot;
                factor[row_start + column] = match row == column {
                    // XᵀX has no negative eigenvalue but by rounding.
                    true => (rest + penalty).max(penalty * 1e-6).sqrt(),
                    false => rest / factor[at(column, column)],
                };
            }
        }
        self.substitute(&factor)
    }

    fn substitute(&self, factor: &[f64]) -> Vec<f64> {
        let at = |row: usize, column: usize| row * (row + 1) / 2 + column;
        let mut solution = self.moments.clone();
        for row in 0..self.dimensions {
            let known: f64 = (0..row).map(|column| factor[at(row, column)] * solution[column]).sum();
            solution[row] = (solution[row] - known) / factor[at(row, row)];
        }
        for row in (0..self.dimensions).rev() {
            let known: f64 =
                (row + 1..self.dimensions).map(|below| factor[at(below, row)] * solution[below]).sum();
            solution[row] = (solution[row] - known) / factor[at(row, row)];
        }
        solution
    }
}

/// The sum of the features times their coefficients.
pub(super) fn dot(features: &[(usize, f64)], coefficients: &[f64]) -> f64 {
    features.iter().map(|&(place, value)| value * coefficients[place]).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solves_the_normal_equations() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut ridge = Ridge::new(4);
        let rows: Vec<(Vec<(usize, f64)>, f64)> = (0..30)
            .map(|_| ((0..4).map(|place| (place, random.f64() - 0.3)).collect(), random.f64()))
            .collect();
        for (features, outcome) in &rows {
            ridge.add_row(features);
            ridge.add_outcome(features, *outcome);
        }
        for penalty in [1e-3, 1.0, 100.0] {
            let coefficients = ridge.solve(penalty);
            // At the minimum the gradient is zero: Xᵀ(y − Xβ) = penalty · β.
            for (place, coefficient) in coefficients.iter().enumerate() {
                let pull: f64 = rows
                    .iter()
                    .map(|(features, outcome)| features[place].1 * (outcome - dot(features, &coefficients)))
                    .sum();
                assert!((pull - penalty * coefficient).abs() < 1e-9, "{penalty}: {pull} {coefficient}");
            }
        }
    }
}
