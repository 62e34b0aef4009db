//! The one thread that writes. It commits everything that waits for it together, and only then says so; what has to
//! be durable goes on to the [`Syncer`].
//!
//! This is group commit (DeWitt et al., "Implementation techniques for main memory database systems", SIGMOD 1984, on
//! recovery), twice: a commit costs about the same for one write as for a hundred, and so does a sync, during which
//! the next commits go on. A write that comes alone is committed, and synced, at once; where several came together, the
//! next ones wait a moment for more, since otherwise a busy server would spend its time on commits of one or two.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use burnish_types::{BoxFuture, Recorded, StoreError};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

use crate::fault::{Access, Fault, sqlite_error};
use crate::job::{Job, Reply, Task, Waiting};
use crate::pace::Pace;
use crate::syncer::Syncer;

/// The most jobs of one commit.
const GROUP: usize = 512;

/// From one commit of several jobs to the next.
const COMMIT_PACE: Duration = Duration::from_millis(1);

/// Jobs that may wait before whoever brings the next one waits, too.
const QUEUE: usize = 4_096;

/// Hands jobs to the writing thread.
pub(crate) struct Writer {
    file: PathBuf,
    queue: Option<SyncSender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
    commits: Arc<AtomicU64>,
}

impl Writer {
    /// Starts the thread, which owns `connection` from now on, and the one beside it, for which `sync` makes
    /// durable whatever was committed before.
    pub(crate) fn start(
        connection: Connection,
        file: PathBuf,
        sync: impl FnMut() -> io::Result<()> + Send + 'static,
    ) -> Result<Self, StoreError> {
        let (queue, jobs) = mpsc::sync_channel(QUEUE);
        let commits = Arc::new(AtomicU64::new(0));
        let syncer = Syncer::start(file.clone(), sync)?;
        let worker = Worker { syncer, connection, file: file.clone(), commits: Arc::clone(&commits) };
        let thread = thread::Builder::new()
            .name("burnish-store".to_owned())
            .spawn(move || worker.serve(&jobs))
            .map_err(|error| StoreError::Failed {
                path: file.display().to_string(),
                reason: error.to_string(),
            })?;
        Ok(Self { file, queue: Some(queue), thread: Some(thread), commits })
    }

    /// How many transactions were committed.
    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Runs `work` in the next commit and waits until it is durable.
    ///
    /// `work` may run twice, when the commit that it was part of failed; nothing of the first run is left then.
    pub(crate) fn wait<T: Send + 'static>(
        &self,
        work: impl FnMut(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        // Not a oneshot channel: its blocking receive panics inside an asynchronous runtime.
        let (sender, receiver) = mpsc::sync_channel(1);
        self.submit(work, Waiting::Durable(Box::new(move |result| drop(sender.send(result)))));
        receiver.recv().unwrap_or_else(|_| Err(stopped(&self.file)))
    }

    /// Like [`Writer::wait`], but leaves the waiting to the future. The job is queued when this returns, and
    /// stays so when the future is dropped.
    pub(crate) fn queue<T: Send + 'static>(
        &self,
        work: impl FnMut(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        let (reply, result) = self.promise();
        self.submit(work, Waiting::Durable(reply));
        result
    }

    /// Like [`Writer::queue`], with one future for the commit and one for the disk.
    pub(crate) fn record(
        &self,
        work: impl FnMut(&Connection) -> Result<(), Fault> + Send + 'static,
    ) -> Recorded {
        let (committed, written) = self.promise();
        let (synced, durable) = self.promise();
        self.submit(work, Waiting::Each { written: committed, durable: synced });
        Recorded { written, durable }
    }

    /// Runs `work`, which writes nothing, behind everything that was queued before.
    pub(crate) fn read<T: Send + 'static>(
        &self,
        work: impl FnMut(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        let (reply, result) = self.promise();
        self.submit(work, Waiting::Read(reply));
        result
    }

    /// A reply and what it resolves; a reply that is dropped unused says that the thread has stopped.
    fn promise<T: Send + 'static>(&self) -> (Reply<T>, BoxFuture<'static, Result<T, StoreError>>) {
        let (sender, receiver) = oneshot::channel();
        let file = self.file.clone();
        let result = async move { receiver.await.unwrap_or_else(|_| Err(stopped(&file))) };
        (Box::new(move |result| drop(sender.send(result))), Box::pin(result))
    }

    fn submit<T: Send + 'static>(
        &self,
        work: impl FnMut(&Connection) -> Result<T, Fault> + Send + 'static,
        waiting: Waiting<T>,
    ) {
        if let Some(queue) = &self.queue {
            // A job that comes back since the thread has stopped is dropped, and its replies with it.
            drop(queue.send(Box::new(Task::new(work, waiting))));
        }
    }
}

