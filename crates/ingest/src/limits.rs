//! What a caller may set: how much one file may take, and how large chunks are.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::fault::Fault;

/// How much reading one file may take. A file that wants more is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest file that is read as one document. Files of records are streamed, and not bound by it.
    pub max_file_bytes: u64,
    /// The most text that one document, or one record, may hold.
    pub max_text_bytes: u64,
    /// The longest that parsing one document may take. Files of records are not bound by it.
    pub max_seconds: u64,
    /// The most memory that parsing one document may take: the address space of the process that parses PDFs,
    /// which its program and its stack take about 100 MiB of, and an estimate for the other formats.
    pub max_memory_bytes: u64,
    /// The program that parses PDFs apart from this process; its `main` calls
    /// [`run_isolated_parser`](crate::run_isolated_parser) first. `None` stands for the running program.
    pub parser: Option<PathBuf>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_file_bytes: 512 << 20,
            max_text_bytes: 64 << 20,
            max_seconds: 15,
            max_memory_bytes: 512 << 20,
            parser: None,
        }
    }
}

/// How documents are cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunking {
    /// No chunk has more tokens, a single character that has more aside. At least 8.
    pub max_tokens: usize,
    /// Chunks with fewer tokens are avoided where their section has more text.
    pub min_tokens: usize,
    /// How many tokens of the chunk before are repeated at the start of a chunk of the same section, in whole sentences.
    /// At most half of `max_tokens`.
    pub overlap_tokens: usize,
    /// Records of a JSON Lines file are not cut up to this length: they are passages already.
    pub record_max_tokens: usize,
}

impl Default for Chunking {
    fn default() -> Self {
        Self { max_tokens: 200, min_tokens: 40, overlap_tokens: 0, record_max_tokens: 512 }
    }
}

/// How long a text is to the embedding model.
///
/// Texts joined by white space must not count more than they do apart, since every sentence is counted once and
/// the counts are added. The count must not be cut off at the model's window.
pub trait TokenCounter: Send + Sync {
    /// The tokens of `text`, special tokens left out.
    fn count(&self, text: &str) -> usize;
}

impl<F: Fn(&str) -> usize + Send + Sync> TokenCounter for F {
    fn count(&self, text: &str) -> usize {
        self(text)
    }
}

/// The instant after which a parser gives up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    end: Instant,
    seconds: u64,
}

impl Deadline {
    pub(crate) fn start(limits: &Limits) -> Self {
        Self { end: Instant::now() + Duration::from_secs(limits.max_seconds), seconds: limits.max_seconds }
    }

    pub(crate) fn check(&self) -> Result<(), Fault> {
        match Instant::now() <= self.end {
            true => Ok(()),
            false => Err(Fault::TooSlow { seconds: self.seconds }),
        }
    }
}

/// Refuses `source` when a tree of it, with about one node of `node_bytes` for each of its `marks`, outgrows the limit.
///
/// Parsers of marked-up text take memory by the element, not by the byte, so that a small file can ask for much.
pub(crate) fn check_memory(
    source: &[u8],
    marks: &[u8],
    node_bytes: u64,
    limits: &Limits,
) -> Result<(), Fault> {
    let nodes = source.iter().filter(|byte| marks.contains(byte)).count();
    match (nodes as u64).saturating_mul(node_bytes) > limits.max_memory_bytes {
        true => Err(Fault::MemoryTooLarge { limit: limits.max_memory_bytes }),
        false => Ok(()),
    }
}
