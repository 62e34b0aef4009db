//! Vectors of queries that come again.

use burnish_types::{EmbedError, Embedder, Embedding, TokenEmbedder};
use quick_cache::sync::Cache;

/// The longest text that is remembered, in bytes; longer ones are no queries.
const MAX_TEXT_BYTES: usize = 512;

/// An embedder that remembers the vectors of single short texts.
///
/// Only calls with one text of at most 512 bytes are remembered, as queries are embedded; batches pass through.
/// What was not asked for in a while makes room for what is new.
#[derive(Debug)]
pub struct CachedEmbedder<E> {
    inner: E,
    vectors: Cache<String, Embedding>,
}

impl<E: Embedder> CachedEmbedder<E> {
    /// Wraps `inner`, remembering up to `capacity` vectors.
    pub fn new(inner: E, capacity: usize) -> Self {
        Self { inner, vectors: Cache::new(capacity) }
    }
}

impl<E: Embedder> Embedder for CachedEmbedder<E> {
    fn model(&self) -> &str {
        self.inner.model()
    }

    fn dimensions(&self) -> usize {
        self.inner.dimensions()
    }

    fn max_tokens(&self) -> usize {
        self.inner.max_tokens()
    }

    fn count_tokens(&self, text: &str) -> usize {
        self.inner.count_tokens(text)
    }

    /// Two callers who miss the same text at the same time compute it once: the second waits for the first.
    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError> {
        let &[text] = texts else { return self.inner.embed(texts) };
        if text.len() > MAX_TEXT_BYTES {
            return self.inner.embed(texts);
        }
        let vector = self.vectors.get_or_insert_with(text, || {
            let vectors = self.inner.embed(texts)?;
            vectors
                .into_iter()
                .next()
                .ok_or_else(|| EmbedError::Compute("no vector came back for a text".to_owned()))
        })?;
        Ok(vec![vector])
    }

    fn tokenwise(&self) -> Option<&dyn TokenEmbedder> {
        self.inner.tokenwise()
    }
}
