//! `/v1/feedback`: what became of an answer.

use axum::Json;
use axum::extract::State;
use burnish_engine::Report;
use burnish_types::{ChunkId, Judgement, RequestId, UserContext};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::error::{ApiError, Code, ErrorBody};
use crate::extract::{Body, Parameters};
use crate::wire::{User, rfc3339};

/// The longest comment in characters.
const MAX_COMMENT_CHARS: usize = 4_096;

/// Exactly one judgement on one request: `thumb`, `score`, `completed`, `asked_again`, or a `chunk` with `correct`,
/// `cited` or `opened`.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FeedbackRequest {
    /// The answer's id.
    id: String,
    thumb: Option<Thumb>,
    /// In [0, 1].
    score: Option<f64>,
    /// Whether the task that the question served was completed.
    completed: Option<bool>,
    /// `true`: the question was asked again in other words.
    asked_again: Option<bool>,
    /// A passage: of the answer's evidence, or, with `correct` or `cited`, any other that is there.
    chunk: Option<u64>,
    /// Whether that passage holds the answer.
    correct: Option<bool>,
    /// `true`: that passage was used, as in a reply to somebody.
    cited: Option<bool>,
    /// `true`: that passage was opened.
    opened: Option<bool>,
    /// Free words.
    comment: Option<String>,
    /// Who says it; whoever asked, where nobody is named. A request of a tenant takes reports of that tenant only.
    user: Option<User>,
}

/// Up or down.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Thumb {
    /// It helped.
    Up,
    /// It did not.
    Down,
}

/// What was recorded.
#[derive(Serialize, ToSchema)]
pub(crate) struct FeedbackResponse {
    id: String,
    /// It is on disk for good.
    recorded: bool,
    /// In the form of RFC 3339.
    at: String,
}

/// Records what became of an answer. It may come late, and more than once.
#[utoipa::path(
    post, path = "/v1/feedback", tag = "burnish", request_body = FeedbackRequest,
    responses(
        (status = 200, body = FeedbackResponse),
        (status = 400, body = ErrorBody, description = "Not exactly one judgement, or one that can't be taken"),
        (status = 404, body = ErrorBody, description = "No request has this id, or it showed no such passage")
    )
)]
pub(super) async fn give(
    State(app): State<App>,
    Body(request): Body<FeedbackRequest>,
) -> Result<Json<FeedbackResponse>, ApiError> {
    let judgement = judgement(&request)?;
    let FeedbackRequest { id, comment, user, .. } = request;
    if let Some(length) = comment.as_ref().map(|words| words.chars().count())
        && length > MAX_COMMENT_CHARS
    {
        let message = format!("the comment has {length} characters: at most {MAX_COMMENT_CHARS} are taken");
        return Err(ApiError::invalid("comment", message));
    }
    let request = request_id(&id)?;
    let UserContext { tenant, user, .. } = user.unwrap_or_default().into();
    let outcome = app.engine.feedback(Report { request, judgement, comment, tenant, user }).await?;
    Ok(Json(FeedbackResponse { id: request.to_string(), recorded: true, at: rfc3339(outcome.at) }))
}

/// What is no request id names no request.
pub(crate) fn request_id(text: &str) -> Result<RequestId, ApiError> {
    text.parse::<RequestId>().map_err(|error| ApiError::new(Code::NotFound, error.to_string()).at("id"))
}

