//! `eval joint`: the joint planner over a world that is composed of recorded outcomes.
//!
//! No log says what every combination would have been worth, so a table of full information is composed of three that say it
//! of one part each: which model answered right, which template, what each strategy found. What that assumes:
//!
//! - A request is one row of each table, drawn independently and seeded; the planner sees the numbers of all three queries.
//! - Its quality is `R · (0.3 + 0.7 · A)`. `R` is what the strategy reached, times `1 − 2^−(1 + depth/4) · (0.5 + need)` for the
//!   depth and `1 − 0.4 · c² · (0.5 + need)` for leaving out the share `c` of the context, where `need` is the complexity of the
//!   retrieval's query. `A` is 1 where the model is right, less 0.3 where the template is wrong.
//! - Models between the weak and the strong one are right where both are, and where only one is, by a coin of the row whose
//!   share is their place between; templates between two alike. One more model is as good as the strong one at twice its price.
//! - A request costs its input tokens (the template's, and 150 for each passage less what is left out) and its output tokens
//!   (the template's) at the model's prices, which are those of the recorded rows, or lie between.

use std::time::Instant;

use burnish_learning::joint::{Admitted, Combination, Effects, Goal, Pace, Part, Space, Terms};
use burnish_learning::learner::Learner;
use burnish_learning::policies;
use burnish_learning::predictor::{PredictorSettings, Prior};
use burnish_learning::selection::{Jointly, JointlySelected, LABEL_WEIGHT, Selection, Wish};
use burnish_types::Timestamp;
use serde::Serialize;

use crate::EvalError;
use crate::bootstrap::{self, MeanInterval};
use crate::outcome_table::{OutcomeTable, RecordedOutcome, TableRow, complexity, mean};

const DEPTHS: [f64; 6] = [2.0, 3.0, 5.0, 8.0, 12.0, 20.0];
const REDUCTIONS: [f64; 5] = [0.0, 0.2, 0.4, 0.6, 0.75];
/// Models and templates between the recorded ones.
const MODELS_BETWEEN: [f64; 3] = [0.25, 0.5, 0.75];
const TEMPLATES_BETWEEN: [f64; 2] = [0.33, 0.67];
const PASSAGE_TOKENS: f64 = 150.0;
const TEMPLATE_TOKENS: f64 = 120.0;
/// Numbers of each query that the planner sees, the constant left out.
const NUMBERS: usize = 23;
/// The numbers of a request, and the place of the model among its parts.
const WIDTH: usize = 1 + 3 * NUMBERS;
const MODEL: usize = 4;
/// Outcomes over which it is looked how often a model is taken.
const LATEST: usize = 50;
/// Combinations of each request that the best policy in hindsight is taught.
const TAUGHT: usize = 24;

/// What is run.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The policy, by name.
    pub policy: String,
    /// Requests of a stream.
    pub requests: usize,
    /// Outcomes before what is reported.
    pub warm_up: usize,
    /// Streams.
    pub seeds: u64,
    /// The first of them.
    pub seed: u64,
    /// Qualities to be kept in the mean, for each of which a stream is run, too.
    pub targets: Vec<f64>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Requests of each stream after warming up.
    pub n: usize,
    /// Streams.
    pub seeds: u64,
    /// Combinations.
    pub combinations: usize,
    /// The policy, with its settings.
    pub policy: String,
    /// The planner that wants the best.
    pub planner: Reached,
    /// The combination of the best mean quality, with full information.
    pub best_fixed: Fixed,
    /// The same kind of predictor, taught with full information.
    pub hindsight: Reached,
    /// What the planner reaches of it.
    pub share_of_hindsight: f64,
    /// By target.
    pub targets: Vec<Targeted>,
    /// What planning takes, in milliseconds.
    pub plan_ms: Percentiles,
    /// Outcomes until the model that was taken most is taken in less than a tenth of the requests after it has silently become
    /// useless, by stream; none where it never was.
    pub left_after: Vec<Option<usize>>,
    /// The share of the requests for which the best policy in hindsight takes a model that comes in the midst of a stream.
    pub right_share: f64,
    /// Outcomes after its coming until it is taken in nine tenths of that share of the latest requests, by stream; none where it
    /// never was.
    pub adopted_after: Vec<Option<usize>>,
}

