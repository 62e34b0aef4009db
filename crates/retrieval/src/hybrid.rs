//! `hybrid`: a convex combination of words and vectors.

use burnish_types::{Embedding, dot};

use crate::candidates::Candidates;
use crate::fusion::convex;
use crate::{Request, RetrievalError, Retriever, Scored, Sources};

/// The weight of the dense score, chosen on SciFact's train split (`docs/measurements.md`).
pub(crate) const DENSE_WEIGHT: f32 = 0.75;

pub(crate) struct Hybrid;

impl Retriever for Hybrid {
    fn name(&self) -> &'static str {
        "hybrid"
    }

    fn retrieve(&self, sources: Sources<'_>, request: Request<'_>) -> Result<Vec<Scored>, RetrievalError> {
        fuse(sources, request, Candidates::find(sources, request)?, request.embedding)
    }
}

/// The same combination for other words and another embedding than the question's own.
pub(crate) fn fused(
    sources: Sources<'_>,
    request: Request<'_>,
    query: &str,
    embedding: &[f32],
) -> Result<Vec<Scored>, RetrievalError> {
    fuse(sources, request, Candidates::find_by(sources, request, query, embedding)?, embedding)
}

fn fuse(
    sources: Sources<'_>,
    request: Request<'_>,
    mut candidates: Candidates,
    embedding: &[f32],
) -> Result<Vec<Scored>, RetrievalError> {
    candidates.complete(sources, embedding)?;
    let mut fused = convex(&candidates.lexical, &candidates.dense, DENSE_WEIGHT);
    fused.truncate(request.limit);
    Ok(fused)
}

/// The unit vector along the sum of `vectors`, each with its weight; `fallback` where the sum is null.
pub(crate) fn blend<'a>(vectors: impl IntoIterator<Item = (&'a [f32], f32)>, fallback: &[f32]) -> Embedding {
    let mut sum = vec![0.0f32; fallback.len()];
    for (vector, weight) in vectors {
        sum.iter_mut().zip(vector).for_each(|(sum, value)| *sum += weight * value);
    }
    let norm = dot(&sum, &sum).sqrt();
    if norm <= f32::EPSILON {
        return fallback.to_vec();
    }
    sum.iter_mut().for_each(|value| *value /= norm);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blends_are_unit_vectors_between_their_parts() {
        let (right, up) = ([1.0, 0.0], [0.0, 1.0]);
        let check = |parts: &[(&[f32], f32)], expected: [f32; 2]| {
            let blended = blend(parts.iter().copied(), &up);
            assert!(
                blended.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6),
                "{parts:?}: {blended:?}"
            );
        };
        check(&[(&right, 1.0)], [1.0, 0.0]);
        check(&[(&right, 3.0), (&up, 4.0)], [0.6, 0.8]);
        check(&[(&right, 1.0), (&right, -1.0)], [0.0, 1.0]);
        check(&[], [0.0, 1.0]);
    }
}
