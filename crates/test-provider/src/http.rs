//! As much of HTTP/1.1 as clients of language models speak, by hand, since what breaks off in the midst of an answer
//! or before its first byte is what this provider is for.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest head and body of a request.
const HEAD_BYTES: usize = 64 * 1024;
const BODY_BYTES: usize = 64 * 1024 * 1024;

/// A request.
pub(crate) struct Request {
    pub(crate) method: String,
    /// Without what follows a `?`.
    pub(crate) path: String,
    pub(crate) keys: Vec<String>,
    pub(crate) body: Vec<u8>,
}

/// A connection with what was read of its next request.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

/// The head of a request: method, path, keys, the body's length, and its own length.
struct Head {
    method: String,
    path: String,
    keys: Vec<String>,
    body: usize,
    length: usize,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> Self {
        // Tokens go out one by one; where that can't be had, they come late and nothing breaks.
        let _late = stream.set_nodelay(true);
        Self { stream, read: Vec::new() }
    }

    /// The next request; none once the client has left or says what is no HTTP.
    pub(crate) async fn request(&mut self) -> Option<Request> {
        let head = loop {
            match head(&self.read) {
                Ok(Some(head)) => break head,
                Ok(None) if self.read.len() < HEAD_BYTES => self.more().await?,
                Ok(None) | Err(()) => return None,
            }
        };
        let end = head.length + head.body;
        if head.body > BODY_BYTES {
            return None;
        }
        while self.read.len() < end {
            self.more().await?;
        }
        let rest = self.read.split_off(end);
        let body = std::mem::replace(&mut self.read, rest).split_off(head.length);
        let Head { method, path, keys, .. } = head;
        Some(Request { method, path, keys, body })
    }

    /// Resolves when the client leaves.
    pub(crate) async fn left(&mut self) {
        while self.more().await.is_some() {}
    }

    async fn more(&mut self) -> Option<()> {
        self.read.reserve(8 * 1024);
        let read = self.stream.read_buf(&mut self.read).await.ok()?;
        (read > 0).then_some(())
    }

    /// Sends a whole answer; whether the client took it.
    pub(crate) async fn answer(&mut self, status: u16, headers: &str, kind: &str, body: &[u8]) -> bool {
        let mut bytes = format!(
            "HTTP/1.1 {status} {}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n{headers}\r\n",
            words(status),
            body.len()
        )
        .into_bytes();
        bytes.extend_from_slice(body);
        self.stream.write_all(&bytes).await.is_ok()
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }
}

/// The head of an answer whose end is told by a last, empty piece.
pub(crate) const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n\
    transfer-encoding: chunked\r\n\r\n";
/// That piece.
pub(crate) const END: &str = "0\r\n\r\n";

/// A piece of a streamed body.
pub(crate) fn piece(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

fn head(bytes: &[u8]) -> Result<Option<Head>, ()> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(()),
    };
    let path = request.path.unwrap_or("/");
    let mut head = Head {
        method: request.method.unwrap_or_default().to_owned(),
        path: path.split('?').next().unwrap_or("/").to_owned(),
        keys: Vec::new(),
        body: 0,
        length,
    };
    for header in request.headers.iter() {
        let value = std::str::from_utf8(header.value).map_err(|_| ())?.trim();
        match header.name.to_ascii_lowercase().as_str() {
            "content-length" => head.body = value.parse().map_err(|_| ())?,
            // Clients of such APIs say how long their bodies are.
            "transfer-encoding" => return Err(()),
            "authorization" => head.keys.push(value.trim_start_matches("Bearer ").to_owned()),
            "api-key" | "x-api-key" | "x-goog-api-key" => head.keys.push(value.to_owned()),
            _ => {}
        }
    }
    Ok(Some(head))
}

fn words(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        429 => "Too Many Requests",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Internal Server Error",
    }
}
