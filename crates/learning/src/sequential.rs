//! Comparing a challenger with a champion while outcomes arrive, with a verdict that may be read at any time.

mod portfolio;

use std::error::Error;
use std::fmt;

use serde::{Deserialize, Serialize};

use portfolio::{Portfolio, Value};

/// Outcomes that an arm's mean and variance are counted as having before the first; their mean is one half.
const PRIOR_OUTCOMES: f64 = 4.0;
const PRIOR_QUALITY: f64 = 0.5;
/// The variance before any outcome, the largest of a quality; of a paired difference, of two such that agree by half.
const PRIOR_VARIANCE: f64 = 0.25;
/// No variance is trusted to be less, so that stakes stay finite.
const LEAST_VARIANCE: f64 = 1e-4;

/// What a comparison is to show, and with what certainty.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ComparisonSettings {
    /// The largest probability, in (0, 1), of promoting a challenger whose quality is not above the champion's by
    /// more than `promote_above`, however often the verdict is read.
    pub level: f64,
    /// The largest probability, in (0, 1), of retiring as too little better one that is better by `retire_below`
    /// or more. The horizon may retire it all the same.
    pub retire_level: f64,
    /// A challenger is promoted once its quality is shown to be above the champion's by more than this, in
    /// [−1, 1]: 0 asks for better, a little below 0 for not worse by more.
    pub promote_above: f64,
    /// A challenger is retired once its quality is shown to be above the champion's by less than this, the
    /// smallest effect of interest; at least a thousandth above `promote_above`.
    pub retire_below: f64,
    /// After this many observations an undecided challenger is retired.
    pub horizon: u64,
}

impl Default for ComparisonSettings {
    fn default() -> Self {
        Self { level: 0.005, retire_level: 0.01, promote_above: 0.0, retire_below: 0.05, horizon: 20_000 }
    }
}

impl ComparisonSettings {
    /// Brings each setting to the nearest that makes sense.
    fn bounded(self) -> Self {
        let share = |share: f64| if share.is_nan() { 0.01 } else { share.clamp(1e-9, 0.5) };
        let promote_above =
            if self.promote_above.is_nan() { 0.0 } else { self.promote_above.clamp(-0.9, 0.9) };
        Self {
            level: share(self.level),
            retire_level: share(self.retire_level),
            promote_above,
            retire_below: self.retire_below.clamp(promote_above + 0.001, 1.0),
            horizon: self.horizon.max(1),
        }
    }
}

/// Who served a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    /// What is in use.
    Champion,
    /// What may take its place.
    Challenger,
}

/// What is to be done with the challenger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Go on comparing.
    Undecided,
    /// It takes the champion's place.
    Promote,
    /// It is dropped.
    Retire,
}

/// What a comparison has found so far.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// What is to be done.
    pub verdict: Verdict,
    /// Why, in words.
    pub reason: String,
    /// The challenger's mean quality less the champion's, unbiased.
    pub difference: f64,
    /// Holds the true difference, at all times together, with probability `1 − level − retire_level`.
    pub interval: [f64; 2],
    /// How many observations it rests on; a pair is one.
    pub observations: u64,
    /// How many observations there were when the verdict fell.
    pub decided_after: Option<u64>,
}

/// An observation that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Refused {
    /// The quality is not in [0, 1].
    Quality(f64),
    /// The challenger's propensity is not strictly between 0 and 1, so one arm was never to be seen.
    Propensity(f64),
    /// What an answer cost or took is not a number of at least 0.
    Amount(&'static str, f64),
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quality(quality) => {
                write!(
                    formatter,
                    "the quality {quality} is not in [0, 1]: report a share of what is possible"
                )
            }
            Self::Propensity(propensity) => write!(
                formatter,
                "the propensity {propensity} of the challenger is not between 0 and 1: only requests that could \
                 have gone to either arm can be compared"
            ),
            Self::Amount(what, amount) => {
                write!(
                    formatter,
                    "the {what} {amount} is not a number of at least 0: leave it out where unknown"
                )
            }
        }
    }
}

impl Error for Refused {}

