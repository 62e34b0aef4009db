//! Something to do for the writing thread, and whom to tell of it when.

use std::path::Path;

use burnish_types::StoreError;
use rusqlite::Connection;

use crate::fault::{Access, Fault};
use crate::writer::stopped;

/// Tells one caller what came of a job. Dropped unused, it tells that the store has stopped.
pub(crate) type Reply<T> = Box<dyn FnOnce(Result<T, StoreError>) + Send>;

/// Who waits for a job, and how far it must have come.
pub(crate) enum Waiting<T> {
    /// Somebody who reads what is committed.
    Read(Reply<T>),
    /// Somebody who must know that it is durable.
    Durable(Reply<T>),
    /// Somebody who wants to know that it outlives the process, and then, that it is durable.
    Each {
        /// Told after the commit.
        written: Reply<()>,
        /// Told after the sync.
        durable: Reply<T>,
    },
}

impl<T: Send + 'static> Waiting<T> {
    fn committed(self, value: T) -> Option<Reply<()>> {
        let durable = match self {
            Self::Read(reply) => {
                reply(Ok(value));
                return None;
            }
            Self::Durable(reply) => reply,
            Self::Each { written, durable } => {
                written(Ok(()));
                durable
            }
        };
        Some(Box::new(move |synced| durable(synced.map(|()| value))))
    }

    fn fail(self, error: StoreError) {
        match self {
            Self::Read(reply) | Self::Durable(reply) => reply(Err(error)),
            Self::Each { written, durable } => {
                written(Err(error.clone()));
                durable(Err(error));
            }
        }
    }
}

/// A [`Task`] of any type.
pub(crate) trait Job: Send {
    /// Does the work, keeps what came of it, and says whether it may be committed.
    fn run(&mut self, connection: &Connection) -> bool;

    /// Whether it writes nothing.
    fn only_reads(&self) -> bool;

    /// Tells what came of the work, as far as that is known now that its commit is done. Returns the reply to be
    /// given when the commit is durable. Work that failed has left nothing to wait for.
    fn committed(self: Box<Self>, file: &Path) -> Option<Reply<()>>;

    /// Tells that nothing came of it.
    fn fail(self: Box<Self>, error: StoreError);
}

/// Work, what came of it, and who waits for that.
pub(crate) struct Task<T, W> {
    work: W,
    result: Option<Result<T, Fault>>,
    waiting: Waiting<T>,
}

impl<T, W> Task<T, W> {
    pub(crate) fn new(work: W, waiting: Waiting<T>) -> Self {
        Self { work, result: None, waiting }
    }
}

impl<T, W> Job for Task<T, W>
where
    T: Send + 'static,
    W: FnMut(&Connection) -> Result<T, Fault> + Send,
{
    fn run(&mut self, connection: &Connection) -> bool {
        let result = (self.work)(connection);
        let done = result.is_ok();
        self.result = Some(result);
        done
    }

    fn only_reads(&self) -> bool {
        matches!(self.waiting, Waiting::Read(_))
    }

    fn committed(self: Box<Self>, file: &Path) -> Option<Reply<()>> {
        let Self { result, waiting, .. } = *self;
        let error = match result {
            Some(Ok(value)) => return waiting.committed(value),
            Some(Err(fault)) => fault.at(file, Access::Write),
            None => stopped(file),
        };
        waiting.fail(error);
        None
    }

    fn fail(self: Box<Self>, error: StoreError) {
        self.waiting.fail(error);
    }
}
