//! Feedback that moves rankings, is kept apart by tenant, can be taken back, and is shown.

use serde_json::{Value, json};

use super::harness::Server;

const QUESTION: &str = "At how many degrees is green tea brewed?";
const AGAIN: &str = "At how many degrees is the green tea brewed?";

async fn search(server: &Server, query: &str, tenant: Option<&str>) -> Value {
    let user = json!({"user": "bob", "tenant": tenant});
    server.post_json("/v1/search", json!({"query": query, "user": user, "strategy": "hybrid"})).await
}

fn lifted(found: &Value, chunk: &Value) -> Value {
    let results = found["results"].as_array().unwrap();
    let passage = results.iter().find(|passage| passage["chunk"] == *chunk);
    passage.map_or(Value::Null, |passage| passage["lifted"].clone())
}

#[tokio::test]
async fn what_a_person_confirms_moves_the_ranking_until_it_is_taken_back() {
    let server = Server::start().await.filled().await;
    let asked = json!({"query": QUESTION, "user": {"user": "ada", "tenant": "acme"}});
    let first = server.post_json("/v1/search", asked).await;
    let last = first["results"].as_array().unwrap().last().unwrap()["chunk"].clone();
    let report = |tenant: &str| json!({"id": first["id"], "chunk": last, "correct": true, "user": {"user": "ada", "tenant": tenant}});
    assert_eq!(server.post("/v1/feedback", report("other")).await.status(), 404, "of another tenant");
    assert_eq!(server.post("/v1/feedback", report("acme")).await.status(), 200);

    let found = search(&server, AGAIN, Some("acme")).await;
    let why = lifted(&found, &last);
    assert_eq!(
        (why["confirmed_by"].as_u64(), why["question"].as_str()),
        (Some(1), Some(&*QUESTION.to_lowercase()))
    );
    assert_eq!(lifted(&search(&server, AGAIN, None).await, &last), Value::Null, "nobody else's");

    let learning = server.get_json("/v1/learning").await;
    assert_eq!(learning["memory"]["votes"], 1);
    assert_eq!(learning["judged"], 1);
    let page = server.get("/learning").await.text().await.unwrap();
    assert!(page.contains("1 of them judged") && page.contains("<svg"), "{page}");

    let forget =
        server.request(reqwest::Method::DELETE, "/v1/feedback?user=ada&tenant=acme").send().await.unwrap();
    assert_eq!(forget.json::<Value>().await.unwrap()["forgotten"], 1);
    assert_eq!(lifted(&search(&server, AGAIN, Some("acme")).await, &last), Value::Null);
    assert_eq!(server.get_json("/v1/learning").await["memory"]["votes"], 0);
}

#[tokio::test]
async fn the_log_as_a_whole_is_learned_from() {
    let server = Server::start().await.filled().await;
    let found = search(&server, QUESTION, None).await;
    server.post("/v1/feedback", json!({"id": found["id"], "thumb": "up"})).await;
    assert!(server.get("/learning").await.text().await.unwrap().contains("Nobody has looked yet"));
    let learned = server.post_json("/v1/learning", json!({"seed": 3})).await;
    // What was asked named its strategy, so there was nothing to compare.
    assert_eq!((learned["promoted"].as_bool(), learned["patterns"]["n"].as_u64()), (Some(false), Some(0)));
    let learning = server.get_json("/v1/learning").await;
    assert_eq!(learning["patterns"]["found"], json!([]));
    assert_eq!(learning["trees"]["events"][0]["change"], "refused");
    let page = server.get("/learning").await.text().await.unwrap();
    assert!(
        page.contains("Nothing holds for one part") && page.contains("No boosted trees are in use"),
        "{page}"
    );
    let demoted = server.request(reqwest::Method::DELETE, "/v1/learning/trees").send().await.unwrap();
    assert_eq!(demoted.json::<Value>().await.unwrap()["demoted"], false);
    assert_eq!(server.post("/v1/learning", json!({"sead": 3})).await.status(), 400);
}

#[tokio::test]
async fn before_anything_was_asked_the_page_says_so() {
    let server = Server::start().await;
    let page = server.get("/learning").await.text().await.unwrap();
    assert!(page.contains("Nothing has been asked yet"), "{page}");
    assert_eq!(server.get_json("/v1/learning").await["decisions"], 0);
}

#[tokio::test]
async fn reports_that_say_nothing_are_refused() {
    let server = Server::start().await.filled().await;
    let found = search(&server, QUESTION, None).await;
    let chunk = &found["results"][0]["chunk"];
    let id = &found["id"];
    for (body, status) in [
        (json!({"id": id, "chunk": chunk, "opened": true}), 200),
        (json!({"id": id, "chunk": chunk, "cited": true}), 200),
        (json!({"id": id, "completed": false}), 200),
        (json!({"id": id, "asked_again": true}), 200),
        (json!({"id": id, "score": 7}), 400),
        (json!({"id": id, "score": 0.5, "thumb": "up"}), 400),
        (json!({"id": id, "chunk": 999_999, "correct": true}), 404),
        (json!({"id": id, "chunk": 999_999, "opened": true}), 404),
        (json!({"id": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "thumb": "up"}), 404),
    ] {
        let response = server.post("/v1/feedback", body.clone()).await;
        assert_eq!(response.status(), status, "{body}");
    }
}
