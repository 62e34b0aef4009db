//! A template: a file of typed blocks with what it is for in front.

mod sandbox;
mod source;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::block::BlockKind;
pub(crate) use sandbox::Compiled;
pub use sandbox::Inputs;
use source::{Split, split};

/// Characters of a token, about.
const TOKEN_CHARS: usize = 4;
/// More tokens in a template's own words are refused: a prompt is read with every question.
pub const MOST_TOKENS: usize = 2_000;
/// What a template may say it applies to.
pub const TOPICS: [&str; 11] = [
    "factoid",
    "definition",
    "comparison",
    "procedure",
    "multi_hop",
    "aggregation",
    "lookup",
    "conversation",
    "summary",
    "table",
    "code",
];
/// The longest id.
const LONGEST_ID: usize = 64;
/// Blocks without which nobody could answer.
const NEEDED: [BlockKind; 3] = [BlockKind::Instructions, BlockKind::Context, BlockKind::Question];

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// There is no front matter.
    #[error("a template begins with its front matter between two lines `+++`")]
    NoFront,
    /// The front matter can't be understood.
    #[error("the front matter cannot be read: {0}")]
    Front(String),
    /// The id names nothing well.
    #[error(
        "`{0}` is no id: take up to 64 small letters, digits, `-` and `_`, beginning with a letter or digit"
    )]
    Id(String),
    /// It applies to something that no question is.
    #[error("`applies-when` names `{0}`, which no question is: take some of {known}", known = TOPICS.join(", "))]
    Topic(String),
    /// A block that there is not.
    #[error("there is no block `{0}`: a prompt has {known}", known = BlockKind::ALL.map(BlockKind::name).join(", "))]
    UnknownBlock(String),
    /// A block that is missing.
    #[error("the block `{0}` is missing: add `{{% block {0} %}}…{{% endblock %}}` and name it in `blocks`")]
    MissingBlock(BlockKind),
    /// A block that is there twice.
    #[error("the block `{0}` is there twice: a prompt has one of each")]
    DoubleBlock(BlockKind),
    /// The front matter and the body do not agree.
    #[error("`blocks` and the body do not agree on the block `{0}`: each must be in both")]
    Unlisted(BlockKind),
    /// The question is not last.
    #[error("the block `question` must come last in `blocks`: it is what the person says")]
    QuestionNotLast,
    /// Text that belongs to no block.
    #[error("the text `{0}` stands outside of any block")]
    Outside(String),
    /// What a template may not do.
    #[error(
        "the block `{block}` uses `{{% {tag} %}}`: blocks know `if`, `elif`, `else`, `for` and their ends alone"
    )]
    Tag {
        /// The block.
        block: BlockKind,
        /// The tag.
        tag: String,
    },
    /// A variable that nobody sets.
    #[error("the block `{block}` names `{variable}`, which nobody sets: there are {known}", known = Inputs::NAMES.join(", "))]
    UnknownVariable {
        /// The block.
        block: BlockKind,
        /// The variable.
        variable: String,
    },
    /// What must be shown is not.
    #[error("the block `{block}` does not show `{{{{ {variable} }}}}`: without it nobody could answer")]
    Unshown {
        /// The block.
        block: BlockKind,
        /// The variable.
        variable: &'static str,
    },
    /// minijinja does not understand it, or it fails for usual questions.
    #[error("the block `{block}` cannot be rendered: {reason}")]
    Broken {
        /// The block.
        block: BlockKind,
        /// Why.
        reason: String,
    },
    /// It is too long.
    #[error(
        "its own words are about {tokens} tokens: more than {MOST_TOKENS} are not sent with every question"
    )]
    OverLong {
        /// About how many it has.
        tokens: usize,
    },
}

/// What stands in front of a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Front {
    /// What it is called.
    pub id: String,
    /// Its author's own count of versions.
    pub version: String,
    /// What it is for.
    pub purpose: String,
    /// What questions it is made for, of [`TOPICS`]; none where it fits any.
    #[serde(default)]
    pub applies_when: Vec<String>,
    /// Its blocks, in the order in which a model reads them.
    pub blocks: Vec<BlockName>,
}

/// The name of a block, which may be none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BlockName(String);

/// A block with its words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// What it is for.
    pub kind: BlockKind,
    /// Its words, with what is filled in for each question.
    pub text: String,
}

impl Block {
    /// About how many tokens its own words have.
    pub fn tokens(&self) -> usize {
        tokens_of(&self.text)
    }

    /// What it is known by wherever it is used: twelve letters that change with its words.
    pub fn version(&self) -> String {
        content_version(&self.text)
    }
}

/// A template that can be rendered.
#[derive(Clone, Debug)]
pub struct Template {
    front: Front,
    blocks: Vec<Block>,
    compiled: BTreeMap<BlockKind, Arc<Compiled>>,
    version: String,
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.front == other.front && self.blocks == other.blocks
    }
}

