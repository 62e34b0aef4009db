//! Every refusal that a client can meet: one closed set of codes, in the shape of OpenAI's errors.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use burnish_engine::EngineError;
use burnish_types::{EmbedError, ModelError, StoreError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What went wrong, as a program can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Code {
    /// The body is no JSON.
    InvalidJson,
    /// A value can't be taken.
    InvalidValue,
    /// There is no question.
    EmptyQuery,
    /// The question is too long.
    QueryTooLong,
    /// The body is too long.
    BodyTooLarge,
    /// The body is of another content type.
    UnsupportedMediaType,
    /// A browser sent it for another site, or by a name that is not ours.
    CrossOrigin,
    /// The path leads nowhere, or what it names is not there.
    NotFound,
    /// The path knows other methods.
    MethodNotAllowed,
    /// No model has this name.
    ModelNotFound,
    /// No strategy has this name.
    StrategyNotFound,
    /// Too much is going on.
    Overloaded,
    /// The language model has all the requests that it may have.
    ModelBusy,
    /// It took too long.
    Timeout,
    /// The disk is full.
    StorageFull,
    /// The data directory can't be written.
    ReadOnly,
    /// Requests cannot be served now.
    NotReady,
    /// A remote model or embedding endpoint failed.
    UpstreamFailed,
    /// A fault of ours.
    Internal,
}

impl Code {
    const fn status(self) -> StatusCode {
        match self {
            Self::InvalidJson | Self::InvalidValue | Self::EmptyQuery | Self::QueryTooLong => {
                StatusCode::BAD_REQUEST
            }
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::CrossOrigin => StatusCode::FORBIDDEN,
            Self::NotFound | Self::ModelNotFound | Self::StrategyNotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Overloaded | Self::ReadOnly | Self::NotReady => StatusCode::SERVICE_UNAVAILABLE,
            Self::ModelBusy => StatusCode::TOO_MANY_REQUESTS,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::StorageFull => StatusCode::INSUFFICIENT_STORAGE,
            Self::UpstreamFailed => StatusCode::BAD_GATEWAY,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Its name, as programs see it.
    pub(crate) fn name(self) -> String {
        // A unit variant always has a JSON form, which is a text.
        serde_json::to_value(self).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
    }

    const fn kind(self) -> &'static str {
        if self.status().as_u16() < 500 { "invalid_request_error" } else { "server_error" }
    }
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) param: Option<String>,
}

/// The body of every refusal.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    pub(crate) error: ErrorDetail,
}

/// What was wrong.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ErrorDetail {
    /// For people: the thing that was wrong, its value, and what to do.
    message: String,
    /// `invalid_request_error` or `server_error`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The part of the request that was wrong.
    param: Option<String>,
    /// For programs.
    code: Code,
}

impl ErrorDetail {
    /// A refusal that was kept by the name of its code. A code of another version counts as a fault.
    pub(crate) fn recalled(code: &str, message: String) -> Self {
        let code = serde_json::from_value(code.into()).unwrap_or(Code::Internal);
        Self { message, kind: code.kind(), param: None, code }
    }
}

