//! Simulated evolution of a prompt: search and confirming trials together, from a middling champion.

use burnish_learning::credit::length;
use burnish_learning::search::{Search, SearchSettings};
use burnish_learning::{Arm, ComparisonSettings, Measured, Trial, TrialSettings, TrialVerdict};
use fastrand::Rng;
use serde::Serialize;

use crate::prompt_credit::{self, Truth, combinations};

/// What is simulated.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Settings {
    /// The hidden effects; what they say of outcomes and runs does not matter here.
    pub truth: prompt_credit::Settings,
    /// The lengths of blocks in tokens, from and to; the first option of each slot is empty.
    pub tokens: [f64; 2],
    /// Outcomes, each 0 or 1, of search and trials together.
    pub outcomes: u64,
    /// Of the search.
    pub search: SearchSettings,
    /// The level of the confirming trials, and that of retiring.
    pub levels: [f64; 2],
    /// Truths, each with a seed of its own.
    pub runs: u64,
    /// Of the first; the others follow.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            truth: prompt_credit::Settings::default(),
            tokens: [20.0, 160.0],
            outcomes: 2_000,
            search: SearchSettings::default(),
            levels: [0.05, 0.1],
            runs: 20,
            seed: 1,
        }
    }
}

/// What a search came to. A value is the quality less what the length costs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Reached {
    /// The value.
    pub value: f64,
    /// The value over that of the optimum.
    pub share: f64,
    /// How much of what there was to gain was gained.
    pub gain: f64,
    /// Its length in tokens.
    pub tokens: f64,
    /// Its length over that of the shortest combination with at least its value.
    pub length_ratio: f64,
    /// Its length over that of the shortest with at least 90 % of the optimum's value.
    pub length_ratio_at_90: f64,
}

/// One search.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Run {
    /// The seed of the truth and of all draws.
    pub seed: u64,
    /// The value of the champion at the beginning: the median of all combinations.
    pub start: f64,
    /// The value of the best combination.
    pub optimum: f64,
    /// The last champion, which a trial has confirmed.
    pub confirmed: Reached,
    /// What the search holds for the best in the end, confirmed or not.
    pub proposed: Reached,
    /// Trials that were begun, and that ended in a promotion.
    pub trials: u64,
    /// See `trials`.
    pub promoted: u64,
    /// Promotions of a worse one.
    pub mistakes: u64,
    /// Outcomes after which the last promotion came.
    pub settled_after: u64,
    /// The mean value of what was served on the way, as a share of the optimum's.
    pub on_the_way: f64,
}

/// In how many runs what was reached is good and short, and means over all.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Counts {
    /// At least 90 % of the optimum's value.
    pub reached_90: u64,
    /// At least 90 % of what there was to gain.
    pub gained_90: u64,
    /// At most 1.2 times as long as the shortest of its value.
    pub short: u64,
    /// The mean share of the optimum's value.
    pub share: f64,
    /// The mean share of what there was to gain.
    pub gain: f64,
}

impl Counts {
    fn of(reached: &[Reached]) -> Self {
        let count = |holds: fn(&Reached) -> bool| reached.iter().filter(|one| holds(one)).count() as u64;
        let mean =
            |of: fn(&Reached) -> f64| reached.iter().map(of).sum::<f64>() / reached.len().max(1) as f64;
        Self {
            reached_90: count(|one| one.share >= 0.9),
            gained_90: count(|one| one.gain >= 0.9),
            short: count(|one| one.length_ratio <= 1.2),
            share: mean(|one| one.share),
            gain: mean(|one| one.gain),
        }
    }
}

/// All runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// What was simulated.
    pub settings: Settings,
    /// Of the last champions.
    pub confirmed: Counts,
    /// Of what is held for the best in the end.
    pub proposed: Counts,
    /// One a truth.
    pub runs: Vec<Run>,
}

/// Runs the search on every truth.
pub fn simulate(settings: &Settings) -> Report {
    let runs: Vec<Run> =
        (settings.seed..settings.seed + settings.runs).map(|seed| run(settings, seed)).collect();
    let counts = |of: fn(&Run) -> Reached| Counts::of(&runs.iter().map(of).collect::<Vec<_>>());
    Report {
        settings: settings.clone(),
        confirmed: counts(|run| run.confirmed),
        proposed: counts(|run| run.proposed),
        runs,
    }
}

/// A trial that runs.
struct Running {
    trial: Trial,
    challenger: u64,
}

