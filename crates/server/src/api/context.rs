//! `/v1/context/optimize`: passages made smaller, for callers with a pipeline of their own.

use axum::Json;
use axum::extract::State;
use burnish_context as optimiser;
use burnish_engine as inside;
use burnish_engine::{Brought, ContextOrder, ContextRequest, SmallerContext};
use burnish_types::ChunkId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::error::{ApiError, ErrorBody};
use crate::extract::Body;
use crate::question::{Options, Question};
use crate::wire::{User, dollars};

/// The most passages that are taken.
const MAX_PASSAGES: usize = 256;
/// The share that is saved where nothing else is said.
const DEFAULT_REDUCTION: f64 = 0.3;

/// Passages, and how small they are to become.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OptimizeRequest {
    /// The question that they are to answer.
    query: String,
    /// Best first; at most 256.
    passages: Vec<GivenPassage>,
    /// The most tokens that may be left, whatever is lost by it.
    max_tokens: Option<usize>,
    /// The share of the tokens that is to be saved as far as nothing that the question asks for is lost, in [0, 1). 0.3 where
    /// neither this nor `max_tokens` is said.
    target_reduction: Option<f64>,
    /// `rank`: best first. `edges`: the best at the beginning and at the end, for long contexts.
    order: Option<Order>,
    /// The model that is to read them, for what that costs.
    model: Option<String>,
    user: Option<User>,
}

/// A passage: exactly one of `text` and `chunk`.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GivenPassage {
    text: Option<String>,
    /// Beside `text`.
    title: Option<String>,
    /// A stored passage.
    chunk: Option<u64>,
    /// What it was ranked by, higher being better; where none is given, the order says it.
    score: Option<f32>,
}

/// In which order passages are wanted.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    /// Best first.
    Rank,
    /// The best at the beginning and at the end.
    Edges,
}

/// What is left.
#[derive(Serialize, ToSchema)]
pub(crate) struct OptimizeResponse {
    /// The key for feedback on what came of it.
    id: String,
    /// In the order that was asked for. Passages of which nothing is left are not among them.
    passages: Vec<LeftPassage>,
    /// Tokens, as the encoder counts them.
    tokens: Sizes<usize>,
    /// What the model takes for reading them, in US dollars, where it is named and has a price.
    cost_usd: Option<Sizes<f64>>,
    /// What was done, in order.
    steps: Vec<Step>,
    /// Passages that speak against each other.
    conflicts: Vec<Conflict>,
    /// Why less could not be had than was asked for, where it could not.
    #[serde(skip_serializing_if = "Option::is_none")]
    degraded: Option<String>,
}

/// What is left of a passage.
#[derive(Serialize, ToSchema)]
pub(crate) struct LeftPassage {
    /// Its place among those given, from 0.
    index: usize,
    title: String,
    /// Whole sentences, word for word; `…` stands where something was left out.
    text: String,
    tokens: usize,
}

/// Before and afterwards.
#[derive(Serialize, ToSchema)]
pub(crate) struct Sizes<T> {
    original: T,
    optimized: T,
}

/// One step.
#[derive(Serialize, ToSchema)]
pub(crate) struct Step {
    /// `redundancy`, `examples`, `background`, `low_relevance` or `budget`.
    name: &'static str,
    /// Tokens that it saved, or would have.
    saved_tokens: usize,
    /// The share of the question's words that was lost by it.
    lost: f32,
    /// Whether it was undone, because that is too much.
    undone: bool,
}

/// Two passages that can't both be right.
#[derive(Serialize, ToSchema)]
pub(crate) struct Conflict {
    /// Their places among those given, from 0.
    passages: [usize; 2],
    /// The sentences.
    sentences: [String; 2],
    /// `denial`, or `numbers`.
    kind: &'static str,
}

