//! `rrf`: reciprocal rank fusion of words and vectors, which needs no weight to be tuned.

use crate::candidates::Candidates;
use crate::fusion::reciprocal_rank;
use crate::{Request, RetrievalError, Retriever, Scored, Sources};

/// The constant of Cormack et al. 2009.
const K: f32 = 60.0;

pub(crate) struct ReciprocalRank;

impl Retriever for ReciprocalRank {
    fn name(&self) -> &'static str {
        "rrf"
    }

    fn retrieve(&self, sources: Sources<'_>, request: Request<'_>) -> Result<Vec<Scored>, RetrievalError> {
        let candidates = Candidates::find(sources, request)?;
        let mut fused = reciprocal_rank(&candidates.lexical, &candidates.dense, K);
        fused.truncate(request.limit);
        Ok(fused)
    }
}
