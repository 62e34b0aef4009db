//! `sparse`: BM25 over words (Robertson & Zaragoza 2009).

use crate::{Request, RetrievalError, Retriever, Scored, Sources};

pub(crate) struct Sparse;

impl Retriever for Sparse {
    fn name(&self) -> &'static str {
        "sparse"
    }

    fn needs_embedding(&self) -> bool {
        false
    }

    fn retrieve(&self, sources: Sources<'_>, request: Request<'_>) -> Result<Vec<Scored>, RetrievalError> {
        let hits = sources.lexical.search(request.query, request.filter, request.limit)?;
        let scored = |hit: burnish_types::Hit| Scored {
            chunk: hit.chunk,
            score: hit.score,
            components: vec![("bm25", hit.score)],
        };
        Ok(hits.into_iter().map(scored).collect())
    }
}
