//! Whether documents that answer one question together are found from one another.

use std::collections::{BTreeMap, BTreeSet};

use burnish_engine::{Engine, Related, RelatedTo};
use burnish_types::{DocumentId, Evidence, Strategy, UserContext};
use serde::Serialize;

use crate::EvalError;
use crate::bootstrap::{self, MeanInterval};
use crate::dataset::{CollectionQuery, Dataset};
use crate::retrieval::{asked, key_prefix};

/// What the titles of documents are looked up by, for comparison.
const BY_TITLE: &str = "hybrid";

/// How often the other document of a pair is among those found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RelatedReport {
    /// Ordered pairs of documents.
    pub n: usize,
    /// Queries that they come from; intervals are over these, each with the mean of its pairs.
    pub queries: usize,
    /// How many documents were asked for.
    pub top_k: usize,
    /// The share of pairs whose second document is among those related to the first.
    pub related: Option<MeanInterval>,
    /// The same for the documents that `hybrid` finds for the first one's title.
    pub by_title: Option<MeanInterval>,
    /// The first less the second, query by query.
    pub difference: Option<MeanInterval>,
    /// The mean time of finding what is related to a document, in milliseconds.
    pub mean_ms: f64,
}

/// Takes each two documents that the judgements call relevant to the same query, and asks for `top_k` documents
/// related to the one.
///
/// # Errors
/// If the engine, which holds the corpus, fails.
pub fn evaluate_related(
    engine: &Engine,
    dataset: &Dataset,
    top_k: usize,
    seed: u64,
) -> Result<RelatedReport, EvalError> {
    let prefix = key_prefix(dataset);
    let catalogue = engine.catalogue().map_err(Box::new)?;
    let ids: BTreeMap<&str, DocumentId> =
        catalogue.iter().filter_map(|(key, id, _)| Some((key.strip_prefix(&prefix)?, *id))).collect();
    let (mut related, mut by_title, mut times) = (Vec::new(), Vec::new(), Vec::new());
    let mut pairs = 0;
    for query in &dataset.queries {
        let together = together(dataset, query, &ids);
        if together.len() < 2 {
            continue;
        }
        pairs += together.len() * (together.len() - 1);
        let (mut found, mut titled) = (Vec::new(), Vec::new());
        for document in &together {
            let wanted = Related {
                to: RelatedTo::Document(*document),
                user: UserContext::default(),
                filter: burnish_types::Filter::default(),
                top_k,
                per_document: Some(1),
            };
            let near = engine.probe_related(&wanted).map_err(Box::new)?.answered;
            times.push(near.answer.timings.iter().map(|timing| timing.ms).sum::<f64>());
            let title = near.decision.query.lines().next().unwrap_or_default();
            let query = CollectionQuery { text: title.to_owned(), ..query.clone() };
            // A document has few passages here, and is not looked for itself.
            let (passages, _) =
                engine.probe(&asked(&query, 4 * (top_k + 1)), &Strategy::new(BY_TITLE)).map_err(Box::new)?;
            for other in together.iter().filter(|other| *other != document) {
                found.push(holds(&near.answer.evidence, *document, *other, top_k));
                titled.push(holds(&passages, *document, *other, top_k));
            }
        }
        related.push(mean(&found));
        by_title.push(mean(&titled));
    }
    Ok(RelatedReport {
        n: pairs,
        queries: related.len(),
        top_k,
        related: bootstrap::mean(&related, seed),
        by_title: bootstrap::mean(&by_title, seed),
        difference: bootstrap::paired_difference(&related, &by_title, seed)?,
        mean_ms: mean(&times),
    })
}

/// The documents that are relevant to `query`, as far as they are in the corpus.
fn together(
    dataset: &Dataset,
    query: &CollectionQuery,
    ids: &BTreeMap<&str, DocumentId>,
) -> BTreeSet<DocumentId> {
    let grades = dataset.qrels.get(&query.id).into_iter().flatten();
    grades.filter(|(_, grade)| **grade > 0).filter_map(|(id, _)| ids.get(id.as_str()).copied()).collect()
}

/// 1 where `wanted` is among the first `top_k` documents of `passages`, `without` left out, else 0.
fn holds(passages: &[Evidence], without: DocumentId, wanted: DocumentId, top_k: usize) -> f64 {
    let mut seen = BTreeSet::new();
    let documents = passages.iter().map(|passage| passage.document).filter(|document| *document != without);
    let mut first = documents.filter(|document| seen.insert(*document)).take(top_k);
    f64::from(first.any(|document| document == wanted))
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use burnish_types::{ChunkId, Location};

    use super::*;

    #[test]
    fn documents_count_once_and_not_themselves() {
        let passage = |document: u64| Evidence {
            chunk: ChunkId(0),
            document: DocumentId(document),
            document_key: String::new(),
            title: String::new(),
            location: Location::default(),
            text: String::new(),
            score: 0.0,
            components: Vec::new(),
            lifted: None,
        };
        let passages = [1, 2, 2, 3, 4].map(passage);
        for (wanted, top_k, expected) in [(2, 1, 1.0), (3, 1, 0.0), (3, 2, 1.0), (4, 2, 0.0), (9, 5, 0.0)] {
            assert_eq!(holds(&passages, DocumentId(1), DocumentId(wanted), top_k), expected, "{wanted}");
        }
    }
}
