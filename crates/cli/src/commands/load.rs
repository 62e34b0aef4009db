//! Requests that come at a fixed rate, whatever becomes of those before them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};

use crate::commands::bench::quantile;

/// What is still under way so long after the last request counts as failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Bytes of a failed answer that are shown.
const LONGEST_WORDS: usize = 240;

/// Numbers the questions of this process, so that no answer is known already.
static QUESTIONS: AtomicU64 = AtomicU64::new(0);

/// Where requests go.
#[derive(Debug)]
pub(crate) struct Target {
    address: SocketAddr,
    path: String,
    model: String,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

impl Target {
    /// `base_url` goes up to and including `/v1`.
    pub(crate) fn new(base_url: &str, model: &str) -> Result<Self> {
        let odd = || format!("`{base_url}` is no http://ADDRESS:PORT/PATH");
        let (address, path) =
            base_url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).with_context(odd)?;
        Ok(Self {
            address: address.parse().with_context(odd)?,
            path: format!("/{}/chat/completions", path.trim_end_matches('/')),
            model: model.to_owned(),
            idle: Mutex::default(),
        })
    }

    async fn connection(&self) -> Result<SendRequest<Full<Bytes>>> {
        while let Some(mut known) = { self.idle.lock().pop() } {
            if known.ready().await.is_ok() {
                return Ok(known);
            }
        }
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }

    /// One question, to the last byte of its answer.
    async fn ask(&self, streamed: bool) -> Result<()> {
        let number = QUESTIONS.fetch_add(1, Ordering::Relaxed);
        let content = format!("How many pages does the report number {number} on cached answers have?");
        let body = json!({
            "model": self.model, "stream": streamed, "messages": [{"role": "user", "content": content}],
        });
        let request = Request::builder()
            .method(Method::POST)
            .uri(&self.path)
            .header(HOST, self.address.to_string())
            .header(CONTENT_TYPE, "application/json")
            .header(AUTHORIZATION, "Bearer none")
            .body(Full::new(Bytes::from(body.to_string())))?;
        let mut connection = self.connection().await?;
        let response = connection.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        self.idle.lock().push(connection);
        if status != StatusCode::OK {
            bail!("{status}: {}", end_of(&body));
        }
        if is_whole(&body, streamed) { Ok(()) } else { bail!("{}", end_of(&body)) }
    }
}

/// The end of a body, where it says what went wrong.
fn end_of(body: &[u8]) -> String {
    let words = String::from_utf8_lossy(&body[body.len().saturating_sub(LONGEST_WORDS)..]).into_owned();
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether it is an answer, to its end.
fn is_whole(body: &[u8], streamed: bool) -> bool {
    if streamed {
        return body.trim_ascii_end().ends_with(b"[DONE]")
            && !body.windows(9).any(|part| part == b"\"error\":{");
    }
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    answer["choices"][0]["message"]["content"].as_str().is_some_and(|text| !text.is_empty())
        && answer["burnish"]["degraded"].is_null()
}

/// What came of requests at one rate.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// Requests a second that were asked for, and that were answered.
    pub(crate) rate: f64,
    pub(crate) answered: f64,
    pub(crate) sent: usize,
    pub(crate) failed: usize,
    /// Of one that failed.
    pub(crate) failure: Option<String>,
    /// From when each was due to its last byte.
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// A runtime of its own, so that what is measured shares no thread with what measures.
#[derive(Debug)]
pub(crate) struct Generator {
    runtime: Runtime,
}

impl Generator {
    pub(crate) fn new() -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        Ok(Self { runtime })
    }

    /// Requests that are due at even distances for as long as `span`, every `streamed`th of them as a stream.
    pub(crate) fn run(
        &self,
        target: &Arc<Target>,
        rate: f64,
        span: Duration,
        streamed: Option<usize>,
    ) -> Outcome {
        let (told, heard) = mpsc::channel();
        let count = (rate * span.as_secs_f64()).ceil() as usize;
        let start = Instant::now();
        for number in 0..count {
            let due = start + Duration::from_secs_f64(number as f64 / rate);
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let (target, told) = (Arc::clone(target), told.clone());
            let as_stream = streamed.is_some_and(|every| number % every == 0);
            self.runtime.spawn(async move {
                let outcome = target.ask(as_stream).await;
                // Nobody listens any more once patience has ended.
                let _ = told.send((due.elapsed(), outcome));
            });
        }
        drop(told);
        let end = Instant::now() + PATIENCE;
        let mut outcome = Outcome { rate, sent: count, ..Outcome::default() };
        let mut times = Vec::with_capacity(count);
        while let Ok((took, answered)) = heard.recv_timeout(end.saturating_duration_since(Instant::now())) {
            match answered {
                Ok(()) => times.push(took.as_secs_f64() * 1_000.0),
                Err(error) => outcome.failure = Some(format!("{error:#}")),
            }
        }
        outcome.failed = count - times.len();
        outcome.answered = times.len() as f64 / start.elapsed().as_secs_f64();
        outcome.p50_ms = quantile(&mut times, 0.5);
        outcome.p99_ms = quantile(&mut times, 0.99);
        outcome
    }
}
