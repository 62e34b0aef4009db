//! The words of OpenAI's chat completions on the wire, as far as they are spoken here, and as loosely as
//! compatible servers speak them.

use burnish_types::{Message, ModelRequest, Usage};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What is asked.
#[derive(Serialize)]
pub(crate) struct CompletionRequest<'a> {
    model: &'a str,
    messages: &'a [Message],
    stream: bool,
    stream_options: StreamOptions,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f32>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

impl<'a> CompletionRequest<'a> {
    pub(crate) fn new(model: &'a str, request: &'a ModelRequest) -> Self {
        Self {
            model,
            messages: &request.messages,
            stream: true,
            stream_options: StreamOptions { include_usage: true },
            max_tokens: request.max_tokens,
            temperature: request.temperature,
        }
    }
}

/// What a provider sends as one JSON value.
#[derive(Debug)]
pub(crate) enum Reply {
    /// A piece of an answer, or a whole one.
    Completion(Completion),
    /// An error object, or its words.
    Error(Value),
}

impl Reply {
    pub(crate) fn parse(text: &str) -> Result<Self, serde_json::Error> {
        let value = serde_json::from_str(text)?;
        match error_of(&value) {
            Some(error) => Ok(Self::Error(error.clone())),
            None => Ok(Self::Completion(Completion::deserialize(&value)?)),
        }
    }
}

/// The error in `value`: under `error`, alone in a list (Gemini), or the object itself (vLLM).
fn error_of(value: &Value) -> Option<&Value> {
    match value {
        Value::Array(values) => values.first().and_then(error_of),
        _ if value.get("object").is_some_and(|kind| kind == "error") => Some(value),
        _ => value.get("error").filter(|error| !error.is_null()),
    }
}

/// A piece of an answer, or a whole one.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Completion {
    #[serde(default)]
    pub(crate) choices: Vec<Choice>,
    pub(crate) usage: Option<WireUsage>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Choice {
    /// In a stream.
    #[serde(default)]
    delta: Option<Words>,
    /// In a whole answer.
    #[serde(default)]
    message: Option<Words>,
    #[serde(default)]
    pub(crate) finish_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Words {
    content: Option<Content>,
    /// Some models refuse in a field of its own.
    refusal: Option<String>,
    reasoning: Option<Value>,
    reasoning_content: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Debug, Deserialize)]
struct Part {
    #[serde(default)]
    text: String,
}

impl Choice {
    /// The text, empty where there is none.
    pub(crate) fn text(&self) -> String {
        let Some(words) = self.words() else { return String::new() };
        match &words.content {
            Some(Content::Text(text)) if !text.is_empty() => text.clone(),
            Some(Content::Parts(parts)) => parts.iter().map(|part| part.text.as_str()).collect(),
            _ => words.refusal.clone().unwrap_or_default(),
        }
    }

    /// Whether the model thinks aloud in it, which is no part of the answer, but a sign of life.
    pub(crate) fn is_reasoning(&self) -> bool {
        let spoken = |words: &Option<Value>| matches!(words, Some(Value::String(text)) if !text.is_empty());
        self.words().is_some_and(|words| spoken(&words.reasoning) || spoken(&words.reasoning_content))
    }

