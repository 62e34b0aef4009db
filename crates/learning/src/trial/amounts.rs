//! Running means of what answers cost and took, and how far two arms lie apart.

use serde::{Deserialize, Serialize};

use super::{ArmFinding, Measured};

/// Of the normal distribution, 95 % of which lie within ± this many deviations.
const DEVIATIONS: f64 = 1.959_964;

/// Of one arm.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Amounts {
    quality: Running,
    pub(super) cost_usd: Running,
    pub(super) latency_ms: Running,
    pub(super) output_tokens: Running,
}

impl Amounts {
    pub(super) fn observe(&mut self, measured: &Measured) {
        self.quality.observe(Some(measured.quality));
        self.cost_usd.observe(measured.cost_usd);
        self.latency_ms.observe(measured.latency_ms);
        self.output_tokens.observe(measured.output_tokens);
    }

    pub(super) fn served(&self) -> u64 {
        self.quality.count
    }

    pub(super) fn finding(&self) -> ArmFinding {
        ArmFinding {
            served: self.served(),
            quality: self.quality.mean(),
            cost_usd: self.cost_usd.mean(),
            latency_ms: self.latency_ms.mean(),
            output_tokens: self.output_tokens.mean(),
        }
    }
}

/// A running mean and squared distance from it (Welford 1962).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Running {
    count: u64,
    mean: f64,
    squares: f64,
}

impl Running {
    fn observe(&mut self, value: Option<f64>) {
        let Some(value) = value else { return };
        self.count += 1;
        let before = value - self.mean;
        self.mean += before / self.count as f64;
        self.squares += before * (value - self.mean);
    }

    fn mean(&self) -> Option<f64> {
        (self.count > 0).then_some(self.mean)
    }

    /// Of the mean.
    fn variance(&self) -> f64 {
        let count = self.count as f64;
        self.squares / ((count - 1.0) * count)
    }
}

/// How much more the challenger's answers cost or take than the champion's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Gap {
    /// The champion's mean.
    pub champion: f64,
    /// The challenger's mean.
    pub challenger: f64,
    /// The challenger's less the champion's.
    pub difference: f64,
    /// Holds the true difference with a probability of about 95 %, by the normal distribution and at one time only:
    /// unlike that of the quality it is not made to be read again and again.
    pub interval: [f64; 2],
}

impl Gap {
    pub(super) fn between(champion: &Running, challenger: &Running) -> Option<Self> {
        if champion.count < 2 || challenger.count < 2 {
            return None;
        }
        let difference = challenger.mean - champion.mean;
        let reach = DEVIATIONS * (champion.variance() + challenger.variance()).sqrt();
        Some(Self {
            champion: champion.mean,
            challenger: challenger.mean,
            difference,
            interval: [difference - reach, difference + reach],
        })
    }
}
