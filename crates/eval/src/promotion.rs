//! Simulated comparisons of a challenger with a champion, against the fixed-horizon z-test.

use burnish_learning::{Arm, Comparison, ComparisonSettings, Verdict};
use fastrand::Rng;
use serde::Serialize;

/// How far the easy and the hard questions' mean qualities lie from the arm's, where there is room for it.
const DIFFICULTY: f64 = 0.2;
/// Of the interval whose lower end the power is taken to be: 95 % one-sided.
const POWER_CONFIDENCE: f64 = 1.645;
const GRADES: u8 = 4;

/// What is simulated.
#[derive(Clone, Copy, Debug)]
pub struct Simulation {
    /// How often each case is run.
    pub runs: u64,
    /// How much better or worse the challenger is, in (0, 1).
    pub effect: f64,
    /// The champion's mean quality, in (0, 1).
    pub base: f64,
    /// What is asked of the comparison.
    pub settings: ComparisonSettings,
    /// For every draw.
    pub seed: u64,
}

/// How requests reach the arms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Design {
    /// Each request goes to one arm, with a propensity of one half.
    Assigned,
    /// Each request is answered by both.
    Paired,
}

/// How quality is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    /// 0 or 1.
    Bernoulli,
    /// One of five grades from 0 to 1.
    Graded,
}

/// What became of the runs of one case.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Case {
    /// How requests reach the arms.
    pub design: Design,
    /// How quality is reported.
    pub quality: Quality,
    /// The challenger's mean quality less the champion's.
    pub effect: f64,
    /// How many runs.
    pub n: u64,
    /// The share that was promoted.
    pub promoted: f64,
    /// The share that the horizon ended.
    pub at_horizon: f64,
    /// The share whose interval, when the verdict fell, held the effect.
    pub covered: f64,
    /// Half the runs were decided after as many observations or fewer; a pair is one.
    pub median: u64,
    /// 95 % of them were.
    pub p95: u64,
    /// The z-test that this case is compared with; `None` where no power was reached.
    pub fixed: Option<FixedHorizon>,
}

/// A one-sided z-test of "not better" that looks once.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct FixedHorizon {
    /// The effect that it is planned for: the case's own where the challenger is better, the smallest of interest else.
    pub effect: f64,
    /// Its level, that of the sequential test.
    pub level: f64,
    /// Its power: the lower end of the 95 % interval (Wilson) of the power that the sequential test reached for
    /// that effect.
    pub power: f64,
    /// The observations that it needs.
    pub observations: u64,
    /// The sequential test's median over it.
    pub ratio: f64,
}

/// Runs every case: both designs, both kinds of quality, and effects from worse over none to better.
pub fn simulate(simulation: &Simulation) -> Vec<Case> {
    let mut cases = Vec::new();
    for design in [Design::Assigned, Design::Paired] {
        for quality in [Quality::Bernoulli, Quality::Graded] {
            let planned = simulation.settings.retire_below;
            let at_planned = outcomes(simulation, design, quality, planned);
            for effect in [-simulation.effect, 0.0, simulation.effect] {
                let outcomes = outcomes(simulation, design, quality, effect);
                let (goal, reached) = if effect > 0.0 { (effect, &outcomes) } else { (planned, &at_planned) };
                let fixed = fixed_horizon(simulation, design, quality, goal, reached, outcomes.median());
                cases.push(outcomes.into_case(design, quality, effect, fixed));
            }
        }
    }
    cases
}

struct Outcomes {
    promoted: u64,
    at_horizon: u64,
    covered: u64,
    observations: Vec<u64>,
}

impl Outcomes {
    fn quantile(&self, share: f64) -> u64 {
        let place = (share * self.observations.len() as f64).ceil() as usize;
        self.observations.get(place.saturating_sub(1)).copied().unwrap_or(0)
    }

    fn median(&self) -> u64 {
        self.quantile(0.5)
    }

