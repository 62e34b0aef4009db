//! `expanded`: `hybrid`, once more, with the question moved towards what it found first.
//!
//! Words: RM3, the relevance model of Lavrenko & Croft 2001 ("Relevance-Based Language Models", method 1) mixed
//! with the question as by Abdul-Jaleel et al. 2004, its terms weighted by their idf as well, since BM25 here
//! has no background model that would weigh common words down. Vectors: Rocchio's mean of the question and the
//! best passages (Li et al. 2022, "Pseudo Relevance Feedback with Deep Language Models", vector-based).

use std::collections::BTreeMap;

use burnish_types::{ChunkId, Embedding, Hit};

use crate::candidates::Candidates;
use crate::fusion::convex;
use crate::hybrid::{DENSE_WEIGHT, blend, fused};
use crate::{Request, RetrievalError, Retriever, Scored, Sources};

/// Chosen on SciFact's train split (`docs/measurements.md`).
const FEEDBACK_PASSAGES: usize = 10;
const FEEDBACK_TERMS: usize = 20;
/// The question's share of the words' weight, in [0, 1].
const QUESTION_SHARE: f32 = 0.95;
const FEEDBACK_EMBEDDINGS: usize = 2;
/// The weight of the best passages' mean beside the question's embedding, whose weight is 1.
const FEEDBACK_EMBEDDING_WEIGHT: f32 = 0.4;
/// A word's weight is how often it is said: feedback terms are said about so often in all, and the question often
/// enough to keep its share.
const FEEDBACK_WORDS: f32 = 40.0;
/// Long questions are repeated less, and need expansion less.
const LONGEST_QUERY_CHARACTERS: usize = 20_000;

pub(crate) struct Expanded;

impl Retriever for Expanded {
    fn name(&self) -> &'static str {
        "expanded"
    }

    fn retrieve(&self, sources: Sources<'_>, request: Request<'_>) -> Result<Vec<Scored>, RetrievalError> {
        let mut candidates = Candidates::find(sources, request)?;
        let query = expanded_words(sources, request.query, &candidates.lexical)?;
        candidates.complete(sources, request.embedding)?;
        let first = convex(&candidates.lexical, &candidates.dense, DENSE_WEIGHT);
        let embedding = moved(sources, request.embedding, &first)?;
        fused(sources, request, &query, &embedding)
    }
}

/// The question's embedding, moved towards the best passages'.
fn moved(sources: Sources<'_>, question: &[f32], first: &[Scored]) -> Result<Embedding, RetrievalError> {
    let best: Vec<ChunkId> = first.iter().take(FEEDBACK_EMBEDDINGS).map(|scored| scored.chunk).collect();
    let found: Vec<Embedding> = sources.vectors.embeddings(&best)?.into_iter().flatten().collect();
    let weight = FEEDBACK_EMBEDDING_WEIGHT / found.len().max(1) as f32;
    let feedback = found.iter().map(|vector| (&vector[..], weight));
    Ok(blend(std::iter::once((question, 1.0)).chain(feedback), question))
}

/// The question said many times, and the feedback terms after it as often as their weight asks for.
fn expanded_words(sources: Sources<'_>, question: &str, lexical: &[Hit]) -> Result<String, RetrievalError> {
    let asked = sources.lexical.term_idf(question)?.len();
    let best = &lexical[..FEEDBACK_PASSAGES.min(lexical.len())];
    let terms = feedback_terms(sources, best)?;
    Ok(mixed(question, asked, &terms))
}

/// The terms that say most about the best passages, with weights that add up to 1.
fn feedback_terms(sources: Sources<'_>, best: &[Hit]) -> Result<Vec<(String, f32)>, RetrievalError> {
    let ids: Vec<ChunkId> = best.iter().map(|hit| hit.chunk).collect();
    let texts = sources.passages.texts(&ids).map_err(RetrievalError::Passages)?;
    let total: f32 = best.iter().map(|hit| hit.score).sum();
    let mut model: BTreeMap<String, f32> = BTreeMap::new();
    for (hit, text) in best.iter().zip(texts) {
        let Some(passage) = text.filter(|_| total > 0.0) else { continue };
        let terms = sources.lexical.term_idf(&format!("{} {}", passage.title, passage.text))?;
        let share = hit.score / total / terms.len().max(1) as f32;
        for (term, idf) in terms {
            *model.entry(term).or_default() += share * idf;
        }
    }
    let mut terms: Vec<(String, f32)> = model.into_iter().collect();
    terms.sort_by(|a, b| b.1.total_cmp(&a.1));
    terms.truncate(FEEDBACK_TERMS);
    let mut kept = Vec::with_capacity(terms.len());
    for (term, weight) in terms {
        // A stem that is stemmed once more is another term now and then.
        if matches!(sources.lexical.term_idf(&term)?.as_slice(), [(again, _)] if *again == term) {
            kept.push((term, weight));
        }
    }
    let sum: f32 = kept.iter().map(|(_, weight)| weight).sum();
    kept.iter_mut().for_each(|(_, weight)| *weight /= sum.max(f32::MIN_POSITIVE));
    Ok(kept)
}

/// `asked` is how many terms the question has.
fn mixed(question: &str, asked: usize, terms: &[(String, f32)]) -> String {
    let ratio = (1.0 - QUESTION_SHARE) / QUESTION_SHARE * asked.max(1) as f32;
    let wanted = (FEEDBACK_WORDS / ratio).ceil() as usize;
    let repetitions = wanted.min(LONGEST_QUERY_CHARACTERS / question.len().max(1)).max(1);
    let mut query = vec![question; repetitions].join(" ");
    let once = ratio * repetitions as f32;
    for (term, weight) in terms {
        for _ in 0..(once * weight).round() as usize {
            query.push(' ');
            query.push_str(term);
        }
    }
    query
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_said_as_often_as_they_weigh() {
        let terms = [("much".to_owned(), 0.8), ("little".to_owned(), 0.2), ("nothing".to_owned(), 0.0)];
        let query = mixed("ten terms", 10, &terms);
        let count = |wanted: &str| query.split(' ').filter(|word| *word == wanted).count();
        // 76 · (0.05 / 0.95) · 10 = 40 words of feedback.
        let counts = ["ten", "much", "little", "nothing"].map(count);
        assert!((76..=77).contains(&counts[0]), "{counts:?}");
        assert_eq!(counts[1..], [32, 8, 0]);
    }

    #[test]
    fn long_questions_stay_bounded() {
        let question = "word ".repeat(3_000);
        let query = mixed(&question, 3_000, &[("term".to_owned(), 1.0)]);
        assert!(query.len() < 2 * LONGEST_QUERY_CHARACTERS, "{}", query.len());
        assert_eq!(mixed("", 0, &[]).trim(), "");
    }
}
