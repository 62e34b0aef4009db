//! Policies to compare with: always the same, now and then another, and the upper confidence bound.

use super::{Choice, Policy, Situation};
use crate::joint::SEPARATOR;

/// Always one arm, whatever is predicted.
#[derive(Clone, Debug)]
pub struct Fixed {
    arm: String,
}

impl Fixed {
    /// Always `arm`.
    pub fn new(arm: impl Into<String>) -> Self {
        Self { arm: arm.into() }
    }
}

impl Policy for Fixed {
    fn name(&self) -> String {
        format!("fixed:{}", self.arm)
    }

    fn copy(&self) -> Box<dyn Policy> {
        Box::new(self.clone())
    }

    fn may_try(&self, _charge: f64) -> bool {
        false
    }

    fn choose(&mut self, situation: &Situation<'_>, _random: &mut fastrand::Rng) -> Option<Choice> {
        let alternatives = situation.alternatives;
        let exact = alternatives.iter().position(|alternative| alternative.arm == self.arm);
        // Of several combinations with it the baseline, else the first.
        let with_it = |alternative: &super::Alternative| {
            alternative.arm.strip_prefix(&self.arm).is_some_and(|rest| rest.starts_with(SEPARATOR))
        };
        let baseline = alternatives.iter().position(|one| one.is_baseline && with_it(one));
        let found = exact.or(baseline).or_else(|| alternatives.iter().position(with_it));
        let (chosen, reason) = match found {
            Some(chosen) => (chosen, format!("{}: fixed", self.arm)),
            None => {
                let baseline = situation.baseline();
                let arm = &alternatives.get(baseline)?.arm;
                (
                    baseline,
                    format!("{arm}: the baseline, for `{}`, which is fixed, is not possible here", self.arm),
                )
            }
        };
        Some(Choice::certain(chosen, alternatives.len(), reason))
    }
}

/// The best by the objective; in a fixed share of requests another one, each as likely.
#[derive(Clone, Debug)]
pub struct Epsilon {
    share: f64,
}

impl Epsilon {
    /// Explores in `share` of all requests, in [0, 1].
    pub fn new(share: f64) -> Self {
        Self { share: share.clamp(0.0, 1.0) }
    }
}

impl Policy for Epsilon {
    fn name(&self) -> String {
        format!("epsilon:{}", self.share)
    }

    fn copy(&self) -> Box<dyn Policy> {
        Box::new(self.clone())
    }

    fn choose(&mut self, situation: &Situation<'_>, random: &mut fastrand::Rng) -> Option<Choice> {
        let best = situation.best(&situation.values(), &situation.lower_bounds(), |_| true)?;
        let others: Vec<usize> = situation
            .places()
            .filter(|place| *place != best.place && situation.is_affordable(*place))
            .collect();
        if others.is_empty() || self.share == 0.0 {
            return Some(Choice::certain(best.place, situation.alternatives.len(), situation.explain(best)));
        }
        let mut propensities = vec![0.0; situation.alternatives.len()];
        propensities[best.place] = 1.0 - self.share;
        others.iter().for_each(|place| propensities[*place] = self.share / others.len() as f64);
        let explores = random.f64() < self.share;
        let chosen = if explores { others[random.usize(..others.len())] } else { best.place };
        let reason = match explores {
            false => situation.explain(best),
            true => format!(
                "{}: explored, as in {:.1} % of requests; {} was expected to do best",
                situation.alternatives[chosen].arm,
                100.0 * self.share,
                situation.alternatives[best.place].arm
            ),
        };
        Some(Choice { chosen, propensities, charge: 0.0, reason })
    }
}

/// The best by the objective as if every alternative were as good as it may well be: LinUCB (Li et al. 2010,
/// algorithm 1), with the deviations of the predictor in place of the disjoint models'.
#[derive(Clone, Debug)]
pub struct LinUcb {
    width: f64,
}

impl LinUcb {
    /// The default for the width of the bound.
    pub(crate) const WIDTH: f64 = 1.0;

    /// The bound lies `width` standard deviations above the mean (α in the paper).
    pub fn new(width: f64) -> Self {
        Self { width: width.max(0.0) }
    }
}

impl Policy for LinUcb {
    fn name(&self) -> String {
        format!("linucb:{}", self.width)
    }

    fn copy(&self) -> Box<dyn Policy> {
        Box::new(self.clone())
    }

    fn choose(&mut self, situation: &Situation<'_>, _random: &mut fastrand::Rng) -> Option<Choice> {
        let estimates = situation.forecast.estimates();
        let upper: Vec<f64> =
            estimates.iter().map(|estimate| estimate.mean + self.width * estimate.deviation).collect();
        let spent = situation.alternatives.iter().map(|alternative| alternative.spent);
        let values: Vec<f64> = upper.iter().zip(spent).map(|(upper, spent)| upper - spent).collect();
        let best = situation.best(&values, &upper, |_| true)?;
        let estimate = estimates[best.place];
        let reason = format!(
            "{}: may be as good as {:.3} (expected {:.3}, {} outcomes)",
            situation.alternatives[best.place].arm, upper[best.place], estimate.mean, estimate.outcomes
        );
        Some(Choice::certain(best.place, situation.alternatives.len(), reason))
    }
}
