//! `/v1/chat/completions`: answers from the documents, in OpenAI's shape, whole or as a stream.

mod extras;
mod messages;
mod response;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use burnish_engine::{AnswerEvent, Answering, EngineError, Sampling};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::app::App;
use crate::error::{ApiError, Code, ErrorBody};
use crate::extract::Body;
use crate::question::{Options, Question};
use crate::wire::{Filter, User};

pub(super) use messages::{ChatMessage, split};
pub(super) use response::{ChatResponse, Head};

/// A conversation whose last question is to be answered. Fields of OpenAI's that are not named here, such as `tools`
/// and `response_format`, go to the language model as they are.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ChatRequest {
    /// `burnish` lets the planner decide, `burnish/…` pins a strategy, `burnish/extractive` answers by quotation,
    /// any other name pins a configured language model.
    model: String,
    /// The last one of the user is the question; those before it are the conversation.
    messages: Vec<ChatMessage>,
    /// Whether the answer comes as server-sent events.
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    /// The most tokens that a language model writes.
    max_tokens: Option<u32>,
    /// The same, by its newer name, which goes first.
    max_completion_tokens: Option<u32>,
    /// From 0 to 2.
    temperature: Option<f32>,
    /// Nothing but 1 can be had.
    n: Option<u32>,
    /// The person who asks, in the caller's own terms.
    user: Option<String>,
    burnish: Option<Extension>,
    #[serde(flatten)]
    #[schema(value_type = Object, additional_properties)]
    rest: Map<String, Value>,
}

/// How a stream ends.
#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
pub(crate) struct StreamOptions {
    /// Whether a last chunk tells the usage.
    include_usage: Option<bool>,
}

/// What can be said beside OpenAI's fields.
#[derive(Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Extension {
    /// Passages to find, from 1 to 1000; where not said 10, or what the planner chooses.
    pub(super) top_k: Option<usize>,
    pub(super) filter: Option<Filter>,
    pub(super) user: Option<User>,
    /// In [0, 1]; 0.8 where not said.
    pub(super) target_quality: Option<f32>,
    /// The most that the answer may cost, in US dollars.
    pub(super) budget_usd: Option<f64>,
    /// The longest that it should take.
    pub(super) latency_budget_ms: Option<f64>,
}

impl Extension {
    /// The options, of whoever asks where nobody is named here.
    pub(super) fn options(self, asker: Option<String>) -> Options {
        let Self { top_k, filter, user, target_quality, budget_usd, latency_budget_ms } = self;
        let user = user.or_else(|| asker.map(User::named));
        Options { top_k, filter, user, target_quality, budget_usd, latency_budget_ms }
    }
}

