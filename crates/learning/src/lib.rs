//! What is learned and how plans are chosen: query features, feedback memory, performance estimates, policies,
//! comparisons that may be read at any time, drift, off-policy estimates. Compute-only: no I/O, no clock, and
//! randomness comes from a seed that is handed in.

pub mod credit;
mod directions;
mod features;
pub mod joint;
pub mod learner;
mod logistic;
mod memory;
pub mod off_policy;
pub mod patterns;
pub mod policies;
pub mod predictor;
mod query_type;
pub mod router;
pub mod search;
pub mod selection;
mod sequential;
mod settle;
pub mod trees;
mod trial;

pub use directions::Directions;
pub use features::{
    FEATURES, FEATURES_VERSION, FeatureDefinition, FeatureVector, feature_value, list_features,
    neutral_value, query_features, text_features,
};
pub use logistic::Logistic;
pub use memory::{LIFT, LIKENESS_FLOOR, LIST_FLOOR, Lift, Memory, Recall, Start, Testimony};
pub use query_type::{LabelledInputs, QueryType, QueryTypeModel, TypeInputs, TypeLabel, TypePrediction};
pub use sequential::{Arm, Comparison, ComparisonSettings, Finding, Refused, Verdict};
pub use settle::{MOST_TRUST, Settled, settle};
pub use trial::{
    ArmFinding, Gap, GuardFinding, GuardSettings, History, Measured, Trial, TrialFinding, TrialSettings,
    TrialVerdict,
};