/// Means after warming up.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reached {
    /// With its interval over streams.
    pub quality: MeanInterval,
    /// In US dollars.
    pub cost_usd: f64,
    /// That, as a share of what the cheapest fixed combination costs which is at least as good; none where none is.
    pub cost_at_equal_quality: Option<f64>,
}

/// One combination for all.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fixed {
    /// In words.
    pub combination: String,
    /// Mean quality.
    pub quality: f64,
    /// In US dollars.
    pub cost_usd: f64,
}

/// What a target led to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Targeted {
    /// The target.
    pub target_quality: f64,
    /// What was reached.
    #[serde(flatten)]
    pub reached: Reached,
}

/// Milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Percentiles {
    /// Half take no longer.
    pub p50: f64,
    /// 99 of 100 take no longer.
    pub p99: f64,
}

/// The composed world.
#[derive(Clone)]
pub struct World {
    space: Space,
    costs: Vec<f64>,
    latencies: Vec<f64>,
    routing: OutcomeTable,
    templates: OutcomeTable,
    retrieval: OutcomeTable,
    strong: usize,
    weak: usize,
    /// What a token costs, by model.
    prices: Vec<f64>,
    /// How many tokens are written, by template.
    written: Vec<f64>,
    /// Whether one more model has come, the last one.
    arrived: bool,
    seed: u64,
}

/// A request of the world.
struct Drawn {
    x: Vec<f64>,
    /// By option: what the strategy reached, whether the model is right, whether the template is.
    found: Vec<f64>,
    models: Vec<f64>,
    templates: Vec<f64>,
    need: f64,
}

impl World {
    /// Composes the three tables.
    ///
    /// # Errors
    /// If a table has a row without an outcome of an arm, or no row.
    pub fn new(
        routing: OutcomeTable,
        templates: OutcomeTable,
        retrieval: OutcomeTable,
        seed: u64,
    ) -> Result<Self, EvalError> {
        for table in [&routing, &templates, &retrieval] {
            if table.rows.is_empty() || table.rows.iter().any(|row| row.outcomes.iter().any(Option::is_none))
            {
                return Err(EvalError::NoRows);
            }
        }
        let (strong, weak) = routing.extremes();
        let names = |recorded: &OutcomeTable, between: &[f64]| -> Vec<String> {
            recorded
                .arms
                .iter()
                .cloned()
                .chain(between.iter().map(|share| format!("between {share}")))
                .collect()
        };
        let mut models = names(&routing, &MODELS_BETWEEN);
        models.push("dear".to_owned());
        let own =
            |from: usize| -> Vec<usize> { (0..NUMBERS).map(|place| 1 + from * NUMBERS + place).collect() };
        let part = |name: &str, options: Vec<String>, scale: Vec<f64>, places: Vec<usize>| Part {
            name: name.to_owned(),
            options,
            scale,
            places,
            baseline: 0,
        };
        let (prices, written) = (token_prices(&routing, strong, weak), written_tokens(&templates));
        let logarithms =
            |numbers: &[f64]| numbers.iter().map(|number| number.max(1e-12).ln()).collect::<Vec<f64>>();
        let words = |numbers: &[f64]| numbers.iter().map(ToString::to_string).collect();
        let space = Space::new(vec![
            part("strategy", retrieval.arms.clone(), Vec::new(), own(2)),
            part("depth", words(&DEPTHS), logarithms(&DEPTHS), own(2)),
            part("reduction", words(&REDUCTIONS), REDUCTIONS.to_vec(), own(2)),
            part("template", names(&templates, &TEMPLATES_BETWEEN), logarithms(&written), own(1)),
            part("model", models, logarithms(&prices), own(0)),
        ]);
        let latency = |strategy: usize| {
            mean(retrieval.outcomes(strategy).filter_map(|outcome| outcome.latency_ms)).unwrap_or(5.0)
        };
        let latencies: Vec<f64> = (0..retrieval.arms.len()).map(latency).collect();
        let combinations: Vec<_> = (0..space.len()).map(|place| space.at(place)).collect();
        let latencies = combinations.iter().map(|combination| latencies[chosen(combination)[0]]).collect();
        let mut world = Self {
            costs: Vec::new(),
            latencies,
            space,
            routing,
            templates,
            retrieval,
            strong,
            weak,
            prices,
            written,
            arrived: false,
            seed,
        };
        world.costs = combinations.iter().map(|combination| world.cost(combination)).collect();
        Ok(world)
    }

