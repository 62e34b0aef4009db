//! What adapts a prompt to a question: named operations, each of which adds its words to one block.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::block::BlockKind;
use crate::passages::escaped;
use crate::template::{Compiled, TemplateError, tokens_of};

/// Of two operations of one slot a prompt has the later one; those of different slots don't know each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Slot {
    /// How the answer is worked out.
    Reasoning,
    /// How sources are weighed.
    Sources,
    /// How much is taken to be known.
    Depth,
    /// The form of the answer.
    Format,
    /// How long it is.
    Length,
    /// In which language it is.
    Language,
    /// Answers to follow.
    Examples,
    /// What is said where.
    Order,
}

impl Slot {
    /// Its name, as files of operations write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reasoning => "reasoning",
            Self::Sources => "sources",
            Self::Depth => "depth",
            Self::Format => "format",
            Self::Length => "length",
            Self::Language => "language",
            Self::Examples => "examples",
            Self::Order => "order",
        }
    }
}

/// An answer to follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// What was asked.
    pub question: String,
    /// What people found good.
    pub answer: String,
}

impl Example {
    /// Of what somebody asked and was answered: as material to look at, in which nothing can be mistaken for a passage's end.
    pub fn new(question: &str, answer: &str) -> Self {
        let question: Vec<&str> = question.split_whitespace().collect();
        Self { question: escaped(&question.join(" ")), answer: escaped(answer) }
    }
}

/// An operation as it is written down.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    slot: Slot,
    block: String,
    purpose: String,
    #[serde(default)]
    replaces: bool,
    #[serde(default)]
    alternative: bool,
    text: String,
}

/// Something that is done to a prompt.
#[derive(Clone, Debug)]
pub struct Operation {
    /// What it is called, and logged as.
    pub name: String,
    /// What it excludes.
    pub slot: Slot,
    /// The block that it adds to.
    pub block: BlockKind,
    /// What it is for.
    pub purpose: String,
    /// Whether the template's own words of that block give way.
    pub replaces: bool,
    /// Whether it is worth trying though no rule asks for it.
    pub is_alternative: bool,
    /// Its words.
    pub text: String,
    compiled: Arc<Compiled>,
}

impl PartialEq for Operation {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.slot, self.block, &self.text) == (&other.name, other.slot, other.block, &other.text)
    }
}

impl Operation {
    /// About how many tokens its words have.
    pub fn tokens(&self) -> usize {
        tokens_of(&self.text)
    }

    pub(crate) fn compiled(&self) -> &Compiled {
        &self.compiled
    }
}

/// What is wrong with a file of operations.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OperationError {
    /// It can't be understood.
    #[error("the operations cannot be read: {0}")]
    Unreadable(String),
    /// One of them can't be used.
    #[error("the operation `{name}`: {error}")]
    Broken {
        /// Which.
        name: String,
        /// Why.
        error: TemplateError,
    },
    /// It changes what every prompt must have.
    #[error("the operation `{0}` replaces a block without which nobody could answer: let it add to it")]
    Replaces(String),
}

/// The operations of a file, by their names.
///
/// # Errors
/// If a person who writes operations has to change something.
pub(crate) fn read(text: &str) -> Result<BTreeMap<String, Operation>, OperationError> {
    let written: BTreeMap<String, Written> = toml::from_str(text)
        .map_err(|error| OperationError::Unreadable(error.to_string().trim_end().to_owned()))?;
    let operation = |(name, written): (String, Written)| {
        let Written { slot, block, purpose, replaces, alternative, text } = written;
        let failed = |error| OperationError::Broken { name: name.clone(), error };
        let block =
            BlockKind::named(&block).ok_or_else(|| failed(TemplateError::UnknownBlock(block.clone())))?;
        if replaces && matches!(block, BlockKind::Context | BlockKind::Question | BlockKind::Instructions) {
            return Err(OperationError::Replaces(name));
        }
        // What shows passages or the question is the template's own.
        let compiled = Arc::new(Compiled::addition(block, &text).map_err(failed)?);
        let is_alternative = alternative;
        let operation =
            Operation { name: name.clone(), slot, block, purpose, replaces, is_alternative, text, compiled };
        Ok((name, operation))
    };
    written.into_iter().map(operation).collect()
}
