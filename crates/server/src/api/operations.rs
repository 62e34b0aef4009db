//! Health, readiness, figures and the description of the API.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::app::App;
use crate::error::{ApiError, Code, ErrorBody};

/// A short yes.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`.
    status: &'static str,
}

/// Whether the process runs.
#[utoipa::path(get, path = "/healthz", tag = "operations", responses((status = 200, body = Health)))]
pub(super) async fn health() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Whether questions can be answered and feedback be kept.
#[utoipa::path(
    get, path = "/readyz", tag = "operations",
    responses((status = 200, body = Health), (status = 503, body = ErrorBody, description = "Why not"))
)]
pub(super) async fn readiness(State(app): State<App>) -> Result<Json<Health>, ApiError> {
    match app.engine.ready().await {
        Ok(()) => Ok(Json(Health { status: "ok" })),
        Err(error) => {
            let error = ApiError::from(error);
            let code = if error.status().as_u16() == 503 { error.code } else { Code::NotReady };
            Err(ApiError { code, ..error })
        }
    }
}

/// Figures for Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "operations",
    responses((status = 200, body = String, content_type = "application/openmetrics-text"))
)]
pub(super) async fn figures(State(app): State<App>) -> Result<impl IntoResponse, ApiError> {
    let totals = app.engine.totals().await?;
    let engine = &app.engine;
    let (cache, selective) = (engine.cache(), engine.selective());
    let text = app.metrics.encode(totals, &engine.learned(), &engine.endpoints(), &cache, &selective);
    Ok(([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text))
}

/// This description.
#[utoipa::path(
    get, path = "/openapi.json", tag = "operations",
    responses((status = 200, body = Object, description = "OpenAPI 3.1"))
)]
pub(super) async fn description() -> Json<Value> {
    Json(super::openapi())
}
