//! `/v1/related`: passages like a given passage or document, or like what somebody found good.

use axum::Json;
use axum::extract::State;
use burnish_engine as inside;
use burnish_engine::{Answered, RelatedPassages, RelatedTo};
use burnish_types::{ChunkId, DocumentId, UserContext};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::error::{ApiError, Code, ErrorBody};
use crate::extract::Body;
use crate::question::DEFAULT_TOP_K;
use crate::wire::{Filter, Passage, Planned, Timing, User};

/// The most passages that can be asked for.
const MAX_TOP_K: usize = 100;

/// What others are to be like: exactly one of `document`, `chunk` and `user`.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RelatedRequest {
    /// Passages of other documents, like those of this one.
    document: Option<u64>,
    /// Passages like this one.
    chunk: Option<u64>,
    /// Passages like those that this person confirmed, used or opened, and of which they said nothing yet.
    user: Option<User>,
    /// Who asks, beside `document` or `chunk`: feedback counts within a tenant.
    asked_by: Option<User>,
    /// From 1 to 100; 10 where not said.
    top_k: Option<usize>,
    /// The most passages of one document, 1 for a list of documents; where not said, about a third of `top_k` as long
    /// as there are others.
    per_document: Option<usize>,
    filter: Option<Filter>,
}

/// What was found.
#[derive(Serialize, ToSchema)]
pub(crate) struct RelatedResponse {
    /// The key for feedback: `chunk` with `correct` says whether a passage is related, or was of use to the person.
    id: String,
    strategy: String,
    /// Best first. Empty where nothing is known of a person, which `reason` says.
    results: Vec<RelatedPassage>,
    #[serde(flatten)]
    planned: Planned,
    timings: Vec<Timing>,
}

/// A passage that was found, and which one it is like.
#[derive(Serialize, ToSchema)]
pub(crate) struct RelatedPassage {
    #[serde(flatten)]
    passage: Passage,
    because: Because,
}

/// The passage that one found is most like: the given one, one of the given document, or one that the person found
/// good.
#[derive(Serialize, ToSchema)]
pub(crate) struct Because {
    chunk: u64,
    document: u64,
    /// The document's title.
    title: String,
    /// The cosine of their embeddings, in [-1, 1].
    likeness: f32,
}

impl From<&inside::Because> for Because {
    fn from(because: &inside::Because) -> Self {
        let inside::Because { chunk, document, title, likeness } = because;
        Self { chunk: chunk.0, document: document.0, title: title.clone(), likeness: *likeness }
    }
}

/// Finds passages like a passage, a document, or what a person found good.
#[utoipa::path(
    post, path = "/v1/related", tag = "burnish", request_body = RelatedRequest,
    responses(
        (status = 200, body = RelatedResponse),
        (status = 400, body = ErrorBody, description = "Not exactly one start, or a value that can't be taken"),
        (status = 404, body = ErrorBody, description = "No document or passage has this id")
    )
)]
pub(super) async fn related(
    State(app): State<App>,
    Body(request): Body<RelatedRequest>,
) -> Result<Json<RelatedResponse>, ApiError> {
    let RelatedPassages { answered, because } = app.engine.related(wanted(request)?).await?;
    let Answered { decision, answer } = answered;
    let planned = Planned::of(&decision)
        .ok_or_else(|| ApiError::new(Code::Internal, "the planner chose nothing; this is a fault"))?;
    let results = answer.evidence.iter().zip(&because);
    Ok(Json(RelatedResponse {
        id: decision.id.to_string(),
        strategy: planned.plan.strategy.clone(),
        results: results
            .map(|(evidence, because)| RelatedPassage {
                passage: Passage::from(evidence),
                because: Because::from(because),
            })
            .collect(),
        planned,
        timings: answer.timings.iter().map(Timing::from).collect(),
    }))
}

fn wanted(request: RelatedRequest) -> Result<inside::Related, ApiError> {
    let RelatedRequest { document, chunk, user, asked_by, top_k, per_document, filter } = request;
    let (to, who) = match (document, chunk, user) {
        (Some(document), None, None) => (RelatedTo::Document(DocumentId(document)), asked_by),
        (None, Some(chunk), None) => (RelatedTo::Chunk(ChunkId(chunk)), asked_by),
        (None, None, Some(user)) if asked_by.is_none() => (RelatedTo::User, Some(user)),
        (None, None, Some(_)) => {
            let message = "`asked_by` goes with `document` or `chunk`: `user` says who it is for";
            return Err(ApiError::invalid("asked_by", message));
        }
        _ => {
            let message = "exactly one of `document`, `chunk` and `user` is expected";
            return Err(ApiError::new(Code::InvalidValue, message));
        }
    };
    let user: UserContext = who.unwrap_or_default().into();
    if to == RelatedTo::User && user.user.as_deref().unwrap_or_default().is_empty() {
        return Err(ApiError::invalid(
            "user.user",
            "nobody is named: `user` names the person in `user.user`",
        ));
    }
    let top_k = top_k.unwrap_or(DEFAULT_TOP_K);
    if !(1..=MAX_TOP_K).contains(&top_k) {
        let message = format!("`top_k` lies between 1 and {MAX_TOP_K}; {top_k} does not");
        return Err(ApiError::invalid("top_k", message));
    }
    if per_document == Some(0) {
        return Err(ApiError::invalid("per_document", "`per_document` is at least 1, or left out"));
    }
    let filter = filter.unwrap_or_default().into_inside("filter")?;
    Ok(inside::Related { to, user, filter, top_k, per_document })
}
