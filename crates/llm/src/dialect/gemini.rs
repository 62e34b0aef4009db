//! Gemini's `streamGenerateContent` on the wire.

use std::collections::HashMap;

use burnish_types::{ModelRequest, Role};
use serde_json::{Map, Value, json};

use super::tools::{self, Call, Called, Choice, Function};
use super::{Heard, Image, Part, Reply, Tokens, no_such, parts};

/// What is asked.
pub(super) fn body(request: &ModelRequest, begun: Option<&str>) -> Result<Value, String> {
    let mut system = Vec::new();
    let mut contents: Vec<Value> = Vec::new();
    let turn = |role: &str, parts: Vec<Value>| {
        let role = if role == "assistant" { "model" } else { "user" };
        json!({"role": role, "parts": parts})
    };
    let said = if request.verbatim.is_empty() { request.messages.len() } else { 1 };
    for message in request.messages.iter().take(said) {
        let part = json!({"text": message.content});
        match message.role {
            Role::System => system.push(part),
            Role::User => contents.push(turn("user", vec![part])),
            Role::Assistant => contents.push(turn("assistant", vec![part])),
        }
    }
    let names = tools::names(&request.verbatim);
    let mut results = false;
    for message in &request.verbatim {
        let (role, parts) = parts(message)?;
        let parts = parts.iter().map(|part| content(part, &names)).collect::<Result<Vec<_>, _>>()?;
        match role {
            "system" | "developer" => system.extend(parts),
            // What the calls of one turn have come to stands in one turn.
            "tool" if results => {
                let last = contents.last_mut().and_then(|last| last["parts"].as_array_mut());
                last.into_iter().for_each(|last| last.extend(parts.iter().cloned()));
            }
            role => contents.push(turn(role, parts)),
        }
        results = role == "tool";
    }
    if let Some(begun) = begun {
        contents.push(turn("assistant", vec![json!({"text": begun})]));
    }
    let mut settings = passed(&request.passthrough)?;
    let tools = tools_of(&request.passthrough)?;
    if let Some(most) = request.max_tokens {
        settings.insert("maxOutputTokens".to_owned(), json!(most));
    }
    if let Some(temperature) = request.temperature {
        settings.insert("temperature".to_owned(), json!(temperature));
    }
    let mut body = json!({"contents": contents, "generationConfig": settings});
    if !system.is_empty() {
        body["systemInstruction"] = json!({"parts": system});
    }
    for (name, value) in tools {
        body[name] = value;
    }
    Ok(body)
}

/// The fields that say which functions may be called, and which are to be.
fn tools_of(fields: &Map<String, Value>) -> Result<Vec<(&'static str, Value)>, String> {
    let mut told = Vec::new();
    if let Some(tools) = fields.get("tools") {
        let declaration = |function: Function<'_>| {
            let Function { name, description, parameters } = function;
            let mut declaration = json!({"name": name, "parametersJsonSchema": parameters});
            if let Some(description) = description {
                declaration["description"] = json!(description);
            }
            declaration
        };
        let declarations: Vec<Value> = tools::functions(tools)?.into_iter().map(declaration).collect();
        told.push(("tools", json!([{"functionDeclarations": declarations}])));
    }
    if let Some(choice) = fields.get("tool_choice") {
        let mode = match tools::choice(choice)? {
            Choice::Auto => json!({"mode": "AUTO"}),
            Choice::None => json!({"mode": "NONE"}),
            Choice::Any => json!({"mode": "ANY"}),
            Choice::One(name) => json!({"mode": "ANY", "allowedFunctionNames": [name]}),
        };
        told.push(("toolConfig", json!({"functionCallingConfig": mode})));
    }
    Ok(told)
}

fn content(part: &Part<'_>, names: &HashMap<&str, &str>) -> Result<Value, String> {
    match part {
        Part::Text(text) => Ok(json!({"text": text})),
        Part::Image(Image::Bytes { kind, base64 }) => {
            Ok(json!({"inlineData": {"mimeType": kind, "data": base64}}))
        }
        Part::Call(Called { name, arguments, .. }) => {
            Ok(json!({"functionCall": {"name": name, "args": arguments}}))
        }
        Part::Result { call, words } => {
            let name = names.get(call).ok_or("a result of a tool belongs to no call of the conversation")?;
            let response = match serde_json::from_str(words) {
                Ok(Value::Object(response)) => Value::Object(response),
                _ => json!({"result": words}),
            };
            Ok(json!({"functionResponse": {"name": name, "response": response}}))
        }
        Part::Image(Image::Address(_)) => Err(no_such("images by their address (instead of `data:`)")),
    }
}

