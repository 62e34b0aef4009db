//! Anthropic's Messages on the wire.

use burnish_types::{ModelRequest, Role};
use serde_json::{Map, Value, json};

use super::tools::{self, Call, Called, Choice, Function};
use super::{Heard, Image, Part, Reply, Tokens, no_such, parts};

/// The API wants a limit; this is one where the caller has none.
const MAX_TOKENS: u32 = 4_096;

/// What is asked.
pub(super) fn body(model: &str, request: &ModelRequest, begun: Option<&str>) -> Result<Value, String> {
    let mut system = Vec::new();
    let mut turns: Vec<(&str, Vec<Value>)> = Vec::new();
    let mut add = |role: &str, content: Vec<Value>| {
        let role = if role == "assistant" { "assistant" } else { "user" };
        match turns.last_mut() {
            // Turns alternate.
            Some((last, before)) if *last == role => before.extend(content),
            _ => turns.push((role, content)),
        }
    };
    let said = if request.verbatim.is_empty() { request.messages.as_slice() } else { first(request) };
    for message in said {
        match message.role {
            Role::System => system.push(message.content.clone()),
            Role::User => add("user", vec![text(&message.content)]),
            Role::Assistant => add("assistant", vec![text(&message.content)]),
        }
    }
    for message in &request.verbatim {
        let (role, parts) = parts(message)?;
        match role {
            "system" | "developer" => system.extend(parts.iter().filter_map(|part| match part {
                Part::Text(text) => Some((*text).to_owned()),
                _ => None,
            })),
            role => add(role, parts.iter().map(content).collect()),
        }
    }
    if let Some(begun) = begun {
        // White space at its end is refused.
        add("assistant", vec![text(begun.trim_end())]);
    }
    let mut messages: Vec<Value> =
        turns.into_iter().map(|(role, content)| json!({"role": role, "content": content})).collect();
    if messages.first().is_none_or(|message| message["role"] != "user") {
        messages.insert(0, json!({"role": "user", "content": [text("(The conversation so far.)")]}));
    }
    let mut body = passed(&request.passthrough)?;
    body.insert("model".to_owned(), json!(model));
    body.insert("messages".to_owned(), Value::Array(messages));
    body.insert("stream".to_owned(), json!(true));
    body.insert("max_tokens".to_owned(), json!(request.max_tokens.unwrap_or(MAX_TOKENS)));
    if !system.is_empty() {
        body.insert("system".to_owned(), json!(system.join("\n\n")));
    }
    if let Some(temperature) = request.temperature {
        // The scale ends at 1 here.
        body.insert("temperature".to_owned(), json!(temperature.min(1.0)));
    }
    Ok(Value::Object(body))
}

fn first(request: &ModelRequest) -> &[burnish_types::Message] {
    &request.messages[..request.messages.len().min(1)]
}

fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

fn content(part: &Part<'_>) -> Value {
    match part {
        Part::Text(words) => text(words),
        Part::Image(Image::Address(url)) => {
            json!({"type": "image", "source": {"type": "url", "url": url}})
        }
        Part::Image(Image::Bytes { kind, base64 }) => {
            json!({"type": "image", "source": {"type": "base64", "media_type": kind, "data": base64}})
        }
        Part::Call(Called { id, name, arguments }) => {
            json!({"type": "tool_use", "id": id, "name": name, "input": arguments})
        }
        Part::Result { call, words } => json!({"type": "tool_result", "tool_use_id": call, "content": words}),
    }
}

