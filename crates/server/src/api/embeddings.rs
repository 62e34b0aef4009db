//! `/v1/embeddings`: the encoder, in OpenAI's shape.

use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use burnish_types::Embedding;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::app::App;
use crate::error::{ApiError, Code, ErrorBody};
use crate::extract::Body;

/// The most texts of one request, as OpenAI has it.
const MAX_TEXTS: usize = 2_048;

/// Texts to embed.
#[derive(Deserialize, ToSchema)]
pub(crate) struct EmbeddingsRequest {
    /// The embedding model's name, as `/v1/models` lists it; what follows its `@` may be left out.
    model: String,
    /// A text, or up to 2048 of them.
    #[schema(value_type = Vec<String>)]
    input: Value,
    /// `float` where not said.
    #[serde(default)]
    encoding_format: Option<EncodingFormat>,
    /// Refused unless it is what the model has.
    dimensions: Option<usize>,
}

/// How vectors are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EncodingFormat {
    /// As an array of numbers.
    #[default]
    Float,
    /// As 32-bit floats, the lowest byte first, in base 64.
    Base64,
}

/// Embedded texts.
#[derive(Serialize, ToSchema)]
pub(crate) struct EmbeddingsResponse {
    /// `list`.
    object: &'static str,
    /// In the order of the input.
    data: Vec<EmbeddingItem>,
    model: String,
    usage: EmbeddingUsage,
}

/// One embedded text.
#[derive(Serialize, ToSchema)]
pub(crate) struct EmbeddingItem {
    /// `embedding`.
    object: &'static str,
    index: usize,
    embedding: Vector,
}

/// A unit-length vector.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Vector {
    /// With `float`.
    Numbers(Embedding),
    /// With `base64`.
    Text(String),
}

/// Tokens that were read.
#[derive(Serialize, ToSchema)]
pub(crate) struct EmbeddingUsage {
    prompt_tokens: usize,
    total_tokens: usize,
}

/// Embeds texts.
#[utoipa::path(
    post, path = "/v1/embeddings", tag = "openai", request_body = EmbeddingsRequest,
    responses(
        (status = 200, body = EmbeddingsResponse),
        (status = 400, body = ErrorBody, description = "A value can't be taken"),
        (status = 404, body = ErrorBody, description = "No embedding model has this name")
    )
)]
pub(super) async fn embed(
    State(app): State<App>,
    Body(request): Body<EmbeddingsRequest>,
) -> Result<Json<EmbeddingsResponse>, ApiError> {
    let engine = &app.engine;
    let model = engine.embedding_model();
    if !super::models::names(&request.model, model) {
        let message = format!("no embedding model is called `{}`; there is: {model}", request.model);
        return Err(ApiError::new(Code::ModelNotFound, message).at("model"));
    }
    let texts = texts(request.input)?;
    let tokens = texts.iter().map(|text| engine.count_tokens(text)).sum();
    let embeddings = engine.embed(texts).await?;
    let has = embeddings.first().map_or(0, Vec::len);
    if let Some(wanted) = request.dimensions.filter(|&wanted| wanted != has) {
        let message = format!("the vectors of `{model}` have {has} dimensions; {wanted} cannot be had");
        return Err(ApiError::invalid("dimensions", message));
    }
    let format = request.encoding_format.unwrap_or_default();
    let item = |(index, embedding)| EmbeddingItem {
        object: "embedding",
        index,
        embedding: encoded(embedding, format),
    };
    Ok(Json(EmbeddingsResponse {
        object: "list",
        data: embeddings.into_iter().enumerate().map(item).collect(),
        model: model.to_owned(),
        usage: EmbeddingUsage { prompt_tokens: tokens, total_tokens: tokens },
    }))
}

fn encoded(embedding: Embedding, format: EncodingFormat) -> Vector {
    match format {
        EncodingFormat::Float => Vector::Numbers(embedding),
        EncodingFormat::Base64 => {
            let bytes: Vec<u8> = embedding.into_iter().flat_map(f32::to_le_bytes).collect();
            Vector::Text(STANDARD.encode(bytes))
        }
    }
}

fn texts(input: Value) -> Result<Vec<String>, ApiError> {
    let items = match input {
        Value::Array(items) => items,
        text => vec![text],
    };
    if items.is_empty() || items.len() > MAX_TEXTS {
        let message = format!("`input` holds {} texts: 1 to {MAX_TEXTS} are taken", items.len());
        return Err(ApiError::invalid("input", message));
    }
    let text = |(place, item)| match item {
        Value::String(text) if !text.is_empty() => Ok(text),
        Value::String(_) => Err(ApiError::invalid(format!("input[{place}]"), "the text is empty")),
        _ => Err(ApiError::invalid(
            format!("input[{place}]"),
            "`input` is a text or an array of texts; token numbers are not understood",
        )),
    };
    items.into_iter().enumerate().map(text).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn inputs_are_texts() {
        assert_eq!(texts(json!("a")).unwrap(), ["a"]);
        assert_eq!(texts(json!(["a", "b"])).unwrap(), ["a", "b"]);
        for (input, param) in [
            (json!([]), "input"),
            (json!(vec!["x"; MAX_TEXTS + 1]), "input"),
            (json!(""), "input[0]"),
            (json!(["a", ""]), "input[1]"),
            (json!([1, 2]), "input[0]"),
            (json!(null), "input[0]"),
        ] {
            assert_eq!(texts(input).unwrap_err().param.as_deref(), Some(param));
        }
    }

    #[test]
    fn base_64_holds_little_endian_floats() {
        let Vector::Text(text) = encoded(vec![1.0, -2.0], EncodingFormat::Base64) else {
            panic!("a text is expected");
        };
        assert_eq!(STANDARD.decode(text).unwrap(), [0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]);
    }
}
