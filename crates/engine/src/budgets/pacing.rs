//! How a budget lasts over its period: what is left is divided by the requests that are still to come, and a price on money
//! keeps what they cost there in the mean (ParetoBandit, arXiv 2604.00136; Balseiro, Lu and Mirrokni 2020).

use burnish_learning::joint::{Goal, Pace};
use burnish_types::Money;

use super::forecast::Forecast;

/// So much of a budget counts as spent as expected, whatever was spent.
const TRUSTED: f64 = 0.005;
/// What is left of a choice, with each one after it, in the memory of what choices cost.
const REMEMBERED: f64 = 0.998;

/// How an account stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    /// The whole budget.
    pub(super) most: Money,
    /// Spent so far.
    pub(super) spent: Money,
    /// Neither spent nor set aside.
    pub(super) left: Money,
    /// The share of the period that is over.
    pub(super) place: f64,
}

/// The pace of one account.
#[derive(Clone, Debug)]
pub(super) struct Pacing {
    pace: Pace,
    forecast: Forecast,
    /// What choices of late were expected to cost, and what was spent meanwhile, in US dollars.
    expected: f64,
    spent: f64,
    /// What was spent in the period before the last choice.
    known: Money,
}

impl Pacing {
    /// One that begins where the share `place` of the period is over.
    pub(super) fn new(place: f64) -> Self {
        // Nothing is short before it is known how much is asked for.
        let pace = Pace::new(Goal::Cost(f64::INFINITY));
        Self { pace, forecast: Forecast::new(place), expected: 0.0, spent: 0.0, known: Money::ZERO }
    }

    /// The period is over. The price of money stays what it was.
    pub(super) fn turn(&mut self) {
        self.forecast.turn();
        self.known = Money::ZERO;
    }

    /// This was spent before any choice.
    pub(super) fn spent_earlier(&mut self, cost: Money) {
        self.known += cost;
    }

    /// How much quality a US dollar is worth while what is left is to last until the end of the period.
    pub(super) fn worth_of_a_dollar(&self, standing: Standing) -> f64 {
        self.toward(standing).worth_of_a_dollar()
    }

    /// Takes a choice in.
    pub(super) fn observe(&mut self, standing: Standing, quality: f64, cost: Money) {
        self.forecast.count(standing.place);
        self.pace = self.toward(standing);
        self.pace.observe(quality, usd(cost));
        let meanwhile = standing.spent.saturating_sub(self.known);
        self.expected = REMEMBERED * self.expected + usd(cost);
        self.spent = REMEMBERED * self.spent + usd(meanwhile);
        self.known = standing.spent;
    }

    /// Toward what each request may be expected to cost that is still to come, this one among them.
    fn toward(&self, Standing { most, left, place, .. }: Standing) -> Pace {
        let trusted = TRUSTED * usd(most);
        // What was spent on no choice counts, too.
        let dearer = (self.spent + trusted) / (self.expected + trusted).max(f64::MIN_POSITIVE);
        self.pace.toward(Goal::Cost(usd(left) / dearer / self.forecast.remaining(place)))
    }
}

fn usd(money: Money) -> f64 {
    money.micros() as f64 / 1e6
}
