//! How a budget lasts over its period: what is left is divided by the requests that are still to come, and a price on money
//! keeps what they cost there in the mean (ParetoBandit, arXiv 2604.00136; Balseiro, Lu and Mirrokni 2020). Requests are
//! expected to come as often as they have come so far.

use burnish_learning::joint::{Goal, Pace};
use burnish_types::{Money, Timestamp};

/// Requests are counted over this share of a period before it is said how often they come: a burst is not yet a rate.
const FIRST_LOOK: f64 = 1.0 / 200.0;
/// What is known from the period before counts as much as this share of a period.
const CARRIED: f64 = 0.1;

/// The pace of one account.
#[derive(Clone, Debug)]
pub(super) struct Pacing {
    pace: Pace,
    /// Since when requests are counted.
    since: Timestamp,
    requests: u64,
    /// Requests a millisecond in the period before, where there was one.
    before: Option<f64>,
}

impl Pacing {
    pub(super) fn new(now: Timestamp) -> Self {
        // Nothing is short before it is known how much is asked for.
        Self { pace: Pace::new(Goal::Cost(f64::INFINITY)), since: now, requests: 0, before: None }
    }

    /// The period is over at `until`. The price of money stays what it was.
    pub(super) fn turn(&mut self, until: Timestamp) {
        let counted = until.0.saturating_sub(self.since.0).max(1) as f64;
        (self.before, self.since, self.requests) = (Some(self.requests as f64 / counted), until, 0);
    }

    /// How much quality a US dollar is worth while `left` is to last until the end of the period.
    pub(super) fn worth_of_a_dollar(&self, left: Money, now: Timestamp, until: Timestamp) -> f64 {
        self.pace.toward(self.goal(left, now, until)).worth_of_a_dollar()
    }

    /// Takes a choice in.
    pub(super) fn observe(
        &mut self,
        left: Money,
        now: Timestamp,
        until: Timestamp,
        quality: f64,
        cost: Money,
    ) {
        self.requests += 1;
        self.pace = self.pace.toward(self.goal(left, now, until));
        self.pace.observe(quality, usd(cost));
    }

    /// What each request may cost that is still to come, this one among them.
    fn goal(&self, left: Money, now: Timestamp, until: Timestamp) -> Goal {
        let remaining = until.0.saturating_sub(now.0) as f64;
        let counted = now.0.saturating_sub(self.since.0) as f64;
        let period = remaining + counted;
        let rate = match self.before {
            Some(before) => {
                let carried = CARRIED * period;
                (self.requests as f64 + before * carried) / (counted + carried).max(1.0)
            }
            None => self.requests as f64 / counted.max(FIRST_LOOK * period).max(1.0),
        };
        Goal::Cost(usd(left) / (rate * remaining).max(1.0))
    }
}

fn usd(money: Money) -> f64 {
    money.micros() as f64 / 1e6
}
