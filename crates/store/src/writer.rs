//! The one thread that writes. It commits everything that waits for it together, and only then says so.
//!
//! This is group commit (DeWitt et al., "Implementation techniques for main memory database systems", SIGMOD 1984, on
//! recovery): an fsync costs the same for one write as for a hundred. There is no delay: a write that waits alone is
//! committed alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{self, JoinHandle};

use burnish_types::{BoxFuture, StoreError};
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::oneshot;

use crate::fault::{Access, Fault, sqlite_error};

/// The most jobs of one commit.
const GROUP: usize = 512;

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
    /// Starts the thread, which owns `connection` from now on.
    pub(crate) fn start(connection: Connection, file: PathBuf) -> Result<Self, StoreError> {
        let (queue, jobs) = mpsc::sync_channel(QUEUE);
        let commits = Arc::new(AtomicU64::new(0));
        let worker = Worker { connection, file: file.clone(), commits: Arc::clone(&commits) };
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
        self.submit(work, move |result| drop(sender.send(result)))?;
        receiver.recv().unwrap_or_else(|_| Err(stopped(&self.file)))
    }

    /// Like [`Writer::wait`], but leaves the waiting to the future. The job is queued when this returns, and
    /// stays so when the future is dropped.
    pub(crate) fn queue<T: Send + 'static>(
        &self,
        work: impl FnMut(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        let (sender, receiver) = oneshot::channel();
        let queued = self.submit(work, move |result| drop(sender.send(result)));
        let file = self.file.clone();
        Box::pin(async move {
            queued?;
            receiver.await.unwrap_or_else(|_| Err(stopped(&file)))
        })
    }

    fn submit<T, W, R>(&self, work: W, reply: R) -> Result<(), StoreError>
    where
        T: Send + 'static,
        W: FnMut(&Connection) -> Result<T, Fault> + Send + 'static,
        R: FnOnce(Result<T, StoreError>) + Send + 'static,
    {
        let job = Box::new(Task { work, result: None, reply });
        let queue = self.queue.as_ref().ok_or_else(|| stopped(&self.file))?;
        queue.send(job).map_err(|_| stopped(&self.file))
    }
}

impl Drop for Writer {
    /// Lets the thread finish what is queued.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // An error says that the thread panicked, which its callers have been told.
            drop(thread.join());
        }
    }
}

fn stopped(file: &Path) -> StoreError {
    let reason = "its writing thread has stopped; restart to go on from the last commit".to_owned();
    StoreError::Failed { path: file.display().to_string(), reason }
}

/// Something to write, and somebody to tell.
trait Job: Send {
    /// Does the work, keeps what came of it, and says whether it may be committed.
    fn run(&mut self, connection: &Connection) -> bool;

    /// Tells what came of it.
    fn acknowledge(self: Box<Self>, file: &Path);

    /// Tells that nothing came of it.
    fn fail(self: Box<Self>, error: StoreError);
}

struct Task<T, W, R> {
    work: W,
    result: Option<Result<T, Fault>>,
    reply: R,
}

impl<T, W, R> Job for Task<T, W, R>
where
    T: Send,
    W: FnMut(&Connection) -> Result<T, Fault> + Send,
    R: FnOnce(Result<T, StoreError>) + Send,
{
    fn run(&mut self, connection: &Connection) -> bool {
        let result = (self.work)(connection);
        let done = result.is_ok();
        self.result = Some(result);
        done
    }

    fn acknowledge(self: Box<Self>, file: &Path) {
        let Self { result, reply, .. } = *self;
        match result {
            Some(result) => reply(result.map_err(|fault| fault.at(file, Access::Write))),
            None => reply(Err(stopped(file))),
        }
    }

    fn fail(self: Box<Self>, error: StoreError) {
        (self.reply)(Err(error));
    }
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
    connection: Connection,
    file: PathBuf,
    commits: Arc<AtomicU64>,
}

impl Worker {
    fn serve(mut self, jobs: &Receiver<Box<dyn Job>>) {
        while let Ok(first) = jobs.recv() {
            let mut group = vec![first];
            group.extend(jobs.try_iter().take(GROUP - 1));
            self.settle(group);
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

    fn acknowledge(&self, group: Vec<Box<dyn Job>>) {
        group.into_iter().for_each(|job| job.acknowledge(&self.file));
    }

    fn fail(&self, group: Vec<Box<dyn Job>>, error: &rusqlite::Error) {
        group.into_iter().for_each(|job| job.fail(sqlite_error(error, &self.file, Access::Write)));
    }

    /// Runs all of `group` in one transaction, each job in a savepoint of its own.
    fn commit(&mut self, group: &mut [Box<dyn Job>]) -> Result<(), Uncommitted> {
        let behavior = TransactionBehavior::Immediate;
        let mut transaction =
            self.connection.transaction_with_behavior(behavior).map_err(Uncommitted::NotBegun)?;
        for job in group {
            let savepoint = transaction.savepoint().map_err(Uncommitted::RolledBack)?;
            match job.run(&savepoint) {
                true => savepoint.commit().map_err(Uncommitted::RolledBack)?,
                // Rolls back to where the job began.
                false => drop(savepoint),
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn writer(directory: &tempfile::TempDir) -> Writer {
        let file = directory.path().join("writer.db");
        let connection = Connection::open(&file).unwrap();
        connection.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE note (text TEXT);").unwrap();
        Writer::start(connection, file).unwrap()
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
}
