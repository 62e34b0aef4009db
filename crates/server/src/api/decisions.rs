//! `/v1/decisions/{id}`: what was decided for a request, and what became of it.

use axum::Json;
use axum::extract::{Path, State};
use burnish_types as inside;
use serde::Serialize;
use utoipa::ToSchema;

use super::feedback::request_id;
use crate::app::App;
use crate::error::{ApiError, ErrorBody};
use crate::wire::{
    Citation, Decision, Outcome, Passage, Prompted, Selective, Timing, citations, dollars, rfc3339,
};

/// A decision with everything that became of it.
#[derive(Serialize, ToSchema)]
pub(crate) struct DecisionResponse {
    #[serde(flatten)]
    decision: Decision,
    /// Missing while it is being written, and where it broke off.
    answer: Option<Answer>,
    /// Oldest first.
    outcomes: Vec<Outcome>,
}

/// What was answered.
#[derive(Serialize, ToSchema)]
pub(crate) struct Answer {
    /// Empty where only passages were asked for.
    text: String,
    found: bool,
    citations: Vec<Citation>,
    evidence: Vec<Passage>,
    input_tokens: u64,
    output_tokens: u64,
    cost_usd: Option<f64>,
    /// What was asked of which model for it. What several answers have in common stands with one of them.
    spent: Vec<Spending>,
    timings: Vec<Timing>,
    /// Why the plan could not be followed to the letter, where it could not.
    degraded: Option<String>,
    finish_reason: String,
    /// What it came from: `plan`; `spared` where it took no model, though one was planned; `stand_in` where the kept answer to a similar question took its place; `broken` where
    /// it broke off.
    origin: &'static str,
    /// What could have answered without the planned model, where that was looked at beforehand.
    #[serde(skip_serializing_if = "Option::is_none")]
    selective: Option<Selective>,
    /// What the model was told that wrote it, where that was shown passages.
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<Prompted>,
    /// In the form of RFC 3339.
    at: String,
}

impl From<&inside::Answer> for Answer {
    fn from(answer: &inside::Answer) -> Self {
        Self {
            text: answer.text.clone(),
            found: answer.found,
            citations: citations(answer),
            evidence: answer.evidence.iter().map(Passage::from).collect(),
            input_tokens: answer.usage.input_tokens,
            output_tokens: answer.usage.output_tokens,
            cost_usd: answer.cost.map(dollars),
            spent: answer.spent.iter().map(Spending::from).collect(),
            timings: answer.timings.iter().map(Timing::from).collect(),
            degraded: answer.degraded.clone(),
            finish_reason: answer.finish_reason.clone(),
            origin: match answer.origin {
                inside::AnswerOrigin::Plan => "plan",
                inside::AnswerOrigin::Spared => "spared",
                inside::AnswerOrigin::StandIn => "stand_in",
                inside::AnswerOrigin::Broken => "broken",
            },
            selective: answer.selective.as_ref().map(Selective::from),
            prompt: answer.prompted.as_ref().map(Prompted::from),
            at: rfc3339(answer.at),
        }
    }
}

/// What one request to a model took.
#[derive(Serialize, ToSchema)]
pub(crate) struct Spending {
    model: String,
    input_tokens: u64,
    cached_input_tokens: u64,
    output_tokens: u64,
    cost_usd: Option<f64>,
}

impl From<&inside::Spending> for Spending {
    fn from(spending: &inside::Spending) -> Self {
        let inside::Spending { model, usage, cost } = spending;
        Self {
            model: model.clone(),
            input_tokens: usage.input_tokens,
            cached_input_tokens: usage.cached_input_tokens,
            output_tokens: usage.output_tokens,
            cost_usd: cost.map(dollars),
        }
    }
}

/// What was decided for a request, out of what, why, and what became of it.
#[utoipa::path(
    get, path = "/v1/decisions/{id}", tag = "burnish",
    params(("id" = String, Path, description = "The answer's id")),
    responses((status = 200, body = DecisionResponse), (status = 404, body = ErrorBody))
)]
pub(super) async fn retrieve(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<DecisionResponse>, ApiError> {
    let stored = stored(&app, &id).await?;
    Ok(Json(DecisionResponse {
        decision: Decision::from(&stored.decision),
        answer: stored.answer.as_ref().map(Answer::from),
        outcomes: stored.outcomes.iter().map(Outcome::from).collect(),
    }))
}

/// The decision with this id.
pub(crate) async fn stored(app: &App, id: &str) -> Result<inside::StoredDecision, ApiError> {
    let id = request_id(id)?;
    let stored = app.engine.decision(id).await?;
    stored.ok_or_else(|| burnish_engine::EngineError::UnknownRequest(id).into())
}
