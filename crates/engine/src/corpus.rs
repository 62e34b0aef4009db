//! Documents in the store and in both indexes, kept in step by generation.
//!
//! The store is the truth: a document is acknowledged once it is there. The indexes follow it, each
//! remembering the generation up to which it is durable, and whatever they miss is applied again at start.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burnish_index::{TantivyIndex, UsearchIndex};
use burnish_types::{
    ChangeSet, ChunkId, DocumentDraft, DocumentId, Embedder, Embedding, Generation, IndexError, LexicalIndex,
    Store, Timestamp, VectorIndex,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::EngineError;
use crate::caching::Caching;

/// Chunks that are applied in one step while catching up.
const CATCH_UP_CHUNKS: usize = 2_000;
/// Changed chunks after which the vector index is written out, which bounds the work of a repair.
const CHECKPOINT_CHUNKS: usize = 20_000;
/// Writing stops while there still is room for what runs already: engines that map files can't be told that
/// a disk is full, they are killed for it.
const SMALLEST_FREE_BYTES: u64 = 64 << 20;

/// The claim of this process on a data directory; it ends with the process, however that ends.
pub(crate) struct Claim {
    _lock: File,
}

/// Claims `data` for this process, making the directory where there is none.
pub(crate) fn claim(data: &Path) -> Result<Claim, EngineError> {
    let refused = |reason: String| EngineError::DataDirectory { path: data.display().to_string(), reason };
    fs::create_dir_all(data).map_err(|error| refused(format!("cannot be made: {error}")))?;
    let path = data.join("lock");
    let mut lock = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(|error| refused(format!("cannot be written: {error}")))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let holder = fs::read_to_string(&path).unwrap_or_default();
            return Err(refused(format!(
                "is in use by another burnish (process {}): stop that one, or use its HTTP API",
                holder.trim()
            )));
        }
        Err(TryLockError::Error(error)) => return Err(refused(format!("cannot be locked: {error}"))),
    }
    // For the message above only; a failure here harms nothing.
    let _ = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
    Ok(Claim { _lock: lock })
}

/// Whether the indexes hold what the store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agreement {
    /// Chunks in the store.
    pub chunks: u64,
    /// Chunks of the store that an index lacks.
    pub missing: Vec<ChunkId>,
    /// Chunks in an index that the store lacks.
    pub surplus: Vec<ChunkId>,
}

impl Agreement {
    /// Whether all three are the same.
    pub fn holds(&self) -> bool {
        self.missing.is_empty() && self.surplus.is_empty()
    }
}

/// The store and both indexes.
pub(crate) struct Corpus {
    directory: PathBuf,
    store: Arc<dyn Store>,
    pub(crate) lexical: Arc<TantivyIndex>,
    pub(crate) vectors: Arc<UsearchIndex>,
    /// Told of every removal, before that is acknowledged.
    caching: Arc<Caching>,
    writer: Mutex<Writer>,
    _claim: Claim,
}

/// How far the indexes are. Held by whoever changes anything, so that generations are applied in order.
struct Writer {
    lexical: Generation,
    vectors: Generation,
    since_checkpoint: usize,
}

/// Which encoder the vectors are of.
#[derive(Serialize, Deserialize)]
struct Encoding {
    embedding_model: String,
    dimensions: usize,
}

impl Corpus {
    pub(crate) fn open(
        data: &Path,
        claim: Claim,
        store: Arc<dyn Store>,
        embedder: &dyn Embedder,
        caching: Arc<Caching>,
    ) -> Result<Self, EngineError> {
        check_encoding(data, embedder)?;
        let newest = store.generation()?;
        let lexical = Arc::new(open_lexical(&data.join("lexical"), newest)?);
        let filters = Arc::clone(&lexical);
        let resolve = Arc::new(move |filter: &_| filters.matching(filter));
        let vectors = open_vectors(&data.join("vectors"), embedder.dimensions(), resolve, newest)?;
        let writer =
            Writer { lexical: lexical.generation(), vectors: vectors.generation(), since_checkpoint: 0 };
        let corpus = Self {
            directory: data.to_owned(),
            store,
            lexical,
            vectors: Arc::new(vectors),
            caching,
            writer: Mutex::new(writer),
            _claim: claim,
        };
        corpus.repair()?;
        Ok(corpus)
    }

