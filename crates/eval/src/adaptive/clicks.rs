//! People who open passages, and look at the places of a list the less the lower they stand: what the memory makes of
//! what they open, read in three ways.
//!
//! Every query is asked once a round by somebody new, who sees the ten best passages as the memory ranks them by then.
//! They look at the place `n`, from 0, with probability (1 + n)^-η, and open what they look at with a probability that
//! depends on whether it answers. The same draws serve all three ways.

use burnish_learning::{Memory, Start, Testimony};
use burnish_types::{ChunkId, Judgement, RequestId, Timestamp};
use fastrand::Rng;
use serde::Serialize;

use super::{CUTOFF, Prepared, PreparedQuery, lifted, quality, tenant, with_memory};
use crate::EvalError;
use crate::bootstrap::{self, MeanInterval};

/// How people behave.
#[derive(Clone, Copy, Debug)]
pub struct Clicking {
    /// η: 0 for people who look at every place, 1 for those who look at the tenth a tenth as often as at the first.
    pub bias: f64,
    /// The probability that what answers is opened by somebody who looks at it, and the same of what does not.
    pub opens: (f64, f64),
    /// How many people ask each query.
    pub rounds: usize,
    /// For all that is drawn.
    pub seed: u64,
}

/// How openings are told to the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// As though all places were looked at alike.
    Plain,
    /// With the places, whose share of looks is what is believed of people in general.
    Believed,
    /// With the scores as well, from which the share of looks is learned.
    Learned,
}

/// nDCG@10 of the queries, asked once more in the end.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClickReport {
    /// Queries.
    pub n: usize,
    /// Passages that were opened, in the last way.
    pub opened: usize,
    /// Without any memory.
    pub without: Option<MeanInterval>,
    /// With openings taken as they come.
    pub plain: Option<MeanInterval>,
    /// Corrected by what is believed of people.
    pub believed: Option<MeanInterval>,
    /// Corrected by what was learned of these people.
    pub learned: Option<MeanInterval>,
    /// The last minus the plain one, query by query.
    pub learned_over_plain: Option<MeanInterval>,
    /// The last minus the believed one, query by query.
    pub learned_over_believed: Option<MeanInterval>,
}

/// Lets people ask all queries of `prepared`, and open what they find with its strategy at `place`.
///
/// # Errors
/// If the bootstrap refuses the figures.
pub fn clicks(prepared: &Prepared, place: usize, clicking: Clicking) -> Result<ClickReport, EvalError> {
    let values = |reading| qualities(prepared, place, clicking, reading);
    let (without, _) = qualities(prepared, place, Clicking { rounds: 0, ..clicking }, Reading::Plain);
    let (plain, _) = values(Reading::Plain);
    let (believed, _) = values(Reading::Believed);
    let (learned, opened) = values(Reading::Learned);
    let seed = clicking.seed;
    Ok(ClickReport {
        n: without.len(),
        opened,
        without: bootstrap::mean(&without, seed),
        plain: bootstrap::mean(&plain, seed),
        believed: bootstrap::mean(&believed, seed),
        learned: bootstrap::mean(&learned, seed),
        learned_over_plain: bootstrap::paired_difference(&learned, &plain, seed)?,
        learned_over_believed: bootstrap::paired_difference(&learned, &believed, seed)?,
    })
}

/// The quality of each query in the end, and how much was opened.
fn qualities(prepared: &Prepared, place: usize, clicking: Clicking, reading: Reading) -> (Vec<f64>, usize) {
    let mut memory = Memory::default();
    let mut opened = 0;
    for round in 0..clicking.rounds {
        let mut order: Vec<usize> = (0..prepared.queries.len()).collect();
        Rng::with_seed(clicking.seed ^ round as u64).shuffle(&mut order);
        for (turn, index) in order.into_iter().enumerate() {
            let at = Timestamp((round * prepared.queries.len() + turn) as u64);
            opened += ask(&mut memory, &prepared.queries[index], place, clicking, reading, round, at);
        }
    }
    let end = prepared
        .queries
        .iter()
        .map(|query| quality(query, &with_memory(&memory, query, &query.rankings[place].found)));
    (end.collect(), opened)
}

