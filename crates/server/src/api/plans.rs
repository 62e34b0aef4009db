//! `/v1/plan`: what would be done for a question. `/v1/route`: who should answer one, for callers with a pipeline of their own.

use axum::Json;
use axum::extract::State;
use burnish_engine::{Pinned, RouteRequest as Routed};
use burnish_types as inside;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::error::{ApiError, Code, ErrorBody};
use crate::extract::Body;
use crate::question::{Options, Question};
use crate::wire::{Considered, Filter, Planned, User};

/// A question, and what is wanted of its answer.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlanRequest {
    query: String,
    /// As for answers: `burnish` where not said.
    model: Option<String>,
    /// From 1 to 1000.
    top_k: Option<usize>,
    filter: Option<Filter>,
    user: Option<User>,
    /// In [0, 1]; 0.8 where not said.
    target_quality: Option<f32>,
    /// The most that the answer may cost, in US dollars.
    budget_usd: Option<f64>,
    /// The longest that it should take.
    latency_budget_ms: Option<f64>,
}

/// What would be done now. Answers that are kept, and what might be quoted, are not looked at.
#[derive(Serialize, ToSchema)]
pub(crate) struct PlanResponse {
    #[serde(flatten)]
    planned: Planned,
    #[serde(flatten)]
    considered: Considered,
}

/// A question whose prompt the caller makes.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteRequest {
    query: String,
    /// The models that may answer; all that are chosen from where not said.
    #[serde(default)]
    models: Vec<String>,
    /// Tokens of the prompt; where not said, those of the question, about.
    input_tokens: Option<u64>,
    user: Option<User>,
    /// In [0, 1]; 0.8 where not said.
    target_quality: Option<f32>,
    /// The most that the answer may cost, in US dollars.
    budget_usd: Option<f64>,
    /// The longest that it should take.
    latency_budget_ms: Option<f64>,
}

/// Who should answer.
#[derive(Serialize, ToSchema)]
pub(crate) struct RouteResponse {
    /// The key for feedback on what came of it.
    id: String,
    /// The model to ask.
    model: String,
    #[serde(flatten)]
    planned: Planned,
    #[serde(flatten)]
    considered: Considered,
}

/// Says what would be done for a question, at what quality, cost and latency, without doing it.
#[utoipa::path(
    post, path = "/v1/plan", tag = "burnish", request_body = PlanRequest,
    responses(
        (status = 200, body = PlanResponse),
        (status = 400, body = ErrorBody, description = "A value can't be taken"),
        (status = 404, body = ErrorBody, description = "No model or strategy has this name")
    )
)]
pub(super) async fn plan(
    State(app): State<App>,
    Body(request): Body<PlanRequest>,
) -> Result<Json<PlanResponse>, ApiError> {
    let PlanRequest { query, model, top_k, filter, user, target_quality, budget_usd, latency_budget_ms } =
        request;
    let mut pinned = match model {
        Some(model) => super::models::pinned(&app.engine, &model)?,
        None => Pinned::default(),
    };
    pinned.depth = top_k;
    let options = Options { top_k, filter, user, target_quality, budget_usd, latency_budget_ms };
    let question = Question { text: query, param: "query", options, ..Question::default() };
    let decision = app.engine.plan(question.into_query(&app.settings)?, pinned).await?;
    Ok(Json(PlanResponse { planned: planned(&decision)?, considered: Considered::of(&decision) }))
}

/// Chooses the model that should answer a question, for callers who find passages and ask models themselves. What that takes is not
/// counted towards any budget but the request's own.
#[utoipa::path(
    post, path = "/v1/route", tag = "burnish", request_body = RouteRequest,
    responses(
        (status = 200, body = RouteResponse),
        (status = 400, body = ErrorBody, description = "A value can't be taken, or there is nothing to choose from"),
        (status = 404, body = ErrorBody, description = "No model has this name")
    )
)]
pub(super) async fn route(
    State(app): State<App>,
    Body(request): Body<RouteRequest>,
) -> Result<Json<RouteResponse>, ApiError> {
    let RouteRequest { query, models, input_tokens, user, target_quality, budget_usd, latency_budget_ms } =
        request;
    let options = Options { user, target_quality, budget_usd, latency_budget_ms, ..Options::default() };
    let question = Question { text: query, param: "query", options, ..Question::default() };
    let query = question.into_query(&app.settings)?;
    let decision = app.engine.route(Routed { query, input_tokens, models }).await?;
    let planned = planned(&decision)?;
    Ok(Json(RouteResponse {
        id: decision.id.to_string(),
        model: planned.plan.answerer.clone(),
        planned,
        considered: Considered::of(&decision),
    }))
}

fn planned(decision: &inside::Decision) -> Result<Planned, ApiError> {
    Planned::of(decision)
        .ok_or_else(|| ApiError::new(Code::Internal, "the planner chose nothing; this is a fault"))
}
