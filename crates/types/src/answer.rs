//! What comes of a plan: text, the passages it rests on, what it cost and how long each stage took.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use crate::{ChunkId, DocumentId, Location, Money, Prompted, Spending, Timestamp};

/// Tokens read and written by a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt.
    pub input_tokens: u64,
    /// Those of them that the provider had in its cache.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cached_input_tokens: u64,
    /// Tokens of the answer.
    pub output_tokens: u64,
}

/// Most prompts are in no cache, and what was stored before caches were counted says nothing of them.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands in a reference")]
fn is_zero(tokens: &u64) -> bool {
    *tokens == 0
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.cached_input_tokens = self.cached_input_tokens.saturating_add(other.cached_input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
    }
}

/// A passage that was found, with the scores that put it there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The chunk.
    pub chunk: ChunkId,
    /// Its document.
    pub document: DocumentId,
    /// What names the document for its users.
    pub document_key: String,
    /// The document's title.
    pub title: String,
    /// Where in the document it lies.
    pub location: Location,
    /// Its text.
    pub text: String,
    /// The score that it was ranked by.
    pub score: f32,
    /// The scores that went into it, by name (`bm25`, `cosine`, …).
    pub components: Vec<(String, f32)>,
    /// Why feedback moved it, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifted: Option<Lifted>,
}

/// Why feedback on earlier questions moved a passage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lifted {
    /// How far its score rose, or fell.
    pub by: f32,
    /// The remembered question that is most like this one.
    pub question: String,
    /// How like, in [0, 1].
    pub likeness: f32,
    /// How many people found that the passage answers it.
    pub confirmed_by: u32,
    /// How many found that it does not.
    pub rejected_by: u32,
    /// How many passed it over on the way to another passage, and said nothing else of it.
    #[serde(default, skip_serializing_if = "is_nobody")]
    pub passed_by: u32,
}

/// Most passages were passed over by nobody.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands in a reference")]
fn is_nobody(count: &u32) -> bool {
    *count == 0
}

/// A half-open range of bytes in a text, on character boundaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// A marker `[n]` in the answer and what it points at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Citation {
    /// The number in the answer's text, from 1.
    pub marker: u32,
    /// The chunk it points at.
    pub chunk: ChunkId,
    /// The quoted part of the chunk, where the answer quotes.
    pub quote: Option<Span>,
}

/// A stage of the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Embedding the query.
    Embed,
    /// Features and the choice of a plan.
    Plan,
    /// Finding passages.
    Retrieve,
    /// Writing the answer.
    Generate,
}

/// How long a stage took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageTiming {
    /// Which stage.
    pub stage: Stage,
    /// Its duration in milliseconds.
    pub ms: f64,
}

/// What an answer came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerOrigin {
    /// The plan, so that what people say of it is said of the plan.
    #[default]
    Plan,
    /// No model: what was planned for one could be answered without.
    Spared,
    /// A similar question, whose kept answer took the place of one that could not be had.
    StandIn,
    /// The plan, but it broke off before its end.
    Broken,
}

impl AnswerOrigin {
    /// Whether it is the plan, to its end.
    pub fn is_plan(&self) -> bool {
        *self == Self::Plan
    }
}

/// Why a question that a model was planned for could do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SelectiveKind {
    /// Nothing is asked: it greets, or thanks.
    Greeting,
    /// The passages answer it in their own words.
    Quotation,
}

/// What could have answered without the planned model, and what was decided about it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SelectiveChoice {
    /// What that is.
    pub kind: SelectiveKind,
    /// How well it fits the question: the likeness of the best sentence, in [-1, 1].
    pub support: f32,
    /// How likely it was predicted not to say what the model would, in [0, 1].
    pub risk: f64,
    /// The probability with which it was going to be served; above 0 and not served, it was compared with the model's answer.
    pub propensity: f64,
    /// Whether it was served.
    pub served: bool,
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The text, with citation markers; empty where only passages were asked for.
    pub text: String,
    /// Whether the documents hold an answer, as far as the answerer can tell.
    pub found: bool,
    /// What the markers point at.
    pub citations: Vec<Citation>,
    /// The passages, best first.
    pub evidence: Vec<Evidence>,
    /// Tokens of the model, where one wrote: the answer, or what was searched for.
    pub usage: Usage,
    /// What the models cost; none where a price is not known.
    pub cost: Option<Money>,
    /// What was asked of models for it. What several answers have in common stands with one of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spent: Vec<Spending>,
    /// How long each stage took, in order.
    pub timings: Vec<StageTiming>,
    /// Why the plan could not be followed to the letter, where it could not.
    pub degraded: Option<String>,
    /// Why the text ends: `stop`, or what else a model's provider said, such as `length`.
    pub finish_reason: String,
    /// What it came from.
    #[serde(default, skip_serializing_if = "AnswerOrigin::is_plan")]
    pub origin: AnswerOrigin,
    /// What could have answered without the planned model, where that was looked at beforehand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selective: Option<SelectiveChoice>,
    /// What the model was told that wrote it, where that was shown passages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompted: Option<Prompted>,
    /// When it was complete.
    pub at: Timestamp,
}

impl Answer {
    /// Passages alone: no words, and nothing asked of a model.
    pub fn of_passages(evidence: Vec<Evidence>, at: Timestamp) -> Self {
        Self {
            text: String::new(),
            found: !evidence.is_empty(),
            citations: Vec::new(),
            evidence,
            usage: Usage::default(),
            cost: Some(Money::ZERO),
            spent: Vec::new(),
            timings: Vec::new(),
            degraded: None,
            finish_reason: "stop".to_owned(),
            origin: AnswerOrigin::Plan,
            selective: None,
            prompted: None,
            at,
        }
    }
}
