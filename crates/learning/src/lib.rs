//! What is learned and how plans are chosen: query features, performance estimates, policies. Compute-only:
//! no I/O, no clock, and randomness comes from a seed that is handed in.

mod features;
mod performance;
mod policy;
mod query_type;

pub use features::{
    FEATURES, FEATURES_VERSION, FeatureDefinition, FeatureVector, feature_value, list_features,
    neutral_value, query_features, text_features,
};
pub use performance::{Performance, quality};
pub use policy::{BoundedExploration, Choice};
pub use query_type::{LabelledInputs, QueryType, QueryTypeModel, TypeInputs, TypeLabel, TypePrediction};
