//! `/v1/feedback`: what became of an answer.

use axum::Json;
use axum::extract::State;
use burnish_types::{ChunkId, Judgement, RequestId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::error::{ApiError, Code, ErrorBody};
use crate::extract::Body;
use crate::wire::rfc3339;

/// The longest comment in characters.
const MAX_COMMENT_CHARS: usize = 4_096;

/// Exactly one judgement on one request: `thumb`, `score`, or `chunk` with `correct`.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FeedbackRequest {
    /// The answer's id.
    id: String,
    thumb: Option<Thumb>,
    /// In [0, 1].
    score: Option<f64>,
    /// A passage of the answer's evidence.
    chunk: Option<u64>,
    /// Whether that passage holds the answer.
    correct: Option<bool>,
    /// Free words.
    comment: Option<String>,
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
    let FeedbackRequest { id, comment, .. } = request;
    if let Some(length) = comment.as_ref().map(|words| words.chars().count())
        && length > MAX_COMMENT_CHARS
    {
        let message = format!("the comment has {length} characters: at most {MAX_COMMENT_CHARS} are taken");
        return Err(ApiError::invalid("comment", message));
    }
    let id = request_id(&id)?;
    let outcome = app.engine.feedback(id, judgement, comment).await?;
    Ok(Json(FeedbackResponse { id: id.to_string(), recorded: true, at: rfc3339(outcome.at) }))
}

/// What is no request id names no request.
pub(crate) fn request_id(text: &str) -> Result<RequestId, ApiError> {
    text.parse::<RequestId>().map_err(|error| ApiError::new(Code::NotFound, error.to_string()).at("id"))
}

fn judgement(request: &FeedbackRequest) -> Result<Judgement, ApiError> {
    match *request {
        FeedbackRequest { thumb: Some(thumb), score: None, chunk: None, correct: None, .. } => {
            Ok(Judgement::Thumb { up: matches!(thumb, Thumb::Up) })
        }
        FeedbackRequest { thumb: None, score: Some(value), chunk: None, correct: None, .. } => {
            if (0.0..=1.0).contains(&value) {
                return Ok(Judgement::Score { value });
            }
            Err(ApiError::invalid("score", format!("a score lies between 0 and 1; {value} does not")))
        }
        FeedbackRequest { thumb: None, score: None, chunk: Some(chunk), correct: Some(correct), .. } => {
            Ok(Judgement::Passage { chunk: ChunkId(chunk), correct })
        }
        _ => Err(ApiError::new(
            Code::InvalidValue,
            "exactly one judgement is expected: `thumb` (`up` or `down`), `score` (0 to 1), or `chunk` with `correct`",
        )),
    }
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
        ] {
            assert_eq!(read(wire).unwrap_err().code, Code::InvalidValue);
        }
    }
}
