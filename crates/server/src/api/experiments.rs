//! `/v1/experiments`: versions of templates that are tried beside the ones in use.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use burnish_engine as inside;
use burnish_engine::{Action, NewExperiment};
use burnish_learning::{ArmFinding, Gap, TrialFinding, TrialSettings, TrialVerdict};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::error::{ApiError, ErrorBody};
use crate::extract::Body;
use crate::wire::rfc3339;

/// The share of challengers, how often, and how dear, where nothing else is said.
const DEFAULT_SHARE: f64 = 0.5;
const DEFAULT_MOST_COST: f64 = 2.0;

/// An experiment to put down.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExperimentRequest {
    /// What people call it.
    name: Option<String>,
    /// The template whose version in use is the champion.
    template: String,
    /// The versions that challenge it.
    challengers: Vec<String>,
    /// The share of the requests that challengers get together, in (0, 1); 0.5 where not said.
    share: Option<f64>,
    /// What is assigned: each request by itself where not said.
    sticky: Option<Sticky>,
    /// Only questions of one of these topics take part; all where not said.
    #[serde(default)]
    topics: Vec<String>,
    /// Whether a better challenger takes the champion's place by itself; yes where not said.
    promotes_itself: Option<bool>,
    /// A challenger whose answers cost more than this many times the champion's is not promoted by itself; 2 where not said.
    most_cost: Option<f64>,
    /// The largest probability of promoting a challenger that is not better, in (0, 0.5]; 0.01 where not said.
    level: Option<f64>,
    /// The smallest effect of interest, in (0, 1]; 0.05 where not said.
    effect: Option<f64>,
    /// After this many outcomes an undecided challenger is dropped.
    horizon: Option<u64>,
    /// Whether it begins at once; no where not said.
    #[serde(default)]
    start: bool,
}

/// What is assigned to an arm.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Sticky {
    /// Each request by itself.
    Request,
    /// Each user, with all of that user's requests.
    User,
}

/// Which challenger takes the champion's place.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PromoteRequest {
    /// The only one where not said.
    version: Option<String>,
}

/// Experiments, the newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct ExperimentsResponse {
    experiments: Vec<ExperimentResponse>,
}

/// An experiment.
#[derive(Serialize, ToSchema)]
pub(crate) struct ExperimentResponse {
    id: String,
    name: String,
    template: String,
    /// `draft`, `running`, `promoted` or `retired`.
    state: &'static str,
    /// Whether it is not given any requests for now.
    frozen: bool,
    /// The version that it is compared with.
    champion: String,
    challengers: Vec<ChallengerResponse>,
    share: f64,
    /// `request` or `user`.
    sticky: &'static str,
    topics: Vec<String>,
    promotes_itself: bool,
    most_cost: f64,
    /// Why it ended, in words.
    reason: String,
    /// In the form of RFC 3339.
    created: String,
    started: Option<String>,
    ended: Option<String>,
}

/// A challenger, with what was found.
#[derive(Serialize, ToSchema)]
pub(crate) struct ChallengerResponse {
    version: String,
    /// Whether it still gets requests.
    live: bool,
    /// Why not, where it does not, and what evidence asks somebody to decide.
    note: String,
    /// `undecided`, `promote`, `retire` or `stopped`.
    verdict: &'static str,
    /// Why, in words.
    reason: String,
    /// Its mean quality less the champion's.
    difference: f64,
    /// What holds the true difference at all times together.
    interval: [f64; 2],
    observations: u64,
    of_champion: ArmResponse,
    of_challenger: ArmResponse,
    /// Cost, latency and tokens beside the champion's, with 95 % intervals of the moment.
    cost_usd: Option<GapResponse>,
    latency_ms: Option<GapResponse>,
    output_tokens: Option<GapResponse>,
    /// What was known as outcomes came.
    course: Vec<PointResponse>,
}

/// Plain means of one arm.
#[derive(Serialize, ToSchema)]
pub(crate) struct ArmResponse {
    served: u64,
    quality: Option<f64>,
    cost_usd: Option<f64>,
    latency_ms: Option<f64>,
    output_tokens: Option<f64>,
}

