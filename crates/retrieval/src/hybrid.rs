//! `hybrid`: a convex combination of words and vectors.

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
        let mut candidates = Candidates::find(sources, request)?;
        candidates.complete(sources, request.embedding)?;
        let mut fused = convex(&candidates.lexical, &candidates.dense, DENSE_WEIGHT);
        fused.truncate(request.limit);
        Ok(fused)
    }
}
