//! Choosing among candidates: a fixed preference with bounded exploration.

use burnish_types::{Candidate, Plan, Prediction};

/// Takes the first candidate, except that once in a while it tries another one, so that the log can tell
/// what the others would have done.
///
/// Exploration is bounded twice: by `rate` in the long run, and at any time by `rate` times the requests so
/// far plus one. Propensities are those of the draw that is made, so that off-policy estimates hold.
#[derive(Clone, Debug)]
pub struct BoundedExploration {
    rate: f64,
    requests: u64,
    explored: u64,
}

/// What a policy chose.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// The candidates with their propensities, in the order given.
    pub candidates: Vec<Candidate>,
    /// The place of the chosen one.
    pub chosen: usize,
    /// Why, in words.
    pub reason: String,
}

impl BoundedExploration {
    /// Explores at most in `rate` of all requests, a share in [0, 1].
    pub fn new(rate: f64) -> Self {
        Self { rate: rate.clamp(0.0, 1.0), requests: 0, explored: 0 }
    }

    /// The policy's name with its settings, as the log keeps it.
    pub fn name(&self) -> String {
        format!("preference(explore={})", self.rate)
    }

    /// Chooses among `options`, the preferred one first. `None` where there are none.
    pub fn choose(&mut self, options: Vec<(Plan, Prediction)>, seed: u64) -> Option<Choice> {
        if options.is_empty() {
            return None;
        }
        let others = options.len() - 1;
        let allowed = (self.explored as f64) < self.rate * self.requests as f64;
        let exploration = if others > 0 && allowed { self.rate } else { 0.0 };
        let mut random = fastrand::Rng::with_seed(seed);
        let chosen = if random.f64() < exploration { 1 + random.usize(..others) } else { 0 };
        self.requests += 1;
        self.explored += u64::from(chosen != 0);
        let propensity = |place: usize| match place {
            0 => 1.0 - exploration,
            _ => exploration / others as f64,
        };
        let candidates = options
            .into_iter()
            .enumerate()
            .map(|(place, (plan, prediction))| Candidate { plan, prediction, propensity: propensity(place) })
            .collect::<Vec<_>>();
        let reason = match (chosen, exploration > 0.0) {
            (0, _) => "the preferred strategy".to_owned(),
            (_, _) => format!(
                "explored: one request in {:.0} tries another strategy, to learn what it would have done",
                1.0 / self.rate
            ),
        };
        Some(Choice { candidates, chosen, reason })
    }
}

#[cfg(test)]
mod tests {
    use burnish_types::{Answerer, Money, Plan, Prediction, Strategy};
    use proptest::collection::vec;
    use proptest::prelude::any;
    use proptest::{prop_assert, proptest};

    use super::BoundedExploration;

    fn options(count: usize) -> Vec<(Plan, Prediction)> {
        let prediction = Prediction {
            quality: 0.5,
            quality_deviation: 0.1,
            latency_ms: 1.0,
            cost: Money::ZERO,
            outcomes: 0,
        };
        let plan = |place: usize| Plan {
            strategy: Strategy::new(format!("strategy-{place}")),
            depth: 10,
            context_tokens: 1000,
            answerer: Answerer::Extractive,
        };
        (0..count).map(|place| (plan(place), prediction)).collect()
    }

    #[test]
    fn nothing_can_be_chosen_from_nothing() {
        assert_eq!(BoundedExploration::new(0.1).choose(Vec::new(), 1), None);
    }

    #[test]
    fn shares_follow_the_rate() {
        let mut policy = BoundedExploration::new(0.1);
        let explored =
            (0..10_000).filter(|&seed| policy.choose(options(4), seed).unwrap().chosen != 0).count();
        assert!((900..=1_001).contains(&explored), "{explored}");
    }

    proptest! {
        #[test]
        fn the_bound_holds_at_any_time_and_propensities_add_up(
            rate in 0.0f64..0.5, count in 1usize..6, seeds in vec(any::<u64>(), 1..300),
        ) {
            let mut policy = BoundedExploration::new(rate);
            let mut explored = 0u32;
            for (before, seed) in seeds.into_iter().enumerate() {
                let choice = policy.choose(options(count), seed).unwrap();
                let total: f64 = choice.candidates.iter().map(|candidate| candidate.propensity).sum();
                prop_assert!((total - 1.0).abs() < 1e-9);
                prop_assert!(choice.candidates[choice.chosen].propensity > 0.0);
                explored += u32::from(choice.chosen != 0);
                prop_assert!(f64::from(explored) <= rate * before as f64 + 1.0);
            }
        }
    }
}
