//! The messages of a chat request: which one is the question, what was said before it, and what more than text they
//! hold.

use burnish_types::{Message, Role};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::error::ApiError;

/// One message.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub(crate) struct ChatMessage {
    /// `system`, `developer`, `user`, `assistant` or `tool`.
    role: String,
    /// A text, or an array of parts: of the type `text`, or what language models take beside, such as `image_url`.
    #[serde(default)]
    #[schema(value_type = String)]
    content: Value,
    /// What else OpenAI's API knows, such as `tool_calls`.
    #[serde(flatten)]
    #[schema(value_type = Object, additional_properties)]
    rest: Map<String, Value>,
}

/// Parts that only a language model can take, each with a field of the same name.
const PARTS: [&str; 3] = ["image_url", "input_audio", "file"];

/// The messages as they came, where text alone does not say all of them; else none.
pub(super) fn verbatim(messages: &[ChatMessage]) -> Vec<Value> {
    let more_than_text = |message: &ChatMessage| {
        let parts = message.content.as_array().into_iter().flatten();
        message.role == "tool"
            || message.rest.get("tool_calls").is_some_and(|calls| !calls.is_null())
            || parts.into_iter().any(|part| part["type"] != "text")
    };
    if !messages.iter().any(more_than_text) {
        return Vec::new();
    }
    let wire = |message: &ChatMessage| {
        let mut wire = message.rest.clone();
        wire.insert("role".to_owned(), json!(message.role));
        wire.insert("content".to_owned(), message.content.clone());
        Value::Object(wire)
    };
    messages.iter().map(wire).collect()
}

/// The last message of the user, its place in the request, and what was said before it.
pub(in crate::api) fn split(
    messages: Vec<ChatMessage>,
) -> Result<(String, &'static str, Vec<Message>), ApiError> {
    // What a tool gave is for the model that called it, and no part of what passages are found for.
    let said = messages.into_iter().enumerate().filter(|(_, message)| message.role != "tool");
    let read = said.map(|(place, message)| read(place, message));
    let mut messages = read.collect::<Result<Vec<_>, _>>()?;
    let last = messages.iter().rposition(|message| message.role == Role::User);
    let Some(last) = last else {
        return Err(ApiError::invalid(
            "messages",
            "there is no message of the role `user`: that is the question",
        ));
    };
    messages.truncate(last + 1);
    let question = messages.pop().map(|message| message.content).unwrap_or_default();
    Ok((question, "messages", messages))
}

fn read(place: usize, message: ChatMessage) -> Result<Message, ApiError> {
    let role = match message.role.as_str() {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        other => {
            let shown: String = other.chars().take(64).collect();
            let message = format!(
                "the role `{shown}` is not understood: `system`, `developer`, `user`, `assistant` and `tool` are"
            );
            return Err(ApiError::invalid(format!("messages[{place}].role"), message));
        }
    };
    Ok(Message { role, content: text(message.content, place)? })
}

fn text(content: Value, place: usize) -> Result<String, ApiError> {
    let refused = |param: String| {
        ApiError::invalid(param, "content is a text or an array of `{\"type\": \"text\", \"text\": …}` parts")
    };
    match content {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text),
        Value::Array(parts) => {
            let part = |(number, part): (usize, &Value)| match (part["type"].as_str(), part["text"].as_str())
            {
                (Some("text"), Some(text)) => Ok(text.to_owned()),
                (Some(kind), None) if PARTS.contains(&kind) && part[kind].is_object() => Ok(String::new()),
                _ => Err(refused(format!("messages[{place}].content[{number}]"))),
            };
            let texts = parts.iter().enumerate().map(part).collect::<Result<Vec<_>, _>>()?;
            Ok(texts.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n"))
        }
        _ => Err(refused(format!("messages[{place}].content"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(wire: Value) -> Result<(String, &'static str, Vec<Message>), ApiError> {
        split(serde_json::from_value(wire).unwrap())
    }

    #[test]
    fn the_last_message_of_the_user_is_the_question() {
        let parts = json!([{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]);
        let (question, _, before) = read(json!([
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": "first"},
            {"role": "assistant", "content": null},
            {"role": "user", "content": parts},
            {"role": "assistant", "content": "so far"},
        ]))
        .unwrap();
        assert_eq!(question, "one\ntwo");
        let roles: Vec<Role> = before.iter().map(|message| message.role).collect();
        assert_eq!(roles, [Role::System, Role::User, Role::Assistant]);
    }

    #[test]
    fn what_is_more_than_text_is_kept_as_it_came() {
        let image = json!({"role": "user", "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
        ]});
        let call = json!({"role": "assistant", "content": null, "tool_calls": [{"id": "1"}]});
        let result = json!({"role": "tool", "content": "7", "tool_call_id": "1"});
        let wire = json!([image, call, result]);
        let messages: Vec<ChatMessage> = serde_json::from_value(wire.clone()).unwrap();
        assert_eq!(json!(verbatim(&messages)), wire);
        assert_eq!(split(messages).unwrap().0, "What is this?");
        let plain: Vec<ChatMessage> =
            serde_json::from_value(json!([{"role": "user", "content": "x", "name": "me"}])).unwrap();
        assert!(verbatim(&plain).is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_its_place() {
        for (wire, param) in [
            (json!([]), "messages"),
            (json!([{"role": "assistant", "content": "x"}]), "messages"),
            (json!([{"role": "wizard", "content": "x"}]), "messages[0].role"),
            (json!([{"role": "user", "content": 7}]), "messages[0].content"),
            (json!([{"role": "user", "content": [{"type": "image_url"}]}]), "messages[0].content[0]"),
        ] {
            assert_eq!(read(wire).unwrap_err().param.as_deref(), Some(param));
        }
    }
}
