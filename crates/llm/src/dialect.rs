//! What differs between the APIs of providers: addresses, headers, how a question is put and what an answer says.

mod anthropic;
mod gemini;
mod openai;
mod tools;

use burnish_types::{ModelRequest, Usage};
use reqwest::Url;
use serde_json::{Map, Value};

pub(crate) use openai::{error_message, is_too_long};
pub(crate) use tools::Call;

/// Whose API an endpoint speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// OpenAI's chat completions, as most servers and gateways speak them.
    #[default]
    OpenAi,
    /// The same as Azure has it: the key in a header of its own, and a version in the address.
    Azure,
    /// Anthropic's Messages.
    Anthropic,
    /// Gemini's `streamGenerateContent`.
    Gemini,
}

impl Kind {
    /// The names that settings use.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("openai", Self::OpenAi),
        ("azure", Self::Azure),
        ("anthropic", Self::Anthropic),
        ("gemini", Self::Gemini),
    ];

    /// Where answers are asked for, below `base`.
    pub(crate) fn address(self, mut base: Url, model: &str, api_version: Option<&str>) -> Option<Url> {
        {
            let mut segments = base.path_segments_mut().ok()?;
            segments.pop_if_empty();
            match self {
                Self::OpenAi | Self::Azure => segments.extend(["chat", "completions"]),
                Self::Anthropic => segments.push("messages"),
                Self::Gemini => segments.extend(["models", &format!("{model}:streamGenerateContent")]),
            };
        }
        match self {
            Self::Azure => {
                if let Some(version) = api_version {
                    base.query_pairs_mut().append_pair("api-version", version);
                }
            }
            Self::Gemini => {
                base.query_pairs_mut().append_pair("alt", "sse");
            }
            Self::OpenAi | Self::Anthropic => {}
        }
        Some(base)
    }

    /// The header that carries the key, and the key's form in it.
    pub(crate) fn key(self, key: &str) -> (&'static str, String) {
        match self {
            Self::OpenAi => ("authorization", format!("Bearer {key}")),
            Self::Azure => ("api-key", key.to_owned()),
            Self::Anthropic => ("x-api-key", key.to_owned()),
            Self::Gemini => ("x-goog-api-key", key.to_owned()),
        }
    }

    /// Other headers that every request has.
    pub(crate) fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Anthropic => &[("anthropic-version", "2023-06-01")],
            Self::OpenAi | Self::Azure | Self::Gemini => &[],
        }
    }

    /// The body of a request; `begun` is what the answer has to go on from.
    ///
    /// # Errors
    /// What can't be had from such a provider.
    pub(crate) fn body(
        self,
        model: &str,
        request: &ModelRequest,
        begun: Option<(&str, GoingOn)>,
    ) -> Result<Value, String> {
        match self {
            Self::OpenAi | Self::Azure => Ok(openai::body(model, request, begun)),
            Self::Anthropic => anthropic::body(model, request, begun.map(|(text, _)| text)),
            Self::Gemini => gemini::body(request, begun.map(|(text, _)| text)),
        }
    }

    /// What one event, or one whole document, says.
    pub(crate) fn read(self, text: &str) -> Result<Reply, serde_json::Error> {
        match self {
            Self::OpenAi | Self::Azure => openai::read(text),
            Self::Anthropic => anthropic::read(text),
            Self::Gemini => gemini::read(text),
        }
    }
}

/// How an endpoint is told to go on from text that it is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GoingOn {
    /// It can't be told.
    #[default]
    No,
    /// The text is the last message, of the assistant (OpenRouter, Anthropic's older models).
    LastMessage,
    /// The same with `prefix: true` (Mistral, DeepSeek).
    Prefix,
    /// The same with `continue_final_message` and without a new turn (vLLM, SGLang).
    FinalMessage,
}

impl GoingOn {
    /// The names that settings use.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("no", Self::No),
        ("last_message", Self::LastMessage),
        ("prefix", Self::Prefix),
        ("final_message", Self::FinalMessage),
    ];
}

/// What a provider sends as one JSON value.
#[derive(Debug)]
pub(crate) enum Reply {
    /// A piece of an answer, or a whole one.
    Heard(Heard),
    /// An error in place of words, with its status, where it has one.
    Error { status: Option<u16>, words: String },
}

/// A piece of an answer.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Heard {
    pub(crate) text: String,
    /// What is said beside text.
    pub(crate) extra: Map<String, Value>,
    /// Calls of functions, where the provider has them otherwise than OpenAI.
    pub(crate) calls: Vec<Call>,
    /// Whether the model thinks aloud in it, which is no part of the answer, but a sign of life.
    pub(crate) thinks: bool,
    /// Why the answer ends, in OpenAI's words.
    pub(crate) finish_reason: Option<String>,
    pub(crate) usage: Tokens,
    /// Whether nothing comes after it.
    pub(crate) last: bool,
    /// Whether it can be a part of an answer at all.
    pub(crate) answers: bool,
}

