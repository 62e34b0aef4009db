//! Small dense symmetric matrices, row by row in one vector: products, rank-one changes, inverses.

/// A square matrix of `size` rows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Matrix {
    size: usize,
    values: Vec<f64>,
}

impl Matrix {
    pub(crate) fn zero(size: usize) -> Self {
        Self { size, values: vec![0.0; size * size] }
    }

    pub(crate) fn diagonal(diagonal: &[f64]) -> Self {
        let mut matrix = Self::zero(diagonal.len());
        for (place, value) in diagonal.iter().enumerate() {
            matrix.values[place * diagonal.len() + place] = *value;
        }
        matrix
    }

    /// From the lower triangle, row by row; `None` where its length is not that of a triangle of `size` rows.
    pub(crate) fn from_lower(size: usize, lower: &[f64]) -> Option<Self> {
        if lower.len() != size * (size + 1) / 2 || lower.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let mut matrix = Self::zero(size);
        let mut values = lower.iter();
        for row in 0..size {
            for (column, value) in values.by_ref().take(row + 1).enumerate() {
                matrix.values[row * size + column] = *value;
                matrix.values[column * size + row] = *value;
            }
        }
        Some(matrix)
    }

    pub(crate) fn lower(&self) -> Vec<f64> {
        (0..self.size).flat_map(|row| self.row(row)[..=row].iter().copied()).collect()
    }

    pub(crate) fn row(&self, row: usize) -> &[f64] {
        &self.values[row * self.size..(row + 1) * self.size]
    }

    pub(crate) fn at(&self, row: usize, column: usize) -> f64 {
        self.values[row * self.size + column]
    }

    pub(crate) fn set(&mut self, row: usize, column: usize, value: f64) {
        self.values[row * self.size + column] = value;
    }

    pub(crate) fn times(&self, vector: &[f64]) -> Vec<f64> {
        self.values.chunks_exact(self.size.max(1)).map(|row| dot(row, vector)).collect()
    }

    /// Adds `factor · v vᵀ`.
    pub(crate) fn add_outer(&mut self, vector: &[f64], factor: f64) {
        for (row, left) in self.values.chunks_exact_mut(self.size.max(1)).zip(vector) {
            let scaled = factor * left;
            for (value, right) in row.iter_mut().zip(vector) {
                *value += scaled * right;
            }
        }
    }

    pub(crate) fn add(&mut self, other: &Self, factor: f64) {
        for (value, more) in self.values.iter_mut().zip(&other.values) {
            *value += factor * more;
        }
    }

    pub(crate) fn scale(&mut self, factor: f64) {
        for value in &mut self.values {
            *value *= factor;
        }
    }

    /// The lower triangular `L` with `L Lᵀ` equal to this matrix; `None` where it is not positive definite.
    pub(crate) fn cholesky(&self) -> Option<Self> {
        let mut factor = Self::zero(self.size);
        for row in 0..self.size {
            for column in 0..=row {
                let known = dot(&factor.row(row)[..column], &factor.row(column)[..column]);
                let rest = self.at(row, column) - known;
                let value = match row == column {
                    true if rest > 0.0 && rest.is_finite() => rest.sqrt(),
                    true => return None,
                    false => rest / factor.at(column, column),
                };
                factor.values[row * self.size + column] = value;
            }
        }
        Some(factor)
    }

    /// The inverse of a positive definite matrix; `None` where it is none.
    pub(crate) fn inverse(&self) -> Option<Self> {
        let factor = self.cholesky()?;
        // Rows of `columns` are the columns of L⁻¹, so that the sums below run along rows.
        let mut columns = Self::zero(self.size);
        for column in 0..self.size {
            for row in column..self.size {
                let known = dot(&factor.row(row)[column..row], &columns.row(column)[column..row]);
                let unit = f64::from(u8::from(row == column));
                columns.values[column * self.size + row] = (unit - known) / factor.at(row, row);
            }
        }
        let mut inverse = Self::zero(self.size);
        for row in 0..self.size {
            for column in 0..=row {
                let value = dot(&columns.row(row)[row..], &columns.row(column)[row..]);
                inverse.values[row * self.size + column] = value;
                inverse.values[column * self.size + row] = value;
            }
        }
        Some(inverse)
    }
}

pub(crate) fn dot(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(left, right)| left * right).sum()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::{prop_assert, proptest};

    use super::*;

    #[test]
    fn what_is_not_positive_definite_has_no_inverse() {
        assert_eq!(Matrix::diagonal(&[1.0, -1.0]).inverse(), None);
        assert_eq!(Matrix::diagonal(&[f64::NAN]).inverse(), None);
        assert_eq!(Matrix::from_lower(2, &[1.0, 2.0]), None);
        assert_eq!(Matrix::diagonal(&[4.0, 16.0]).inverse(), Some(Matrix::diagonal(&[0.25, 0.0625])));
    }

    proptest! {
        #[test]
        fn an_inverse_undoes_its_matrix(rows in vec(vec(-1.0f64..1.0, 5), 1..12), vector in vec(-1.0f64..1.0, 5)) {
            let mut matrix = Matrix::diagonal(&[0.1; 5]);
            for row in &rows {
                matrix.add_outer(row, 1.0);
            }
            prop_assert!(Matrix::from_lower(5, &matrix.lower()).unwrap() == matrix);
            let back = matrix.inverse().unwrap().times(&matrix.times(&vector));
            for (found, expected) in back.iter().zip(&vector) {
                prop_assert!((found - expected).abs() < 1e-8);
            }
        }
    }
}