impl Drop for Writer {
    /// Lets the threads finish what is queued.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // An error says that the thread panicked, which its callers have been told.
            drop(thread.join());
        }
    }
}

/// What callers are told of a thread that has panicked.
pub(crate) fn stopped(file: &Path) -> StoreError {
    let reason = "its writing thread has stopped; restart to go on from the last commit".to_owned();
    StoreError::Failed { path: file.display().to_string(), reason }
}

/// Why a group was not committed.
enum Uncommitted {
    /// It was not even begun, so no part of it would fare better.
    NotBegun(rusqlite::Error),
    /// A job failed in such a way that SQLite gave up the whole transaction.
    Abandoned,
    /// The jobs were done, but could not be kept.
    RolledBack(rusqlite::Error),
}

struct Worker {
    // Dropped before the connection, whose end takes the log along.
    syncer: Syncer,
    connection: Connection,
    file: PathBuf,
    commits: Arc<AtomicU64>,
}

impl Worker {
    fn serve(mut self, jobs: &Receiver<Box<dyn Job>>) {
        let mut pace = Pace::new(COMMIT_PACE);
        while let Ok(first) = jobs.recv() {
            let mut group = vec![first];
            pace.wait();
            group.extend(jobs.try_iter().take(GROUP - 1));
            pace.begin(group.len());
            if let Some(error) = self.syncer.failure() {
                group = refuse_writes(group, &error);
            }
            if !group.is_empty() {
                self.settle(group);
            }
        }
    }

    /// Commits `group` and tells everyone in it. Where that fails, each job gets a commit of its own, so that only
    /// those fail that must: an outcome still fits on a disk that is too full for the documents beside it.
    fn settle(&mut self, mut group: Vec<Box<dyn Job>>) {
        let alone = group.len() == 1;
        match self.commit(&mut group) {
            Ok(()) => self.acknowledge(group),
            Err(Uncommitted::NotBegun(error)) => self.fail(group, &error),
            Err(Uncommitted::RolledBack(error)) if alone => self.fail(group, &error),
            // The job itself knows best what was wrong.
            Err(Uncommitted::Abandoned) if alone => self.acknowledge(group),
            Err(Uncommitted::RolledBack(_) | Uncommitted::Abandoned) => {
                group.into_iter().for_each(|job| self.settle(vec![job]));
            }
        }
    }

    /// Tells first whoever waits for the commit only, since the syncer may be behind.
    fn acknowledge(&self, group: Vec<Box<dyn Job>>) {
        let unsynced: Vec<_> = group.into_iter().filter_map(|job| job.committed(&self.file)).collect();
        unsynced.into_iter().for_each(|reply| self.syncer.push(reply));
    }

    fn fail(&self, group: Vec<Box<dyn Job>>, error: &rusqlite::Error) {
        group.into_iter().for_each(|job| job.fail(sqlite_error(error, &self.file, Access::Write)));
    }

