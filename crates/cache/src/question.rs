//! A question as the semantic cache keeps it: its words taken apart, its embedding in one byte a dimension.

use crate::wording::Wording;

/// An embedding in one byte a dimension, with the factor that brings it back.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Packed {
    pub(crate) values: Box<[i8]>,
    pub(crate) scale: f32,
}

impl Packed {
    pub(crate) fn new(embedding: &[f32]) -> Self {
        let largest = embedding.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        if !largest.is_finite() || largest == 0.0 {
            return Self { values: vec![0; embedding.len()].into(), scale: 0.0 };
        }
        let scale = largest / 127.0;
        Self { values: embedding.iter().map(|value| (value / scale).round() as i8).collect(), scale }
    }

    /// The inner product, which is the cosine where both are of unit length.
    pub(crate) fn dot(&self, other: &Self) -> f32 {
        self.scale * other.scale * dot(&self.wide(), &other.values) as f32
    }

    /// As [`dot`] wants the side that is compared with many.
    pub(crate) fn wide(&self) -> Vec<i16> {
        self.values.iter().map(|value| i16::from(*value)).collect()
    }
}

/// The inner product of two rows. With one of them widened beforehand it takes half the instructions.
pub(crate) fn dot(one: &[i16], other: &[i8]) -> i32 {
    one.iter().zip(other).map(|(a, b)| i32::from(*a) * i32::from(i16::from(*b))).sum()
}

/// A question that was asked, or is.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    pub(crate) wording: Wording,
    pub(crate) embedding: Packed,
}

impl Question {
    /// Takes `text` apart; `embedding` is of unit length.
    pub fn new(text: &str, embedding: &[f32]) -> Self {
        Self { wording: Wording::new(text), embedding: Packed::new(embedding) }
    }

    /// A question as it was kept.
    pub(crate) fn restore(text: &str, embedding: Packed) -> Self {
        Self { wording: Wording::new(text), embedding }
    }

    /// The cosine of the embeddings, as exactly as a byte a dimension allows.
    pub fn cosine(&self, other: &Self) -> f32 {
        self.embedding.dot(&other.embedding)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_byte_a_dimension_keeps_the_cosine(
            one in prop::collection::vec(-1.0_f32..1.0, 64),
            other in prop::collection::vec(-1.0_f32..1.0, 64),
        ) {
            let unit = |vector: &[f32]| {
                let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt().max(1e-6);
                vector.iter().map(|value| value / length).collect::<Vec<_>>()
            };
            let (one, other) = (unit(&one), unit(&other));
            let exact: f32 = one.iter().zip(&other).map(|(a, b)| a * b).sum();
            let packed = Question::new("", &one).cosine(&Question::new("", &other));
            prop_assert!((exact - packed).abs() < 0.02, "{exact} {packed}");
        }
    }
}
