//! `/v1/batch`: many questions at once, answered while the caller waits or in the background.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use burnish_engine::{Ask, BatchQuestion, BatchVerdict, Batched, EngineError, Pinned, Sampling};
use burnish_types::{BatchStanding, BatchState, Message, RequestId};
use serde::{Deserialize, Serialize};
use serde_json::Map;
use utoipa::{IntoParams, ToSchema};

use super::chat::{ChatMessage, ChatResponse, Extension, Head, check_sampling, split};
use super::models::{PLANNER, pinned};
use super::not_there;
use crate::app::App;
use crate::error::{ApiError, ErrorBody, ErrorDetail};
use crate::extract::{Body, Parameters};
use crate::question::Question;
use crate::wire::rfc3339;

/// Batches that are listed.
const LISTED: usize = 100;
const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: usize = 1_000;

/// Many questions.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BatchRequest {
    requests: Vec<BatchItem>,
    /// For all that name none; `burnish` where it is not said.
    model: Option<String>,
    /// Whether the questions are answered in the background. Where it is not said, they are when they are many.
    background: Option<bool>,
    /// For all that say nothing of their own.
    burnish: Option<Extension>,
}

/// One question, as `query` or as `messages`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BatchItem {
    /// Names the question in the results; no two may have the same.
    custom_id: Option<String>,
    query: Option<String>,
    messages: Option<Vec<ChatMessage>>,
    model: Option<String>,
    max_tokens: Option<u32>,
    temperature: Option<f32>,
    /// The person who asks, in the caller's own terms.
    user: Option<String>,
    burnish: Option<Extension>,
}

/// How far a batch is, and what came of it so far.
#[derive(Serialize, ToSchema)]
pub(crate) struct BatchResponse {
    /// Names a batch in the background; missing where the answers are here.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// `batch`.
    object: &'static str,
    /// `in_progress`, `completed` or `cancelled`.
    status: &'static str,
    /// In the form of RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
    request_counts: Counts,
    /// In the order of the questions.
    #[serde(skip_serializing_if = "Option::is_none")]
    results: Option<Vec<BatchEntry>>,
    /// Where the next page begins, as `from`.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<usize>,
}

/// How many questions there are of each kind.
#[derive(Serialize, ToSchema)]
pub(crate) struct Counts {
    total: usize,
    completed: usize,
    failed: usize,
}

/// What became of one question.
#[derive(Serialize, ToSchema)]
pub(crate) struct BatchEntry {
    /// The question's place among the requests, from 0.
    index: usize,
    custom_id: Option<String>,
    /// How many questions a language model was asked at once, this one included.
    #[serde(skip_serializing_if = "Option::is_none")]
    together: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<ChatResponse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorDetail>,
}

/// All batches in the background.
#[derive(Serialize, ToSchema)]
pub(crate) struct BatchList {
    /// `list`.
    object: &'static str,
    /// The newest first.
    data: Vec<BatchResponse>,
}

/// Which results are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    /// The place of the first question, from 0.
    from: Option<usize>,
    /// From 1 to 1000; 100 where not said.
    limit: Option<usize>,
}

