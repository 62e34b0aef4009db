//! The routes of the API. Each is registered together with its description, so neither can be without the other.

mod batch;
mod chat;
mod context;
mod decisions;
mod documents;
mod embeddings;
mod experiments;
mod feedback;
mod learning;
mod models;
mod operations;
mod plans;
mod prompts;
mod related;
mod search;
mod templates;

use axum::extract::DefaultBodyLimit;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::error::ApiError;
use crate::settings::ServerSettings;

pub(crate) use batch::describe;
pub(crate) use decisions::stored;
pub(crate) use documents::{document, page as documents_page};
pub(crate) use experiments::named as experiment_action;
pub(crate) use learning::{SMALLEST_SAMPLE, change_name};
pub(crate) use models::pinned;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Burnish",
        description = "Answers from your documents, with citations; learns from what becomes of them. Errors have \
                       OpenAI's shape. The `id` of an answer is the key for feedback."
    ),
    tags(
        (name = "openai", description = "What clients of OpenAI's API know"),
        (name = "burnish", description = "Search, documents, feedback, decisions"),
        (name = "prompts", description = "Templates of prompts, and experiments with them"),
        (name = "operations", description = "Health and figures")
    )
)]
struct Description;

/// The description of the API, in the form of OpenAPI 3.1.
pub fn openapi() -> serde_json::Value {
    let settings = ServerSettings::default();
    let mut api = Description::openapi();
    for part in [work(&settings), uploads(&settings), operations()] {
        api.merge(part.into_openapi());
    }
    // A description is plain data, which always has a JSON form.
    serde_json::to_value(api).unwrap_or_default()
}

/// What is answered from the engine, within the limits of one request.
pub(crate) fn work(settings: &ServerSettings) -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(chat::complete))
        .routes(routes!(batch::list))
        .routes(routes!(batch::retrieve, batch::cancel))
        .routes(routes!(embeddings::embed))
        .routes(routes!(models::list))
        .routes(routes!(models::retrieve))
        .route("/v1/models/{owner}/{name}", axum::routing::get(models::retrieve_owned))
        .routes(routes!(search::search))
        .routes(routes!(related::related))
        .routes(routes!(context::optimize))
        .routes(routes!(plans::plan))
        .routes(routes!(plans::route))
        .routes(routes!(templates::list))
        .routes(routes!(templates::render))
        .routes(routes!(templates::retrieve))
        .routes(routes!(templates::draft))
        .routes(routes!(templates::put_into_use))
        .routes(routes!(templates::pin))
        .routes(routes!(templates::searched, templates::search, templates::end_search))
        .routes(routes!(templates::rewrite))
        .routes(routes!(experiments::list, experiments::create))
        .routes(routes!(experiments::retrieve))
        .routes(routes!(experiments::promote))
        .routes(routes!(experiments::act))
        .routes(routes!(prompts::optimize))
        .routes(routes!(prompts::changes))
        .routes(routes!(prompts::insights))
        .routes(routes!(documents::retrieve, documents::delete))
        .routes(routes!(documents::chunk))
        .routes(routes!(feedback::give, feedback::forget))
        .routes(routes!(decisions::retrieve))
        .routes(routes!(learning::retrieve))
        .routes(routes!(learning::demote))
        .layer(DefaultBodyLimit::max(settings.max_body_bytes))
}

/// What may take long, or brings much.
pub(crate) fn uploads(settings: &ServerSettings) -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(documents::list, documents::upload))
        .routes(routes!(batch::create))
        .routes(routes!(learning::learn))
        .layer(DefaultBodyLimit::max(settings.max_upload_bytes))
}

/// What is answered however much else is going on.
pub(crate) fn operations() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(operations::health))
        .routes(routes!(operations::readiness))
        .routes(routes!(operations::figures))
        .routes(routes!(operations::description))
}

/// The number in a path that names a `thing`; what is no number names nothing.
fn numeric_id(text: &str, thing: &str) -> Result<u64, ApiError> {
    text.parse().map_err(|_| not_there(thing, text))
}

fn not_there(thing: &str, id: &str) -> ApiError {
    let shown: String = id.chars().take(64).collect();
    ApiError::new(crate::error::Code::NotFound, format!("no {thing} has the id `{shown}`")).at("id")
}
