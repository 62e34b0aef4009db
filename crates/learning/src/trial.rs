//! An experiment of a challenger against a champion: who is better, with a guard against harm, and what each costs.

mod amounts;
mod guard;

use serde::{Deserialize, Serialize};

use crate::sequential::{Arm, Comparison, ComparisonSettings, Finding, Refused, Verdict};
use amounts::Amounts;
pub use amounts::Gap;
use guard::Guard;
pub use guard::{GuardFinding, GuardSettings, History};

/// What an experiment is to show, and what ends it early.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrialSettings {
    /// Of the comparison of qualities.
    pub comparison: ComparisonSettings,
    /// Of the guard against harm.
    pub guard: GuardSettings,
}

impl Default for TrialSettings {
    /// An effect of interest of 5 points, and shares of mistakes of about one in a hundred.
    fn default() -> Self {
        let comparison =
            ComparisonSettings { level: 0.008, retire_level: 0.007, ..ComparisonSettings::default() };
        Self { comparison, guard: GuardSettings::default() }
    }
}

/// What was measured of the answer to one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Measured {
    /// How good it was, in [0, 1].
    pub quality: f64,
    /// The quality, in [0, 1], that was expected of the champion's answer to this request before anybody was chosen.
    pub expected: Option<f64>,
    /// In US dollars.
    pub cost_usd: Option<f64>,
    /// In milliseconds.
    pub latency_ms: Option<f64>,
    /// Tokens that were generated.
    pub output_tokens: Option<f64>,
}

impl Measured {
    /// A quality and nothing else.
    pub fn of(quality: f64) -> Self {
        Self { quality, ..Self::default() }
    }

    fn amounts(&self) -> [(&'static str, Option<f64>); 3] {
        [
            ("cost in US dollars", self.cost_usd),
            ("latency in milliseconds", self.latency_ms),
            ("number of output tokens", self.output_tokens),
        ]
    }

    fn check(&self) -> Result<(), Refused> {
        for quality in std::iter::once(self.quality).chain(self.expected) {
            if !(0.0..=1.0).contains(&quality) {
                return Err(Refused::Quality(quality));
            }
        }
        for (what, amount) in self.amounts() {
            if let Some(amount) = amount.filter(|amount| !(amount.is_finite() && *amount >= 0.0)) {
                return Err(Refused::Amount(what, amount));
            }
        }
        Ok(())
    }
}

/// What is to be done with the challenger of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialVerdict {
    /// Go on.
    Undecided,
    /// It is better and takes the champion's place.
    Promote,
    /// It is not better by what is of interest, and is dropped.
    Retire,
    /// It seems to do harm and is taken away at once.
    Stopped,
}

/// What a trial has found so far.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrialFinding {
    /// What is to be done.
    pub verdict: TrialVerdict,
    /// Why, in words and figures.
    pub reason: String,
    /// The challenger's mean quality less the champion's, unbiased whatever the propensities were.
    pub difference: f64,
    /// Holds the true difference, at all times together, with probability `1 − level − retire_level`.
    pub interval: [f64; 2],
    /// How many observations it rests on; a pair is one.
    pub observations: u64,
    /// How many there were when the verdict fell.
    pub decided_after: Option<u64>,
    /// Of the champion.
    pub champion: ArmFinding,
    /// Of the challenger.
    pub challenger: ArmFinding,
    /// The challenger's cost in US dollars beside the champion's; `None` with fewer than two of either.
    pub cost_usd: Option<Gap>,
    /// The same of latency in milliseconds.
    pub latency_ms: Option<Gap>,
    /// The same of generated tokens.
    pub output_tokens: Option<Gap>,
    /// How the guard stands.
    pub guard: GuardFinding,
}

/// What was seen of one arm: plain means over the requests that it served.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ArmFinding {
    /// Requests that it served.
    pub served: u64,
    /// Mean quality; `None` before the first.
    pub quality: Option<f64>,
    /// Mean cost in US dollars, of those whose cost is known.
    pub cost_usd: Option<f64>,
    /// Mean latency in milliseconds.
    pub latency_ms: Option<f64>,
    /// Mean number of generated tokens.
    pub output_tokens: Option<f64>,
}

/// A running experiment of a challenger against a champion, in bounded memory.
///
/// Three things run side by side. A [`Comparison`] of qualities that may be read at any time promotes or retires.
/// A guard, which watches the challenger's first exposures only, stops one that seems to do harm. And plain means of
/// cost, latency and generated tokens are kept of both. Whichever verdict falls first stays.
///
/// Where requests come with the quality that was expected of them, the part of it that outcomes bear out is taken
/// off before the arms are compared: that makes the noise smaller and leaves the difference unbiased, since it was
/// known before the request was assigned.
///
/// The same observations in the same order give the same state, and a state that was stored goes on as if it
/// had not been.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    comparison: Comparison,
    guard: Guard,
    champion: Amounts,
    challenger: Amounts,
    decided: Option<Decided>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Decided {
    verdict: TrialVerdict,
    after: u64,
    exposures: u64,
    /// What the guard took the difference to be.
    difference: f64,
}

