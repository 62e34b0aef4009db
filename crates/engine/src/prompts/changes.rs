//! The log of what was changed about prompts, by whom and why, with what is needed to change it back.

use burnish_types::Timestamp;
use serde::{Deserialize, Serialize};

/// So many changes are remembered.
pub(super) const MOST_CHANGES: usize = 1_000;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// A file was edited, and what it says is in use.
    Edited,
    /// A version was added, as a draft.
    Drafted,
    /// Somebody put a version into use.
    Used,
    /// A template was pinned to its version, so that no experiment changes it.
    Pinned,
    /// It was let go again.
    Unpinned,
    /// An experiment began.
    Started,
    /// It is not given any requests for now.
    Frozen,
    /// It goes on.
    Resumed,
    /// A challenger took the champion's place.
    Promoted,
    /// A challenger was dropped, or an experiment ended without a better one.
    Retired,
    /// A challenger seemed to do harm and was taken away.
    Stopped,
    /// A search for a better version began.
    Searching,
    /// It ended.
    Settled,
    /// Evidence speaks for something that somebody has to decide on.
    Proposed,
}

impl ChangeKind {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Edited => "edited",
            Self::Drafted => "drafted",
            Self::Used => "used",
            Self::Pinned => "pinned",
            Self::Unpinned => "unpinned",
            Self::Started => "started",
            Self::Frozen => "frozen",
            Self::Resumed => "resumed",
            Self::Promoted => "promoted",
            Self::Retired => "retired",
            Self::Stopped => "stopped",
            Self::Searching => "searching",
            Self::Settled => "settled",
            Self::Proposed => "proposed",
        }
    }
}

/// One change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Its number; later ones have larger ones.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// What was done.
    pub kind: ChangeKind,
    /// To which template.
    pub template: String,
    /// The version that it is about.
    pub version: String,
    /// The version that was in use before, where that changed: using it again takes the change back.
    pub before: Option<String>,
    /// The experiment that it came of.
    pub experiment: Option<String>,
    /// Why, in words.
    pub reason: String,
}
