//! An answer on its way: from the pieces of a response's body to the events of a model.

use std::collections::VecDeque;
use std::time::Duration;

use burnish_types::{ModelError, ModelEvent, Usage};
use reqwest::Response;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::openai::{Blame, chain};
use crate::sse::EventParser;
use crate::wire::{Completion, Reply, message_of, status_of};

/// The longest event or whole answer that is held.
const HELD_BYTES: usize = 8 * 1024 * 1024;

/// How long usage and `[DONE]` are waited for once the answer is complete; some servers send neither and
/// keep the connection open.
const TAIL: Duration = Duration::from_secs(2);

/// How long is waited for what.
#[derive(Clone, Copy)]
pub(crate) struct Patience {
    /// When the first words must have come.
    pub(crate) deadline: Instant,
    /// How long that was from the request on.
    pub(crate) first_token: Duration,
    /// The longest silence after them.
    pub(crate) idle: Duration,
}

/// An answer that is being received.
pub(crate) struct Answer {
    response: Response,
    patience: Patience,
    blame: Blame,
    body: Body,
    ready: VecDeque<Result<ModelEvent, ModelError>>,
    /// Whether the model has said or thought something.
    speaking: bool,
    /// Characters so far.
    written: usize,
    finish_reason: Option<String>,
    usage: Option<Usage>,
    /// When usage and `[DONE]` are no longer waited for, once the answer is complete.
    tail: Option<Instant>,
    /// Whether the server sent anything of an answer, words or not.
    answered: bool,
    /// Whether everything that will be given is in `ready`.
    over: bool,
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
    pub(crate) fn new(response: Response, patience: Patience, blame: Blame) -> Self {
        Self {
            response,
            patience,
            blame,
            body: Body::Blank,
            ready: VecDeque::new(),
            speaking: false,
            written: 0,
            finish_reason: None,
            usage: None,
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
        let next_word =
            if self.speaking { silent_since + self.patience.idle } else { self.patience.deadline };
        self.tail.unwrap_or(next_word)
    }

    fn take(&mut self, piece: &[u8]) {
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
        match Reply::parse(event) {
            Ok(Reply::Completion(completion)) => self.read_completion(completion),
            Ok(Reply::Error(error)) => self.read_error(&error),
            Err(reason) => self.fail(self.blame.garbled(format!("{reason} in `{event}`"))),
        }
    }

    /// An error in place of words, whose own status says more than that of the response, if it has one.
    fn read_error(&mut self, error: &Value) {
        let status = status_of(error).unwrap_or_else(|| self.response.status().as_u16());
        let words = message_of(error).unwrap_or_else(|| error.to_string());
        self.fail(self.blame.refused(status, &words));
    }

    fn read_completion(&mut self, completion: Completion) {
        if let Some(usage) = completion.usage {
            self.usage = Some(usage.into());
        }
        let Some(choice) = completion.choices.into_iter().next() else { return };
        let text = choice.text();
        self.speaking |= !text.is_empty() || choice.is_reasoning();
        self.written += text.chars().count();
        if !text.is_empty() {
            self.ready.push_back(Ok(ModelEvent::Text(text)));
        }
        if let Some(reason) = choice.finish_reason.filter(|reason| !reason.is_empty()) {
            self.finish_reason = Some(reason);
            self.tail.get_or_insert_with(|| Instant::now() + TAIL);
        }
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
        match Reply::parse(&words) {
            Ok(Reply::Error(error)) => self.read_error(&error),
            Ok(Reply::Completion(completion)) if completion.choices.is_empty() => {
                self.fail(self.blame.garbled(format!("a JSON document without a choice: `{words}`")));
            }
            Ok(Reply::Completion(completion)) => {
                self.read_completion(completion);
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
                self.patience.idle, self.written
            )),
            false => self.blame.slow_start(self.patience.first_token),
        };
        self.fail(error);
    }

    fn complete(&mut self) {
        let reason = self.finish_reason.take().unwrap_or_else(|| "stop".to_owned());
        self.ready.push_back(Ok(ModelEvent::Finished { reason, usage: self.usage }));
        self.over = true;
    }

    fn fail(&mut self, error: ModelError) {
        self.ready.push_back(Err(error));
        self.over = true;
    }
}
