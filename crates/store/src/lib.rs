//! Keeps documents, decisions, outcomes and learned snapshots for good, in one SQLite database.
//!
//! One thread writes and commits whatever waits for it together; another has the disk confirm what was committed
//! meanwhile. Readers see the last commit and never wait. Every write to the documents is one *generation*, which the indexes follow. Nothing is decided
//! here: ids of requests and times are given by the caller.

mod batches;
mod changes;
mod connection;
mod documents;
mod fault;
mod job;
mod log;
mod lookup;
mod pace;
mod record;
mod requests;
mod schema;
mod sources;
mod syncer;
mod writer;

use std::path::{Path, PathBuf};

use burnish_types::{
    Answer, BatchResult, BatchStanding, BatchState, BoxFuture, ChangeSet, Chunk, ChunkId, Decision, Document,
    DocumentDraft, DocumentId, Embedding, Generation, LoggedOutcome, Outcome, Recorded, RequestId, Store,
    StoreError, StoredDecision, Timestamp, Totals,
};

use connection::Readers;
use fault::Access;
use log::Log;
use writer::Writer;

/// The database's name in its directory.
const FILE_NAME: &str = "burnish.db";

/// [`Store`] on SQLite in WAL mode.
///
/// What writes and returns no future blocks its thread until it is durable; it may be called inside an asynchronous
/// runtime all the same. `record_*` block only while thousands of writes wait already. Dropping the store finishes
/// what is queued and closes the database. Once the disk has failed to confirm a write, every later one is refused;
/// what was recorded can still be read.
pub struct SqliteStore {
    file: PathBuf,
    // Closed before the writer: whoever closes last folds the log into the database, which a reader can't.
    readers: Readers,
    writer: Writer,
}

impl SqliteStore {
    /// Opens the store in `directory`, and makes both where they are missing. A store of an older version is
    /// migrated, one of a newer version refused.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let file = directory.join(FILE_NAME);
        let mut connection = connection::open_writer(&file)?;
        schema::migrate(&mut connection, &file)?;
        let log = Log::open(&connection, &file)?;
        let writer = Writer::start(connection, file.clone(), move || log.sync())?;
        Ok(Self { readers: Readers::new(file.clone()), writer, file })
    }

    /// The database.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// How many transactions this store has committed since it was opened. Many writes may share one.
    pub fn commits(&self) -> u64 {
        self.writer.commits()
    }
}

fn refused(error: StoreError) -> BoxFuture<'static, Result<(), StoreError>> {
    Box::pin(async { Err(error) })
}

impl Store for SqliteStore {
    fn source_hash(&self, source: &str) -> Result<Option<String>, StoreError> {
        self.readers.read(|connection| sources::hash(connection, source))
    }

    fn source_documents(&self, source: &str) -> Result<Vec<(DocumentId, String, String)>, StoreError> {
        self.readers.read(|connection| sources::documents(connection, source))
    }

    fn finish_source(&self, source: &str, content_hash: &str, at: Timestamp) -> Result<(), StoreError> {
        let (source, hash) = (source.to_owned(), content_hash.to_owned());
        self.writer.wait(move |connection| sources::finish(connection, &source, &hash, at))
    }

    fn sources(&self) -> Result<Vec<String>, StoreError> {
        self.readers.read(sources::all)
    }

    fn put_documents(
        &self,
        documents: Vec<(DocumentDraft, Vec<Embedding>)>,
        at: Timestamp,
    ) -> Result<ChangeSet, StoreError> {
        self.writer.wait(move |connection| documents::put(connection, &documents, at))
    }

    fn remove_documents(&self, documents: &[DocumentId]) -> Result<ChangeSet, StoreError> {
        let ids = documents.to_vec();
        self.writer.wait(move |connection| documents::remove(connection, &ids))
    }

    fn generation(&self) -> Result<Generation, StoreError> {
        self.readers.read(lookup::generation)
    }

    fn changes(&self, since: Generation, limit: usize) -> Result<ChangeSet, StoreError> {
        self.readers.read(|connection| changes::since(connection, since, limit))
    }

    fn forget_removals(&self, generation: Generation) -> Result<(), StoreError> {
        self.writer.wait(move |connection| changes::forget_removals(connection, generation))
    }

