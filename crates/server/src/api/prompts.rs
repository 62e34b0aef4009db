//! `/v1/prompts`: prompts by themselves, for callers with a pipeline of their own, and the log of what was changed.

use axum::Json;
use axum::extract::State;
use burnish_engine::{Brought, PromptRequest};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::context::GivenPassage;
use super::templates::RenderResponse;
use crate::app::App;
use crate::error::{ApiError, ErrorBody};
use crate::extract::{Body, Parameters};
use crate::question::{Options, Question};
use crate::wire::{Assignment, User, rfc3339};

/// How sure findings must be where nothing else is said.
const DEFAULT_CONFIDENCE: f64 = 0.95;

/// A question with its passages.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PromptsRequest {
    query: String,
    /// The passages, best first; at most 256.
    #[serde(default)]
    passages: Vec<GivenPassage>,
    /// The most tokens of them that the prompt may hold; all where not said.
    max_tokens: Option<u32>,
    /// Who asks: what `expertise`, `format` and `language` among the attributes say is heeded.
    user: Option<User>,
}

/// A prompt, and others that are worth trying.
#[derive(Serialize, ToSchema)]
pub(crate) struct PromptsResponse {
    /// The key for feedback on what came of the primary prompt.
    id: String,
    primary: RenderResponse,
    /// The experiment that it is part of.
    #[serde(skip_serializing_if = "Option::is_none")]
    experiment: Option<Assignment>,
    variations: Vec<VariationResponse>,
}

/// A prompt that differs in one thing.
#[derive(Serialize, ToSchema)]
pub(crate) struct VariationResponse {
    /// `order`, `detail`, `examples`, `reasoning` or `version`.
    kind: &'static str,
    #[serde(flatten)]
    prompt: RenderResponse,
}

/// The log, the newest change first.
#[derive(Serialize, ToSchema)]
pub(crate) struct ChangesResponse {
    changes: Vec<ChangeResponse>,
}

/// One change.
#[derive(Serialize, ToSchema)]
pub(crate) struct ChangeResponse {
    number: u64,
    /// In the form of RFC 3339.
    at: String,
    /// `edited`, `drafted`, `used`, `pinned`, `unpinned`, `started`, `frozen`, `resumed`, `promoted`, `retired`, `stopped` or
    /// `proposed`.
    kind: &'static str,
    template: String,
    version: String,
    /// The version that was in use before, where that changed: using it again takes the change back.
    before: Option<String>,
    experiment: Option<String>,
    reason: String,
}

/// Which prompts, and how sure.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct InsightsQuery {
    /// Only versions of this template.
    template: Option<String>,
    /// How likely a finding must have the right sign, in [0.5, 1); 0.95 where not said.
    confidence: Option<f64>,
}

/// What outcomes say of blocks and operations.
#[derive(Serialize, ToSchema)]
pub(crate) struct InsightsResponse {
    /// Outcomes that it rests on.
    outcomes: u64,
    /// What holds with the confidence asked for, the largest effects first.
    insights: Vec<InsightResponse>,
    /// The effect of each block and operation beside what is used most in its place.
    effects: Vec<EffectResponse>,
}

/// A finding.
#[derive(Serialize, ToSchema)]
pub(crate) struct InsightResponse {
    /// In words and figures.
    text: String,
    /// Of which questions; none for all.
    topic: Option<String>,
    quality: f64,
    /// 95 % of what may be.
    interval: [f64; 2],
    /// The probability that the effect has this sign.
    certainty: f64,
    /// By how much the prompt becomes longer.
    prompt_tokens: f64,
    /// By how much answers become longer, where that is as certain.
    output_tokens: Option<f64>,
}

/// What a block or an operation does.
#[derive(Serialize, ToSchema)]
pub(crate) struct EffectResponse {
    slot: String,
    option: String,
    /// What it is compared with.
    beside: String,
    /// Of which questions; none for all.
    topic: Option<String>,
    quality: f64,
    interval: [f64; 2],
    output_tokens: Option<f64>,
}

