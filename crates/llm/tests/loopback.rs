//! The client against a real server on loopback that answers with exactly the bytes of each case.
#![expect(clippy::unwrap_used, reason = "a test says so by failing")]

use std::time::Duration;

use burnish_llm::{ApiKey, Model, ModelSettings, SettingsError};
use burnish_types::{LanguageModel, Message, ModelError, ModelEvent, ModelRequest, Role, Usage};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const OPEN: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
const KEY: &str = "sk-very-secret";

/// What the server does once it has sent its bytes.
#[derive(Clone, Copy)]
enum Then {
    Close,
    /// Keeps the connection open until the client leaves.
    Hold,
}

/// A server for one request: sends `pieces`, one write each, and gives back what it was asked.
async fn serve(pieces: Vec<Vec<u8>>, then: Then) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        connection.set_nodelay(true).unwrap();
        let request = read_request(&mut connection).await;
        for piece in pieces {
            // The client may have seen enough and left.
            if connection.write_all(&piece).await.is_err() {
                break;
            }
        }
        if let Then::Hold = then {
            let _left = connection.read(&mut [0; 1]).await;
        }
        request
    });
    (base_url, server)
}

async fn read_request(connection: &mut TcpStream) -> String {
    let mut request = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let read = connection.read(&mut buffer).await.unwrap();
        request.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if read == 0 || body.len() >= length.unwrap_or(0) {
            return text;
        }
    }
}

/// A model that is tried once.
fn model(base_url: &str, patience: Duration) -> Model {
    let mut settings = ModelSettings::new("one", base_url, "provider/model-1");
    settings.endpoints[0].api_key = Some(ApiKey::new(KEY));
    settings.patience.first_token = patience;
    settings.patience.idle = patience;
    settings.retries.tries = 1;
    Model::new(&settings).unwrap()
}

fn request() -> ModelRequest {
    let message = |role, content: &str| Message { role, content: content.to_owned() };
    ModelRequest {
        messages: vec![message(Role::System, "Be brief."), message(Role::User, "Hi?")],
        max_tokens: Some(200),
        temperature: Some(0.25),
        ..ModelRequest::default()
    }
}

/// The text, how it ended, and what was asked.
struct Told {
    text: String,
    end: Result<(String, Option<Usage>), ModelError>,
    asked: String,
}

async fn ask(pieces: Vec<Vec<u8>>, then: Then, patience: Duration) -> Told {
    let (base_url, server) = serve(pieces, then).await;
    let model = model(&base_url, patience);
    let mut text = String::new();
    let mut ends = Vec::new();
    match model.stream(request()).await {
        Err(error) => ends.push(Err(error)),
        Ok(mut stream) => {
            while let Some(event) = stream.next().await {
                match event {
                    Ok(ModelEvent::Text(more)) => {
                        assert!(ends.is_empty(), "text after the end");
                        text.push_str(&more);
                    }
                    Ok(ModelEvent::Finished { reason, usage }) => ends.push(Ok((reason, usage))),
                    Ok(ModelEvent::Extra(_) | ModelEvent::Spent(_)) => {}
                    Err(error) => ends.push(Err(error)),
                }
            }
        }
    }
    assert_eq!(ends.len(), 1, "{ends:?}");
    Told { text, end: ends.remove(0), asked: server.await.unwrap() }
}

async fn told(response: &str) -> Told {
    ask(vec![response.as_bytes().to_vec()], Then::Close, Duration::from_secs(10)).await
}

fn text(words: &str) -> String {
    format!(
        "data: {}\n\n",
        json!({"choices": [{"index": 0, "delta": {"content": words}, "finish_reason": null}]})
    )
}

fn finish(reason: &str) -> String {
    format!("data: {}\n\n", json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}))
}

const USAGE: &str =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":4,\"total_tokens\":13}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

fn used() -> Option<Usage> {
    Some(Usage { input_tokens: 9, output_tokens: 4, ..Usage::default() })
}