    /// Stores documents with their embeddings; they are acknowledged when this returns, and found once
    /// [`Corpus::publish`] was called.
    pub(crate) fn put(
        &self,
        documents: Vec<(DocumentDraft, Vec<Embedding>)>,
        at: Timestamp,
    ) -> Result<(), EngineError> {
        self.check_room()?;
        let mut writer = self.writer.lock();
        self.catch_up(&mut writer)?;
        let change = self.store.put_documents(documents, at)?;
        self.caching.corpus_changed(&change);
        self.apply(&mut writer, &change)
    }

    /// Drops documents for good.
    pub(crate) fn remove(&self, documents: &[DocumentId]) -> Result<(), EngineError> {
        let mut writer = self.writer.lock();
        self.catch_up(&mut writer)?;
        let change = self.store.remove_documents(documents)?;
        self.caching.corpus_changed(&change);
        self.apply(&mut writer, &change)?;
        self.show(&mut writer)
    }

    /// Lets readers find everything stored so far.
    pub(crate) fn publish(&self) -> Result<(), EngineError> {
        let mut writer = self.writer.lock();
        self.catch_up(&mut writer)?;
        self.show(&mut writer)?;
        if writer.since_checkpoint >= CHECKPOINT_CHUNKS { self.write_out(&mut writer) } else { Ok(()) }
    }

    /// Makes both indexes durable, so that the next start has nothing to repair.
    pub(crate) fn checkpoint(&self) -> Result<(), EngineError> {
        let mut writer = self.writer.lock();
        self.catch_up(&mut writer)?;
        if self.lexical.generation() < writer.lexical {
            self.show(&mut writer)?;
        }
        self.write_out(&mut writer)
    }

    /// Compares the three, chunk by chunk.
    pub(crate) fn agreement(&self) -> Result<Agreement, EngineError> {
        let _writer = self.writer.lock();
        let stored: BTreeSet<ChunkId> = self.store.chunk_ids()?.into_iter().collect();
        let mut agreement = Agreement { chunks: stored.len() as u64, ..Agreement::default() };
        for indexed in [self.lexical.chunk_ids()?, self.vectors.chunk_ids()?] {
            let indexed: BTreeSet<ChunkId> = indexed.into_iter().collect();
            agreement.missing.extend(stored.difference(&indexed));
            agreement.surplus.extend(indexed.difference(&stored));
        }
        Ok(agreement)
    }

    /// Brings both indexes to where the store is, by building anew what cannot be brought there.
    fn repair(&self) -> Result<(), EngineError> {
        let mut writer = self.writer.lock();
        let newest = self.store.generation()?;
        let behind = writer.lexical < newest || writer.vectors < newest;
        if behind {
            let (lexical, vectors) = (writer.lexical, writer.vectors);
            tracing::info!(%newest, %lexical, %vectors, "bringing the indexes up to the store");
            self.catch_up(&mut writer)?;
            self.show(&mut writer)?;
        }
        let rebuilt = self.rebuild(&mut writer)?;
        if behind || rebuilt { self.write_out(&mut writer) } else { Ok(()) }
    }

    /// Builds anew what has more or fewer chunks than the store, and returns whether anything had.
    fn rebuild(&self, writer: &mut Writer) -> Result<bool, EngineError> {
        let chunks = self.store.totals()?.chunks;
        let (lexical, vectors) = (self.lexical.count()?, self.vectors.count()?);
        if lexical == chunks && vectors == chunks {
            return Ok(false);
        }
        tracing::warn!(
            chunks,
            lexical,
            vectors,
            "an index differs from the store: building it anew from there"
        );
        if lexical != chunks {
            self.lexical.clear()?;
            writer.lexical = self.lexical.generation();
        }
        if vectors != chunks {
            self.vectors.clear()?;
            writer.vectors = self.vectors.generation();
        }
        self.catch_up(writer)?;
        self.show(writer)?;
        let (lexical, vectors) = (self.lexical.count()?, self.vectors.count()?);
        if lexical == chunks && vectors == chunks {
            return Ok(true);
        }
        let reason = format!(
            "is damaged: its store counts {chunks} chunks, of which {lexical} could be read for the lexical index and \
             {vectors} for the vector index; restore a backup, or ingest the documents into another directory"
        );
        Err(EngineError::DataDirectory { path: self.directory.display().to_string(), reason })
    }

