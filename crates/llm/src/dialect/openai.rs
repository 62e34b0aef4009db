//! OpenAI's chat completions on the wire, as loosely as compatible servers speak them.

use std::borrow::Cow;
use std::fmt;

use burnish_types::ModelRequest;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use super::{GoingOn, Heard, Reply, Tokens};

/// What is asked. What the caller's request says beside what is asked here goes along untouched.
pub(super) fn body(model: &str, request: &ModelRequest, begun: Option<(&str, GoingOn)>) -> Value {
    let mut body = request.passthrough.clone();
    let mut messages: Vec<Value> = match request.verbatim.as_slice() {
        [] => request.messages.iter().map(|message| json!(message)).collect(),
        verbatim => {
            let first = request.messages.first().map(|message| json!(message));
            first.into_iter().chain(verbatim.iter().cloned()).collect()
        }
    };
    if let Some((text, how)) = begun {
        let mut message = json!({"role": "assistant", "content": text});
        match how {
            GoingOn::No | GoingOn::LastMessage => {}
            GoingOn::Prefix => message["prefix"] = json!(true),
            GoingOn::FinalMessage => {
                body.insert("continue_final_message".to_owned(), json!(true));
                body.insert("add_generation_prompt".to_owned(), json!(false));
            }
        }
        messages.push(message);
    }
    body.insert("model".to_owned(), json!(model));
    body.insert("messages".to_owned(), Value::Array(messages));
    body.insert("stream".to_owned(), json!(true));
    body.insert("stream_options".to_owned(), json!({"include_usage": true}));
    if let Some(most) = request.max_tokens {
        // Newer models refuse the older name; a caller that uses the newer one has such a model.
        let name = ["max_completion_tokens", "max_tokens"].into_iter().find(|name| body.contains_key(*name));
        body.insert(name.unwrap_or("max_tokens").to_owned(), json!(most));
    }
    if let Some(temperature) = request.temperature {
        body.insert("temperature".to_owned(), json!(temperature));
    }
    Value::Object(body)
}

/// What one event, or one whole document, says.
pub(super) fn read(text: &str) -> Result<Reply, serde_json::Error> {
    // Nearly every event is a piece of an answer, and there is one a token: it is read in one go.
    if let Ok(completion) = serde_json::from_str::<Completion<'_>>(text)
        && !completion.is_error()
    {
        return Ok(Reply::Heard(completion.heard()));
    }
    let value: Value = serde_json::from_str(text)?;
    match error_of(&value) {
        Some(error) => {
            let words = message_of(error).unwrap_or_else(|| error.to_string());
            Ok(Reply::Error { status: status_of(error), words })
        }
        None => Ok(Reply::Heard(Completion::deserialize(&value)?.heard())),
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
struct Completion<'a> {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<WireUsage>,
    error: Option<Value>,
    #[serde(borrow)]
    object: Option<Cow<'a, str>>,
}

impl Completion<'_> {
    /// What it says.
    fn heard(self) -> Heard {
        let mut heard = Heard { answers: !self.choices.is_empty(), ..Heard::default() };
        if let Some(usage) = self.usage {
            heard.usage = usage.into();
        }
        if let Some(choice) = self.choices.into_iter().next() {
            heard.text = choice.text();
            heard.thinks = choice.is_reasoning();
            heard.finish_reason = choice.finish_reason.filter(|reason| !reason.is_empty());
            heard.extra = choice.delta.or(choice.message).map(|words| words.other).unwrap_or_default();
        }
        heard
    }

    fn is_error(&self) -> bool {
        self.error.is_some() || self.object.as_ref().is_some_and(|object| object == "error")
    }
}

#[derive(Debug, Deserialize)]
struct Choice {
    /// In a stream.
    #[serde(default)]
    delta: Option<Words>,
    /// In a whole answer.
    #[serde(default)]
    message: Option<Words>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Debug, Default)]
struct Words {
    content: Option<Content>,
    /// Some models refuse in a field of its own.
    refusal: Option<String>,
    reasoning: Option<Value>,
    reasoning_content: Option<Value>,
    other: Map<String, Value>,
}