/// Answers the last question of a conversation from the documents.
#[utoipa::path(
    post, path = "/v1/chat/completions", tag = "openai", request_body = ChatRequest,
    responses(
        (status = 200, body = ChatResponse, description = "With `stream`, server-sent events that end with `[DONE]`"),
        (status = 400, body = ErrorBody, description = "A value can't be taken"),
        (status = 404, body = ErrorBody, description = "No model has this name"),
        (status = 429, body = ErrorBody, description = "The model has all the requests that it may have")
    )
)]
pub(super) async fn complete(
    State(app): State<App>,
    headers: HeaderMap,
    Body(mut request): Body<ChatRequest>,
) -> Result<Response, ApiError> {
    let mut sampling = sampling(&mut request)?;
    let mut pinned = super::models::pinned(&app.engine, &request.model)?;
    pinned.fresh = wants_fresh(&headers);
    sampling.verbatim = messages::verbatim(&request.messages);
    let (text, param, conversation) = split(request.messages)?;
    let options = request.burnish.unwrap_or_default().options(request.user);
    pinned.depth = options.top_k;
    let question = Question { text, param, conversation, options, prefix: "burnish." };
    let query = question.into_query(&app.settings)?;

    let answering = app.engine.answer(query, pinned, sampling).await?;
    let head = Head::of(&answering.decision, request.model);
    let (id, strategy) = (head.id().to_owned(), head.strategy().to_owned());
    let mut response = if request.stream.unwrap_or(false) {
        let usage = request.stream_options.and_then(|options| options.include_usage).unwrap_or(false);
        let events = events(head, answering, usage);
        Sse::new(events).keep_alive(KeepAlive::default()).into_response()
    } else {
        Json(whole(head, answering).await?).into_response()
    };
    for (name, value) in [("x-burnish-request-id", id), ("x-burnish-strategy", strategy)] {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(response)
}

/// Whether `Cache-Control` asks for an answer that was not kept (RFC 9111, 5.2.1).
fn wants_fresh(headers: &HeaderMap) -> bool {
    let directives =
        headers.get_all(header::CACHE_CONTROL).into_iter().filter_map(|value| value.to_str().ok());
    let mut directives = directives.flat_map(|value| value.split(',')).map(str::trim);
    directives.any(|directive| ["no-cache", "no-store"].iter().any(|no| directive.eq_ignore_ascii_case(no)))
}

fn sampling(request: &mut ChatRequest) -> Result<Sampling, ApiError> {
    if let Some(n) = request.n.filter(|&n| n != 1) {
        return Err(ApiError::invalid("n", format!("one answer can be had, not {n}")));
    }
    let max_tokens = request.max_completion_tokens.or(request.max_tokens);
    check_sampling(request.temperature, max_tokens)?;
    let mut passthrough = std::mem::take(&mut request.rest);
    passthrough.retain(|_, value| !value.is_null());
    Ok(Sampling {
        max_tokens,
        temperature: request.temperature,
        whole: !request.stream.unwrap_or(false),
        passthrough,
        verbatim: Vec::new(),
    })
}

/// Refuses what no model takes.
pub(super) fn check_sampling(temperature: Option<f32>, max_tokens: Option<u32>) -> Result<(), ApiError> {
    if let Some(temperature) = temperature.filter(|value| !(0.0..=2.0).contains(value)) {
        let message = format!("`temperature` lies between 0 and 2; {temperature} does not");
        return Err(ApiError::invalid("temperature", message));
    }
    if max_tokens == Some(0) {
        return Err(ApiError::invalid("max_tokens", "at least one token must be allowed"));
    }
    Ok(())
}

async fn whole(head: Head, answering: Answering) -> Result<ChatResponse, ApiError> {
    let mut events = answering.events;
    let mut extra = Map::new();
    while let Some(event) = events.try_next().await? {
        match event {
            AnswerEvent::Text(_) => {}
            AnswerEvent::Extra(more) => extras::merge(&mut extra, more),
            AnswerEvent::Done(answer) => return Ok(head.whole(&answer, extra)),
        }
    }
    Err(broken_off())
}

/// First the plan and the passages, then the words, then what the markers point at, and at last `[DONE]`.
fn events(
    head: Head,
    answering: Answering,
    usage: bool,
) -> impl Stream<Item = Result<Event, axum::Error>> + Send {
    let first = Event::default().json_data(head.first(&answering.evidence));
    let rest = answering.events.flat_map(move |event| stream::iter(events_of(&head, event, usage)));
    stream::once(async { first }).chain(rest)
}

fn events_of(
    head: &Head,
    event: Result<AnswerEvent, EngineError>,
    usage: bool,
) -> Vec<Result<Event, axum::Error>> {
    match event {
        Ok(AnswerEvent::Text(text)) => vec![Event::default().json_data(head.piece(text))],
        Ok(AnswerEvent::Extra(extra)) => vec![Event::default().json_data(head.extra(extra))],
        Ok(AnswerEvent::Done(answer)) => {
            let mut events = vec![Event::default().json_data(head.last(&answer))];
            if usage {
                events.push(Event::default().json_data(head.usage(&answer)));
            }
            events.push(Ok(Event::default().data("[DONE]")));
            events
        }
        // The status is out already, so clients learn of it as OpenAI tells them.
        Err(error) => vec![Event::default().json_data(ApiError::from(error).body())],
    }
}

fn broken_off() -> ApiError {
    ApiError::new(Code::Internal, "the answer broke off, and the server's log says why")
}
