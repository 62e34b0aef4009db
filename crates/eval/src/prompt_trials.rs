//! Simulated trials of a challenger, with their guard against harm, beside the fixed-horizon z-test.

use burnish_learning::{Arm, History, Measured, Trial, TrialFinding, TrialSettings, TrialVerdict};
use fastrand::Rng;
use serde::Serialize;

use crate::promotion::{Quality, normal_quantile, spread, wilson_lower};

/// What is simulated.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How often each case is run.
    pub runs: u64,
    /// The champion's mean quality, in (0, 1); a question's is 0.2 above or below it.
    pub base: f64,
    /// How much better a good challenger is.
    pub better: f64,
    /// How much worse a harmful one is.
    pub harm: f64,
    /// A harmful one is to be stopped within so many exposures.
    pub exposures: u64,
    /// How many earlier outcomes of the champion are known, where any are.
    pub history: u64,
    /// Level and power of the z-test.
    pub level: f64,
    /// See `level`.
    pub power: f64,
    /// How often requests go to the challenger, in (0, 1).
    pub share: f64,
    /// What is asked of the trial.
    pub trial: TrialSettings,
    /// For every draw.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            runs: 1_000,
            base: 0.7,
            better: 0.05,
            harm: 0.1,
            exposures: 150,
            history: 1_000,
            level: 0.01,
            power: 0.95,
            share: 0.5,
            trial: TrialSettings::default(),
            seed: 1,
        }
    }
}

/// What a trial is told beside qualities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// Nothing.
    Nothing,
    /// The champion's mean quality over earlier requests, drawn as the trial's are.
    History,
    /// Whether the question is easy or hard, as the quality that is expected of the champion.
    Expected,
    /// Both.
    Both,
    /// Each request is answered by both arms.
    Pairs,
}

/// What became of the runs of one case.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Case {
    /// What the trial was told.
    pub told: Told,
    /// How quality is reported.
    pub quality: Quality,
    /// The challenger's mean quality less the champion's.
    pub effect: f64,
    /// The share that was promoted.
    pub promoted: f64,
    /// The share that was retired.
    pub retired: f64,
    /// The share that was stopped.
    pub stopped: f64,
    /// The share that was stopped or retired within the exposures asked for.
    pub ended_within_exposures: f64,
    /// The same, of as many observations of both arms together.
    pub ended_within_observations: f64,
    /// The share whose interval, when the verdict fell, held the effect.
    pub covered: f64,
    /// Half the trials were decided after as many observations or fewer; a pair is one.
    pub median: u64,
    /// 95 % of them were.
    pub p95: u64,
    /// Half the trials exposed so many requests to the challenger or fewer.
    pub median_exposures: u64,
    /// The z-test at the level and power that are asked for; where the challenger is better.
    pub fixed: Option<Fixed>,
    /// The z-test with the lower end of the 95 % interval (Wilson) of the power that was reached.
    pub fixed_at_reached: Option<Fixed>,
}

/// A one-sided z-test of "not better" of two arms of equal size, that looks once and is told nothing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Fixed {
    /// Its power.
    pub power: f64,
    /// The observations that it needs.
    pub observations: u64,
    /// The trial's median over it.
    pub ratio: f64,
    /// The same beside a z-test that is told as much as the trial.
    pub ratio_told: f64,
}

/// All cases, and what they were run with.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// How often each case was run.
    pub runs: u64,
    /// The seed.
    pub seed: u64,
    /// By what the trial is told, quality, and effect.
    pub cases: Vec<Case>,
}

/// Runs every case: all that a trial may be told, both kinds of quality, and a harmful, an equal and a better challenger.
pub fn simulate(settings: &Settings) -> Report {
    let mut cases = Vec::new();
    for told in [Told::Nothing, Told::History, Told::Expected, Told::Both, Told::Pairs] {
        for quality in [Quality::Bernoulli, Quality::Graded] {
            for effect in [-settings.harm, 0.0, settings.better] {
                cases.push(case(settings, told, quality, effect));
            }
        }
    }
    Report { runs: settings.runs, seed: settings.seed, cases }
}

/// Runs one case.
pub fn case(settings: &Settings, told: Told, quality: Quality, effect: f64) -> Case {
    let findings: Vec<TrialFinding> = (0..settings.runs)
        .map(|run| {
            let seed = settings.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(run);
            decide(settings, told, quality, effect, &mut Rng::with_seed(seed))
        })
        .collect();
    let count =
        |holds: &dyn Fn(&TrialFinding) -> bool| findings.iter().filter(|one| holds(one)).count() as u64;
    let share = |holds: &dyn Fn(&TrialFinding) -> bool| count(holds) as f64 / findings.len().max(1) as f64;
    let ended =
        |finding: &TrialFinding| matches!(finding.verdict, TrialVerdict::Stopped | TrialVerdict::Retire);
    let promoted = count(&|finding| finding.verdict == TrialVerdict::Promote);
    let median = quantile(findings.iter().map(|finding| finding.observations), 0.5);
    let better = effect > 0.0;
    let fixed = |power: f64| {
        (better && power > settings.level)
            .then(|| fixed_horizon(settings, told, quality, effect, power, median))
    };
    Case {
        told,
        quality,
        effect,
        promoted: share(&|finding| finding.verdict == TrialVerdict::Promote),
        retired: share(&|finding| finding.verdict == TrialVerdict::Retire),
        stopped: share(&|finding| finding.verdict == TrialVerdict::Stopped),
        ended_within_exposures: share(&|finding| {
            ended(finding) && finding.challenger.served <= settings.exposures
        }),
        ended_within_observations: share(&|finding| {
            ended(finding) && finding.champion.served + finding.challenger.served <= settings.exposures
        }),
        covered: share(&|finding| (finding.interval[0]..=finding.interval[1]).contains(&effect)),
        median,
        p95: quantile(findings.iter().map(|finding| finding.observations), 0.95),
        median_exposures: quantile(findings.iter().map(|finding| finding.challenger.served), 0.5),
        fixed: fixed(settings.power),
        fixed_at_reached: fixed(wilson_lower(promoted, settings.runs)),
    }
}

