//! The baseline unless evidence speaks against it, and exploration within a bound.

use super::objective::Verdict;
use super::thompson::Ballot;
use super::{Choice, Ledger, Policy, QUALITY_TOLERANCE, Situation};

/// How many standard deviations a difference must lie from 0 before the baseline is left: one-sided 97.7 %.
const EVIDENCE: f64 = 2.0;
/// This share of what exploration may cost is held back until a drift alarm.
const RESERVE: f64 = 0.3;
/// For so many requests after an alarm the reserve may be used.
const RENEWED_REQUESTS: u32 = 500;

/// Conservative exploration after Kazerouni et al. 2017 (CLUCB, algorithm 1), adapted: the baseline is played
/// unless another alternative is better with confidence, or cheaper and not worse with confidence; after a drift it
/// has no privilege until what was learned is settled again. Others are tried
/// by Thompson sampling, and only while what that may have cost, counted by the [`Ledger`], stays within the share
/// α of what was expected without it. Where the paper counts explored requests by a confidence bound of their
/// reward, the ledger counts them as worth nothing until their outcome is known, so that the bound holds for any
/// outcomes and under any model.
#[derive(Clone, Debug)]
pub struct Conservative {
    alpha: f64,
    ledger: Ledger,
    renewed: u32,
}

impl Conservative {
    /// The default for α.
    pub(crate) const ALPHA: f64 = 0.01;

    /// Exploration may cost the share `alpha` of the quality, in [0, 1].
    pub fn new(alpha: f64) -> Self {
        Self { alpha: alpha.clamp(0.0, 1.0), ledger: Ledger::default(), renewed: 0 }
    }

    /// What exploration may cost, as a share.
    pub fn alpha(&self) -> f64 {
        self.alpha
    }

    /// What would be played without exploration.
    fn verdict(situation: &Situation<'_>) -> Option<Verdict> {
        let baseline = situation.baseline();
        let proven = |place: usize| {
            let (advantage, deviation) = situation.advantage(place, baseline);
            let least = advantage - EVIDENCE * deviation;
            let cheaper = situation.is_cheaper(place, baseline);
            least > 0.0 || (cheaper && least > -QUALITY_TOLERANCE)
        };
        let lower = situation.lower_bounds();
        let sufficient =
            |place: usize| situation.wish.target_quality.is_some_and(|target| lower[place] >= target);
        let verdict = situation.best(&situation.values(), &lower, |place| {
            !situation.forecast.is_settled() || place == baseline || sufficient(place) || proven(place)
        })?;
        // What can't be paid for is no baseline: then whatever can be.
        match situation.is_affordable(verdict.place) {
            true => Some(verdict),
            false => situation.best(&situation.values(), &lower, |_| true),
        }
    }

    fn can_pay(&self, charge: f64) -> bool {
        let usable = if self.renewed > 0 { 1.0 } else { 1.0 - RESERVE };
        self.ledger.spent() + charge <= usable * self.ledger.allowed(self.alpha)
    }

    fn explain(
        &self,
        situation: &Situation<'_>,
        ballot: &Ballot,
        chosen: usize,
        incumbent: Verdict,
    ) -> String {
        format!(
            "{}: explored in place of {}, for it may be the better choice with a chance of {:.0} %; exploration \
             has cost {:.2} of the {:.2} allowed",
            situation.alternatives[chosen].arm,
            situation.alternatives[incumbent.place].arm,
            100.0 * ballot.shares[chosen],
            self.ledger.spent().max(0.0),
            self.ledger.allowed(self.alpha)
        )
    }
}

impl Policy for Conservative {
    fn name(&self) -> String {
        format!("conservative:{}", self.alpha)
    }

    fn copy(&self) -> Box<dyn Policy> {
        Box::new(self.clone())
    }

    fn choose(&mut self, situation: &Situation<'_>, random: &mut fastrand::Rng) -> Option<Choice> {
        let incumbent = Self::verdict(situation)?;
        let charge = situation.mean(incumbent.place);
        self.ledger.requests += 1;
        self.ledger.expected += charge;
        let payable = situation.places().len() > 1 && self.can_pay(charge);
        self.renewed = self.renewed.saturating_sub(1);
        let ballot = if payable { Ballot::hold(situation, random) } else { None };
        let Some(ballot) = ballot else {
            let reason = situation.explain(incumbent);
            return Some(Choice::certain(incumbent.place, situation.alternatives.len(), reason));
        };
        let chosen = ballot.pick(random);
        if chosen == incumbent.place {
            let reason = situation.explain(incumbent);
            return Some(Choice { chosen, propensities: ballot.shares, charge: 0.0, reason });
        }
        let reason = self.explain(situation, &ballot, chosen, incumbent);
        let charge = self.charge(charge);
        Some(Choice { chosen, propensities: ballot.shares, charge, reason })
    }

    fn incumbent(&self, situation: &Situation<'_>) -> Option<usize> {
        Self::verdict(situation).map(|verdict| verdict.place)
    }

    fn may_try(&self, charge: f64) -> bool {
        self.can_pay(charge)
    }

    fn charge(&mut self, charge: f64) -> f64 {
        self.ledger.explored += 1;
        self.ledger.charged += charge;
        charge
    }

    fn settle(&mut self, quality: f64) {
        if quality.is_finite() {
            self.ledger.returned += quality;
        }
    }

    fn renew(&mut self) {
        self.renewed = RENEWED_REQUESTS;
    }

    fn ledger(&self) -> Option<Ledger> {
        Some(self.ledger)
    }

    fn resume(&mut self, ledger: Ledger) {
        self.ledger = ledger;
    }
}
