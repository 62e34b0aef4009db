//! `/v1/models`: what can stand in a request's `model`.

use axum::Json;
use axum::extract::{Path, State};
use burnish_engine::{Engine, EngineError, Pinned};
use burnish_types::{Answerer, Strategy};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::error::{ApiError, Code, ErrorBody};

/// The name under which the planner decides everything.
pub(super) const PLANNER: &str = "burnish";
const ENCODER: &str = "encoder";

/// The models that a request may name.
#[derive(Serialize, ToSchema)]
pub(crate) struct ModelList {
    /// `list`.
    object: &'static str,
    data: Vec<Model>,
}

/// What a request's `model` may be.
#[derive(Serialize, ToSchema)]
pub(crate) struct Model {
    id: String,
    /// `model`.
    object: &'static str,
    /// Always 0: these have no date.
    created: u64,
    /// `burnish`, `provider` for configured language models, `encoder` for the embedding model.
    owned_by: &'static str,
}

/// The models that a request may name: `burnish` lets the planner decide, `burnish/…` pins a strategy, any other
/// name pins a configured language model. The embedding model is among them.
#[utoipa::path(get, path = "/v1/models", tag = "openai", responses((status = 200, body = ModelList)))]
pub(super) async fn list(State(app): State<App>) -> Json<ModelList> {
    Json(ModelList { object: "list", data: all(&app.engine) })
}

/// One model.
#[utoipa::path(
    get, path = "/v1/models/{id}", tag = "openai",
    params(("id" = String, Path, description = "A model's name; a slash in it may be plain or `%2F`")),
    responses((status = 200, body = Model), (status = 404, body = ErrorBody))
)]
pub(super) async fn retrieve(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<Model>, ApiError> {
    let mut models = all(&app.engine).into_iter();
    let found = models.find(|model| model.id == id || (model.owned_by == ENCODER && names(&id, &model.id)));
    found.map(Json).ok_or_else(|| unknown(&app.engine, &id))
}

/// The same, for a name with a plain slash in it.
pub(super) async fn retrieve_owned(
    state: State<App>,
    Path((owner, name)): Path<(String, String)>,
) -> Result<Json<Model>, ApiError> {
    retrieve(state, Path(format!("{owner}/{name}"))).await
}

/// Whether `name` stands for the embedding model `model`, whose version after the `@` may be left out.
pub(super) fn names(name: &str, model: &str) -> bool {
    name == model || model.split_once('@').is_some_and(|(plain, _)| plain == name)
}

fn all(engine: &Engine) -> Vec<Model> {
    let model = |id, owned_by| Model { id, object: "model", created: 0, owned_by };
    let ours = answering(engine).into_iter().map(|id| model(id, "burnish"));
    let configured = engine.models().into_iter().map(|id| model(id, "provider"));
    let embedding = std::iter::once(model(engine.embedding_model().to_owned(), ENCODER));
    ours.chain(configured).chain(embedding).collect()
}

/// The names of ours that answer questions.
fn answering(engine: &Engine) -> Vec<String> {
    let strategies = engine.strategies();
    let pinned = strategies.iter().map(Strategy::as_str).chain([Answerer::EXTRACTIVE]);
    std::iter::once(PLANNER.to_owned()).chain(pinned.map(|name| format!("{PLANNER}/{name}"))).collect()
}

/// What the name of a model pins.
pub(crate) fn pinned(engine: &Engine, model: &str) -> Result<Pinned, ApiError> {
    if model == PLANNER {
        return Ok(Pinned::default());
    }
    if let Some(name) = model.strip_prefix("burnish/") {
        // By quotation, whatever models there are.
        if name == Answerer::EXTRACTIVE {
            return Ok(Pinned { answerer: Some(Answerer::Extractive), ..Pinned::default() });
        }
        match engine.strategy(name) {
            Ok(strategy) => return Ok(Pinned { strategy: Some(strategy), ..Pinned::default() }),
            Err(EngineError::UnknownStrategy { .. }) => {}
            Err(error) => return Err(ApiError::from(error).at("model")),
        }
    }
    if engine.models().iter().any(|known| known == model) {
        return Ok(Pinned { answerer: Some(Answerer::Model(model.to_owned())), ..Pinned::default() });
    }
    Err(unknown(engine, model))
}

fn unknown(engine: &Engine, model: &str) -> ApiError {
    let known = answering(engine).into_iter().chain(engine.models()).collect::<Vec<_>>().join(", ");
    let shown: String = model.chars().take(128).collect();
    let message = format!("no model is called `{shown}`; questions can be put to: {known}");
    ApiError::new(Code::ModelNotFound, message).at("model")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_an_embedding_model_may_be_left_out() {
        for (name, model, expected) in [
            ("mini@12", "mini@12", true),
            ("mini", "mini@12", true),
            ("mini", "mini", true),
            ("min", "mini@12", false),
        ] {
            assert_eq!(names(name, model), expected, "{name} {model}");
        }
    }
}