    /// The same with one more model, at half of the strong one's price: it is right where the strong or the weak one is, and for
    /// half of the other requests.
    fn with_another_model(&self) -> Self {
        let mut world = Self { arrived: true, ..self.clone() };
        world.prices.push(world.prices[world.strong] / 2.0);
        let mut parts = world.space.parts().to_vec();
        parts[MODEL].options.push("new".to_owned());
        parts[MODEL].scale = world.prices.iter().map(|price| price.max(1e-12).ln()).collect();
        world.space = Space::new(parts);
        let combinations: Vec<_> = (0..world.space.len()).map(|place| world.space.at(place)).collect();
        let known = |combination: &Combination| {
            let mut known = combination.clone();
            known[MODEL] = 0;
            self.latencies[self.space.place(&known)]
        };
        world.latencies = combinations.iter().map(known).collect();
        world.costs = combinations.iter().map(|combination| world.cost(combination)).collect();
        world
    }

    /// How many combinations there are.
    pub fn combinations(&self) -> usize {
        self.space.len()
    }

    fn draw(&self, stream: u64, number: usize) -> Drawn {
        let mut random =
            fastrand::Rng::with_seed(self.seed ^ stream.wrapping_mul(0x9E37_79B9) ^ ((number as u64) << 20));
        let mut row = |table: &OutcomeTable| random.usize(..table.rows.len());
        let rows = [row(&self.routing), row(&self.templates), row(&self.retrieval)];
        let (routing, templates, retrieval) =
            (&self.routing.rows[rows[0]], &self.templates.rows[rows[1]], &self.retrieval.rows[rows[2]]);
        let mut x = vec![1.0];
        for row in [routing, templates, retrieval] {
            x.extend(row.x.iter().skip(1).chain(std::iter::repeat(&0.0)).take(NUMBERS));
        }
        let coin = |row: usize, of: u64| fastrand::Rng::with_seed(self.seed ^ of ^ ((row as u64) << 8)).f64();
        let between =
            |strong: f64, weak: f64, share: f64, coin: f64| if coin < share { strong } else { weak };
        let right = |row: &TableRow, arm: usize| row.outcomes[arm].map_or(0.0, |outcome| outcome.quality);
        let (strong, weak) = (right(routing, self.strong), right(routing, self.weak));
        let mut models: Vec<f64> = (0..self.routing.arms.len()).map(|arm| right(routing, arm)).collect();
        models.extend(MODELS_BETWEEN.map(|share| between(strong, weak, share, coin(rows[0], 1))));
        models.push(strong);
        if self.arrived {
            models.push(strong.max(weak).max(f64::from(u8::from(coin(rows[0], 3) < 0.5))));
        }
        let mut chosen: Vec<f64> = (0..self.templates.arms.len()).map(|arm| right(templates, arm)).collect();
        let (last, first) = (chosen.last().copied().unwrap_or_default(), chosen[0]);
        chosen.extend(TEMPLATES_BETWEEN.map(|share| between(last, first, share, coin(rows[1], 2))));
        Drawn {
            found: (0..self.retrieval.arms.len()).map(|arm| right(retrieval, arm)).collect(),
            need: complexity(&retrieval.x),
            templates: chosen,
            models,
            x,
        }
    }

