//! The messages of a chat request: which one is the question, and what was said before it.

use burnish_types::{Message, Role};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::error::ApiError;

/// One message.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub(crate) struct ChatMessage {
    /// `system`, `developer`, `user` or `assistant`.
    role: String,
    /// A text, or an array of parts of the type `text`.
    #[serde(default)]
    #[schema(value_type = String)]
    content: Value,
}

/// The last message of the user, its place in the request, and what was said before it.
pub(in crate::api) fn split(
    messages: Vec<ChatMessage>,
) -> Result<(String, &'static str, Vec<Message>), ApiError> {
    let read = messages.into_iter().enumerate().map(|(place, message)| read(place, message));
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
                "the role `{shown}` is not understood: `system`, `developer`, `user` and `assistant` are"
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
                _ => Err(refused(format!("messages[{place}].content[{number}]"))),
            };
            Ok(parts.iter().enumerate().map(part).collect::<Result<Vec<_>, _>>()?.join("\n"))
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
