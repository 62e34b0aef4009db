//! Documents come in, can be looked at, and go.

use burnish_server::ServerSettings;
use reqwest::Method;
use serde_json::{Value, json};

use super::harness::{BREAD, Server, TEA};

#[tokio::test]
async fn documents_come_and_go() {
    let server = Server::start().await;
    let response = server.upload(&[("folder/tea.md", TEA.as_bytes()), ("b.txt", BREAD.as_bytes())]).await;
    let report: Value = response.json().await.unwrap();
    assert_eq!((&report["documents"], &report["refused"]), (&json!(2), &json!([])));
    let again: Value = server.upload(&[("tea.md", TEA.as_bytes())]).await.json().await.unwrap();
    assert_eq!((&again["documents"], &again["unchanged"]), (&json!(0), &json!(1)));

    let first = server.get_json("/v1/documents?limit=1").await;
    assert_eq!(first["documents"][0]["key"], "tea.md");
    let second = server.get_json(&format!("/v1/documents?limit=1&after={}", first["next"])).await;
    assert_eq!((&second["documents"][0]["key"], &second["next"]), (&json!("b.txt"), &Value::Null));

    let path = format!("/v1/documents/{}", first["documents"][0]["id"]);
    let document = server.get_json(&path).await;
    assert_eq!(document["format"], "markdown");
    let chunks = document["content"].as_array().unwrap();
    assert_eq!(chunks.len() as u64, document["chunks"].as_u64().unwrap());
    let chunk = server.get_json(&format!("/v1/chunks/{}", chunks[0]["id"])).await;
    assert_eq!(chunk, chunks[0]);

    let deleted = server.request(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(deleted.status(), 200);
    assert_eq!(server.get(&path).await.status(), 404);
    assert_eq!(server.request(Method::DELETE, &path).send().await.unwrap().status(), 404);
    let found = server.post_json("/v1/search", json!({"query": "green tea", "strategy": "sparse"})).await;
    assert_eq!(found["results"], json!([]));
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_and_the_rest_goes_on() {
    let server = Server::start().await;
    let broken = b"PK\x03\x04 this is no archive";
    let response = server.upload(&[("broken.docx", broken), ("bread.txt", BREAD.as_bytes())]).await;
    let report: Value = response.json().await.unwrap();
    assert_eq!(report["documents"], 1);
    assert_eq!(report["refused"][0]["path"], "broken.docx");
    assert!(!report["refused"][0]["reason"].as_str().unwrap().is_empty());
}

#[tokio::test]
async fn uploads_have_names_and_a_limit() {
    let settings = ServerSettings { max_upload_bytes: 4_096, ..ServerSettings::default() };
    let server = Server::with(settings, Vec::new()).await;
    for (name, length, status, code) in [
        ("big.txt", 8_192, 413, "body_too_large"),
        ("..", 1, 400, "invalid_value"),
        ("folder/", 1, 400, "invalid_value"),
    ] {
        let response = server.upload(&[(name, &vec![b'x'; length])]).await;
        assert_eq!(response.status(), status, "{name}");
        let error: Value = response.json().await.unwrap();
        assert_eq!(error["error"]["code"], code, "{error}");
    }
    let empty = server.upload(&[]).await;
    assert_eq!(empty.status(), 400);
    assert_eq!(server.get_json("/v1/documents").await["documents"], json!([]));
}