/// Tokens as a provider counts them, some at the beginning and some at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tokens {
    pub(crate) input: Option<u64>,
    pub(crate) cached: Option<u64>,
    pub(crate) output: Option<u64>,
}

impl Tokens {
    /// Takes over what `later` knows.
    pub(crate) fn update(&mut self, later: Self) {
        self.input = later.input.or(self.input);
        self.cached = later.cached.or(self.cached);
        self.output = later.output.or(self.output);
    }

    /// The usage, once both sides are known.
    pub(crate) fn usage(self) -> Option<Usage> {
        Some(Usage {
            input_tokens: self.input?,
            cached_input_tokens: self.cached.unwrap_or_default(),
            output_tokens: self.output?,
        })
    }
}

/// An image of a message's part of the type `image_url`: its address, or its type and bytes in base64.
enum Image<'a> {
    Address(&'a str),
    Bytes { kind: &'a str, base64: &'a str },
}

/// A part of a message of OpenAI's.
enum Part<'a> {
    Text(&'a str),
    Image(Image<'a>),
    /// A call of a function, by the assistant.
    Call(tools::Called<'a>),
    /// What a call has come to.
    Result {
        call: &'a str,
        words: String,
    },
}

/// The role and the parts of a message as OpenAI's API has it, for providers that have it otherwise.
fn parts(message: &Value) -> Result<(&str, Vec<Part<'_>>), String> {
    let role = message["role"].as_str().unwrap_or_default();
    let mut parts = match &message["content"] {
        Value::String(text) => vec![Part::Text(text)],
        Value::Array(parts) => parts.iter().map(part).collect::<Result<_, _>>()?,
        _ => Vec::new(),
    };
    match role {
        "system" | "developer" | "user" => {}
        "assistant" => {
            // An empty text beside calls is refused.
            parts.retain(|part| !matches!(part, Part::Text("")));
            parts.extend(tools::calls(message)?.into_iter().map(Part::Call));
        }
        "tool" => {
            let call = message["tool_call_id"].as_str().unwrap_or_default();
            let text = |part: &Part<'_>| match part {
                Part::Text(text) => Some((*text).to_owned()),
                _ => None,
            };
            let words = parts.iter().filter_map(text).collect();
            parts = vec![Part::Result { call, words }];
        }
        other => return Err(no_such(&format!("messages of the role `{other}`"))),
    }
    Ok((role, parts))
}

fn part(part: &Value) -> Result<Part<'_>, String> {
    match part["type"].as_str() {
        Some("text") => Ok(Part::Text(part["text"].as_str().unwrap_or_default())),
        Some("image_url") => {
            let url = part["image_url"]["url"].as_str().or(part["image_url"].as_str()).unwrap_or_default();
            let bytes = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
            Ok(Part::Image(match bytes {
                Some((kind, base64)) => Image::Bytes { kind, base64 },
                None => Image::Address(url),
            }))
        }
        other => Err(no_such(&format!("parts of the type `{}`", other.unwrap_or("none")))),
    }
}

/// A refusal of what only OpenAI-compatible endpoints are sent.
fn no_such(what: &str) -> String {
    format!(
        "{what} can only be had from an endpoint of the kind `openai` or `azure`: leave it out, or pin such a model"
    )
}

#[cfg(test)]
mod tests {
    use burnish_types::{Message, Role};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn json_value() -> impl Strategy<Value = Value> {
        let names =
            "type|error|choices|delta|content|message|usage|candidates|parts|text|code|status|finish_reason";
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-z_]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 4, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map(names, inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_is_sent_can_be_read(value in json_value(), words in "\\PC{0,40}") {
            for (_, kind) in Kind::NAMES {
                let _ = kind.read(&value.to_string());
                let _ = kind.read(&words);
            }
        }

        #[test]
        fn whatever_is_asked_can_be_put_or_is_refused(
            verbatim in proptest::collection::vec(json_value(), 0..4),
            begun in proptest::option::of("[a-z ]{0,8}"),
        ) {
            let messages = vec![Message { role: Role::System, content: "s".to_owned() }];
            let request = ModelRequest { messages, verbatim, ..ModelRequest::default() };
            for (_, kind) in Kind::NAMES {
                let begun = begun.as_deref().map(|text| (text, GoingOn::LastMessage));
                let _ = kind.body("m", &request, begun);
            }
        }
    }

