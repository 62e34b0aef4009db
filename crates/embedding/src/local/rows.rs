//! What a transformer does row by row, in place: layer normalisation, softmax, activation, unit length.

use rten_simd::{SimdOp, SimdUnaryOp};
use rten_vecmath::{ApproxGelu, Gelu, Normalize, NormalizeOptions, Softmax, Sum, SumSquareSub};

/// The non-linearity of the feed-forward layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activation {
    /// x·Φ(x) by the error function.
    Gelu,
    /// The approximation of it by tanh.
    GeluTanh,
    /// max(x, 0).
    Relu,
}

impl Activation {
    /// Applies it to every value.
    pub(super) fn apply(self, values: &mut [f32]) {
        match self {
            Self::Gelu => Gelu {}.map_mut(values),
            Self::GeluTanh => ApproxGelu {}.map_mut(values),
            Self::Relu => values.iter_mut().for_each(|value| *value = value.max(0.0)),
        }
    }
}

/// Layer normalisation (Ba et al. 2016) with its learned scale and shift.
#[derive(Debug)]
pub(super) struct Norm {
    /// One factor a column.
    pub(super) scale: Vec<f32>,
    /// One summand a column.
    pub(super) shift: Vec<f32>,
    /// Added to the variance.
    pub(super) epsilon: f32,
}

impl Norm {
    /// Normalises each row of `scale.len()` values.
    pub(super) fn apply(&self, rows: &mut [f32]) {
        let width = self.scale.len();
        for row in rows.chunks_exact_mut(width) {
            let mean = Sum::new(row).dispatch() / width as f32;
            let variance = SumSquareSub::new(row, mean).dispatch() / width as f32;
            let options = NormalizeOptions {
                pre_scale_bias: mean,
                scale: (variance + self.epsilon).sqrt().recip(),
                element_scale: Some(&self.scale),
                bias: 0.0,
                element_bias: Some(&self.shift),
            };
            Normalize::new_mut(row, options).dispatch();
        }
    }
}

/// Softmax over the first `width` values of each row of `stride`.
pub(super) fn softmax(rows: &mut [f32], stride: usize, width: usize) {
    for row in rows.chunks_mut(stride) {
        Softmax::new_mut(&mut row[..width]).dispatch();
    }
}

/// Scales `vector` to length 1; a null vector stays as it is.
pub(super) fn to_unit_length(vector: &mut [f32]) {
    let norm = burnish_types::dot(vector, vector).sqrt();
    if norm > 0.0 {
        vector.iter_mut().for_each(|value| *value /= norm);
    }
}
