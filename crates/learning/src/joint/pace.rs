//! What money is worth, so that over many requests a quality is kept, or a budget spent.
//!
//! A target for each request alone pays most where least is to be had. Here a price is put on money instead: the best is what
//! gains most beyond it, and the price moves until the mean is where it should be (mirror descent on the dual; Balseiro, Lu and
//! Mirrokni 2020; ParetoBandit, arXiv 2604.00136, paces budgets so).

/// How fast the price follows. Over a few hundred requests it finds its level.
const STEP: f64 = 0.05;
/// A request moves it by so much at most, in steps.
const MOST: f64 = 3.0;
/// What a dear choice leaves of itself in the memory of what is dear, with each request.
const REMEMBERED: f64 = 0.999;
/// What a US dollar is worth in quality: at first, at least and at most.
const WORTH: (f64, f64, f64) = (1.0, 1e-6, 1e9);

/// What is to be kept in the mean over requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// This quality, in [0, 1], as cheaply as can be.
    Quality(f64),
    /// This cost a request, in US dollars, as well as can be.
    Cost(f64),
}

/// The price of money.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    goal: Goal,
    worth: f64,
    /// About the most that a choice has cost of late, in US dollars.
    dearest: f64,
}

impl Pace {
    /// One that begins where a dollar is worth one quality.
    pub fn new(goal: Goal) -> Self {
        Self { goal, worth: WORTH.0, dearest: 0.0 }
    }

    /// The same price, with another goal from now on.
    #[must_use]
    pub fn toward(self, goal: Goal) -> Self {
        Self { goal, ..self }
    }

    /// How much quality a US dollar is worth; nothing where each request may cost as much as the dearest one.
    pub fn worth_of_a_dollar(&self) -> f64 {
        match self.goal {
            Goal::Cost(rate) if rate >= self.dearest => 0.0,
            _ => self.worth,
        }
    }

    /// Takes a choice in: what quality is expected of it, and what it costs.
    pub fn observe(&mut self, quality: f64, cost_usd: f64) {
        self.dearest = cost_usd.max(self.dearest * REMEMBERED);
        let excess = match self.goal {
            // Better than it has to be: money is worth more. A tenth of quality counts as much as the double cost.
            Goal::Quality(target) => 10.0 * (quality - target),
            // By what keeps the dearest choice within bounds: cut off, it would count for less than it costs.
            Goal::Cost(rate) => (cost_usd - rate) / rate.max(self.dearest / MOST),
        };
        if excess.is_finite() {
            self.worth = (self.worth * (STEP * excess.clamp(-MOST, MOST)).exp()).clamp(WORTH.1, WORTH.2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of two options, one is better and dearer by as much as each request says.
    fn mean(goal: Goal) -> (f64, f64) {
        let mut random = fastrand::Rng::with_seed(4);
        let mut pace = Pace::new(goal);
        let (mut quality, mut cost, mut count) = (0.0, 0.0, 0.0);
        for request in 0..6_000 {
            let gain = random.f64() * 0.4;
            let dear = gain - pace.worth_of_a_dollar() * 0.01 > 0.0;
            let (reached, paid) = if dear { (0.5 + gain, 0.011) } else { (0.5, 0.001) };
            pace.observe(reached, paid);
            if request >= 1_000 {
                (quality, cost, count) = (quality + reached, cost + paid, count + 1.0);
            }
        }
        (quality / count, cost / count)
    }

    #[test]
    fn the_goal_is_kept_in_the_mean() {
        for target in [0.55, 0.6, 0.65] {
            let (quality, _) = mean(Goal::Quality(target));
            assert!((quality - target).abs() < 0.005, "{target} {quality}");
        }
        for rate in [0.003, 0.006, 0.009] {
            let (_, cost) = mean(Goal::Cost(rate));
            assert!((cost / rate - 1.0).abs() < 0.01, "{rate} {cost}");
        }
        // More is not to be had, and less is not to be paid.
        assert!(mean(Goal::Quality(1.0)).0 > 0.69 && mean(Goal::Cost(0.0)).1 < 0.0011);
    }
}