/// The fields of OpenAI's that have a counterpart, under its name.
fn passed(fields: &Map<String, Value>) -> Result<Map<String, Value>, String> {
    let mut passed = Map::new();
    for (name, value) in fields {
        match name.as_str() {
            "stop" => {
                let stops = if value.is_array() { value.clone() } else { json!([value]) };
                passed.insert("stop_sequences".to_owned(), stops);
            }
            "top_p" => {
                passed.insert("top_p".to_owned(), value.clone());
            }
            "user" => {
                passed.insert("metadata".to_owned(), json!({"user_id": value}));
            }
            "tools" => {
                let tool = |function: Function<'_>| {
                    let Function { name, description, parameters } = function;
                    let mut tool = json!({"name": name, "input_schema": parameters});
                    if let Some(description) = description {
                        tool["description"] = json!(description);
                    }
                    tool
                };
                let tools: Vec<Value> = tools::functions(value)?.into_iter().map(tool).collect();
                passed.insert("tools".to_owned(), json!(tools));
            }
            "tool_choice" => {
                let choice = match tools::choice(value)? {
                    Choice::Auto => json!({"type": "auto"}),
                    Choice::None => json!({"type": "none"}),
                    Choice::Any => json!({"type": "any"}),
                    Choice::One(name) => json!({"type": "tool", "name": name}),
                };
                passed.insert(name.clone(), choice);
            }
            // Part of the choice here, and looked at below.
            "parallel_tool_calls" => {}
            // What changes nothing in the answer.
            "seed" | "store" | "metadata" | "max_tokens" | "max_completion_tokens" => {}
            other => return Err(no_such(&format!("`{other}`"))),
        }
    }
    if fields.get("parallel_tool_calls") == Some(&json!(false)) && passed.contains_key("tools") {
        let choice = passed.entry("tool_choice").or_insert_with(|| json!({"type": "auto"}));
        if choice["type"] != "none" {
            choice["disable_parallel_tool_use"] = json!(true);
        }
    }
    Ok(passed)
}

/// What one event says.
pub(super) fn read(event: &str) -> Result<Reply, serde_json::Error> {
    let value: Value = serde_json::from_str(event)?;
    let mut heard = Heard { answers: true, ..Heard::default() };
    match value["type"].as_str() {
        Some("message_start") => heard.usage = tokens(&value["message"]["usage"], false),
        Some("content_block_start") => {
            let block = &value["content_block"];
            heard.text = string(&block["text"]);
            let call = called(block, value["index"].as_u64(), String::new());
            heard.calls.extend(call.map(|call| Call { otherwise: Some(block["input"].to_string()), ..call }));
        }
        Some("content_block_delta") => {
            let delta = &value["delta"];
            heard.text = string(&delta["text"]);
            heard.thinks = delta["type"] == "thinking_delta";
            if delta["type"] == "input_json_delta" {
                let (block, arguments) = (value["index"].as_u64(), string(&delta["partial_json"]));
                heard.calls.push(Call { block, arguments, ..Call::default() });
            }
        }
        Some("message_delta") => {
            heard.usage = tokens(&value["usage"], true);
            heard.finish_reason = value["delta"]["stop_reason"].as_str().map(reason);
        }
        Some("message_stop") => heard.last = true,
        Some("message") => {
            let blocks = value["content"].as_array().map_or(&[][..], Vec::as_slice);
            heard.text = blocks.iter().map(|block| string(&block["text"])).collect();
            heard.calls =
                blocks.iter().filter_map(|block| called(block, None, block["input"].to_string())).collect();
            heard.usage = tokens(&value["usage"], true);
            heard.finish_reason = value["stop_reason"].as_str().map(reason);
        }
        Some("error") => {
            let error = &value["error"];
            let status = match error["type"].as_str() {
                Some("overloaded_error") => Some(529),
                Some("rate_limit_error") => Some(429),
                Some("api_error") => Some(500),
                Some("timeout_error") => Some(504),
                Some("invalid_request_error") => Some(400),
                _ => None,
            };
            let words = error["message"].as_str().map_or_else(|| error.to_string(), str::to_owned);
            return Ok(Reply::Error { status, words });
        }
        // Kinds of events that are added later are to be let pass.
        Some(_) => {}
        None => heard.answers = false,
    }
    Ok(Reply::Heard(heard))
}

/// The call that a block begins or is.
fn called(block: &Value, number: Option<u64>, arguments: String) -> Option<Call> {
    let text = |name: &str| block[name].as_str().map(str::to_owned);
    let call = Call { block: number, id: text("id"), name: text("name"), arguments, otherwise: None };
    (block["type"] == "tool_use").then_some(call)
}

fn tokens(usage: &Value, written: bool) -> Tokens {
    let count = |name: &str| usage[name].as_u64();
    // What was read from or written to the cache is not among the input's tokens.
    let cached = count("cache_read_input_tokens");
    let input = count("input_tokens").map(|input| {
        input + cached.unwrap_or_default() + count("cache_creation_input_tokens").unwrap_or_default()
    });
    // The first event counts one token before any is written.
    Tokens { input, cached, output: count("output_tokens").filter(|_| written) }
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn reason(reason: &str) -> String {
    match reason {
        "end_turn" | "stop_sequence" => "stop",
        "max_tokens" | "model_context_window_exceeded" => "length",
        "refusal" => "content_filter",
        "tool_use" => "tool_calls",
        other => other,
    }
    .to_owned()
}
