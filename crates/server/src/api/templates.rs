//! `/v1/templates`: what models are told, in all its versions.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use burnish_engine as inside;
use burnish_engine::{NewVersion, RenderRequest};
use burnish_prompt::{Block, BlockKind, Operation};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::error::{ApiError, Code, ErrorBody};
use crate::extract::Body;
use crate::question::{Options, Question};
use crate::wire::{Filter, PromptMessage, Prompted, User, rfc3339};

/// All templates, and what adapts them.
#[derive(Serialize, ToSchema)]
pub(crate) struct TemplatesResponse {
    templates: Vec<TemplateResponse>,
    operations: Vec<OperationResponse>,
    /// What is wrong with the files as they are now; what they said before is in use meanwhile.
    errors: Vec<String>,
}

/// A template.
#[derive(Serialize, ToSchema)]
pub(crate) struct TemplateResponse {
    id: String,
    /// What it is for.
    purpose: String,
    /// What questions it is made for; none where it fits any.
    applies_when: Vec<String>,
    /// The version in use, by its content.
    version: String,
    /// Its author's own count of versions.
    label: String,
    /// Whether experiments leave it alone.
    pinned: bool,
    /// About how many tokens its own words have.
    tokens: usize,
    blocks: Vec<BlockResponse>,
    /// The newest first.
    versions: Vec<VersionResponse>,
}

/// A block.
#[derive(Serialize, ToSchema)]
pub(crate) struct BlockResponse {
    /// `role`, `instructions`, `context`, `examples`, `format` or `question`.
    kind: &'static str,
    text: String,
    /// About how many tokens it has.
    tokens: usize,
}

/// A version of a template.
#[derive(Serialize, ToSchema)]
pub(crate) struct VersionResponse {
    version: String,
    /// The whole file.
    text: String,
    /// How it came to be: `file`, `written`, `recombined`, `shortened`, `specialised`, `generalised`, `rewritten`.
    origin: &'static str,
    /// What it was made of, as versions.
    parents: Vec<String>,
    /// Why, in words.
    note: String,
    /// In the form of RFC 3339.
    at: String,
    in_use: bool,
    /// What became of it, by topic of the questions and by operations.
    outcomes: Vec<TallyResponse>,
}

/// Means over judged requests.
#[derive(Serialize, ToSchema)]
pub(crate) struct TallyResponse {
    topic: String,
    operations: Vec<String>,
    outcomes: u64,
    /// In [0, 1].
    quality: f64,
    input_tokens: f64,
    output_tokens: f64,
    latency_ms: f64,
}

/// What adapts a prompt to a question.
#[derive(Serialize, ToSchema)]
pub(crate) struct OperationResponse {
    name: String,
    /// Of two operations of one slot a prompt has one.
    slot: String,
    /// The block that it adds to.
    block: &'static str,
    purpose: String,
    /// Whether the template's own words of that block give way.
    replaces: bool,
    tokens: usize,
}

/// A version to add: `text`, or `blocks` in place of those of the version in use.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DraftRequest {
    /// The whole file.
    text: Option<String>,
    /// Other words by block; empty words take a block out.
    blocks: Option<BTreeMap<String, String>>,
    /// Why, in words.
    note: Option<String>,
}

/// The version that was added.
#[derive(Serialize, ToSchema)]
pub(crate) struct DraftResponse {
    template: String,
    version: String,
}

/// What is put into use, and why.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UseRequest {
    version: String,
    reason: Option<String>,
}

/// Whether experiments are to leave the template alone, and why.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PinRequest {
    pinned: bool,
    reason: Option<String>,
}

/// What a prompt is rendered of.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RenderBody {
    query: String,
    /// The template; the one that the question would get where not said.
    template: Option<String>,
    /// The one in use where not said.
    version: Option<String>,
    /// Those that the question asks for where not said.
    operations: Option<Vec<String>>,
    /// The text of a template that is not kept, in place of one that is.
    text: Option<String>,
    top_k: Option<usize>,
    filter: Option<Filter>,
    user: Option<User>,
}

/// The search for a better version of a template.
#[derive(Serialize, ToSchema)]
pub(crate) struct SearchResponse {
    template: String,
    running: bool,
    /// Why it ended, where it did.
    reason: String,
    /// In the form of RFC 3339.
    started: String,
    /// The share of the template's requests that it gets.
    share: f64,
    /// The version that everything is compared with.
    champion: String,
    /// The experiment that confirms a candidate now.
    experiment: Option<String>,
    outcomes: u64,
    /// What is tried.
    pool: Vec<CandidateResponse>,
}

