//! The encoder behind an OpenAI-compatible `/v1/embeddings` endpoint.

use std::fmt;
use std::thread;
use std::time::Duration;

use burnish_types::{EmbedError, Embedder, Embedding};
use reqwest::blocking::{Client, Response};
use reqwest::header::RETRY_AFTER;
use reqwest::{StatusCode, Url};
use serde::{Deserialize, Serialize};

/// Texts of one request.
const BATCH_TEXTS: usize = 64;
/// How often a request is sent again after 429, 5xx or a broken connection.
const RETRIES: u32 = 3;
/// The longest pause that an endpoint can ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How much of an endpoint's complaint goes into an error.
const QUOTED_CHARACTERS: usize = 300;

/// Where and how texts are embedded.
#[derive(Clone)]
pub struct RemoteSettings {
    /// The API's address up to and including its version, such as `https://api.openai.com/v1`.
    pub base_url: String,
    /// The model's name there.
    pub model: String,
    /// Sent as a bearer token; never part of an error or a log.
    pub api_key: Option<String>,
    /// The length of the model's vectors; asked of the endpoint where it is not given.
    pub dimensions: Option<usize>,
    /// The most tokens of a text that the model looks at.
    pub max_tokens: usize,
    /// How long one request may take.
    pub timeout: Duration,
    /// The pause before a request is sent again; it doubles each time, and gives way to what the endpoint asks for.
    pub pause: Duration,
}

impl RemoteSettings {
    /// Settings for `model` at `base_url`: no key, 512 tokens, 30 seconds a request, half a second to the first retry.
    pub fn new(base_url: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            model: model.into(),
            api_key: None,
            dimensions: None,
            max_tokens: 512,
            timeout: Duration::from_secs(30),
            pause: Duration::from_millis(500),
        }
    }
}

impl fmt::Debug for RemoteSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteSettings")
            .field("base_url", &self.base_url)
            .field("model", &self.model)
            .field("api_key", &self.api_key.as_ref().map(|_| "…"))
            .field("dimensions", &self.dimensions)
            .field("max_tokens", &self.max_tokens)
            .field("timeout", &self.timeout)
            .field("pause", &self.pause)
            .finish()
    }
}

/// A model behind an OpenAI-compatible endpoint.
///
/// It blocks the calling thread, which must not be one that runs asynchronous tasks. Vectors are brought to unit length.
#[derive(Debug)]
pub struct RemoteEmbedder {
    settings: RemoteSettings,
    endpoint: Url,
    /// The endpoint without user name and password, for errors and logs.
    shown: String,
    client: Client,
    dimensions: usize,
}

impl RemoteEmbedder {
    /// Gets ready to call the endpoint; calls it once where the length of its vectors is not given.
    pub fn connect(settings: RemoteSettings) -> Result<Self, EmbedError> {
        let address = format!("{}/embeddings", settings.base_url.trim_end_matches('/'));
        let unusable = |reason: String| EmbedError::Remote { endpoint: settings.base_url.clone(), reason };
        let endpoint = Url::parse(&address).map_err(|error| EmbedError::Remote {
            endpoint: "base_url".to_owned(),
            reason: format!("it is no address: {error}"),
        })?;
        let shown = without_credentials(&endpoint);
        let client = Client::builder()
            .timeout(settings.timeout)
            .build()
            .map_err(|error| unusable(error.without_url().to_string()))?;
        let dimensions = settings.dimensions.unwrap_or_default();
        let mut embedder = Self { settings, endpoint, shown, client, dimensions };
        if embedder.settings.dimensions.is_none() {
            embedder.dimensions = embedder.request(&["dimensions"])?.first().map_or(0, Vec::len);
        }
        if embedder.dimensions == 0 {
            return Err(embedder.fail("its vectors have no dimensions"));
        }
        Ok(embedder)
    }

