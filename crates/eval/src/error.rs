//! What can be wrong with a test collection or a run.

use std::io;
use std::path::{Path, PathBuf};

/// Why something could not be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// A file or folder can't be read.
    #[error("`{}` cannot be read: {reason}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// A file that every collection has is not there.
    #[error("`{}` has neither `{name}` nor `{name}.gz`: is it the folder of a BEIR set?", folder.display())]
    Missing {
        /// The folder.
        folder: PathBuf,
        /// The file, relative to it.
        name: String,
    },
    /// A line is not what it should be.
    #[error("{}:{line}: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
    /// A qrels file has no judgement.
    #[error("`{}` has no judgement: a line is `query-id`, `corpus-id` and a whole number, separated by tabs", path.display())]
    NoJudgements {
        /// The file.
        path: PathBuf,
    },
    /// No query has the metadata that was asked for.
    #[error("no query has `{value}` at `{field}` of its metadata")]
    NothingLeft {
        /// The field.
        field: String,
        /// The value.
        value: String,
    },
    /// Something of a run can't be said in TREC's format.
    #[error("{what} `{value}` cannot stand in a TREC file: {rule}")]
    Unwritable {
        /// The kind of thing.
        what: &'static str,
        /// The thing.
        value: String,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// A file can't be written.
    #[error("the TREC file cannot be written: {0}")]
    Write(#[source] io::Error),
    /// The engine could not answer.
    #[error(transparent)]
    Engine(#[from] Box<burnish_engine::EngineError>),
    /// A measure does not exist.
    #[error(
        "there is no measure `{0}`: write ndcg@K, recall@K, mrr@K, precision@K or success@K with K of at least 1, or map"
    )]
    UnknownMeasure(String),
    /// There is no such policy.
    #[error(transparent)]
    UnknownPolicy(#[from] burnish_learning::policies::UnknownPolicy),
    /// Outcome tables leave nothing to choose.
    #[error("{} name {arms} arm(s): a choice needs two", files.iter().map(|file| format!("`{}`", file.display())).collect::<Vec<_>>().join(", "))]
    NoChoice {
        /// The tables.
        files: Vec<PathBuf>,
        /// The arms that they name together.
        arms: usize,
    },
    /// An outcome table has no row that could be used.
    #[error("no row has an outcome")]
    NoRows,
    /// A folder is not a log of the Open Bandit data set, or two of them do not belong together.
    #[error("`{}` cannot be evaluated as an Open Bandit log: {reason}", folder.display())]
    OpenBandit {
        /// The folder.
        folder: PathBuf,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
    /// A policy's value can't be estimated from a log.
    #[error(transparent)]
    OffPolicy(#[from] burnish_learning::off_policy::OffPolicyError),
    /// Two series of figures do not belong together.
    #[error(
        "a paired difference needs two figures a query: there are {left} on one side and {right} on the other"
    )]
    Unpaired {
        /// Figures on the left.
        left: usize,
        /// Figures on the right.
        right: usize,
    },
}

impl EvalError {
    pub(crate) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |reason| Self::Read { path, reason }
    }

    pub(crate) fn line(path: &Path, line: usize, reason: impl Into<String>) -> Self {
        Self::Line { path: path.to_owned(), line, reason: reason.into() }
    }
}
