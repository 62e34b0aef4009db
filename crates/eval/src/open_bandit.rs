//! Logs of the Open Bandit data set (Saito et al. 2020), and the value of the policy that made one of them,
//! estimated from the log of the other.
//!
//! A folder such as `random/men` holds `men.csv`, plain or gzip'd: one row an item shown, with its position, whether
//! it was clicked, and the probability with which it was chosen. Users' features are the context of the reward
//! model; the affinities are left out, for they belong to pairs of user and item.
//!
//! Of a policy the log has only the probability of what was chosen, so its distribution at each position is taken
//! from its own log, without a look at the clicks. Where an item's logged probability at a position never changes, as
//! with the random policy, it is taken as it is. The Thompson sampler (`bts`) learns while it runs and knows no
//! context: its mean distribution over the time of its log is how often it chose each item, smoothed towards
//! the item's share at all positions. (Averaging the logged probabilities instead would be wrong: they were logged
//! when the item was chosen, which is when they were high.)
//!
//! The same distribution is the propensity where such a log is evaluated from: rows were drawn from a mixture of
//! the policies that the sampler was at one time or another, and the mixture's probabilities are propensities, too
//! ("balanced" IPS: Agarwal et al. 2017, §4), which tame the weights of items that were shown at a time when they
//! were improbable. It asks that clicks do not depend on the time, beyond chance; [`Propensities::Logged`] does not.

mod policy;
mod read;

use std::path::{Path, PathBuf};

use burnish_learning::off_policy::{self, Estimate, Log, Logged};

use crate::EvalError;
use crate::bootstrap::{self, MeanInterval};
use policy::MeanPolicy;

/// An item that was shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Impression {
    /// The item.
    pub item: u32,
    /// Its place on the page.
    pub position: u32,
    /// Whether it was clicked.
    pub clicked: bool,
    /// The probability in (0, 1] with which it was chosen for that place.
    pub propensity: f64,
    /// Which of the log's values the user's features have: 1 for each that they have, 0 for the others.
    pub context: Vec<f64>,
}

/// What one policy showed, and what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct BanditLog {
    /// The folder that it was read from.
    pub folder: PathBuf,
    /// What was shown, in the order of the file; at least one.
    pub impressions: Vec<Impression>,
}

/// Which probabilities of the logging policy a row is weighed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propensities {
    /// The policy's mean over the time of its log.
    Mean,
    /// The one that was logged with the row.
    Logged,
}

/// The target's click rate, as estimated and as it was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OffPolicyReport {
    /// Rows of the log that was estimated from.
    pub n: usize,
    /// By inverse propensity scoring.
    pub ips: Estimate,
    /// By its self-normalised form.
    pub snips: Estimate,
    /// By doubly robust estimation with a cross-fitted ridge regression.
    pub dr: Estimate,
    /// The mean of the target's own clicks, which no estimate has seen.
    pub target: MeanInterval,
}

impl OffPolicyReport {
    /// The estimates with their names.
    pub fn estimators(&self) -> [(&'static str, Estimate); 3] {
        [("ips", self.ips), ("snips", self.snips), ("dr", self.dr)]
    }
}

impl BanditLog {
    /// Reads the one table of impressions in the folder `dir`.
    ///
    /// # Errors
    /// If there is none or more than one, it can't be read, or a row is not what it should be.
    pub fn load(dir: &Path) -> Result<Self, EvalError> {
        read::load(dir)
    }

    fn click_rate(&self, seed: u64) -> Result<MeanInterval, EvalError> {
        let clicks: Vec<f64> =
            self.impressions.iter().map(|shown| f64::from(u8::from(shown.clicked))).collect();
        bootstrap::mean(&clicks, seed).ok_or_else(|| self.refused("it has no rows"))
    }

    fn refused(&self, reason: impl Into<String>) -> EvalError {
        EvalError::OpenBandit { folder: self.folder.clone(), reason: reason.into() }
    }
}

/// Estimates from `log` the click rate of the policy that made `target`.
///
/// # Errors
/// If a position of the log has no row in the target's, or nothing that the target shows is in the log.
pub fn evaluate(
    log: &BanditLog,
    target: &BanditLog,
    propensities: Propensities,
    seed: u64,
) -> Result<OffPolicyReport, EvalError> {
    let items = policy::items(log, target);
    let logging = MeanPolicy::of(log, &items);
    let evaluated = MeanPolicy::of(target, &items);
    let mut rows = Vec::with_capacity(log.impressions.len());
    for shown in &log.impressions {
        let probabilities = evaluated
            .at(shown.position)
            .ok_or_else(|| target.refused(format!("it shows nothing at position {}", shown.position)))?;
        let action = items.binary_search(&shown.item).unwrap_or(items.len());
        let mean = logging.at(shown.position).and_then(|probabilities| probabilities.get(action));
        let propensity = match (propensities, mean) {
            (Propensities::Mean, Some(mean)) => *mean,
            _ => shown.propensity,
        };
        rows.push(Logged {
            context: &shown.context,
            position: shown.position as usize,
            action,
            reward: f64::from(u8::from(shown.clicked)),
            propensity,
            target: probabilities,
        });
    }
    let rows = Log::new(rows)?;
    let predictions = off_policy::cross_fitted(&rows, seed);
    Ok(OffPolicyReport {
        n: log.impressions.len(),
        ips: off_policy::ips(&rows, seed),
        snips: off_policy::snips(&rows, seed),
        dr: off_policy::doubly_robust(&rows, &predictions, seed)?,
        target: target.click_rate(seed)?,
    })
}

#[cfg(test)]
mod tests;