    fn chunks(&self, ids: &[ChunkId]) -> Result<Vec<Chunk>, StoreError> {
        self.readers.read(|connection| lookup::chunks(connection, ids))
    }

    fn chunk_ids(&self) -> Result<Vec<ChunkId>, StoreError> {
        self.readers.read(lookup::chunk_ids)
    }

    fn document(&self, id: DocumentId) -> Result<Option<Document>, StoreError> {
        self.readers.read(|connection| lookup::document(connection, id))
    }

    fn document_chunks(&self, id: DocumentId) -> Result<Vec<Chunk>, StoreError> {
        self.readers.read(|connection| lookup::document_chunks(connection, id))
    }

    fn documents(&self, after: Option<DocumentId>, limit: usize) -> Result<Vec<Document>, StoreError> {
        self.readers.read(|connection| lookup::documents(connection, after, limit))
    }

    fn record_decision(&self, decision: Decision) -> Recorded {
        match record::encode(&decision) {
            Ok(json) => self.writer.record(move |connection| {
                requests::put_decision(connection, decision.id, decision.at, &json)
            }),
            Err(fault) => {
                let error = fault.at(&self.file, Access::Write);
                Recorded { written: refused(error.clone()), durable: refused(error) }
            }
        }
    }

    fn record_answer(
        &self,
        request: RequestId,
        answer: Answer,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        match record::encode(&answer) {
            Ok(json) => self.writer.queue(move |connection| requests::put_answer(connection, request, &json)),
            Err(fault) => refused(fault.at(&self.file, Access::Write)),
        }
    }