fn ask(
    memory: &mut Memory,
    query: &PreparedQuery,
    place: usize,
    clicking: Clicking,
    reading: Reading,
    round: usize,
    at: Timestamp,
) -> usize {
    let mut ranking = lifted(memory, query, &query.rankings[place].found);
    ranking.truncate(CUTOFF);
    let shown: Vec<ChunkId> = ranking.iter().map(|scored| scored.chunk).collect();
    let best = ranking.first().map_or(1.0, |scored| scored.score);
    let standing: Vec<f32> = ranking.iter().map(|scored| scored.score / best).collect();
    let person = format!("person {round}");
    let mut random =
        Rng::with_seed(clicking.seed ^ burnish_types::fnv1a(format!("{} {round}", query.id).as_bytes()));
    let mut opened = 0;
    for (rank, chunk) in shown.iter().enumerate() {
        let answers = query.relevant.iter().any(|relevant| relevant.chunks.contains(chunk));
        let opens = if answers { clicking.opens.0 } else { clicking.opens.1 };
        // Both are drawn for every place, so that the draws of the places below stay the same.
        let (look, open) = (random.f64(), random.f64());
        if look >= (1.0 + rank as f64).powf(-clicking.bias) || open >= opens {
            continue;
        }
        opened += 1;
        let alone = [*chunk];
        let testimony = Testimony {
            request: RequestId::from_parts(at.0, 0),
            tenant: Some(&tenant(query)),
            reporter: Some(&person),
            start: Start::Question,
            question: &query.text,
            at,
            judgement: &Judgement::Opened { chunk: *chunk },
            shown: if reading == Reading::Plain { &alone } else { &shown },
            standing: if reading == Reading::Learned { &standing } else { &[] },
            cited: &[],
        };
        memory.observe(&testimony, &query.embedding);
    }
    opened
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use burnish_types::{DocumentId, QueryFeatures, Strategy};

    use super::super::{Found, Relevant, StrategyRanking};
    use super::*;

    /// Queries of twenty collections that have nothing to do with each other; the passage that answers stands anywhere among the ten, more
    /// often where scores are high.
    fn prepared(queries: u64) -> Prepared {
        let mut random = Rng::with_seed(3);
        let query = |number: u64| {
            let mut score = 1.0f32;
            let found: Vec<Found> = (0..10)
                .map(|place| {
                    let id = 10 * number + place;
                    score *= 1.0 - 0.06 * random.f32();
                    Found { chunk: ChunkId(id), document: DocumentId(id), score }
                })
                .collect();
            let answers = found[random.usize(..10).min(random.usize(..10))];
            let mut embedding: Vec<f32> = (0..64).map(|_| random.f32() - 0.5).collect();
            let norm = embedding.iter().map(|value| value * value).sum::<f32>().sqrt();
            embedding.iter_mut().for_each(|value| *value /= norm);
            PreparedQuery {
                id: number.to_string(),
                collection: number as usize % 20,
                split: "test".to_owned(),
                text: format!("subject{number} matter{number}"),
                labels: BTreeMap::new(),
                embedding,
                features: QueryFeatures::default(),
                relevant: vec![Relevant {
                    document: answers.document,
                    grade: 1,
                    chunks: vec![answers.chunk],
                }],
                rankings: vec![StrategyRanking { found, latency_ms: 1.0 }],
            }
        };
        let queries = (0..queries).map(query).collect();
        Prepared { strategies: vec![Strategy::new("hybrid")], queries }
    }

    #[test]
    fn openings_that_are_corrected_teach_more_than_those_that_are_not() {
        let clicking = Clicking { bias: 1.0, opens: (0.7, 0.15), rounds: 6, seed: 1 };
        let report = clicks(&prepared(1_000), 0, clicking).unwrap();
        let over_plain = report.learned_over_plain.unwrap();
        assert!(over_plain.ci95[0] > 0.0, "{report:?}");
        assert!(report.learned.unwrap().mean > report.without.unwrap().mean + 0.05, "{report:?}");
    }
}
