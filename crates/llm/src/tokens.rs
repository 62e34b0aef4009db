//! Tokens before anything is sent: a bound that no tokenizer exceeds, and an estimate. Which tokenizer a provider uses
//! is not known here; what it counts settles both.

use burnish_types::ModelRequest;
use serde_json::Value;

/// Bytes of a token, on average over English prose and the common tokenizers.
const BYTES_A_TOKEN: usize = 4;
/// Tokens that frame a message.
const FRAME: u64 = 8;
/// The most tokens that an image counts for.
const IMAGE: u64 = 4_096;

/// About as many tokens as `text` has, for figures alone: nothing is bounded by it.
pub(crate) fn estimate(text: &str) -> u64 {
    text.len().div_ceil(BYTES_A_TOKEN) as u64
}

/// About as many tokens as a prompt has.
pub(crate) fn estimate_request(request: &ModelRequest) -> u64 {
    let texts: u64 = texts(request).map(|text| estimate(&text) + FRAME / 2).sum();
    texts + images(&request.verbatim) * IMAGE / 4
}

/// More tokens than a prompt can have that ends with what was `begun`: the tokenizers that are in use make at most one
/// token of a byte.
pub(crate) fn most(request: &ModelRequest, begun: &str) -> u64 {
    let texts: u64 = texts(request).map(|text| text.len() as u64 + FRAME).sum();
    texts + begun.len() as u64 + FRAME + images(&request.verbatim) * IMAGE
}

/// Bytes of a request, as text.
pub(crate) fn bytes(request: &ModelRequest) -> usize {
    texts(request).map(|text| text.len()).sum()
}

fn texts(request: &ModelRequest) -> impl Iterator<Item = std::borrow::Cow<'_, str>> {
    let said = if request.verbatim.is_empty() { request.messages.len() } else { 1 };
    let said = request.messages.iter().take(said).map(|message| message.content.as_str().into());
    let verbatim = request.verbatim.iter().map(|message| message.to_string().into());
    let passed = request.passthrough.values().map(|value| value.to_string().into());
    said.chain(verbatim).chain(passed)
}

fn images(messages: &[Value]) -> u64 {
    let parts = messages.iter().filter_map(|message| message["content"].as_array()).flatten();
    parts.filter(|part| part["type"] != "text").count() as u64
}

#[cfg(test)]
mod tests {
    use burnish_types::{Message, Role};
    use serde_json::json;

    use super::*;

    #[test]
    fn the_bound_is_above_the_estimate() {
        let message = |content: &str| Message { role: Role::User, content: content.to_owned() };
        let image =
            json!({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a"}}]});
        let requests = [
            ModelRequest::default(),
            ModelRequest { messages: vec![message("How long are answers kept?")], ..ModelRequest::default() },
            ModelRequest { messages: vec![message("日本語"), message("")], ..ModelRequest::default() },
            ModelRequest { verbatim: vec![image], ..ModelRequest::default() },
        ];
        for request in requests {
            assert!(estimate_request(&request) + estimate("begun") <= most(&request, "begun"), "{request:?}");
        }
        assert_eq!((estimate(""), estimate("abcd"), estimate("abcde")), (0, 1, 2));
    }
}