    fn record_outcomes(&self, outcomes: Vec<Outcome>) -> BoxFuture<'static, Result<(), StoreError>> {
        match requests::encode_outcomes(&outcomes) {
            Ok(outcomes) => {
                self.writer.queue(move |connection| requests::put_outcomes(connection, &outcomes))
            }
            Err(fault) => refused(fault.at(&self.file, Access::Write)),
        }
    }

    fn decision(&self, id: RequestId) -> BoxFuture<'static, Result<Option<StoredDecision>, StoreError>> {
        // By the writing thread, so behind everything that was recorded before.
        let found = self.writer.read(move |connection| requests::decision(connection, id));
        let file = self.file.clone();
        Box::pin(async move {
            let found = found.await?;
            found.map(|found| found.decode()).transpose().map_err(|fault| fault.at(&file, Access::Read))
        })
    }

    fn outcome_log(&self, after: u64, limit: usize) -> Result<Vec<LoggedOutcome>, StoreError> {
        self.readers.read(|connection| requests::outcome_log(connection, after, limit))
    }

    fn decision_log(
        &self,
        after: Option<RequestId>,
        limit: usize,
    ) -> Result<Vec<StoredDecision>, StoreError> {
        self.readers.read(|connection| requests::decision_log(connection, after, limit))
    }

    fn forget_user(&self, tenant: Option<&str>, user: &str) -> Result<u64, StoreError> {
        let (tenant, user) = (tenant.map(str::to_owned), user.to_owned());
        self.writer.wait(move |connection| requests::forget_user(connection, tenant.as_deref(), &user))
    }

    fn put_batch(
        &self,
        id: RequestId,
        at: Timestamp,
        questions: usize,
        record: String,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.writer.queue(move |connection| batches::put(connection, id, at, questions, &record))
    }

    fn batch_record(&self, id: RequestId) -> Result<Option<String>, StoreError> {
        self.readers.read(|connection| batches::record(connection, id))
    }

    fn put_batch_result(
        &self,
        id: RequestId,
        result: BatchResult,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.writer.queue(move |connection| batches::put_result(connection, id, &result))
    }

    fn batch_results(
        &self,
        id: RequestId,
        from: usize,
        limit: usize,
    ) -> Result<Vec<BatchResult>, StoreError> {
        self.readers.read(|connection| batches::results(connection, id, from, limit))
    }

    fn end_batch(&self, id: RequestId, state: BatchState) -> BoxFuture<'static, Result<bool, StoreError>> {
        self.writer.queue(move |connection| batches::end(connection, id, state))
    }

    fn batch_standing(&self, id: RequestId) -> Result<Option<BatchStanding>, StoreError> {
        self.readers.read(|connection| batches::standing(connection, id))
    }

    fn batches(&self, limit: usize) -> Result<Vec<BatchStanding>, StoreError> {
        self.readers.read(|connection| batches::latest(connection, limit))
    }

    fn open_batches(&self) -> Result<Vec<RequestId>, StoreError> {
        self.readers.read(batches::open)
    }

    fn put_register(&self, name: &str, record: &str) -> Result<(), StoreError> {
        let (name, record) = (name.to_owned(), record.to_owned());
        self.writer.wait(move |connection| requests::put_register(connection, &name, &record))
    }

    fn register(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.readers.read(|connection| requests::register(connection, name))
    }

    fn put_snapshot(&self, learner: &str, position: u64, state: &[u8]) -> Result<(), StoreError> {
        let (learner, state) = (learner.to_owned(), state.to_vec());
        self.writer.wait(move |connection| requests::put_snapshot(connection, &learner, position, &state))
    }

    fn snapshot(&self, learner: &str) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        self.readers.read(|connection| requests::snapshot(connection, learner))
    }

    fn totals(&self) -> Result<Totals, StoreError> {
        self.readers.read(lookup::totals)
    }

    fn check(&self) -> Result<(), StoreError> {
        self.writer.wait(|connection| {
            connection
                .prepare_cached("UPDATE meta SET value = value + 1 WHERE key = 'checks'")?
                .execute([])?;
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use burnish_types::{ChunkDraft, Format, Location, Metadata};

    use super::*;

    fn document(key: &str, bytes: usize) -> (DocumentDraft, Vec<Embedding>) {
        let chunk = ChunkDraft { text: "x".repeat(bytes), location: Location::default(), tokens: 1 };
        let draft = DocumentDraft {
            key: key.to_owned(),
            source: key.to_owned(),
            title: key.to_owned(),
            format: Format::Text,
            metadata: Metadata::new(),
            content_hash: String::new(),
            chunks: vec![chunk],
        };
        (draft, vec![vec![1.0]])
    }

    /// SQLite reports a database that has reached this size as it does a disk that is full.
    fn limit_pages(store: &SqliteStore, pages: u32) {
        let limit = move |connection: &rusqlite::Connection| {
            Ok(connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?)
        };
        store.writer.wait(limit).unwrap();
    }

    #[test]
    fn a_full_disk_is_said_loses_nothing_and_can_be_recovered_from() {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(directory.path()).unwrap();
        store.put_documents(vec![document("before", 10)], Timestamp(1)).unwrap();
        limit_pages(&store, 40);
        for _ in 0..2 {
            let error =
                store.put_documents(vec![document("small", 10), document("large", 1 << 20)], Timestamp(1));
            let error = error.unwrap_err();
            assert!(matches!(&error, StoreError::Full { path } if path.ends_with(FILE_NAME)), "{error}");
            assert_eq!((store.totals().unwrap().documents, store.generation().unwrap()), (1, Generation(1)));
        }
        store.check().unwrap();
        store.put_documents(vec![document("after", 10)], Timestamp(1)).unwrap();
        limit_pages(&store, 1 << 20);
        store.put_documents(vec![document("large", 1 << 20)], Timestamp(1)).unwrap();
        drop(store);
        let store = SqliteStore::open(directory.path()).unwrap();
        let keys: Vec<_> =
            store.documents(None, 9).unwrap().into_iter().map(|document| document.key).collect();
        assert_eq!(keys, ["before", "after", "large"]);
    }

    #[test]
    fn what_fits_is_stored_beside_what_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(directory.path()).unwrap();
        limit_pages(&store, 40);
        let results = std::thread::scope(|scope| {
            let put = |key: &'static str, bytes| {
                let store = &store;
                scope.spawn(move || store.put_documents(vec![document(key, bytes)], Timestamp(1)).is_ok())
            };
            let threads = [put("a", 10), put("large", 1 << 20), put("b", 10), put("larger", 1 << 21)];
            threads.map(|thread| thread.join().unwrap())
        });
        assert_eq!(results, [true, false, true, false]);
        assert_eq!(store.totals().unwrap().documents, 2);
    }
}
