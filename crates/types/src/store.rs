//! The seam to whatever keeps documents, decisions and outcomes for good.

use crate::{
    Answer, BatchResult, BatchStanding, BatchState, BoxFuture, Chunk, ChunkId, Decision, Document,
    DocumentDraft, DocumentId, Embedding, Generation, IndexedChunk, Outcome, RequestId, Timestamp,
};

/// Why the store could not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk is full.
    #[error("the disk that holds `{path}` is full: nothing was stored; make room and try again")]
    Full {
        /// The database.
        path: String,
    },
    /// The database can't be written.
    #[error("`{path}` cannot be written ({reason}): nothing was stored; check the directory's permissions")]
    ReadOnly {
        /// The database.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// The database is of a later version of the program.
    #[error(
        "`{path}` has schema version {found}, this program knows {known}: run a newer burnish, or restore a backup"
    )]
    Newer {
        /// The database.
        path: String,
        /// Its version.
        found: u32,
        /// The last one that this program knows.
        known: u32,
    },
    /// What a record says can't be understood.
    #[error("a {what} in `{path}` cannot be read: {reason}")]
    Corrupt {
        /// The kind of record.
        what: &'static str,
        /// The database.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// No decision has this id.
    #[error("no request has the id `{0}`")]
    UnknownRequest(RequestId),
    /// Anything else.
    #[error("the store at `{path}` failed: {reason}")]
    Failed {
        /// The database.
        path: String,
        /// What it said.
        reason: String,
    },
}

/// What the indexes have to do to come from one generation to a later one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChangeSet {
    /// The generation they will be at.
    pub generation: Generation,
    /// Chunks to add or replace.
    pub added: Vec<IndexedChunk>,
    /// Chunks to drop.
    pub removed: Vec<ChunkId>,
}

/// How much the store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Documents.
    pub documents: u64,
    /// Chunks.
    pub chunks: u64,
    /// Decisions.
    pub decisions: u64,
    /// Outcomes.
    pub outcomes: u64,
}

/// A decision with what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredDecision {
    /// The decision.
    pub decision: Decision,
    /// The answer, once it was complete.
    pub answer: Option<Answer>,
    /// The outcomes, oldest first.
    pub outcomes: Vec<Outcome>,
}

/// An outcome as a learner folds it in: with everything that was known when it came.
#[derive(Clone, Debug, PartialEq)]
pub struct LoggedOutcome {
    /// Its place in the log.
    pub position: u64,
    /// The outcome.
    pub outcome: Outcome,
    /// What was decided.
    pub decision: Decision,
    /// What was answered, once that was complete.
    pub answer: Option<Answer>,
    /// The outcomes of the same request before it, oldest first.
    pub earlier: Vec<Outcome>,
}

/// A record on its way to the disk. It arrives, too, when nobody waits for it.
pub struct Recorded {
    /// Resolves once the record survives the end of this process, however that ends.
    pub written: BoxFuture<'static, Result<(), StoreError>>,
    /// Resolves once the record survives a loss of power, too. Implied by nothing but the disk's word.
    pub durable: BoxFuture<'static, Result<(), StoreError>>,
}

/// Keeps everything that must survive. What returns `Ok` is on disk for good.
pub trait Store: Send + Sync {
    /// The content hash that `source` had when all of it was last stored.
    fn source_hash(&self, source: &str) -> Result<Option<String>, StoreError>;

    /// Key and content hash of each document of `source`.
    fn source_documents(&self, source: &str) -> Result<Vec<(DocumentId, String, String)>, StoreError>;

    /// Notes that all of `source` is stored, as it was with `content_hash`.
    fn finish_source(&self, source: &str, content_hash: &str, at: Timestamp) -> Result<(), StoreError>;

    /// Every source stored so far.
    fn sources(&self) -> Result<Vec<String>, StoreError>;

    /// Stores `documents` in one step, each with one embedding a chunk, in place of those with the same key.
    /// Returns what the indexes have to do about it.
    fn put_documents(
        &self,
        documents: Vec<(DocumentDraft, Vec<Embedding>)>,
        at: Timestamp,
    ) -> Result<ChangeSet, StoreError>;

    /// Drops documents in one step; those that are not there are passed over.
    fn remove_documents(&self, documents: &[DocumentId]) -> Result<ChangeSet, StoreError>;

    /// The newest generation.
    fn generation(&self) -> Result<Generation, StoreError>;

    /// What changed after `since`, at most about `limit` chunks of it, oldest first; empty at the end.
    fn changes(&self, since: Generation, limit: usize) -> Result<ChangeSet, StoreError>;

