//! Thompson sampling with propensities that are exactly true.

use super::objective::{Ground, Verdict};
use super::{Choice, Policy, Situation};

/// How many draws decide; propensities are multiples of its inverse.
pub(crate) const DRAWS: usize = 64;

/// Each alternative as often as it is the best by what is known: the winners of many draws from the posterior are
/// counted, and one of these draws is taken. The counts are the propensities, with no approximation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Thompson;

/// How often each alternative won, and the winners by draw.
pub(crate) struct Ballot {
    pub(crate) shares: Vec<f64>,
    winners: Vec<usize>,
}

impl Ballot {
    /// `None` where there is nothing to choose from.
    pub(crate) fn hold(situation: &Situation<'_>, random: &mut fastrand::Rng) -> Option<Self> {
        let draws = situation.forecast.draws(DRAWS, random);
        let winner = |drawn: &Vec<f64>| {
            let spent = situation.alternatives.iter().map(|alternative| alternative.spent);
            let values: Vec<f64> = drawn.iter().zip(spent).map(|(quality, spent)| quality - spent).collect();
            Some(situation.best(&values, drawn, |_| true)?.place)
        };
        let winners: Vec<usize> = draws.iter().map(winner).collect::<Option<_>>()?;
        let mut shares = vec![0.0; situation.alternatives.len()];
        winners.iter().for_each(|winner| shares[*winner] += 1.0 / DRAWS as f64);
        Some(Self { shares, winners })
    }

    /// One of the winners, so that each alternative comes with its share.
    pub(crate) fn pick(&self, random: &mut fastrand::Rng) -> usize {
        self.winners[random.usize(..self.winners.len())]
    }
}

impl Policy for Thompson {
    fn name(&self) -> String {
        "thompson".to_owned()
    }

    fn copy(&self) -> Box<dyn Policy> {
        Box::new(*self)
    }

    fn choose(&mut self, situation: &Situation<'_>, random: &mut fastrand::Rng) -> Option<Choice> {
        let ballot = Ballot::hold(situation, random)?;
        let chosen = ballot.pick(random);
        let reason = match situation.is_affordable(chosen) {
            true => format!(
                "{}: in {:.0} % of what may be true it is the best choice (expected quality {:.3})",
                situation.alternatives[chosen].arm,
                100.0 * ballot.shares[chosen],
                situation.mean(chosen)
            ),
            false => situation.explain(Verdict { place: chosen, ground: Ground::OverBudget }),
        };
        Some(Choice { chosen, propensities: ballot.shares, charge: 0.0, reason })
    }
}
