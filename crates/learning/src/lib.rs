//! What is learned and how plans are chosen: query features, performance estimates, policies, comparisons that
//! may be read at any time, drift. Compute-only: no I/O, no clock, and randomness comes from a seed that is
//! handed in.

mod drift;
mod features;
mod performance;
mod policy;
mod sequential;

pub use drift::{Cut, Detector, Drift, DriftSettings};
pub use features::{FEATURES_VERSION, query_features};
pub use performance::{Performance, quality};
pub use policy::{BoundedExploration, Choice};
pub use sequential::{Arm, Comparison, ComparisonSettings, Finding, Refused, Verdict};
