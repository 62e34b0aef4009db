//! Questions, their answers whole and streamed, and what is said of them afterwards.

use std::sync::Arc;
use std::time::Duration;

use burnish_server::ServerSettings;
use burnish_types::{BoxFuture, LanguageModel, ModelError, ModelEvent, ModelRequest, ModelStream};
use futures_util::stream;
use serde_json::{Value, json};

use super::harness::{EMBEDDING_MODEL, MODEL, Parrot, Server, events};

const QUESTION: &str = "At how many degrees is green tea brewed?";

#[tokio::test]
async fn answers_have_the_shape_of_openai_with_what_they_rest_on() {
    let server = Server::start().await.filled().await;
    let response = server.chat("burnish/extractive", QUESTION, false).await;
    let headers = response.headers().clone();
    let answer: Value = response.json().await.unwrap();
    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(headers["x-burnish-request-id"].to_str().unwrap(), answer["id"]);
    assert_eq!(headers["x-burnish-strategy"].to_str().unwrap(), answer["burnish"]["plan"]["strategy"]);
    let text = answer["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(text.contains("eighty degrees") && text.contains("[1]"), "{text}");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    let burnish = &answer["burnish"];
    assert_eq!(burnish["found"], true);
    let citation = &burnish["citations"][0];
    assert!(citation["quote"].as_str().unwrap().contains("eighty degrees"));
    assert_eq!(citation["chunk"], burnish["evidence"][0]["chunk"]);
    for field in ["plan", "prediction", "propensity", "policy", "reason", "timings", "cost_usd"] {
        assert!(!burnish[field].is_null(), "{field}");
    }
}

#[tokio::test]
async fn models_are_pinned_by_name() {
    let server = Server::start().await.filled().await;
    for (model, answerer, strategy) in [
        ("burnish", MODEL, None),
        ("burnish/extractive", "extractive", None),
        ("burnish/sparse", MODEL, Some("sparse")),
        (MODEL, MODEL, None),
    ] {
        let answer: Value = server.chat(model, QUESTION, false).await.json().await.unwrap();
        let plan = &answer["burnish"]["plan"];
        assert_eq!(answer["model"], model);
        assert_eq!(plan["answerer"], answerer);
        if let Some(strategy) = strategy {
            assert_eq!(plan["strategy"], strategy);
            assert_eq!(answer["burnish"]["policy"], "pinned");
        }
    }
}

#[tokio::test]
async fn streams_begin_with_the_plan_and_end_with_the_citations() {
    let server = Server::start().await.filled().await;
    let response = server.chat(MODEL, QUESTION, true).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let id = response.headers()["x-burnish-request-id"].to_str().unwrap().to_owned();
    let body = response.text().await.unwrap();
    let mut events = events(&body);
    assert_eq!(events.pop(), Some("[DONE]"));
    let chunks: Vec<Value> = events.iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    assert!(chunks.iter().all(|chunk| chunk["id"] == id && chunk["object"] == "chat.completion.chunk"));

    let [first, pieces @ .., last, usage] = chunks.as_slice() else { panic!("too few chunks: {body}") };
    assert_eq!(first["choices"][0]["delta"]["role"], "assistant");
    assert!(!first["burnish"]["evidence"].as_array().unwrap().is_empty());
    assert!(first["burnish"]["plan"].is_object() && first["burnish"]["citations"].is_null());
    let text = |chunk: &Value| chunk["choices"][0]["delta"]["content"].as_str().unwrap().to_owned();
    assert_eq!(pieces.iter().map(text).collect::<Vec<_>>(), ["So it", " is. [1]"]);
    assert_eq!(last["choices"][0]["finish_reason"], "stop");
    assert_eq!(last["choices"][0]["delta"], json!({}));
    assert_eq!(last["burnish"]["citations"][0]["marker"], 1);
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(usage["usage"]["total_tokens"], 15);
}

#[tokio::test]
async fn answers_that_break_off_say_so() {
    let parrot = Parrot { breaks_off: true, ..Parrot::default() };
    let server = Server::with(ServerSettings::default(), vec![Arc::new(parrot)]).await.filled().await;
    let whole: Value = server.chat(MODEL, QUESTION, false).await.json().await.unwrap();
    assert!(whole["burnish"]["degraded"].as_str().unwrap().contains(MODEL), "{whole}");
    assert!(!whole["burnish"]["citations"].as_array().unwrap().is_empty(), "quoted instead: {whole}");
    let body = server.chat(MODEL, QUESTION, true).await.text().await.unwrap();
    let last: Value = serde_json::from_str(events(&body).last().unwrap()).unwrap();
    assert_eq!(last["error"]["code"], "upstream_failed");
    assert!(last["error"]["message"].as_str().unwrap().contains(MODEL) && !body.contains("secret.example"));
}

#[tokio::test]
async fn what_is_said_of_an_answer_is_kept_with_its_decision() {
    let server = Server::start().await.filled().await;
    let answer: Value = server.chat("burnish/extractive", QUESTION, false).await.json().await.unwrap();
    let (id, chunk) = (&answer["id"], &answer["burnish"]["evidence"][0]["chunk"]);
    for judgement in [
        json!({"id": id, "thumb": "up", "comment": "just so"}),
        json!({"id": id, "score": 0.5}),
        json!({"id": id, "chunk": chunk, "correct": true}),
    ] {
        let kept = server.post_json("/v1/feedback", judgement).await;
        assert_eq!((&kept["id"], &kept["recorded"]), (id, &json!(true)));
    }
    let decision = server.get_json(&format!("/v1/decisions/{}", id.as_str().unwrap())).await;
    assert_eq!(decision["query"], QUESTION);
    assert_eq!(decision["answer"]["text"], answer["choices"][0]["message"]["content"]);
    let said: Vec<Value> = decision["outcomes"].as_array().unwrap().iter().map(without_time).collect();
    assert_eq!(
        said,
        [
            json!({"supported": 1.0}),
            json!({"thumb": "up", "comment": "just so"}),
            json!({"score": 0.5}),
            json!({"chunk": chunk, "correct": true}),
        ]
    );
    let propensities = decision["candidates"].as_array().unwrap().iter();
    let total: f64 = propensities.map(|candidate| candidate["propensity"].as_f64().unwrap()).sum();
    assert!((total - 1.0).abs() < 1e-9);
}

fn without_time(outcome: &Value) -> Value {
    let mut outcome = outcome.clone();
    let at = outcome.as_object_mut().unwrap().remove("at").unwrap();
    assert!(at.as_str().unwrap().ends_with('Z'));
    outcome
}

#[tokio::test]
async fn searches_find_passages_within_a_filter() {
    let server = Server::start().await.filled().await;
    let search = async |filter: Value| {
        let body = json!({"query": "how long for bread and tea", "strategy": "hybrid", "filter": filter});
        let found = server.post_json("/v1/search", body).await;
        assert_eq!(found["strategy"], "hybrid");
        let keys = found["results"].as_array().unwrap().iter();
        keys.map(|result| result["document_key"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let everything = search(json!({"all": []})).await;
    assert!(everything.iter().any(|key| key == "tea.md") && everything.iter().any(|key| key == "bread.txt"));
    let only = search(json!({"all": [{"field": "format", "equals": "text"}]})).await;
    assert_eq!(only, ["bread.txt"]);
}

#[tokio::test]
async fn embeddings_are_the_same_in_both_forms() {
    use base64::Engine as _;

    let server = Server::start().await;
    let embed = async |format: Value| {
        let body =
            json!({"model": EMBEDDING_MODEL, "input": ["one two", "three"], "encoding_format": format});
        server.post_json("/v1/embeddings", body).await
    };
    let (numbers, text) = (embed(Value::Null).await, embed(json!("base64")).await);
    assert_eq!(numbers["usage"], json!({"prompt_tokens": 3, "total_tokens": 3}));
    for place in 0..2 {
        let numbers = numbers["data"][place]["embedding"].as_array().unwrap().iter();
        let numbers: Vec<f32> = numbers.map(|value| value.as_f64().unwrap() as f32).collect();
        let text = text["data"][place]["embedding"].as_str().unwrap();
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
        let decoded: Vec<f32> =
            bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        assert_eq!(numbers, decoded);
        assert_eq!(numbers.len(), 256);
    }
}

#[tokio::test]
async fn listed_models_can_be_retrieved_by_name() {
    let server = Server::start().await;
    let list = server.get_json("/v1/models").await;
    let names: Vec<&str> =
        list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    for name in ["burnish", "burnish/extractive", "burnish/hybrid", MODEL, EMBEDDING_MODEL] {
        assert!(names.contains(&name), "{name} of {names:?}");
        for path in [name.to_owned(), name.replace('/', "%2F")] {
            let model = server.get_json(&format!("/v1/models/{path}")).await;
            assert_eq!(model["id"], name);
        }
    }
}

/// Refuses everything, or says by a tool what it was asked beside text.
struct Odd(Option<ModelError>);

impl LanguageModel for Odd {
    fn name(&self) -> &str {
        MODEL
    }

    fn stream(&self, request: ModelRequest) -> BoxFuture<'_, Result<ModelStream, ModelError>> {
        Box::pin(async move {
            if let Some(error) = &self.0 {
                return Err(error.clone());
            }
            let arguments = json!([request.passthrough, request.verbatim]).to_string();
            let call = |index: usize, part: &str| {
                let call =
                    json!({"tool_calls": [{"index": index, "id": "c", "function": {"arguments": part}}]});
                Ok(ModelEvent::Extra(call.as_object().unwrap().clone()))
            };
            let half = arguments.len() / 2;
            let end = ModelEvent::Finished { reason: "tool_calls".to_owned(), usage: None };
            let events = [call(0, &arguments[..half]), call(0, &arguments[half..]), Ok(end)];
            Ok(Box::pin(stream::iter(events)) as ModelStream)
        })
    }
}

#[tokio::test]
async fn refusals_of_models_say_what_to_do() {
    let model = || MODEL.to_owned();
    for (error, status, code, retry_after) in [
        (
            ModelError::Busy { model: model(), retry_after: Duration::from_secs(1) },
            429,
            "model_busy",
            Some("1"),
        ),
        (ModelError::Unsupported { model: model(), reason: "no `tools`".into() }, 400, "invalid_value", None),
    ] {
        let server =
            Server::with(ServerSettings::default(), vec![Arc::new(Odd(Some(error)))]).await.filled().await;
        for stream in [false, true] {
            let response = server.chat(MODEL, QUESTION, stream).await;
            assert_eq!(response.status(), status);
            let header =
                response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
            assert_eq!(header.as_deref(), retry_after);
            let body: Value = response.json().await.unwrap();
            assert_eq!(body["error"]["code"], code);
        }
    }
}

#[tokio::test]
async fn what_is_beside_text_goes_to_the_model_and_back() {
    let server = Server::with(ServerSettings::default(), vec![Arc::new(Odd(None))]).await.filled().await;
    let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}});
    let content = json!([{"type": "text", "text": QUESTION}, image]);
    let ask = |stream: bool| {
        json!({
            "model": MODEL, "stream": stream, "messages": [{"role": "user", "content": content}],
            "tools": [{"type": "function"}], "response_format": {"type": "json_object"}, "top_k": null, "new": 1,
        })
    };
    let expected = json!([
        {"tools": [{"type": "function"}], "response_format": {"type": "json_object"}, "new": 1},
        [{"role": "user", "content": content}],
    ]);
    let whole = server.post_json("/v1/chat/completions", ask(false)).await;
    let choice = &whole["choices"][0];
    let call = &choice["message"]["tool_calls"][0];
    let said: Value = serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
    assert_eq!((&said, &choice["finish_reason"]), (&expected, &json!("tool_calls")));
    let request = server.client.post(format!("{}/v1/chat/completions", server.address)).json(&ask(true));
    let body = request.send().await.unwrap().text().await.unwrap();
    let deltas = events(&body).into_iter().filter_map(|event| serde_json::from_str::<Value>(event).ok());
    let parts: Vec<String> = deltas
        .filter_map(|chunk| {
            let arguments = &chunk["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"];
            Some(arguments.as_str()?.to_owned())
        })
        .collect();
    assert_eq!((parts.len(), serde_json::from_str::<Value>(&parts.concat()).unwrap()), (2, expected));
}