    fn quality(&self, drawn: &Drawn, combination: &[u16]) -> f64 {
        let [strategy, depth, reduction, template, model] = chosen(combination);
        let hard = 0.5 + drawn.need;
        let deep = 1.0 - 0.5_f64.powf(1.0 + DEPTHS[depth] / 4.0) * hard;
        let kept = 1.0 - 0.4 * REDUCTIONS[reduction].powi(2) * hard;
        let answer = drawn.models[model] * (1.0 - 0.3 * (1.0 - drawn.templates[template]));
        (drawn.found[strategy] * deep * kept * (0.3 + 0.7 * answer)).clamp(0.0, 1.0)
    }

    fn cost(&self, combination: &[u16]) -> f64 {
        let [_, depth, reduction, template, model] = chosen(combination);
        let input = TEMPLATE_TOKENS + PASSAGE_TOKENS * DEPTHS[depth] * (1.0 - REDUCTIONS[reduction]);
        (input + self.written[template]) * self.prices[model]
    }

    fn terms(&self) -> Terms<'_> {
        Terms { costs_usd: &self.costs, latencies_ms: &self.latencies }
    }
}

/// What a token of each model costs, in US dollars.
fn token_prices(routing: &OutcomeTable, strong: usize, weak: usize) -> Vec<f64> {
    let recorded = |arm: usize| {
        let price = |outcome: RecordedOutcome| {
            let tokens = outcome.input_tokens.unwrap_or_default() + outcome.output_tokens.unwrap_or_default();
            Some(outcome.cost_usd? / tokens.max(1.0))
        };
        mean(routing.outcomes(arm).filter_map(price)).unwrap_or(1e-6)
    };
    let (high, low) = (recorded(strong), recorded(weak));
    // Prices grow faster than what they buy.
    let between = MODELS_BETWEEN.map(|share| low * (high / low).powf(share));
    (0..routing.arms.len()).map(recorded).chain(between).chain([2.0 * high]).collect()
}

/// How many tokens are written with each template.
fn written_tokens(templates: &OutcomeTable) -> Vec<f64> {
    let recorded = |arm: usize| {
        mean(templates.outcomes(arm).filter_map(|outcome| outcome.output_tokens)).unwrap_or(50.0)
    };
    let (first, last) = (recorded(0), recorded(templates.arms.len() - 1));
    let between = TEMPLATES_BETWEEN.map(|share| first + share * (last - first));
    (0..templates.arms.len()).map(recorded).chain(between).collect()
}

fn chosen(combination: &[u16]) -> [usize; 5] {
    std::array::from_fn(|part| combination.get(part).copied().map(usize::from).unwrap_or_default())
}