/// What outcomes say of the blocks of templates and of operations, by a factorial model over all versions that were used.
#[utoipa::path(
    get, path = "/v1/prompts/insights", tag = "prompts", params(InsightsQuery),
    responses(
        (status = 200, body = InsightsResponse),
        (status = 400, body = ErrorBody, description = "The confidence is none"),
        (status = 404, body = ErrorBody, description = "No template has this name")
    )
)]
pub(super) async fn insights(
    State(app): State<App>,
    Parameters(InsightsQuery { template, confidence }): Parameters<InsightsQuery>,
) -> Result<Json<InsightsResponse>, ApiError> {
    let confidence = confidence.unwrap_or(DEFAULT_CONFIDENCE);
    if !(0.5..1.0).contains(&confidence) {
        let message = format!("`confidence` is at least 0.5 and below 1; {confidence} is not");
        return Err(ApiError::invalid("confidence", message));
    }
    let found = app.engine.prompt_insights(template, confidence).await?;
    let insights = found.insights.into_iter().map(|insight| InsightResponse {
        text: insight.text,
        topic: insight.context,
        quality: insight.quality,
        interval: insight.interval,
        certainty: insight.certainty,
        prompt_tokens: insight.prompt_tokens,
        output_tokens: insight.output_tokens,
    });
    let effects = found.effects.into_iter().map(|finding| EffectResponse {
        slot: finding.slot,
        option: finding.option,
        beside: finding.beside,
        topic: finding.topic,
        quality: finding.effect.quality,
        interval: finding.effect.interval,
        output_tokens: finding.effect.output_tokens,
    });
    Ok(Json(InsightsResponse {
        outcomes: found.outcomes,
        insights: insights.collect(),
        effects: effects.collect(),
    }))
}

/// Makes a prompt for a question and its passages: template and operations by what both are like, the passages between delimiters.
#[utoipa::path(
    post, path = "/v1/prompts/optimize", tag = "prompts", request_body = PromptsRequest,
    responses(
        (status = 200, body = PromptsResponse),
        (status = 400, body = ErrorBody, description = "A value can't be taken"),
        (status = 404, body = ErrorBody, description = "A stored passage is not there")
    )
)]
pub(super) async fn optimize(
    State(app): State<App>,
    Body(request): Body<PromptsRequest>,
) -> Result<Json<PromptsResponse>, ApiError> {
    let PromptsRequest { query, passages, max_tokens, user } = request;
    let question = Question {
        text: query,
        param: "query",
        options: Options { user, ..Options::default() },
        ..Question::default()
    };
    let query = question.into_query(&app.settings)?;
    let passages: Vec<Brought> =
        super::context::brought(passages)?.into_iter().map(|(brought, _)| brought).collect();
    let request = PromptRequest { query, passages, context_tokens: max_tokens };
    let optimized = app.engine.optimize_prompt(request).await?;
    let variations = optimized.variations.iter().map(|(kind, rendered)| VariationResponse {
        kind: kind.name(),
        prompt: RenderResponse::from(rendered),
    });
    Ok(Json(PromptsResponse {
        id: optimized.decision.id.to_string(),
        primary: RenderResponse::from(&optimized.primary),
        experiment: optimized.decision.experiment.as_ref().map(Assignment::from),
        variations: variations.collect(),
    }))
}

/// What was changed about prompts, by whom and why, the newest change first.
#[utoipa::path(
    get, path = "/v1/prompts/changes", tag = "prompts",
    responses((status = 200, body = ChangesResponse))
)]
pub(super) async fn changes(State(app): State<App>) -> Json<ChangesResponse> {
    let changes = app.engine.prompt_changes().into_iter().map(|change| ChangeResponse {
        number: change.number,
        at: rfc3339(change.at),
        kind: change.kind.name(),
        template: change.template,
        version: change.version,
        before: change.before,
        experiment: change.experiment,
        reason: change.reason,
    });
    Json(ChangesResponse { changes: changes.collect() })
}
