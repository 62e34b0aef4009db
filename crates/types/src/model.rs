//! The seam to language models.

use std::future::Future;
use std::pin::Pin;

use futures_core::Stream;
use serde::{Deserialize, Serialize};

use crate::{Money, Usage};

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
#[derive(Clone, Debug, PartialEq)]
pub struct ModelRequest {
    /// The conversation, oldest message first.
    pub messages: Vec<Message>,
    /// The most tokens to write.
    pub max_tokens: Option<u32>,
    /// From 0 (precise) to 2 (free).
    pub temperature: Option<f32>,
}

/// What a model says while it answers.
#[derive(Clone, Debug, PartialEq)]
pub enum ModelEvent {
    /// More text.
    Text(String),
    /// The end, with what was used, where the provider tells.
    Finished {
        /// `stop`, `length` or what else the provider said.
        reason: String,
        /// Tokens read and written.
        usage: Option<Usage>,
    },
}

/// Why a model did not answer.
#[derive(Debug, thiserror::Error)]
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
    },
    /// The provider's words can't be understood.
    #[error("the model `{model}` sent what cannot be understood: {reason}")]
    Garbled {
        /// The model.
        model: String,
        /// What was wrong.
        reason: String,
    },
}

/// An answer while it is being written.
pub type ModelStream = BoxStream<'static, Result<ModelEvent, ModelError>>;

/// A language model behind whatever provider.
pub trait LanguageModel: Send + Sync {
    /// The model's name, as users pin it.
    fn name(&self) -> &str;

    /// What `usage` costs; nothing where the model has no price.
    fn cost(&self, _usage: Usage) -> Money {
        Money::ZERO
    }

    /// Starts an answer; resolves once the provider has accepted the request.
    fn stream(&self, request: ModelRequest) -> BoxFuture<'_, Result<ModelStream, ModelError>>;
}
