//! The stream itself, over many seeds.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use burnish_learning::Memory;
use burnish_types::{ChunkId, Timestamp};
use serde::Serialize;

use super::{DEPTH, Prepared, PreparedQuery, confirm, quality, with_memory};
use crate::bootstrap::{self, MeanInterval};

/// Queries after which the running mean is compared with the best fixed strategy's.
const SETTLING: usize = 100;
/// A label with more values than these is no kind of query.
const MOST_VALUES: usize = 10;
/// Points of the curve that is reported.
const CURVE_POINTS: usize = 40;

/// Decides how each query of a stream is retrieved, and hears what came of it.
pub trait Chooser {
    /// The place of the strategy that is taken for `query`.
    fn choose(&mut self, query: &PreparedQuery, seed: u64) -> usize;

    /// What came of it: nDCG@10.
    fn learn(&mut self, query: &PreparedQuery, chosen: usize, quality: f64, at: Timestamp);

    /// Drift alarms so far.
    fn alarms(&self) -> usize {
        0
    }
}

/// How a stream is run.
#[derive(Clone, Copy, Debug)]
pub struct StreamSettings {
    /// Orders that are tried.
    pub seeds: u64,
    /// The first seed, and that of the bootstrap.
    pub seed: u64,
    /// Whether feedback moves the ranking.
    pub memory: bool,
}

/// One way of answering the stream, over all seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Side {
    /// Mean nDCG@10 over the stream, each query averaged over the seeds.
    pub mean: Option<MeanInterval>,
    /// The same over the last half of each order.
    pub last_half: f64,
    /// Mean latency of retrieval and decision.
    pub latency_ms: f64,
}

/// A fixed strategy over the stream.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fixed {
    /// Its name.
    pub strategy: String,
    /// Its figures.
    #[serde(flatten)]
    pub side: Side,
}

/// A point of the curve: means so far, over all seeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CurvePoint {
    /// Queries so far.
    pub n: usize,
    /// Of the adaptive side.
    pub adaptive: f64,
    /// Of the best fixed strategy.
    pub best_fixed: f64,
}

/// What came of a stream.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StreamReport {
    /// Queries of the stream.
    pub n: usize,
    /// Orders.
    pub seeds: u64,
    /// The planner.
    pub adaptive: Side,
    /// The fixed strategy that was best in hindsight.
    pub best_fixed: Fixed,
    /// Every fixed strategy.
    pub fixed: Vec<Fixed>,
    /// The best strategy of each query in hindsight, without feedback.
    pub oracle: f64,
    /// The smallest ratio of the running means, adaptive to best fixed, beyond the first 100 queries, over all seeds.
    pub worst_running_ratio: f64,
    /// The smallest ratio over the last half, over all seeds, and its mean.
    pub last_half_ratio: Ratio,
    /// The share of queries that each strategy got, in the order of `fixed`.
    pub shares: Vec<f64>,
    /// The same by the collection's own labels, such as `hops=multi`, for labels with few values.
    pub shares_by_label: BTreeMap<String, Vec<f64>>,
    /// Drift alarms in all orders together.
    pub alarms: usize,
    /// Means along the stream.
    pub curve: Vec<CurvePoint>,
}

/// A ratio over seeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ratio {
    /// The smallest.
    pub worst: f64,
    /// The mean.
    pub mean: f64,
}

/// One order.
struct Pass {
    /// Of each place in the order: the query, the quality, the latency.
    served: Vec<(usize, f64, f64)>,
    chosen: Vec<usize>,
    alarms: usize,
}

/// Runs the stream in `settings.seeds` orders, with a new chooser for each. `None` where there is nothing to run.
///
/// # Errors
/// If a chooser can't be made.
pub fn run<E>(
    prepared: &Prepared,
    settings: StreamSettings,
    chooser: &mut dyn FnMut() -> Result<Box<dyn Chooser>, E>,
    done: &dyn Fn(),
) -> Result<Option<StreamReport>, E> {
    let n = prepared.queries.len();
    let fixed_quality: Vec<Vec<f64>> = (0..prepared.strategies.len())
        .map(|strategy| prepared.queries.iter().map(|query| quality_of(query, strategy)).collect())
        .collect();
    let passes: Vec<Pass> = (0..settings.seeds)
        .map(|offset| {
            let pass = pass(prepared, settings, settings.seed.wrapping_add(offset), chooser()?.as_mut());
            done();
            Ok(pass)
        })
        .collect::<Result<_, E>>()?;
    let orders: Vec<Vec<usize>> =
        passes.iter().map(|pass| pass.served.iter().map(|(query, ..)| *query).collect()).collect();
    let fixed: Vec<Fixed> = fixed_quality
        .iter()
        .enumerate()
        .map(|(place, values)| Fixed {
            strategy: prepared.strategies[place].to_string(),
            side: Side {
                mean: bootstrap::mean(values, settings.seed),
                last_half: average(
                    orders.iter().flat_map(|order| &order[n / 2..]).map(|query| values[*query]),
                ),
                latency_ms: average(prepared.queries.iter().map(|query| query.rankings[place].latency_ms)),
            },
        })
        .collect();
    let mean = |place: &usize| average(fixed_quality[*place].iter().copied());
    let Some(best) = (0..fixed.len()).max_by(|a, b| mean(a).total_cmp(&mean(b))) else { return Ok(None) };
    let best_quality = &fixed_quality[best];
    let oracle = (0..n).map(|query| fixed_quality.iter().map(|values| values[query]).fold(0.0, f64::max));
    let halves: Vec<f64> = passes
        .iter()
        .map(|pass| {
            let half = &pass.served[n / 2..];
            average(half.iter().map(|(_, quality, _)| *quality))
                / average(half.iter().map(|(query, ..)| best_quality[*query]))
        })
        .collect();
    Ok(Some(StreamReport {
        n,
        seeds: settings.seeds,
        adaptive: adaptive_side(&passes, n, settings.seed),
        best_fixed: fixed[best].clone(),
        oracle: average(oracle),
        worst_running_ratio: passes
            .iter()
            .flat_map(|pass| running_ratios(pass, best_quality))
            .fold(f64::INFINITY, f64::min),
        last_half_ratio: Ratio {
            worst: halves.iter().copied().fold(f64::INFINITY, f64::min),
            mean: average(halves.iter().copied()),
        },
        shares: shares(&passes, fixed.len(), &|_| true),
        shares_by_label: labels(prepared)
            .into_iter()
            .map(|(name, value)| {
                let has = |query: usize| prepared.queries[query].labels.get(&name) == Some(&value);
                (format!("{name}={value}"), shares(&passes, fixed.len(), &has))
            })
            .collect(),
        alarms: passes.iter().map(|pass| pass.alarms).sum(),
        curve: curve(&passes, best_quality),
        fixed,
    }))
}