#[tokio::test]
async fn answers_are_streamed_with_their_usage() {
    let stop = finish("stop");
    let (one, two) = (text("Grüße, "), text("😀!"));
    let role = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
    let whole = "{\"choices\":[{\"message\":{\"role\":\"assistant\",\"content\":\"Grüße, 😀!\"},\
                 \"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":4}}";
    let cases = [
        ("as OpenAI does", format!("{OPEN}{role}{one}{two}{stop}{USAGE}{DONE}"), used()),
        (
            "with CR LF",
            format!("{OPEN}{}", format!("{one}{two}{stop}{USAGE}{DONE}").replace('\n', "\r\n")),
            used(),
        ),
        ("with comments", format!("{OPEN}: wait\n\n{one}: still there\n\n{two}{stop}{DONE}"), None),
        ("without [DONE]", format!("{OPEN}{one}{two}{stop}{USAGE}"), used()),
        ("without a finish reason", format!("{OPEN}{one}{two}{DONE}"), None),
        ("without the last blank line", format!("{OPEN}{one}{two}{stop}data: [DONE]"), None),
        ("with more after [DONE]", format!("{OPEN}{one}{two}{stop}{DONE}{}", text("?")), None),
        (
            "over two data lines",
            format!("{OPEN}{one}{}{stop}{DONE}", two.replace(":[{", ":\ndata: [{")),
            None,
        ),
        ("not streamed", format!("{}{whole}", OPEN.replace("text/event-stream", "application/json")), used()),
    ];
    for (case, response, usage) in cases {
        let told = told(&response).await;
        assert_eq!(told.text, "Grüße, 😀!", "{case}");
        assert_eq!(told.end.unwrap(), ("stop".to_owned(), usage), "{case}");
    }
}

#[tokio::test]
async fn the_request_is_openais() {
    let told = told(&format!("{OPEN}{}{}{DONE}", text("Hi."), finish("length"))).await;
    assert_eq!(told.end.unwrap().0, "length");
    let (head, body) = told.asked.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("authorization: Bearer {KEY}")), "{head}");
    let expected = json!({
        "model": "provider/model-1",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi?"}],
        "stream": true, "stream_options": {"include_usage": true},
        "max_tokens": 200, "temperature": 0.25,
    });
    assert_eq!(serde_json::from_str::<Value>(body).unwrap(), expected);
}

#[tokio::test]
async fn characters_survive_being_cut_apart() {
    let body = format!("{}{}{}{USAGE}{DONE}", text("naïve "), text("日本語"), finish("stop"));
    let pieces =
        std::iter::once(OPEN.as_bytes().to_vec()).chain(body.bytes().map(|byte| vec![byte])).collect();
    let told = ask(pieces, Then::Close, Duration::from_secs(10)).await;
    assert_eq!(told.text, "naïve 日本語");
    assert_eq!(told.end.unwrap(), ("stop".to_owned(), used()));
}

