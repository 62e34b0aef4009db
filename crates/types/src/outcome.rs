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
    /// The task that the question served was completed (`true`) or given up.
    Completed {
        /// Completed?
        done: bool,
    },
    /// A passage was opened. Weak evidence: what stands higher is opened more often.
    Opened {
        /// The passage.
        chunk: ChunkId,
    },
    /// A passage was used: quoted or linked in what the person wrote.
    Cited {
        /// The passage.
        chunk: ChunkId,
    },
    /// The question was asked again in other words, so this answer did not settle it.
    AskedAgain,
    /// How well the answer is supported by what it cites, in [0, 1]: the engine's own signal, which counts only
    /// as long as nobody says anything.
    Supported {
        /// The support.
        value: f64,
    },
    /// Whether a quotation said what the model's answer says: the engine's own signal, which says nothing of the answer, but
    /// of when a model is needed.
    Compared {
        /// What was known of the quotation beforehand.
        signs: Vec<f64>,
        /// Whether it said the same.
        agrees: bool,
        /// How many comparisons this one stands for, since likely ones are seldom compared.
        weight: f64,
    },
}

impl Judgement {
    /// The passage that it speaks of, where it speaks of one.
    pub fn chunk(&self) -> Option<ChunkId> {
        match self {
            Self::Passage { chunk, .. } | Self::Opened { chunk, .. } | Self::Cited { chunk } => Some(*chunk),
            _ => None,
        }
    }
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
    /// Who reported it, in the caller's own terms; who asked, where nobody is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}