/// Answers many questions. A language model is asked those together that rest on the same passages.
#[utoipa::path(
    post, path = "/v1/batch", tag = "burnish", request_body = BatchRequest,
    responses(
        (status = 200, body = BatchResponse, description = "All answers"),
        (status = 202, body = BatchResponse, description = "The batch is on disk, and answered in the background"),
        (status = 400, body = ErrorBody, description = "A value can't be taken"),
        (status = 404, body = ErrorBody, description = "No model has this name")
    )
)]
pub(super) async fn create(
    State(app): State<App>,
    Body(request): Body<BatchRequest>,
) -> Result<Response, ApiError> {
    let BatchRequest { requests, model, background, burnish } = request;
    let (count, most) = (requests.len(), app.settings.max_batch_requests);
    if count == 0 || count > most {
        let message = format!("a batch has from 1 to {most} requests; {count} are not");
        return Err(ApiError::invalid("requests", message));
    }
    let common = burnish.unwrap_or_default();
    let model = model.unwrap_or_else(|| PLANNER.to_owned());
    let mut ids = BTreeSet::new();
    let mut questions = Vec::with_capacity(count);
    for (place, item) in requests.into_iter().enumerate() {
        let at = |error: ApiError| {
            let inner = error.param.clone().map_or_else(String::new, |param| format!(".{param}"));
            error.at(format!("requests[{place}]{inner}"))
        };
        if let Some(id) = item.custom_id.as_ref().filter(|id| !ids.insert((*id).clone())) {
            let shown: String = id.chars().take(64).collect();
            let message = format!("two requests have the custom_id `{shown}`: give each one of its own");
            return Err(at(ApiError::invalid("custom_id", message)));
        }
        questions.push(question(&app, item, &model, &common).map_err(at)?);
    }
    let inline = app.settings.max_inline_batch;
    if background.unwrap_or(count > inline) {
        let standing = app.engine.start_batch(questions, describe).await?;
        return Ok((StatusCode::ACCEPTED, Json(BatchResponse::of(&standing))).into_response());
    }
    if count > inline {
        let message =
            format!("up to {inline} requests are answered at once; {count} are more: leave `background` out");
        return Err(ApiError::invalid("background", message));
    }
    let asks = questions.iter().map(|question| question.ask.clone()).collect();
    let answers = app.engine.answer_batch(asks).await;
    let results: Vec<BatchEntry> = questions
        .into_iter()
        .zip(answers)
        .enumerate()
        .map(|(index, (question, answered))| entry(index, question, answered))
        .collect();
    let failed = results.iter().filter(|entry| entry.error.is_some()).count();
    Ok(Json(BatchResponse {
        id: None,
        object: "batch",
        status: status(BatchState::Completed),
        created_at: None,
        request_counts: Counts { total: count, completed: count - failed, failed },
        results: Some(results),
        next: None,
    })
    .into_response())
}

/// The batches in the background, the newest first.
#[utoipa::path(get, path = "/v1/batch", tag = "burnish", responses((status = 200, body = BatchList)))]
pub(super) async fn list(State(app): State<App>) -> Result<Json<BatchList>, ApiError> {
    let batches = app.engine.batches(LISTED).await?;
    Ok(Json(BatchList { object: "list", data: batches.iter().map(BatchResponse::of).collect() }))
}

/// How far a batch is, with the results that are there.
#[utoipa::path(
    get, path = "/v1/batch/{id}", tag = "burnish",
    params(("id" = String, Path, description = "The batch's id"), Page),
    responses(
        (status = 200, body = BatchResponse),
        (status = 400, body = ErrorBody, description = "A value can't be taken"),
        (status = 404, body = ErrorBody)
    )
)]
pub(super) async fn retrieve(
    State(app): State<App>,
    Path(id): Path<String>,
    Parameters(Page { from, limit }): Parameters<Page>,
) -> Result<Json<BatchResponse>, ApiError> {
    let limit = limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        let message = format!("`limit` lies between 1 and {MAX_PAGE}; {limit} does not");
        return Err(ApiError::invalid("limit", message));
    }
    let standing = found(&app, &id).await?;
    let found = app.engine.batch_results(standing.id, from.unwrap_or(0), limit).await?;
    let next = found.last().filter(|_| found.len() == limit).map(|(place, ..)| place + 1);
    let mut results = Vec::with_capacity(found.len());
    for (index, question, verdict) in found {
        results.push(recalled(&app, index, question, verdict).await?);
    }
    let next = next.filter(|next| *next < standing.questions);
    Ok(Json(BatchResponse { results: Some(results), next, ..BatchResponse::of(&standing) }))
}

