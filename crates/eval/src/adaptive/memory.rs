//! Learning from the outcomes of one split, tested on another.

use std::collections::BTreeSet;
use std::time::Instant;

use burnish_learning::Memory;
use burnish_types::{ChunkId, DocumentId, Timestamp};
use serde::Serialize;

use super::{DEPTH, Prepared, PreparedQuery, confirm, quality, with_memory};
use crate::bootstrap::{self, MeanInterval};

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
    /// The strategy under which the test was run.
    pub strategy: String,
    /// Before.
    pub untrained: Part,
    /// After.
    pub learned: Part,
    /// Folding in all outcomes, in seconds; the questions' embeddings are there already.
    pub training_seconds: f64,
    /// The longest that folding in one query's outcomes took, in milliseconds.
    pub slowest_update_ms: f64,
}

/// Learns from the queries of the split `learn`, and tests on those of `test`, both ranked by the strategy in the
/// place `strategy`.
pub fn learn_then_test(
    prepared: &Prepared,
    strategy: usize,
    learn: &str,
    test: &str,
    seed: u64,
) -> LearnedReport {
    let mut memory = Memory::default();
    let (mut training_seconds, mut slowest_update_ms) = (0.0, 0.0f64);
    let mut answered: BTreeSet<DocumentId> = BTreeSet::new();
    for (place, query) in of(prepared, learn).enumerate() {
        let shown = ranking(&memory, query, strategy);
        let shown: Vec<ChunkId> = shown.iter().take(DEPTH).map(|(chunk, _)| *chunk).collect();
        let started = Instant::now();
        confirm(&mut memory, query, &shown, Timestamp(place as u64));
        let taken = started.elapsed().as_secs_f64();
        training_seconds += taken;
        slowest_update_ms = slowest_update_ms.max(taken * 1_000.0);
        answered.extend(query.relevant.iter().map(|relevant| relevant.document));
    }
    let is_seen =
        |query: &PreparedQuery| query.relevant.iter().any(|relevant| answered.contains(&relevant.document));
    let measure = |memory: &Memory| {
        let scored: Vec<(bool, f64)> = of(prepared, test)
            .map(|query| (is_seen(query), quality(query, &ranking(memory, query, strategy))))
            .collect();
        let mean = |keep: &dyn Fn(bool) -> bool| {
            let kept: Vec<f64> =
                scored.iter().filter(|(seen, _)| keep(*seen)).map(|(_, quality)| *quality).collect();
            bootstrap::mean(&kept, seed)
        };
        Part { all: mean(&|_| true), seen: mean(&|seen| seen), novel: mean(&|seen| !seen) }
    };
    LearnedReport {
        n: of(prepared, test).count(),
        learned_from: of(prepared, learn).count(),
        seen: of(prepared, test).filter(|query| is_seen(query)).count(),
        strategy: prepared.strategies.get(strategy).map(ToString::to_string).unwrap_or_default(),
        untrained: measure(&Memory::default()),
        learned: measure(&memory),
        training_seconds,
        slowest_update_ms,
    }
}

fn of<'a>(prepared: &'a Prepared, split: &'a str) -> impl Iterator<Item = &'a PreparedQuery> {
    prepared.queries.iter().filter(move |query| query.split == split)
}

fn ranking(memory: &Memory, query: &PreparedQuery, strategy: usize) -> Vec<(ChunkId, Option<DocumentId>)> {
    query.rankings.get(strategy).map(|ranking| with_memory(memory, query, &ranking.found)).unwrap_or_default()
}