    /// Runs all of `group` in one transaction, each job in a savepoint of its own.
    fn commit(&mut self, group: &mut [Box<dyn Job>]) -> Result<(), Uncommitted> {
        let behavior = TransactionBehavior::Immediate;
        let transaction =
            self.connection.transaction_with_behavior(behavior).map_err(Uncommitted::NotBegun)?;
        for job in group {
            run_apart(job.as_mut(), &transaction).map_err(Uncommitted::RolledBack)?;
            // SQLite gives up the whole transaction after some errors, a full disk among them.
            if transaction.is_autocommit() {
                return Err(Uncommitted::Abandoned);
            }
        }
        transaction.commit().map_err(Uncommitted::RolledBack)?;
        self.commits.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Runs a job in a savepoint of its own. Compiled once, since there is one a job.
fn run_apart(job: &mut dyn Job, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let run = |statement: &str| transaction.prepare_cached(statement)?.execute([]);
    run("SAVEPOINT job")?;
    // After some errors SQLite has given up the whole transaction, and the savepoint with it.
    if !job.run(transaction) && !transaction.is_autocommit() {
        run("ROLLBACK TO job")?;
    }
    if !transaction.is_autocommit() {
        run("RELEASE job")?;
    }
    Ok(())
}

/// Fails what would write, and returns the rest.
fn refuse_writes(group: Vec<Box<dyn Job>>, error: &StoreError) -> Vec<Box<dyn Job>> {
    let (reads, writes): (Vec<_>, Vec<_>) = group.into_iter().partition(|job| job.only_reads());
    writes.into_iter().for_each(|job| job.fail(error.clone()));
    reads
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    use super::*;

    fn writer(directory: &tempfile::TempDir) -> Writer {
        writer_with(directory, || Ok(()))
    }

    fn writer_with(
        directory: &tempfile::TempDir,
        sync: impl FnMut() -> io::Result<()> + Send + 'static,
    ) -> Writer {
        let file = directory.path().join("writer.db");
        let connection = Connection::open(&file).unwrap();
        connection.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE note (text TEXT);").unwrap();
        Writer::start(connection, file, sync).unwrap()
    }

    /// A disk that says when it begins to sync, and then does what it is told.
    struct Disk {
        begun: Receiver<()>,
        verdict: mpsc::Sender<io::Result<()>>,
    }

    fn writer_on_disk(directory: &tempfile::TempDir) -> (Writer, Disk) {
        let (begin, begun) = mpsc::channel();
        let (verdict, verdicts) = mpsc::channel();
        let sync = move || {
            begin.send(()).unwrap();
            verdicts.recv().unwrap()
        };
        (writer_with(directory, sync), Disk { begun, verdict })
    }

    impl Disk {
        /// Waits for the next sync to begin; the limit is only there to say that none does.
        fn wait_for_sync(&self) {
            self.begun.recv_timeout(Duration::from_secs(10)).unwrap();
        }
    }

    fn is_pending<T>(future: &mut BoxFuture<'static, T>) -> bool {
        matches!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending)
    }

    fn note(text: &str) -> impl FnMut(&Connection) -> Result<(), Fault> + Send + 'static {
        let text = text.to_owned();
        move |connection| {
            connection.execute("INSERT INTO note VALUES (?1)", [&text])?;
            Ok(())
        }
    }

    fn notes(writer: &Writer) -> Vec<String> {
        let read = |connection: &Connection| {
            let mut statement = connection.prepare("SELECT text FROM note ORDER BY rowid")?;
            Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
        };
        writer.wait(read).unwrap()
    }

    /// Keeps the writer busy until the sender is dropped, so that what is queued meanwhile becomes one group.
    fn hold(writer: &Writer) -> mpsc::Sender<()> {
        let (release, held) = mpsc::channel::<()>();
        drop(writer.queue(move |_| {
            let _ = held.recv();
            Ok(())
        }));
        release
    }

    fn resolve<T>(future: BoxFuture<'static, T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    #[test]
    fn a_failing_job_fails_alone_in_its_group() {
        let directory = tempfile::tempdir().unwrap();
        let writer = writer(&directory);
        let release = hold(&writer);
        let before = writer.queue(note("before"));
        let bad = writer.queue(|connection| {
            connection.execute("INSERT INTO note VALUES ('half')", [])?;
            Err::<(), _>(Fault::Invalid("on purpose".to_owned()))
        });
        let after = writer.queue(note("after"));
        drop(release);
        resolve(before).unwrap();
        assert!(resolve(bad).unwrap_err().to_string().contains("on purpose"));
        resolve(after).unwrap();
        assert_eq!(notes(&writer), ["before", "after"]);
    }

    #[test]
    fn when_a_job_takes_the_transaction_with_it_the_others_are_done_again() {
        let directory = tempfile::tempdir().unwrap();
        let writer = writer(&directory);
        let release = hold(&writer);
        let before = writer.queue(note("before"));
        let bad = writer.queue(|connection| {
            connection.execute("INSERT OR ROLLBACK INTO note VALUES ('half')", [])?;
            connection.execute_batch(
                "CREATE TABLE strict_note (id INTEGER PRIMARY KEY); INSERT INTO strict_note VALUES (1);",
            )?;
            connection.execute("INSERT OR ROLLBACK INTO strict_note VALUES (1)", [])?;
            Ok(())
        });
        let after = writer.queue(note("after"));
        drop(release);
        resolve(before).unwrap();
        assert!(resolve(bad).unwrap_err().to_string().contains("UNIQUE constraint failed"));
        resolve(after).unwrap();
        assert_eq!(notes(&writer), ["before", "after"]);
    }

    #[test]
    fn what_waits_is_committed_together() {
        let directory = tempfile::tempdir().unwrap();
        let writer = writer(&directory);
        let release = hold(&writer);
        let futures: Vec<_> = (0..1_000).map(|n| writer.queue(note(&n.to_string()))).collect();
        drop(release);
        futures.into_iter().for_each(|future| resolve(future).unwrap());
        assert!(writer.commits() <= 4, "{} commits", writer.commits());
        assert_eq!(notes(&writer).len(), 1_000);
    }

    #[test]
    fn a_panic_reaches_every_caller_as_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let writer = writer(&directory);
        let release = hold(&writer);
        let panicking = writer.queue(|_| -> Result<(), Fault> { panic!("on purpose") });
        let behind = writer.queue(note("behind"));
        drop(release);
        for future in [panicking, behind] {
            assert!(resolve(future).unwrap_err().to_string().contains("writing thread has stopped"));
        }
        assert!(writer.wait(note("later")).unwrap_err().to_string().contains("writing thread has stopped"));
        assert!(resolve(writer.queue(note("later"))).is_err());
    }

