//! The HTTP API in OpenAI's shape, its wire types, and the page at `/`. Handlers parse, call the engine and
//! answer; nothing is decided here.

mod api;
mod app;
mod error;
mod extract;
mod guard;
mod limits;
mod metrics;
mod page;
mod question;
mod serving;
mod settings;
mod wire;

pub use api::openapi;
pub use serving::{ServerError, router, serve};
pub use settings::ServerSettings;
