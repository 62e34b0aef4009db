//! A first look at what words and what vectors find, before it is decided how to go on.

use burnish_types::Hit;

use crate::candidates::Candidates;
use crate::fusion::convex;
use crate::hybrid::DENSE_WEIGHT;
use crate::{Request, RetrievalError, Sources};

/// The two lists of a question, each best first. A strategy that starts from them takes these where it is given them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lists {
    /// What words found, by BM25.
    pub lexical: Vec<Hit>,
    /// What vectors found, by cosine.
    pub dense: Vec<Hit>,
    /// How many were looked for.
    pub(crate) depth: usize,
    /// How far the best passage of `hybrid` is above its second one, in [0, 1]; 1 where there is no second.
    pub fused_margin: f32,
}

impl Lists {
    /// Looks for `request`, whose embedding must be there.
    ///
    /// # Errors
    /// If an index fails.
    pub fn find(sources: Sources<'_>, request: Request<'_>) -> Result<Self, RetrievalError> {
        let mut candidates = Candidates::find(sources, request)?;
        let (lexical, dense) = (candidates.lexical.clone(), candidates.dense.clone());
        candidates.complete(sources, request.embedding)?;
        let fused = convex(&candidates.lexical, &candidates.dense, DENSE_WEIGHT);
        let fused_margin = match fused.as_slice() {
            [first, second, ..] => first.score - second.score,
            _ => 1.0,
        };
        Ok(Self { lexical, dense, depth: Candidates::depth(request), fused_margin })
    }
}