/// Runs the planner, and what it is compared with.
///
/// # Errors
/// If there is no such policy.
pub fn evaluate(world: &World, request: &Request, tell: &mut dyn FnMut(&str)) -> Result<Report, EvalError> {
    let seeds: Vec<u64> = (0..request.seeds.max(1)).map(|seed| request.seed.wrapping_add(seed)).collect();
    let window = request.warm_up..request.requests;
    tell("best fixed combination");
    let fixed = fixed_qualities(world, &seeds, window.clone());
    let best_fixed = best_fixed(world, &fixed);
    tell("best policy in hindsight");
    let taught = taught(world, request.seed, request.warm_up);
    let hindsight: Vec<(f64, f64)> =
        seeds.iter().map(|seed| greedy(world, &taught, *seed, window.clone())).collect();
    let hindsight = reached(world, &fixed, &hindsight, request.seed).ok_or(EvalError::NoRows)?;
    let mut times = Vec::new();
    let mut run = |goal: Option<Goal>| -> Result<Reached, EvalError> {
        let mut all = Vec::new();
        for seed in &seeds {
            all.push(play(world, request, *seed, goal, &mut times)?);
        }
        reached(world, &fixed, &all, request.seed).ok_or(EvalError::NoRows)
    };
    tell("planner");
    let planner = run(None)?;
    let mut targets = Vec::new();
    for target in &request.targets {
        tell(&format!("planner, target {target}"));
        let reached = run(Some(Goal::Quality(*target)))?;
        targets.push(Targeted { target_quality: *target, reached });
    }
    tell("a model that becomes useless");
    let left_after =
        seeds.iter().map(|seed| worsened(world, request, *seed)).collect::<Result<Vec<_>, EvalError>>()?;
    tell("a model that comes in the midst");
    let wider = world.with_another_model();
    let right_share = share_of_the_newest(&wider, request);
    let adopted_after = seeds
        .iter()
        .map(|seed| adopted(world, &wider, right_share, request, *seed))
        .collect::<Result<Vec<_>, EvalError>>()?;
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times.get((share * times.len() as f64) as usize).copied().unwrap_or_default();
    Ok(Report {
        n: window.len(),
        seeds: request.seeds.max(1),
        combinations: world.space.len(),
        policy: policies::parse(&request.policy)?.name(),
        share_of_hindsight: planner.quality.mean / hindsight.quality.mean.max(f64::MIN_POSITIVE),
        plan_ms: Percentiles { p50: at(0.5), p99: at(0.99) },
        planner,
        best_fixed,
        hindsight,
        targets,
        left_after,
        right_share,
        adopted_after,
    })
}

fn reached(world: &World, fixed: &[f64], runs: &[(f64, f64)], seed: u64) -> Option<Reached> {
    let qualities: Vec<f64> = runs.iter().map(|run| run.0).collect();
    let quality = bootstrap::mean(&qualities, seed)?;
    let cost_usd = mean(runs.iter().map(|run| run.1))?;
    let as_good = fixed.iter().zip(&world.costs).filter(|(fixed, _)| **fixed >= quality.mean);
    let cheapest = as_good.map(|(_, cost)| *cost).min_by(f64::total_cmp);
    Some(Reached { quality, cost_usd, cost_at_equal_quality: cheapest.map(|cheapest| cost_usd / cheapest) })
}

/// The mean quality of every combination over all streams.
fn fixed_qualities(world: &World, seeds: &[u64], window: std::ops::Range<usize>) -> Vec<f64> {
    let mut sums = vec![0.0; world.space.len()];
    let combinations: Vec<_> = (0..world.space.len()).map(|place| world.space.at(place)).collect();
    for (seed, number) in seeds.iter().flat_map(|seed| window.clone().map(move |number| (*seed, number))) {
        let drawn = world.draw(seed, number);
        sums.iter_mut()
            .zip(&combinations)
            .for_each(|(sum, combination)| *sum += world.quality(&drawn, combination));
    }
    let count = (seeds.len() * window.len()).max(1) as f64;
    sums.into_iter().map(|sum| sum / count).collect()
}

/// The best combination, and of equals the cheapest.
fn best_fixed(world: &World, qualities: &[f64]) -> Fixed {
    let better = |one: &usize, other: &usize| {
        qualities[*one].total_cmp(&qualities[*other]).then(world.costs[*other].total_cmp(&world.costs[*one]))
    };
    let best = (0..qualities.len()).max_by(better).unwrap_or_default();
    Fixed {
        combination: world.space.describe(&world.space.at(best)),
        quality: qualities[best],
        cost_usd: world.costs[best],
    }
}

/// What is learned by one that was told of many combinations of each of so many requests.
fn taught(world: &World, seed: u64, requests: usize) -> Effects {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut effects = Effects::new(world.space.clone(), WIDTH, WIDTH);
    for number in 0..requests {
        // Of a stream that is not played.
        let drawn = world.draw(u64::MAX, number);
        for _ in 0..TAUGHT {
            let combination = world.space.at(random.usize(..world.space.len()));
            effects.hint(&combination, &drawn.x, world.quality(&drawn, &combination), 1.0);
        }
    }
    effects
}

