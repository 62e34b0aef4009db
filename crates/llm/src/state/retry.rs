//! How often and how soon a request is made again: a budget over all requests, so that retries never multiply what a
//! provider in trouble has to bear, and pauses with full jitter.

use std::time::{Duration, Instant};

/// Retries that are saved up at most for a bad time.
const MOST_SAVED: f64 = 100.0;
/// Retries that are there each second whatever the traffic, so that few requests can be retried, too.
const EACH_SECOND: f64 = 10.0;

/// A bucket that each request fills by a share of a retry, and that each retry takes one from.
#[derive(Clone, Debug)]
pub(crate) struct RetryBudget {
    per_request: f64,
    saved: f64,
    at: Instant,
}

impl RetryBudget {
    pub(crate) fn new(per_request: f64, now: Instant) -> Self {
        Self { per_request, saved: MOST_SAVED, at: now }
    }

    /// A request came.
    pub(crate) fn deposit(&mut self) {
        self.saved = (self.saved + self.per_request).min(MOST_SAVED);
    }

    /// Whether another retry can be had; if so, it is taken.
    pub(crate) fn withdraw(&mut self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        // Without a share there are no retries at all.
        let trickle = if self.per_request > 0.0 { EACH_SECOND * since } else { 0.0 };
        self.saved = (self.saved + trickle).min(MOST_SAVED);
        self.at = now;
        let enough = self.per_request > 0.0 && self.saved >= 1.0;
        if enough {
            self.saved -= 1.0;
        }
        enough
    }
}

/// The pause before the `round`th time that every endpoint was tried, from 1: uniform between nothing and a limit that
/// doubles (full jitter; Brooker 2015). `lot` lies in [0, 1).
pub(crate) fn pause(round: u32, first: Duration, most: Duration, lot: f64) -> Duration {
    let doubled = first.saturating_mul(1_u32 << round.saturating_sub(1).min(16));
    doubled.min(most).mul_f64(lot)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit() {
        let (first, most) = (Duration::from_millis(50), Duration::from_secs(2));
        for (round, limit) in [(1, 50), (2, 100), (6, 1_600), (7, 2_000), (99, 2_000)] {
            assert_eq!(pause(round, first, most, 0.0), Duration::ZERO);
            assert_eq!(pause(round, first, most, 0.5), Duration::from_millis(limit) / 2, "round {round}");
        }
    }

    proptest! {
        #[test]
        fn retries_stay_within_the_budget(
            steps in proptest::collection::vec((any::<bool>(), 0_u64..50), 1..2_000),
            per_request in 0.0..2.0,
        ) {
            let start = Instant::now();
            let mut budget = RetryBudget::new(per_request, start);
            let (mut requests, mut retries, mut now) = (0.0, 0.0, start);
            for (request, wait) in steps {
                now += Duration::from_millis(wait);
                if request {
                    budget.deposit();
                    requests += 1.0;
                } else if budget.withdraw(now) {
                    retries += 1.0;
                }
            }
            let most = MOST_SAVED + per_request * requests + EACH_SECOND * (now - start).as_secs_f64();
            prop_assert!(retries <= most + 1e-6, "{retries} of {most}");
            prop_assert!(per_request > 0.0 || retries == 0.0);
        }
    }
}
