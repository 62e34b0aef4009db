//! A stream of queries whose judgements become outcomes: what is gained by learning, against the best fixed strategy.
//!
//! Each query is decided and ranked first, and only then its outcome is revealed, so every figure is of queries that
//! were not yet learned from. The order is shuffled by each seed.

mod clicks;
mod memory;
mod planned;
mod prepared;
mod stream;

pub use clicks::{ClickReport, Clicking, clicks};
pub use memory::{LearnedReport, Part, learn_then_test};
pub use planned::Planned;
pub use prepared::{DEPTH, Found, Prepared, PreparedQuery, Relevant, StrategyRanking};
pub use stream::{Chooser, CurvePoint, Fixed, Ratio, Side, StreamReport, StreamSettings, run};

use std::collections::BTreeMap;

use burnish_learning::{LIST_FLOOR, Memory, Start, Testimony};
use burnish_retrieval::{Scored, lift};
use burnish_types::{ChunkId, DocumentId, Judgement, RequestId, Timestamp};

/// What is reported of a ranking.
const CUTOFF: usize = 10;

/// What was found for `query`, after feedback moved parts of it.
pub(crate) fn lifted(memory: &Memory, query: &PreparedQuery, found: &[Found]) -> Vec<Scored> {
    let recall = memory.recall(Some(&tenant(query)), &query.text, &query.embedding);
    let lifts: Vec<(ChunkId, f32)> = recall.lifts.iter().map(|lift| (lift.chunk, lift.lift)).collect();
    let scored =
        found.iter().map(|found| Scored { chunk: found.chunk, score: found.score, components: Vec::new() });
    lift(scored.collect(), &lifts, LIST_FLOOR)
}

/// The same with the document of each passage, where the strategy had found it.
pub(crate) fn with_memory(
    memory: &Memory,
    query: &PreparedQuery,
    found: &[Found],
) -> Vec<(ChunkId, Option<DocumentId>)> {
    let known: BTreeMap<ChunkId, DocumentId> =
        found.iter().map(|found| (found.chunk, found.document)).collect();
    let moved = lifted(memory, query, found);
    moved.into_iter().map(|scored| (scored.chunk, known.get(&scored.chunk).copied())).collect()
}

/// nDCG@10 of a ranking of passages, each document counted where its first passage stands.
pub(crate) fn quality(query: &PreparedQuery, ranking: &[(ChunkId, Option<DocumentId>)]) -> f64 {
    let discount = |place: usize| 1.0 / (place as f64 + 2.0).log2();
    let grade = |chunk: ChunkId, document: Option<DocumentId>| {
        let is_it =
            |relevant: &&Relevant| Some(relevant.document) == document || relevant.chunks.contains(&chunk);
        query.relevant.iter().find(is_it).map(|relevant| (relevant.document, relevant.grade))
    };
    let mut seen: Vec<DocumentId> = Vec::new();
    let mut others: Vec<DocumentId> = Vec::new();
    let (mut place, mut gained) = (0, 0.0);
    for &(chunk, document) in ranking {
        if place == CUTOFF {
            break;
        }
        match grade(chunk, document) {
            Some((relevant, _)) if seen.contains(&relevant) => continue,
            Some((relevant, grade)) => {
                seen.push(relevant);
                gained += f64::from(grade) * discount(place);
            }
            None => match document {
                Some(document) if others.contains(&document) => continue,
                Some(document) => others.push(document),
                None => {}
            },
        }
        place += 1;
    }
    let mut grades: Vec<i32> = query.relevant.iter().map(|relevant| relevant.grade).collect();
    grades.sort_unstable_by(|a, b| b.cmp(a));
    let ideal: f64 = grades
        .iter()
        .take(CUTOFF)
        .enumerate()
        .map(|(place, grade)| f64::from(*grade) * discount(place))
        .sum();
    if ideal > 0.0 { gained / ideal } else { 0.0 }
}

/// Tells the memory which passages answer `query`: of each document that does, the best one of the ranking that was
/// shown, or its first one where none was.
pub(crate) fn confirm(memory: &mut Memory, query: &PreparedQuery, shown: &[ChunkId], at: Timestamp) {
    for relevant in &query.relevant {
        let best = shown.iter().find(|chunk| relevant.chunks.contains(chunk)).or(relevant.chunks.first());
        let Some(chunk) = best else { continue };
        let testimony = Testimony {
            request: RequestId::from_parts(at.0, 0),
            tenant: Some(&tenant(query)),
            reporter: None,
            start: Start::Question,
            question: &query.text,
            at,
            judgement: &Judgement::Passage { chunk: *chunk, correct: true },
            shown,
            standing: &[],
            cited: &[],
        };
        memory.observe(&testimony, &query.embedding);
    }
}

/// Collections have nothing to do with each other, and may use the same numbers for their passages.
fn tenant(query: &PreparedQuery) -> String {
    query.collection.to_string()
}
