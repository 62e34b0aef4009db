//! Latency and cost of an arm, as sums that add.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Neighbouring buckets differ by this factor, so that a quantile is off by 2.5 % at most.
const BUCKET_RATIO: f64 = 1.05;
const LEAST_MS: f64 = 1e-3;
const MOST_MS: f64 = 1e8;
/// The share of the fastest and of the slowest requests that the robust mean leaves out.
const TRIMMED: f64 = 0.05;

/// A histogram of latencies over buckets that grow by 5 %, and the mean cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Profile {
    /// Weights by bucket.
    latencies: BTreeMap<i32, f64>,
    requests: i64,
    cost_weight: f64,
    cost: f64,
}

/// How long an arm takes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LatencyEstimate {
    /// The mean of all but the fastest and the slowest 5 %, in milliseconds.
    pub mean_ms: f64,
    /// Only one in twenty takes longer, in milliseconds.
    pub p95_ms: f64,
    /// Requests that this rests on.
    pub requests: u64,
}

impl Profile {
    pub(crate) fn observe_latency(&mut self, ms: f64, weight: f64) {
        if ms.is_finite() && weight.is_finite() && weight != 0.0 {
            let bucket = (ms.clamp(LEAST_MS, MOST_MS).ln() / BUCKET_RATIO.ln()).round() as i32;
            *self.latencies.entry(bucket).or_default() += weight;
            self.requests += if weight > 0.0 { 1 } else { -1 };
        }
    }

    pub(crate) fn observe_cost(&mut self, usd: f64, weight: f64) {
        if usd.is_finite() && weight.is_finite() {
            self.cost_weight += weight;
            self.cost += weight * usd;
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (bucket, weight) in &other.latencies {
            *self.latencies.entry(*bucket).or_default() += weight;
        }
        self.requests += other.requests;
        self.cost_weight += other.cost_weight;
        self.cost += other.cost;
    }

    pub(crate) fn scale(&mut self, factor: f64) {
        for weight in self.latencies.values_mut() {
            *weight *= factor;
        }
        self.cost_weight *= factor;
        self.cost *= factor;
    }

    pub(crate) fn cost(&self) -> Option<f64> {
        (self.cost_weight > 1e-12).then(|| (self.cost / self.cost_weight).max(0.0))
    }

    pub(crate) fn latency(&self) -> Option<LatencyEstimate> {
        let buckets = || self.latencies.iter().filter(|(_, weight)| **weight > 0.0);
        let total: f64 = buckets().map(|(_, weight)| weight).sum();
        if total <= 1e-12 {
            return None;
        }
        let (mut below, mut sum, mut counted, mut p95) = (0.0, 0.0, 0.0, None);
        for (bucket, weight) in buckets() {
            let ms = BUCKET_RATIO.powi(*bucket);
            let (from, to) = (below / total, (below + weight) / total);
            let inside = (to.min(1.0 - TRIMMED) - from.max(TRIMMED)).max(0.0);
            sum += inside * ms;
            counted += inside;
            below += weight;
            if p95.is_none() && to >= 0.95 - 1e-12 {
                p95 = Some(ms);
            }
        }
        let p95_ms = p95.unwrap_or_default();
        let mean_ms = if counted > 0.0 { sum / counted } else { p95_ms };
        Some(LatencyEstimate { mean_ms, p95_ms, requests: self.requests.max(0).unsigned_abs() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latency_is_robust_and_cost_is_a_mean() {
        let mut profile = Profile::default();
        assert_eq!((profile.latency(), profile.cost()), (None, None));
        for ms in 1..=100 {
            profile.observe_latency(f64::from(ms), 1.0);
            profile.observe_cost(f64::from(ms), 1.0);
        }
        // A request that hung does not move the mean.
        profile.observe_latency(1e7, 1.0);
        let latency = profile.latency().unwrap();
        assert!((latency.mean_ms - 50.5).abs() < 2.0, "{latency:?}");
        assert!((latency.p95_ms - 96.0).abs() < 5.0, "{latency:?}");
        assert_eq!((latency.requests, profile.cost()), (101, Some(50.5)));
    }

    #[test]
    fn what_is_taken_back_was_never_there() {
        let mut profile = Profile::default();
        profile.observe_latency(5.0, 1.0);
        profile.observe_latency(500.0, 1.0);
        profile.observe_latency(500.0, -1.0);
        profile.observe_latency(f64::NAN, 1.0);
        let latency = profile.latency().unwrap();
        assert!((latency.p95_ms - 5.0).abs() < 0.2 && latency.requests == 1, "{latency:?}");
    }
}
