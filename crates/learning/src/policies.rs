//! Policies: each turns what is predicted of the alternatives into one choice, with the true probability of every one.

mod conservative;
mod ledger;
mod objective;
mod simple;
mod thompson;

use std::fmt;

pub use conservative::Conservative;
pub use ledger::Ledger;
pub use objective::{Alternative, QUALITY_TOLERANCE, Situation, Wish};
pub use simple::{Epsilon, Fixed, LinUcb};
pub use thompson::Thompson;

/// The policy that is used where none is named.
pub const DEFAULT_POLICY: &str = "conservative";

/// A way to choose.
pub trait Policy: Send {
    /// Its name with its settings, in the form that [`parse`] reads.
    fn name(&self) -> String;

    /// The same, with the same state, which goes its own way from here.
    fn copy(&self) -> Box<dyn Policy>;

    /// Chooses among the alternatives. `None` where there are none.
    fn choose(&mut self, situation: &Situation<'_>, random: &mut fastrand::Rng) -> Option<Choice>;

    /// What it would play here without exploring; `None` of a policy that can't say, for it always draws, or asks nobody.
    fn incumbent(&self, _situation: &Situation<'_>) -> Option<usize> {
        None
    }

    /// Whether something new may be tried in place of what is expected to be worth `charge`.
    fn may_try(&self, _charge: f64) -> bool {
        true
    }

    /// That it is tried: what it may cost, as [`Choice::charge`] has it.
    fn charge(&mut self, _charge: f64) -> f64 {
        0.0
    }

    /// Requests whose [`Choice::charge`] was above 0 had this quality, in [0, 1], summed over them. When a later outcome
    /// revises one, the difference is handed in.
    fn settle(&mut self, _quality: f64) {}

    /// After a drift alarm: what was held back for such a time may be spent on exploration now.
    fn renew(&mut self) {}

    /// What exploration has cost, of a policy that bounds it.
    fn ledger(&self) -> Option<Ledger> {
        None
    }

    /// Goes on from an earlier ledger, or from that of several replicas.
    fn resume(&mut self, _ledger: Ledger) {}
}

/// What a policy chose.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// The place of the chosen alternative.
    pub chosen: usize,
    /// The probability of each, in the order given: exactly those of the draw that was made. They add up to 1.
    pub propensities: Vec<f64>,
    /// What this choice may have cost at most, in quality, against what would have been played; above 0 only for
    /// an exploration that a [`Ledger`] counts. It is owed until [`Policy::settle`] is told the quality.
    pub charge: f64,
    /// Why, in words.
    pub reason: String,
}

impl Choice {
    /// A choice that could not have been another one.
    pub(crate) fn certain(chosen: usize, of: usize, reason: String) -> Self {
        let propensities = (0..of).map(|place| f64::from(u8::from(place == chosen))).collect();
        Self { chosen, propensities, charge: 0.0, reason }
    }
}

/// A policy's name that says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownPolicy(String);

impl fmt::Display for UnknownPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "there is no policy `{}`: write fixed:ARM, epsilon:SHARE with a share in [0, 1], linucb or linucb:C with C \
             of at least 0, thompson, conservative or conservative:ALPHA with ALPHA in [0, 1]",
            self.0
        )
    }
}

impl std::error::Error for UnknownPolicy {}

/// The policy of a name such as `fixed:hybrid`, `epsilon:0.05`, `linucb`, `linucb:0.5`, `thompson`, `conservative`
/// or `conservative:0.02`.
///
/// # Errors
/// If there is no such policy, or its setting is out of range.
pub fn parse(name: &str) -> Result<Box<dyn Policy>, UnknownPolicy> {
    let (kind, setting) = name.split_once(':').map_or((name, None), |(kind, setting)| (kind, Some(setting)));
    let unknown = || UnknownPolicy(name.to_owned());
    let number = |default: Option<f64>, most: f64| -> Result<f64, UnknownPolicy> {
        let value = match setting {
            Some(text) => text.trim().parse().map_err(|_| unknown())?,
            None => default.ok_or_else(unknown)?,
        };
        if (0.0..=most).contains(&value) { Ok(value) } else { Err(unknown()) }
    };
    match (kind, setting) {
        ("fixed", Some(arm)) if !arm.is_empty() => Ok(Box::new(Fixed::new(arm))),
        ("epsilon", _) => Ok(Box::new(Epsilon::new(number(None, 1.0)?))),
        ("linucb", _) => Ok(Box::new(LinUcb::new(number(Some(LinUcb::WIDTH), f64::MAX)?))),
        ("thompson", None) => Ok(Box::new(Thompson)),
        ("conservative", _) => Ok(Box::new(Conservative::new(number(Some(Conservative::ALPHA), 1.0)?))),
        _ => Err(unknown()),
    }
}

#[cfg(test)]
mod tests;