/// The fields of OpenAI's that have a counterpart, under its name.
fn passed(fields: &Map<String, Value>) -> Result<Map<String, Value>, String> {
    let mut passed = Map::new();
    for (name, value) in fields {
        let (name, value) = match name.as_str() {
            "stop" if value.is_array() => ("stopSequences", value.clone()),
            "stop" => ("stopSequences", json!([value])),
            "top_p" => ("topP", value.clone()),
            "seed" => ("seed", value.clone()),
            "presence_penalty" => ("presencePenalty", value.clone()),
            "frequency_penalty" => ("frequencyPenalty", value.clone()),
            "response_format" => match value["type"].as_str() {
                Some("text") => continue,
                Some("json_object") => ("responseMimeType", json!("application/json")),
                Some("json_schema") => {
                    let schema = value["json_schema"]["schema"].clone();
                    passed.insert("responseJsonSchema".to_owned(), schema);
                    ("responseMimeType", json!("application/json"))
                }
                _ => return Err(no_such("this `response_format`")),
            },
            // What changes nothing in the answer.
            "user" | "store" | "metadata" | "max_tokens" | "max_completion_tokens" => continue,
            // They stand beside the settings. Several calls at once cannot be forbidden here.
            "tools" | "tool_choice" => continue,
            "parallel_tool_calls" if value == &json!(true) => continue,
            other => return Err(no_such(&format!("`{other}`"))),
        };
        passed.insert(name.to_owned(), value);
    }
    Ok(passed)
}

/// What one event, or one whole document, says.
pub(super) fn read(text: &str) -> Result<Reply, serde_json::Error> {
    let value: Value = serde_json::from_str(text)?;
    // An error may stand alone in a list.
    let value = value.as_array().and_then(|values| values.first()).unwrap_or(&value);
    if let Some(error) = value.get("error").filter(|error| !error.is_null()) {
        let status = error["code"].as_u64().and_then(|code| u16::try_from(code).ok());
        let words = error["message"].as_str().map_or_else(|| error.to_string(), str::to_owned);
        return Ok(Reply::Error { status, words });
    }
    if let Some(reason) = value["promptFeedback"]["blockReason"].as_str() {
        let words = format!("the prompt was blocked: {reason}");
        return Ok(Reply::Error { status: Some(400), words });
    }
    let candidate = &value["candidates"][0];
    let parts = candidate["content"]["parts"].as_array().map_or(&[][..], Vec::as_slice);
    let thought = |part: &&Value| part["thought"] == true;
    let words = parts.iter().filter(|part| !thought(part)).filter_map(|part| part["text"].as_str());
    let usage = &value["usageMetadata"];
    let count = |name: &str| usage[name].as_u64();
    let thoughts = count("thoughtsTokenCount").unwrap_or_default();
    Ok(Reply::Heard(Heard {
        text: words.collect(),
        extra: Map::new(),
        calls: parts.iter().filter_map(called).collect(),
        thinks: parts.iter().any(|part| thought(&part)),
        finish_reason: candidate["finishReason"].as_str().map(reason),
        usage: Tokens {
            input: count("promptTokenCount"),
            cached: count("cachedContentTokenCount"),
            output: count("candidatesTokenCount").map(|written| written + thoughts),
        },
        last: false,
        answers: candidate.is_object() || usage.is_object(),
    }))
}

/// The call that a part is, which always comes whole.
fn called(part: &Value) -> Option<Call> {
    let call = part.get("functionCall")?;
    let arguments = match &call["args"] {
        Value::Null => "{}".to_owned(),
        arguments => arguments.to_string(),
    };
    let text = |name: &str| call[name].as_str().map(str::to_owned);
    Some(Call { id: text("id"), name: text("name"), arguments, ..Call::default() })
}

fn reason(reason: &str) -> String {
    match reason {
        "STOP" => "stop",
        "MAX_TOKENS" => "length",
        "SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" => "content_filter",
        other => other,
    }
    .to_owned()
}
