//! `reranked`: `hybrid`, whose head is ordered anew by words and by late interaction over token embeddings
//! (Khattab & Zaharia 2020, MaxSim), with no model beyond the encoder.

use std::collections::HashMap;

use burnish_types::{ChunkId, Embedder, TokenEmbedder, TokenEmbeddings, dot};

use crate::candidates::Candidates;
use crate::features::{QueryWords, words};
use crate::fusion::{convex, ranked};
use crate::hybrid::DENSE_WEIGHT;
use crate::{Means, PassageText, Request, RetrievalError, Retriever, Scored, Sources};

const NAME: &str = "reranked";
/// How many passages are looked at again. Each costs the encoder as much as it did when it was ingested.
const HEAD: usize = 10;

/// Weights beside the fused score, chosen on SciFact's train split (`docs/measurements.md`).
const LATE_INTERACTION_WEIGHT: f32 = 0.5;
const COVERAGE_WEIGHT: f32 = 0.05;
const ADJACENCY_WEIGHT: f32 = 0.05;

pub(crate) struct Reranked;

impl Retriever for Reranked {
    fn name(&self) -> &'static str {
        NAME
    }

    fn works_with(&self, means: Means<'_>) -> Result<(), RetrievalError> {
        tokenwise(means.embedder).map(|_| ())
    }

    fn retrieve(&self, sources: Sources<'_>, request: Request<'_>) -> Result<Vec<Scored>, RetrievalError> {
        let encoder = tokenwise(sources.embedder)?;
        let mut candidates = Candidates::find(sources, request)?;
        candidates.complete(sources, request.embedding)?;
        let mut fused = convex(&candidates.lexical, &candidates.dense, DENSE_WEIGHT);
        let tail = fused.split_off(HEAD.min(fused.len()));
        let ids: Vec<ChunkId> = fused.iter().map(|scored| scored.chunk).collect();
        let texts = sources.passages.texts(&ids).map_err(RetrievalError::Passages)?;
        let mut result = rescore(sources, request.query, encoder, fused, &texts)?;
        // The tail keeps its order, below the head.
        let floor = result.last().map_or(0.0, |scored| scored.score);
        let drop = tail.first().map_or(0.0, |scored| (scored.score - floor).max(0.0) + 1e-6);
        result.extend(tail.into_iter().map(|scored| Scored { score: scored.score - drop, ..scored }));
        result.truncate(request.limit);
        Ok(result)
    }
}

fn tokenwise(embedder: &dyn Embedder) -> Result<&dyn TokenEmbedder, RetrievalError> {
    embedder
        .tokenwise()
        .ok_or_else(|| RetrievalError::NotTokenwise { strategy: NAME, model: embedder.model().to_owned() })
}

fn rescore(
    sources: Sources<'_>,
    query: &str,
    encoder: &dyn TokenEmbedder,
    head: Vec<Scored>,
    texts: &[Option<PassageText>],
) -> Result<Vec<Scored>, RetrievalError> {
    let idf: HashMap<String, f32> = words(query)
        .map(|word| {
            let terms = sources.lexical.term_idf(&word)?;
            Ok((word, terms.iter().map(|(_, idf)| *idf).fold(0.0, f32::max)))
        })
        .collect::<Result<_, RetrievalError>>()?;
    let query_words = QueryWords::new(query, |word| idf.get(word).copied().unwrap_or(0.0));
    let joined: Vec<String> = texts
        .iter()
        .map(|text| text.as_ref().map_or_else(String::new, |text| format!("{} {}", text.title, text.text)))
        .collect();
    let mut inputs: Vec<&str> = vec![query];
    inputs.extend(joined.iter().map(String::as_str));
    let embeddings = encoder.embed_tokens(&inputs)?;
    let Some((question, passages)) = embeddings.split_first() else {
        return Ok(head);
    };
    let rescored = head.into_iter().zip(passages).zip(&joined).map(|((mut scored, tokens), text)| {
        let passage_words: Vec<String> = words(text).collect();
        let late = max_similarity(question, tokens);
        let coverage = query_words.coverage(&passage_words);
        let adjacency = query_words.adjacency(&passage_words);
        scored.score +=
            LATE_INTERACTION_WEIGHT * late + COVERAGE_WEIGHT * coverage + ADJACENCY_WEIGHT * adjacency;
        scored.components.extend([
            ("late_interaction", late),
            ("coverage", coverage),
            ("adjacency", adjacency),
        ]);
        scored
    });
    Ok(ranked(rescored.collect()))
}

/// The mean over the question's tokens of the best cosine with any of the passage's, in [-1, 1].
fn max_similarity(question: &TokenEmbeddings, passage: &TokenEmbeddings) -> f32 {
    let tokens = question.rows().len();
    if tokens == 0 || passage.values.is_empty() {
        return 0.0;
    }
    let best = |row: &[f32]| passage.rows().map(|other| dot(row, other)).fold(-1.0, f32::max);
    question.rows().map(best).sum::<f32>() / tokens as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_interaction_averages_the_best_matches() {
        let question = TokenEmbeddings { values: vec![1.0, 0.0, 0.0, 1.0], dimensions: 2 };
        let passage = TokenEmbeddings { values: vec![0.6, 0.8, -1.0, 0.0], dimensions: 2 };
        let nothing = TokenEmbeddings { values: Vec::new(), dimensions: 2 };
        assert!((max_similarity(&question, &passage) - 0.7).abs() < 1e-6);
        assert_eq!(max_similarity(&question, &nothing), 0.0);
        assert_eq!(max_similarity(&nothing, &passage), 0.0);
    }
}
