//! What can go wrong below the store, and how it is told to callers.

use std::io;
use std::path::Path;

use burnish_types::{RequestId, StoreError};
use rusqlite::{Error, ErrorCode, ffi};

/// A failure that does not know its database yet.
#[derive(Debug)]
pub(crate) enum Fault {
    /// SQLite's own.
    Sqlite(Error),
    /// What is stored, or is about to be, can't be read back.
    Record {
        /// The kind of record.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// No decision has this id.
    UnknownRequest(RequestId),
    /// The caller's arguments contradict each other.
    Invalid(String),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Whether the database was being read or written, since the same code of SQLite's means different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

impl Fault {
    /// The error for callers of the database at `file`.
    pub(crate) fn at(self, file: &Path, access: Access) -> StoreError {
        let path = file.display().to_string();
        match self {
            Self::Sqlite(error) => sqlite_error(&error, file, access),
            Self::Record { what, reason } => StoreError::Corrupt { what, path, reason },
            Self::UnknownRequest(id) => StoreError::UnknownRequest(id),
            Self::Invalid(reason) => StoreError::Failed { path, reason },
        }
    }
}

/// The error for callers of the database at `file` where SQLite failed.
pub(crate) fn sqlite_error(error: &Error, file: &Path, access: Access) -> StoreError {
    let path = file.display().to_string();
    let reason = error.to_string();
    match error {
        Error::SqliteFailure(failure, _) => match (failure.code, access) {
            (ErrorCode::DiskFull, _) => StoreError::Full { path },
            // The shared-memory file can't grow: SQLite has no code of its own for a disk that is full there.
            (ErrorCode::SystemIoFailure, _) if failure.extended_code == ffi::SQLITE_IOERR_SHMSIZE => {
                StoreError::Full { path }
            }
            (ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied, _)
            | (ErrorCode::SystemIoFailure, Access::Write) => StoreError::ReadOnly { path, reason },
            (ErrorCode::DatabaseCorrupt, _) => StoreError::Corrupt { what: "page", path, reason },
            (ErrorCode::NotADatabase, _) => StoreError::Corrupt { what: "header", path, reason },
            (ErrorCode::DatabaseBusy, _) => {
                StoreError::Failed { path, reason: format!("{reason}; does another process write to it?") }
            }
            _ => StoreError::Failed { path, reason },
        },
        Error::FromSqlConversionFailure(..)
        | Error::InvalidColumnType(..)
        | Error::IntegralValueOutOfRange(..) => StoreError::Corrupt { what: "row", path, reason },
        _ => StoreError::Failed { path, reason },
    }
}

/// The error for callers where the system refused `path` itself, a directory or a file.
pub(crate) fn system_error(error: &io::Error, path: &Path) -> StoreError {
    let path = path.display().to_string();
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full { path },
        _ => StoreError::ReadOnly { path, reason: error.to_string() },
    }
}
