//! `/v1/search`: passages without an answer.

use axum::Json;
use axum::extract::State;
use burnish_engine::{Answered, Pinned};
use burnish_types::Strategy;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::error::{ApiError, Code, ErrorBody};
use crate::extract::Body;
use crate::question::{Options, Question};
use crate::wire::{Filter, Passage, Planned, Timing, User};

/// What to look for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SearchRequest {
    query: String,
    /// How passages are to be found; the planner decides where none is named.
    strategy: Option<String>,
    /// From 1 to 1000; 10 where not said.
    top_k: Option<usize>,
    filter: Option<Filter>,
    user: Option<User>,
    /// In [0, 1]; 0.8 where not said.
    target_quality: Option<f32>,
}

/// What was found.
#[derive(Serialize, ToSchema)]
pub(crate) struct SearchResponse {
    /// The key for feedback.
    id: String,
    strategy: String,
    /// Best first.
    results: Vec<Passage>,
    #[serde(flatten)]
    planned: Planned,
    timings: Vec<Timing>,
}

/// Finds passages.
#[utoipa::path(
    post, path = "/v1/search", tag = "burnish", request_body = SearchRequest,
    responses(
        (status = 200, body = SearchResponse),
        (status = 400, body = ErrorBody, description = "A value can't be taken"),
        (status = 404, body = ErrorBody, description = "No strategy has this name")
    )
)]
pub(super) async fn search(
    State(app): State<App>,
    Body(request): Body<SearchRequest>,
) -> Result<Json<SearchResponse>, ApiError> {
    let SearchRequest { query, strategy, top_k, filter, user, target_quality } = request;
    let options = Options { top_k, filter, user, target_quality, ..Options::default() };
    let question = Question { text: query, param: "query", options, ..Question::default() };
    let query = question.into_query(&app.settings)?;
    let pinned = Pinned { strategy: strategy.map(Strategy::new), ..Pinned::default() };
    let Answered { decision, answer } = app.engine.search(query, pinned).await?;
    let planned = Planned::of(&decision)
        .ok_or_else(|| ApiError::new(Code::Internal, "the planner chose nothing; this is a fault"))?;
    Ok(Json(SearchResponse {
        id: decision.id.to_string(),
        strategy: planned.plan.strategy.clone(),
        results: answer.evidence.iter().map(Passage::from).collect(),
        planned,
        timings: answer.timings.iter().map(Timing::from).collect(),
    }))
}
