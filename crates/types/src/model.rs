//! The seam to language models.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures_core::Stream;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Money, Parameters, SharedPurse, Timestamp, Usage};

/// A boxed future.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A boxed stream.
pub type BoxStream<'a, T> = Pin<Box<dyn Stream<Item = T> + Send + 'a>>;

/// Who said a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions.
    System,
    /// The person who asks.
    User,
    /// The model.
    Assistant,
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who said it.
    pub role: Role,
    /// What was said.
    pub content: String,
}

/// What a model is asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelRequest {
    /// The conversation, oldest message first.
    pub messages: Vec<Message>,
    /// The most tokens to write.
    pub max_tokens: Option<u32>,
    /// From 0 (precise) to 2 (free).
    pub temperature: Option<f32>,
    /// What of both to take where the caller has not said; left out for models that refuse it.
    pub suggested: Option<Parameters>,
    /// Whether nothing is shown before the end, so that an answer that breaks off can be begun anew.
    pub whole: bool,
    /// What else OpenAI's API knows, such as `tools` and `response_format`, in its words.
    pub passthrough: Map<String, Value>,
    /// The messages after the first one as OpenAI's API has them, where text alone does not say all of them: with
    /// images, or calls of tools.
    pub verbatim: Vec<Value>,
    /// What it is paid from; none where nobody counts.
    pub purse: Option<SharedPurse>,
}

/// What a million tokens cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// Of the prompt.
    pub input: Money,
    /// Of that part of the prompt that the provider had in its cache.
    pub cached_input: Money,
    /// Of the answer.
    pub output: Money,
}

impl Price {
    /// What `usage` costs.
    pub fn of(&self, usage: Usage) -> Money {
        let cached = usage.cached_input_tokens.min(usage.input_tokens);
        let times = |price: Money, tokens: u64| u128::from(price.micros()) * u128::from(tokens);
        // Rounded up once, so that no prompt costs more than all of it does at the dearer price.
        let read = times(self.input, usage.input_tokens - cached) + times(self.cached_input, cached);
        let read = u64::try_from(read.div_ceil(1_000_000)).unwrap_or(u64::MAX);
        Money::from_micros(read) + self.output.for_tokens(usage.output_tokens)
    }
}

/// What one try of a provider took. A failed try may cost, too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spending {
    /// The model that was tried, by the name that users pin.
    pub model: String,
    /// Its tokens: as the provider told, or estimated where it did not come to that.
    pub usage: Usage,
    /// What they cost; none where no price is known.
    pub cost: Option<Money>,
}

/// What a model says while it answers.
#[derive(Clone, Debug, PartialEq)]
pub enum ModelEvent {
    /// More text.
    Text(String),
    /// What is said beside text, such as `tool_calls`, as a delta of OpenAI's API has it.
    Extra(Map<String, Value>),
    /// A try of a provider is over. An answer may take several, and of several models.
    Spent(Spending),
    /// The end, with what was used, where the provider tells.
    Finished {
        /// `stop`, `length` or what else the provider said.
        reason: String,
        /// Tokens read and written.
        usage: Option<Usage>,
    },
}

/// Why a model did not answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ModelError {
    /// The endpoint can't be reached, broke off, or was too slow.
    #[error("the model `{model}` could not be reached: {reason}")]
    Unreachable {
        /// The model.
        model: String,
        /// What happened.
        reason: String,
    },
    /// The provider refused, with its HTTP status.
    #[error("the model `{model}` refused with status {status}: {reason}")]
    Refused {
        /// The model.
        model: String,
        /// The status.
        status: u16,
        /// The provider's words, shortened.
        reason: String,
        /// When it may be asked again, if it says so.
        retry_after: Option<Duration>,
    },
    /// The provider's words can't be understood.
    #[error("the model `{model}` sent what cannot be understood: {reason}")]
    Garbled {
        /// The model.
        model: String,
        /// What was wrong.
        reason: String,
    },
    /// The prompt is longer than the model can read.
    #[error("the prompt is too long for the model `{model}`: {reason}")]
    TooLong {
        /// The model.
        model: String,
        /// The provider's words, shortened.
        reason: String,
    },
    /// The answer broke off after some text was given out, and nobody could go on from there.
    #[error("the answer of the model `{model}` broke off after {characters} characters: {reason}")]
    Interrupted {
        /// The model.
        model: String,
        /// How much was given out.
        characters: usize,
        /// What happened, and why nobody went on.
        reason: String,
    },
    /// As many requests as are allowed are under way and waiting.
    #[error("the model `{model}` has all the requests that it may have; try again in {} s", retry_after.as_secs())]
    Busy {
        /// The model.
        model: String,
        /// When it is worth another try.
        retry_after: Duration,
    },
    /// What may be spent is spent, by the model or for whoever asks.
    #[error("no budget allows to ask the model `{model}`: {reason}")]
    OverBudget {
        /// The model.
        model: String,
        /// Which budget, and until when.
        reason: String,
    },
    /// The request wants what the provider can't do, or is larger than allowed.
    #[error("the model `{model}` cannot be asked this: {reason}")]
    Unsupported {
        /// The model.
        model: String,
        /// What it is, and what to do.
        reason: String,
    },
}

/// An answer while it is being written.
pub type ModelStream = BoxStream<'static, Result<ModelEvent, ModelError>>;

/// What has been seen of one endpoint of a model since the start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EndpointFigures {
    /// The model, as users pin it.
    pub model: String,
    /// The endpoint's host and port, and its place among the model's.
    pub endpoint: String,
    /// Requests that it was sent.
    pub requests: u64,
    /// Those of them that were sent since others failed.
    pub retries: u64,
    /// Those of them that were sent since another was slow.
    pub hedges: u64,
    /// What went wrong, by kind.
    pub errors: Vec<(&'static str, u64)>,
    /// 0: it is used, 1: it is tried, 2: it is left alone.
    pub breaker: u8,
    /// Moving average of the time until the first words, in seconds, quick to rise; none before the first.
    pub first_token_seconds: Option<f64>,
    /// Requests that are under way.
    pub in_flight: u64,
}

/// A language model behind whatever provider.
pub trait LanguageModel: Send + Sync {
    /// The model's name, as users pin it.
    fn name(&self) -> &str;

    /// What is behind the name: changes where other answers are to be expected from it.
    fn fingerprint(&self) -> String {
        self.name().to_owned()
    }

    /// What its tokens cost, where that is known.
    fn price(&self) -> Option<Price> {
        None
    }

    /// Starts an answer; resolves once the provider has accepted the request. Each try is paid from the request's purse, where
    /// it has one: set aside before it is sent, and settled after. What trying took is in the stream, before
    /// its failure, too.
    fn stream(&self, request: ModelRequest) -> BoxFuture<'_, Result<ModelStream, ModelError>>;

    /// What has been seen of its endpoints.
    fn figures(&self) -> Vec<EndpointFigures> {
        Vec::new()
    }

    /// The time from which on spending counts towards one of its budgets; none where it has none.
    fn budgeted_since(&self, _now: Timestamp) -> Option<Timestamp> {
        None
    }

    /// Counts what was spent before this process began towards its budgets.
    fn count_earlier(&self, _at: Timestamp, _cost: Option<Money>) {}
}