fn pass(prepared: &Prepared, settings: StreamSettings, seed: u64, chooser: &mut dyn Chooser) -> Pass {
    let mut order: Vec<usize> = (0..prepared.queries.len()).collect();
    let mut random = fastrand::Rng::with_seed(seed);
    random.shuffle(&mut order);
    let mut memory = Memory::default();
    let mut pass = Pass { served: Vec::with_capacity(order.len()), chosen: Vec::new(), alarms: 0 };
    for (place, &index) in order.iter().enumerate() {
        let query = &prepared.queries[index];
        // An hour a hundred queries.
        let at = Timestamp(place as u64 * 36_000);
        let started = Instant::now();
        let chosen = chooser.choose(query, random.u64(..));
        let found = &query.rankings[chosen];
        let ranking = with_memory(&memory, query, &found.found);
        let deciding_ms = started.elapsed().as_secs_f64() * 1_000.0;
        let quality = quality(query, &ranking);
        pass.served.push((index, quality, found.latency_ms + deciding_ms));
        pass.chosen.push(chosen);
        chooser.learn(query, chosen, quality, at);
        if settings.memory {
            let shown: Vec<ChunkId> = ranking.iter().take(DEPTH).map(|(chunk, _)| *chunk).collect();
            confirm(&mut memory, query, &shown, at);
        }
    }
    pass.alarms = chooser.alarms();
    pass
}

/// The share of each strategy among the queries for which `counts` holds.
fn shares(passes: &[Pass], strategies: usize, counts: &dyn Fn(usize) -> bool) -> Vec<f64> {
    let mut shares = vec![0.0; strategies];
    for pass in passes {
        let chosen = pass.served.iter().zip(&pass.chosen).filter(|((query, ..), _)| counts(*query));
        chosen.for_each(|(_, chosen)| shares[*chosen] += 1.0);
    }
    let total: f64 = shares.iter().sum();
    shares.iter_mut().for_each(|share| *share /= total.max(1.0));
    shares
}

/// Names and values of the labels that have few values.
fn labels(prepared: &Prepared) -> BTreeSet<(String, String)> {
    let all: BTreeSet<(String, String)> =
        prepared.queries.iter().flat_map(|query| query.labels.clone()).collect();
    let values = |name: &str| all.iter().filter(|(known, _)| known == name).count();
    all.iter().filter(|(name, _)| values(name) <= MOST_VALUES).cloned().collect()
}

fn quality_of(query: &PreparedQuery, strategy: usize) -> f64 {
    let found = query.rankings[strategy].found.iter();
    let ranking: Vec<_> = found.map(|found| (found.chunk, Some(found.document))).collect();
    quality(query, &ranking)
}

fn adaptive_side(passes: &[Pass], n: usize, seed: u64) -> Side {
    // One value a query, so that the interval is over queries, and orders do not count as more of them.
    let mut by_query = vec![0.0; n];
    for (query, quality, _) in passes.iter().flat_map(|pass| &pass.served) {
        by_query[*query] += quality / passes.len() as f64;
    }
    let all = || passes.iter().flat_map(|pass| &pass.served);
    Side {
        mean: bootstrap::mean(&by_query, seed),
        last_half: average(
            passes.iter().flat_map(|pass| &pass.served[n / 2..]).map(|(_, quality, _)| *quality),
        ),
        latency_ms: average(all().map(|(.., latency)| *latency)),
    }
}

/// The ratios of the running means beyond the first queries.
fn running_ratios(pass: &Pass, best: &[f64]) -> Vec<f64> {
    let (mut adaptive, mut fixed) = (0.0, 0.0);
    let mut ratios = Vec::new();
    for (place, (query, quality, _)) in pass.served.iter().enumerate() {
        adaptive += quality;
        fixed += best[*query];
        if place >= SETTLING {
            ratios.push(if fixed > 0.0 { adaptive / fixed } else { 1.0 });
        }
    }
    ratios
}

fn curve(passes: &[Pass], best: &[f64]) -> Vec<CurvePoint> {
    let n = passes.first().map_or(0, |pass| pass.served.len());
    let step = n.div_ceil(CURVE_POINTS).max(1);
    let points = (1..=n).filter(|so_far| so_far % step == 0 || *so_far == n);
    points
        .map(|so_far| {
            let served = || passes.iter().flat_map(|pass| &pass.served[..so_far]);
            CurvePoint {
                n: so_far,
                adaptive: average(served().map(|(_, quality, _)| *quality)),
                best_fixed: average(served().map(|(query, ..)| best[*query])),
            }
        })
        .collect()
}

fn average(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0u64), |(sum, count), value| (sum + value, count + 1));
    if count > 0 { sum / count as f64 } else { 0.0 }
}