fn answer(status: &str, kind: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn refusals_keep_their_status_and_words() {
    let echoed = format!("{{\"error\":{{\"message\":\"Incorrect API key provided: {KEY}.\"}}}}");
    let overloaded = "data: {\"error\":{\"message\":\"Overloaded\",\"code\":529}}\n\n";
    let cases = [
        (answer("401 Unauthorized", "application/json", &echoed), 401, "Incorrect API key provided: [key]."),
        (answer("500 Internal Server Error", "text/html", "<h1>Oh\n no</h1><hr>nginx"), 500, "Oh no nginx"),
        (answer("503 Service Unavailable", "text/plain", ""), 503, "Service Unavailable"),
        (answer("307 Temporary Redirect", "text/plain", "moved"), 307, "moved"),
        (
            answer("200 OK", "application/json", "{\"error\":{\"message\":\"No credit\",\"code\":402}}"),
            402,
            "No credit",
        ),
        (format!("{OPEN}{overloaded}"), 529, "Overloaded"),
        (format!("{OPEN}data: {{\"error\":\"It broke\"}}\n\n{DONE}"), 200, "It broke"),
    ];
    for (response, expected_status, expected) in cases {
        match told(&response).await.end {
            Err(ModelError::Refused { model, status, reason, .. }) => {
                assert_eq!((model.as_str(), status, reason.as_str()), ("one", expected_status, expected));
            }
            end => panic!("{end:?} for {response}"),
        }
    }
    let long = answer("400 Bad Request", "text/plain", &"é".repeat(100_000));
    let Err(ModelError::Refused { reason, .. }) = told(&long).await.end else { panic!("not refused") };
    assert_eq!(reason.chars().count(), 301);
}

#[tokio::test]
async fn cut_answers_are_told_from_complete_ones() {
    let announced = OPEN.replace("connection: close", "content-length: 100000");
    let cases = [
        (format!("{OPEN}{}", text("Half a")), "Half a", "the answer broke off after 6 characters"),
        (format!("{announced}{}", text("Half a")), "Half a", "the answer broke off after 6 characters ("),
        (format!("{OPEN}{}data: {{\"choi", text("Half a")), "Half a", "`{\"choi`"),
        (format!("{announced}{}data: {{\"choi", text("Half a")), "Half a", "broke off after 6 characters ("),
    ];
    for (response, expected_text, expected) in cases {
        let told = told(&response).await;
        assert_eq!(told.text, expected_text);
        let message = told.end.unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
    let complete = told(&format!("{announced}{}{}{USAGE}", text("All of it."), finish("stop"))).await;
    assert_eq!(complete.end.unwrap(), ("stop".to_owned(), used()));
}

#[tokio::test]
async fn garbage_is_called_garbage() {
    let cases = [
        format!("{OPEN}data: {{not json\n\n"),
        format!("{OPEN}data: {{\"choices\": 7}}\n\n"),
        format!("{OPEN}<!doctype html><title>Sign in</title>"),
        format!("{OPEN}Service is starting"),
        format!("{OPEN}{{\"choices\":[]}}"),
        format!("{OPEN}{{\"choices\":"),
        OPEN.to_owned(),
        format!("{OPEN}data: \u{0}\n\n"),
    ];
    for response in cases {
        let told = told(&response).await;
        assert!(matches!(told.end, Err(ModelError::Garbled { .. })), "{:?} for {response}", told.end);
    }
}

#[tokio::test]
async fn patience_ends() {
    let short = Duration::from_millis(150);
    let cases: [(Vec<Vec<u8>>, &str); 4] = [
        (vec![], "no word came within 150ms"),
        (vec![OPEN.into()], "no word came within 150ms"),
        (vec![OPEN.into(), b": still thinking\n\n".to_vec()], "no word came within 150ms"),
        (vec![OPEN.into(), text("Well, ").into()], "nothing came for 150ms after 6 characters"),
    ];
    for (pieces, expected) in cases {
        let end = ask(pieces, Then::Hold, short).await.end;
        match end {
            Err(ModelError::Unreachable { reason, .. }) => assert_eq!(reason, expected),
            Err(ModelError::Interrupted { characters: 6, reason, .. }) => {
                assert!(reason.contains(expected), "{reason}");
            }
            end => panic!("{end:?} instead of {expected}"),
        }
    }
}

#[tokio::test]
async fn a_complete_answer_does_not_wait_for_the_connection() {
    let pieces = vec![OPEN.into(), text("All.").into(), finish("stop").into(), USAGE.into()];
    let told = ask(pieces, Then::Hold, Duration::from_secs(60)).await;
    assert_eq!(told.end.unwrap(), ("stop".to_owned(), used()));
}

#[tokio::test]
async fn nobody_listening_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    let Err(error) = model(&base_url, Duration::from_secs(5)).stream(request()).await else {
        panic!("reached")
    };
    assert!(matches!(error, ModelError::Unreachable { .. }));
    assert!(error.to_string().contains("refused"), "{error}");
}

#[test]
fn keys_are_never_shown() {
    let mut settings = ModelSettings::new("m", "http://127.0.0.1:1/v1", "m");
    settings.endpoints[0].api_key = Some(ApiKey::new(KEY));
    assert!(!format!("{settings:?}").contains(KEY));
    assert!(!format!("{:?}", Model::new(&settings).unwrap()).contains(KEY));
    for key in ["", " ", "sk-\n1"] {
        settings.endpoints[0].api_key = Some(ApiKey::new(key));
        assert!(matches!(Model::new(&settings), Err(SettingsError::Key(_))), "{key:?}");
    }
}