    fn into_case(self, design: Design, quality: Quality, effect: f64, fixed: Option<FixedHorizon>) -> Case {
        let n = self.observations.len() as u64;
        let share = |count: u64| count as f64 / n.max(1) as f64;
        Case {
            design,
            quality,
            effect,
            n,
            promoted: share(self.promoted),
            at_horizon: share(self.at_horizon),
            covered: share(self.covered),
            median: self.median(),
            p95: self.quantile(0.95),
            fixed,
        }
    }
}

fn outcomes(simulation: &Simulation, design: Design, quality: Quality, effect: f64) -> Outcomes {
    let mut outcomes = Outcomes { promoted: 0, at_horizon: 0, covered: 0, observations: Vec::new() };
    for run in 0..simulation.runs {
        let mut random =
            Rng::with_seed(simulation.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(run));
        let comparison = decide(simulation, design, quality, effect, &mut random);
        let finding = comparison.finding();
        let [low, high] = finding.interval;
        outcomes.promoted += u64::from(finding.verdict == Verdict::Promote);
        outcomes.at_horizon += u64::from(finding.observations >= comparison.settings().horizon);
        outcomes.covered += u64::from((low..=high).contains(&effect));
        outcomes.observations.push(finding.observations);
    }
    outcomes.observations.sort_unstable();
    outcomes
}

fn decide(
    simulation: &Simulation,
    design: Design,
    quality: Quality,
    effect: f64,
    random: &mut Rng,
) -> Comparison {
    let mut comparison = Comparison::new(simulation.settings);
    let spread = spread(simulation.base, effect);
    while comparison.verdict() == Verdict::Undecided {
        let champion = simulation.base + if random.bool() { spread } else { -spread };
        let challenger = champion + effect;
        let verdict = match design {
            Design::Paired => {
                let champion = quality.draw(champion, random);
                comparison.observe_pair(champion, quality.draw(challenger, random))
            }
            Design::Assigned if random.bool() => {
                comparison.observe(Arm::Challenger, quality.draw(challenger, random), 0.5)
            }
            Design::Assigned => comparison.observe(Arm::Champion, quality.draw(champion, random), 0.5),
        };
        debug_assert!(verdict.is_ok(), "{verdict:?}");
    }
    comparison
}

impl Quality {
    pub(crate) fn draw(self, mean: f64, random: &mut Rng) -> f64 {
        match self {
            Self::Bernoulli => f64::from(random.f64() < mean),
            Self::Graded => {
                let passed: u8 = (0..GRADES).map(|_| u8::from(random.f64() < mean)).sum();
                f64::from(passed) / f64::from(GRADES)
            }
        }
    }

    /// Of one arm, over easy and hard questions.
    pub(crate) fn variance(self, mean: f64, spread: f64) -> f64 {
        let within = mean * (1.0 - mean) - spread * spread;
        match self {
            Self::Bernoulli => within + spread * spread,
            Self::Graded => within / f64::from(GRADES) + spread * spread,
        }
    }
}

/// Such that no question's mean quality leaves [0, 1].
pub(crate) fn spread(base: f64, effect: f64) -> f64 {
    DIFFICULTY.min(1.0 - base - effect.max(0.0)).min(base + effect.min(0.0)).max(0.0)
}

/// The variance of the difference that one observation estimates.
fn variance(design: Design, quality: Quality, base: f64, effect: f64) -> f64 {
    let spread = spread(base, effect);
    let both = quality.variance(base, spread) + quality.variance(base + effect, spread);
    match design {
        // Half the observations are of each arm.
        Design::Assigned => 2.0 * both,
        // What both arms share, the question's difficulty, is not in their difference.
        Design::Paired => both - 2.0 * spread * spread,
    }
}

