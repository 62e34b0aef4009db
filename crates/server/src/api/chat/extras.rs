//! Puts what a model streams beside text together, as OpenAI's deltas are meant to be: texts are appended, and the items
//! of a list go by their `index`.

use serde_json::{Map, Value};

/// Adds `more` to `whole`.
pub(super) fn merge(whole: &mut Map<String, Value>, more: Map<String, Value>) {
    for (name, value) in more {
        match (whole.get_mut(&name), value) {
            (Some(Value::String(before)), Value::String(text)) if is_grown(&name) => before.push_str(&text),
            (Some(Value::Object(before)), Value::Object(fields)) => merge(before, fields),
            (Some(Value::Array(before)), Value::Array(items)) => add(before, items),
            (Some(_), Value::Null) => {}
            (_, Value::Array(items)) => {
                let mut list = Vec::new();
                add(&mut list, items);
                whole.insert(name, Value::Array(list));
            }
            (_, value) => {
                whole.insert(name, value);
            }
        }
    }
}

/// Names and ids come whole, some providers repeat them; everything else grows.
fn is_grown(name: &str) -> bool {
    !["id", "type", "name", "role"].contains(&name)
}

fn add(list: &mut Vec<Value>, items: Vec<Value>) {
    for item in items {
        let Value::Object(mut fields) = item else {
            list.push(item);
            continue;
        };
        let index = fields.remove("index").and_then(|index| usize::try_from(index.as_u64()?).ok());
        match index.and_then(|index| list.get_mut(index)) {
            Some(Value::Object(before)) => merge(before, fields),
            _ => list.push(Value::Object(fields)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn streamed_calls_become_whole_ones() {
        let call = |index: usize, arguments: &str| json!({"tool_calls": [{"index": index, "function": {"arguments": arguments}}]});
        let mut first = call(0, "");
        first["tool_calls"][0]["id"] = json!("a");
        first["tool_calls"][0]["function"]["name"] = json!("find");
        let mut second = call(1, "{}");
        second["tool_calls"][0]["id"] = json!("b");
        let mut whole = Map::new();
        for more in [first, call(0, "{\"q\""), call(0, ": 1}"), second] {
            let Value::Object(more) = more else { panic!("not an object") };
            merge(&mut whole, more);
        }
        let expected = json!({"tool_calls": [
            {"id": "a", "function": {"name": "find", "arguments": "{\"q\": 1}"}},
            {"id": "b", "function": {"arguments": "{}"}},
        ]});
        assert_eq!(Value::Object(whole), expected);
    }
}
