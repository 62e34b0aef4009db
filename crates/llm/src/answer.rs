//! An answer on its way: from the pieces of a response's body to the events of a model.

use std::collections::VecDeque;
use std::time::Duration;

use burnish_types::{ModelError, ModelEvent, Usage};
use reqwest::Response;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, timeout_at};

use crate::dialect::{Call, Heard, Kind, Reply, Tokens, is_too_long};
use crate::endpoint::{Blame, chain};
use crate::sse::EventParser;

/// The longest event or whole answer that is held.
const HELD_BYTES: usize = 8 * 1024 * 1024;

/// How long usage and `[DONE]` are waited for once the answer is complete; some servers send neither and
/// keep the connection open.
const TAIL: Duration = Duration::from_secs(2);

/// How long is waited for what.
#[derive(Clone, Copy)]
pub(crate) struct Waits {
    /// When the first words must have come.
    pub(crate) deadline: Instant,
    /// How long that was from the request on.
    pub(crate) first_token: Duration,
    /// The longest silence after them.
    pub(crate) idle: Duration,
    /// When everything must have come.
    pub(crate) end: Instant,
}

/// An answer that is being received.
pub(crate) struct Answer {
    response: Response,
    kind: Kind,
    waits: Waits,
    blame: Blame,
    body: Body,
    /// Bytes that may still come.
    left: usize,
    ready: VecDeque<Result<ModelEvent, ModelError>>,
    /// Whether the model has said or thought something.
    speaking: bool,
    /// Characters so far.
    written: usize,
    finish_reason: Option<String>,
    /// Calls of functions so far.
    calls: Vec<Calling>,
    tokens: Tokens,
    /// When usage and `[DONE]` are no longer waited for, once the answer is complete.
    tail: Option<Instant>,
    /// Whether the server sent anything of an answer, words or not.
    answered: bool,
    /// Whether everything that will be given is in `ready`.
    over: bool,
}

/// A call of a function whose arguments are being received.
struct Calling {
    /// The provider's number.
    block: Option<u64>,
    /// What the arguments are, as long as none came.
    otherwise: Option<String>,
}

/// What the body turned out to be.
enum Body {
    /// Nothing but white space came so far.
    Blank,
    /// Server-sent events.
    Events(EventParser),
    /// One JSON document, from a server that does not stream.
    Document(Vec<u8>),
}

impl Answer {
    pub(crate) fn new(response: Response, kind: Kind, waits: Waits, most: usize, blame: Blame) -> Self {
        Self {
            response,
            kind,
            waits,
            blame,
            body: Body::Blank,
            left: most,
            ready: VecDeque::new(),
            speaking: false,
            written: 0,
            finish_reason: None,
            calls: Vec::new(),
            tokens: Tokens::default(),
            tail: None,
            answered: false,
            over: false,
        }
    }

