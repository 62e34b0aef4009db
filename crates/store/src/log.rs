//! SQLite's write-ahead log as a file, to make durable what was committed without holding up the next commit.
//!
//! With `synchronous = NORMAL` a commit appends its frames to the log and leaves them to the system. They survive the
//! process from then on, and a loss of power once the log is synced, by whichever handle. That is sound because
//! (<https://sqlite.org/fileformat2.html#walformat>, and SQLite's `wal.c`):
//!
//! - A commit's frames are written before it returns, and no committed frame is written again before it is in the
//!   database. Each frame's checksum covers all frames before it, and recovery stops at the first that does not fit:
//!   what a loss of power leaves is a prefix of the commits, which holds everything up to the last sync.
//! - SQLite itself still syncs the log before it moves frames to the database, the database before the log starts
//!   over, and the log's new header before the frames behind it. So a frame that is not in the log anymore is durable
//!   in the database, and a sync that comes after has nothing to do for it.
//! - The log is one file as long as a connection is open: it starts over, and shrinks, in place, and only the last
//!   connection to close removes it.
//! - Closing a file drops all POSIX locks that the process has on it, but SQLite locks the database and the `-shm`
//!   file, never the log.
//! - Where writing back fails, each handle that was open is told by its next sync (Linux since 4.13), even when
//!   SQLite's own sync was told before.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use burnish_types::StoreError;
use rusqlite::Connection;

use crate::fault::{Access, sqlite_error, system_error};

/// A handle of its own to the log of an open database.
pub(crate) struct Log {
    file: File,
}

impl Log {
    /// Opens the log of the database at `file`, which `connection` has read from, and makes durable all that was
    /// committed before.
    pub(crate) fn open(connection: &Connection, file: &Path) -> Result<Self, StoreError> {
        start_over(connection).map_err(|error| sqlite_error(&error, file, Access::Write))?;
        let path = path(file).map_err(|error| system_error(&error, file))?;
        let failed = |error: io::Error| system_error(&error, &path);
        // For writing: Windows would not sync it otherwise.
        let log = Self { file: OpenOptions::new().write(true).open(&path).map_err(failed)? };
        log.sync().map_err(failed)?;
        sync_directory(&path).map_err(failed)?;
        Ok(log)
    }

    /// Returns once everything that was committed before survives a loss of power.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Moves all frames to the database. After a failed sync the system may take pages of the log for written that are
/// not (Rebello et al., "Can applications recover from fsync failures?", USENIX ATC 2020), and later frames would
/// count for nothing behind such a hole; an empty log has none. Where another process reads at the moment, the frames
/// stay, which is not an error.
fn start_over(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

/// Where the log is: beside the database that symbolic links lead to.
fn path(file: &Path) -> io::Result<PathBuf> {
    let mut path = fs::canonicalize(file)?.into_os_string();
    path.push("-wal");
    Ok(path.into())
}

/// Makes the entries of the database and its log durable. Windows has no such thing for directories.
fn sync_directory(log: &Path) -> io::Result<()> {
    match log.parent() {
        Some(directory) if cfg!(unix) => File::open(directory)?.sync_all(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::open_writer;

    #[test]
    fn the_log_stays_one_file_while_the_database_is_open() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("log.db");
        let connection = open_writer(&file).unwrap();
        connection.execute_batch("CREATE TABLE note (text TEXT)").unwrap();
        let log = Log::open(&connection, &file).unwrap();
        let size = || log.file.metadata().unwrap().len();
        assert_eq!(size(), 0, "earlier frames are left in the log");
        connection.execute_batch("PRAGMA journal_size_limit = 0").unwrap();
        for round in 0..3 {
            // Checkpoints, starts over, and shrinks to its limit.
            connection.execute_batch("PRAGMA wal_checkpoint(RESTART)").unwrap();
            connection.execute("INSERT INTO note VALUES (?1)", [round]).unwrap();
            let last = fs::read(path(&file).unwrap()).unwrap();
            assert_eq!((last.len() as u64, last.is_empty()), (size(), false), "another file, round {round}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_log_is_found_through_a_link() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("real.db"), directory.path().join("link.db"));
        fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let connection = open_writer(&link).unwrap();
        let log = Log::open(&connection, &link).unwrap();
        connection.execute_batch("CREATE TABLE note (text TEXT)").unwrap();
        assert!(log.file.metadata().unwrap().len() > 0);
    }
}
