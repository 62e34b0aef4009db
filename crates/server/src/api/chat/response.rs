//! Answers and their chunks, in OpenAI's shape with one `burnish` object beside.

use burnish_types as inside;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::wire::{Citation, Passage, Planned, Selective, Timing, citations, dollars};

/// An answer.
#[derive(Serialize, ToSchema)]
pub(crate) struct ChatResponse {
    /// The key for feedback.
    id: String,
    /// `chat.completion`.
    object: &'static str,
    /// Seconds since 1970.
    created: u64,
    model: String,
    /// One.
    choices: Vec<Choice>,
    usage: TokenUsage,
    burnish: Burnish,
}

/// The answer's text.
#[derive(Serialize, ToSchema)]
pub(crate) struct Choice {
    index: u32,
    message: Spoken,
    /// Always missing.
    logprobs: Option<()>,
    /// `stop`, or what else a model's provider said.
    finish_reason: String,
}

/// A message of ours.
#[derive(Serialize, ToSchema)]
pub(crate) struct Spoken {
    /// `assistant`.
    role: &'static str,
    /// With markers `[n]` where something is cited.
    content: String,
    /// Always missing.
    refusal: Option<()>,
    /// What a model says beside text, such as `tool_calls`.
    #[serde(flatten)]
    #[schema(value_type = Object, additional_properties)]
    extra: Map<String, Value>,
}

/// Tokens that a language model read and wrote; 0 where none was asked.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenUsage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
}

/// What is told beside OpenAI's fields.
#[derive(Default, Serialize, ToSchema)]
pub(crate) struct Burnish {
    /// Whether the documents hold an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<bool>,
    /// What the markers point at.
    #[serde(skip_serializing_if = "Option::is_none")]
    citations: Option<Vec<Citation>>,
    /// The passages, best first.
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<Vec<Passage>>,
    #[serde(flatten)]
    planned: Option<Planned>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timings: Option<Vec<Timing>>,
    /// Why the plan could not be followed to the letter, where it could not.
    #[serde(skip_serializing_if = "Option::is_none")]
    degraded: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_usd: Option<f64>,
    /// What could have answered without the planned model, where that was looked at beforehand.
    #[serde(skip_serializing_if = "Option::is_none")]
    selective: Option<Selective>,
}

/// A piece of a streamed answer.
#[derive(Serialize)]
pub(super) struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: Vec<PieceChoice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<TokenUsage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    burnish: Option<Burnish>,
}

#[derive(Serialize)]
struct PieceChoice {
    index: u32,
    delta: Delta,
    finish_reason: Option<String>,
}

#[derive(Default, Serialize)]
struct Delta {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

/// What an answer and all its chunks have in common.
pub(in crate::api) struct Head {
    id: String,
    created: u64,
    model: String,
    planned: Option<Planned>,
}

impl Head {
    pub(in crate::api) fn of(decision: &inside::Decision, model: String) -> Self {
        let (id, created) = (decision.id.to_string(), decision.at.0 / 1_000);
        Self { id, created, model, planned: Planned::of(decision) }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn strategy(&self) -> &str {
        self.planned.as_ref().map_or("", |planned| &planned.plan.strategy)
    }

    pub(in crate::api) fn whole(self, answer: &inside::Answer, extra: Map<String, Value>) -> ChatResponse {
        let evidence = Some(answer.evidence.iter().map(Passage::from).collect());
        let burnish = Burnish { evidence, planned: self.planned, ..ending(answer) };
        let message = Spoken { role: "assistant", content: answer.text.clone(), refusal: None, extra };
        let finish_reason = answer.finish_reason.clone();
        ChatResponse {
            id: self.id,
            object: "chat.completion",
            created: self.created,
            model: self.model,
            choices: vec![Choice { index: 0, message, logprobs: None, finish_reason }],
            usage: usage(answer),
            burnish,
        }
    }

    /// The plan and the passages, before the first word.
    pub(super) fn first(&self, evidence: &[inside::Evidence]) -> Chunk<'_> {
        let evidence = Some(evidence.iter().map(Passage::from).collect());
        let burnish = Burnish { evidence, planned: self.planned.clone(), ..Burnish::default() };
        let delta = Delta { role: Some("assistant"), content: Some(String::new()), extra: Map::new() };
        Chunk { burnish: Some(burnish), ..self.chunk(delta, None) }
    }

    pub(super) fn piece(&self, text: String) -> Chunk<'_> {
        self.chunk(Delta { content: Some(text), ..Delta::default() }, None)
    }

    pub(super) fn extra(&self, extra: Map<String, Value>) -> Chunk<'_> {
        self.chunk(Delta { extra, ..Delta::default() }, None)
    }

    pub(super) fn last(&self, answer: &inside::Answer) -> Chunk<'_> {
        let chunk = self.chunk(Delta::default(), Some(answer.finish_reason.clone()));
        Chunk { burnish: Some(ending(answer)), ..chunk }
    }

    pub(super) fn usage(&self, answer: &inside::Answer) -> Chunk<'_> {
        let chunk = self.chunk(Delta::default(), None);
        Chunk { choices: Vec::new(), usage: Some(usage(answer)), ..chunk }
    }

    fn chunk(&self, delta: Delta, finish_reason: Option<String>) -> Chunk<'_> {
        Chunk {
            id: &self.id,
            object: "chat.completion.chunk",
            created: self.created,
            model: &self.model,
            choices: vec![PieceChoice { index: 0, delta, finish_reason }],
            usage: None,
            burnish: None,
        }
    }
}

fn ending(answer: &inside::Answer) -> Burnish {
    Burnish {
        found: Some(answer.found),
        citations: Some(citations(answer)),
        timings: Some(answer.timings.iter().map(Timing::from).collect()),
        degraded: answer.degraded.clone(),
        cost_usd: answer.cost.map(dollars),
        selective: answer.selective.as_ref().map(Selective::from),
        ..Burnish::default()
    }
}

fn usage(answer: &inside::Answer) -> TokenUsage {
    let inside::Usage { input_tokens, output_tokens, .. } = answer.usage;
    TokenUsage {
        prompt_tokens: input_tokens,
        completion_tokens: output_tokens,
        total_tokens: input_tokens.saturating_add(output_tokens),
    }
}