fn fixed_horizon(
    simulation: &Simulation,
    design: Design,
    quality: Quality,
    effect: f64,
    reached: &Outcomes,
    median: u64,
) -> Option<FixedHorizon> {
    let power = wilson_lower(reached.promoted, simulation.runs);
    let level = simulation.settings.level;
    let deviations = normal_quantile(1.0 - level) + normal_quantile(power);
    let distance = effect - simulation.settings.promote_above;
    if power <= level || distance <= 0.0 {
        return None;
    }
    let variance = variance(design, quality, simulation.base, effect);
    let observations = (deviations * deviations * variance / (distance * distance)).ceil();
    Some(FixedHorizon {
        effect,
        level,
        power,
        observations: observations as u64,
        ratio: median as f64 / observations,
    })
}

/// The lower end of Wilson's interval of a share.
pub(crate) fn wilson_lower(count: u64, n: u64) -> f64 {
    let (n, z) = (n.max(1) as f64, POWER_CONFIDENCE);
    let share = count as f64 / n;
    let centre = share + z * z / (2.0 * n);
    let margin = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    ((centre - margin) / (1.0 + z * z / n)).clamp(0.0, 1.0)
}

/// The standard normal distribution's quantile, by bisection within ±8.
pub(crate) fn normal_quantile(share: f64) -> f64 {
    let (mut low, mut high) = (-8.0, 8.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if normal_share_below(middle) < share {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// Marsaglia's series (2004): one half plus the density times `z + z³/3 + z⁵/(3·5) + …`.
fn normal_share_below(z: f64) -> f64 {
    let (mut sum, mut term, mut divisor) = (z, z, 1.0);
    while f64::abs(term) > 1e-17 * f64::abs(sum) {
        divisor += 2.0;
        term *= z * z / divisor;
        sum += term;
    }
    0.5 + sum * (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_quantiles_are_those_of_the_tables() {
        for (share, expected) in [(0.5, 0.0), (0.975, 1.959_964), (0.99, 2.326_348), (0.005, -2.575_829)] {
            assert!((normal_quantile(share) - expected).abs() < 1e-5, "{share}");
        }
    }

    #[test]
    fn the_fixed_test_has_the_power_that_it_is_planned_for() {
        // 90 % of 1,000 with Wilson's lower end 0.8834: (2.5758 + 1.1922)² · 0.6672 / 0.2².
        let settings = ComparisonSettings { retire_below: 0.2, ..ComparisonSettings::default() };
        let simulation = Simulation { runs: 1_000, effect: 0.2, base: 0.5, settings, seed: 0 };
        let reached = Outcomes { promoted: 900, at_horizon: 0, covered: 0, observations: Vec::new() };
        let fixed =
            fixed_horizon(&simulation, Design::Paired, Quality::Bernoulli, 0.2, &reached, 100).unwrap();
        let mut random = Rng::with_seed(5);
        let seen = |random: &mut Rng| {
            let variance = variance(Design::Paired, Quality::Bernoulli, 0.5, 0.2);
            let sum: f64 = (0..fixed.observations)
                .map(|_| {
                    let champion = 0.5 + if random.bool() { 0.2 } else { -0.2 };
                    Quality::Bernoulli.draw(champion + 0.2, random)
                        - Quality::Bernoulli.draw(champion, random)
                })
                .sum();
            sum / (variance * fixed.observations as f64).sqrt() > normal_quantile(1.0 - fixed.level)
        };
        let power = (0..2_000).filter(|_| seen(&mut random)).count() as f64 / 2_000.0;
        assert!((power - fixed.power).abs() < 0.03, "{power} instead of {fixed:?}");
    }

    #[test]
    fn simulations_can_be_repeated_and_tell_better_from_worse() {
        let settings =
            ComparisonSettings { retire_below: 0.3, horizon: 2_000, ..ComparisonSettings::default() };
        let simulation = Simulation { runs: 40, effect: 0.3, base: 0.5, settings, seed: 1 };
        let cases = simulate(&simulation);
        assert_eq!(cases, simulate(&simulation));
        assert_eq!(cases.len(), 12);
        for case in &cases {
            let right = if case.effect > 0.0 { case.promoted } else { 1.0 - case.promoted };
            assert!(right >= 0.9, "{case:?}");
        }
        assert_ne!(cases, simulate(&Simulation { seed: 2, ..simulation }));
    }
}
