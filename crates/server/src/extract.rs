//! Reads requests, and says in the API's own shape what was wrong and where.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;

use crate::error::{ApiError, Code};

/// A JSON body.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        expect_type(request.headers(), "application/json", is_json)?;
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                too_large()
            } else {
                ApiError::new(Code::InvalidJson, "the body could not be read to its end")
            }
        })?;
        parse(&bytes).map(Self)
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    if let Err(error) = std::str::from_utf8(bytes) {
        let place = error.valid_up_to();
        return Err(ApiError::new(Code::InvalidJson, format!("the body is not valid UTF-8 at byte {place}")));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        if error.is_data() {
            let refusal = ApiError::new(Code::InvalidValue, error.to_string());
            if path == "." { refusal } else { refusal.at(path) }
        } else {
            ApiError::new(Code::InvalidJson, format!("the body is not valid JSON: {error}"))
        }
    })?;
    reader
        .end()
        .map_err(|error| ApiError::new(Code::InvalidJson, format!("the body is not valid JSON: {error}")))?;
    Ok(value)
}

/// Parameters after the `?`.
pub(crate) struct Parameters<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Query(value) = Query::from_request_parts(parts, state)
            .await
            .map_err(|rejection| ApiError::new(Code::InvalidValue, rejection.body_text()))?;
        Ok(Self(value))
    }
}

/// Refuses a body of another content type than `accepts` takes.
pub(crate) fn expect_type(
    headers: &HeaderMap,
    expected: &str,
    accepts: impl Fn(&str) -> bool,
) -> Result<(), ApiError> {
    let found = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = found.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if accepts(&essence) {
        return Ok(());
    }
    let message = match essence.as_str() {
        "" => format!("the body has no content type: send `content-type: {expected}`"),
        other => format!("the content type `{other}` is not understood here: send `{expected}`"),
    };
    Err(ApiError::new(Code::UnsupportedMediaType, message))
}

fn is_json(essence: &str) -> bool {
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

pub(crate) fn too_large() -> ApiError {
    ApiError::new(Code::BodyTooLarge, "the body is longer than this server takes")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Outer {
        #[expect(dead_code, reason = "read for its errors only")]
        inner: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    struct Inner {
        #[expect(dead_code, reason = "read for its errors only")]
        number: u8,
    }

    #[test]
    fn what_is_wrong_with_a_body_is_said_with_its_place() {
        let cases: [(&[u8], Code, Option<&str>, &str); 6] = [
            (br#"{"inner": [{"number": "x"}]}"#, Code::InvalidValue, Some("inner[0].number"), "invalid type"),
            (br#"{"inner": [{}]}"#, Code::InvalidValue, Some("inner[0]"), "missing field `number`"),
            (br#"{}"#, Code::InvalidValue, None, "missing field `inner`"),
            (br#"{"inner": ["#, Code::InvalidJson, None, "line 1 column 11"),
            (br#"{"inner": []} x"#, Code::InvalidJson, None, "trailing characters"),
            (b"{\"inner\": \"\xff\"}", Code::InvalidJson, None, "UTF-8 at byte 11"),
        ];
        for (body, code, param, words) in cases {
            let error = parse::<Outer>(body).unwrap_err();
            assert_eq!((error.code, error.param.as_deref()), (code, param), "{}", error.message);
            assert!(error.message.contains(words), "{}", error.message);
        }
    }
}
