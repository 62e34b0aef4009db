//! The page for people: rendered here, from the same answers that the API gives, and working without a script.

mod answer;
mod assets;
mod documents;
mod learning;
mod prompts;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Value, context};
use serde::{Deserialize, Serialize};

use burnish_engine::{AnswerEvent, Sampling};
use burnish_types::{StoredDecision, Totals};
use futures_util::TryStreamExt;

use crate::api::{pinned, stored};
use crate::app::App;
use crate::error::{ApiError, Code};
use crate::extract::Parameters;
use crate::question::Question;

use answer::AnswerView;

/// The templates, parsed once.
pub(crate) struct Templates(Environment<'static>);

impl Default for Templates {
    fn default() -> Self {
        let mut templates = Environment::new();
        templates.set_auto_escape_callback(|_| AutoEscape::Html);
        templates.add_global("assets", assets::addresses());
        for (name, source) in [
            ("base.html", include_str!("../templates/base.html")),
            ("ask.html", include_str!("../templates/ask.html")),
            ("answer.html", include_str!("../templates/answer.html")),
            ("decision.html", include_str!("../templates/decision.html")),
            ("documents.html", include_str!("../templates/documents.html")),
            ("document.html", include_str!("../templates/document.html")),
            ("learning.html", include_str!("../templates/learning.html")),
            ("prompts.html", include_str!("../templates/prompts.html")),
            ("prompt.html", include_str!("../templates/prompt.html")),
            ("version.html", include_str!("../templates/version.html")),
            ("experiments.html", include_str!("../templates/experiments.html")),
            ("experiment.html", include_str!("../templates/experiment.html")),
            ("error.html", include_str!("../templates/error.html")),
        ] {
            if let Err(error) = templates.add_template(name, source) {
                tracing::error!(%error, name, "a template cannot be parsed");
            }
        }
        Self(templates)
    }
}

impl Templates {
    fn render(&self, name: &str, values: Value) -> Result<Html<String>, ApiError> {
        let text = self.0.get_template(name).and_then(|template| template.render(values));
        text.map(Html).map_err(|error| {
            tracing::error!(%error, name, "a template cannot be rendered");
            ApiError::new(Code::Internal, "the page cannot be rendered, and the server's log says why")
        })
    }
}

/// A refusal, for people.
struct PageError {
    app: App,
    error: ApiError,
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let Self { app, error } = self;
        let status = error.status();
        let heading = match status {
            StatusCode::NOT_FOUND => "Nothing is here",
            status if status.is_client_error() => "This cannot be shown",
            _ => "Something went wrong",
        };
        let values = context! { heading, error => error.message };
        match app.templates.render("error.html", values) {
            Ok(page) => (status, page).into_response(),
            Err(error) => error.into_response(),
        }
    }
}

/// The pages.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/", get(ask))
        .route("/decisions/{id}", get(decision))
        .route("/learning", get(learning::learning))
        .route("/prompts", get(prompts::list))
        .route("/prompts/{id}", get(prompts::one))
        .route("/prompts/{id}/use/{version}", post(prompts::put_into_use))
        .route("/prompts/{id}/search/{action}", post(prompts::search))
        .route("/prompts/{id}/pin/{on}", post(prompts::pin))
        .route("/experiments/{id}", get(prompts::experiment))
        .route("/experiments/{id}/{action}", post(prompts::act))
        .route("/documents", get(documents::list))
        .route("/documents/{id}", get(documents::one))
}

/// Style, script and logo, which need nothing of the engine.
pub(crate) fn assets() -> Router<App> {
    Router::new().route("/assets/{name}", get(assets::serve))
}

/// A refusal in the form that the client wants: a page for a browser that asks for one, else JSON.
pub(crate) fn refusal(app: &App, headers: &HeaderMap, error: ApiError) -> Response {
    let wants_page = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    if wants_page { PageError { app: app.clone(), error }.into_response() } else { error.into_response() }
}

#[derive(Deserialize)]
struct Asked {
    q: Option<String>,
    model: Option<String>,
}

/// A choice of who answers.
#[derive(Serialize)]
struct ModelChoice {
    value: String,
    label: String,
}

async fn ask(
    State(app): State<App>,
    headers: HeaderMap,
    Parameters(Asked { q, model }): Parameters<Asked>,
) -> Response {
    let model = model.filter(|model| !model.is_empty()).unwrap_or_else(|| "burnish".to_owned());
    let outcome = match &q {
        Some(text) => answered(&app, text, &model).await.map(Some),
        None => Ok(None),
    };
    let totals = match app.engine.totals().await {
        Ok(totals) => totals,
        Err(error) => return refusal(&app, &headers, error.into()),
    };
    let (status, answer, error) = match outcome {
        Ok(answer) => (StatusCode::OK, answer, None),
        Err(error) => (error.status(), None, Some(error.message)),
    };
    let values = context! {
        here => "ask", question => q.unwrap_or_default(), models => view(&choices(&app)), model,
        answer => view(&answer), error, totals => totals_view(totals), max_query_chars => app.settings.max_query_chars,
    };
    match app.templates.render("ask.html", values) {
        Ok(page) => (status, page).into_response(),
        Err(error) => error.into_response(),
    }
}

/// The whole answer, for a browser without a script and for addresses that are opened again.
async fn answered(app: &App, text: &str, model: &str) -> Result<AnswerView, ApiError> {
    let pinned = pinned(&app.engine, model)?;
    let question = Question { text: text.to_owned(), param: "q", ..Question::default() };
    let query = question.into_query(&app.settings)?;
    let answering = app.engine.answer(query, pinned, Sampling { whole: true, ..Sampling::default() }).await?;
    let (decision, mut events, mut answer) = (answering.decision, answering.events, None);
    while let Some(event) = events.try_next().await? {
        if let AnswerEvent::Done(whole) = event {
            answer = Some(*whole);
        }
    }
    Ok(AnswerView::of(&StoredDecision { decision, answer, outcomes: Vec::new() }))
}

fn choices(app: &App) -> Vec<ModelChoice> {
    let choice = |value: String, label: String| ModelChoice { value, label };
    let mut choices = vec![choice("burnish".to_owned(), "whatever Burnish plans".to_owned())];
    choices.extend(app.engine.models().into_iter().map(|name| choice(name.clone(), name)));
    choices.push(choice("burnish/extractive".to_owned(), "quotation".to_owned()));
    let strategies = app.engine.strategies().into_iter();
    choices.extend(
        strategies.map(|strategy| choice(format!("burnish/{strategy}"), format!("{strategy} retrieval"))),
    );
    choices
}

/// What a template can look into.
fn view(value: &impl Serialize) -> Value {
    Value::from(Serde(value))
}

fn totals_view(totals: Totals) -> Value {
    let Totals { documents, chunks, decisions, outcomes } = totals;
    context! { documents, chunks, decisions, outcomes }
}

async fn decision(
    State(app): State<App>,
    axum::extract::Path(id): axum::extract::Path<String>,
) -> Result<Html<String>, PageError> {
    let shown = async {
        let stored = stored(&app, &id).await?;
        app.templates.render("decision.html", context! { answer => view(&AnswerView::of(&stored)) })
    };
    shown.await.map_err(|error| PageError { app: app.clone(), error })
}
