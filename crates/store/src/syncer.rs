//! The thread that has the disk confirm commits, while the writing thread goes on with the next ones.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use burnish_types::StoreError;

use crate::job::Reply;
use crate::pace::Pace;
use crate::writer::stopped;

/// From one sync for several replies to the next.
const SYNC_PACE: Duration = Duration::from_millis(4);

/// Replies that may wait for the disk before the writing thread waits, too.
const QUEUE: usize = 16_384;

/// Gives replies once what was committed before is durable.
pub(crate) struct Syncer {
    file: PathBuf,
    queue: Option<SyncSender<Reply<()>>>,
    thread: Option<JoinHandle<()>>,
    failure: Arc<OnceLock<StoreError>>,
}

impl Syncer {
    /// Starts the thread for the database at `file`.
    pub(crate) fn start(
        file: PathBuf,
        sync: impl FnMut() -> io::Result<()> + Send + 'static,
    ) -> Result<Self, StoreError> {
        let (queue, replies) = mpsc::sync_channel(QUEUE);
        let failure = Arc::new(OnceLock::new());
        let worker = Worker { sync, file: file.clone(), failure: Arc::clone(&failure) };
        let thread = thread::Builder::new()
            .name("burnish-sync".to_owned())
            .spawn(move || worker.serve(&replies))
            .map_err(|error| StoreError::Failed {
                path: file.display().to_string(),
                reason: error.to_string(),
            })?;
        Ok(Self { file, queue: Some(queue), thread: Some(thread), failure })
    }

    /// Gives `reply` after a sync that begins from now on, or says what is wrong.
    pub(crate) fn push(&self, reply: Reply<()>) {
        let sent = self.queue.as_ref().map(|queue| queue.send(reply));
        if !matches!(sent, Some(Ok(()))) {
            // The reply was dropped, and its caller told by that; later writes would fare no better.
            self.failure.get_or_init(|| stopped(&self.file));
        }
    }

    /// Why nothing may be written anymore.
    pub(crate) fn failure(&self) -> Option<StoreError> {
        self.failure.get().cloned()
    }
}

impl Drop for Syncer {
    /// Lets the thread finish what is queued.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // An error says that the thread panicked, which those who waited for it have been told.
            drop(thread.join());
        }
    }
}

struct Worker<S> {
    sync: S,
    file: PathBuf,
    failure: Arc<OnceLock<StoreError>>,
}

impl<S: FnMut() -> io::Result<()>> Worker<S> {
    fn serve(mut self, replies: &Receiver<Reply<()>>) {
        let mut pace = Pace::new(SYNC_PACE);
        while let Ok(first) = replies.recv() {
            let mut group = vec![first];
            pace.wait();
            group.extend(replies.try_iter().take(QUEUE));
            pace.begin(group.len());
            let synced = self.sync();
            group.into_iter().for_each(|reply| reply(synced.clone()));
        }
    }

    /// Syncs, unless that has failed before: the system may since take pages for written that are not, and would
    /// confirm them ("fsyncgate": Rebello et al., "Can applications recover from fsync failures?", USENIX ATC 2020).
    fn sync(&mut self) -> Result<(), StoreError> {
        if let Some(error) = self.failure.get() {
            return Err(error.clone());
        }
        (self.sync)().map_err(|error| self.failure.get_or_init(|| unconfirmed(&error, &self.file)).clone())
    }
}

fn unconfirmed(error: &io::Error, file: &Path) -> StoreError {
    let reason = format!(
        "the disk did not confirm what was written ({error}), so nothing more is stored; check the disk, and restart \
         to go on from what it holds"
    );
    StoreError::Failed { path: file.display().to_string(), reason }
}
