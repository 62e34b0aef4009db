//! Limits, guards, figures, and how serving ends.

use std::sync::Arc;
use std::time::Duration;

use burnish_server::ServerSettings;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::harness::{MODEL, Parrot, Server, events};

#[tokio::test]
async fn too_much_is_turned_away_at_once() {
    let settings = ServerSettings { max_concurrent_requests: 1, ..ServerSettings::default() };
    let told = Arc::new(Notify::new());
    let parrot = Parrot { before_the_second: Some(Arc::clone(&told)), ..Parrot::default() };
    let server = Server::with(settings, vec![Arc::new(parrot)]).await.filled().await;
    let stream = server.chat(MODEL, "green tea", true).await;

    let refused = server.post("/v1/search", json!({"query": "tea"})).await;
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "1");
    let error: Value = refused.json().await.unwrap();
    assert_eq!(error["error"]["code"], "overloaded");
    assert_eq!(server.get("/healthz").await.status(), 200);

    told.notify_one();
    let body = stream.text().await.unwrap();
    assert_eq!(events(&body).last(), Some(&"[DONE]"));
    // The stream has made room with its last byte.
    server.post_json("/v1/search", json!({"query": "tea"})).await;
}

#[tokio::test]
async fn what_does_not_begin_in_time_is_given_up() {
    let settings =
        ServerSettings { request_timeout: Duration::from_millis(300), ..ServerSettings::default() };
    let never = Some(Arc::new(Notify::new()));
    let parrot = Parrot { before_the_first: never, ..Parrot::default() };
    let server = Server::with(settings, vec![Arc::new(parrot)]).await.filled().await;
    let response = server.chat(MODEL, "green tea", false).await;
    assert_eq!(response.status(), 504);
    let error: Value = response.json().await.unwrap();
    assert_eq!(
        (&error["error"]["code"], &error["error"]["type"]),
        (&json!("timeout"), &json!("server_error"))
    );
}

#[tokio::test]
async fn streams_that_are_under_way_are_finished_before_the_end() {
    let told = Arc::new(Notify::new());
    let parrot = Parrot { before_the_second: Some(Arc::clone(&told)), ..Parrot::default() };
    let mut server = Server::with(ServerSettings::default(), vec![Arc::new(parrot)]).await.filled().await;
    let stream = server.chat(MODEL, "green tea", true).await;
    server.stop();
    told.notify_one();
    let body = stream.text().await.unwrap();
    assert_eq!(events(&body).last(), Some(&"[DONE]"));
    server.stopped().await.unwrap();
}

#[tokio::test]
async fn what_outlasts_the_grace_is_ended() {
    let settings = ServerSettings { shutdown_grace: Duration::ZERO, ..ServerSettings::default() };
    let never = Some(Arc::new(Notify::new()));
    let parrot = Parrot { before_the_second: never, ..Parrot::default() };
    let mut server = Server::with(settings, vec![Arc::new(parrot)]).await.filled().await;
    let _stream = server.chat(MODEL, "green tea", true).await;
    server.stop();
    server.stopped().await.unwrap();
}

#[tokio::test]
async fn browsers_cannot_be_used_against_it() {
    let server = Server::start().await;
    let own = server.address.clone();
    for (header, value, status) in [
        ("origin", own.as_str(), 200),
        ("origin", "https://example.com", 403),
        ("origin", "null", 403),
        ("sec-fetch-site", "same-origin", 200),
        ("sec-fetch-site", "cross-site", 403),
        ("host", "rebound.example.com", 403),
        ("host", "localhost:8080", 200),
    ] {
        let request = server.request(Method::POST, "/v1/search").json(&json!({"query": "tea"}));
        let response = request.header(header, value).send().await.unwrap();
        assert_eq!(response.status(), status, "{header}: {value}");
    }
    let headers = server.get("/").await.headers().clone();
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"));
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["referrer-policy"], "no-referrer");
}

#[tokio::test]
async fn figures_count_by_route() {
    let server = Server::start().await.filled().await;
    server.get("/v1/documents/1").await;
    server.get("/v1/documents/999").await;
    assert_eq!(server.get("/readyz").await.status(), 200);
    let figures = server.get("/metrics").await.text().await.unwrap();
    for line in [
        r#"burnish_http_requests_total{route="/v1/documents/{id}",method="GET",status="200"} 1"#,
        r#"burnish_http_requests_total{route="/v1/documents/{id}",method="GET",status="404"} 1"#,
        r#"burnish_http_request_seconds_count{route="/v1/documents/{id}"} 2"#,
        "burnish_documents 2",
    ] {
        assert!(figures.contains(line), "{line} is missing in {figures}");
    }
    assert!(figures.contains("burnish_strategy_quality{strategy=\"hybrid\"}"));
}
