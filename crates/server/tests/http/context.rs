//! Passages made smaller over HTTP, for callers with a pipeline of their own.

use serde_json::{Value, json};

use super::harness::Server;

const FREE: &str = "The free plan of the gateway allows 100 requests a minute. For example, a phone asks twice a minute. \
                    In general, people like plans that cost nothing. Each key has an owner, and Ada Wong keeps the list of all \
                    owners in a vault below the tower, where nobody has been since the flood of 1999.";
const OTHER: &str = "The free plan of the gateway allows 60 requests a minute. It rains a lot in autumn.";
const QUESTION: &str = "How many requests a minute does the free plan of the gateway allow?";

#[tokio::test]
async fn what_answers_is_kept_and_the_rest_is_told() {
    let server = Server::start().await;
    let body = json!({"query": QUESTION, "passages": [{"text": FREE, "title": "Plans"}, {"text": OTHER}]});
    let smaller = server.post_json("/v1/context/optimize", body.clone()).await;
    let (original, optimized) = (&smaller["tokens"]["original"], &smaller["tokens"]["optimized"]);
    assert!(optimized.as_u64() < original.as_u64() && optimized.as_u64() > Some(0), "{smaller}");
    let kept = smaller["passages"].as_array().unwrap();
    assert_eq!((kept[0]["index"].as_u64(), kept[0]["title"].as_str()), (Some(0), Some("Plans")));
    assert!(kept[0]["text"].as_str().unwrap().contains("100 requests"), "{smaller}");
    let conflict = &smaller["conflicts"][0];
    assert_eq!((&conflict["passages"], &conflict["kind"]), (&json!([0, 1]), &json!("numbers")));
    assert!(conflict["sentences"][1].as_str().unwrap().contains("60 requests"), "{conflict}");
    assert!(smaller["steps"].as_array().is_some_and(|steps| !steps.is_empty()), "{smaller}");
    assert_eq!(smaller["cost_usd"], Value::Null);

    // What becomes of it can be said, and looked up.
    let id = smaller["id"].as_str().unwrap();
    server.post_json("/v1/feedback", json!({"id": id, "score": 0.9})).await;
    let decision = server.get_json(&format!("/v1/decisions/{id}")).await;
    assert_eq!((&decision["policy"], &decision["outcomes"][0]["score"]), (&json!("context"), &json!(0.9)));

    let mut tight = body;
    tight["max_tokens"] = json!(14);
    let tight = server.post_json("/v1/context/optimize", tight).await;
    assert!(tight["tokens"]["optimized"].as_u64().unwrap() <= 14, "{tight}");
    assert!(tight["passages"].to_string().contains("requests a minute"), "{tight}");
}

#[tokio::test]
async fn stored_passages_are_named_by_their_ids() {
    let server = Server::start().await.filled().await;
    let found = server.post_json("/v1/search", json!({"query": "How hot is green tea?", "top_k": 2})).await;
    let chunks: Vec<&Value> =
        found["results"].as_array().unwrap().iter().map(|result| &result["chunk"]).collect();
    let passages: Vec<Value> = chunks.iter().map(|chunk| json!({"chunk": chunk})).collect();
    let body = json!({"query": "How hot is green tea?", "passages": passages, "target_reduction": 0.0, "order": "edges"});
    let smaller = server.post_json("/v1/context/optimize", body).await;
    assert_eq!(smaller["tokens"]["original"], smaller["tokens"]["optimized"]);
    assert_eq!(smaller["passages"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn what_cannot_be_taken_is_said() {
    let server = Server::start().await;
    let text = json!([{"text": FREE}]);
    for (body, status, param) in [
        (json!({"query": QUESTION, "passages": []}), 400, "passages"),
        (json!({"query": " ", "passages": text}), 400, "query"),
        (json!({"query": QUESTION, "passages": [{}]}), 400, "passages[0]"),
        (json!({"query": QUESTION, "passages": [{"text": "a", "chunk": 1}]}), 400, "passages[0]"),
        (json!({"query": QUESTION, "passages": [{"chunk": 99}]}), 404, "chunk"),
        (json!({"query": QUESTION, "passages": text, "max_tokens": 0}), 400, "max_tokens"),
        (json!({"query": QUESTION, "passages": text, "target_reduction": 1.0}), 400, "target_reduction"),
        (json!({"query": QUESTION, "passages": text, "model": "nobody"}), 404, "model"),
    ] {
        let response = server.post("/v1/context/optimize", body.clone()).await;
        assert_eq!(response.status(), status, "{body}");
        let error: Value = response.json().await.unwrap();
        assert_eq!(error["error"]["param"], param, "{body} {error}");
    }
}
