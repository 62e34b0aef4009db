//! How a model is reached.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use reqwest::Url;

/// What an endpoint, its model and our patience are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The address before `/chat/completions`, such as `https://api.openai.com/v1`.
    pub base_url: String,
    /// The model's name at the provider.
    pub model: String,
    /// The model's name here, as users pin it.
    pub name: String,
    /// What identifies us, if the endpoint wants it.
    pub api_key: Option<ApiKey>,
    /// The longest that connecting may take.
    pub connect_timeout: Duration,
    /// The longest wait for the first words, from the request on.
    pub first_token_timeout: Duration,
    /// The longest silence between later words.
    pub idle_timeout: Duration,
}

impl Settings {
    /// `model` at `base_url`, named as the provider names it, without a key, with the usual patience.
    pub fn new(base_url: impl Into<String>, model: impl Into<String>) -> Self {
        let model = model.into();
        Self {
            base_url: base_url.into(),
            name: model.clone(),
            model,
            api_key: None,
            connect_timeout: Duration::from_secs(5),
            first_token_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(30),
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
}

/// Where completions of `settings` are asked for.
pub(crate) fn completions_url(settings: &Settings) -> Result<Url, SettingsError> {
    let invalid = |reason: String| SettingsError::Url { name: settings.name.clone(), reason };
    let mut url = Url::parse(settings.base_url.trim()).map_err(|reason| invalid(reason.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid(format!("its scheme is `{}`, not http or https", url.scheme())));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(SettingsError::Credentials(settings.name.clone()));
    }
    match url.path_segments_mut() {
        Ok(mut segments) => segments.pop_if_empty().extend(["chat", "completions"]),
        Err(()) => return Err(invalid("it has no path".to_owned())),
    };
    Ok(url)
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

    #[test]
    fn completions_are_asked_for_below_the_base() {
        let cases = [
            ("https://api.openai.com/v1", "https://api.openai.com/v1/chat/completions", false),
            ("http://localhost:11434/v1/", "http://localhost:11434/v1/chat/completions", true),
            ("http://127.0.0.1:8000", "http://127.0.0.1:8000/chat/completions", true),
            ("http://[::1]:8000/", "http://[::1]:8000/chat/completions", true),
            (
                "https://a.example/x?api-version=1",
                "https://a.example/x/chat/completions?api-version=1",
                false,
            ),
        ];
        for (base, expected, loopback) in cases {
            let url = completions_url(&Settings::new(base, "m")).unwrap();
            assert_eq!((url.as_str(), is_loopback(&url)), (expected, loopback));
        }
    }

    #[test]
    fn addresses_that_are_none_are_refused_by_name() {
        for base in ["", "api.openai.com/v1", "ftp://a.example", "mailto:a@b.example", "http://"] {
            let error = completions_url(&Settings::new(base, "m")).unwrap_err().to_string();
            assert!(error.contains("base URL of the model `m` is not an address"), "{base}: {error}");
        }
        let error = completions_url(&Settings::new("https://me:hunter2@a.example", "m")).unwrap_err();
        assert!(matches!(error, SettingsError::Credentials(_)));
        assert!(!error.to_string().contains("hunter2"));
    }
}
