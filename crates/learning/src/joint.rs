//! One decision over combinations: what each of several parts (a strategy, a depth, a model, …) is to be, together.
//!
//! Thousands of combinations are never tried one by one. The quality of one is what the request brings, plus what each of its
//! options adds for such a request, plus what each pair of options adds together: a Bayesian linear model, so that an outcome of
//! one combination teaches all that share a part with it, and an interaction is believed as far as the log supports it. Of
//! the whole space a few combinations are worth a closer look ([`JointPlanner`]): what is best for its price at some price by
//! what is known or, as far as it is open, may be true. Among these the policies decide that decide everywhere else.

mod change;
mod pace;
mod planner;
mod posterior;
mod space;

pub use pace::{Goal, Pace};
pub use planner::{JointPlanner, JointSettings, Planned, Terms};
pub use posterior::JointPredictor;
pub use space::{Combination, Part, Space};

#[cfg(test)]
mod tests;
