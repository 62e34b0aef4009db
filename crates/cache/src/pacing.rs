//! Which share of the requests is served, so that what may be wrong is spent where it buys most.
//!
//! Serving with probability `q` is worth `q` and is expected to raise the ledger's bound by a charge that grows faster than
//! `q` itself, since the less is explored the less is known. At a price θ on that charge each request gets the `q`
//! that gains most; the price is set so that the allowance of the requests to come is spent by them.

use crate::ledger::{Ledger, RATE_COUNT, Stake};

/// Probabilities with which a request may be served: from little to nearly always.
const SMALLEST_SHARE: f64 = 0.1;
const SHARE_STEP: f64 = 0.01;
const SHARES: usize = 90;
/// Predictions fall into this many classes, evenly spaced in their logarithm.
const CLASSES: usize = 48;
/// No answer is predicted to be wrong with less than this: labels themselves err.
pub(crate) const SMALLEST_RISK: f64 = 0.004;
/// Requests whose predictions stand for those to come.
const WINDOW: usize = 4_096;
/// The price is set anew after so many requests, or this share of all, whichever is more.
const PERIOD: u64 = 64;
const PERIOD_SHARE: u64 = 50;
/// Before that many requests nothing is served: nothing is known of what is asked.
const FIRST: u64 = 256;
const PRICES: (f64, f64) = (0.3, 10_000.0);
const PRICE_STEPS: usize = 16;

/// Sets and knows the price.
#[derive(Clone, Debug)]
pub(crate) struct Pacing {
    /// For each rate, class of prediction and share: the expected charge.
    charges: Vec<f32>,
    /// How often each class came, over the window.
    recent: Vec<u8>,
    counts: [u32; CLASSES],
    oldest: usize,
    price: Option<(usize, f64)>,
    /// The request at which the price is set next.
    next: u64,
}

impl Pacing {
    pub(crate) fn new() -> Self {
        let mut charges = Vec::with_capacity(RATE_COUNT * CLASSES * SHARES);
        for place in 0..RATE_COUNT {
            for class in 0..CLASSES {
                let predicted = risk_of(class);
                charges.extend((0..SHARES).map(|share| {
                    Stake { propensity: share_of(share), predicted }.expected_charge(place) as f32
                }));
            }
        }
        Self {
            charges,
            recent: Vec::with_capacity(WINDOW),
            counts: [0; CLASSES],
            oldest: 0,
            price: None,
            next: FIRST,
        }
    }

    /// Takes note of a prediction; 1 where there is nothing to serve.
    pub(crate) fn observe(&mut self, predicted: f64) {
        let class = class_of(predicted);
        self.counts[class] += 1;
        if self.recent.len() < WINDOW {
            self.recent.push(class as u8);
            return;
        }
        let gone = std::mem::replace(&mut self.recent[self.oldest], class as u8);
        self.counts[usize::from(gone)] -= 1;
        self.oldest = (self.oldest + 1) % WINDOW;
    }

    /// Sets the price anew every now and then, for as many requests to come as there were.
    pub(crate) fn adjust(&mut self, ledger: &Ledger, requests: u64, delta: f64) {
        if requests < self.next {
            return;
        }
        self.next = requests + PERIOD.max(requests / PERIOD_SHARE);
        let (seen, ahead) = (self.recent.len() as f64, requests as f64);
        let mut best = 0.0;
        self.price = None;
        for place in 0..RATE_COUNT {
            let Some(bound) = ledger.bound_at(place) else { continue };
            // What is not covered by what was asked so far would serve nothing for a while, at the price of larger rates.
            if bound >= delta * requests as f64 {
                continue;
            }
            let allowance = delta * (requests as f64 + ahead) - bound;
            let (mut low, mut high) = PRICES;
            for _ in 0..PRICE_STEPS {
                let middle = (low * high).sqrt();
                let (_, charge) = self.outlook(place, middle);
                if charge / seen * ahead > allowance { low = middle } else { high = middle }
            }
            let (served, _) = self.outlook(place, high);
            if served > best {
                best = served;
                self.price = Some((place, high));
            }
        }
    }

    /// The probability with which a request of this prediction is served; 0 for never.
    pub(crate) fn share(&self, predicted: f64) -> f64 {
        let Some((place, price)) = self.price else { return 0.0 };
        let (gain, share) = self.best(place, class_of(predicted), price);
        if gain > 0.0 { share } else { 0.0 }
    }

    /// Whether anything may be served at all.
    pub(crate) fn is_open(&self) -> bool {
        self.price.is_some()
    }

    /// What the recent requests would have served and been charged at this price.
    fn outlook(&self, place: usize, price: f64) -> (f64, f64) {
        let mut total = (0.0, 0.0);
        for (class, &count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let (gain, share) = self.best(place, class, price);
            if gain > 0.0 {
                total.0 += f64::from(count) * share;
                total.1 += f64::from(count) * (share - gain) / price;
            }
        }
        total
    }

    /// The share that gains most, with its gain.
    fn best(&self, place: usize, class: usize, price: f64) -> (f64, f64) {
        let charges = &self.charges[(place * CLASSES + class) * SHARES..][..SHARES];
        // Charges are convex in the share, so gains rise up to the best one and fall after it.
        let gain = |share: usize| share_of(share) - price * f64::from(charges[share]);
        let (mut low, mut high) = (0, SHARES - 1);
        while low < high {
            let middle = usize::midpoint(low, high);
            if gain(middle + 1) > gain(middle) { low = middle + 1 } else { high = middle }
        }
        (gain(low), share_of(low))
    }
}

fn share_of(place: usize) -> f64 {
    SMALLEST_SHARE + SHARE_STEP * place as f64
}

fn class_of(predicted: f64) -> usize {
    let place = (predicted / SMALLEST_RISK).max(1.0).ln() / (1.0 / SMALLEST_RISK).ln();
    ((place * (CLASSES - 1) as f64).ceil() as usize).min(CLASSES - 1)
}

/// The largest prediction of a class.
fn risk_of(class: usize) -> f64 {
    SMALLEST_RISK * (1.0 / SMALLEST_RISK).powf(class as f64 / (CLASSES - 1) as f64)
}