/// An anytime-valid comparison of a challenger with a champion, in bounded memory.
///
/// Each observation becomes one value whose expectation, given the past, is the difference of the two arms'
/// qualities. Of a pair that is the difference itself. Of a request that was assigned to one arm it is the
/// doubly robust score with the running means as predictions (Waudby-Smith et al. 2022, "Anytime-valid
/// off-policy inference for contextual bandits", section 2), so that propensities may change from request to
/// request and the noise is no larger than that of comparing two means. Both kinds may be mixed.
///
/// Two sets of gamblers bet on these values: that the difference lies above `promote_above`, and that it lies
/// below `retire_below`. The first to multiply its wealth by `1 / level` decides (module `portfolio`).
/// The guarantee asks that the difference does not change while it runs, or at least stays on one side.
///
/// The same observations in the same order give the same state, and a state that was stored goes on as if it
/// had not been.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    settings: ComparisonSettings,
    observations: u64,
    /// The sum of the unbiased values.
    sum: f64,
    champion: Moments,
    challenger: Moments,
    pairs: Moments,
    better: Portfolio,
    /// Bets on the negated values.
    worse: Portfolio,
    decided: Option<Decided>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Decided {
    verdict: Verdict,
    after: u64,
    cause: Cause,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Cause {
    Better,
    TooLittleBetter,
    Horizon,
}

/// A running mean and a running mean squared surprise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Moments {
    count: f64,
    sum: f64,
    surprise: f64,
}

impl Moments {
    fn mean(&self, prior: f64) -> f64 {
        (self.sum + PRIOR_OUTCOMES * prior) / (self.count + PRIOR_OUTCOMES)
    }

    fn variance(&self) -> f64 {
        ((self.surprise + PRIOR_OUTCOMES * PRIOR_VARIANCE) / (self.count + PRIOR_OUTCOMES))
            .max(LEAST_VARIANCE)
    }

    fn observe(&mut self, value: f64, expected: f64) {
        self.count += 1.0;
        self.sum += value;
        self.surprise += (value - expected) * (value - expected);
    }
}

/// A value of the stream, with its range and variance as they were known before.
struct Score {
    value: f64,
    least: f64,
    most: f64,
    variance: f64,
}

impl Comparison {
    /// A comparison that has seen nothing. Settings out of range are brought to the nearest that makes sense.
    pub fn new(settings: ComparisonSettings) -> Self {
        let settings = settings.bounded();
        let effect = settings.retire_below - settings.promote_above;
        Self {
            settings,
            observations: 0,
            sum: 0.0,
            champion: Moments::default(),
            challenger: Moments::default(),
            pairs: Moments::default(),
            better: Portfolio::new(settings.promote_above, effect, settings.level),
            worse: Portfolio::new(-settings.retire_below, effect, settings.retire_level),
            decided: None,
        }
    }

    /// A comparison that promotes sooner if the difference is `retire_below`, and later if it is much less or more.
    /// What it guarantees is the same.
    pub(crate) fn focused(settings: ComparisonSettings) -> Self {
        let settings = settings.bounded();
        let effect = settings.retire_below - settings.promote_above;
        let better = Portfolio::focused(settings.promote_above, effect, settings.level);
        Self { better, ..Self::new(settings) }
    }

    /// The settings in force.
    pub fn settings(&self) -> &ComparisonSettings {
        &self.settings
    }

    /// Folds in the quality, in [0, 1], of a request that was assigned to `arm`. `propensity` is the probability,
    /// fixed before the request was seen, with which the *challenger* was to serve it.
    ///
    /// # Errors
    /// If either is out of range; nothing has changed then.
    pub fn observe(&mut self, arm: Arm, quality: f64, propensity: f64) -> Result<Verdict, Refused> {
        self.observe_shifted(arm, quality, 0.0, propensity)
    }

    /// As [`Self::observe`], for a request whose quality is expected to lie `shift` above the mean of requests in
    /// either arm. Whatever `shift` is, the comparison keeps its guarantee, as long as it was known before the
    /// request was assigned: it only moves the prediction that the doubly robust score starts from.
    pub(crate) fn observe_shifted(
        &mut self,
        arm: Arm,
        quality: f64,
        shift: f64,
        propensity: f64,
    ) -> Result<Verdict, Refused> {
        check_quality(quality)?;
        if !(propensity > 0.0 && propensity < 1.0) {
            return Err(Refused::Propensity(propensity));
        }
        let rest = 1.0 - propensity;
        let (challenger, champion) = (self.challenger.mean(PRIOR_QUALITY), self.champion.mean(PRIOR_QUALITY));
        // With this baseline the weighted surprise is the doubly robust score.
        let baseline = (rest * challenger + propensity * champion + shift).clamp(0.0, 1.0);
        let value = match arm {
            Arm::Challenger => (quality - baseline) / propensity,
            Arm::Champion => (baseline - quality) / rest,
        };
        self.fold(&Score {
            value,
            least: -(baseline / propensity).max((1.0 - baseline) / rest),
            most: ((1.0 - baseline) / propensity).max(baseline / rest),
            variance: self.challenger.variance() / propensity + self.champion.variance() / rest,
        });
        match arm {
            Arm::Challenger => self.challenger.observe(quality - shift, challenger),
            Arm::Champion => self.champion.observe(quality - shift, champion),
        }
        Ok(self.verdict())
    }

