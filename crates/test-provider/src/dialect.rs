//! An answer on the wire, in the shape of the API that it was asked by.

use serde_json::{Value, json};

use crate::answers::{Asked, Said};

/// A function whose name ends so has all its arguments where its block starts, as some servers of Anthropic's API do.
const AT_ONCE: &str = "_at_once";

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
            Self::Anthropic => {
                let (block, reason) = match tool {
                    Some(name) => (anthropic_call(name, json!({"of": "it"})), "tool_use"),
                    None => (json!({"type": "text", "text": text}), anthropic_reason(said)),
                };
                json!({
                    "id": "msg_test", "type": "message", "role": "assistant", "model": model,
                    "content": [block], "stop_reason": reason,
                    "usage": {"input_tokens": said.prompt_tokens, "output_tokens": said.tokens.len()},
                })
            }
            Self::Gemini => {
                let part = tool.map_or_else(|| json!({"text": text}), gemini_call);
                json!({
                    "candidates": [gemini_candidate(part, Some(gemini_reason(said)))],
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
                let at_once = tool.is_some_and(|name| name.ends_with(AT_ONCE));
                let block = match tool {
                    Some(name) if at_once => anthropic_call(name, json!({"of": "it"})),
                    Some(name) => anthropic_call(name, json!({})),
                    None => json!({"type": "text", "text": ""}),
                };
                let first = vec![
                    named(json!({"type": "message_start", "message": message})),
                    named(json!({"type": "content_block_start", "index": 0, "content_block": block})),
                    named(json!({"type": "ping"})),
                ];
                let piece = |token: &String| {
                    let delta = json!({"type": "text_delta", "text": token});
                    named(json!({"type": "content_block_delta", "index": 0, "delta": delta}))
                };
                let argument = |part: &&str| {
                    let delta = json!({"type": "input_json_delta", "partial_json": part});
                    named(json!({"type": "content_block_delta", "index": 0, "delta": delta}))
                };
                let (pieces, reason) = match tool {
                    Some(_) if at_once => (vec![argument(&"")], "tool_use"),
                    Some(_) => (["{\"of\": ", "\"it\"}"].iter().map(argument).collect(), "tool_use"),
                    None => (said.tokens.iter().map(piece).collect(), anthropic_reason(said)),
                };
                let last = vec![
                    named(json!({"type": "content_block_stop", "index": 0})),
                    named(json!({
                        "type": "message_delta", "delta": {"stop_reason": reason},
                        "usage": {"output_tokens": said.tokens.len()},
                    })),
                    named(json!({"type": "message_stop"})),
                ];
                [first, pieces, last]
            }
            Self::Gemini => {
                let piece = |part: Value| event(&json!({"candidates": [gemini_candidate(part, None)]}));
                let last = json!({
                    "candidates": [gemini_candidate(json!({"text": ""}), Some(gemini_reason(said)))],
                    "usageMetadata": gemini_usage(said),
                });
                let pieces = match tool {
                    Some(name) => vec![piece(gemini_call(name))],
                    None => said.tokens.iter().map(|token| piece(json!({"text": token}))).collect(),
                };
                [Vec::new(), pieces, vec![event(&last)]]
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
    let arguments = "{\"of\": \"it\"}";
    json!({"id": "call_test", "type": "function", "function": {"name": name, "arguments": arguments}})
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

fn anthropic_call(name: &str, input: Value) -> Value {
    json!({"type": "tool_use", "id": "call_test", "name": name, "input": input})
}

fn gemini_call(name: &str) -> Value {
    json!({"functionCall": {"name": name, "args": {"of": "it"}}})
}

fn gemini_candidate(part: Value, reason: Option<&str>) -> Value {
    let content = json!({"role": "model", "parts": [part]});
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
