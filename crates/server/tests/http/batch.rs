//! Many questions at once, while the caller waits and in the background.

use reqwest::Method;
use serde_json::{Value, json};

use super::harness::{MODEL, Server};

fn questions(count: usize) -> Vec<Value> {
    let texts = [
        "At how many degrees is green tea brewed?",
        "Sourdough bread rises for how many hours before it is baked?",
    ];
    (0..count).map(|place| json!({"custom_id": format!("q{place}"), "query": texts[place % 2]})).collect()
}

/// Asks until the batch has ended; every question takes milliseconds.
async fn ended(server: &Server, id: &str) -> Value {
    loop {
        let standing = server.get_json(&format!("/v1/batch/{id}?limit=1000")).await;
        if standing["status"] != "in_progress" {
            return standing;
        }
        tokio::task::yield_now().await;
    }
}

fn check(results: &Value, count: usize) {
    let results = results.as_array().unwrap();
    assert_eq!(results.len(), count);
    for (place, result) in results.iter().enumerate() {
        assert_eq!((&result["index"], &result["custom_id"]), (&json!(place), &json!(format!("q{place}"))));
        let text = result["response"]["choices"][0]["message"]["content"].as_str().unwrap();
        let expected = ["eighty degrees", "twelve hours"][place % 2];
        assert!(text.contains(expected) && text.contains("[1]"), "{place}: {text}");
    }
}

#[tokio::test]
async fn few_questions_are_answered_at_once() {
    let server = Server::start().await.filled().await;
    let body = json!({"model": "burnish/extractive", "requests": questions(5)});
    let batch = server.post_json("/v1/batch", body).await;
    assert_eq!((&batch["object"], &batch["status"]), (&json!("batch"), &json!("completed")));
    assert_eq!(batch["request_counts"], json!({"total": 5, "completed": 5, "failed": 0}));
    check(&batch["results"], 5);
    // Each answer has a decision of its own, which takes feedback.
    let id = &batch["results"][3]["response"]["id"];
    let kept = server.post_json("/v1/feedback", json!({"id": id, "thumb": "up"})).await;
    assert_eq!(kept["recorded"], true);
    // A model that can't answer several at once is asked one by one.
    let alone = server.post_json("/v1/batch", json!({"model": MODEL, "requests": questions(2)})).await;
    let texts = alone["results"].as_array().unwrap().iter();
    let texts: Vec<_> = texts.map(|result| &result["response"]["choices"][0]["message"]["content"]).collect();
    assert_eq!(texts, ["So it is. [1]", "So it is. [1]"]);
    assert_eq!(alone["results"][0]["together"], 1);
}

#[tokio::test]
async fn many_questions_are_answered_in_the_background() {
    let server = Server::start().await.filled().await;
    let body = json!({"model": "burnish/extractive", "requests": questions(70)});
    let response = server.post("/v1/batch", body).await;
    assert_eq!(response.status(), 202);
    let taken: Value = response.json().await.unwrap();
    assert_eq!(taken["request_counts"]["total"], 70);
    let id = taken["id"].as_str().unwrap();
    let batch = ended(&server, id).await;
    assert_eq!(batch["request_counts"], json!({"total": 70, "completed": 70, "failed": 0}));
    check(&batch["results"], 70);
    let page = server.get_json(&format!("/v1/batch/{id}?from=60&limit=5")).await;
    assert_eq!((&page["results"][0]["index"], &page["next"]), (&json!(60), &json!(65)));
    assert!(server.get_json(&format!("/v1/batch/{id}?from=65&limit=5")).await["next"].is_null());
    let listed = server.get_json("/v1/batch").await;
    assert_eq!((&listed["data"][0]["id"], &listed["data"][0]["status"]), (&taken["id"], &json!("completed")));

    let body = json!({"model": "burnish/extractive", "background": true, "requests": questions(100)});
    let taken: Value = server.post("/v1/batch", body).await.json().await.unwrap();
    let path = format!("/v1/batch/{}", taken["id"].as_str().unwrap());
    let response = server.request(Method::DELETE, &path).send().await.unwrap();
    let cancelled: Value = response.json().await.unwrap();
    assert_eq!(cancelled["status"], "cancelled");
}

#[tokio::test]
async fn what_is_wrong_with_a_batch_is_said_with_its_place() {
    let server = Server::start().await.filled().await;
    let query = "At how many degrees is green tea brewed?";
    for (body, status, param) in [
        (json!({"requests": []}), 400, "requests"),
        (json!({"requests": [{}]}), 400, "requests[0].query"),
        (json!({"requests": [{"query": query}, {"query": " "}]}), 400, "requests[1].query"),
        (json!({"requests": [{"query": query, "messages": []}]}), 400, "requests[0].query"),
        (
            json!({"requests": [{"query": query, "custom_id": "a"}, {"query": query, "custom_id": "a"}]}),
            400,
            "requests[1].custom_id",
        ),
        (json!({"requests": [{"query": query, "temperature": 3}]}), 400, "requests[0].temperature"),
        (json!({"requests": [{"query": query, "model": "nobody"}]}), 404, "requests[0].model"),
        (json!({"model": "nobody", "requests": [{"query": query}]}), 404, "requests[0].model"),
        (json!({"requests": [{"query": query, "burnish": {"top_k": 0}}]}), 400, "requests[0].burnish.top_k"),
        (json!({"requests": questions(33), "background": false}), 400, "background"),
        (json!({"requests": [{"query": query, "stray": 1}]}), 400, "requests[0].stray"),
    ] {
        let response = server.post("/v1/batch", body.clone()).await;
        let found = response.status().as_u16();
        let error: Value = response.json().await.unwrap();
        assert_eq!((found, error["error"]["param"].as_str()), (status, Some(param)), "{body}: {error}");
    }
    for path in ["/v1/batch/x", "/v1/batch/00000000000000000000000000"] {
        assert_eq!(server.get(path).await.status(), 404, "{path}");
    }
}
