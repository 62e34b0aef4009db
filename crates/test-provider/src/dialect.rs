//! An answer on the wire, in the shape of the API that it was asked by.

use serde_json::{Value, json};

use crate::answers::{Asked, Said};

/// Whose API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    OpenAi,
    Anthropic,
    Gemini,
}

impl Dialect {
    /// The API whose path for answers `path` is.
    pub(crate) fn of(path: &str) -> Option<Self> {
        let ends = [
            ("/chat/completions", Self::OpenAi),
            ("/messages", Self::Anthropic),
            (":generateContent", Self::Gemini),
            (":streamGenerateContent", Self::Gemini),
        ];
        ends.into_iter().find_map(|(end, dialect)| path.ends_with(end).then_some(dialect))
    }

    pub(crate) fn read(self, request: &Value) -> Asked {
        match self {
            Self::OpenAi => Asked::from_openai(request),
            Self::Anthropic => Asked::from_anthropic(request),
            Self::Gemini => Asked::from_gemini(request),
        }
    }

    pub(crate) fn streams(self, path: &str, request: &Value) -> bool {
        match self {
            Self::Gemini => path.ends_with(":streamGenerateContent"),
            Self::OpenAi | Self::Anthropic => request["stream"] == true,
        }
    }

    /// The answer as one document.
    pub(crate) fn whole(self, request: &Value, said: &Said, tool: Option<&str>) -> Value {
        let (text, model) = (said.text(), &request["model"]);
        match self {
            Self::OpenAi => {
                let (message, reason) = match tool {
                    Some(name) => (
                        json!({"role": "assistant", "content": null, "tool_calls": [call(name)]}),
                        "tool_calls",
                    ),
                    None => (json!({"role": "assistant", "content": text}), said.finish_reason),
                };
                json!({
                    "id": "chatcmpl-test", "object": "chat.completion", "created": 0, "model": model,
                    "choices": [{"index": 0, "message": message, "finish_reason": reason}],
                    "usage": openai_usage(said),
                })
            }
            Self::Anthropic => json!({
                "id": "msg_test", "type": "message", "role": "assistant", "model": model,
                "content": [{"type": "text", "text": text}], "stop_reason": anthropic_reason(said),
                "usage": {"input_tokens": said.prompt_tokens, "output_tokens": said.tokens.len()},
            }),
            Self::Gemini => {
                json!({
                    "candidates": [gemini_candidate(&text, Some(gemini_reason(said)))],
                    "usageMetadata": gemini_usage(said),
                })
            }
        }
    }

    /// The events of a stream: those before the first token, one a token, those after the last.
    pub(crate) fn events(self, request: &Value, said: &Said, tool: Option<&str>) -> [Vec<String>; 3] {
        match self {
            Self::OpenAi => openai_events(request, said, tool),
            Self::Anthropic => {
                let message = json!({
                    "id": "msg_test", "type": "message", "role": "assistant", "content": [], "model": request["model"],
                    "stop_reason": null, "usage": {"input_tokens": said.prompt_tokens, "output_tokens": 1},
                });
                let block = json!({"type": "text", "text": ""});
                let first = vec![
                    named(json!({"type": "message_start", "message": message})),
                    named(json!({"type": "content_block_start", "index": 0, "content_block": block})),
                    named(json!({"type": "ping"})),
                ];
                let piece = |token: &String| {
                    let delta = json!({"type": "text_delta", "text": token});
                    named(json!({"type": "content_block_delta", "index": 0, "delta": delta}))
                };
                let last = vec![
                    named(json!({"type": "content_block_stop", "index": 0})),
                    named(json!({
                        "type": "message_delta", "delta": {"stop_reason": anthropic_reason(said)},
                        "usage": {"output_tokens": said.tokens.len()},
                    })),
                    named(json!({"type": "message_stop"})),
                ];
                [first, said.tokens.iter().map(piece).collect(), last]
            }
            Self::Gemini => {
                let piece = |token: &String| event(&json!({"candidates": [gemini_candidate(token, None)]}));
                let last = json!({
                    "candidates": [gemini_candidate("", Some(gemini_reason(said)))],
                    "usageMetadata": gemini_usage(said),
                });
                [Vec::new(), said.tokens.iter().map(piece).collect(), vec![event(&last)]]
            }
        }
    }

    /// A refusal.
    pub(crate) fn refusal(self, status: u16, message: &str, code: &str) -> Value {
        match self {
            Self::OpenAi => json!({"error": {"message": message, "type": code, "code": code}}),
            Self::Anthropic => {
                json!({"type": "error", "error": {"type": code, "message": message}})
            }
            Self::Gemini => json!({"error": {"code": status, "message": message, "status": code}}),
        }
    }
}

fn openai_events(request: &Value, said: &Said, tool: Option<&str>) -> [Vec<String>; 3] {
    let chunk = |choices: Value| {
        json!({
            "id": "chatcmpl-test", "object": "chat.completion.chunk", "created": 0, "model": request["model"],
            "choices": choices,
        })
    };
    let choice = |delta: Value, reason: Value| {
        event(&chunk(json!([{"index": 0, "delta": delta, "finish_reason": reason}])))
    };
    let first = vec![choice(json!({"role": "assistant", "content": ""}), Value::Null)];
    let (pieces, reason) = match tool {
        Some(name) => {
            let mut call = call(name);
            call["index"] = json!(0);
            (vec![choice(json!({"tool_calls": [call]}), Value::Null)], "tool_calls")
        }
        None => {
            let piece = |token: &String| choice(json!({"content": token}), Value::Null);
            (said.tokens.iter().map(piece).collect(), said.finish_reason)
        }
    };
    let mut last = vec![choice(json!({}), json!(reason))];
    if request["stream_options"]["include_usage"] == true {
        let mut usage = chunk(json!([]));
        usage["usage"] = openai_usage(said);
        last.push(event(&usage));
    }
    last.push("data: [DONE]\n\n".to_owned());
    [first, pieces, last]
}

fn call(name: &str) -> Value {
    json!({"id": "call_test", "type": "function", "function": {"name": name, "arguments": "{}"}})
}

fn openai_usage(said: &Said) -> Value {
    let (read, written) = (said.prompt_tokens, said.tokens.len() as u64);
    json!({"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written})
}

fn anthropic_reason(said: &Said) -> &'static str {
    if said.finish_reason == "length" { "max_tokens" } else { "end_turn" }
}

fn gemini_reason(said: &Said) -> &'static str {
    if said.finish_reason == "length" { "MAX_TOKENS" } else { "STOP" }
}

fn gemini_candidate(text: &str, reason: Option<&str>) -> Value {
    let content = json!({"role": "model", "parts": [{"text": text}]});
    match reason {
        Some(reason) => json!({"index": 0, "content": content, "finishReason": reason}),
        None => json!({"index": 0, "content": content}),
    }
}

fn gemini_usage(said: &Said) -> Value {
    let (read, written) = (said.prompt_tokens, said.tokens.len() as u64);
    json!({"promptTokenCount": read, "candidatesTokenCount": written, "totalTokenCount": read + written})
}

fn event(data: &Value) -> String {
    format!("data: {data}\n\n")
}

/// An event that goes by its type's name.
fn named(data: Value) -> String {
    format!("event: {}\n{}", data["type"].as_str().unwrap_or_default(), event(&data))
}
