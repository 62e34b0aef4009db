//! Language models over the endpoints of any provider, streaming, and made to bear with what goes wrong there. What is
//! asked, and which model is asked, is decided elsewhere.

mod answer;
mod dialect;
mod endpoint;
mod flight;
mod model;
mod payment;
mod pool;
mod prices;
mod session;
mod settings;
mod sse;
mod state;
mod tokens;

pub use dialect::{GoingOn, Kind};
pub use model::Model;
pub use prices::known_price;
pub use settings::{
    ApiKey, EndpointSettings, Limits, ModelSettings, Patience, Retries, SettingsError, SingleFlight,
};
pub use state::budget::{Budget, Cap};
pub use state::choice::Balance;
