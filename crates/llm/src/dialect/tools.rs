//! Tools in OpenAI's words, for providers that have them in others.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::no_such;

/// A function that may be called.
pub(super) struct Function<'a> {
    pub(super) name: &'a str,
    pub(super) description: Option<&'a str>,
    /// A JSON schema.
    pub(super) parameters: Value,
}

/// Which functions are to be called.
pub(super) enum Choice<'a> {
    /// As the model likes.
    Auto,
    None,
    /// At least one.
    Any,
    /// This one.
    One(&'a str),
}

/// A call in a message of the assistant's.
pub(super) struct Called<'a> {
    pub(super) id: &'a str,
    pub(super) name: &'a str,
    /// An object.
    pub(super) arguments: Value,
}

/// A piece of a call that a model makes.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Call {
    /// Pieces of one call have the same number; one that has none is whole.
    pub(crate) block: Option<u64>,
    pub(crate) id: Option<String>,
    pub(crate) name: Option<String>,
    /// More of the arguments' JSON.
    pub(crate) arguments: String,
    /// What they are if no more of them comes.
    pub(crate) otherwise: Option<String>,
}

/// The functions in `tools`.
pub(super) fn functions(tools: &Value) -> Result<Vec<Function<'_>>, String> {
    let tools = tools.as_array().map_or(&[][..], Vec::as_slice);
    tools
        .iter()
        .map(|tool| {
            let function = &tool["function"];
            let name = function["name"].as_str().filter(|_| tool["type"] == "function");
            let name = name.ok_or_else(|| no_such("tools that are no functions"))?;
            let parameters = match &function["parameters"] {
                Value::Object(schema) if !schema.is_empty() => Value::Object(schema.clone()),
                _ => json!({"type": "object", "properties": {}}),
            };
            Ok(Function { name, description: function["description"].as_str(), parameters })
        })
        .collect()
}

/// What `tool_choice` says.
pub(super) fn choice(choice: &Value) -> Result<Choice<'_>, String> {
    match (choice.as_str(), choice["function"]["name"].as_str()) {
        (Some("auto"), _) => Ok(Choice::Auto),
        (Some("none"), _) => Ok(Choice::None),
        (Some("required"), _) => Ok(Choice::Any),
        (None, Some(name)) => Ok(Choice::One(name)),
        _ => Err(no_such("this `tool_choice`")),
    }
}

/// The calls that a message of the assistant's made.
pub(super) fn calls(message: &Value) -> Result<Vec<Called<'_>>, String> {
    let calls = message["tool_calls"].as_array().map_or(&[][..], Vec::as_slice);
    calls
        .iter()
        .map(|call| {
            let function = &call["function"];
            let words = function["arguments"].as_str().map(str::trim).filter(|words| !words.is_empty());
            let arguments = match words {
                Some(words) => serde_json::from_str(words)
                    .map_err(|error| format!("the arguments of a call of a tool are no JSON: {error}"))?,
                None => Value::Object(Map::new()),
            };
            match (call["id"].as_str(), function["name"].as_str()) {
                (Some(id), Some(name)) => Ok(Called { id, name, arguments }),
                _ => Err(no_such("calls of tools that are no functions")),
            }
        })
        .collect()
}

/// The names of the functions that calls were made of, by the calls' ids.
pub(super) fn names(messages: &[Value]) -> HashMap<&str, &str> {
    let calls = messages.iter().filter_map(|message| message["tool_calls"].as_array()).flatten();
    calls.filter_map(|call| Some((call["id"].as_str()?, call["function"]["name"].as_str()?))).collect()
}