    /// Folds in the qualities, in [0, 1], of both arms for one and the same request.
    ///
    /// # Errors
    /// If either is out of range; nothing has changed then.
    pub fn observe_pair(&mut self, champion: f64, challenger: f64) -> Result<Verdict, Refused> {
        check_quality(champion)?;
        check_quality(challenger)?;
        let value = challenger - champion;
        self.fold(&Score { value, least: -1.0, most: 1.0, variance: self.pairs.variance() });
        self.pairs.observe(value, self.pairs.mean(0.0));
        Ok(self.verdict())
    }

    /// What is to be done. Once it has fallen, the verdict stays.
    pub fn verdict(&self) -> Verdict {
        self.decided.map_or(Verdict::Undecided, |decided| decided.verdict)
    }

    /// What was found so far, in figures and words.
    pub fn finding(&self) -> Finding {
        let (low, high) = (self.better.bound(), -self.worse.bound());
        Finding {
            verdict: self.verdict(),
            reason: self.reason(),
            difference: self.difference(),
            // The bounds cross only where the difference changed or chance was very unkind.
            interval: [low.min(high), low.max(high)],
            observations: self.observations,
            decided_after: self.decided.map(|decided| decided.after),
        }
    }

    fn difference(&self) -> f64 {
        if self.observations == 0 { 0.0 } else { (self.sum / self.observations as f64).clamp(-1.0, 1.0) }
    }

    fn fold(&mut self, score: &Score) {
        let Score { value, least, most, variance } = *score;
        self.observations += 1;
        self.sum += value;
        self.better.observe(Value { value, least, variance });
        self.worse.observe(Value { value: -value, least: -most, variance });
        if self.decided.is_none() {
            self.decided = self.decide();
        }
    }

    fn decide(&self) -> Option<Decided> {
        let (verdict, cause) = if self.better.has_won() {
            (Verdict::Promote, Cause::Better)
        } else if self.worse.has_won() {
            (Verdict::Retire, Cause::TooLittleBetter)
        } else if self.observations >= self.settings.horizon {
            (Verdict::Retire, Cause::Horizon)
        } else {
            return None;
        };
        Some(Decided { verdict, after: self.observations, cause })
    }

    fn reason(&self) -> String {
        let settings = &self.settings;
        let points = |difference: f64| 100.0 * difference;
        let percent = |level: f64| 100.0 * (1.0 - level);
        let Some(decided) = self.decided else {
            let share = |side: &Portfolio, level: f64| (100.0 * side.log_wealth() / -level.ln()).max(0.0);
            return format!(
                "undecided after {} of at most {} observations: {:.0} % of the evidence that promoting needs, \
                 {:.0} % of what retiring needs",
                self.observations,
                settings.horizon,
                share(&self.better, settings.level),
                share(&self.worse, settings.retire_level),
            );
        };
        match decided.cause {
            Cause::Better => format!(
                "promoted after {} observations: better by more than {:.1} points with {:.4} % certainty",
                decided.after,
                points(settings.promote_above),
                percent(settings.level),
            ),
            Cause::TooLittleBetter if -self.worse.bound() < settings.promote_above => format!(
                "retired after {} observations: worse, by at least {:.1} points with {:.4} % certainty",
                decided.after,
                points(self.worse.bound()),
                percent(settings.retire_level),
            ),
            Cause::TooLittleBetter => format!(
                "retired after {} observations: not better by {:.1} points with {:.4} % certainty",
                decided.after,
                points(settings.retire_below),
                percent(settings.retire_level),
            ),
            Cause::Horizon => {
                format!("retired after {} observations: no difference seen within the horizon", decided.after)
            }
        }
    }
}

