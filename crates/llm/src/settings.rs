//! How a model is reached, and how much is borne with.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use burnish_types::Price;
use reqwest::Url;

use crate::dialect::{GoingOn, Kind};
use crate::state::budget::Budget;
use crate::state::choice::Balance;

/// A model, its endpoints, and our patience with them.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelSettings {
    /// The model's name here, as users pin it.
    pub name: String,
    /// Where it can be had, in the order of preference. All of them have to be the same model.
    pub endpoints: Vec<EndpointSettings>,
    /// How an endpoint is chosen.
    pub balance: Balance,
    /// How long is waited for what.
    pub patience: Patience,
    /// How often a request is made again.
    pub retries: Retries,
    /// Whether a second endpoint is asked where the first is slower than 95 of 100 requests.
    pub hedge: bool,
    /// Which identical requests that come at one time are made once.
    pub single_flight: SingleFlight,
    /// What a request may take.
    pub limits: Limits,
    /// What its tokens cost, where that is known.
    pub price: Option<Price>,
    /// What it may spend.
    pub budgets: Vec<Budget>,
    /// Names of the models that answer in its place, in this order.
    pub fallbacks: Vec<String>,
}

impl ModelSettings {
    /// `model` at the OpenAI-compatible `base_url`, called `name`, with the usual patience.
    pub fn new(name: impl Into<String>, base_url: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            endpoints: vec![EndpointSettings::new(base_url, model)],
            balance: Balance::default(),
            patience: Patience::default(),
            retries: Retries::default(),
            hedge: false,
            single_flight: SingleFlight::default(),
            limits: Limits::default(),
            price: None,
            budgets: Vec::new(),
            fallbacks: Vec::new(),
        }
    }
}

/// One place where a model can be had.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointSettings {
    /// Whose API it speaks.
    pub kind: Kind,
    /// The address before `/chat/completions` and its like, such as `https://api.openai.com/v1`.
    pub base_url: String,
    /// The model's name there.
    pub model: String,
    /// What identifies us, if the endpoint wants it.
    pub api_key: Option<ApiKey>,
    /// The version in the address, of Azure.
    pub api_version: Option<String>,
    /// How it is told to go on from text that another one began.
    pub goes_on: GoingOn,
    /// Its share of the requests, beside those of the others.
    pub weight: f64,
}

impl EndpointSettings {
    /// `model` at the OpenAI-compatible `base_url`.
    pub fn new(base_url: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            kind: Kind::default(),
            base_url: base_url.into(),
            model: model.into(),
            api_key: None,
            api_version: None,
            goes_on: GoingOn::default(),
            weight: 1.0,
        }
    }
}

/// How long is waited for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// The longest that connecting may take.
    pub connect: Duration,
    /// The longest wait for the first words, from a try on.
    pub first_token: Duration,
    /// The longest silence between later words.
    pub idle: Duration,
    /// The longest that a request may take with all its tries.
    pub whole: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_token: Duration::from_secs(30),
            idle: Duration::from_secs(30),
            whole: Duration::from_secs(300),
        }
    }
}

/// How often a request is made again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retries {
    /// The most tries of one request at one model.
    pub tries: u32,
    /// Retries for each request, on average over all requests: 1 lets a provider in trouble see at most twice the
    /// usual load.
    pub per_request: f64,
    /// The longest pause before the first retry at an endpoint that has failed already; it doubles.
    pub first_pause: Duration,
    /// The longest pause of all.
    pub longest_pause: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            tries: 10,
            per_request: 1.0,
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(2),
        }
    }
}

/// Which identical requests that come at one time are made once, and their answer given to all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SingleFlight {
    /// None.
    No,
    /// Those whose answers are meant to be the same: at temperature 0.
    #[default]
    Precise,
    /// All.
    All,
}

impl SingleFlight {
    /// The names that settings use.
    pub const NAMES: [(&'static str, Self); 3] =
        [("no", Self::No), ("precise", Self::Precise), ("all", Self::All)];
}

/// What requests may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests under way at one time.
    pub concurrent: usize,
    /// Requests that wait for their turn; more are refused at once.
    pub waiting: usize,
    /// How long they wait.
    pub longest_wait: Duration,
    /// Bytes of a request, as text.
    pub request_bytes: usize,
    /// Tools in a request.
    pub tools: usize,
    /// Bytes of an answer, events and all.
    pub answer_bytes: usize,
    /// Tokens that an answer may have where the request does not say, and money is budgeted.
    pub output_tokens: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            concurrent: 256,
            waiting: 256,
            longest_wait: Duration::from_secs(5),
            request_bytes: 8 << 20,
            tools: 128,
            answer_bytes: 16 << 20,
            output_tokens: 4_096,
        }
    }
}

