//! How long the first words take: a moving average that is quick to rise and slow to fall (peak EWMA, as in Finagle),
//! and the quantile from which on a second request pays.

use std::time::{Duration, Instant};

/// How long a sample is remembered. Short, so that an endpoint that was slow is soon tried again.
const MEMORY: Duration = Duration::from_secs(2);
/// A failure doubles the average from the least of these up to the most, so that an endpoint that fails at once does
/// not look fast; one that only fails is the breaker's business.
const PENALTY_SECONDS: (f64, f64) = (0.02, 0.25);
/// Samples that the quantile is of, and the fewest that it needs.
const SAMPLES: usize = 128;
const FEWEST: usize = 20;

/// The average of one endpoint.
#[derive(Clone, Debug, Default)]
pub(crate) struct PeakEwma {
    seconds: Option<f64>,
    at: Option<Instant>,
}

impl PeakEwma {
    /// The first words came after `took`.
    pub(crate) fn observe(&mut self, took: Duration, now: Instant) {
        let sample = took.as_secs_f64();
        let next = match (self.seconds, self.at) {
            (Some(mean), Some(at)) if sample < mean => {
                let since = now.saturating_duration_since(at).as_secs_f64();
                let kept = (-since / MEMORY.as_secs_f64()).exp();
                // Samples that come in one instant count, too.
                let kept = kept.min(0.95);
                mean * kept + sample * (1.0 - kept)
            }
            _ => sample,
        };
        (self.seconds, self.at) = (Some(next), Some(now));
    }

    /// No words came.
    pub(crate) fn punish(&mut self, now: Instant) {
        let mean = self.seconds(now).unwrap_or_default();
        let (least, most) = PENALTY_SECONDS;
        (self.seconds, self.at) = (Some((2.0 * mean).clamp(least, most).max(mean)), Some(now));
    }

    /// Forgets, as when an endpoint is back from being broken.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    /// The average at `now`; a slow time fades, so that the endpoint is tried again. None where nothing is known.
    pub(crate) fn seconds(&self, now: Instant) -> Option<f64> {
        let since = now.saturating_duration_since(self.at?).as_secs_f64();
        Some(self.seconds? * (-since / MEMORY.as_secs_f64()).exp())
    }
}

/// The latest latencies of all endpoints of a model.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recent {
    samples: Vec<Duration>,
    next: usize,
}

impl Recent {
    pub(crate) fn push(&mut self, sample: Duration) {
        if self.samples.len() < SAMPLES {
            self.samples.push(sample);
        } else {
            self.samples[self.next] = sample;
        }
        self.next = (self.next + 1) % SAMPLES;
    }

    /// The 95th percentile; none of too few.
    pub(crate) fn p95(&self) -> Option<Duration> {
        if self.samples.len() < FEWEST {
            return None;
        }
        let mut sorted = self.samples.clone();
        sorted.sort_unstable();
        sorted.get((sorted.len() * 95).div_ceil(100).saturating_sub(1)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rises_at_once_and_falls_slowly() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut mean = PeakEwma::default();
        assert_eq!(mean.seconds(start), None);
        mean.observe(Duration::from_millis(100), start);
        mean.observe(Duration::from_millis(900), at(10));
        assert_eq!(mean.seconds(at(10)), Some(0.9));
        mean.observe(Duration::from_millis(100), at(20));
        let risen = mean.seconds(at(20)).unwrap();
        assert!(risen > 0.8 && risen < 0.9, "{risen}");
        assert!(mean.seconds(at(8_020)).unwrap() < 0.05, "what is not asked is tried again");
        let mut failing = PeakEwma::default();
        for expected in [0.02, 0.04, 0.08, 0.16, 0.25, 0.25] {
            failing.punish(start);
            assert_eq!(failing.seconds(start), Some(expected));
        }
        failing.observe(Duration::from_secs(1), start);
        failing.punish(start);
        assert_eq!(failing.seconds(start), Some(1.0));
        failing.forget();
        assert_eq!(failing.seconds(start), None);
    }

    #[test]
    fn quantiles_are_of_the_latest() {
        let mut recent = Recent::default();
        (0..FEWEST as u64 - 1).for_each(|ms| recent.push(Duration::from_millis(ms)));
        assert_eq!(recent.p95(), None);
        (1..=SAMPLES as u64 * 3).for_each(|ms| recent.push(Duration::from_millis(ms)));
        assert_eq!(recent.p95(), Some(Duration::from_millis(SAMPLES as u64 * 2 + 122)));
    }
}
