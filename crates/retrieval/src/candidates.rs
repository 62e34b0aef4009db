//! The two lists that every fusion starts from.

use burnish_types::{ChunkId, Hit, dot};

use crate::{Request, RetrievalError, Sources};

/// Each list is at least this deep, so that a passage which one of them ranks low can still rise.
const SMALLEST_DEPTH: usize = 100;

/// What words found and what vectors found, each best first.
pub(crate) struct Candidates {
    pub(crate) lexical: Vec<Hit>,
    pub(crate) dense: Vec<Hit>,
}

impl Candidates {
    pub(crate) fn find(sources: Sources<'_>, request: Request<'_>) -> Result<Self, RetrievalError> {
        if let Some(lists) = request.lists.filter(|lists| lists.depth >= Self::depth(request)) {
            return Ok(Self { lexical: lists.lexical.clone(), dense: lists.dense.clone() });
        }
        Self::find_by(sources, request, request.query, request.embedding)
    }

    /// For other words and another embedding than the question's own.
    pub(crate) fn find_by(
        sources: Sources<'_>,
        request: Request<'_>,
        query: &str,
        embedding: &[f32],
    ) -> Result<Self, RetrievalError> {
        let depth = Self::depth(request);
        Ok(Self {
            lexical: sources.lexical.search(query, request.filter, depth)?,
            dense: sources.vectors.search(embedding, request.filter, depth)?,
        })
    }

    pub(crate) fn depth(request: Request<'_>) -> usize {
        request.limit.max(SMALLEST_DEPTH)
    }

    /// Gives what only words found its true cosine, which costs one inner product each.
    pub(crate) fn complete(&mut self, sources: Sources<'_>, embedding: &[f32]) -> Result<(), RetrievalError> {
        let mut known: Vec<ChunkId> = self.dense.iter().map(|hit| hit.chunk).collect();
        known.sort_unstable();
        let missing = self.lexical.iter().map(|hit| hit.chunk).filter(|id| known.binary_search(id).is_err());
        let missing: Vec<ChunkId> = missing.collect();
        for (chunk, vector) in missing.iter().zip(sources.vectors.embeddings(&missing)?) {
            if let Some(vector) = vector {
                self.dense.push(Hit { chunk: *chunk, score: dot(embedding, &vector) });
            }
        }
        Ok(())
    }
}
