//! What a question is about, in a few numbers: where its embedding lies along the directions in which the passages differ most.
//!
//! An embedding has hundreds of numbers, and an outcome tells of one model alone: too much to be learned from a few hundred
//! outcomes. Along the sixteen principal directions of the passages nearly as much can be told of which model answers what
//! (`docs/measurements.md`).

use burnish_types::{Embedding, dot, fnv1a};
use serde::{Deserialize, Serialize};

/// How many numbers a sketch has.
const LENGTH: usize = Directions::LENGTH;
/// Rounds of the subspace iteration. What lies close together need not be told apart exactly.
const ROUNDS: usize = 12;
/// From fewer embeddings nothing is made.
const FEWEST: usize = 100;
/// Standard deviation of each number over the passages. The numbers of questions lie in [-1, 1] then, nearly all.
const SPREAD: f32 = 0.5;

/// The principal directions of some embeddings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Directions {
    mean: Vec<f32>,
    /// Each scaled so that numbers along it have the same spread.
    axes: Vec<Vec<f32>>,
    version: u64,
}

impl Directions {
    /// How many numbers a sketch has.
    pub const LENGTH: usize = 16;

    /// Those of `embeddings` (Halko, Martinsson and Tropp 2011). `None` where there are too few, or they are no embeddings.
    pub fn of(embeddings: &[Embedding], seed: u64) -> Option<Self> {
        let width = embeddings.first()?.len();
        let usable = |embedding: &Embedding| {
            embedding.len() == width && embedding.iter().all(|value| value.is_finite())
        };
        if embeddings.len() < FEWEST || width < LENGTH || !embeddings.iter().all(usable) {
            return None;
        }
        let count = embeddings.len() as f32;
        let mean: Vec<f32> = (0..width)
            .map(|place| embeddings.iter().map(|embedding| embedding[place]).sum::<f32>() / count)
            .collect();
        let centred: Vec<Embedding> = embeddings
            .iter()
            .map(|embedding| embedding.iter().zip(&mean).map(|(value, mean)| value - mean).collect())
            .collect();
        let mut random = fastrand::Rng::with_seed(seed);
        let mut axes: Vec<Vec<f32>> =
            (0..LENGTH).map(|_| (0..width).map(|_| random.f32() - 0.5).collect()).collect();
        for _ in 0..ROUNDS {
            axes = axes.iter().map(|axis| moved(&centred, axis)).collect();
            orthonormalise(&mut axes);
        }
        for axis in &mut axes {
            let squares: f32 = centred.iter().map(|embedding| dot(embedding, axis).powi(2)).sum();
            let scale = SPREAD / (squares / count).sqrt().max(f32::MIN_POSITIVE);
            // A direction in which nothing differs says nothing.
            let scale = if scale.is_finite() && scale < 1e4 { scale } else { 0.0 };
            axis.iter_mut().for_each(|value| *value *= scale);
        }
        let bytes: Vec<u8> =
            mean.iter().chain(axes.iter().flatten()).flat_map(|value| value.to_le_bytes()).collect();
        Some(Self { mean, axes, version: fnv1a(&bytes) })
    }

    /// Sketches of other directions can't be compared with these.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Where an embedding lies; `None` of one that is of another encoder.
    pub fn sketch(&self, embedding: &[f32]) -> Option<Vec<f32>> {
        if embedding.len() != self.mean.len() {
            return None;
        }
        let centred: Vec<f32> = embedding.iter().zip(&self.mean).map(|(value, mean)| value - mean).collect();
        Some(self.axes.iter().map(|axis| dot(&centred, axis).clamp(-2.0, 2.0)).collect())
    }
}

/// The covariance times an axis.
fn moved(centred: &[Embedding], axis: &[f32]) -> Vec<f32> {
    let mut sum = vec![0.0; axis.len()];
    for embedding in centred {
        let along = dot(embedding, axis);
        sum.iter_mut().zip(embedding).for_each(|(sum, value)| *sum += along * value);
    }
    sum
}

/// Modified Gram–Schmidt.
fn orthonormalise(axes: &mut [Vec<f32>]) {
    for place in 0..axes.len() {
        let (before, rest) = axes.split_at_mut(place);
        let axis = &mut rest[0];
        for other in before {
            let along = dot(axis, other);
            axis.iter_mut().zip(&*other).for_each(|(value, other)| *value -= along * other);
        }
        let length = dot(axis, axis).sqrt();
        if length > f32::MIN_POSITIVE {
            axis.iter_mut().for_each(|value| *value /= length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Embeddings that differ most along their first place, then along their second.
    fn embeddings(count: usize) -> Vec<Embedding> {
        let mut random = fastrand::Rng::with_seed(3);
        let mut embedding = || -> Embedding {
            (0..40).map(|place| (random.f32() - 0.5) * 4.0 / (1.0 + place as f32)).collect()
        };
        (0..count).map(|_| embedding()).collect()
    }

    #[test]
    fn what_differs_most_comes_first_and_every_number_has_the_same_spread() {
        let embeddings = embeddings(400);
        let directions = Directions::of(&embeddings, 1).unwrap();
        let sketches: Vec<Vec<f32>> =
            embeddings.iter().filter_map(|embedding| directions.sketch(embedding)).collect();
        assert_eq!((sketches.len(), sketches[0].len()), (400, Directions::LENGTH));
        for place in 0..4 {
            let squares: f32 = sketches.iter().map(|sketch| sketch[place].powi(2)).sum();
            assert!(((squares / 400.0).sqrt() - SPREAD).abs() < 0.02, "{place}");
        }
        // The first number follows the first place.
        let along: f32 =
            sketches.iter().zip(&embeddings).map(|(sketch, embedding)| sketch[0] * embedding[0]).sum();
        let lengths: f32 = sketches.iter().map(|sketch| sketch[0].powi(2)).sum::<f32>()
            * embeddings.iter().map(|embedding| embedding[0].powi(2)).sum::<f32>();
        assert!(along.abs() / lengths.sqrt() > 0.95);
        assert_eq!(directions, Directions::of(&embeddings, 1).unwrap());
        assert_ne!(directions.version(), Directions::of(&embeddings[..300], 1).unwrap().version());
    }

    #[test]
    fn from_too_little_nothing_is_made() {
        assert_eq!(Directions::of(&[], 1), None);
        assert_eq!(Directions::of(&embeddings(FEWEST - 1), 1), None);
        assert_eq!(Directions::of(&vec![vec![1.0; 8]; 200], 1), None);
        let mut torn = embeddings(200);
        torn[7].pop();
        assert_eq!(Directions::of(&torn, 1), None);
        let all_alike = Directions::of(&vec![vec![0.25; 20]; 200], 1).unwrap();
        assert_eq!(all_alike.sketch(&[0.5; 20]), Some(vec![0.0; Directions::LENGTH]));
        assert_eq!(all_alike.sketch(&[0.5; 19]), None);
    }
}
