//! Plans by themselves over HTTP: rehearsed, routed, within a budget, explained.

use std::sync::Arc;

use burnish_server::ServerSettings;
use burnish_types::LanguageModel;
use serde_json::{Value, json};

use super::harness::{Parrot, Server};

const QUESTION: &str = "At how many degrees is green tea brewed?";

async fn server() -> Server {
    let model = |called, price| -> Arc<dyn LanguageModel> {
        Arc::new(Parrot { called: Some(called), price, ..Parrot::default() })
    };
    let models = vec![model("small", Some(100_000)), model("large", Some(30_000_000)), model("free", None)];
    Server::with(ServerSettings::default(), models).await.filled().await
}

#[tokio::test]
async fn a_plan_is_told_before_anything_is_done() {
    let server = server().await;
    let planned = server.post_json("/v1/plan", json!({"query": QUESTION})).await;
    assert_eq!(planned["plan"]["answerer"], "small");
    assert!(planned["prediction"]["cost_usd"].as_f64().unwrap() > 0.0, "{planned}");
    let candidates = planned["candidates"].as_array().unwrap();
    let front = planned["front"].as_array().unwrap();
    assert!(!front.is_empty() && front.len() <= candidates.len(), "{planned}");
    let figures = |place: &Value| {
        let prediction = &candidates[place.as_u64().unwrap() as usize]["prediction"];
        (prediction["cost_usd"].as_f64().unwrap(), prediction["quality"].as_f64().unwrap())
    };
    assert!(front.windows(2).all(|pair| figures(&pair[0]).1 < figures(&pair[1]).1), "{planned}");
    assert!(planned.get("id").is_none() && planned.get("next_better").is_some(), "{planned}");
    let pinned = server.post_json("/v1/plan", json!({"query": QUESTION, "model": "large", "top_k": 3})).await;
    assert_eq!((&pinned["plan"]["answerer"], &pinned["plan"]["depth"]), (&json!("large"), &json!(3)));
    let pinned = server.post_json("/v1/plan", json!({"query": QUESTION, "model": "burnish/sparse"})).await;
    assert_eq!((&pinned["plan"]["strategy"], &pinned["policy"]), (&json!("sparse"), &json!("pinned")));
}

#[tokio::test]
async fn a_budget_is_kept_and_what_does_not_fit_is_quoted() {
    let server = server().await;
    let ask = |budget: f64| json!({"model": "burnish", "messages": [{"role": "user", "content": QUESTION}], "burnish": {"budget_usd": budget}});
    let quoted = server.post_json("/v1/chat/completions", ask(0.0)).await;
    assert_eq!(quoted["burnish"]["plan"]["answerer"], "extractive");
    assert!(
        quoted["burnish"]["reason"].as_str().unwrap().contains("fit the budget of $0.000000"),
        "{quoted}"
    );
    assert!(
        quoted["choices"][0]["message"]["content"].as_str().unwrap().contains("eighty degrees"),
        "{quoted}"
    );
    let written = server.post_json("/v1/chat/completions", ask(0.01)).await;
    assert_eq!(written["burnish"]["plan"]["answerer"], "small");
    let decision = server.get_json(&format!("/v1/decisions/{}", written["id"].as_str().unwrap())).await;
    let candidates = decision["candidates"].as_array().unwrap();
    let chosen = &candidates[decision["chosen"].as_u64().unwrap() as usize];
    assert!(chosen["prediction"]["cost_usd"].as_f64().unwrap() <= 0.01, "{decision}");
    assert!(decision["front"].is_array() && decision.get("next_cheaper").is_some(), "{decision}");
    server.post_json("/v1/feedback", json!({"id": written["id"], "score": 0.9})).await;
    let learning = server.get_json("/v1/learning").await;
    let options = learning["options"].as_array().unwrap();
    let of = |name: &str| options.iter().find(|option| option["option"] == name).unwrap();
    assert_eq!((&of("small")["outcomes"], &of("large")["outcomes"]), (&json!(1), &json!(0)));
    let page = server.get("/learning").await.text().await.unwrap();
    assert!(page.contains("Beside the strategy") && page.contains("the first choice"), "{page}");
    let page = server.get(&format!("/decisions/{}", written["id"].as_str().unwrap())).await;
    let page = page.text().await.unwrap();
    assert!(page.contains("· small") && page.contains("Cost"), "{page}");
}

#[tokio::test]
async fn callers_are_told_whom_to_ask_and_say_what_came_of_it() {
    let server = server().await;
    let body =
        json!({"query": QUESTION, "input_tokens": 1_000, "models": ["small", "large"], "budget_usd": 0.01});
    let routed = server.post_json("/v1/route", body).await;
    assert_eq!(routed["model"], "small");
    let candidates = routed["candidates"].as_array().unwrap();
    assert!(candidates.iter().all(|candidate| candidate["plan"]["strategy"] == "given"), "{routed}");
    let id = routed["id"].as_str().unwrap();
    server.post_json("/v1/feedback", json!({"id": id, "score": 0.9})).await;
    let decision = server.get_json(&format!("/v1/decisions/{id}")).await;
    assert_eq!(decision["outcomes"][0]["score"], 0.9);
}

#[tokio::test]
async fn what_cannot_be_planned_is_said() {
    let server = server().await;
    for (path, body, status, param) in [
        ("/v1/plan", json!({"query": " "}), 400, "query"),
        ("/v1/plan", json!({"query": QUESTION, "model": "gpt-9"}), 404, "model"),
        ("/v1/plan", json!({"query": QUESTION, "budget_usd": -1.0}), 400, "budget_usd"),
        ("/v1/plan", json!({"query": QUESTION, "latency_budget_ms": -1.0}), 400, "latency_budget_ms"),
        ("/v1/plan", json!({"query": QUESTION, "target_quality": 1.5}), 400, "target_quality"),
        ("/v1/route", json!({"query": ""}), 400, "query"),
        ("/v1/route", json!({"query": QUESTION, "models": ["gpt-9"]}), 404, "model"),
        ("/v1/route", json!({"query": QUESTION, "models": ["free"], "budget_usd": 1.0}), 400, "query"),
    ] {
        let response = server.post(path, body.clone()).await;
        assert_eq!(response.status(), status, "{body}");
        let error: Value = response.json().await.unwrap();
        assert_eq!(error["error"]["param"], param, "{body} {error}");
    }
    let nobody = Server::with(ServerSettings::default(), Vec::new()).await;
    let response = nobody.post("/v1/route", json!({"query": QUESTION})).await;
    let said: Value = response.json().await.unwrap();
    assert!(said["error"]["message"].as_str().unwrap().contains("[[models]]"), "{said}");
    // A target that nothing reaches is no error: the best is taken, and that is said.
    let best = server.post_json("/v1/plan", json!({"query": QUESTION, "target_quality": 1.0})).await;
    assert!(best["reason"].as_str().unwrap().contains("nothing is sure to meet 1.00"), "{best}");
}
