//! `dense`: nearest neighbours of the question's embedding by cosine.

use crate::{Request, RetrievalError, Retriever, Scored, Sources};

pub(crate) struct Dense;

impl Retriever for Dense {
    fn name(&self) -> &'static str {
        "dense"
    }

    fn retrieve(&self, sources: Sources<'_>, request: Request<'_>) -> Result<Vec<Scored>, RetrievalError> {
        let hits = sources.vectors.search(request.embedding, request.filter, request.limit)?;
        let scored = |hit: burnish_types::Hit| Scored {
            chunk: hit.chunk,
            score: hit.score,
            components: vec![("cosine", hit.score)],
        };
        Ok(hits.into_iter().map(scored).collect())
    }
}