    #[test]
    fn waiting_inside_a_runtime_does_not_panic() {
        let directory = tempfile::tempdir().unwrap();
        let writer = writer(&directory);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async { writer.wait(note("inside")) }).unwrap();
        assert_eq!(notes(&writer), ["inside"]);
    }

    #[test]
    fn dropping_the_writer_finishes_what_is_queued() {
        let directory = tempfile::tempdir().unwrap();
        let first = writer(&directory);
        let release = hold(&first);
        (0..100).for_each(|n| drop(first.queue(note(&n.to_string()))));
        drop(release);
        let file = first.file.clone();
        drop(first);
        let connection = Connection::open(file).unwrap();
        let count: u64 = connection.query_row("SELECT count(*) FROM note", [], |row| row.get(0)).unwrap();
        assert_eq!(count, 100);
    }
    #[test]
    fn a_record_is_written_while_a_sync_is_held_and_durable_only_after_it() {
        let directory = tempfile::tempdir().unwrap();
        let (writer, disk) = writer_on_disk(&directory);
        let Recorded { written, durable: mut first } = writer.record(note("first"));
        resolve(written).unwrap();
        disk.wait_for_sync();
        let mut later = Vec::new();
        for n in 0..10 {
            let Recorded { written, durable } = writer.record(note(&n.to_string()));
            resolve(written).unwrap();
            later.extend([durable, writer.queue(note("queued"))]);
        }
        let count = |connection: &Connection| {
            Ok(connection.query_row("SELECT count(*) FROM note", [], |row| row.get::<_, u64>(0))?)
        };
        assert_eq!(resolve(writer.read(count)).unwrap(), 21, "committed");
        // The writing thread has handed over a whole group before it begins the next.
        resolve(writer.read(count)).unwrap();
        assert!(is_pending(&mut first) && later.iter_mut().all(is_pending));

        disk.verdict.send(Ok(())).unwrap();
        resolve(first).unwrap();
        disk.wait_for_sync();
        assert!(later.iter_mut().all(is_pending), "the sync that began before must not do for them");
        // The last verdict: one sync for all that was committed during the other.
        disk.verdict.send(Ok(())).unwrap();
        later.into_iter().for_each(|future| resolve(future).unwrap());
        drop(writer);
        assert!(disk.begun.recv().is_err(), "a sync that nobody waited for");
    }

    #[test]
    fn nothing_is_durable_before_a_sync_that_began_after_its_commit() {
        let directory = tempfile::tempdir().unwrap();
        let synced = Arc::new(AtomicU64::new(0));
        let sync = {
            let (synced, file) = (Arc::clone(&synced), directory.path().join("writer.db"));
            move || {
                let committed = Connection::open(&file).unwrap();
                let committed: u64 =
                    committed.query_row("SELECT count(*) FROM note", [], |row| row.get(0)).unwrap();
                synced.store(committed, Ordering::SeqCst);
                Ok(())
            }
        };
        let writer = writer_with(&directory, sync);
        let put = |connection: &Connection| {
            connection.execute("INSERT INTO note VALUES ('')", [])?;
            Ok(connection.query_row("SELECT count(*) FROM note", [], |row| row.get::<_, u64>(0))?)
        };
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let place = writer.wait(put).unwrap();
                        assert!(place <= synced.load(Ordering::SeqCst));
                    }
                });
            }
        });
        assert_eq!(synced.load(Ordering::SeqCst), 200);
    }

    #[test]
    fn after_a_failed_sync_nothing_is_written_but_what_there_is_can_be_read() {
        const FAILED: &str = "the disk did not confirm what was written (on purpose)";
        let directory = tempfile::tempdir().unwrap();
        let (writer, disk) = writer_on_disk(&directory);
        let first = writer.queue(note("first"));
        disk.wait_for_sync();
        let Recorded { written, durable } = writer.record(note("second"));
        resolve(written).unwrap();
        disk.verdict.send(Err(io::Error::other("on purpose"))).unwrap();
        // The second one's sync must not be tried: this disk would confirm it now.
        disk.verdict.send(Ok(())).unwrap();
        for future in [first, durable] {
            assert!(resolve(future).unwrap_err().to_string().contains(FAILED));
        }

        let third = writer.record(note("third"));
        for future in [third.written, third.durable, writer.queue(note("fourth"))] {
            assert!(resolve(future).unwrap_err().to_string().contains(FAILED));
        }
        assert!(writer.wait(note("fifth")).unwrap_err().to_string().contains("restart"));
        let texts = |connection: &Connection| {
            Ok(connection
                .query_row("SELECT group_concat(text) FROM note", [], |row| row.get::<_, String>(0))?)
        };
        assert_eq!(resolve(writer.read(texts)).unwrap(), "first,second");
        drop(writer);
        assert!(disk.begun.recv().is_err(), "another sync was tried");
    }

    #[test]
    fn a_panic_in_the_sync_reaches_every_caller_as_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let (writer, disk) = writer_on_disk(&directory);
        let first = writer.queue(note("first"));
        disk.wait_for_sync();
        let Recorded { written, durable } = writer.record(note("second"));
        resolve(written).unwrap();
        // Without a verdict the sync panics.
        drop(disk);
        for future in [first, durable] {
            assert!(resolve(future).unwrap_err().to_string().contains("writing thread has stopped"));
        }
        // The first of these may find that the syncing thread is gone, and says so to those behind.
        for _ in 0..3 {
            assert!(
                writer.wait(note("later")).unwrap_err().to_string().contains("writing thread has stopped")
            );
        }
        assert!(resolve(writer.record(note("later")).written).is_err());
    }

    #[test]
    fn a_panic_in_a_job_leaves_the_commits_before_it_their_sync() {
        let directory = tempfile::tempdir().unwrap();
        let (writer, disk) = writer_on_disk(&directory);
        let before = writer.queue(note("before"));
        disk.wait_for_sync();
        let panicking = writer.queue(|_| -> Result<(), Fault> { panic!("on purpose") });
        disk.verdict.send(Ok(())).unwrap();
        resolve(before).unwrap();
        assert!(resolve(panicking).unwrap_err().to_string().contains("writing thread has stopped"));
    }

    #[test]
    fn a_failing_record_fails_twice_and_is_not_synced() {
        let directory = tempfile::tempdir().unwrap();
        let (writer, disk) = writer_on_disk(&directory);
        let refuse = |_: &Connection| Err(Fault::Invalid("on purpose".to_owned()));
        let Recorded { written, durable } = writer.record(refuse);
        for future in [written, durable] {
            assert!(resolve(future).unwrap_err().to_string().contains("on purpose"));
        }
        drop(writer);
        assert!(disk.begun.recv().is_err());
    }

    /// Tells when it is dropped whether a file is there.
    struct AtEnd(PathBuf, mpsc::Sender<bool>);

    impl Drop for AtEnd {
        fn drop(&mut self) {
            self.1.send(self.0.exists()).unwrap();
        }
    }

    #[test]
    fn the_writer_ends_with_the_last_sync_and_only_then_lets_the_log_go() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("writer.db-wal");
        let (told, was_there) = mpsc::channel();
        let (synced, syncs) = mpsc::channel();
        let at_end = AtEnd(log.clone(), told);
        let sync = move || {
            synced.send(at_end.0.exists()).unwrap();
            Ok(())
        };
        let writer = writer_with(&directory, sync);
        let release = hold(&writer);
        let Recorded { written, durable } = writer.record(note("last"));
        drop(release);
        drop(writer);
        resolve(written).unwrap();
        resolve(durable).unwrap();
        assert!(syncs.recv().unwrap() && was_there.recv().unwrap(), "the log was gone before the last sync");
        assert!(!log.exists());
    }
}
