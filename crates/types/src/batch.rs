//! Questions that are answered in the background.

use crate::{RequestId, Timestamp};

/// Where a batch stands as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchState {
    /// Questions are still to be answered.
    Open,
    /// Every question was answered, or failed.
    Completed,
    /// It was ended before.
    Cancelled,
}

impl BatchState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Open, Self::Completed, Self::Cancelled];

    /// Its name in the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// How far a batch is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchStanding {
    /// The batch.
    pub id: RequestId,
    /// When it was taken.
    pub at: Timestamp,
    /// How many questions it has.
    pub questions: usize,
    /// Where it stands.
    pub state: BatchState,
    /// Questions that were answered.
    pub answered: usize,
    /// Questions that could not be answered.
    pub failed: usize,
}

/// What became of one question of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchResult {
    /// The question's place in the batch, from 0.
    pub place: usize,
    /// Whether it could not be answered.
    pub failed: bool,
    /// Which request answered it, or why none did: the engine's to read.
    pub record: String,
}
