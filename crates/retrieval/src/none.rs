//! `none`: no passages, for what needs none, such as a greeting.

use crate::{Request, RetrievalError, Retriever, Scored, Sources};

pub(crate) struct Nothing;

impl Retriever for Nothing {
    fn name(&self) -> &'static str {
        "none"
    }

    fn needs_embedding(&self) -> bool {
        false
    }

    fn consults_documents(&self) -> bool {
        false
    }

    fn retrieve(&self, _sources: Sources<'_>, _request: Request<'_>) -> Result<Vec<Scored>, RetrievalError> {
        Ok(Vec::new())
    }
}