/// What always taking the best by `effects` reaches.
fn greedy(world: &World, effects: &Effects, seed: u64, window: std::ops::Range<usize>) -> (f64, f64) {
    let mut total = (0.0, 0.0);
    for number in window.clone() {
        let drawn = world.draw(seed, number);
        let best = effects.best(&drawn.x);
        total.0 += world.quality(&drawn, &world.space.at(best));
        total.1 += world.costs[best];
    }
    let count = window.len().max(1) as f64;
    (total.0 / count, total.1 / count)
}

/// What decides in the engine, with what it has learned.
struct Planner<'a> {
    world: &'a World,
    learner: Learner,
    effects: Effects,
    selection: Selection,
    pace: Option<Pace>,
    /// What was seen, for what is laid out anew.
    seen: Vec<(Combination, Vec<f64>, f64)>,
}

impl<'a> Planner<'a> {
    fn new(world: &'a World, policy: &str, goal: Option<Goal>) -> Result<Self, EvalError> {
        let settings = PredictorSettings { dimensions: WIDTH, half_life_days: None };
        let first = world.space.parts()[0].options.first().cloned();
        Ok(Self {
            world,
            learner: Learner::new(settings, Prior::default()),
            effects: Effects::new(world.space.clone(), WIDTH, WIDTH),
            selection: Selection::new(policies::parse(policy)?, first),
            pace: goal.map(Pace::new),
            seen: Vec::new(),
        })
    }

    fn plan(&mut self, x: &[f64], admitted: &[Admitted], seed: u64) -> Result<JointlySelected, EvalError> {
        let request = Jointly {
            learner: &self.learner,
            effects: &self.effects,
            terms: self.world.terms(),
            x,
            numbers: x,
            wish: Wish::default(),
            worth_of_a_dollar: self.pace.map_or(0.0, |pace| pace.worth_of_a_dollar()),
            admitted,
            seed,
        };
        let selected = self.selection.decide_jointly(&request).ok_or(EvalError::NoRows)?;
        if let (Some(pace), Some(chosen)) = (&mut self.pace, selected.chosen()) {
            pace.observe(chosen.estimate.mean, self.world.costs[chosen.place]);
        }
        Ok(selected)
    }

    fn learn(&mut self, x: &[f64], selected: &JointlySelected, quality: f64) {
        let Some(chosen) = selected.chosen() else { return };
        let strategy = &self.world.space.parts()[0].options[usize::from(chosen.combination[0])];
        let at = Timestamp(self.seen.len() as u64);
        if self.learner.observe(strategy, x, quality - chosen.added, LABEL_WEIGHT, at).is_some()
            | self.effects.observe(&chosen.combination, x, quality, 1.0, at).is_some()
        {
            self.selection.renew();
        }
        if selected.choice.charge > 0.0 {
            self.selection.settle(quality);
        }
        self.seen.push((chosen.combination.clone(), x.to_vec(), quality));
    }
}

/// Plays one request, and returns the combination with what it was worth.
fn turn(
    planner: &mut Planner<'_>,
    drawn: &Drawn,
    seed: u64,
    quality: impl Fn(&[u16]) -> f64,
) -> Result<(Combination, f64), EvalError> {
    let selected = planner.plan(&drawn.x, &[], seed)?;
    let combination = selected.chosen().map(|chosen| chosen.combination.clone()).unwrap_or_default();
    let reached = quality(&combination);
    planner.learn(&drawn.x, &selected, reached);
    Ok((combination, reached))
}

