//! What every strategy found for every query, so that a stream can be replayed many times in different orders.

use std::collections::BTreeMap;
use std::time::Instant;

use burnish_engine::Engine;
use burnish_types::{ChunkId, DocumentId, QueryFeatures, Strategy};
use serde::{Deserialize, Serialize};

use crate::EvalError;
use crate::dataset::Dataset;
use crate::retrieval::{asked, key_prefix};

/// A ranking is kept to this depth, which is how far the engine looks before feedback moves parts of it.
pub const DEPTH: usize = 50;

/// A passage that a strategy found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// The passage.
    pub chunk: ChunkId,
    /// Its document.
    pub document: DocumentId,
    /// The strategy's score.
    pub score: f32,
}

/// A document that answers a query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Relevant {
    /// The document.
    pub document: DocumentId,
    /// How well it answers.
    pub grade: i32,
    /// Its passages, in reading order.
    pub chunks: Vec<ChunkId>,
}

/// What one strategy found for one query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StrategyRanking {
    /// Best first.
    pub found: Vec<Found>,
    /// How long that took, the embedding of the query included.
    pub latency_ms: f64,
}

/// A query with everything that does not depend on what was learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PreparedQuery {
    /// Its id in the collection.
    pub id: String,
    /// The place of its collection among those of the stream; 0 until it is part of one.
    pub collection: usize,
    /// The split it is judged in.
    pub split: String,
    /// Its words.
    pub text: String,
    /// The collection's own labels, such as `hops`.
    pub labels: BTreeMap<String, String>,
    /// Its embedding.
    pub embedding: Vec<f32>,
    /// What the planner sees.
    pub features: QueryFeatures,
    /// The documents that answer it.
    pub relevant: Vec<Relevant>,
    /// One ranking a strategy, in the order of [`Prepared::strategies`].
    pub rankings: Vec<StrategyRanking>,
}

/// A collection's queries, asked of every strategy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Prepared {
    /// The strategies, in the engine's order.
    pub strategies: Vec<Strategy>,
    /// The queries of all splits, in their order.
    pub queries: Vec<PreparedQuery>,
}

impl Prepared {
    /// Asks every query of `datasets`, the splits of one collection, whose corpus the engine holds, of each of
    /// `strategies`. `done` is called after each query.
    ///
    /// # Errors
    /// If the engine fails.
    pub fn new(
        engine: &Engine,
        datasets: &[(String, Dataset)],
        strategies: &[Strategy],
        done: &dyn Fn(),
    ) -> Result<Self, EvalError> {
        let mut prepared = Self { strategies: strategies.to_vec(), queries: Vec::new() };
        let Some((_, first)) = datasets.first() else { return Ok(prepared) };
        let passages = passages_by_key(engine, &key_prefix(first))?;
        for (split, dataset) in datasets {
            for query in &dataset.queries {
                let asked = asked(query, DEPTH);
                let (features, embedding) = engine.examine(&asked).map_err(Box::new)?;
                let rankings = strategies.iter().map(|strategy| rank(engine, &asked, strategy));
                let relevant = dataset.qrels.get(&query.id).into_iter().flatten();
                let relevant = relevant.filter(|(_, grade)| **grade > 0).filter_map(|(key, grade)| {
                    let (document, chunks) = passages.get(key)?.clone();
                    Some(Relevant { document, grade: *grade, chunks })
                });
                let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
                let labels = query.metadata.iter();
                prepared.queries.push(PreparedQuery {
                    id: query.id.clone(),
                    collection: 0,
                    split: split.clone(),
                    text: query.text.clone(),
                    labels: labels.filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect(),
                    embedding,
                    features,
                    relevant: relevant.collect(),
                    rankings: rankings.collect::<Result<_, _>>()?,
                });
                done();
            }
        }
        Ok(prepared)
    }
}

fn rank(
    engine: &Engine,
    query: &burnish_types::Query,
    strategy: &Strategy,
) -> Result<StrategyRanking, EvalError> {
    let started = Instant::now();
    let (evidence, _) = engine.probe(query, strategy).map_err(Box::new)?;
    let latency_ms = started.elapsed().as_secs_f64() * 1_000.0;
    let found = evidence.iter().map(|passage| Found {
        chunk: passage.chunk,
        document: passage.document,
        score: passage.score,
    });
    Ok(StrategyRanking { found: found.collect(), latency_ms })
}

/// Each document's number and passages, by its id in the collection.
fn passages_by_key(
    engine: &Engine,
    prefix: &str,
) -> Result<BTreeMap<String, (DocumentId, Vec<ChunkId>)>, EvalError> {
    let catalogue = engine.catalogue().map_err(Box::new)?;
    let entries = catalogue.into_iter().map(|(key, document, chunks)| {
        let id = key.strip_prefix(prefix).map(str::to_owned).unwrap_or(key);
        (id, (document, chunks))
    });
    Ok(entries.collect())
}