    /// One request, sent again while that may help.
    fn request(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError> {
        let mut pause = self.settings.pause;
        for retries_left in (0..=RETRIES).rev() {
            let (reason, asked) = match self.send(texts) {
                Ok(response) if response.status().is_success() => return self.vectors(response, texts.len()),
                Ok(response) => {
                    let status = response.status();
                    let asked = retry_after(&response);
                    let reason = format!("{status}: {}", self.quote(&response.text().unwrap_or_default()));
                    if !(status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()) {
                        return Err(self.fail(reason));
                    }
                    (reason, asked)
                }
                Err(error) => (without_secrets(error), None),
            };
            if retries_left == 0 {
                return Err(self.fail(format!("{reason} (after {} attempts)", RETRIES + 1)));
            }
            let wait = asked.unwrap_or(pause).min(LONGEST_PAUSE);
            tracing::warn!(endpoint = self.shown, reason, ?wait, "embedding request is sent again");
            thread::sleep(wait);
            pause *= 2;
        }
        Err(self.fail("no attempt was made"))
    }

    fn send(&self, texts: &[&str]) -> reqwest::Result<Response> {
        // Endpoints refuse empty texts; a blank stands for nothing as well.
        let input = texts.iter().map(|text| if text.is_empty() { " " } else { text }).collect();
        let body = RequestBody { model: &self.settings.model, input, encoding_format: "float" };
        let request = self.client.post(self.endpoint.clone()).json(&body);
        match &self.settings.api_key {
            Some(key) => request.bearer_auth(key).send(),
            None => request.send(),
        }
    }

    fn vectors(&self, response: Response, expected: usize) -> Result<Vec<Embedding>, EmbedError> {
        let mut data =
            response.json::<ResponseBody>().map_err(|error| self.fail(without_secrets(error)))?.data;
        data.sort_by_key(|row| row.index);
        if data.len() != expected {
            return Err(self.fail(format!("{} vectors came back for {expected} texts", data.len())));
        }
        let mut vectors: Vec<Embedding> = data.into_iter().map(|row| row.embedding).collect();
        for vector in &mut vectors {
            if self.dimensions != 0 && vector.len() != self.dimensions {
                let (found, known) = (vector.len(), self.dimensions);
                return Err(self.fail(format!("a vector has {found} dimensions instead of {known}")));
            }
            let norm = burnish_types::dot(vector, vector).sqrt();
            if !norm.is_finite() || norm == 0.0 {
                return Err(self.fail("a vector has no direction"));
            }
            vector.iter_mut().for_each(|value| *value /= norm);
        }
        Ok(vectors)
    }

    fn quote(&self, complaint: &str) -> String {
        let complaint = match self.settings.api_key.as_deref() {
            Some(key) if !key.is_empty() => complaint.replace(key, "…"),
            _ => complaint.to_owned(),
        };
        let line = complaint.split_whitespace().collect::<Vec<_>>().join(" ");
        line.chars().take(QUOTED_CHARACTERS).collect()
    }

    fn fail(&self, reason: impl Into<String>) -> EmbedError {
        EmbedError::Remote { endpoint: self.shown.clone(), reason: reason.into() }
    }
}

impl Embedder for RemoteEmbedder {
    fn model(&self) -> &str {
        &self.settings.model
    }

    fn dimensions(&self) -> usize {
        self.dimensions
    }

    fn max_tokens(&self) -> usize {
        self.settings.max_tokens
    }

    /// An estimate, since the tokenizer is elsewhere: a token for every four ASCII characters of a word, begun ones
    /// included, and one for every other character. It is rather too high than too low.
    fn count_tokens(&self, text: &str) -> usize {
        text.split_whitespace()
            .map(|word| {
                let ascii = word.bytes().filter(u8::is_ascii).count();
                ascii.div_ceil(4) + word.chars().filter(|character| !character.is_ascii()).count()
            })
            .sum()
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError> {
        let mut vectors = Vec::with_capacity(texts.len());
        for batch in texts.chunks(BATCH_TEXTS) {
            vectors.extend(self.request(batch)?);
        }
        Ok(vectors)
    }
}

#[derive(Serialize)]
struct RequestBody<'a> {
    model: &'a str,
    input: Vec<&'a str>,
    encoding_format: &'static str,
}

#[derive(Deserialize)]
struct ResponseBody {
    data: Vec<ResponseRow>,
}

#[derive(Deserialize)]
struct ResponseRow {
    index: usize,
    embedding: Embedding,
}

/// The pause that a response asks for, where it names it in seconds.
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse::<f64>().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

fn without_credentials(endpoint: &Url) -> String {
    let mut shown = endpoint.clone();
    // An address that cannot have them has none.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.set_query(None);
    shown.to_string()
}

/// An error with its causes, but without the address, which may hold credentials.
fn without_secrets(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut reason = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        reason = format!("{reason}: {inner}");
        cause = inner.source();
    }
    reason
}