fn play(
    world: &World,
    request: &Request,
    seed: u64,
    goal: Option<Goal>,
    times: &mut Vec<f64>,
) -> Result<(f64, f64), EvalError> {
    let mut planner = Planner::new(world, &request.policy, goal)?;
    let (mut quality, mut cost) = (0.0, 0.0);
    for number in 0..request.requests {
        let drawn = world.draw(seed, number);
        let started = Instant::now();
        let selected = planner.plan(&drawn.x, &[], seed ^ (number as u64))?;
        times.push(started.elapsed().as_secs_f64() * 1_000.0);
        let chosen = selected.chosen().ok_or(EvalError::NoRows)?;
        let reached = world.quality(&drawn, &chosen.combination);
        let paid = world.costs[chosen.place];
        planner.learn(&drawn.x, &selected, reached);
        if number >= request.warm_up {
            quality += reached;
            cost += paid;
        }
    }
    let count = request.requests.saturating_sub(request.warm_up).max(1) as f64;
    Ok((quality / count, cost / count))
}

/// After how many outcomes a model is left that has become useless.
fn worsened(world: &World, request: &Request, seed: u64) -> Result<Option<usize>, EvalError> {
    let mut planner = Planner::new(world, &request.policy, None)?;
    let mut taken: Vec<u16> = Vec::new();
    let mut worse: Option<u16> = None;
    for number in 0..request.warm_up + 1_000 {
        if number == request.warm_up {
            let count = |option: u16| taken.iter().rev().take(500).filter(|taken| **taken == option).count();
            worse = (0..world.space.parts()[MODEL].options.len() as u16).max_by_key(|option| count(*option));
        }
        let drawn = world.draw(seed, number);
        let (combination, _) = turn(&mut planner, &drawn, seed ^ (number as u64), |combination| {
            if worse == Some(combination[MODEL]) { 0.0 } else { world.quality(&drawn, combination) }
        })?;
        taken.push(combination[MODEL]);
        if let Some(worse) = worse {
            let since = number + 1 - request.warm_up;
            let latest = taken.iter().rev().take(LATEST.min(since)).filter(|taken| **taken == worse).count();
            if since >= 20 && latest * 10 < LATEST.min(since) {
                return Ok(Some(since));
            }
        }
    }
    Ok(None)
}

/// The share of the requests for which the best policy in hindsight takes the last model.
fn share_of_the_newest(world: &World, request: &Request) -> f64 {
    let taught = taught(world, request.seed, request.warm_up);
    let newest = world.space.parts()[MODEL].options.len() as u16 - 1;
    let window = request.warm_up..request.requests.max(request.warm_up + 1);
    let taken = |number: &usize| {
        let best = taught.best(&world.draw(request.seed, *number).x);
        world.space.at(best)[MODEL] == newest
    };
    window.clone().filter(taken).count() as f64 / window.len() as f64
}

