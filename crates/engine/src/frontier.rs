//! What else could have been done at another price: the plans than which none is both cheaper and better.

use burnish_learning::policies::Alternative;
use burnish_types::{Candidate, Decision};

/// Where a decision stands among what was considered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    /// The places of the candidates than which none is expected to be both cheaper and better, cheapest first.
    pub front: Vec<usize>,
    /// The next cheaper one than the chosen one: the best that takes less.
    pub cheaper: Option<usize>,
    /// The next better one: the cheapest of which more is expected.
    pub better: Option<usize>,
}

impl Frontier {
    /// Of a decision.
    pub fn of_decision(decision: &Decision) -> Self {
        let candidates = &decision.candidates;
        let Self { front, .. } = Self::of(candidates);
        let Some(chosen) = decision.choice() else { return Self::default() };
        let (price, quality) = (price(chosen), chosen.prediction.quality);
        let cheaper = front.iter().rev().copied().find(|place| self::price(&candidates[*place]) < price);
        let better = front.iter().copied().find(|place| candidates[*place].prediction.quality > quality);
        Self { front, cheaper, better }
    }

    pub(crate) fn of(candidates: &[Candidate]) -> Self {
        let quality = |place: usize| candidates[place].prediction.quality;
        let price = |place: usize| price(&candidates[place]);
        let mut front: Vec<usize> = (0..candidates.len()).collect();
        front.sort_by(|one, other| {
            price(*one).total_cmp(&price(*other)).then(quality(*other).total_cmp(&quality(*one)))
        });
        let mut best = f64::NEG_INFINITY;
        front.retain(|place| {
            let better = quality(*place) > best;
            best = best.max(quality(*place));
            better
        });
        Self { front, ..Self::default() }
    }
}

/// Time and money as the policies weigh them; what has no known price is taken to cost nothing.
fn price(candidate: &Candidate) -> f64 {
    let prediction = &candidate.prediction;
    Alternative::price_of(prediction.cost.micros() as f64 / 1e6, prediction.latency_ms)
}
