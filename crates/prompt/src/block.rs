//! What a prompt is made of.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a block is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BlockKind {
    /// Who answers.
    Role,
    /// What is to be done, and what not.
    Instructions,
    /// The passages.
    Context,
    /// Answers to follow.
    Examples,
    /// The form of the answer.
    Format,
    /// What is asked.
    Question,
}

impl BlockKind {
    /// All kinds.
    pub const ALL: [Self; 6] =
        [Self::Role, Self::Instructions, Self::Context, Self::Examples, Self::Format, Self::Question];

    /// Its name, as templates write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Role => "role",
            Self::Instructions => "instructions",
            Self::Context => "context",
            Self::Examples => "examples",
            Self::Format => "format",
            Self::Question => "question",
        }
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for BlockKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
