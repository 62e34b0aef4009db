//! Connections: one that writes, and a few that read beside it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use burnish_types::StoreError;
use rusqlite::{Connection, OpenFlags};

use crate::fault::{Access, Fault, sqlite_error, system_error};

/// How long another process may hold the write lock before a write gives up.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections kept open between reads; more are opened while more reads run at once.
const IDLE_READERS: usize = 4;

/// Statements that a connection keeps compiled; there are fewer than that in this crate.
const STATEMENTS: usize = 64;

/// `page_size`: an 8 KiB page takes five embeddings of 384 dimensions, one of 4 KiB only two.
/// `synchronous`: NORMAL syncs the log before each checkpoint, but not after a commit, which is left to [`crate::log`].
/// `fullfsync`: what a sync needs on macOS to reach the disk.
/// `journal_size_limit`: gives the space back after an unusually large batch.
const WRITER_SETTINGS: &str = "
    PRAGMA page_size = 8192;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    PRAGMA fullfsync = ON;
    PRAGMA foreign_keys = ON;
    PRAGMA temp_store = MEMORY;
    PRAGMA cache_size = -8192;
    PRAGMA wal_autocheckpoint = 1000;
    PRAGMA journal_size_limit = 67108864;
";

/// No `mmap_size`: a mapped page counts as resident memory, and a failing disk would be a signal, not an error.
const READER_SETTINGS: &str = "
    PRAGMA query_only = ON;
    PRAGMA cache_size = -4096;
";

/// Opens the database at `file` for writing, and makes it and its directory where they are missing.
pub(crate) fn open_writer(file: &Path) -> Result<Connection, StoreError> {
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory).map_err(|error| system_error(&error, directory))?;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let failed = |error: rusqlite::Error| sqlite_error(&error, file, Access::Write);
    let connection = open(file, flags, WRITER_SETTINGS).map_err(failed)?;
    // SQLite opens a file that is write-protected for reading instead, and would only complain later.
    match connection.is_readonly("main").map_err(failed)? {
        true => Err(StoreError::ReadOnly {
            path: file.display().to_string(),
            reason: "the file is write-protected".to_owned(),
        }),
        false => Ok(connection),
    }
}

fn open(file: &Path, flags: OpenFlags, settings: &str) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.execute_batch(settings)?;
    Ok(connection)
}

/// Connections that see the last commit and never wait for the writer.
pub(crate) struct Readers {
    file: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(crate) fn new(file: PathBuf) -> Self {
        Self { file, idle: Mutex::new(Vec::with_capacity(IDLE_READERS)) }
    }

    /// Runs `query` on one consistent state of the database.
    pub(crate) fn read<T>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let connection = self.take().map_err(|error| sqlite_error(&error, &self.file, Access::Read))?;
        let found = in_transaction(&connection, query).map_err(|fault| fault.at(&self.file, Access::Read));
        self.give_back(connection);
        found
    }

    fn take(&self) -> rusqlite::Result<Connection> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some(connection) => Ok(connection),
            None => {
                let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
                    | OpenFlags::SQLITE_OPEN_NO_MUTEX
                    | OpenFlags::SQLITE_OPEN_EXRESCODE;
                open(&self.file, flags, READER_SETTINGS)
            }
        }
    }

    fn give_back(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_READERS {
            idle.push(connection);
        }
    }
}

fn in_transaction<T>(
    connection: &Connection,
    query: impl FnOnce(&Connection) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let transaction = connection.unchecked_transaction()?;
    query(&transaction)
}