/// A difference with its interval.
#[derive(Serialize, ToSchema)]
pub(crate) struct GapResponse {
    difference: f64,
    interval: [f64; 2],
}

/// What was known at one time.
#[derive(Serialize, ToSchema)]
pub(crate) struct PointResponse {
    at: String,
    observations: u64,
    difference: f64,
    interval: [f64; 2],
}

impl From<&inside::Experiment> for ExperimentResponse {
    fn from(experiment: &inside::Experiment) -> Self {
        Self {
            id: experiment.id.clone(),
            name: experiment.name.clone(),
            template: experiment.template.clone(),
            state: experiment.state.name(),
            frozen: experiment.is_frozen,
            champion: experiment.champion.clone(),
            challengers: experiment.challengers.iter().map(ChallengerResponse::from).collect(),
            share: experiment.share,
            sticky: match experiment.sticky {
                inside::Sticky::Request => "request",
                inside::Sticky::User => "user",
            },
            topics: experiment.topics.clone(),
            promotes_itself: experiment.promotes_itself,
            most_cost: experiment.most_cost,
            reason: experiment.reason.clone(),
            created: rfc3339(experiment.created),
            started: experiment.started.map(rfc3339),
            ended: experiment.ended.map(rfc3339),
        }
    }
}

impl From<&inside::Contender> for ChallengerResponse {
    fn from(contender: &inside::Contender) -> Self {
        let TrialFinding {
            verdict,
            reason,
            difference,
            interval,
            observations,
            champion,
            challenger,
            cost_usd,
            latency_ms,
            output_tokens,
            ..
        } = contender.finding();
        Self {
            version: contender.version.clone(),
            live: contender.is_live,
            note: contender.note.clone(),
            verdict: match verdict {
                TrialVerdict::Undecided => "undecided",
                TrialVerdict::Promote => "promote",
                TrialVerdict::Retire => "retire",
                TrialVerdict::Stopped => "stopped",
            },
            reason,
            difference,
            interval,
            observations,
            of_champion: ArmResponse::from(champion),
            of_challenger: ArmResponse::from(challenger),
            cost_usd: cost_usd.map(GapResponse::from),
            latency_ms: latency_ms.map(GapResponse::from),
            output_tokens: output_tokens.map(GapResponse::from),
            course: contender.course.iter().map(PointResponse::from).collect(),
        }
    }
}

impl From<ArmFinding> for ArmResponse {
    fn from(found: ArmFinding) -> Self {
        let ArmFinding { served, quality, cost_usd, latency_ms, output_tokens } = found;
        Self { served, quality, cost_usd, latency_ms, output_tokens }
    }
}

impl From<Gap> for GapResponse {
    fn from(gap: Gap) -> Self {
        Self { difference: gap.difference, interval: gap.interval }
    }
}

impl From<&inside::IntervalPoint> for PointResponse {
    fn from(point: &inside::IntervalPoint) -> Self {
        let inside::IntervalPoint { at, observations, difference, interval } = *point;
        Self { at: rfc3339(at), observations, difference, interval }
    }
}

/// All experiments, the newest first.
#[utoipa::path(
    get, path = "/v1/experiments", tag = "prompts",
    responses((status = 200, body = ExperimentsResponse))
)]
pub(super) async fn list(State(app): State<App>) -> Json<ExperimentsResponse> {
    let experiments = app.engine.experiments();
    Json(ExperimentsResponse { experiments: experiments.iter().map(ExperimentResponse::from).collect() })
}

