//! What is like something, or for somebody, over HTTP and on the page.

use serde_json::{Value, json};

use super::harness::Server;

const KETTLE: &str =
    "A kettle boils water for tea: black tea wants boiling water, green tea eighty degrees.\n";

async fn library() -> Server {
    let server = Server::start().await.filled().await;
    assert_eq!(server.upload(&[("kettle.txt", KETTLE.as_bytes())]).await.status(), 200);
    server
}

/// The first chunk whose text has these words, with its document.
async fn chunk(server: &Server, words: &str) -> (u64, u64) {
    for document in 1..=3 {
        let document = server.get_json(&format!("/v1/documents/{document}")).await;
        for chunk in document["content"].as_array().unwrap() {
            if chunk["text"].as_str().unwrap().contains(words) {
                return (chunk["id"].as_u64().unwrap(), chunk["document"].as_u64().unwrap());
            }
        }
    }
    panic!("no chunk says `{words}`")
}

fn documents(answer: &Value) -> Vec<u64> {
    let results = answer["results"].as_array().unwrap().iter();
    results.map(|result| result["document"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn passages_have_their_like_with_the_reason() {
    let server = library().await;
    let (green, tea) = chunk(&server, "Green tea").await;
    let (kettle, kettles) = chunk(&server, "kettle").await;
    let (_, bread) = chunk(&server, "Sourdough").await;

    let near = server.post_json("/v1/related", json!({"chunk": green, "top_k": 2})).await;
    assert_eq!((&near["strategy"], &near["policy"]), (&json!("related"), &json!("related")));
    assert_eq!(near["propensity"], 1.0);
    let results = near["results"].as_array().unwrap();
    assert_eq!(results.len(), 2);
    for result in results {
        assert_ne!(result["chunk"], green);
        assert_ne!(result["document"], bread);
        assert_eq!(
            (&result["because"]["chunk"], &result["because"]["document"]),
            (&json!(green), &json!(tea))
        );
        assert!(result["because"]["likeness"].as_f64().unwrap() > 0.0 && result["text"].is_string());
    }

    let near = server.post_json("/v1/related", json!({"document": tea, "per_document": 1})).await;
    assert_eq!(documents(&near), [kettles, bread], "each once, and not itself");
    let only = json!({"all": [{"field": "format", "equals": "markdown"}]});
    let filtered = server.post_json("/v1/related", json!({"chunk": kettle, "filter": only})).await;
    assert!(!documents(&filtered).is_empty() && documents(&filtered).iter().all(|found| *found == tea));

    let decision = server.get_json(&format!("/v1/decisions/{}", near["id"].as_str().unwrap())).await;
    assert!(decision["query"].as_str().unwrap().contains("tea"), "{decision}");
    assert_eq!(decision["answer"]["evidence"].as_array().map(Vec::len), Some(2), "{decision}");
}

#[tokio::test]
async fn what_somebody_liked_leads_to_more_of_it() {
    let server = library().await;
    let (green, _) = chunk(&server, "Green tea").await;
    let ada = json!({"user": {"user": "ada"}});
    let nothing = server.post_json("/v1/related", ada.clone()).await;
    assert_eq!(nothing["results"], json!([]));
    assert!(nothing["reason"].as_str().unwrap().contains("nothing is known of `ada`"), "{nothing}");

    let asked = json!({"query": "How hot is green tea?", "user": {"user": "ada"}});
    let found = server.post_json("/v1/search", asked).await;
    server.post_json("/v1/feedback", json!({"id": found["id"], "chunk": green, "correct": true})).await;
    let offered = server.post_json("/v1/related", ada.clone()).await;
    let results = offered["results"].as_array().unwrap();
    assert!(results.iter().all(|result| result["chunk"] != green && result["because"]["chunk"] == green));
    let first = &results[0]["chunk"];

    // What is said of it counts: it was seen, and is not offered again.
    server.post_json("/v1/feedback", json!({"id": offered["id"], "chunk": first, "opened": true})).await;
    let again = server.post_json("/v1/related", ada).await;
    assert!(again["results"].as_array().unwrap().iter().all(|result| result["chunk"] != *first));
    let bob = server.post_json("/v1/related", json!({"user": {"user": "bob"}})).await;
    assert_eq!(bob["results"], json!([]));
}

#[tokio::test]
async fn what_is_said_of_related_passages_moves_them() {
    let server = library().await;
    let (green, _) = chunk(&server, "Green tea").await;
    let (sourdough, _) = chunk(&server, "Sourdough").await;
    let near = server.post_json("/v1/related", json!({"chunk": green})).await;
    assert_ne!(near["results"][0]["chunk"], sourdough);
    server.post_json("/v1/feedback", json!({"id": near["id"], "chunk": sourdough, "correct": true})).await;
    let after = server.post_json("/v1/related", json!({"chunk": green})).await;
    assert_eq!(after["results"][0]["chunk"], sourdough);
    assert_eq!(after["results"][0]["lifted"]["confirmed_by"], 1);
    let acme = json!({"chunk": green, "asked_by": {"tenant": "acme"}});
    let elsewhere = server.post_json("/v1/related", acme).await;
    assert_ne!(elsewhere["results"][0]["chunk"], sourdough, "another tenant's");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_its_place() {
    let server = library().await;
    let cases = [
        (json!({}), 400, "invalid_value", ""),
        (json!({"document": 1, "chunk": 1}), 400, "invalid_value", ""),
        (json!({"chunk": 1, "user": {"user": "ada"}}), 400, "invalid_value", ""),
        (json!({"chunk": 1, "user": null, "document": null}), 200, "", ""),
        (json!({"chunk": -1}), 400, "invalid_value", "chunk"),
        (json!({"chunk": "one"}), 400, "invalid_value", "chunk"),
        (json!({"chunk": 99}), 404, "not_found", "chunk"),
        (json!({"chunk": u64::MAX}), 404, "not_found", "chunk"),
        (json!({"document": 99}), 404, "not_found", "document"),
        (json!({"document": u64::MAX}), 404, "not_found", "document"),
        (json!({"user": {}}), 400, "invalid_value", "user.user"),
        (json!({"user": {"user": ""}}), 400, "invalid_value", "user.user"),
        (json!({"user": {"name": "ada"}}), 400, "invalid_value", "user.name"),
        (json!({"user": {"user": "ada"}, "asked_by": {}}), 400, "invalid_value", "asked_by"),
        (json!({"chunk": 1, "top_k": 0}), 400, "invalid_value", "top_k"),
        (json!({"chunk": 1, "top_k": 101}), 400, "invalid_value", "top_k"),
        (json!({"chunk": 1, "per_document": 0}), 400, "invalid_value", "per_document"),
        (json!({"chunk": 1, "filter": {"all": [{"field": "f"}]}}), 400, "invalid_value", "filter.all[0]"),
        (json!({"chunk": 1, "query": "x"}), 400, "invalid_value", "query"),
    ];
    for (body, status, code, param) in cases {
        let response = server.post("/v1/related", body.clone()).await;
        assert_eq!(response.status(), status, "{body}");
        if status != 200 {
            let answer: Value = response.json().await.unwrap();
            let error = &answer["error"];
            assert_eq!(error["code"], code, "{body}: {error}");
            assert_eq!(error["param"].as_str().unwrap_or_default(), param, "{body}: {error}");
            assert_eq!(error["type"], "invalid_request_error", "{body}");
        }
    }
}

#[tokio::test]
async fn a_document_names_its_like_on_the_page() {
    let server = library().await;
    let (_, tea) = chunk(&server, "Green tea").await;
    let (kettle, kettles) = chunk(&server, "kettle").await;
    let page = server.get(&format!("/documents/{tea}")).await.text().await.unwrap();
    let link = format!("href=\"/documents/{kettles}#chunk-{kettle}\"");
    assert!(page.contains("Related</h2>") && page.contains(&link), "{page}");

    let lonely = Server::start().await;
    lonely.upload(&[("kettle.txt", KETTLE.as_bytes())]).await;
    let page = lonely.get("/documents/1").await.text().await.unwrap();
    assert!(!page.contains("Related"), "{page}");
}
