//! The seams to the lexical and the vector index, and the filters that both understand.

use serde::{Deserialize, Serialize};

use crate::{ChunkId, DocumentId, Embedding, Generation, Metadata, MetadataValue};

/// One condition on a metadata field of the chunk's document.
///
/// The fields `format`, `source` and `document` (the key) are there for every document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// The field has this value.
    Equals(String, MetadataValue),
    /// The field has one of these values.
    AnyOf(String, Vec<MetadataValue>),
    /// The field is a number between these bounds, both included.
    Between(String, f64, f64),
}

/// Conditions that must all hold; none of them lets everything through.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Filter {
    /// The conditions.
    pub all: Vec<Condition>,
}

impl Filter {
    /// Whether everything passes.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

/// A chunk that an index found, the higher the score the better.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    /// Which chunk.
    pub chunk: ChunkId,
    /// Its score in the index's own unit: BM25, or the cosine.
    pub score: f32,
}

/// What the indexes need of a chunk.
#[derive(Clone, Debug, PartialEq)]
pub struct IndexedChunk {
    /// Its id.
    pub id: ChunkId,
    /// The document it belongs to.
    pub document: DocumentId,
    /// The document's title with the headings above the chunk.
    pub heading: String,
    /// The chunk's text.
    pub text: String,
    /// The document's metadata, with the fields that every document has.
    pub metadata: Metadata,
    /// The chunk's embedding.
    pub embedding: Embedding,
}

/// Why an index could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The engine's files or the disk failed.
    #[error("the {engine} index at `{path}` failed: {reason}")]
    Engine {
        /// `lexical` or `vector`.
        engine: &'static str,
        /// Its folder.
        path: String,
        /// What it said.
        reason: String,
    },
    /// The vectors of the query or of a chunk are not of the index's length.
    #[error(
        "a vector of {found} dimensions came where the index holds {expected}: was the embedding model changed?"
    )]
    Dimensions {
        /// What the index holds.
        expected: usize,
        /// What came.
        found: usize,
    },
}

/// The lexical engine. Like the vector engine it follows the store: one writer at a time, readers never
/// wait for it, and applying a change twice leaves the same state as applying it once, so after a crash
/// everything since [`LexicalIndex::generation`] is simply applied again.
pub trait LexicalIndex: Send + Sync {
    /// The last generation that is on disk for good.
    fn generation(&self) -> Generation;

    /// Adds or replaces `added`, then drops `removed`; readers see it after [`LexicalIndex::commit`].
    fn apply(&self, added: &[IndexedChunk], removed: &[ChunkId]) -> Result<(), IndexError>;

    /// Makes everything applied so far durable and visible, as `generation`.
    fn commit(&self, generation: Generation) -> Result<(), IndexError>;

    /// The `limit` best chunks by BM25 among those that pass `filter`, best first.
    fn search(&self, query: &str, filter: &Filter, limit: usize) -> Result<Vec<Hit>, IndexError>;

    /// The inverse document frequency of each analysed term of `query`, in order.
    fn term_idf(&self, query: &str) -> Result<Vec<(String, f32)>, IndexError>;

    /// How many chunks are searchable.
    fn count(&self) -> Result<u64, IndexError>;

    /// The ids of all searchable chunks, in ascending order.
    fn chunk_ids(&self) -> Result<Vec<ChunkId>, IndexError>;
}

/// The vector engine. See [`LexicalIndex`] for how it follows the store; other than there, being visible and
/// being durable are two steps, since the second can cost as much as writing all vectors and so is rare.
pub trait VectorIndex: Send + Sync {
    /// The last generation that is on disk for good.
    fn generation(&self) -> Generation;

    /// Adds or replaces `added`, which readers see after [`VectorIndex::publish`], then drops `removed`.
    fn apply(&self, added: &[IndexedChunk], removed: &[ChunkId]) -> Result<(), IndexError>;

    /// Makes everything applied so far visible.
    fn publish(&self);

    /// Makes everything applied so far durable, as `generation`.
    fn commit(&self, generation: Generation) -> Result<(), IndexError>;

    /// The `limit` nearest chunks by cosine among those that pass `filter`, nearest first.
    fn search(&self, query: &[f32], filter: &Filter, limit: usize) -> Result<Vec<Hit>, IndexError>;

    /// The embeddings of `chunks`, in their order; `None` where the index has none.
    fn embeddings(&self, chunks: &[ChunkId]) -> Result<Vec<Option<Embedding>>, IndexError>;

    /// How many chunks are searchable.
    fn count(&self) -> Result<u64, IndexError>;

    /// The ids of all searchable chunks, in ascending order.
    fn chunk_ids(&self) -> Result<Vec<ChunkId>, IndexError>;
}
