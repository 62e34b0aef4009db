//! One decision over combinations: what each of several parts (a strategy, a depth, a model, …) is to be, together.
//!
//! Thousands of combinations are never tried one by one. The quality of one is what its first part, the strategy, is worth with
//! the baseline of all others, plus what each of its other options adds for such a request, plus what each pair of them adds
//! together ([`Effects`]): a Bayesian linear model, so that an outcome of one combination teaches all that share a part with
//! it, and an interaction is believed as far as the log supports it. Of the whole space a few combinations are worth a closer
//! look: what is best for its price at some price by what is known or, as far as it is open, may be true. Among these the
//! policies decide that decide everywhere else ([`crate::selection::Selection::decide_jointly`]).

mod change;
mod considered;
mod effects;
mod pace;
mod space;

pub use considered::{Admitted, Terms};
pub(crate) use considered::{Bounds, considered};
pub use effects::{Effects, Known, OptionStanding};
pub use pace::{Goal, Pace};
pub(crate) use space::SEPARATOR;
pub use space::{Combination, Part, Space};

#[cfg(test)]
mod tests;
