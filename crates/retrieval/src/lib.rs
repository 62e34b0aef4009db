//! Retrieval strategies. Each is one file that implements [`Retriever`]; [`Registry`] knows them by name.
//! They reach the indexes and the encoder only through the traits at the seams.

mod candidates;
mod decomposed;
mod dense;
mod expanded;
mod features;
mod fusion;
mod hybrid;
mod hyde;
mod lift;
mod lists;
mod names;
mod none;
mod registry;
pub mod related;
mod reranked;
mod rewritten;
mod rrf;
mod sparse;
mod writing;

use burnish_types::{ChunkId, EmbedError, Embedder, Filter, IndexError, LexicalIndex, Message, VectorIndex};

pub use fusion::{convex, reciprocal_rank};
pub use lift::{LIFT_COMPONENT, lift};
pub use lists::Lists;
pub use registry::Registry;

/// What strategies work with.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// Words.
    pub lexical: &'a dyn LexicalIndex,
    /// Vectors.
    pub vectors: &'a dyn VectorIndex,
    /// The encoder.
    pub embedder: &'a dyn Embedder,
    /// The texts of chunks.
    pub passages: &'a dyn Passages,
    /// A language model, where one is configured.
    pub writer: Option<&'a dyn Writer>,
}

impl<'a> Sources<'a> {
    /// What of them depends on the settings.
    pub fn means(&self) -> Means<'a> {
        Means { embedder: self.embedder, writer: self.writer }
    }
}

/// What a strategy may find there or not, whatever is asked.
#[derive(Clone, Copy)]
pub struct Means<'a> {
    /// The encoder, which may have token embeddings.
    pub embedder: &'a dyn Embedder,
    /// A language model, where one is configured.
    pub writer: Option<&'a dyn Writer>,
}

/// A language model as strategies use it: a few words in one piece.
pub trait Writer: Send + Sync {
    /// What the model says to `messages`, in at most `max_tokens` tokens. Blocks, for a bounded time.
    ///
    /// # Errors
    /// In words, if the model can't be reached, refuses, or is too slow.
    fn write(&self, messages: Vec<Message>, max_tokens: u32) -> Result<String, String>;
}

/// Where a strategy reads the text of what it found.
pub trait Passages: Send + Sync {
    /// Title and text of each chunk, in order; `None` where it is gone.
    fn texts(&self, chunks: &[ChunkId]) -> Result<Vec<Option<PassageText>>, String>;
}

/// A passage as a reranker reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassageText {
    /// Its document's title with the headings above it.
    pub title: String,
    /// Its own text.
    pub text: String,
}

/// What is wanted.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The question.
    pub query: &'a str,
    /// What was said before it, oldest message first.
    pub conversation: &'a [Message],
    /// Its embedding, there whenever [`Retriever::needs_embedding`].
    pub embedding: &'a [f32],
    /// What a first look found, where there was one.
    pub lists: Option<&'a Lists>,
    /// How likely the answer takes several passages, in [0, 1].
    pub complexity: f64,
    /// Which chunks may be found.
    pub filter: &'a Filter,
    /// How many are wanted.
    pub limit: usize,
}

/// A chunk with the score that it is ranked by, and the scores that went into that.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored {
    /// The chunk.
    pub chunk: ChunkId,
    /// What it is ranked by; comparable within one list only.
    pub score: f32,
    /// Named parts of the score.
    pub components: Vec<(&'static str, f32)>,
}

/// Why nothing could be retrieved.
#[derive(Debug, thiserror::Error)]
pub enum RetrievalError {
    /// An index failed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The encoder failed.
    #[error(transparent)]
    Embed(#[from] EmbedError),
    /// The texts of passages can't be read.
    #[error("passages cannot be read: {0}")]
    Passages(String),
    /// The encoder gives one vector a text only.
    #[error(
        "the strategy `{strategy}` compares token by token, and the embedding model `{model}` has no token embeddings: choose another strategy or a local encoder"
    )]
    NotTokenwise {
        /// The strategy.
        strategy: &'static str,
        /// The encoder.
        model: String,
    },
    /// There is no language model.
    #[error(
        "the strategy `{strategy}` asks a language model, and none is configured: add one under `[[models]]` to the settings, or choose another strategy"
    )]
    NoModel {
        /// The strategy.
        strategy: &'static str,
    },
    /// The language model did not do its part.
    #[error("the strategy `{strategy}` asked a language model in vain: {reason}")]
    Unwritten {
        /// The strategy.
        strategy: &'static str,
        /// What happened.
        reason: String,
    },
}

/// A way to find passages for a question.
pub trait Retriever: Send + Sync {
    /// The name by which users pin it and logs know it.
    fn name(&self) -> &'static str;

    /// Whether the question must be embedded first.
    fn needs_embedding(&self) -> bool {
        true
    }

    /// Whether it looks at any document.
    fn consults_documents(&self) -> bool {
        true
    }

    /// Whether it can work with what the settings give.
    ///
    /// # Errors
    /// If it cannot, with what is missing and what to do.
    fn works_with(&self, _means: Means<'_>) -> Result<(), RetrievalError> {
        Ok(())
    }

    /// At most `request.limit` chunks, best first, none twice.
    fn retrieve(&self, sources: Sources<'_>, request: Request<'_>) -> Result<Vec<Scored>, RetrievalError>;
}
