//! What is learned and how plans are chosen: query features, performance estimates, policies. Compute-only:
//! no I/O, no clock, and randomness comes from a seed that is handed in.

mod features;
pub mod learner;
mod memory;
pub mod off_policy;
mod performance;
pub mod policies;
mod policy;
pub mod predictor;
mod query_type;
mod settle;

pub use features::{
    FEATURES, FEATURES_VERSION, FeatureDefinition, FeatureVector, feature_value, list_features,
    neutral_value, query_features, text_features,
};
pub use memory::{LIFT, LIKENESS_FLOOR, LIST_FLOOR, Lift, Memory, Recall, Start, Testimony};
pub use performance::{Performance, quality};
pub use policy::{BoundedExploration, Choice};
pub use query_type::{LabelledInputs, QueryType, QueryTypeModel, TypeInputs, TypeLabel, TypePrediction};
pub use settle::{MOST_TRUST, Settled, settle};