impl Trial {
    /// A trial that has seen nothing. Settings out of range are brought to the nearest that makes sense.
    pub fn new(settings: TrialSettings) -> Self {
        let comparison = Comparison::focused(settings.comparison);
        let guard = Guard::new(settings.guard, comparison.settings().retire_below);
        Self {
            comparison,
            guard,
            champion: Amounts::default(),
            challenger: Amounts::default(),
            decided: None,
        }
    }

    /// The settings in force.
    pub fn settings(&self) -> TrialSettings {
        TrialSettings { comparison: *self.comparison.settings(), guard: *self.guard.settings() }
    }

    /// Folds in what was measured of a request that was assigned to `arm`. `propensity` is the probability, fixed
    /// before the request was seen, with which the *challenger* was to serve it.
    ///
    /// # Errors
    /// If anything is out of range; nothing has changed then.
    pub fn observe(
        &mut self,
        arm: Arm,
        measured: &Measured,
        propensity: f64,
    ) -> Result<TrialVerdict, Refused> {
        measured.check()?;
        // Before the guard has seen it: what is known of the slope must not rest on this outcome.
        let shift = self.guard.shift(measured.expected);
        self.comparison.observe_shifted(arm, measured.quality, shift, propensity)?;
        self.guard.observe(arm, measured.quality, measured.expected, propensity);
        match arm {
            Arm::Champion => self.champion.observe(measured),
            Arm::Challenger => self.challenger.observe(measured),
        }
        Ok(self.decide())
    }

    /// Folds in what was measured of both arms' answers to one and the same request.
    ///
    /// # Errors
    /// If anything is out of range; nothing has changed then.
    pub fn observe_pair(
        &mut self,
        champion: &Measured,
        challenger: &Measured,
    ) -> Result<TrialVerdict, Refused> {
        champion.check()?;
        challenger.check()?;
        self.comparison.observe_pair(champion.quality, challenger.quality)?;
        self.guard.observe_pair(champion.quality, challenger.quality);
        self.champion.observe(champion);
        self.challenger.observe(challenger);
        Ok(self.decide())
    }

    /// What is to be done. Once it has fallen, the verdict stays.
    pub fn verdict(&self) -> TrialVerdict {
        self.decided.map_or(TrialVerdict::Undecided, |decided| decided.verdict)
    }

    /// What was found so far, in figures and words.
    pub fn finding(&self) -> TrialFinding {
        let compared = self.comparison.finding();
        TrialFinding {
            verdict: self.verdict(),
            reason: self.reason(&compared),
            difference: compared.difference,
            interval: compared.interval,
            observations: compared.observations,
            decided_after: self.decided.map(|decided| decided.after),
            champion: self.champion.finding(),
            challenger: self.challenger.finding(),
            cost_usd: Gap::between(&self.champion.cost_usd, &self.challenger.cost_usd),
            latency_ms: Gap::between(&self.champion.latency_ms, &self.challenger.latency_ms),
            output_tokens: Gap::between(&self.champion.output_tokens, &self.challenger.output_tokens),
            guard: self.guard.finding(),
        }
    }

    fn decide(&mut self) -> TrialVerdict {
        if self.decided.is_none() {
            let verdict = match self.comparison.verdict() {
                Verdict::Promote => TrialVerdict::Promote,
                Verdict::Undecided | Verdict::Retire if self.guard.has_tripped() => TrialVerdict::Stopped,
                Verdict::Retire => TrialVerdict::Retire,
                Verdict::Undecided => return TrialVerdict::Undecided,
            };
            self.decided = Some(Decided {
                verdict,
                after: self.comparison.finding().observations,
                exposures: self.challenger.served(),
                difference: self.guard.difference().unwrap_or_default(),
            });
        }
        self.verdict()
    }

    fn reason(&self, compared: &Finding) -> String {
        let Some(decided) = self.decided.filter(|decided| decided.verdict == TrialVerdict::Stopped) else {
            return compared.reason.clone();
        };
        let settings = self.guard.settings();
        format!(
            "stopped after {} exposures: {:.1} points beside the champion, which one that is better by {:.1} would \
             show in its first {} exposures with a probability of at most {:.1} %",
            decided.exposures,
            100.0 * decided.difference,
            100.0 * settings.hoped,
            settings.exposures,
            100.0 * settings.false_stop,
        )
    }
}

#[cfg(test)]
mod tests;
