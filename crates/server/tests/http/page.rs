//! The page without a script: everything that can be had as HTML.

use reqwest::Method;
use serde_json::Value;

use super::harness::Server;

#[tokio::test]
async fn questions_are_answered_without_a_script() {
    let server = Server::start().await.filled().await;
    let response =
        server.get("/?q=At+how+many+degrees+is+green+tea+brewed%3F&model=burnish%2Fextractive").await;
    assert_eq!(response.status(), 200);
    let page = response.text().await.unwrap();
    for expected in
        ["eighty degrees", "class=\"cite\"", "<mark>", "What was planned, and why", "chosen</span>"]
    {
        assert!(page.contains(expected), "{expected} is missing in {page}");
    }
}

#[tokio::test]
async fn what_people_write_is_shown_as_text() {
    let server = Server::start().await;
    let nasty = "<script>alert(1)</script>";
    server.upload(&[("<b>.md", format!("# {nasty}\n\n{nasty} & \"tea\"\n").as_bytes())]).await;
    for path in
        ["/?q=%3Cscript%3Ealert(1)%3C/script%3E&model=%22%3E%3Cb%3E", "/documents", "/documents/1", "/?q=tea"]
    {
        let page = server.get(path).await.text().await.unwrap();
        assert!(!page.contains("<script>") && !page.contains("<b>"), "{path}: {page}");
    }
}

#[tokio::test]
async fn each_state_says_what_is_the_matter() {
    let empty = Server::start().await;
    for (path, status, words) in [
        ("/", 200, "There is nothing to ask yet"),
        ("/documents", 200, "There are no documents yet"),
        ("/?q=+", 400, "ask something"),
        ("/?q=x&model=gpt-9", 404, "no model is called"),
        ("/documents/7", 404, "Nothing is here"),
        ("/documents?after=x", 400, "This cannot be shown"),
        ("/decisions/x", 404, "Nothing is here"),
        ("/nowhere", 404, "Nothing is here"),
    ] {
        let request = empty.request(Method::GET, path).header("accept", "text/html,*/*");
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8", "{path}");
        let page = response.text().await.unwrap();
        assert!(page.contains(words), "{path}: {page}");
        assert!(!page.contains("None"), "{path}: {page}");
    }
}

#[tokio::test]
async fn assets_are_kept_until_they_change() {
    let server = Server::start().await;
    let page = server.get("/").await.text().await.unwrap();
    for (name, kind) in
        [("page.css", "text/css"), ("page.js", "text/javascript"), ("logo.svg", "image/svg+xml")]
    {
        let start = page.find(&format!("/assets/{name}?v=")).unwrap();
        let address = page[start..].split('"').next().unwrap();
        let response = server.get(address).await;
        assert!(response.headers()["content-type"].to_str().unwrap().starts_with(kind));
        let tag = response.headers()["etag"].to_str().unwrap().to_owned();
        assert!(address.ends_with(tag.trim_matches('"')));
        let again = server.request(Method::GET, address).header("if-none-match", tag).send().await.unwrap();
        assert_eq!(again.status(), 304);
    }
    assert_eq!(server.get("/assets/nothing").await.status(), 404);
}

#[tokio::test]
async fn decisions_are_shown_to_people() {
    let server = Server::start().await.filled().await;
    let answer: Value =
        server.chat("burnish/extractive", "green tea degrees", false).await.json().await.unwrap();
    let id = answer["id"].as_str().unwrap();
    let judgement = serde_json::json!({"id": id, "thumb": "down", "comment": "too hot"});
    server.post_json("/v1/feedback", judgement).await;
    let page = server.get(&format!("/decisions/{id}")).await.text().await.unwrap();
    for expected in
        ["green tea degrees", "It did not help.", "too hot", "data-thumb=\"down\" aria-pressed=\"true\""]
    {
        assert!(page.contains(expected), "{expected} is missing in {page}");
    }
}