/// A version that a search tries.
#[derive(Serialize, ToSchema)]
pub(crate) struct CandidateResponse {
    version: String,
    /// As of any version.
    origin: &'static str,
    /// What it was made of, as versions.
    parents: Vec<String>,
    /// What stands in each place.
    blocks: BTreeMap<String, String>,
    /// Tokens of these.
    tokens: f64,
    /// Outcomes of its own.
    outcomes: u64,
    /// The probability with which a request of the search gets it.
    share: f64,
    /// What is expected of it.
    quality: f64,
    /// The standard deviation of that.
    quality_deviation: f64,
    champion: bool,
    /// What speaks for it, where it is held for the best and is not the champion; a person may put it into use at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    proposed: Option<ProposedResponse>,
}

/// What speaks for the candidate that is held for the best.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProposedResponse {
    /// By how much more quality, less what its length costs, than the champion's.
    gain: f64,
    /// With which probability it is more.
    certainty: f64,
}

/// Whose answers a language model is shown.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RewriteRequest {
    /// Those of this tenant; those of no tenant where not said.
    tenant: Option<String>,
}

/// What a language model wrote.
#[derive(Serialize, ToSchema)]
pub(crate) struct RewriteResponse {
    template: String,
    /// The draft that has the new instructions.
    version: String,
    instructions: String,
    /// How many answers that were judged wrong it was shown.
    failures: usize,
    /// Whether the running search tries it.
    searched: bool,
}

/// A prompt as a model would read it.
#[derive(Serialize, ToSchema)]
pub(crate) struct RenderResponse {
    #[serde(flatten)]
    pub(crate) prompted: Prompted,
    pub(crate) messages: Vec<PromptMessage>,
}

impl From<&inside::RenderedPrompt> for RenderResponse {
    fn from(rendered: &inside::RenderedPrompt) -> Self {
        Self {
            prompted: Prompted::from(&rendered.prompted),
            messages: rendered.messages.iter().map(PromptMessage::from).collect(),
        }
    }
}

impl From<(inside::Evolution, Vec<inside::CandidateStanding>)> for SearchResponse {
    fn from((evolution, pool): (inside::Evolution, Vec<inside::CandidateStanding>)) -> Self {
        Self {
            template: evolution.template.clone(),
            running: evolution.is_running,
            reason: evolution.reason.clone(),
            started: rfc3339(evolution.started),
            share: evolution.share,
            champion: evolution.champion.clone(),
            experiment: evolution.trial.as_ref().map(|(_, experiment)| experiment.clone()),
            outcomes: evolution.outcomes(),
            pool: pool.into_iter().map(CandidateResponse::from).collect(),
        }
    }
}

impl From<inside::CandidateStanding> for CandidateResponse {
    fn from(known: inside::CandidateStanding) -> Self {
        Self {
            version: known.version,
            origin: known.origin.name(),
            parents: known.parents,
            blocks: known.blocks.into_iter().collect(),
            tokens: known.tokens,
            outcomes: known.outcomes,
            share: known.share,
            quality: known.quality,
            quality_deviation: known.deviation,
            champion: known.is_champion,
            proposed: known
                .proposed
                .map(|inside::Proposed { gain, certainty }| ProposedResponse { gain, certainty }),
        }
    }
}

impl From<&inside::TemplateStanding> for TemplateResponse {
    fn from(standing: &inside::TemplateStanding) -> Self {
        let template = &standing.template;
        let front = template.front();
        let block = |block: &Block| BlockResponse {
            kind: block.kind.name(),
            text: block.text.clone(),
            tokens: block.tokens(),
        };
        Self {
            id: front.id.clone(),
            purpose: front.purpose.clone(),
            applies_when: front.applies_when.clone(),
            version: template.version().to_owned(),
            label: front.version.clone(),
            pinned: standing.line.pinned,
            tokens: template.tokens(),
            blocks: template.blocks().iter().map(block).collect(),
            versions: standing.versions.iter().map(|record| version(record, standing)).collect(),
        }
    }
}

fn version(record: &inside::VersionRecord, standing: &inside::TemplateStanding) -> VersionResponse {
    let own = standing.tallies.iter().filter(|row| row.version == record.version);
    VersionResponse {
        version: record.version.clone(),
        text: record.text.clone(),
        origin: record.origin.name(),
        parents: record.parents.clone(),
        note: record.note.clone(),
        at: rfc3339(record.at),
        in_use: standing.line.in_use == record.version,
        outcomes: own.map(TallyResponse::from).collect(),
    }
}