fn judgement(request: &FeedbackRequest) -> Result<Judgement, ApiError> {
    let FeedbackRequest { thumb, score, completed, asked_again, chunk, correct, cited, opened, .. } = request;
    if let Some(value) = score.filter(|value| !(0.0..=1.0).contains(value)) {
        return Err(ApiError::invalid("score", format!("a score lies between 0 and 1; {value} does not")));
    }
    for (name, said) in [("asked_again", asked_again), ("cited", cited), ("opened", opened)] {
        if *said == Some(false) {
            let message = format!("`{name}` is true or left out: that something did not happen is no report");
            return Err(ApiError::invalid(name, message));
        }
    }
    let chunk = chunk.map(ChunkId);
    let of_passage = [
        chunk.zip(*correct).map(|(chunk, correct)| Judgement::Passage { chunk, correct }),
        chunk.zip(*cited).map(|(chunk, _)| Judgement::Cited { chunk }),
        chunk.zip(*opened).map(|(chunk, _)| Judgement::Opened { chunk }),
    ];
    let said = [
        thumb.map(|thumb| Judgement::Thumb { up: matches!(thumb, Thumb::Up) }),
        score.map(|value| Judgement::Score { value }),
        completed.map(|done| Judgement::Completed { done }),
        asked_again.map(|_| Judgement::AskedAgain),
    ];
    let names_a_passage = chunk.is_some() || correct.is_some() || cited.is_some() || opened.is_some();
    let mut all: Vec<Judgement> = of_passage.into_iter().chain(said).flatten().collect();
    let whole = !names_a_passage || all.first().is_some_and(|judgement| judgement.chunk().is_some());
    match (all.pop(), all.is_empty() && whole) {
        (Some(judgement), true) => Ok(judgement),
        _ => Err(ApiError::new(
            Code::InvalidValue,
            "exactly one judgement is expected: `thumb` (`up` or `down`), `score` (0 to 1), `completed`, `asked_again`, \
             or `chunk` with one of `correct`, `cited` and `opened`",
        )),
    }
}

/// Whose reports are to be forgotten.
#[derive(Deserialize)]
pub(crate) struct ForgetParameters {
    user: Option<String>,
    tenant: Option<String>,
}

/// What was forgotten.
#[derive(Serialize, ToSchema)]
pub(crate) struct ForgetResponse {
    /// Reports that were dropped.
    forgotten: u64,
}

/// Drops for good what a person reported, and what was learned from it.
#[utoipa::path(
    delete, path = "/v1/feedback", tag = "burnish",
    params(
        ("user" = String, Query, description = "The person, in the caller's own terms"),
        ("tenant" = Option<String>, Query, description = "The person's tenant, where there is one")
    ),
    responses((status = 200, body = ForgetResponse), (status = 400, body = ErrorBody, description = "No person is named"))
)]
pub(super) async fn forget(
    State(app): State<App>,
    Parameters(ForgetParameters { user, tenant }): Parameters<ForgetParameters>,
) -> Result<Json<ForgetResponse>, ApiError> {
    let user = user.ok_or_else(|| ApiError::invalid("user", "nobody is named: whose reports are to go?"))?;
    let forgotten = app.engine.forget_user(tenant, user).await?;
    Ok(Json(ForgetResponse { forgotten }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_judgement_is_taken_and_no_more() {
        let read = |wire| judgement(&serde_json::from_value(wire).unwrap());
        for (wire, expected) in [
            (json!({"id": "x", "thumb": "up"}), Judgement::Thumb { up: true }),
            (json!({"id": "x", "thumb": "down", "score": null}), Judgement::Thumb { up: false }),
            (json!({"id": "x", "score": 0.25}), Judgement::Score { value: 0.25 }),
            (
                json!({"id": "x", "chunk": 7, "correct": false}),
                Judgement::Passage { chunk: ChunkId(7), correct: false },
            ),
            (json!({"id": "x", "chunk": 7, "opened": true}), Judgement::Opened { chunk: ChunkId(7) }),
            (json!({"id": "x", "chunk": 7, "cited": true}), Judgement::Cited { chunk: ChunkId(7) }),
            (json!({"id": "x", "completed": false}), Judgement::Completed { done: false }),
            (json!({"id": "x", "asked_again": true}), Judgement::AskedAgain),
        ] {
            assert_eq!(read(wire).unwrap(), expected);
        }
        for wire in [
            json!({"id": "x"}),
            json!({"id": "x", "thumb": "up", "score": 1}),
            json!({"id": "x", "chunk": 7}),
            json!({"id": "x", "correct": true}),
            json!({"id": "x", "score": 1.5}),
            json!({"id": "x", "score": -0.1}),
            json!({"id": "x", "chunk": 7, "thumb": "up"}),
            json!({"id": "x", "chunk": 7, "correct": true, "opened": true}),
            json!({"id": "x", "chunk": 7, "correct": true, "thumb": "up"}),
            json!({"id": "x", "opened": true}),
            json!({"id": "x", "asked_again": false}),
            json!({"id": "x", "opened": true, "thumb": "up"}),
        ] {
            assert_eq!(read(wire).unwrap_err().code, Code::InvalidValue);
        }
    }
}
