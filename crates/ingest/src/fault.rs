//! Why a file, or a record of one, can't be read.

use std::io;

/// A file or record that was passed over, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct Refusal {
    /// The file; `file:line` for a record of one.
    pub path: String,
    /// Why, in words that a person can act on.
    pub reason: String,
}

/// The reason of a [`Refusal`], before it is known which file it is about.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("is empty")]
    Empty,
    #[error("holds no text")]
    NoText,
    #[error("has no text layer (scanned?): run it through OCR first")]
    NoTextLayer,
    #[error("is {0}; supported formats are text, Markdown, HTML, PDF, DOCX, CSV and JSON Lines")]
    Unsupported(&'static str),
    #[error("is encrypted: remove the password first")]
    Encrypted,
    #[error("is not a valid {format} file: {reason}")]
    Malformed { format: &'static str, reason: String },
    #[error("has {found} bytes, the limit is {limit}: split it, or raise the limit")]
    FileTooLarge { found: u64, limit: u64 },
    #[error(
        "holds more than {limit} bytes of text, the limit for one document: split it, or raise the limit"
    )]
    TextTooLarge { limit: u64 },
    #[error("would need more than {limit} bytes of memory to parse: split it, or raise the limit")]
    MemoryTooLarge { limit: u64 },
    #[error("took longer than {seconds} s to parse: split it, or raise the limit")]
    TooSlow { seconds: u64 },
    #[error("could not be parsed in isolation: {0}")]
    Isolation(String),
    #[error("more than {0} records could not be read: is it a file of one JSON object a line?")]
    TooManyBadRecords(u64),
    #[error(
        "line {line} is longer than {limit} bytes, and what follows is not read: split it, or raise the limit"
    )]
    LineTooLong { line: u64, limit: u64 },
    #[error("this record {0}")]
    Record(String),
}

impl Fault {
    pub(crate) fn malformed(format: &'static str, reason: impl ToString) -> Self {
        Self::Malformed { format, reason: reason.to_string() }
    }

    pub(crate) fn refuse(self, path: impl Into<String>) -> Refusal {
        Refusal { path: path.into(), reason: self.to_string() }
    }
}
