//! Simulated search for the best combination of prompt blocks, with credit by a factorial model and without.

use std::collections::BTreeMap;

use burnish_learning::credit::{Block, Credit, Goal, Row, Slot};
use fastrand::Rng;
use serde::Serialize;

/// No combination is better or worse than this.
const MOST: f64 = 0.97;
const LEAST: f64 = 0.03;
/// So many truths are drawn in search of one whose best combination stands out.
const ATTEMPTS: u64 = 2_000;

/// What is simulated.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Settings {
    /// How many options each slot has.
    pub options: Vec<usize>,
    /// The quality of a combination before its blocks' effects.
    pub base: f64,
    /// The least and the largest effect of a block; its sign is drawn.
    pub effect: [f64; 2],
    /// How many pairs of blocks do more or less than both together, and by how much.
    pub pairs: usize,
    /// See `pairs`.
    pub pair_effect: [f64; 2],
    /// By how much the best combination is better than the second, at least.
    pub gap: f64,
    /// Outcomes, each 0 or 1, after which a combination is recommended.
    pub outcomes: u64,
    /// After so many of them the model is fitted anew.
    pub every: u64,
    /// Truths, each with a seed of its own.
    pub runs: u64,
    /// Of the first; the others follow.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            options: vec![3, 2, 4, 2, 3, 2],
            base: 0.5,
            effect: [0.03, 0.10],
            pairs: 8,
            pair_effect: [0.03, 0.08],
            gap: 0.03,
            outcomes: 1_500,
            every: 25,
            runs: 20,
            seed: 1,
        }
    }
}

/// How outcomes are gathered, and what is recommended after them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// The best of a draw from the model; recommended is what the model thinks best.
    Thompson,
    /// Half the time the best of a draw that has another best; recommended is what the model thinks best.
    TopTwo,
    /// Any combination, as likely as any other; recommended is what the model thinks best.
    RandomModel,
    /// The same; recommended is the combination with the best mean, of those seen most often first.
    RandomMeans,
}

/// What one method came to on one truth.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Run {
    /// The seed of the truth.
    pub seed: u64,
    /// By how much the best combination is better than the second.
    pub gap: f64,
    /// The quality of the best.
    pub best: f64,
    /// Whether the best was recommended.
    pub found: bool,
    /// By how much the recommended one is worse than the best.
    pub regret: f64,
    /// By how much the outcomes on the way were worse than the best would have been, on average.
    pub regret_on_the_way: f64,
}

/// All runs of one method.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reached {
    /// How outcomes were gathered.
    pub method: Method,
    /// How many times the best was recommended.
    pub found: u64,
    /// The mean regret of what was recommended, and the largest.
    pub regret: f64,
    /// See `regret`.
    pub largest_regret: f64,
    /// One a truth.
    pub runs: Vec<Run>,
}

/// All methods, and what they were run with.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// What was simulated.
    pub settings: Settings,
    /// How many combinations there are.
    pub combinations: usize,
    /// The gaps between the best combination and the second, in order.
    pub gaps: Vec<f64>,
    /// By method.
    pub methods: Vec<Reached>,
}

/// Runs every method on the same truths.
pub fn simulate(settings: &Settings) -> Report {
    let methods = [Method::Thompson, Method::TopTwo, Method::RandomModel, Method::RandomMeans];
    let truths: Vec<Truth> =
        (0..settings.runs).map(|run| Truth::draw(settings, settings.seed + run)).collect();
    let mut gaps: Vec<f64> = truths.iter().map(|truth| truth.gap).collect();
    gaps.sort_unstable_by(f64::total_cmp);
    Report {
        settings: settings.clone(),
        combinations: settings.options.iter().product(),
        gaps,
        methods: methods.into_iter().map(|method| reached(settings, method, &truths)).collect(),
    }
}

fn reached(settings: &Settings, method: Method, truths: &[Truth]) -> Reached {
    let runs: Vec<Run> = (truths.iter().zip(settings.seed..))
        .map(|(truth, seed)| run(settings, method, truth, seed))
        .collect();
    Reached {
        method,
        found: runs.iter().filter(|run| run.found).count() as u64,
        regret: runs.iter().map(|run| run.regret).sum::<f64>() / runs.len().max(1) as f64,
        largest_regret: runs.iter().map(|run| run.regret).fold(0.0, f64::max),
        runs,
    }
}

/// A slot and an option.
type Place = (usize, u16);

/// The hidden effects of blocks and of pairs of them.
#[derive(Clone, Debug)]
pub(crate) struct Truth {
    base: f64,
    pub(crate) slots: Vec<Slot>,
    singles: Vec<Vec<f64>>,
    pairs: BTreeMap<[Place; 2], f64>,
    best: Vec<u16>,
    gap: f64,
}

impl Truth {
    fn draw(settings: &Settings, seed: u64) -> Self {
        let mut random = Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut truth = Self::any(settings, &mut random);
        for _ in 0..ATTEMPTS {
            if truth.gap >= settings.gap && truth.quality(&truth.best) < MOST {
                break;
            }
            truth = Self::any(settings, &mut random);
        }
        truth
    }