    #[test]
    fn requests_are_put_as_each_api_has_them() {
        let message = |role, content: &str| Message { role, content: content.to_owned() };
        let image = |url: &str| json!({"type": "image_url", "image_url": {"url": url}});
        let bytes = image("data:image/png;base64,AA==");
        let request = ModelRequest {
            messages: vec![message(Role::System, "Be brief."), message(Role::User, "unused")],
            max_tokens: Some(7),
            temperature: Some(1.5),
            passthrough: json!({"stop": "END", "top_p": 0.5, "max_completion_tokens": 9})
                .as_object()
                .unwrap()
                .clone(),
            verbatim: vec![
                json!({"role": "user", "content": "Look:"}),
                json!({"role": "user", "content": [{"type": "text", "text": "What is it?"}, bytes]}),
            ],
            ..ModelRequest::default()
        };
        let openai = json!({
            "model": "m", "max_completion_tokens": 7, "temperature": 1.5, "stop": "END", "top_p": 0.5, "stream": true,
            "stream_options": {"include_usage": true},
            "messages": [{"role": "system", "content": "Be brief."}, request.verbatim[0], request.verbatim[1]],
        });
        let source = json!({"type": "base64", "media_type": "image/png", "data": "AA=="});
        let anthropic = json!({
            "model": "m", "max_tokens": 7, "temperature": 1.0, "stop_sequences": ["END"], "top_p": 0.5, "stream": true,
            "system": "Be brief.",
            "messages": [{"role": "user", "content": [
                {"type": "text", "text": "Look:"}, {"type": "text", "text": "What is it?"},
                {"type": "image", "source": source},
            ]}],
        });
        let gemini = json!({
            "systemInstruction": {"parts": [{"text": "Be brief."}]},
            "contents": [
                {"role": "user", "parts": [{"text": "Look:"}]},
                {"role": "user", "parts": [
                    {"text": "What is it?"}, {"inlineData": {"mimeType": "image/png", "data": "AA=="}},
                ]},
            ],
            "generationConfig": {"stopSequences": ["END"], "topP": 0.5, "maxOutputTokens": 7, "temperature": 1.5},
        });
        for (kind, expected) in [
            (Kind::OpenAi, &openai),
            (Kind::Azure, &openai),
            (Kind::Anthropic, &anthropic),
            (Kind::Gemini, &gemini),
        ] {
            assert_eq!(&kind.body("m", &request, None).unwrap(), expected, "{kind:?}");
        }
        let by_address = vec![json!({"role": "user", "content": [image("https://a.example/b.png")]})];
        let request = ModelRequest { verbatim: by_address, passthrough: Map::new(), ..request };
        assert!(Kind::Anthropic.body("m", &request, None).is_ok());
        assert!(Kind::Gemini.body("m", &request, None).unwrap_err().contains("`data:`"));
    }