impl Template {
    /// Reads a template file.
    ///
    /// # Errors
    /// If a person who writes templates has to change something.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let Split { front, blocks } = split(text)?;
        let front: Front = toml::from_str(front)
            .map_err(|error| TemplateError::Front(error.to_string().trim_end().to_owned()))?;
        Self::new(front, blocks)
    }

    /// A template of blocks in any order.
    ///
    /// # Errors
    /// As [`Template::parse`].
    pub fn new(front: Front, blocks: Vec<Block>) -> Result<Self, TemplateError> {
        check_id(&front.id)?;
        if let Some(topic) = front.applies_when.iter().find(|topic| !TOPICS.contains(&topic.as_str())) {
            return Err(TemplateError::Topic(topic.clone()));
        }
        let blocks = ordered(&front.blocks, blocks)?;
        let tokens: usize = blocks.iter().map(Block::tokens).sum();
        if tokens > MOST_TOKENS {
            return Err(TemplateError::OverLong { tokens });
        }
        let mut compiled = BTreeMap::new();
        for block in &blocks {
            compiled.insert(block.kind, Arc::new(Compiled::new(block.kind, &block.text)?));
        }
        let template = Self { version: String::new(), front, blocks, compiled };
        Ok(Self { version: content_version(&template.to_text()), ..template })
    }

    /// The same with other words in some blocks, under its author's version `label`. A block without words is taken out.
    ///
    /// # Errors
    /// As [`Template::parse`].
    pub fn with(&self, changed: &BTreeMap<BlockKind, String>, label: &str) -> Result<Self, TemplateError> {
        let text = |kind: BlockKind| {
            let own = self.blocks.iter().find(|block| block.kind == kind).map(|block| block.text.clone());
            changed.get(&kind).cloned().or(own).filter(|text| !text.trim().is_empty())
        };
        // New blocks go where they usually stand: before the passages, so that what stays the same stands in front.
        let mut order: Vec<BlockKind> = self.blocks.iter().map(|block| block.kind).collect();
        for kind in changed.keys().filter(|kind| self.text(**kind).is_none()) {
            let at = order.iter().position(|known| *known == BlockKind::Context).unwrap_or(order.len());
            order.insert(at, *kind);
        }
        let blocks: Vec<Block> =
            order.into_iter().filter_map(|kind| Some(Block { kind, text: text(kind)? })).collect();
        let names = blocks.iter().map(|block| BlockName(block.kind.name().to_owned())).collect();
        let front = Front { blocks: names, version: label.to_owned(), ..self.front.clone() };
        Self::new(front, blocks)
    }

    /// The same, made for other questions.
    ///
    /// # Errors
    /// As [`Template::parse`].
    pub fn for_topics(&self, topics: Vec<String>) -> Result<Self, TemplateError> {
        Self::new(Front { applies_when: topics, ..self.front.clone() }, self.blocks.clone())
    }

    /// What stands in front.
    pub fn front(&self) -> &Front {
        &self.front
    }

    /// What it is called.
    pub fn id(&self) -> &str {
        &self.front.id
    }

    /// Twelve letters that change with its content.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Its blocks, in the order in which a model reads them.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The words of a block, where it has one of that kind.
    pub fn text(&self, kind: BlockKind) -> Option<&str> {
        self.blocks.iter().find(|block| block.kind == kind).map(|block| block.text.as_str())
    }

    /// About how many tokens its own words have.
    pub fn tokens(&self) -> usize {
        self.blocks.iter().map(Block::tokens).sum()
    }

    /// The file that it is read from, written anew.
    pub fn to_text(&self) -> String {
        let front = toml::to_string(&self.front).unwrap_or_default();
        let blocks = self
            .blocks
            .iter()
            .map(|block| format!("\n{{% block {} %}}\n{}\n{{% endblock %}}\n", block.kind, block.text));
        format!("+++\n{front}+++\n{}", blocks.collect::<String>())
    }

    pub(crate) fn compiled(&self, kind: BlockKind) -> Option<&Arc<Compiled>> {
        self.compiled.get(&kind)
    }
}

/// The blocks in the order of their names, each once.
fn ordered(names: &[BlockName], mut blocks: Vec<Block>) -> Result<Vec<Block>, TemplateError> {
    let mut ordered: Vec<Block> = Vec::with_capacity(blocks.len());
    for BlockName(name) in names {
        let kind = BlockKind::named(name).ok_or_else(|| TemplateError::UnknownBlock(name.clone()))?;
        if ordered.iter().any(|block| block.kind == kind) {
            return Err(TemplateError::DoubleBlock(kind));
        }
        let place = blocks.iter().position(|block| block.kind == kind);
        let place = place.ok_or_else(|| match NEEDED.contains(&kind) {
            true => TemplateError::MissingBlock(kind),
            false => TemplateError::Unlisted(kind),
        })?;
        ordered.push(blocks.remove(place));
    }
    if let Some(block) = blocks.first() {
        return Err(match ordered.iter().any(|known| known.kind == block.kind) {
            true => TemplateError::DoubleBlock(block.kind),
            false => TemplateError::Unlisted(block.kind),
        });
    }
    let missing = NEEDED.into_iter().find(|kind| ordered.iter().all(|block| block.kind != *kind));
    if let Some(missing) = missing {
        return Err(TemplateError::MissingBlock(missing));
    }
    match ordered.last() {
        Some(last) if last.kind == BlockKind::Question => Ok(ordered),
        _ => Err(TemplateError::QuestionNotLast),
    }
}

fn check_id(id: &str) -> Result<(), TemplateError> {
    let fits = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    let well = id.len() <= LONGEST_ID
        && id.starts_with(fits)
        && id.chars().all(|letter| fits(letter) || matches!(letter, '-' | '_'));
    if well { Ok(()) } else { Err(TemplateError::Id(id.chars().take(LONGEST_ID).collect())) }
}

/// About how many tokens `text` has.
pub fn tokens_of(text: &str) -> usize {
    text.chars().count().div_ceil(TOKEN_CHARS)
}

fn content_version(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().chars().take(12).collect()
}

#[cfg(test)]
mod tests;