impl From<&inside::TallyRow> for TallyResponse {
    fn from(row: &inside::TallyRow) -> Self {
        Self {
            topic: row.topic.clone(),
            operations: row.operations.clone(),
            outcomes: row.tally.outcomes,
            quality: row.tally.quality(),
            input_tokens: row.tally.input_tokens(),
            output_tokens: row.tally.output_tokens(),
            latency_ms: row.tally.latency_ms(),
        }
    }
}

/// All templates with their versions, and the operations that adapt them.
#[utoipa::path(
    get, path = "/v1/templates", tag = "prompts",
    responses((status = 200, body = TemplatesResponse))
)]
pub(super) async fn list(State(app): State<App>) -> Result<Json<TemplatesResponse>, ApiError> {
    let templates = app.engine.templates().await?;
    let operation = |operation: &Operation| OperationResponse {
        name: operation.name.clone(),
        slot: operation.slot.name().to_owned(),
        block: operation.block.name(),
        purpose: operation.purpose.clone(),
        replaces: operation.replaces,
        tokens: operation.tokens(),
    };
    Ok(Json(TemplatesResponse {
        templates: templates.iter().map(TemplateResponse::from).collect(),
        operations: app.engine.operations().iter().map(|known| operation(known)).collect(),
        errors: app.engine.prompt_errors(),
    }))
}

/// A template with its versions, and what became of them.
#[utoipa::path(
    get, path = "/v1/templates/{id}", tag = "prompts",
    params(("id" = String, Path, description = "The template's id")),
    responses((status = 200, body = TemplateResponse), (status = 404, body = ErrorBody))
)]
pub(super) async fn retrieve(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<TemplateResponse>, ApiError> {
    Ok(Json(TemplateResponse::from(&app.engine.template(id).await?)))
}

/// Adds a version as a draft. No request gets it before an experiment or a person puts it into use.
#[utoipa::path(
    post, path = "/v1/templates/{id}/versions", tag = "prompts", request_body = DraftRequest,
    params(("id" = String, Path, description = "The template's id")),
    responses(
        (status = 201, body = DraftResponse),
        (status = 400, body = ErrorBody, description = "It can't be used, and why"),
        (status = 404, body = ErrorBody)
    )
)]
pub(super) async fn draft(
    State(app): State<App>,
    Path(id): Path<String>,
    Body(request): Body<DraftRequest>,
) -> Result<(StatusCode, Json<DraftResponse>), ApiError> {
    let new = match (request.text, request.blocks) {
        (Some(text), None) => NewVersion::Text(text),
        (None, Some(blocks)) => NewVersion::Blocks(kinds(blocks)?),
        _ => return Err(ApiError::invalid("text", "give either `text`, the whole file, or `blocks`")),
    };
    let version = app.engine.draft_version(id.clone(), new, request.note.unwrap_or_default()).await?;
    Ok((StatusCode::CREATED, Json(DraftResponse { template: id, version })))
}

fn kinds(blocks: BTreeMap<String, String>) -> Result<BTreeMap<BlockKind, String>, ApiError> {
    let kind = |(name, text): (String, String)| match BlockKind::named(&name) {
        Some(kind) => Ok((kind, text)),
        None => {
            let known = BlockKind::ALL.map(BlockKind::name).join(", ");
            Err(ApiError::invalid("blocks", format!("there is no block `{name}`: a prompt has {known}")))
        }
    };
    blocks.into_iter().map(kind).collect()
}

/// Puts a version into use; any earlier one, too, which takes a change back. Experiments on the template end.
#[utoipa::path(
    post, path = "/v1/templates/{id}/use", tag = "prompts", request_body = UseRequest,
    params(("id" = String, Path, description = "The template's id")),
    responses((status = 200, body = TemplateResponse), (status = 404, body = ErrorBody))
)]
pub(super) async fn put_into_use(
    State(app): State<App>,
    Path(id): Path<String>,
    Body(UseRequest { version, reason }): Body<UseRequest>,
) -> Result<Json<TemplateResponse>, ApiError> {
    app.engine.use_version(id.clone(), version, reason.unwrap_or_default()).await?;
    Ok(Json(TemplateResponse::from(&app.engine.template(id).await?)))
}

