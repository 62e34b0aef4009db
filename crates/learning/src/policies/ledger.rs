//! What exploration has cost, and what it may cost.

use serde::{Deserialize, Serialize};

/// The account of exploration, in sums that add over replicas.
///
/// An exploration is charged, before it is made, with the whole quality that the alternative it displaces was
/// expected to have, as if it were certain to be worth nothing; when its outcome comes, what it was worth is given
/// back. An outcome that never comes leaves the whole charge. So, whatever the outcomes are, the explored requests
/// together were worth at least what was expected of the displaced ones less [`Self::spent`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// Requests that were decided.
    pub requests: u64,
    /// Requests of these that explored.
    pub explored: u64,
    /// The expected quality of what would have been played, summed over all requests.
    pub expected: f64,
    /// The same over the explored requests.
    pub charged: f64,
    /// The quality that explored requests turned out to have.
    pub returned: f64,
}

impl Ledger {
    /// What exploration may have cost so far, in summed quality. Below 0 where it has paid.
    pub fn spent(&self) -> f64 {
        self.charged - self.returned
    }

    /// What it may cost so far: the share `alpha` of what was expected.
    pub fn allowed(&self, alpha: f64) -> f64 {
        alpha * self.expected
    }

    /// Adds another replica's.
    pub fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.explored += other.explored;
        self.expected += other.expected;
        self.charged += other.charged;
        self.returned += other.returned;
    }
}