/// A secret, which no output shows.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// The key `key`.
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(hidden)")
    }
}

/// What is wrong with settings.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The address is none.
    #[error(
        "the base URL of the model `{name}` is not an address ({reason}): write one like https://api.openai.com/v1"
    )]
    Url {
        /// The model.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The address carries a password, which would turn up in logs.
    #[error("the base URL of the model `{0}` has a user or password in it: give the key as the API key")]
    Credentials(String),
    /// The key can't be sent.
    #[error(
        "the API key of the model `{0}` is empty or has characters that a header cannot carry: check its variable"
    )]
    Key(String),
    /// The client can't be made.
    #[error("the HTTP client of the model `{name}` cannot start: {reason}")]
    Client {
        /// The model.
        name: String,
        /// What happened.
        reason: String,
    },
    /// There is nothing to ask.
    #[error("the model `{0}` has no endpoint: give it a url, or endpoints")]
    NoEndpoint(String),
    /// Nothing can be counted.
    #[error("the model `{0}` has a budget of money and no price: set its prices, or a budget of requests")]
    NoPrice(String),
    /// What should answer in its place is not there.
    #[error(
        "the fallback `{fallback}` of the model `{name}` is no model, or the model itself; there are: {known}"
    )]
    Fallback {
        /// The model.
        name: String,
        /// What should answer in its place.
        fallback: String,
        /// What there is.
        known: String,
    },
}

/// Where answers of the model `name` are asked for at an endpoint.
pub(crate) fn address(name: &str, endpoint: &EndpointSettings) -> Result<Url, SettingsError> {
    let invalid = |reason: String| SettingsError::Url { name: name.to_owned(), reason };
    let url = Url::parse(endpoint.base_url.trim()).map_err(|reason| invalid(reason.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid(format!("its scheme is `{}`, not http or https", url.scheme())));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(SettingsError::Credentials(name.to_owned()));
    }
    let address = endpoint.kind.address(url, &endpoint.model, endpoint.api_version.as_deref());
    address.ok_or_else(|| invalid("it has no path".to_owned()))
}

/// Whether `url` is on this machine, which no proxy can reach.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    host == "localhost" || address.is_some_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(base: &str) -> EndpointSettings {
        EndpointSettings::new(base, "m")
    }

    #[test]
    fn answers_are_asked_for_below_the_base() {
        let azure = |base| EndpointSettings {
            kind: Kind::Azure,
            api_version: Some("2024-10-21".to_owned()),
            ..at(base)
        };
        let of = |kind, base| EndpointSettings { kind, ..at(base) };
        let cases = [
            (at("https://api.openai.com/v1"), "https://api.openai.com/v1/chat/completions", false),
            (at("http://localhost:11434/v1/"), "http://localhost:11434/v1/chat/completions", true),
            (at("http://127.0.0.1:8000"), "http://127.0.0.1:8000/chat/completions", true),
            (at("http://[::1]:8000/"), "http://[::1]:8000/chat/completions", true),
            (
                at("https://a.example/x?api-version=1"),
                "https://a.example/x/chat/completions?api-version=1",
                false,
            ),
            (
                azure("https://a.example/openai/deployments/d"),
                "https://a.example/openai/deployments/d/chat/completions?api-version=2024-10-21",
                false,
            ),
            (of(Kind::Anthropic, "https://a.example/v1"), "https://a.example/v1/messages", false),
            (
                of(Kind::Gemini, "https://a.example/v1beta"),
                "https://a.example/v1beta/models/m:streamGenerateContent?alt=sse",
                false,
            ),
        ];
        for (endpoint, expected, loopback) in cases {
            let url = address("m", &endpoint).unwrap();
            assert_eq!((url.as_str(), is_loopback(&url)), (expected, loopback));
        }
    }

    #[test]
    fn addresses_that_are_none_are_refused_by_name() {
        for base in ["", "api.openai.com/v1", "ftp://a.example", "mailto:a@b.example", "http://"] {
            let error = address("m", &at(base)).unwrap_err().to_string();
            assert!(error.contains("base URL of the model `m` is not an address"), "{base}: {error}");
        }
        let error = address("m", &at("https://me:hunter2@a.example")).unwrap_err();
        assert!(matches!(error, SettingsError::Credentials(_)));
        assert!(!error.to_string().contains("hunter2"));
    }
}