/// An experiment with what was found so far.
#[utoipa::path(
    get, path = "/v1/experiments/{id}", tag = "prompts",
    params(("id" = String, Path, description = "The experiment's id")),
    responses((status = 200, body = ExperimentResponse), (status = 404, body = ErrorBody))
)]
pub(super) async fn retrieve(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<ExperimentResponse>, ApiError> {
    Ok(Json(ExperimentResponse::from(&app.engine.experiment(&id)?)))
}

/// Puts an experiment down, and starts it where that is asked for.
#[utoipa::path(
    post, path = "/v1/experiments", tag = "prompts", request_body = ExperimentRequest,
    responses(
        (status = 201, body = ExperimentResponse),
        (status = 400, body = ErrorBody, description = "A figure makes no sense, or another one runs on the template"),
        (status = 404, body = ErrorBody, description = "No template or version has this name")
    )
)]
pub(super) async fn create(
    State(app): State<App>,
    Body(request): Body<ExperimentRequest>,
) -> Result<(StatusCode, Json<ExperimentResponse>), ApiError> {
    let mut trial = TrialSettings::default();
    if let Some(level) = request.level {
        if !(level > 0.0 && level <= 0.5) {
            return Err(ApiError::invalid(
                "level",
                format!("`level` lies above 0 and up to 0.5; {level} does not"),
            ));
        }
        trial.comparison.level = level;
    }
    if let Some(effect) = request.effect {
        if !(effect > 0.0 && effect <= 1.0) {
            return Err(ApiError::invalid(
                "effect",
                format!("`effect` lies above 0 and up to 1; {effect} does not"),
            ));
        }
        trial.comparison.retire_below = effect;
    }
    trial.comparison.horizon = request.horizon.unwrap_or(trial.comparison.horizon);
    let new = NewExperiment {
        name: request.name.unwrap_or_default(),
        template: request.template,
        challengers: request.challengers,
        share: request.share.unwrap_or(DEFAULT_SHARE),
        sticky: match request.sticky {
            Some(Sticky::User) => inside::Sticky::User,
            Some(Sticky::Request) | None => inside::Sticky::Request,
        },
        topics: request.topics,
        promotes_itself: request.promotes_itself.unwrap_or(true),
        most_cost: request.most_cost.unwrap_or(DEFAULT_MOST_COST),
        trial,
    };
    let experiment = app.engine.create_experiment(new, request.start).await?;
    Ok((StatusCode::CREATED, Json(ExperimentResponse::from(&experiment))))
}

/// Does something with an experiment: `start`, `freeze` (no requests for now), `resume`, `stop` (the champion stays).
#[utoipa::path(
    post, path = "/v1/experiments/{id}/{action}", tag = "prompts",
    params(
        ("id" = String, Path, description = "The experiment's id"),
        ("action" = String, Path, description = "`start`, `freeze`, `resume` or `stop`")
    ),
    responses(
        (status = 200, body = ExperimentResponse),
        (status = 400, body = ErrorBody, description = "That can't be done with it now"),
        (status = 404, body = ErrorBody)
    )
)]
pub(super) async fn act(
    State(app): State<App>,
    Path((id, action)): Path<(String, String)>,
) -> Result<Json<ExperimentResponse>, ApiError> {
    let action = named(&action).ok_or_else(|| {
        ApiError::invalid("action", format!("`{action}` is none of start, freeze, resume, stop"))
    })?;
    Ok(Json(ExperimentResponse::from(&app.engine.act_on_experiment(id, action).await?)))
}

/// The action of this name that needs nothing else.
pub(crate) fn named(action: &str) -> Option<Action> {
    match action {
        "start" => Some(Action::Start),
        "freeze" => Some(Action::Freeze),
        "resume" => Some(Action::Resume),
        "stop" => Some(Action::Stop),
        _ => None,
    }
}

/// Ends an experiment and puts a challenger into use, whatever was found.
#[utoipa::path(
    post, path = "/v1/experiments/{id}/promote", tag = "prompts", request_body = PromoteRequest,
    params(("id" = String, Path, description = "The experiment's id")),
    responses(
        (status = 200, body = ExperimentResponse),
        (status = 400, body = ErrorBody, description = "It has ended, or that version does not take part"),
        (status = 404, body = ErrorBody)
    )
)]
pub(super) async fn promote(
    State(app): State<App>,
    Path(id): Path<String>,
    Body(PromoteRequest { version }): Body<PromoteRequest>,
) -> Result<Json<ExperimentResponse>, ApiError> {
    let experiment = app.engine.act_on_experiment(id, Action::Promote(version)).await?;
    Ok(Json(ExperimentResponse::from(&experiment)))
}
