//! `hyde`: a language model writes a passage that might answer the question, and passages near both are found
//! (Gao et al. 2022, "Precise Zero-Shot Dense Retrieval without Relevance Labels", eq. 8 with one passage).
//! What the model wrote need not be true: it is searched with and never shown.

use crate::hybrid::{blend, fused};
use crate::writing::{write, writer};
use crate::{Means, Request, RetrievalError, Retriever, Scored, Sources};

const NAME: &str = "hyde";
const INSTRUCTIONS: &str = "Write one short passage, of three or four sentences, as it might stand in a document that \
answers the question. Write the passage alone, in the question's language, without a preface.";
const MAX_TOKENS: u32 = 160;

pub(crate) struct Hyde;

impl Retriever for Hyde {
    fn name(&self) -> &'static str {
        NAME
    }

    fn works_with(&self, means: Means<'_>) -> Result<(), RetrievalError> {
        writer(means, NAME).map(|_| ())
    }

    fn retrieve(&self, sources: Sources<'_>, request: Request<'_>) -> Result<Vec<Scored>, RetrievalError> {
        let writer = writer(sources.means(), NAME)?;
        let passage = write(writer, NAME, INSTRUCTIONS, request.query.to_owned(), MAX_TOKENS)?;
        let written = sources.embedder.embed(&[&passage])?.pop().unwrap_or_default();
        let embedding = blend([(request.embedding, 1.0), (&written[..], 1.0)], request.embedding);
        // The words stay the question's: made-up names and numbers would find what they happen to stand in.
        fused(sources, request, request.query, &embedding)
    }
}