/// Ends a batch: what is being answered is answered, and nothing more.
#[utoipa::path(
    delete, path = "/v1/batch/{id}", tag = "burnish",
    params(("id" = String, Path, description = "The batch's id")),
    responses((status = 200, body = BatchResponse), (status = 404, body = ErrorBody))
)]
pub(super) async fn cancel(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<BatchResponse>, ApiError> {
    let standing = found(&app, &id).await?;
    app.engine.cancel_batch(standing.id).await?;
    Ok(Json(BatchResponse::of(&found(&app, &id).await?)))
}

async fn found(app: &App, id: &str) -> Result<BatchStanding, ApiError> {
    let parsed: RequestId = id.parse().map_err(|_| not_there("batch", id))?;
    app.engine.batch(parsed).await?.ok_or_else(|| not_there("batch", id))
}

impl BatchResponse {
    fn of(standing: &BatchStanding) -> Self {
        Self {
            id: Some(standing.id.to_string()),
            object: "batch",
            status: status(standing.state),
            created_at: Some(rfc3339(standing.at)),
            request_counts: Counts {
                total: standing.questions,
                completed: standing.answered,
                failed: standing.failed,
            },
            results: None,
            next: None,
        }
    }
}

fn status(state: BatchState) -> &'static str {
    match state {
        BatchState::Open => "in_progress",
        BatchState::Completed => "completed",
        BatchState::Cancelled => "cancelled",
    }
}

fn question(app: &App, item: BatchItem, model: &str, common: &Extension) -> Result<BatchQuestion, ApiError> {
    let BatchItem { custom_id, query, messages, model: own, max_tokens, temperature, user, burnish } = item;
    let (text, param, conversation): (String, &'static str, Vec<Message>) = match (query, messages) {
        (Some(query), None) => (query, "query", Vec::new()),
        (None, Some(messages)) => split(messages)?,
        _ => {
            return Err(ApiError::invalid(
                "query",
                "a request has either `query` or `messages`: give one of them",
            ));
        }
    };
    check_sampling(temperature, max_tokens)?;
    let model = own.unwrap_or_else(|| model.to_owned());
    let options = burnish.unwrap_or_else(|| common.clone()).options(user);
    let pinned = Pinned { depth: options.top_k, ..pinned(&app.engine, &model)? };
    let question = Question { text, param, conversation, options, prefix: "burnish." };
    let ask = Ask {
        query: question.into_query(&app.settings)?,
        pinned,
        sampling: Sampling { max_tokens, temperature, whole: true, ..Sampling::default() },
    };
    Ok(BatchQuestion { custom_id, model, ask })
}

fn entry(index: usize, question: BatchQuestion, answered: Result<Batched, EngineError>) -> BatchEntry {
    let BatchQuestion { custom_id, model, .. } = question;
    let empty = BatchEntry { index, custom_id, together: None, response: None, error: None };
    match answered {
        Ok(Batched { decision, answer, together }) => {
            let response = Head::of(&decision, model).whole(&answer, Map::new());
            BatchEntry { together: Some(together), response: Some(response), ..empty }
        }
        Err(error) => BatchEntry { error: Some(ApiError::from(error).body().error), ..empty },
    }
}

/// A result that was kept.
async fn recalled(
    app: &App,
    index: usize,
    question: BatchQuestion,
    verdict: BatchVerdict,
) -> Result<BatchEntry, ApiError> {
    let BatchQuestion { custom_id, model, .. } = question;
    let empty = BatchEntry { index, custom_id, together: None, response: None, error: None };
    Ok(match verdict {
        BatchVerdict::Answered { request, together } => {
            let stored = app.engine.decision(request).await?;
            let response = stored.and_then(|stored| {
                Some(Head::of(&stored.decision, model).whole(stored.answer.as_ref()?, Map::new()))
            });
            BatchEntry { together: Some(together), response, ..empty }
        }
        BatchVerdict::Failed { code, message } => {
            BatchEntry { error: Some(ErrorDetail::recalled(&code, message)), ..empty }
        }
    })
}

/// What a question is told that could not be answered.
pub(crate) fn describe(error: EngineError) -> (String, String) {
    let error = ApiError::from(error);
    (error.code.name(), error.message)
}