    fn words(&self) -> Option<&Words> {
        self.delta.as_ref().or(self.message.as_ref())
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct WireUsage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
}

impl From<WireUsage> for Usage {
    fn from(usage: WireUsage) -> Self {
        Self {
            input_tokens: usage.prompt_tokens.unwrap_or_default(),
            output_tokens: usage.completion_tokens.unwrap_or_default(),
        }
    }
}

/// The words of a refusal: those of an error object in any of the usual forms, else the text without markup.
pub(crate) fn error_message(body: &str) -> String {
    let message = serde_json::from_str::<Value>(body)
        .ok()
        .and_then(|value| message_of(error_of(&value).unwrap_or(&value)));
    message.unwrap_or_else(|| without_markup(body))
}

/// The message of an error object or text.
pub(crate) fn message_of(error: &Value) -> Option<String> {
    let words = [Some(error), error.get("message"), error.get("detail")];
    words.into_iter().flatten().find_map(Value::as_str).map(str::to_owned)
}

/// The HTTP status that an error object carries as its code, where it does.
pub(crate) fn status_of(error: &Value) -> Option<u16> {
    let code =
        ["status", "code"].iter().filter_map(|field| error.get(field)).find_map(|code| match code {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        })?;
    u16::try_from(code).ok().filter(|status| (400..600).contains(status))
}

/// Gateways answer with HTML pages; their text is enough, and tags say nothing.
fn without_markup(body: &str) -> String {
    let mut text = String::with_capacity(body.len());
    let mut rest = body;
    while let Some(start) = rest.find('<') {
        text.push_str(&rest[..start]);
        text.push(' ');
        let tag = &rest[start..];
        let skipped = ["<style", "<script"]
            .iter()
            .find(|name| tag.get(..name.len()).is_some_and(|opening| opening.eq_ignore_ascii_case(name)));
        let end = match skipped {
            Some(name) => tag.find(&name.replace('<', "</")).unwrap_or(tag.len()),
            None => tag.find('>').map_or(tag.len(), |end| end + 1),
        };
        rest = &tag[end..];
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_read_in_every_usual_form() {
        let cases = [
            (r#"{"error":{"message":"bad key","type":"auth"}}"#, "bad key"),
            (r#"{"error":"no such model"}"#, "no such model"),
            (r#"{"message":"too long"}"#, "too long"),
            (r#"{"detail":"Not Found"}"#, "Not Found"),
            (r#"[{"error":{"message":"in a list","code":400}}]"#, "in a list"),
            (r#"{"object":"error","message":"vLLM's","code":400}"#, "vLLM's"),
            ("<html><style>p { color: red }</style><p>Bad <b>Gateway</b></p>", "   Bad  Gateway  "),
            ("plain words", "plain words"),
            ("a <unclosed", "a  "),
            (r#"{"code":5}"#, r#"{"code":5}"#),
            ("", ""),
        ];
        for (body, expected) in cases {
            let collapse = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert_eq!(collapse(&error_message(body)), collapse(expected), "{body}");
        }
    }

    #[test]
    fn a_status_is_found_only_where_it_is_one() {
        let cases = [
            (r#"{"code":429}"#, Some(429)),
            (r#"{"code":"503"}"#, Some(503)),
            (r#"{"status":529,"code":"overloaded"}"#, Some(529)),
            (r#"{"code":"rate_limit_exceeded"}"#, None),
            (r#"{"code":200}"#, None),
            (r#""words""#, None),
        ];
        for (error, expected) in cases {
            assert_eq!(status_of(&serde_json::from_str(error).unwrap()), expected, "{error}");
        }
    }

    #[test]
    fn text_is_found_in_every_form_of_content() {
        let cases = [
            (r#"{"delta":{"content":"a"}}"#, "a", false),
            (r#"{"message":{"content":"a"}}"#, "a", false),
            (r#"{"delta":{"content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}}"#, "ab", false),
            (r#"{"delta":{"content":null,"refusal":"no"}}"#, "no", false),
            (r#"{"delta":{"role":"assistant","content":""}}"#, "", false),
            (r#"{"delta":{"reasoning_content":"hm"}}"#, "", true),
            (r#"{"delta":{"reasoning":""}}"#, "", false),
            (r#"{"delta":null,"finish_reason":"stop"}"#, "", false),
            (r#"{}"#, "", false),
        ];
        for (choice, text, reasoning) in cases {
            let choice: Choice = serde_json::from_str(choice).unwrap();
            assert_eq!((choice.text().as_str(), choice.is_reasoning()), (text, reasoning));
        }
    }
}