fn run(settings: &Settings, seed: u64) -> Run {
    let mut random = Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(3));
    let mut truth = Truth::any(&settings.truth, &mut random);
    let [least, most] = settings.tokens;
    for slot in &mut truth.slots {
        for block in slot.options.iter_mut().skip(1) {
            block.tokens = (least + (most - least) * random.f64()).round();
        }
    }
    let price = settings.search.length_price;
    let value = |options: &[u16]| truth.quality(options) - price * length(&truth.slots, options);
    let mut all: Vec<(f64, Vec<u16>)> =
        combinations(&settings.truth.options).into_iter().map(|one| (value(&one), one)).collect();
    all.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (start, begin) = all[all.len() / 2].clone();
    let optimum = all.last().map_or(start, |best| best.0);

    let mut search = Search::new(settings.search, truth.slots.clone(), Vec::new(), &begin);
    let (mut running, mut served): (Option<Running>, f64) = (None, 0.0);
    let (mut trials, mut promoted, mut mistakes, mut settled_after) = (0, 0, 0, 0);
    let options_of = |search: &Search, id: u64| {
        search.pool().iter().find(|one| one.id == id).map_or_else(Vec::new, |one| one.options.clone())
    };
    for outcome in 1..=settings.outcomes {
        if running.is_none() && search.is_due() {
            search.step(random.u64(..));
            running = search.nominate(random.u64(..)).map(|nominee| {
                trials += 1;
                let [level, retire_level] = settings.levels;
                let comparison = ComparisonSettings { level, retire_level, ..nominee.comparison };
                let trial = Trial::new(TrialSettings { comparison, ..TrialSettings::default() });
                Running { trial, challenger: nominee.candidate }
            });
        }
        let champion = search.champion().map_or(0, |champion| champion.id);
        let (candidate, arm) = match &running {
            Some(running) if random.bool() => (running.challenger, Arm::Challenger),
            Some(_) => (champion, Arm::Champion),
            None => {
                (search.draw(None, random.u64(..)).map_or(champion, |chosen| chosen.candidate), Arm::Champion)
            }
        };
        let options = options_of(&search, candidate);
        let quality = f64::from(random.f64() < truth.quality(&options));
        served += value(&options);
        search.observe(candidate, 0, quality, None);
        let Some(Running { trial, challenger }) = &mut running else { continue };
        let verdict = trial.observe(arm, &Measured::of(quality), 0.5);
        match verdict {
            Ok(TrialVerdict::Promote) => {
                let worse = value(&options_of(&search, *challenger)) < value(&options_of(&search, champion));
                mistakes += u64::from(worse);
                promoted += 1;
                settled_after = outcome;
                search.promote(*challenger);
                running = None;
            }
            Ok(TrialVerdict::Retire | TrialVerdict::Stopped) => {
                search.refuse(*challenger);
                running = None;
            }
            _ => {}
        }
    }
    let last = search.champion().map_or(begin, |champion| champion.options.clone());
    let best = search.favourite().map_or_else(|| last.clone(), |best| options_of(&search, best.candidate));
    let shortest = |least: f64| {
        let reaching = all.iter().filter(|(value, _)| *value >= least - 1e-12);
        reaching.map(|(_, options)| length(&truth.slots, options)).fold(f64::INFINITY, f64::min)
    };
    let reached = |options: &[u16]| {
        let (value, tokens) = (value(options), length(&truth.slots, options));
        // Beside an empty prompt any other is too long, so one token is counted as the least.
        let ratio = |least: f64| tokens.max(1.0) / shortest(least).max(1.0);
        Reached {
            value,
            share: value / optimum,
            gain: (value - start) / (optimum - start),
            tokens,
            length_ratio: ratio(value),
            length_ratio_at_90: ratio(0.9 * optimum),
        }
    };
    Run {
        seed,
        start,
        optimum,
        confirmed: reached(&last),
        proposed: reached(&best),
        trials,
        promoted,
        mistakes,
        settled_after,
        on_the_way: served / settings.outcomes.max(1) as f64 / optimum,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_improves_on_its_champion_and_can_be_repeated() {
        let truth = prompt_credit::Settings {
            options: vec![2, 3, 3],
            effect: [0.08, 0.14],
            pairs: 2,
            ..prompt_credit::Settings::default()
        };
        let settings = Settings { truth, outcomes: 1_000, runs: 4, ..Settings::default() };
        let report = simulate(&settings);
        assert_eq!(report, simulate(&settings));
        assert_eq!(report.runs.len(), 4);
        for run in &report.runs {
            for reached in [&run.confirmed, &run.proposed] {
                assert!(reached.value <= run.optimum + 1e-12 && reached.length_ratio >= 1.0, "{run:?}");
            }
            assert!(run.promoted <= run.trials, "{run:?}");
        }
        assert!(report.confirmed.reached_90 >= 3 && report.proposed.reached_90 >= 3, "{report:?}");
    }
}