/// Pins a template to the version in use, so that no experiment concerns or changes it, or lets it go.
#[utoipa::path(
    post, path = "/v1/templates/{id}/pin", tag = "prompts", request_body = PinRequest,
    params(("id" = String, Path, description = "The template's id")),
    responses((status = 200, body = TemplateResponse), (status = 404, body = ErrorBody))
)]
pub(super) async fn pin(
    State(app): State<App>,
    Path(id): Path<String>,
    Body(PinRequest { pinned, reason }): Body<PinRequest>,
) -> Result<Json<TemplateResponse>, ApiError> {
    app.engine.pin_template(id.clone(), pinned, reason.unwrap_or_default()).await?;
    Ok(Json(TemplateResponse::from(&app.engine.template(id).await?)))
}

/// Renders a prompt from what is found for the question now. Nothing is recorded, and no model is asked.
#[utoipa::path(
    post, path = "/v1/templates/render", tag = "prompts", request_body = RenderBody,
    responses(
        (status = 200, body = RenderResponse),
        (status = 400, body = ErrorBody, description = "A value can't be taken, or the text can't be used"),
        (status = 404, body = ErrorBody, description = "No template, version or operation has this name")
    )
)]
pub(super) async fn render(
    State(app): State<App>,
    Body(request): Body<RenderBody>,
) -> Result<Json<RenderResponse>, ApiError> {
    let RenderBody { query, template, version, operations, text, top_k, filter, user } = request;
    let options = Options { top_k, filter, user, ..Options::default() };
    let question = Question { text: query, param: "query", options, ..Question::default() };
    let query = question.into_query(&app.settings)?;
    let draft = text.map(inside::Draft);
    let request = RenderRequest { query, template, version, operations, draft };
    Ok(Json(RenderResponse::from(&app.engine.render_prompt(request).await?)))
}

/// The search for a better version of a template, with what it tries.
#[utoipa::path(
    get, path = "/v1/templates/{id}/search", tag = "prompts",
    params(("id" = String, Path, description = "The template's id")),
    responses((status = 200, body = SearchResponse), (status = 404, body = ErrorBody, description = "No such template, or it was never searched for a better version"))
)]
pub(super) async fn searched(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<SearchResponse>, ApiError> {
    search_of(&app, id).await
}

async fn search_of(app: &App, id: String) -> Result<Json<SearchResponse>, ApiError> {
    match app.engine.evolution(id.clone()).await? {
        Some(found) => Ok(Json(SearchResponse::from(found))),
        None => {
            let message =
                format!("no better version of `{id}` was searched for yet: POST to this path begins that");
            Err(ApiError::new(Code::NotFound, message).at("id"))
        }
    }
}

/// Begins to search for a better version of a template: its blocks are tried in other combinations on a share of its requests,
/// what is better is confirmed by an experiment, and put into use by that.
#[utoipa::path(
    post, path = "/v1/templates/{id}/search", tag = "prompts",
    params(("id" = String, Path, description = "The template's id")),
    responses(
        (status = 200, body = SearchResponse),
        (status = 400, body = ErrorBody, description = "It is pinned, or searched already"),
        (status = 404, body = ErrorBody)
    )
)]
pub(super) async fn search(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<SearchResponse>, ApiError> {
    app.engine.evolve_template(id.clone()).await?;
    search_of(&app, id).await
}

/// Ends the search for a better version of a template; an experiment that it has begun goes on.
#[utoipa::path(
    delete, path = "/v1/templates/{id}/search", tag = "prompts",
    params(("id" = String, Path, description = "The template's id")),
    responses(
        (status = 200, body = SearchResponse),
        (status = 400, body = ErrorBody, description = "None is searched for"),
        (status = 404, body = ErrorBody)
    )
)]
pub(super) async fn end_search(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<SearchResponse>, ApiError> {
    app.engine.end_evolution(id.clone()).await?;
    search_of(&app, id).await
}

/// Has a language model rewrite the instructions of a template by answers that were judged wrong. What it writes is a draft; a
/// running search tries it.
#[utoipa::path(
    post, path = "/v1/templates/{id}/rewrite", tag = "prompts", request_body = RewriteRequest,
    params(("id" = String, Path, description = "The template's id")),
    responses(
        (status = 200, body = RewriteResponse),
        (status = 400, body = ErrorBody, description = "There is no model, nothing went wrong, or what was written can't be used"),
        (status = 404, body = ErrorBody)
    )
)]
pub(super) async fn rewrite(
    State(app): State<App>,
    Path(id): Path<String>,
    Body(RewriteRequest { tenant }): Body<RewriteRequest>,
) -> Result<Json<RewriteResponse>, ApiError> {
    let inside::Rewritten { version, instructions, failures, is_searched } =
        app.engine.rewrite_template(id.clone(), tenant).await?;
    Ok(Json(RewriteResponse { template: id, version, instructions, failures, searched: is_searched }))
}
