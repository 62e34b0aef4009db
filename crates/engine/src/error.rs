//! Everything that can go wrong between a question and its answer.

use burnish_retrieval::RetrievalError;
use burnish_types::{ChunkId, DocumentId, EmbedError, IndexError, ModelError, RequestId, StoreError};

/// Why the engine could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The question can't be answered as it stands.
    #[error("{0}")]
    InvalidQuery(String),
    /// A setting can't be taken as it stands.
    #[error("{0}")]
    InvalidSetting(String),
    /// The judgement can't be taken as it stands.
    #[error("{0}")]
    InvalidFeedback(String),
    /// No strategy has this name.
    #[error("no strategy is called `{name}`; there are: {}", known.join(", "))]
    UnknownStrategy {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The strategy lacks something that the settings could give.
    #[error("{reason}")]
    UnusableStrategy {
        /// What it lacks, and what to do.
        reason: String,
    },
    /// No model has this name.
    #[error("no model is called `{name}`; there are: {}", known.join(", "))]
    UnknownModel {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// No request has this id.
    #[error("no request has the id `{0}`")]
    UnknownRequest(RequestId),
    /// There is no such passage, or the request did not show it.
    #[error("the request `{request}` has not shown the passage `{chunk}`, or there is none of that number")]
    UnknownChunk {
        /// The request.
        request: RequestId,
        /// The passage.
        chunk: ChunkId,
    },
    /// No passage has this id.
    #[error("no passage has the id `{0}`")]
    NoSuchChunk(ChunkId),
    /// No document has this id.
    #[error("no document has the id `{0}`")]
    NoSuchDocument(DocumentId),
    /// The data directory can't be used.
    #[error("the data directory `{path}` {reason}")]
    DataDirectory {
        /// The directory.
        path: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The disk is nearly full.
    #[error(
        "the disk that holds `{path}` has {free_mib} MiB left: nothing was stored; make room and try again"
    )]
    DiskFull {
        /// The data directory.
        path: String,
        /// What is left.
        free_mib: u64,
    },
    /// A template that can't be used.
    #[error("{0}")]
    InvalidTemplate(String),
    /// There is no such template.
    #[error("there is no template `{name}`; there are {}", known.join(", "))]
    UnknownTemplate {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// A template has no such version.
    #[error(
        "the template `{template}` has no version `{version}`: `GET /v1/templates/{template}` lists them"
    )]
    UnknownVersion {
        /// The template.
        template: String,
        /// What was asked for.
        version: String,
    },
    /// There is no such operation.
    #[error("there is no operation `{name}`; there are {}", known.join(", "))]
    UnknownOperation {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// There is no such experiment.
    #[error("there is no experiment `{0}`: `GET /v1/experiments` lists them")]
    UnknownExperiment(String),
    /// What an experiment can't be, or can't be done with one now.
    #[error("{0}")]
    InvalidExperiment(String),
    /// Reports that were learned from were taken back meanwhile.
    #[error("reports were taken back while this was learning from them: nothing was kept; try again")]
    TakenBack,
    /// The language model failed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
    /// An index failed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The encoder failed.
    #[error(transparent)]
    Embed(#[from] EmbedError),
    /// A strategy failed.
    #[error(transparent)]
    Retrieval(#[from] RetrievalError),
    /// A fault of the program.
    #[error("{0}")]
    Internal(String),
}

impl From<StoreError> for EngineError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::UnknownRequest(id) => Self::UnknownRequest(id),
            other => Self::Store(other),
        }
    }
}
