//! What can't be taken is refused in OpenAI's shape, saying what was wrong.

use reqwest::Method;
use serde_json::{Value, json};

use super::harness::Server;

const JSON: &str = "application/json";
const UNKNOWN_ID: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

async fn check(server: &Server, case: (Method, &str, &str, Vec<u8>), expected: (u16, &str, &str, &str)) {
    let (method, path, kind, body) = case;
    let (status, code, param, words) = expected;
    let mut request = server.request(method.clone(), path).body(body);
    if !kind.is_empty() {
        request = request.header("content-type", kind);
    }
    let response = request.send().await.unwrap();
    let place = format!("{method} {path}");
    assert_eq!(response.status(), status, "{place}");
    let answer: Value = response.json().await.unwrap();
    let error = &answer["error"];
    assert_eq!(error["code"], code, "{place}: {error}");
    assert_eq!(error["param"].as_str().unwrap_or_default(), param, "{place}: {error}");
    assert_eq!(error["type"], "invalid_request_error", "{place}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(words), "{place}: {message}");
}

#[tokio::test]
async fn each_is_told_what_was_wrong() {
    let server = Server::start().await.filled().await;
    let post = |path, body: Value| (Method::POST, path, JSON, body.to_string().into_bytes());
    let raw = |path, kind, body: &[u8]| (Method::POST, path, kind, body.to_vec());
    let chat = |model: &str, content: Value| {
        let messages = json!([{"role": "user", "content": content}]);
        post("/v1/chat/completions", json!({"model": model, "messages": messages}))
    };
    let long = "x".repeat(8_193);
    let huge = "x".repeat(1_000_000);
    let cases = [
        // Bodies that cannot be read.
        (raw("/v1/search", JSON, b"{\"query\": "), (400, "invalid_json", "", "line 1")),
        (raw("/v1/search", JSON, b""), (400, "invalid_json", "", "EOF")),
        (raw("/v1/search", JSON, b"{\"query\": \"\xff\"}"), (400, "invalid_json", "", "UTF-8 at byte 11")),
        (raw("/v1/search", "text/plain", b"{}"), (415, "unsupported_media_type", "", "`text/plain`")),
        (raw("/v1/search", "", b"{}"), (415, "unsupported_media_type", "", "application/json")),
        (raw("/v1/documents", JSON, b"{}"), (415, "unsupported_media_type", "", "multipart/form-data")),
        (raw("/v1/documents", "multipart/form-data", b""), (400, "invalid_value", "", "boundary")),
        // Questions.
        (post("/v1/search", json!({"query": " \n"})), (400, "empty_query", "query", "ask something")),
        (post("/v1/search", json!({"query": long})), (400, "query_too_long", "query", "at most 8192")),
        (post("/v1/search", json!({"query": huge})), (400, "query_too_long", "query", "at most 8192")),
        (
            post("/v1/search", json!({"query": "x".repeat(2 << 20)})),
            (413, "body_too_large", "", "longer than this server takes"),
        ),
        (post("/v1/search", json!({})), (400, "invalid_value", "", "missing field `query`")),
        (post("/v1/search", json!({"query": 7})), (400, "invalid_value", "query", "expected a string")),
        (post("/v1/search", json!({"query": "x", "k": 1})), (400, "invalid_value", "k", "unknown field")),
        (
            post("/v1/search", json!({"query": "x", "top_k": 0})),
            (400, "invalid_value", "top_k", "1 and 1000"),
        ),
        (
            post("/v1/search", json!({"query": "x", "top_k": 1_001})),
            (400, "invalid_value", "top_k", "1 and 1000"),
        ),
        (
            post("/v1/search", json!({"query": "x", "strategy": "magic"})),
            (404, "strategy_not_found", "strategy", "there are: "),
        ),
        (
            post("/v1/search", json!({"query": "x", "filter": {"all": [{"field": "f"}]}})),
            (400, "invalid_value", "filter.all[0]", "exactly one"),
        ),
        // Chats.
        (chat("gpt-9", json!("x")), (404, "model_not_found", "model", "`gpt-9`")),
        (chat("burnish/magic", json!("x")), (404, "model_not_found", "model", "burnish/hybrid")),
        (chat("burnish", json!("")), (400, "empty_query", "messages", "ask something")),
        (chat("burnish", json!(7)), (400, "invalid_value", "messages[0].content", "a text or an array")),
        (
            post("/v1/chat/completions", json!({"model": "burnish", "messages": []})),
            (400, "invalid_value", "messages", "`user`"),
        ),
        (
            post("/v1/chat/completions", json!({"model": "burnish", "messages": [], "temperature": 3})),
            (400, "invalid_value", "temperature", "between 0 and 2"),
        ),
        // Embeddings.
        (
            post("/v1/embeddings", json!({"model": "other", "input": "x"})),
            (404, "model_not_found", "model", "words"),
        ),
        (
            post("/v1/embeddings", json!({"model": "words", "input": []})),
            (400, "invalid_value", "input", "1 to 2048"),
        ),
        (
            post("/v1/embeddings", json!({"model": "words", "input": "x", "dimensions": 7})),
            (400, "invalid_value", "dimensions", "256"),
        ),
        // Feedback.
        (
            post("/v1/feedback", json!({"id": UNKNOWN_ID, "thumb": "up"})),
            (404, "not_found", "id", UNKNOWN_ID),
        ),
        (
            post("/v1/feedback", json!({"id": "nobody", "thumb": "up"})),
            (404, "not_found", "id", "`nobody` is not a request id"),
        ),
        (
            post("/v1/feedback", json!({"id": UNKNOWN_ID, "score": 1.5})),
            (400, "invalid_value", "score", "between 0 and 1"),
        ),
        (
            raw("/v1/feedback", JSON, br#"{"id": "x", "score": NaN}"#),
            (400, "invalid_json", "", "not valid JSON"),
        ),
        (
            post("/v1/feedback", json!({"id": UNKNOWN_ID, "thumb": "up", "score": 1})),
            (400, "invalid_value", "", "exactly one judgement"),
        ),
        (
            post("/v1/feedback", json!({"id": UNKNOWN_ID, "thumb": "sideways"})),
            (400, "invalid_value", "thumb", "unknown variant"),
        ),
        // Paths.
        ((Method::GET, "/v1/documents/9999", "", vec![]), (404, "not_found", "id", "9999")),
        ((Method::DELETE, "/v1/documents/x", "", vec![]), (404, "not_found", "id", "`x`")),
        ((Method::GET, "/v1/chunks/9999", "", vec![]), (404, "not_found", "id", "9999")),
        ((Method::GET, "/v1/documents?limit=0", "", vec![]), (400, "invalid_value", "limit", "1 and 1000")),
        ((Method::GET, "/v1/documents?limit=x", "", vec![]), (400, "invalid_value", "", "limit")),
        ((Method::GET, "/v1/decisions/nobody", "", vec![]), (404, "not_found", "id", "request id")),
        ((Method::GET, "/v1/models/nobody", "", vec![]), (404, "model_not_found", "model", "nobody")),
        ((Method::GET, "/v1/nowhere", "", vec![]), (404, "not_found", "", "/v1/nowhere")),
        ((Method::GET, "/v1/search", "", vec![]), (405, "method_not_allowed", "", "GET")),
    ];
    for (case, expected) in cases {
        check(&server, case, expected).await;
    }
}

#[tokio::test]
async fn passages_that_were_not_shown_cannot_be_judged() {
    let server = Server::start().await.filled().await;
    let found = server.post_json("/v1/search", json!({"query": "green tea", "top_k": 1})).await;
    let body = json!({"id": found["id"], "chunk": 9_999, "correct": true}).to_string().into_bytes();
    let case = (Method::POST, "/v1/feedback", JSON, body);
    check(&server, case, (404, "not_found", "chunk", "9999")).await;
}
