//! What became of an answer.

use serde::{Deserialize, Serialize};

use crate::{ChunkId, RequestId, Timestamp};

/// What was said of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Judgement {
    /// A thumb up (`true`) or down.
    Thumb {
        /// Up?
        up: bool,
    },
    /// A score in [0, 1], from a label or a judge.
    Score {
        /// The score.
        value: f64,
    },
    /// This passage holds (`true`) or does not hold the answer.
    Passage {
        /// The passage.
        chunk: ChunkId,
        /// Holds it?
        correct: bool,
    },
}

/// One report on one request. It may come late, more than once, or never.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The request.
    pub request: RequestId,
    /// When it was reported.
    pub at: Timestamp,
    /// What was said.
    pub judgement: Judgement,
    /// Free words of the person.
    pub comment: Option<String>,
}