impl ApiError {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), param: None }
    }

    /// About one value of the request.
    pub(crate) fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Code::InvalidValue, message).at(param)
    }

    pub(crate) fn at(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.code.status()
    }

    pub(crate) fn body(&self) -> ErrorBody {
        let Self { code, message, param } = self.clone();
        ErrorBody { error: ErrorDetail { message, kind: code.kind(), param, code } }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status(), Json(self.body())).into_response();
        if matches!(self.code, Code::Overloaded | Code::ModelBusy) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        let message = error.to_string();
        match error {
            EngineError::InvalidQuery(_) => Self::invalid("query", message),
            EngineError::InvalidSetting(_) => Self::new(Code::Internal, message),
            EngineError::InvalidFeedback(_) => Self::new(Code::InvalidValue, message),
            EngineError::UnknownStrategy { .. } => Self::new(Code::StrategyNotFound, message).at("strategy"),
            EngineError::UnusableStrategy { .. } => Self::new(Code::StrategyNotFound, message).at("strategy"),
            EngineError::UnknownModel { .. } => Self::new(Code::ModelNotFound, message).at("model"),
            EngineError::UnknownRequest(_) => Self::new(Code::NotFound, message).at("id"),
            EngineError::NoSuchChunk(_) => Self::new(Code::NotFound, message).at("chunk"),
            EngineError::NoSuchDocument(_) => Self::new(Code::NotFound, message).at("document"),
            EngineError::UnknownChunk { .. } => Self::new(Code::NotFound, message).at("chunk"),
            EngineError::DiskFull { .. } | EngineError::Store(StoreError::Full { .. }) => {
                tracing::error!(error = message, "the disk is full");
                let message = "the disk that holds the data directory is full: nothing was stored; make room and try again";
                Self::new(Code::StorageFull, message)
            }
            EngineError::Store(StoreError::ReadOnly { .. }) => {
                tracing::error!(error = message, "the data directory cannot be written");
                let message =
                    "the data directory cannot be written: nothing was stored; check its permissions";
                Self::new(Code::ReadOnly, message)
            }
            EngineError::InvalidTemplate(_) => Self::new(Code::InvalidValue, message).at("template"),
            EngineError::InvalidExperiment(_) => Self::new(Code::InvalidValue, message).at("experiment"),
            EngineError::UnknownTemplate { .. } => Self::new(Code::NotFound, message).at("template"),
            EngineError::UnknownVersion { .. } => Self::new(Code::NotFound, message).at("version"),
            EngineError::UnknownOperation { .. } => Self::new(Code::NotFound, message).at("operations"),
            EngineError::UnknownExperiment(_) => Self::new(Code::NotFound, message).at("id"),
            EngineError::TakenBack => Self::new(Code::Overloaded, message),
            EngineError::Model(ModelError::Busy { .. }) => Self::new(Code::ModelBusy, message),
            EngineError::Model(ModelError::Unsupported { .. }) => Self::new(Code::InvalidValue, message),
            EngineError::Model(error) => {
                tracing::error!(error = message, "a language model failed");
                Self::new(Code::UpstreamFailed, model_failure(&error))
            }
            EngineError::Embed(EmbedError::Remote { .. }) => {
                tracing::error!(error = message, "the embedding endpoint failed");
                Self::new(Code::UpstreamFailed, "the embedding endpoint failed; try again later")
            }
            EngineError::DataDirectory { .. }
            | EngineError::Store(_)
            | EngineError::Index(_)
            | EngineError::Embed(_)
            | EngineError::Retrieval(_)
            | EngineError::Internal(_) => {
                tracing::error!(error = message, "a request failed");
                Self::new(Code::Internal, "the request failed here, and the server's log says why")
            }
        }
    }
}

fn model_failure(error: &ModelError) -> String {
    match error {
        ModelError::Unreachable { model, .. } => format!("the model `{model}` could not be reached"),
        ModelError::Refused { model, status, .. } => {
            format!("the model `{model}` refused with status {status}")
        }
        ModelError::Garbled { model, .. } => format!("the model `{model}` sent what cannot be understood"),
        ModelError::TooLong { model, .. } => format!("the prompt is too long for the model `{model}`"),
        ModelError::Interrupted { model, characters, .. } => format!(
            "the answer of the model `{model}` broke off after {characters} characters, and nobody could go on from there"
        ),
        ModelError::OverBudget { model, .. } => format!("a budget that the model `{model}` needs is used up"),
        ModelError::Busy { .. } | ModelError::Unsupported { .. } => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_ours_tell_no_paths() {
        let path = || "/srv/secret/burnish.db".to_owned();
        let cases = [
            (EngineError::Store(StoreError::Full { path: path() }), 507),
            (EngineError::DiskFull { path: path(), free_mib: 3 }, 507),
            (EngineError::Store(StoreError::ReadOnly { path: path(), reason: path() }), 503),
            (EngineError::Store(StoreError::Failed { path: path(), reason: path() }), 500),
            (EngineError::Embed(EmbedError::Load { path: path(), reason: path() }), 500),
            (EngineError::Internal(path()), 500),
            (EngineError::Model(ModelError::Unreachable { model: "m".into(), reason: path() }), 502),
        ];
        for (error, status) in cases {
            let answer = ApiError::from(error);
            assert_eq!(answer.status().as_u16(), status, "{}", answer.message);
            assert!(!answer.message.contains("secret"), "{}", answer.message);
        }
    }

    #[test]
    fn being_overloaded_says_when_to_come_back() {
        let response = ApiError::new(Code::Overloaded, "busy").into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    }
}
