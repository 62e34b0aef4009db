//! Language models over OpenAI-compatible endpoints, streaming. What is asked, and which model is asked, is
//! decided elsewhere.

mod answer;
mod openai;
mod settings;
mod sse;
mod wire;

pub use openai::OpenAiModel;
pub use settings::{ApiKey, Settings, SettingsError};