    /// Applies what an index missed, after a crash or after an index failed.
    fn catch_up(&self, writer: &mut Writer) -> Result<(), EngineError> {
        let newest = self.store.generation()?;
        while writer.lexical < newest {
            let change = self.store.changes(writer.lexical, CATCH_UP_CHUNKS)?;
            self.lexical.apply(&change.added, &change.removed)?;
            writer.lexical = change.generation;
        }
        while writer.vectors < newest {
            let change = self.store.changes(writer.vectors, CATCH_UP_CHUNKS)?;
            self.vectors.apply(&change.added, &change.removed)?;
            writer.vectors = change.generation;
        }
        Ok(())
    }

    fn apply(&self, writer: &mut Writer, change: &ChangeSet) -> Result<(), EngineError> {
        self.lexical.apply(&change.added, &change.removed)?;
        writer.lexical = change.generation;
        self.vectors.apply(&change.added, &change.removed)?;
        writer.vectors = change.generation;
        writer.since_checkpoint += change.added.len() + change.removed.len();
        Ok(())
    }

    fn show(&self, writer: &mut Writer) -> Result<(), EngineError> {
        if let Err(error) = self.lexical.commit(writer.lexical) {
            // What could not be committed was rolled back, and is applied again from the store.
            writer.lexical = self.lexical.generation();
            return Err(error.into());
        }
        self.vectors.publish();
        self.caching.corpus_shown(writer.lexical);
        Ok(())
    }

    fn write_out(&self, writer: &mut Writer) -> Result<(), EngineError> {
        if self.vectors.generation() < writer.vectors {
            self.vectors.commit(writer.vectors)?;
        }
        self.store.forget_removals(self.lexical.generation().min(self.vectors.generation()))?;
        writer.since_checkpoint = 0;
        Ok(())
    }

    /// Whether the disk has room for more.
    pub(crate) fn check_room(&self) -> Result<(), EngineError> {
        let Ok(disk) = rustix::fs::statvfs(&self.directory) else {
            return Ok(());
        };
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free < SMALLEST_FREE_BYTES {
            return Err(EngineError::DiskFull {
                path: self.directory.display().to_string(),
                free_mib: free >> 20,
            });
        }
        Ok(())
    }
}

/// An index that cannot be read, or is ahead of the store and so belongs to another history, such as a restored
/// backup's, gives way to an empty one: the store fills it again.
fn open_lexical(directory: &Path, newest: Generation) -> Result<TantivyIndex, IndexError> {
    match TantivyIndex::open(directory) {
        Ok(index) if index.generation() <= newest => return Ok(index),
        Ok(_) => {}
        Err(error) => tracing::warn!("{error}: building it anew from the store"),
    }
    discard(directory, "lexical")?;
    TantivyIndex::open(directory)
}

fn open_vectors(
    directory: &Path,
    dimensions: usize,
    resolve: burnish_index::FilterResolver,
    newest: Generation,
) -> Result<UsearchIndex, IndexError> {
    let index = UsearchIndex::open(directory, dimensions, Arc::clone(&resolve))?;
    if index.generation() <= newest {
        return Ok(index);
    }
    drop(index);
    discard(directory, "vector")?;
    UsearchIndex::open(directory, dimensions, resolve)
}

fn discard(directory: &Path, engine: &'static str) -> Result<(), IndexError> {
    fs::remove_dir_all(directory).map_err(|error| IndexError::Engine {
        engine,
        path: directory.display().to_string(),
        reason: format!("it does not follow the store and cannot be removed: {error}"),
    })
}

/// Vectors of different encoders can't be compared, so a directory stays with the one that it began with.
fn check_encoding(data: &Path, embedder: &dyn Embedder) -> Result<(), EngineError> {
    let path = data.join("encoding.json");
    let refused = |reason: String| EngineError::DataDirectory { path: data.display().to_string(), reason };
    match fs::read(&path) {
        Ok(bytes) => {
            let encoding: Encoding = serde_json::from_slice(&bytes)
                .map_err(|error| refused(format!("has an `encoding.json` that cannot be read: {error}")))?;
            if encoding.embedding_model == embedder.model() {
                return Ok(());
            }
            Err(refused(format!(
                "was embedded with `{}`, and the embedding model is now `{}`: set that model again, or ingest into \
                 another directory",
                encoding.embedding_model,
                embedder.model()
            )))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let encoding =
                Encoding { embedding_model: embedder.model().to_owned(), dimensions: embedder.dimensions() };
            let text = serde_json::to_vec(&encoding).map_err(|error| refused(error.to_string()))?;
            burnish_index::replace_file(&path, &text)
                .map_err(|error| refused(format!("cannot be written: {error}")))
        }
        Err(error) => Err(refused(format!("cannot be read: {error}"))),
    }
}
