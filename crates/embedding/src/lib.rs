//! Texts to vectors: a BERT encoder that runs in this process, an OpenAI-compatible remote one, and a cache for queries.
//!
//! [`LocalEncoder`] reads a folder in sentence-transformers form and computes on the CPU with its own kernels.
//! [`RemoteEmbedder`] calls `/v1/embeddings` somewhere else. [`CachedEmbedder`] wraps either for queries that come again.

mod cached;
mod local;
mod remote;

pub use cached::CachedEmbedder;
pub use local::LocalEncoder;
pub use remote::{RemoteEmbedder, RemoteSettings};
