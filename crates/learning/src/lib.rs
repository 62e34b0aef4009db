//! What is learned and how plans are chosen: query features, performance estimates, policies. Compute-only:
//! no I/O, no clock, and randomness comes from a seed that is handed in.

mod features;
pub mod learner;
mod performance;
pub mod policies;
mod policy;
pub mod predictor;
pub mod trees;

pub use features::{FEATURES_VERSION, query_features};
pub use performance::{Performance, quality};
pub use policy::{BoundedExploration, Choice};