/// Makes passages smaller, keeping what answers the question.
#[utoipa::path(
    post, path = "/v1/context/optimize", tag = "burnish", request_body = OptimizeRequest,
    responses(
        (status = 200, body = OptimizeResponse),
        (status = 400, body = ErrorBody, description = "A value that can't be taken"),
        (status = 404, body = ErrorBody, description = "No such passage or model")
    )
)]
pub(super) async fn optimize(
    State(app): State<App>,
    Body(request): Body<OptimizeRequest>,
) -> Result<Json<OptimizeResponse>, ApiError> {
    let request = wanted(request, &app)?;
    let SmallerContext { decision, passages, optimized, conflicts, cost } =
        app.engine.optimize_context(request).await?;
    Ok(Json(OptimizeResponse {
        id: decision.id.to_string(),
        passages: passages
            .into_iter()
            .map(|passage| LeftPassage {
                index: passage.place,
                title: passage.title,
                text: passage.text,
                tokens: passage.tokens,
            })
            .collect(),
        tokens: Sizes { original: optimized.original, optimized: optimized.optimized },
        cost_usd: cost.map(|[original, optimized]| Sizes {
            original: dollars(original),
            optimized: dollars(optimized),
        }),
        steps: optimized.steps.iter().map(Step::from).collect(),
        conflicts: conflicts.into_iter().map(Conflict::from).collect(),
        degraded: optimized
            .overlong
            .then(|| "even the best sentence is longer than `max_tokens`, and was kept".to_owned()),
    }))
}

impl From<inside::Contradiction> for Conflict {
    fn from(inside::Contradiction { passages, sentences, denies }: inside::Contradiction) -> Self {
        Self { passages, sentences, kind: if denies { "denial" } else { "numbers" } }
    }
}

impl From<&optimiser::Step> for Step {
    fn from(step: &optimiser::Step) -> Self {
        let optimiser::Step { kind, saved, lost, undone } = *step;
        Self { name: kind.name(), saved_tokens: saved, lost, undone }
    }
}

fn wanted(request: OptimizeRequest, app: &App) -> Result<ContextRequest, ApiError> {
    let OptimizeRequest { query, passages, max_tokens, target_reduction, order, model, user } = request;
    if passages.is_empty() {
        return Err(ApiError::invalid("passages", "there is no passage to make smaller: bring at least one"));
    }
    let reduction = match (target_reduction, max_tokens) {
        (Some(reduction), _) if !(0.0..1.0).contains(&reduction) => {
            let message = format!("`target_reduction` is at least 0 and below 1; {reduction} is not");
            return Err(ApiError::invalid("target_reduction", message));
        }
        (Some(reduction), _) => reduction,
        (None, Some(_)) => 0.0,
        (None, None) => DEFAULT_REDUCTION,
    };
    if max_tokens == Some(0) {
        return Err(ApiError::invalid("max_tokens", "`max_tokens` is at least 1, or left out"));
    }
    let question = Question {
        text: query,
        param: "query",
        options: Options { user, ..Options::default() },
        ..Question::default()
    };
    Ok(ContextRequest {
        query: question.into_query(&app.settings)?,
        passages: brought(passages)?,
        target: optimiser::Target { tokens: max_tokens, reduction },
        order: match order {
            Some(Order::Edges) => ContextOrder::Edges,
            Some(Order::Rank) | None => ContextOrder::Rank,
        },
        model,
    })
}

/// The passages that a request brings, each with its score, where it has one.
pub(super) fn brought(passages: Vec<GivenPassage>) -> Result<Vec<(Brought, Option<f32>)>, ApiError> {
    if passages.len() > MAX_PASSAGES {
        let message = format!("at most {MAX_PASSAGES} passages are taken; there are {}", passages.len());
        return Err(ApiError::invalid("passages", message));
    }
    let brought = |(place, passage): (usize, GivenPassage)| {
        let at = format!("passages[{place}]");
        if passage.score.is_some_and(|score| !score.is_finite()) {
            return Err(ApiError::invalid(format!("{at}.score"), "a score is a finite number"));
        }
        let brought = match (passage.text, passage.chunk) {
            (Some(text), None) => Brought::Text { title: passage.title.unwrap_or_default(), text },
            (None, Some(chunk)) => Brought::Chunk(ChunkId(chunk)),
            _ => return Err(ApiError::invalid(at, "exactly one of `text` and `chunk` is expected")),
        };
        Ok((brought, passage.score))
    };
    passages.into_iter().enumerate().map(brought).collect()
}
