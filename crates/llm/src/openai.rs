//! A model behind an OpenAI-compatible `/chat/completions`.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use burnish_types::{BoxFuture, LanguageModel, ModelError, ModelRequest, ModelStream};
use futures_util::stream;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use reqwest::{Client, Response, Url, redirect};
use tokio::time::{Instant, timeout, timeout_at};

use crate::answer::{Answer, Patience};
use crate::settings::{ApiKey, Settings, SettingsError, completions_url, is_loopback};
use crate::wire::{CompletionRequest, error_message};

/// The most of a refusal that is read.
const REFUSAL_BYTES: usize = 64 * 1024;

/// The most of a provider's words that is passed on, in characters.
const REASON_CHARACTERS: usize = 300;

/// A model behind an OpenAI-compatible endpoint. One request, one try: retries are decided elsewhere.
#[derive(Clone)]
pub struct OpenAiModel {
    client: Client,
    endpoint: Url,
    model: String,
    blame: Blame,
    authorization: Option<HeaderValue>,
    first_token_timeout: Duration,
    idle_timeout: Duration,
}

impl OpenAiModel {
    /// The model that `settings` describe. Nothing is sent yet.
    ///
    /// # Errors
    /// If the settings can't be used.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        let endpoint = completions_url(&settings)?;
        let authorization = match &settings.api_key {
            Some(key) => Some(bearer(key).ok_or_else(|| SettingsError::Key(settings.name.clone()))?),
            None => None,
        };
        // A redirect would turn the POST into a GET, and could carry the key elsewhere.
        let mut client =
            Client::builder().connect_timeout(settings.connect_timeout).redirect(redirect::Policy::none());
        if is_loopback(&endpoint) {
            client = client.no_proxy();
        }
        let client = client.build().map_err(|reason| SettingsError::Client {
            name: settings.name.clone(),
            reason: chain(&reason),
        })?;
        Ok(Self {
            client,
            endpoint,
            model: settings.model,
            blame: Blame { model: settings.name, key: settings.api_key },
            authorization,
            first_token_timeout: settings.first_token_timeout,
            idle_timeout: settings.idle_timeout,
        })
    }

    async fn start(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        let deadline = Instant::now() + self.first_token_timeout;
        let slow = || self.blame.slow_start(self.first_token_timeout);
        let body = CompletionRequest::new(&self.model, &request);
        let mut post =
            self.client.post(self.endpoint.clone()).header(ACCEPT, "text/event-stream").json(&body);
        if let Some(authorization) = &self.authorization {
            post = post.header(AUTHORIZATION, authorization.clone());
        }
        let response = timeout_at(deadline, post.send()).await.map_err(|_| slow())?;
        let response = response.map_err(|reason| self.blame.unreachable(chain(&reason.without_url())))?;
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        let patience = Patience { deadline, first_token: self.first_token_timeout, idle: self.idle_timeout };
        let answer = Answer::new(response, patience, self.blame.clone());
        Ok(Box::pin(stream::unfold(answer, |mut answer| async {
            answer.next().await.map(|event| (event, answer))
        })))
    }

    /// Why the endpoint refused, as far as it tells in time.
    async fn refusal(&self, mut response: Response) -> ModelError {
        let status = response.status();
        let mut body = Vec::new();
        let read = async {
            while body.len() < REFUSAL_BYTES {
                let Ok(Some(piece)) = response.chunk().await else { break };
                body.extend_from_slice(&piece);
            }
        };
        // What was read before a timeout is still worth showing.
        let _late = timeout(self.idle_timeout, read).await;
        let words = error_message(&String::from_utf8_lossy(&body));
        let words = match words.trim().is_empty() {
            true => status.canonical_reason().unwrap_or("it gave no reason").to_owned(),
            false => words,
        };
        self.blame.refused(status.as_u16(), &words)
    }
}

impl LanguageModel for OpenAiModel {
    fn name(&self) -> &str {
        &self.blame.model
    }

    fn stream(&self, request: ModelRequest) -> BoxFuture<'_, Result<ModelStream, ModelError>> {
        Box::pin(self.start(request))
    }
}

impl fmt::Debug for OpenAiModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiModel")
            .field("name", &self.blame.model)
            .field("model", &self.model)
            .field("endpoint", &self.endpoint.as_str())
            .finish_non_exhaustive()
    }
}

/// Makes errors that name the model and hide the key, even where the provider repeats it.
#[derive(Clone)]
pub(crate) struct Blame {
    model: String,
    key: Option<ApiKey>,
}

impl Blame {
    pub(crate) fn unreachable(&self, reason: impl AsRef<str>) -> ModelError {
        ModelError::Unreachable { model: self.model.clone(), reason: self.shorten(reason.as_ref()) }
    }

    pub(crate) fn slow_start(&self, limit: Duration) -> ModelError {
        self.unreachable(format!("no word came within {limit:?}"))
    }

    pub(crate) fn refused(&self, status: u16, words: &str) -> ModelError {
        ModelError::Refused { model: self.model.clone(), status, reason: self.shorten(words) }
    }

    pub(crate) fn garbled(&self, reason: impl AsRef<str>) -> ModelError {
        ModelError::Garbled { model: self.model.clone(), reason: self.shorten(reason.as_ref()) }
    }

    /// One line of bounded length, without the key.
    fn shorten(&self, words: &str) -> String {
        let words = match &self.key {
            Some(key) => words.replace(key.expose(), "[key]"),
            None => words.to_owned(),
        };
        let mut line = String::new();
        for word in words.split_whitespace() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        match line.char_indices().nth(REASON_CHARACTERS) {
            Some((end, _)) => format!("{}…", &line[..end]),
            None => line,
        }
    }
}

fn bearer(key: &ApiKey) -> Option<HeaderValue> {
    if key.expose().trim().is_empty() {
        return None;
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose())).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// An error with what caused it, since reqwest's own words say little.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !words.contains(&more) {
            words.push_str(": ");
            words.push_str(&more);
        }
        cause = error.source();
    }
    words
}
