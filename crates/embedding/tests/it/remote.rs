//! The remote embedder against a real server on a loopback socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use burnish_embedding::{RemoteEmbedder, RemoteSettings};
use burnish_types::Embedder;
use serde_json::{Value, json};

const KEY: &str = "sk-very-secret";

/// One request as it came in.
#[derive(Clone, Debug)]
struct Request {
    head: String,
    body: Value,
}

/// A server that answers as `answer` says, given how many requests came before; it ends with the test's process.
struct Server {
    base_url: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

/// Status line with further headers, and body.
type Reply = (String, String);

impl Server {
    fn start(answer: impl Fn(usize, &Request) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base_url = format!("http://user:{KEY}@{}/v1", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let request = read(&stream);
                let before = seen.lock().unwrap().len();
                seen.lock().unwrap().push(request.clone());
                let (head, body) = answer(before, &request);
                let length = body.len();
                write!(
                    stream,
                    "HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
                )
                .unwrap();
            }
        });
        Self { base_url, requests }
    }

    fn settings(&self) -> RemoteSettings {
        RemoteSettings {
            api_key: Some(KEY.to_owned()),
            pause: Duration::from_millis(1),
            ..RemoteSettings::new(&self.base_url, "model")
        }
    }

    fn inputs(&self) -> Vec<usize> {
        let requests = self.requests.lock().unwrap();
        requests.iter().map(|request| request.body["input"].as_array().unwrap().len()).collect()
    }
}

fn read(stream: &TcpStream) -> Request {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut head).unwrap(), 0, "the request ends in its head");
    }
    let length =
        head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap()];
    reader.read_exact(&mut body).unwrap();
    Request { head, body: serde_json::from_slice(&body).unwrap() }
}

/// Vectors `[length, 1, 0]`, last first.
fn vectors(request: &Request) -> Reply {
    let inputs = request.body["input"].as_array().unwrap();
    let rows: Vec<Value> = inputs
        .iter()
        .enumerate()
        .rev()
        .map(|(index, text)| json!({"index": index, "embedding": [text.as_str().unwrap().len(), 1, 0]}))
        .collect();
    ("200 OK".to_owned(), json!({"object": "list", "data": rows}).to_string())
}

fn status(line: &str) -> Reply {
    (line.to_owned(), json!({"error": {"message": format!("no use\nfor {KEY}")}}).to_string())
}

#[test]
fn texts_go_out_in_batches_and_come_back_in_order() {
    let server = Server::start(|_, request| vectors(request));
    let remote = RemoteEmbedder::connect(server.settings()).unwrap();
    assert_eq!((remote.model(), remote.dimensions(), remote.max_tokens()), ("model", 3, 512));

    let texts: Vec<String> = (0..130).map(|i| "x".repeat(i)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let found = remote.embed(&texts).unwrap();
    for (text, vector) in texts.iter().zip(&found) {
        // The empty text is sent as a blank.
        let length = text.len().max(1) as f32;
        let norm = length.hypot(1.0);
        assert!(
            (vector[0] - length / norm).abs() < 1e-6 && (vector[1] - 1.0 / norm).abs() < 1e-6,
            "{text}: {vector:?}"
        );
    }
    assert_eq!(server.inputs(), [1, 64, 64, 2]);
    assert!(remote.embed(&[]).unwrap().is_empty());

    let request = server.requests.lock().unwrap()[0].clone();
    assert!(request.head.starts_with("POST /v1/embeddings HTTP/1.1\r\n"), "{}", request.head);
    assert!(request.head.contains(&format!("authorization: Bearer {KEY}")), "{}", request.head);
    assert_eq!(request.body["model"], "model");
}

#[test]
fn given_dimensions_are_not_asked_for_but_checked() {
    let server = Server::start(|_, request| vectors(request));
    let remote =
        RemoteEmbedder::connect(RemoteSettings { dimensions: Some(4), ..server.settings() }).unwrap();
    assert_eq!(remote.dimensions(), 4);
    assert!(server.inputs().is_empty());
    let error = remote.embed(&["text"]).unwrap_err().to_string();
    assert!(error.contains("3 dimensions instead of 4"), "{error}");
}

#[test]
fn failures_that_may_pass_are_tried_again() {
    for line in ["429 Too Many Requests\r\nretry-after: 0", "500 Oops", "503 Busy\r\nretry-after: never"] {
        let server =
            Server::start(move |before, request| if before < 2 { status(line) } else { vectors(request) });
        let remote =
            RemoteEmbedder::connect(RemoteSettings { dimensions: Some(3), ..server.settings() }).unwrap();
        assert_eq!(remote.embed(&["text"]).unwrap().len(), 1, "{line}");
        assert_eq!(server.inputs().len(), 3, "{line}");
    }
}

#[test]
fn failures_that_stay_are_named_without_the_key() {
    let row = |embedding: Value| json!({"data": [{"index": 0, "embedding": embedding}]}).to_string();
    let cases = [
        (
            status("500 Oops"),
            4,
            "500 Internal Server Error: {\"error\":{\"message\":\"no use\\nfor …\"}} (after 4 attempts)",
        ),
        (status("401 Unauthorized"), 1, "401 Unauthorized"),
        (status("400 Bad Request"), 1, "400 Bad Request"),
        (("200 OK".to_owned(), "{}".to_owned()), 1, "missing field `data`"),
        (("200 OK".to_owned(), json!({"data": []}).to_string()), 1, "0 vectors came back for 1 texts"),
        (("200 OK".to_owned(), row(json!([]))), 1, "a vector has 0 dimensions instead of 3"),
        (("200 OK".to_owned(), row(json!([0, 0, 0]))), 1, "a vector has no direction"),
    ];
    for (reply, requests, reason) in cases {
        let server = Server::start(move |_, _| reply.clone());
        let remote =
            RemoteEmbedder::connect(RemoteSettings { dimensions: Some(3), ..server.settings() }).unwrap();
        let error = remote.embed(&["text"]).unwrap_err().to_string();
        assert!(error.contains(reason), "{error} does not say {reason}");
        assert!(error.contains("/v1/embeddings") && !error.contains(KEY), "{error}");
        assert_eq!(server.inputs().len(), requests, "{reason}");
        assert!(!format!("{:?}", server.settings()).contains("Some(\"sk-"));
    }
}

#[test]
fn an_endpoint_that_is_not_there_is_named() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (base_url, reason) in
        [(format!("http://{closed}/v1"), "Connection refused"), ("nowhere".to_owned(), "it is no address")]
    {
        let settings = RemoteSettings { pause: Duration::ZERO, ..RemoteSettings::new(base_url, "model") };
        let error = RemoteEmbedder::connect(settings).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn counts_are_estimates() {
    let remote = RemoteEmbedder::connect(RemoteSettings {
        dimensions: Some(3),
        ..RemoteSettings::new("http://localhost/v1", "m")
    });
    let remote = remote.unwrap();
    for (text, count) in
        [("", 0), (" \n", 0), ("word", 1), ("words", 2), ("two words", 3), ("日本語", 3), ("é", 1)]
    {
        assert_eq!(remote.count_tokens(text), count, "{text}");
    }
}
