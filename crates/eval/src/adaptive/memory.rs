//! Learning from the outcomes of one split, tested on another.

use std::collections::BTreeSet;
use std::time::Instant;

use burnish_learning::Memory;
use burnish_types::{ChunkId, DocumentId, Timestamp};
use serde::Serialize;

use super::stream::Chooser;
use super::{DEPTH, Prepared, PreparedQuery, confirm, quality, with_memory};
use crate::bootstrap::{self, MeanInterval};
use crate::retrieval::Latency;

/// nDCG@10 over all queries, over those that share a document with what was learned from, and over the others.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Part {
    /// All.
    #[serde(rename = "ndcg@10")]
    pub all: Option<MeanInterval>,
    /// Those of whose documents at least one answered a query that was learned from.
    pub seen: Option<MeanInterval>,
    /// The others.
    pub novel: Option<MeanInterval>,
}

/// What learning from one split does for another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LearnedReport {
    /// Queries that were tested.
    pub n: usize,
    /// Queries that were learned from.
    pub learned_from: usize,
    /// How many of those tested are seen.
    pub seen: usize,
    /// Before.
    pub untrained: Part,
    /// After.
    pub learned: Part,
    /// Folding in all outcomes, in seconds; the questions' embeddings are there already.
    pub training_seconds: f64,
    /// Folding in one query's outcomes, in milliseconds.
    pub update_ms: Latency,
}

/// Learns from the queries of the split `learn`, and tests on those of `test`; a strategy is chosen by `chooser`,
/// which learns as well.
pub fn learn_then_test(
    prepared: &Prepared,
    chooser: &mut dyn Chooser,
    learn: &str,
    test: &str,
    seed: u64,
) -> LearnedReport {
    let mut memory = Memory::default();
    let untrained = test_all(prepared, test, &memory, chooser, seed);
    let (mut training_seconds, mut updates_ms) = (0.0, Vec::new());
    let mut answered: BTreeSet<DocumentId> = BTreeSet::new();
    for (place, query) in of(prepared, learn).enumerate() {
        let at = Timestamp(place as u64);
        let chosen = chooser.choose(query, seed ^ place as u64);
        let ranking = with_memory(&memory, query, &query.rankings[chosen].found);
        let shown: Vec<ChunkId> = ranking.iter().take(DEPTH).map(|(chunk, _)| *chunk).collect();
        let started = Instant::now();
        chooser.learn(query, chosen, quality(query, &ranking), at);
        confirm(&mut memory, query, &shown, at);
        let taken = started.elapsed().as_secs_f64();
        training_seconds += taken;
        updates_ms.push(taken * 1_000.0);
        answered.extend(query.relevant.iter().map(|relevant| relevant.document));
    }
    let is_seen =
        |query: &PreparedQuery| query.relevant.iter().any(|relevant| answered.contains(&relevant.document));
    updates_ms.sort_by(f64::total_cmp);
    let quantile = |share: f64| {
        updates_ms
            .get(((updates_ms.len() as f64 * share) as usize).min(updates_ms.len().saturating_sub(1)))
            .copied()
            .unwrap_or_default()
    };
    LearnedReport {
        n: of(prepared, test).count(),
        learned_from: of(prepared, learn).count(),
        seen: of(prepared, test).filter(|query| is_seen(query)).count(),
        untrained: untrained.part(&is_seen, seed),
        learned: test_all(prepared, test, &memory, chooser, seed).part(&is_seen, seed),
        training_seconds,
        update_ms: Latency { p50: quantile(0.5), p99: quantile(0.99) },
    }
}

/// The quality of every query that was tested.
struct Tested<'a>(Vec<(&'a PreparedQuery, f64)>);

impl Tested<'_> {
    fn part(&self, is_seen: &dyn Fn(&PreparedQuery) -> bool, seed: u64) -> Part {
        let mean = |keep: &dyn Fn(&PreparedQuery) -> bool| {
            let kept = self.0.iter().filter(|(query, _)| keep(query)).map(|(_, quality)| *quality);
            bootstrap::mean(&kept.collect::<Vec<_>>(), seed)
        };
        Part { all: mean(&|_| true), seen: mean(is_seen), novel: mean(&|query| !is_seen(query)) }
    }
}

fn test_all<'a>(
    prepared: &'a Prepared,
    split: &'a str,
    memory: &Memory,
    chooser: &mut dyn Chooser,
    seed: u64,
) -> Tested<'a> {
    let scored = of(prepared, split).enumerate().map(|(place, query)| {
        let chosen = chooser.choose(query, seed ^ place as u64);
        (query, quality(query, &with_memory(memory, query, &query.rankings[chosen].found)))
    });
    Tested(scored.collect())
}

fn of<'a>(prepared: &'a Prepared, split: &'a str) -> impl Iterator<Item = &'a PreparedQuery> {
    prepared.queries.iter().filter(move |query| query.split == split)
}