/// After how many outcomes a model is used as it should be that has come in the midst of a stream: what there is to choose from
/// is laid out anew, and what was seen is learned again.
fn adopted(
    world: &World,
    wider: &World,
    right_share: f64,
    request: &Request,
    seed: u64,
) -> Result<Option<usize>, EvalError> {
    let mut planner = Planner::new(world, &request.policy, None)?;
    for number in 0..request.warm_up {
        let drawn = world.draw(seed, number);
        turn(&mut planner, &drawn, seed ^ (number as u64), |taken| world.quality(&drawn, taken))?;
    }
    planner.world = wider;
    let before = planner.effects.known();
    planner.effects = Effects::new(wider.space.clone(), WIDTH, WIDTH);
    for (combination, x, quality) in &planner.seen {
        planner.effects.hint(combination, x, *quality, 1.0);
    }
    if planner.effects.welcome(&before) {
        planner.selection.renew();
    }
    let newest = wider.space.parts()[MODEL].options.len() as u16 - 1;
    let mut taken: Vec<bool> = Vec::new();
    for since in 1..=1_000 {
        let number = request.warm_up + since;
        let drawn = wider.draw(seed, number);
        let (combination, _) =
            turn(&mut planner, &drawn, seed ^ (number as u64), |taken| wider.quality(&drawn, taken))?;
        taken.push(combination[MODEL] == newest);
        let latest = taken.iter().rev().take(LATEST).filter(|taken| **taken).count();
        if since >= LATEST && latest as f64 >= 0.9 * right_share * LATEST as f64 {
            return Ok(Some(since));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome_table::text_features;

    /// The later arms are better, and dearer, longer and slower.
    fn table(arms: &[&str], rows: usize) -> OutcomeTable {
        let row = |number: usize| TableRow {
            group: String::new(),
            x: text_features(&format!("question number {number} about keys")),
            outcomes: (0..arms.len())
                .map(|arm| {
                    Some(RecordedOutcome {
                        quality: if (number + 7 * arm) % 10 < 4 + 5 * arm / arms.len() { 1.0 } else { 0.3 },
                        cost_usd: Some(0.001 * 10_f64.powi(arm as i32)),
                        input_tokens: Some(80.0),
                        output_tokens: Some(20.0 * (arm + 1) as f64),
                        latency_ms: Some(1.0 + arm as f64),
                    })
                })
                .collect(),
        };
        OutcomeTable {
            arms: arms.iter().map(ToString::to_string).collect(),
            rows: (0..rows).map(row).collect(),
        }
    }

    fn world() -> World {
        let (routing, templates) = (table(&["small", "large"], 40), table(&["direct", "steps"], 30));
        World::new(routing, templates, table(&["sparse", "hybrid"], 20), 3).unwrap()
    }

    #[test]
    fn every_combination_has_a_quality_and_a_price() {
        let world = world();
        // 2 strategies, 6 depths, 5 reductions, 4 templates and 6 models.
        assert_eq!(world.combinations(), 2 * 6 * 5 * 4 * 6);
        let drawn = world.draw(1, 5);
        assert_eq!(drawn.x, world.draw(1, 5).x);
        assert_eq!((drawn.x.len(), drawn.models.len(), drawn.templates.len()), (1 + 3 * NUMBERS, 6, 4));
        for place in 0..world.combinations() {
            let quality = world.quality(&drawn, &world.space.at(place));
            assert!((0.0..=1.0).contains(&quality) && world.costs[place] > 0.0);
        }
        let price = |model: u16| world.cost(&[0, 0, 0, 0, model]);
        assert!(price(0) < price(2) && price(2) < price(4) && price(4) < price(1) && price(1) < price(5));
        let kept = |reduction: u16| world.quality(&drawn, &[1, 5, reduction, 3, 1]);
        assert!(kept(0) > kept(4));
    }

    #[test]
    fn tables_with_holes_are_refused() {
        let mut holey = table(&["a", "b"], 4);
        holey.rows[2].outcomes[1] = None;
        assert!(World::new(holey, table(&["a", "b"], 4), table(&["a", "b"], 4), 0).is_err());
        let empty = OutcomeTable { arms: vec!["a".to_owned(), "b".to_owned()], rows: Vec::new() };
        assert!(World::new(table(&["a", "b"], 4), table(&["a", "b"], 4), empty, 0).is_err());
    }

    #[test]
    fn the_planner_comes_near_the_best_and_the_same_stream_gives_the_same() {
        let request = |requests: usize| Request {
            policy: "conservative".to_owned(),
            requests,
            warm_up: requests / 2,
            seeds: 1,
            seed: 0,
            targets: vec![0.3],
        };
        let world = world();
        let again = || play(&world, &request(40), 5, Some(Goal::Quality(0.4)), &mut Vec::new()).unwrap();
        assert_eq!(again(), again());
        let report = evaluate(&world, &request(240), &mut |_| {}).unwrap();
        assert!(report.share_of_hindsight > 0.6 && report.n == 120, "{report:?}");
        assert!(report.planner.quality.mean <= report.best_fixed.quality + 0.05, "{report:?}");
        assert!(report.targets[0].reached.cost_usd < report.planner.cost_usd, "{report:?}");
    }
}
