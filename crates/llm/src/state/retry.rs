//! How often and how soon a request is made again: a budget over all requests, so that retries never multiply what a
//! provider in trouble has to bear, and pauses with full jitter.

use std::time::{Duration, Instant};

/// What requests give and retries take counts for so many seconds, so that what is saved up grows with the traffic: at a
/// thousand requests a second a bad moment asks for hundreds of retries at once.
const SECONDS: usize = 10;
/// Retries in that time that are there whatever the traffic, so that few requests can be retried, too.
const RESERVE: f64 = 100.0;

/// A balance over the last seconds that each request raises by a share of a retry, and that each retry takes one from (as
/// in Finagle's `RetryBudget`).
#[derive(Clone, Debug)]
pub(crate) struct RetryBudget {
    per_request: f64,
    start: Instant,
    /// What was given less what was taken, by second.
    balances: [f64; SECONDS],
    /// The latest second that counts.
    second: u64,
}

impl RetryBudget {
    pub(crate) fn new(per_request: f64, now: Instant) -> Self {
        Self { per_request, start: now, balances: [0.0; SECONDS], second: 0 }
    }

    /// A request came.
    pub(crate) fn deposit(&mut self, now: Instant) {
        let per_request = self.per_request;
        *self.turn(now) += per_request;
    }

    /// Whether another retry can be had; if so, it is taken.
    pub(crate) fn withdraw(&mut self, now: Instant) -> bool {
        self.turn(now);
        let enough = self.per_request > 0.0 && self.balances.iter().sum::<f64>() + RESERVE >= 1.0;
        if enough {
            *self.turn(now) -= 1.0;
        }
        enough
    }

    /// Forgets the seconds that are over, and returns the balance of this one.
    fn turn(&mut self, now: Instant) -> &mut f64 {
        let second = now.saturating_duration_since(self.start).as_secs().max(self.second);
        // No more of them than there are.
        for passed in (self.second + 1..=second).rev().take(SECONDS) {
            self.balances[(passed % SECONDS as u64) as usize] = 0.0;
        }
        self.second = second;
        &mut self.balances[(second % SECONDS as u64) as usize]
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
                    budget.deposit(now);
                    requests += 1.0;
                } else if budget.withdraw(now) {
                    retries += 1.0;
                }
            }
            // The reserve is there again once what was taken of it is over, some of a second early.
            let reserves = 1.0 + ((now - start).as_secs_f64() / (SECONDS as f64 - 1.0)).floor();
            let most = RESERVE * reserves + per_request * requests;
            prop_assert!(retries <= most + 1e-6, "{retries} of {most}");
            prop_assert!(per_request > 0.0 || retries == 0.0);
        }
    }

    #[test]
    fn what_is_saved_grows_with_the_traffic_and_is_forgotten() {
        let start = Instant::now();
        let mut budget = RetryBudget::new(0.5, start);
        let taken =
            |budget: &mut RetryBudget, at: Instant| (0..5_000).filter(|_| budget.withdraw(at)).count();
        (0..4_000).for_each(|request| budget.deposit(start + Duration::from_millis(request)));
        assert_eq!(taken(&mut budget, start + Duration::from_secs(4)), 2_100);
        assert_eq!(taken(&mut budget, start + Duration::from_secs(9)), 0);
        // Long after, only the reserve is there.
        assert_eq!(taken(&mut budget, start + Duration::from_secs(60)), 100);
    }
}
