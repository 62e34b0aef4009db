//! Rankings of each strategy against a collection's judgements.

use std::collections::BTreeMap;

use burnish_engine::Engine;
use burnish_types::{Evidence, Filter, Query, Stage, Strategy, UserContext};
use serde::Serialize;

use crate::EvalError;
use crate::bootstrap::{self, MeanInterval};
use crate::dataset::{CollectionQuery, Dataset};
use crate::measures::{Grades, Measure, Ranking};

/// What is reported of a ranking.
pub const MEASURES: [Measure; 4] =
    [Measure::Ndcg(10), Measure::Recall(5), Measure::Recall(100), Measure::ReciprocalRank(10)];

/// How long retrieval took, in milliseconds, the embedding of the query included.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Latency {
    /// The median.
    pub p50: f64,
    /// Only one in a hundred took longer.
    pub p99: f64,
}

/// How one strategy did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StrategyReport {
    /// Means by the measure's name.
    #[serde(flatten)]
    pub measures: BTreeMap<String, MeanInterval>,
    /// Its latency.
    pub latency_ms: Latency,
    /// What the means rest on, a value a query, in the order of the queries.
    #[serde(skip)]
    pub values: BTreeMap<String, Vec<f64>>,
}

impl StrategyReport {
    /// By how much this strategy is above `baseline`, query by query, with the interval of the paired difference;
    /// by the measure's name.
    ///
    /// # Errors
    /// If the two were asked different numbers of queries.
    pub fn differences(
        &self,
        baseline: &Self,
        seed: u64,
    ) -> Result<BTreeMap<String, MeanInterval>, EvalError> {
        let mut differences = BTreeMap::new();
        for (name, values) in &self.values {
            let others = baseline.values.get(name).map_or(&[][..], Vec::as_slice);
            if let Some(difference) = bootstrap::paired_difference(values, others, seed)? {
                differences.insert(name.clone(), difference);
            }
        }
        Ok(differences)
    }
}

/// Takes a query's ranking, to write it out.
pub type RankingSink<'a> = &'a mut dyn FnMut(&str, &Ranking<'_>) -> Result<(), EvalError>;

/// Asks each query of `dataset`, whose corpus the engine holds, of one strategy.
///
/// # Errors
/// If the engine or the sink fails.
pub fn evaluate(
    engine: &Engine,
    dataset: &Dataset,
    strategy: &Strategy,
    top_k: usize,
    seed: u64,
    sink: RankingSink<'_>,
) -> Result<StrategyReport, EvalError> {
    let prefix = key_prefix(dataset);
    let nothing = Grades::new();
    let mut values: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let mut latencies = Vec::with_capacity(dataset.queries.len());
    for query in &dataset.queries {
        let (evidence, timings) = engine.probe(&asked(query, top_k), strategy).map_err(Box::new)?;
        latencies
            .push(timings.iter().filter(|timing| timing.stage != Stage::Plan).map(|timing| timing.ms).sum());
        let ranking = Ranking::new(documents(&evidence, &prefix));
        let grades = dataset.qrels.get(&query.id).unwrap_or(&nothing);
        for measure in MEASURES {
            values.entry(measure.to_string()).or_default().push(measure.of(&ranking, grades));
        }
        sink(&query.id, &ranking)?;
    }
    let mean = |(name, values): (&String, &Vec<f64>)| Some((name.clone(), bootstrap::mean(values, seed)?));
    let measures = values.iter().filter_map(mean).collect();
    Ok(StrategyReport { measures, latency_ms: latency(latencies), values })
}

/// What the keys of the corpus's documents begin with.
pub(crate) fn key_prefix(dataset: &Dataset) -> String {
    let corpus =
        std::path::absolute(dataset.corpus_path()).unwrap_or_else(|_| dataset.corpus_path().to_owned());
    format!("{}#", corpus.display())
}

pub(crate) fn asked(query: &CollectionQuery, top_k: usize) -> Query {
    Query {
        text: query.text.clone(),
        conversation: Vec::new(),
        user: UserContext::default(),
        filter: Filter::default(),
        top_k,
        target_quality: 1.0,
        budget: None,
        latency_budget_ms: None,
    }
}

/// The documents of the passages found, each with its best passage's score.
fn documents<'a>(evidence: &'a [Evidence], prefix: &str) -> Vec<(&'a str, f32)> {
    let mut best: BTreeMap<&str, f32> = BTreeMap::new();
    for passage in evidence {
        let id = passage.document_key.strip_prefix(prefix).unwrap_or(&passage.document_key);
        let score = best.entry(id).or_insert(passage.score);
        *score = score.max(passage.score);
    }
    best.into_iter().collect()
}

fn latency(mut milliseconds: Vec<f64>) -> Latency {
    milliseconds.sort_unstable_by(f64::total_cmp);
    let quantile = |share: f64| {
        let place = (share * milliseconds.len() as f64).ceil() as usize;
        milliseconds.get(place.saturating_sub(1)).copied().unwrap_or(0.0)
    };
    Latency { p50: quantile(0.5), p99: quantile(0.99) }
}

#[cfg(test)]
mod tests {
    use burnish_types::{ChunkId, DocumentId, Location};

    use super::*;

    #[test]
    fn a_document_counts_with_its_best_passage() {
        let passage = |key: &str, score: f32| Evidence {
            chunk: ChunkId(1),
            document: DocumentId(1),
            document_key: key.to_owned(),
            title: String::new(),
            location: Location::default(),
            text: String::new(),
            score,
            components: Vec::new(),
            lifted: None,
        };
        let evidence = [passage("c.jsonl#a#1", 0.9), passage("c.jsonl#b", 0.5), passage("c.jsonl#a#1", 0.95)];
        assert_eq!(documents(&evidence, "c.jsonl#"), [("a#1", 0.95), ("b", 0.5)]);
    }

    #[test]
    fn differences_are_paired_by_measure() {
        let report = |values: &[f64]| StrategyReport {
            measures: BTreeMap::new(),
            latency_ms: Latency { p50: 0.0, p99: 0.0 },
            values: BTreeMap::from([("recall@5".to_owned(), values.to_vec())]),
        };
        let differences = report(&[1.0, 0.75, 0.5]).differences(&report(&[0.5, 0.25, 0.0]), 1).unwrap();
        assert_eq!(
            differences,
            BTreeMap::from([("recall@5".to_owned(), MeanInterval { mean: 0.5, ci95: [0.5, 0.5], n: 3 })])
        );
        assert!(report(&[1.0]).differences(&report(&[]), 1).is_err());
    }

    #[test]
    fn latencies_are_nearest_ranks() {
        assert_eq!(latency((1..=100).map(f64::from).collect()), Latency { p50: 50.0, p99: 99.0 });
        assert_eq!(latency(vec![7.0]), Latency { p50: 7.0, p99: 7.0 });
    }
}