fn check_quality(quality: f64) -> Result<(), Refused> {
    if (0.0..=1.0).contains(&quality) { Ok(()) } else { Err(Refused::Quality(quality)) }
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;
    use proptest::collection::vec;
    use proptest::prelude::Just;
    use proptest::strategy::Strategy;
    use proptest::{prop_assert, prop_assert_eq, prop_oneof, proptest};

    use super::*;

    const QUICK: ComparisonSettings = ComparisonSettings {
        level: 0.05,
        retire_level: 0.05,
        promote_above: 0.0,
        retire_below: 0.2,
        horizon: 2_000,
    };

    /// A request for both arms, or for one with the challenger's propensity.
    #[derive(Clone, Copy, Debug)]
    enum Seen {
        Pair(f64, f64),
        One(Arm, f64, f64),
    }

    fn fold(comparison: &mut Comparison, seen: &[Seen]) {
        for &seen in seen {
            match seen {
                Seen::Pair(champion, challenger) => comparison.observe_pair(champion, challenger).unwrap(),
                Seen::One(arm, quality, propensity) => comparison.observe(arm, quality, propensity).unwrap(),
            };
        }
    }

    fn any_seen() -> impl Strategy<Value = Seen> {
        prop_oneof![
            (0.0f64..=1.0, 0.0f64..=1.0).prop_map(|(champion, challenger)| Seen::Pair(champion, challenger)),
            (prop_oneof![Just(Arm::Champion), Just(Arm::Challenger)], 0.0f64..=1.0, 0.02f64..0.98)
                .prop_map(|(arm, quality, propensity)| Seen::One(arm, quality, propensity)),
        ]
    }

    /// Coins of the two means, each request assigned with a propensity that changes from one to the next.
    fn run(settings: ComparisonSettings, champion: f64, challenger: f64, seed: u64) -> Finding {
        let mut random = Rng::with_seed(seed);
        let mut comparison = Comparison::new(settings);
        while comparison.verdict() == Verdict::Undecided {
            let propensity = 0.3 + 0.4 * random.f64();
            let (arm, mean) = if random.f64() < propensity {
                (Arm::Challenger, challenger)
            } else {
                (Arm::Champion, champion)
            };
            comparison.observe(arm, f64::from(random.f64() < mean), propensity).unwrap();
        }
        comparison.finding()
    }

    #[test]
    fn verdicts_come_with_their_reason() {
        let one = |arm, quality| Seen::One(arm, quality, 0.5);
        let better = [one(Arm::Champion, 0.2), one(Arm::Challenger, 0.9)];
        let cases = [
            (QUICK, vec![], Verdict::Undecided, "undecided after 0 of at most 2000"),
            (
                QUICK,
                vec![Seen::Pair(0.3, 0.8)],
                Verdict::Promote,
                "better by more than 0.0 points with 95.0000 %",
            ),
            (QUICK, better.to_vec(), Verdict::Promote, "better by more than 0.0 points"),
            (QUICK, vec![Seen::Pair(0.8, 0.3)], Verdict::Retire, "retired after"),
            (QUICK, vec![Seen::Pair(0.5, 0.5)], Verdict::Retire, "not better by 20.0 points"),
            (
                ComparisonSettings { promote_above: -0.3, ..QUICK },
                vec![Seen::Pair(0.4, 0.6)],
                Verdict::Promote,
                "better by more than -30.0 points",
            ),
            (
                ComparisonSettings { horizon: 5, ..QUICK },
                vec![Seen::Pair(0.5, 0.6)],
                Verdict::Retire,
                "retired after 5 observations: no difference seen within the horizon",
            ),
        ];
        for (settings, cycle, verdict, reason) in cases {
            let mut comparison = Comparison::new(settings);
            fold(&mut comparison, &cycle.iter().copied().cycle().take(200).collect::<Vec<_>>());
            let finding = comparison.finding();
            assert_eq!(finding.verdict, verdict, "{settings:?} {cycle:?} {finding:?}");
            assert!(finding.reason.contains(reason), "{:?} lacks {reason:?}", finding.reason);
        }
    }

    #[test]
    fn a_challenger_that_is_worse_is_called_so_once_it_is_shown() {
        let mut comparison = Comparison::new(QUICK);
        fold(&mut comparison, &[Seen::Pair(0.9, 0.2); 200]);
        let finding = comparison.finding();
        assert!(finding.interval[1] < 0.0, "{finding:?}");
        assert!(finding.reason.contains("worse, by at least"), "{}", finding.reason);
    }

    #[test]
    fn what_cannot_be_used_is_refused_and_changes_nothing() {
        let mut comparison = Comparison::new(QUICK);
        let before = comparison.clone();
        for quality in [-0.01, 1.01, f64::NAN, f64::INFINITY] {
            assert!(matches!(comparison.observe(Arm::Champion, quality, 0.5), Err(Refused::Quality(_))));
            assert!(matches!(comparison.observe_pair(quality, 0.5), Err(Refused::Quality(_))));
            assert!(matches!(comparison.observe_pair(0.5, quality), Err(Refused::Quality(_))));
        }
        for propensity in [0.0, 1.0, -0.2, f64::NAN] {
            let refused = comparison.observe(Arm::Challenger, 0.5, propensity);
            assert!(matches!(refused, Err(Refused::Propensity(_))), "{propensity}");
        }
        assert_eq!(comparison, before);
    }

    #[test]
    fn equal_arms_are_seldom_promoted_and_good_ones_seldom_retired() {
        const RUNS: u64 = 300;
        let promoted = |challenger: f64| {
            (0..RUNS).filter(|&seed| run(QUICK, 0.5, challenger, seed).verdict == Verdict::Promote).count()
        };
        // 5 % of 300 are 15 and the standard deviation is 3.8: 26 is the bound plus three of them.
        let (equal, better) = (promoted(0.5), promoted(0.7));
        assert!(equal <= 26, "{equal} of {RUNS} promoted");
        assert!(better >= RUNS as usize - 26, "{better} of {RUNS} promoted");
    }

    #[test]
    fn intervals_hold_the_truth_when_the_verdict_falls() {
        let missed = (0..200)
            .filter(|&seed| {
                let [low, high] = run(QUICK, 0.6, 0.7, seed).interval;
                !(low..=high).contains(&0.1)
            })
            .count();
        // The intervals promise 90 %: 20 of 200, and 33 is three standard deviations more.
        assert!(missed <= 33, "{missed} of 200 intervals missed");
    }

    proptest! {
        /// For equal arms, whatever was seen before and however requests are assigned, the wealth of those who bet
        /// on a difference above 0 is expected to stay as it is; for a worse challenger, not to grow.
        #[test]
        fn wealth_is_expected_not_to_grow(
            before in vec(any_seen(), 0..40), champion in 0.0f64..=1.0, worse in 0.0f64..=1.0, propensity in 0.02f64..0.98,
        ) {
            let mut comparison = Comparison::new(QUICK);
            fold(&mut comparison, &before);
            let wealth = comparison.better.log_wealth();
            for challenger in [champion, champion * worse] {
                let mut expected = 0.0;
                for (arm, share, mean) in
                    [(Arm::Challenger, propensity, challenger), (Arm::Champion, 1.0 - propensity, champion)]
                {
                    for (quality, chance) in [(0.0, 1.0 - mean), (1.0, mean)] {
                        let mut next = comparison.clone();
                        next.observe(arm, quality, propensity).unwrap();
                        expected += share * chance * (next.better.log_wealth() - wealth).exp();
                    }
                }
                prop_assert!(expected <= 1.0 + 1e-9, "{expected}");
                prop_assert!(challenger != champion || expected >= 1.0 - 1e-9, "{expected}");
            }
        }

        #[test]
        fn intervals_only_narrow_and_agree_with_the_verdict(seen in vec(any_seen(), 1..120)) {
            let mut comparison = Comparison::new(QUICK);
            let mut widest = [-1.0, 1.0];
            for seen in seen {
                fold(&mut comparison, &[seen]);
                let finding = comparison.finding();
                let [low, high] = finding.interval;
                prop_assert!(low <= high && widest[0] <= low.max(high) && low.min(high) <= widest[1]);
                prop_assert!((-1.0..=1.0).contains(&low) && (-1.0..=1.0).contains(&high));
                prop_assert!(comparison.better.log_wealth().is_finite());
                if finding.verdict == Verdict::Promote && !comparison.worse.has_won() {
                    prop_assert!(low >= QUICK.promote_above);
                }
                if finding.verdict == Verdict::Retire && !comparison.better.has_won() && finding.observations < QUICK.horizon {
                    prop_assert!(high <= QUICK.retire_below);
                }
                widest = [low, high];
            }
        }

        #[test]
        fn a_stored_comparison_goes_on_as_if_it_had_not_been(seen in vec(any_seen(), 0..60), cut in 0usize..60) {
            let cut = cut.min(seen.len());
            let mut whole = Comparison::new(QUICK);
            fold(&mut whole, &seen);
            let mut first = Comparison::new(QUICK);
            fold(&mut first, &seen[..cut]);
            let mut resumed: Comparison = serde_json::from_str(&serde_json::to_string(&first).unwrap()).unwrap();
            fold(&mut resumed, &seen[cut..]);
            let (whole, resumed) = (whole.finding(), resumed.finding());
            prop_assert_eq!((whole.verdict, whole.decided_after), (resumed.verdict, resumed.decided_after));
            prop_assert!((whole.interval[0] - resumed.interval[0]).abs() < 1e-9);
            prop_assert!((whole.interval[1] - resumed.interval[1]).abs() < 1e-9);
        }
    }
}