    pub(crate) fn any(settings: &Settings, random: &mut Rng) -> Self {
        let size = |[least, most]: [f64; 2], random: &mut Rng| {
            let size = least + (most - least) * random.f64();
            if random.bool() { size } else { -size }
        };
        let singles: Vec<Vec<f64>> = (settings.options.iter())
            .map(|count| (0..*count).map(|_| size(settings.effect, random)).collect())
            .collect();
        let mut pairs = BTreeMap::new();
        while pairs.len() < settings.pairs && settings.options.len() > 1 {
            let mut slots = [random.usize(..settings.options.len()), random.usize(..settings.options.len())];
            slots.sort_unstable();
            let [one, other] = slots.map(|slot| (slot, random.usize(..settings.options[slot]) as u16));
            if one.0 != other.0 {
                pairs.insert([one, other], size(settings.pair_effect, random));
            }
        }
        let slots = (settings.options.iter().enumerate())
            .map(|(slot, count)| Slot {
                name: format!("slot {slot}"),
                options: (0..*count).map(|option| Block { name: option.to_string(), tokens: 0.0 }).collect(),
                reference: 0,
            })
            .collect();
        let mut truth = Self { base: settings.base, slots, singles, pairs, best: Vec::new(), gap: 0.0 };
        let mut ranked: Vec<(f64, Vec<u16>)> =
            combinations(&settings.options).into_iter().map(|one| (truth.quality(&one), one)).collect();
        ranked.sort_by(|one, other| other.0.total_cmp(&one.0));
        truth.gap = ranked.get(1).map_or(0.0, |second| ranked[0].0 - second.0);
        truth.best = ranked.swap_remove(0).1;
        truth
    }

    pub(crate) fn quality(&self, options: &[u16]) -> f64 {
        let singles = self.singles.iter().zip(options).map(|(singles, option)| singles[usize::from(*option)]);
        let holds = |(slot, option): &Place| options[*slot] == *option;
        let pairs = self.pairs.iter().filter(|([one, other], _)| holds(one) && holds(other));
        (self.base + singles.sum::<f64>() + pairs.map(|(_, effect)| effect).sum::<f64>()).clamp(LEAST, MOST)
    }
}

/// All combinations of so many options.
pub(crate) fn combinations(options: &[usize]) -> Vec<Vec<u16>> {
    options.iter().fold(vec![Vec::new()], |before, count| {
        let longer = |one: &Vec<u16>, option: usize| one.iter().copied().chain([option as u16]).collect();
        before.iter().flat_map(|one| (0..*count).map(move |option| longer(one, option))).collect()
    })
}

fn run(settings: &Settings, method: Method, truth: &Truth, seed: u64) -> Run {
    let mut random = Rng::with_seed(seed.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(7));
    let mut rows: Vec<Row> = Vec::new();
    let (goal, any) = (Goal::default(), |_: usize, _: u16| true);
    let mut credit = Credit::fit(&truth.slots, &[], &rows);
    let (best, mut lost) = (truth.quality(&truth.best), 0.0);
    for outcome in 0..settings.outcomes {
        if outcome % settings.every.max(1) == 0 && matches!(method, Method::Thompson | Method::TopTwo) {
            credit = Credit::fit(&truth.slots, &[], &rows);
        }
        let drawn = |random: &mut Rng| credit.best(goal, Some(&credit.draw(random)), &any).options;
        let options = match method {
            Method::Thompson => drawn(&mut random),
            Method::TopTwo => {
                let first = drawn(&mut random);
                if outcome % 2 == 0 {
                    first
                } else {
                    (0..20).map(|_| drawn(&mut random)).find(|other| *other != first).unwrap_or(first)
                }
            }
            Method::RandomModel | Method::RandomMeans => {
                settings.options.iter().map(|count| random.usize(..*count) as u16).collect()
            }
        };
        let quality = truth.quality(&options);
        lost += best - quality;
        let answered = f64::from(random.f64() < quality);
        rows.push(Row { options, context: 0, quality: answered, weight: 1.0, output_tokens: None });
    }
    let chosen = match method {
        Method::RandomMeans => best_mean(&rows),
        _ => Credit::fit(&truth.slots, &[], &rows).best(goal, None, &any).options,
    };
    let quality = truth.quality(&chosen);
    Run {
        seed,
        gap: truth.gap,
        best,
        found: chosen == truth.best,
        regret: best - quality,
        regret_on_the_way: lost / settings.outcomes.max(1) as f64,
    }
}

fn best_mean(rows: &[Row]) -> Vec<u16> {
    let mut sums: BTreeMap<&[u16], (f64, f64)> = BTreeMap::new();
    for row in rows {
        let sum = sums.entry(&row.options).or_default();
        *sum = (sum.0 + row.quality, sum.1 + 1.0);
    }
    // One that was right twice of two times is not taken to be better than one that was right nine of ten.
    let mean = |(good, all): (f64, f64)| (good + 1.0) / (all + 2.0);
    let best = sums.into_iter().max_by(|one, other| mean(one.1).total_cmp(&mean(other.1)));
    best.map_or_else(Vec::new, |(options, _)| options.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_finds_what_random_search_does_not_and_can_be_repeated() {
        let settings = Settings {
            options: vec![2, 3, 3],
            effect: [0.08, 0.12],
            pairs: 2,
            gap: 0.05,
            outcomes: 500,
            runs: 6,
            ..Settings::default()
        };
        let report = simulate(&settings);
        assert_eq!(report, simulate(&settings));
        assert_eq!((report.combinations, report.gaps.len(), report.methods.len()), (18, 6, 4));
        assert!(report.gaps.iter().all(|gap| *gap >= 0.05), "{:?}", report.gaps);
        assert!(report.methods[0].found >= 5, "{:?}", report.methods[0]);
        for method in &report.methods {
            assert!(method.runs.iter().all(|run| run.regret >= 0.0 && run.found == (run.regret < 1e-12)));
        }
    }

    #[test]
    fn combinations_are_all_there_are() {
        assert_eq!(combinations(&[2, 2]), [[0, 0], [0, 1], [1, 0], [1, 1]]);
    }
}