    #[test]
    fn tools_are_put_as_each_api_has_them() {
        let schema = json!({"type": "object", "properties": {"of": {"type": "string"}}});
        let tool = |name: &str| json!({"type": "function", "function": {"name": name, "description": "Finds.", "parameters": schema}});
        let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "find", "arguments": "{\"of\": \"it\"}"}});
        let request = |choice: Value, verbatim: Vec<Value>| ModelRequest {
            messages: vec![Message { role: Role::System, content: "s".to_owned() }],
            passthrough: json!({"tools": [tool("find")], "tool_choice": choice}).as_object().unwrap().clone(),
            verbatim,
            ..ModelRequest::default()
        };
        let talk = vec![
            json!({"role": "user", "content": "How long?"}),
            json!({"role": "assistant", "content": "", "tool_calls": [call("c1"), call("c2")]}),
            json!({"role": "tool", "tool_call_id": "c1", "content": "7"}),
            json!({"role": "tool", "tool_call_id": "c2", "content": "{\"days\": 8}"}),
        ];
        let one = json!({"type": "function", "function": {"name": "find"}});
        for (choice, anthropic, gemini) in [
            (json!("auto"), json!({"type": "auto"}), json!({"mode": "AUTO"})),
            (json!("none"), json!({"type": "none"}), json!({"mode": "NONE"})),
            (json!("required"), json!({"type": "any"}), json!({"mode": "ANY"})),
            (
                one,
                json!({"type": "tool", "name": "find"}),
                json!({"mode": "ANY", "allowedFunctionNames": ["find"]}),
            ),
        ] {
            let request = request(choice, talk.clone());
            let body = Kind::Anthropic.body("m", &request, None).unwrap();
            assert_eq!(body["tool_choice"], anthropic);
            assert_eq!(
                body["tools"],
                json!([{"name": "find", "description": "Finds.", "input_schema": schema}])
            );
            assert_eq!(
                body["messages"],
                json!([
                    {"role": "user", "content": [{"type": "text", "text": "How long?"}]},
                    {"role": "assistant", "content": [
                        {"type": "tool_use", "id": "c1", "name": "find", "input": {"of": "it"}},
                        {"type": "tool_use", "id": "c2", "name": "find", "input": {"of": "it"}},
                    ]},
                    {"role": "user", "content": [
                        {"type": "tool_result", "tool_use_id": "c1", "content": "7"},
                        {"type": "tool_result", "tool_use_id": "c2", "content": "{\"days\": 8}"},
                    ]},
                ])
            );
            let body = Kind::Gemini.body("m", &request, None).unwrap();
            assert_eq!(body["toolConfig"], json!({"functionCallingConfig": gemini}));
            let declaration =
                json!({"name": "find", "description": "Finds.", "parametersJsonSchema": schema});
            assert_eq!(body["tools"], json!([{"functionDeclarations": [declaration]}]));
            assert_eq!(
                body["contents"],
                json!([
                    {"role": "user", "parts": [{"text": "How long?"}]},
                    {"role": "model", "parts": [
                        {"functionCall": {"name": "find", "args": {"of": "it"}}},
                        {"functionCall": {"name": "find", "args": {"of": "it"}}},
                    ]},
                    {"role": "user", "parts": [
                        {"functionResponse": {"name": "find", "response": {"result": "7"}}},
                        {"functionResponse": {"name": "find", "response": {"days": 8}}},
                    ]},
                ])
            );
        }
        let alone = request(json!("auto"), talk[2..3].to_vec());
        assert!(Kind::Gemini.body("m", &alone, None).unwrap_err().contains("no call"));
        let mut custom = request(json!("auto"), talk.clone());
        custom.passthrough["tools"][0]["type"] = json!("custom");
        let mut at_once = request(json!("auto"), talk);
        at_once.passthrough.insert("parallel_tool_calls".to_owned(), json!(false));
        for kind in [Kind::Anthropic, Kind::Gemini] {
            assert!(kind.body("m", &custom, None).unwrap_err().contains("no functions"), "{kind:?}");
        }
        let body = Kind::Anthropic.body("m", &at_once, None).unwrap();
        assert_eq!(body["tool_choice"], json!({"type": "auto", "disable_parallel_tool_use": true}));
        assert!(Kind::Gemini.body("m", &at_once, None).is_err());
    }

    #[test]
    fn what_providers_say_is_understood() {
        let heard = |kind: Kind, event: Value| match kind.read(&event.to_string()) {
            Ok(Reply::Heard(heard)) => heard,
            other => panic!("{other:?}"),
        };
        let openai = json!({"choices": [], "usage": {
            "prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 5}}});
        let tokens = Tokens { input: Some(9), cached: Some(5), output: Some(4) };
        assert_eq!(heard(Kind::OpenAi, openai).usage, tokens);
        let start = json!({"type": "message_start", "message": {"usage": {
            "input_tokens": 3, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 1, "output_tokens": 1}}});
        let delta = json!({"type": "message_delta", "delta": {"stop_reason": "max_tokens"}, "usage": {"output_tokens": 4}});
        let mut usage = heard(Kind::Anthropic, start).usage;
        let last = heard(Kind::Anthropic, delta);
        usage.update(last.usage);
        assert_eq!((usage, last.finish_reason.as_deref()), (tokens, Some("length")));
        let thinking =
            json!({"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": "hm"}});
        assert!(heard(Kind::Anthropic, thinking).thinks);
        let gemini = json!({
            "candidates": [{"content": {"parts": [{"text": "hm", "thought": true}, {"text": "Yes."}]}, "finishReason": "SAFETY"}],
            "usageMetadata": {"promptTokenCount": 9, "cachedContentTokenCount": 5, "candidatesTokenCount": 1, "thoughtsTokenCount": 3},
        });
        let said = heard(Kind::Gemini, gemini);
        assert_eq!((said.text.as_str(), said.thinks, said.usage), ("Yes.", true, tokens));
        assert_eq!(said.finish_reason.as_deref(), Some("content_filter"));
        let errors = [
            (Kind::OpenAi, json!({"error": {"message": "no", "code": 503}}), Some(503)),
            (
                Kind::Anthropic,
                json!({"type": "error", "error": {"type": "overloaded_error", "message": "no"}}),
                Some(529),
            ),
            (Kind::Gemini, json!([{"error": {"code": 429, "message": "no"}}]), Some(429)),
            (Kind::Gemini, json!({"promptFeedback": {"blockReason": "SAFETY"}}), Some(400)),
        ];
        for (kind, event, expected) in errors {
            let reply = kind.read(&event.to_string()).unwrap();
            let Reply::Error { status, words } = reply else { panic!("{reply:?}") };
            assert!(status == expected && !words.is_empty(), "{kind:?}: {status:?} {words}");
        }
    }
}