fn decide(settings: &Settings, told: Told, quality: Quality, effect: f64, random: &mut Rng) -> TrialFinding {
    let spread = spread(settings.base, effect);
    let question = |random: &mut Rng| settings.base + if random.bool() { spread } else { -spread };
    let mut with = settings.trial;
    if matches!(told, Told::History | Told::Both) {
        let known = settings.history.max(1);
        let sum: f64 = (0..known).map(|_| quality.draw(question(random), random)).sum();
        with.guard.history = Some(History { quality: sum / known as f64, outcomes: known as f64 });
    }
    let mut trial = Trial::new(with);
    while trial.verdict() == TrialVerdict::Undecided {
        let mean = question(random);
        let expected = matches!(told, Told::Expected | Told::Both).then_some(mean);
        let mut measured =
            |mean: f64| Measured { quality: quality.draw(mean, random), expected, ..Measured::default() };
        let verdict = if told == Told::Pairs {
            let champion = measured(mean);
            trial.observe_pair(&champion, &measured(mean + effect))
        } else if random.f64() < settings.share {
            let measured =
                Measured { quality: quality.draw(mean + effect, random), expected, ..Measured::default() };
            trial.observe(Arm::Challenger, &measured, settings.share)
        } else {
            let measured = Measured { quality: quality.draw(mean, random), expected, ..Measured::default() };
            trial.observe(Arm::Champion, &measured, settings.share)
        };
        debug_assert!(verdict.is_ok(), "{verdict:?}");
    }
    trial.finding()
}

fn fixed_horizon(
    settings: &Settings,
    told: Told,
    quality: Quality,
    effect: f64,
    power: f64,
    median: u64,
) -> Fixed {
    let spread = spread(settings.base, effect);
    let deviations = normal_quantile(1.0 - settings.level) + normal_quantile(power);
    let both = quality.variance(settings.base, spread) + quality.variance(settings.base + effect, spread);
    // What is known of a question is not noise to a test that is told.
    let within = both - 2.0 * spread * spread;
    let (plain, informed) = match told {
        Told::Nothing | Told::History => (2.0 * both, 2.0 * both),
        Told::Expected | Told::Both => (2.0 * both, 2.0 * within),
        Told::Pairs => (within, within),
    };
    let needed = |variance: f64| (deviations * deviations * variance / (effect * effect)).ceil();
    Fixed {
        power,
        observations: needed(plain) as u64,
        ratio: median as f64 / needed(plain),
        ratio_told: median as f64 / needed(informed),
    }
}

fn quantile(values: impl Iterator<Item = u64>, share: f64) -> u64 {
    let mut sorted: Vec<u64> = values.collect();
    sorted.sort_unstable();
    let place = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(place.saturating_sub(1)).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simulations_can_be_repeated_and_tell_better_from_worse() {
        let mut trial = TrialSettings::default();
        trial.comparison.retire_below = 0.3;
        let settings = Settings { runs: 20, base: 0.5, better: 0.3, harm: 0.3, trial, ..Settings::default() };
        let report = simulate(&settings);
        assert_eq!(report, simulate(&settings));
        assert_eq!(report.cases.len(), 30);
        for case in &report.cases {
            let right = if case.effect > 0.0 { case.promoted } else { 1.0 - case.promoted };
            assert!(right >= 0.9, "{case:?}");
            assert_eq!(case.fixed.is_some(), case.effect > 0.0, "{case:?}");
        }
        assert_ne!(report, simulate(&Settings { seed: 2, ..settings }));
    }

    #[test]
    fn the_fixed_test_is_that_of_the_tables() {
        // (2.3263 + 1.6449)² · 2 · (0.21 + 0.1875) / 0.05², and of what is known of questions nothing is left.
        let settings = Settings { runs: 10, ..Settings::default() };
        let fixed = fixed_horizon(&settings, Told::Expected, Quality::Bernoulli, 0.05, 0.95, 2_508);
        assert_eq!(fixed.observations, 5_016);
        assert!((fixed.ratio - 0.5).abs() < 1e-3 && fixed.ratio_told > fixed.ratio, "{fixed:?}");
    }
}
