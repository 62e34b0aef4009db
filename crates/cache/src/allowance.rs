//! What may be served wrongly, what was spent of that, and who is served for it.
//!
//! Whatever is predicted, something is served only while the ledger's bound on the wrong ones stays within δ of all
//! requests. So the share of requests that are answered wrongly is at most δ at every moment, with the confidence that was
//! asked for. What it rests on: the coins are fair, and a comparison with a fresh answer tells right from wrong. Bad
//! predictions cost hits, not correctness.

use crate::ledger::{Ledger, Stake};
use crate::pacing::{Pacing, SMALLEST_RISK};

/// What is promised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Promise {
    /// The largest share of all requests that may be answered wrongly, in (0, 1).
    pub delta: f64,
    /// The probability with which it holds, in (0, 1).
    pub confidence: f64,
}

impl Default for Promise {
    fn default() -> Self {
        Self { delta: 0.01, confidence: 0.95 }
    }
}

/// Figures of what was promised and kept.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Standing {
    /// Requests so far.
    pub requests: u64,
    /// Answers that were served.
    pub served: u64,
    /// Answers that might have been served, and were compared instead.
    pub explored: u64,
    /// An upper bound on the wrong ones among those served, with the promised confidence.
    pub wrong_bound: f64,
}

/// What was decided about something that could be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drawn {
    /// It is likely enough to be right, and was drawn to be served.
    Served,
    /// It is likely enough to be right, and was drawn to be compared.
    Explored,
    /// It is not likely enough to be right.
    Unlikely,
    /// As much was answered wrongly as may be, or it can't be told yet that it was not.
    Spent,
}

/// A draw whose outcome may become known.
#[derive(Clone, Copy, Debug)]
pub struct Draw {
    stake: Stake,
    drawn: Drawn,
}

impl Draw {
    /// What was decided.
    pub fn drawn(&self) -> Drawn {
        self.drawn
    }

    /// Whether it is to be served.
    pub fn serves(&self) -> bool {
        self.drawn == Drawn::Served
    }

    /// How likely it was said to be wrong.
    pub fn risk(&self) -> f64 {
        self.stake.predicted
    }

    /// The probability with which it was going to be served.
    pub fn propensity(&self) -> f64 {
        self.stake.propensity
    }

    /// The probability with which nobody would have compared it: 0 where it was not drawn for.
    pub fn unseen(&self) -> f64 {
        if self.drawn == Drawn::Explored { self.stake.propensity } else { 0.0 }
    }
}

/// Keeps the promise.
#[derive(Clone, Debug)]
pub struct Allowance {
    promise: Promise,
    ledger: Ledger,
    pacing: Pacing,
    requests: u64,
    served: u64,
    explored: u64,
}

impl Allowance {
    /// One of which nothing is spent.
    pub fn new(promise: Promise) -> Self {
        Self {
            promise,
            ledger: Ledger::new(1.0 - promise.confidence),
            pacing: Pacing::new(),
            requests: 0,
            served: 0,
            explored: 0,
        }
    }

    /// Counts a request for which nothing can be served, though something of this `risk` may have been at hand; 1 where
    /// there was nothing.
    pub fn count(&mut self, risk: f64) {
        self.requests += 1;
        self.pacing.observe(risk.clamp(SMALLEST_RISK, 1.0));
        self.pacing.adjust(&self.ledger, self.requests, self.promise.delta);
    }

    /// Counts a request, and decides whether what is wrong with a probability of `risk` is served for it. `coin` is uniform
    /// in [0, 1) and known to nobody before.
    pub fn draw(&mut self, risk: f64, coin: f64) -> Draw {
        let risk = risk.clamp(SMALLEST_RISK, 1.0);
        self.requests += 1;
        self.pacing.observe(risk);
        let draw = self.drawn(risk, coin);
        self.pacing.adjust(&self.ledger, self.requests, self.promise.delta);
        draw
    }

    fn drawn(&mut self, risk: f64, coin: f64) -> Draw {
        let propensity = self.pacing.share(risk);
        let stake = Stake { propensity, predicted: risk };
        if propensity == 0.0 {
            let drawn = if self.is_open() { Drawn::Unlikely } else { Drawn::Spent };
            return Draw { stake, drawn };
        }
        self.ledger.admit(stake);
        // The bound rises by the risk where it is served, so this keeps it within what is allowed.
        if self.ledger.bound() + risk > self.promise.delta * self.requests as f64 {
            return Draw { stake: Stake { propensity: 0.0, ..stake }, drawn: Drawn::Spent };
        }
        if coin < propensity {
            self.ledger.serve(stake);
            self.served += 1;
            return Draw { stake, drawn: Drawn::Served };
        }
        self.ledger.explore(stake);
        self.explored += 1;
        Draw { stake, drawn: Drawn::Explored }
    }

    /// Takes note of whether what was drawn for is right: from a comparison where it was not served, from what somebody said
    /// where it was.
    pub fn settle(&mut self, draw: &Draw, right: bool) {
        match (draw.drawn, right) {
            (Drawn::Explored, true) => self.ledger.acquit(draw.stake),
            (Drawn::Served, false) => self.ledger.report(),
            _ => {}
        }
    }

    /// Whether anything may be served at all.
    pub fn is_open(&self) -> bool {
        self.pacing.is_open()
    }

    /// What was promised and kept so far.
    pub fn standing(&self) -> Standing {
        let Self { requests, served, explored, .. } = *self;
        // Nothing wrong can have been served where nothing was.
        let wrong_bound = self.ledger.bound().min(served as f64);
        Standing { requests, served, explored, wrong_bound }
    }
}
