//! One endpoint of a model: one request, one try.

use std::error::Error;
use std::time::{Duration, SystemTime};

use burnish_types::{ModelError, ModelRequest};
use reqwest::header::{ACCEPT, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, Url, redirect};
use tokio::time::{Instant, timeout, timeout_at};

use crate::answer::{Answer, Waits};
use crate::dialect::{GoingOn, Kind, error_message, is_too_long};
use crate::settings::{
    ApiKey, EndpointSettings, ModelSettings, Patience, SettingsError, address, is_loopback,
};

/// The most of a refusal that is read.
const REFUSAL_BYTES: usize = 64 * 1024;

/// The most of a provider's words that is passed on, in characters.
const REASON_CHARACTERS: usize = 300;

/// How the reason begins where a request can't have reached its provider.
pub(crate) const NO_CONNECTION: &str = "no connection";

/// An endpoint.
pub(crate) struct Endpoint {
    client: Client,
    address: Url,
    kind: Kind,
    model: String,
    pub(crate) goes_on: GoingOn,
    pub(crate) weight: f64,
    headers: HeaderMap,
    blame: Blame,
    patience: Patience,
    answer_bytes: usize,
}

impl Endpoint {
    /// An endpoint of the model that `settings` describe. Nothing is sent yet.
    pub(crate) fn new(settings: &ModelSettings, endpoint: &EndpointSettings) -> Result<Self, SettingsError> {
        let address = address(&settings.name, endpoint)?;
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        for (name, value) in endpoint.kind.headers() {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        if let Some(key) = &endpoint.api_key {
            let (name, value) =
                key_header(endpoint.kind, key).ok_or_else(|| SettingsError::Key(settings.name.clone()))?;
            headers.insert(name, value);
        }
        // A redirect would turn the POST into a GET, and could carry the key elsewhere.
        let mut client =
            Client::builder().connect_timeout(settings.patience.connect).redirect(redirect::Policy::none());
        if is_loopback(&address) {
            client = client.no_proxy();
        }
        let client = client.build().map_err(|reason| SettingsError::Client {
            name: settings.name.clone(),
            reason: chain(&reason),
        })?;
        Ok(Self {
            client,
            address,
            kind: endpoint.kind,
            model: endpoint.model.clone(),
            goes_on: endpoint.goes_on,
            weight: endpoint.weight,
            headers,
            blame: Blame { model: settings.name.clone(), key: endpoint.api_key.clone() },
            patience: settings.patience,
            answer_bytes: settings.limits.answer_bytes,
        })
    }

    /// The provider's address and its name for the model.
    pub(crate) fn fingerprint(&self) -> String {
        format!("{} {}", self.address, self.model)
    }

    /// Host and port, to tell it from others.
    pub(crate) fn host(&self) -> String {
        let host = self.address.host_str().unwrap_or_default();
        match self.address.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    /// Asks, and gives the answer once the provider has accepted the request. `begun` is what the answer has to go on
    /// from; nothing comes after `end`.
    pub(crate) async fn ask(
        &self,
        request: &ModelRequest,
        begun: Option<&str>,
        end: Instant,
    ) -> Result<Answer, ModelError> {
        let deadline = (Instant::now() + self.patience.first_token).min(end);
        let slow = || self.blame.slow_start(self.patience.first_token);
        let begun = begun.map(|text| (text, self.goes_on));
        let body = self
            .kind
            .body(&self.model, request, begun)
            .map_err(|reason| ModelError::Unsupported { model: self.blame.model.clone(), reason })?;
        let post = self.client.post(self.address.clone()).headers(self.headers.clone()).json(&body);
        let response = timeout_at(deadline, post.send()).await.map_err(|_| slow())?;
        let response = response.map_err(|reason| {
            let connected = !reason.is_connect();
            let reason = chain(&reason.without_url());
            self.blame.unreachable(if connected { reason } else { format!("{NO_CONNECTION}: {reason}") })
        })?;
        if !response.status().is_success() {
            return Err(self.refusal(response, deadline).await);
        }
        let waits = Waits { deadline, first_token: self.patience.first_token, idle: self.patience.idle, end };
        Ok(Answer::new(response, self.kind, waits, self.answer_bytes, self.blame.clone()))
    }

    /// Why the endpoint refused, as far as it tells in time.
    async fn refusal(&self, mut response: Response, deadline: Instant) -> ModelError {
        let status = response.status();
        let retry_after = retry_after(response.headers(), SystemTime::now());
        let mut body = Vec::new();
        let read = async {
            while body.len() < REFUSAL_BYTES {
                let Ok(Some(piece)) = response.chunk().await else { break };
                body.extend_from_slice(&piece);
            }
        };
        // What was read before a timeout is still worth showing.
        let left = deadline.saturating_duration_since(Instant::now()).min(self.patience.idle);
        let _late = timeout(left, read).await;
        let body = String::from_utf8_lossy(&body);
        let words = error_message(&body);
        let words = match words.trim().is_empty() {
            true => status.canonical_reason().unwrap_or("it gave no reason").to_owned(),
            false => words,
        };
        if is_too_long(status.as_u16(), &body) {
            return self.blame.too_long(&words);
        }
        self.blame.refused(status.as_u16(), &words, retry_after)
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

    pub(crate) fn refused(&self, status: u16, words: &str, retry_after: Option<Duration>) -> ModelError {
        ModelError::Refused { model: self.model.clone(), status, reason: self.shorten(words), retry_after }
    }

    pub(crate) fn too_long(&self, words: &str) -> ModelError {
        ModelError::TooLong { model: self.model.clone(), reason: self.shorten(words) }
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

fn key_header(kind: Kind, key: &ApiKey) -> Option<(HeaderName, HeaderValue)> {
    if key.expose().trim().is_empty() {
        return None;
    }
    let (name, value) = kind.key(key.expose());
    let mut value = HeaderValue::from_str(&value).ok()?;
    value.set_sensitive(true);
    Some((HeaderName::from_static(name), value))
}

/// When a provider says that it may be asked again: in milliseconds, in seconds, or as a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let number = |name: &str| -> Option<f64> {
        let value: f64 = headers.get(name)?.to_str().ok()?.trim().parse().ok()?;
        (value.is_finite() && value >= 0.0).then_some(value)
    };
    let date = || {
        let date = httpdate::parse_http_date(headers.get(RETRY_AFTER)?.to_str().ok()?).ok()?;
        Some(date.duration_since(now).unwrap_or_default())
    };
    let seconds = number("retry-after-ms").map(|ms| ms / 1_000.0).or_else(|| number("retry-after"));
    match seconds {
        Some(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        None => date(),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_say_in_several_ways_when_to_come_again() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let cases = [
            ("retry-after", "3", Some(3_000)),
            ("retry-after", "0.5", Some(500)),
            ("retry-after-ms", "1250", Some(1_250)),
            ("retry-after", "Sun, 06 Nov 1994 08:49:57 GMT", Some(20_000)),
            ("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("retry-after", "-3", None),
            ("retry-after", "soon", None),
            ("retry-after", "NaN", None),
            ("retry-after", "1e300", None),
            ("other", "3", None),
        ];
        for (name, value, ms) in cases {
            let headers =
                HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))]);
            assert_eq!(retry_after(&headers, now), ms.map(Duration::from_millis), "{name}: {value}");
        }
    }
}