/// By hand, since `flatten` would read every delta twice.
impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(WordsVisitor)
    }
}

struct WordsVisitor;

impl<'de> Visitor<'de> for WordsVisitor {
    type Value = Words;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a delta or a message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Words, A::Error> {
        let mut words = Words::default();
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            match name.as_ref() {
                "content" => words.content = map.next_value()?,
                "refusal" => words.refusal = map.next_value()?,
                "reasoning" => words.reasoning = map.next_value()?,
                "reasoning_content" => words.reasoning_content = map.next_value()?,
                "role" => {
                    map.next_value::<IgnoredAny>()?;
                }
                _ => {
                    let value: Value = map.next_value()?;
                    if !value.is_null() {
                        words.other.insert(name.into_owned(), value);
                    }
                }
            }
        }
        Ok(words)
    }
}

#[derive(Debug)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

/// By hand, since serde would copy each before it tries what it is.
impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a list of parts")
    }

    fn visit_str<E>(self, text: &str) -> Result<Content, E> {
        Ok(Content::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Content, A::Error> {
        let mut parts = Vec::new();
        while let Some(part) = list.next_element()? {
            parts.push(part);
        }
        Ok(Content::Parts(parts))
    }
}

#[derive(Debug, Deserialize)]
struct Part {
    #[serde(default)]
    text: String,
}

impl Choice {
    /// The text, empty where there is none.
    fn text(&self) -> String {
        let Some(words) = self.words() else { return String::new() };
        match &words.content {
            Some(Content::Text(text)) if !text.is_empty() => text.clone(),
            Some(Content::Parts(parts)) => parts.iter().map(|part| part.text.as_str()).collect(),
            _ => words.refusal.clone().unwrap_or_default(),
        }
    }

    /// Whether the model thinks aloud in it, which is no part of the answer, but a sign of life.
    fn is_reasoning(&self) -> bool {
        let spoken = |words: &Option<Value>| matches!(words, Some(Value::String(text)) if !text.is_empty());
        self.words().is_some_and(|words| spoken(&words.reasoning) || spoken(&words.reasoning_content))
    }

    fn words(&self) -> Option<&Words> {
        self.delta.as_ref().or(self.message.as_ref())
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct WireUsage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    prompt_tokens_details: Option<PromptDetails>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct PromptDetails {
    cached_tokens: Option<u64>,
}

impl From<WireUsage> for Tokens {
    fn from(usage: WireUsage) -> Self {
        Self {
            input: Some(usage.prompt_tokens.unwrap_or_default()),
            cached: usage.prompt_tokens_details.and_then(|details| details.cached_tokens),
            output: Some(usage.completion_tokens.unwrap_or_default()),
        }
    }
}

/// Whether a refusal says that the prompt is longer than the model can read. Providers have no common code for it.
pub(crate) fn is_too_long(status: u16, body: &str) -> bool {
    const SIGNS: [&str; 8] = [
        "context_length_exceeded",
        "maximum context length",
        "prompt is too long",
        "context window",
        "context size",
        "input token count",
        "too many input tokens",
        "exceeds the maximum number of tokens",
    ];
    let body = body.to_lowercase();
    matches!(status, 400 | 413 | 422) && SIGNS.iter().any(|sign| body.contains(sign))
}

/// The words of a refusal: those of an error object in any of the usual forms, else the text without markup.
pub(crate) fn error_message(body: &str) -> String {
    let message = serde_json::from_str::<Value>(body)
        .ok()
        .and_then(|value| message_of(error_of(&value).unwrap_or(&value)));
    message.unwrap_or_else(|| without_markup(body))
}

/// The message of an error object or text.
fn message_of(error: &Value) -> Option<String> {
    let words = [Some(error), error.get("message"), error.get("detail")];
    words.into_iter().flatten().find_map(Value::as_str).map(str::to_owned)
}

/// The HTTP status that an error object carries as its code, where it does.
fn status_of(error: &Value) -> Option<u16> {
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
