//! What is learned and how plans are chosen: query features, performance estimates, policies. Compute-only:
//! no I/O, no clock, and randomness comes from a seed that is handed in.

mod features;
mod memory;
mod performance;
pub mod policies;
mod policy;
pub mod predictor;
mod settle;

pub use features::{FEATURES_VERSION, query_features};
pub use memory::{LIFT, LIKENESS_FLOOR, LIST_FLOOR, Lift, Memory, Recall, Testimony};
pub use performance::{Performance, quality};
pub use policy::{BoundedExploration, Choice};
pub use settle::{MOST_TRUST, Settled, settle};