    /// Forgets the removals up to `generation`, which every index has applied.
    fn forget_removals(&self, generation: Generation) -> Result<(), StoreError>;

    /// The chunks with these ids, in their order; those that are gone are left out.
    fn chunks(&self, ids: &[ChunkId]) -> Result<Vec<Chunk>, StoreError>;

    /// The ids of all chunks, in ascending order.
    fn chunk_ids(&self) -> Result<Vec<ChunkId>, StoreError>;

    /// One document.
    fn document(&self, id: DocumentId) -> Result<Option<Document>, StoreError>;

    /// The chunks of a document in reading order.
    fn document_chunks(&self, id: DocumentId) -> Result<Vec<Chunk>, StoreError>;

    /// Documents by id, `limit` after `after`.
    fn documents(&self, after: Option<DocumentId>, limit: usize) -> Result<Vec<Document>, StoreError>;

    /// Records a decision. The write is under way when this returns.
    fn record_decision(&self, decision: Decision) -> Recorded;

    /// Records what a request was answered; resolves once it is durable.
    fn record_answer(&self, request: RequestId, answer: Answer)
    -> BoxFuture<'static, Result<(), StoreError>>;

    /// Records outcomes, all or none; resolves once they are durable.
    fn record_outcomes(&self, outcomes: Vec<Outcome>) -> BoxFuture<'static, Result<(), StoreError>>;

    /// A decision with its answer and outcomes, everything recorded before included.
    fn decision(&self, id: RequestId) -> BoxFuture<'static, Result<Option<StoredDecision>, StoreError>>;

    /// Each outcome in the order in which it was recorded, after the `after`th, `limit` of them.
    fn outcome_log(&self, after: u64, limit: usize) -> Result<Vec<LoggedOutcome>, StoreError>;

    /// Decisions in the order of their ids, which is that of time, `limit` of them after `after`.
    fn decision_log(&self, after: Option<RequestId>, limit: usize)
    -> Result<Vec<StoredDecision>, StoreError>;

    /// Drops for good what `user` of `tenant` reported, and returns how many outcomes that were. Reports without a
    /// name count as those of whoever asked.
    fn forget_user(&self, tenant: Option<&str>, user: &str) -> Result<u64, StoreError>;

    /// Keeps a batch of `questions` questions, which `record` says; resolves once it is durable.
    fn put_batch(
        &self,
        id: RequestId,
        at: Timestamp,
        questions: usize,
        record: String,
    ) -> BoxFuture<'static, Result<(), StoreError>>;

    /// What was put for a batch.
    fn batch_record(&self, id: RequestId) -> Result<Option<String>, StoreError>;

    /// Keeps what became of one question of a batch; resolves once it is durable. The first result stands.
    fn put_batch_result(
        &self,
        id: RequestId,
        result: BatchResult,
    ) -> BoxFuture<'static, Result<(), StoreError>>;

    /// Results of a batch by place, `limit` of them from the place `from` on.
    fn batch_results(&self, id: RequestId, from: usize, limit: usize)
    -> Result<Vec<BatchResult>, StoreError>;

    /// Ends a batch that is open, and says whether it was; resolves once that is durable.
    fn end_batch(&self, id: RequestId, state: BatchState) -> BoxFuture<'static, Result<bool, StoreError>>;

    /// How far a batch is.
    fn batch_standing(&self, id: RequestId) -> Result<Option<BatchStanding>, StoreError>;

    /// The latest `limit` batches, the newest first.
    fn batches(&self, limit: usize) -> Result<Vec<BatchStanding>, StoreError>;

    /// The batches that are open, the oldest first.
    fn open_batches(&self) -> Result<Vec<RequestId>, StoreError>;

    /// Keeps a learner's state as it was after the `position`th outcome.
    fn put_snapshot(&self, learner: &str, position: u64, state: &[u8]) -> Result<(), StoreError>;

    /// Keeps what was decided about `name`, in place of what was before. Unlike a snapshot it can't be made anew from the log.
    fn put_register(&self, name: &str, record: &str) -> Result<(), StoreError>;

    /// What was decided last about `name`.
    fn register(&self, name: &str) -> Result<Option<String>, StoreError>;

    /// A learner's last snapshot.
    fn snapshot(&self, learner: &str) -> Result<Option<(u64, Vec<u8>)>, StoreError>;

    /// How much there is.
    fn totals(&self) -> Result<Totals, StoreError>;

    /// Whether it can be written now; used by readiness.
    fn check(&self) -> Result<(), StoreError>;
}