    /// The next event; none after the end or an error.
    pub(crate) async fn next(&mut self) -> Option<Result<ModelEvent, ModelError>> {
        let mut silent_since = Instant::now();
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.over {
                return None;
            }
            let limit = self.limit(silent_since);
            match timeout_at(limit, self.response.chunk()).await {
                Ok(Ok(Some(piece))) => {
                    match self.left.checked_sub(piece.len()) {
                        Some(left) => self.left = left,
                        None => self.fail(self.blame.garbled("an answer that is longer than allowed")),
                    }
                    self.take(&piece);
                    silent_since = Instant::now();
                }
                Ok(Ok(None)) => self.end(None),
                Ok(Err(reason)) => self.end(Some(chain(&reason.without_url()))),
                Err(_) => self.give_up(),
            }
        }
    }

    fn limit(&self, silent_since: Instant) -> Instant {
        let next_word = if self.speaking { silent_since + self.waits.idle } else { self.waits.deadline };
        self.tail.unwrap_or(next_word).min(self.waits.end)
    }

    fn take(&mut self, piece: &[u8]) {
        if self.over {
            return;
        }
        let mut piece = piece;
        if let Body::Blank = self.body {
            let Some(start) = piece.iter().position(|byte| !byte.is_ascii_whitespace()) else { return };
            piece = &piece[start..];
            match piece[0] {
                b'{' | b'[' => self.body = Body::Document(Vec::new()),
                b'<' => {
                    return self
                        .fail(self.blame.garbled("an HTML or XML page, not an answer: check the base URL"));
                }
                _ => self.body = Body::Events(EventParser::default()),
            }
        }
        let (events, held) = match &mut self.body {
            Body::Blank => return,
            Body::Events(parser) => (parser.push(piece), parser.pending()),
            Body::Document(document) => {
                document.extend_from_slice(piece);
                (Vec::new(), document.len())
            }
        };
        for event in events {
            self.read_event(&event);
        }
        if held > HELD_BYTES {
            self.fail(self.blame.garbled(format!("one piece of more than {HELD_BYTES} bytes")));
        }
    }

    fn read_event(&mut self, event: &str) {
        if self.over || event.trim().is_empty() {
            return;
        }
        if event.trim() == "[DONE]" {
            return self.complete();
        }
        self.answered = true;
        match self.kind.read(event) {
            Ok(Reply::Heard(heard)) => self.hear(heard),
            Ok(Reply::Error { status, words }) => self.read_error(status, &words),
            Err(reason) => self.fail(self.blame.garbled(format!("{reason} in `{event}`"))),
        }
    }

    /// An error in place of words, whose own status says more than that of the response, if it has one.
    fn read_error(&mut self, status: Option<u16>, words: &str) {
        let status = status.unwrap_or_else(|| self.response.status().as_u16());
        let error = match is_too_long(status, words) {
            true => self.blame.too_long(words),
            false => self.blame.refused(status, words, None),
        };
        self.fail(error);
    }

    fn hear(&mut self, heard: Heard) {
        let Heard { text, extra, calls, thinks, finish_reason, usage, last, .. } = heard;
        self.tokens.update(usage);
        self.speaking |= !text.is_empty() || !extra.is_empty() || !calls.is_empty() || thinks;
        self.written += text.chars().count();
        match self.ready.back_mut() {
            _ if text.is_empty() => {}
            // What came together goes on together.
            Some(Ok(ModelEvent::Text(before))) => before.push_str(&text),
            _ => self.ready.push_back(Ok(ModelEvent::Text(text))),
        }
        if !extra.is_empty() {
            self.ready.push_back(Ok(ModelEvent::Extra(extra)));
        }
        for call in calls {
            let delta = self.call(call);
            self.ready.push_back(Ok(ModelEvent::Extra(delta)));
        }
        if let Some(reason) = finish_reason {
            self.finish_reason = Some(reason);
            self.tail.get_or_insert_with(|| Instant::now() + TAIL);
        }
        if last {
            self.complete();
        }
    }

    /// A piece of a call as OpenAI has it in a delta.
    fn call(&mut self, call: Call) -> Map<String, Value> {
        let Call { block, id, name, arguments, otherwise } = call;
        let known = block.and_then(|block| self.calls.iter().position(|known| known.block == Some(block)));
        let index = known.unwrap_or(self.calls.len());
        if let Some(call) =
            known.and_then(|known| self.calls.get_mut(known)).filter(|_| !arguments.is_empty())
        {
            call.otherwise = None;
        }
        let mut delta = json!({"index": index, "function": {"arguments": arguments}});
        if known.is_none() {
            self.calls.push(Calling { block, otherwise });
            // Not every provider names calls, and they are answered by their names.
            delta["id"] = json!(id.unwrap_or_else(|| format!("call_{:016x}", fastrand::u64(..))));
            delta["type"] = json!("function");
            delta["function"]["name"] = json!(name.unwrap_or_default());
        }
        Map::from_iter([("tool_calls".to_owned(), json!([delta]))])
    }

    /// The body is over, cleanly or for `reason`.
    fn end(&mut self, reason: Option<String>) {
        match std::mem::replace(&mut self.body, Body::Blank) {
            Body::Blank => {}
            Body::Events(mut parser) => {
                // What a broken connection left of an event is no event.
                if let (Some(event), None) = (parser.finish(), &reason) {
                    self.read_event(&event);
                }
            }
            Body::Document(document) if reason.is_none() => return self.read_document(&document),
            Body::Document(_) => {}
        }
        if self.over {
            return;
        }
        if self.finish_reason.is_some() {
            return self.complete();
        }
        let error = match (self.written, reason) {
            (0, None) if !self.answered => self.blame.garbled("a response without any event of an answer"),
            (written, None) => {
                self.blame.unreachable(format!("the answer broke off after {written} characters"))
            }
            (written, Some(reason)) => {
                self.blame.unreachable(format!("the answer broke off after {written} characters ({reason})"))
            }
        };
        self.fail(error);
    }

    fn read_document(&mut self, document: &[u8]) {
        let words = String::from_utf8_lossy(document);
        match self.kind.read(&words) {
            Ok(Reply::Error { status, words }) => self.read_error(status, &words),
            Ok(Reply::Heard(heard)) if !heard.answers => {
                self.fail(self.blame.garbled(format!("a JSON document without an answer: `{words}`")));
            }
            Ok(Reply::Heard(heard)) => {
                self.hear(heard);
                self.complete();
            }
            Err(reason) => self.fail(self.blame.garbled(format!("{reason} in `{words}`"))),
        }
    }

    /// A limit was passed.
    fn give_up(&mut self) {
        if self.finish_reason.is_some() {
            return self.complete();
        }
        let error = match self.speaking {
            true => self.blame.unreachable(format!(
                "nothing came for {:?} after {} characters",
                self.waits.idle, self.written
            )),
            false => self.blame.slow_start(self.waits.first_token),
        };
        self.fail(error);
    }

    fn complete(&mut self) {
        if self.over {
            return;
        }
        for (index, call) in self.calls.iter_mut().enumerate() {
            if let Some(arguments) = call.otherwise.take() {
                let delta = json!({"index": index, "function": {"arguments": arguments}});
                let delta = Map::from_iter([("tool_calls".to_owned(), json!([delta]))]);
                self.ready.push_back(Ok(ModelEvent::Extra(delta)));
            }
        }
        let reason = self.finish_reason.take().unwrap_or_else(|| "stop".to_owned());
        let calls = !self.calls.is_empty() && reason == "stop";
        let reason = if calls { "tool_calls".to_owned() } else { reason };
        let usage: Option<Usage> = self.tokens.usage();
        self.ready.push_back(Ok(ModelEvent::Finished { reason, usage }));
        self.over = true;
    }

    fn fail(&mut self, error: ModelError) {
        self.ready.push_back(Err(error));
        self.over = true;
    }
}
