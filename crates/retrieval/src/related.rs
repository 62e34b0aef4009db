//! Passages like given ones: the given are grouped where they differ, each group finds its neighbours by words and
//! vectors, and the best of them are chosen so that they repeat neither the given nor one another.

mod groups;
mod selection;
mod words;

use std::collections::BTreeSet;

use burnish_types::{ChunkId, Embedding, Filter, dot};

use crate::candidates::Candidates;
use crate::fusion::convex;
use crate::hybrid::DENSE_WEIGHT;
use crate::lift::lift;
use crate::{Request, RetrievalError, Scored, Sources};

pub use groups::{Group, groups};
pub use selection::{Candidate, Neighbours, Picked, Quota, select};
pub use words::{Fingerprint, telling_words};

/// A list is this deep before anything is left out of it.
const DEPTH: usize = 50;
/// So many words stand for a passage in the lexical index (`docs/measurements.md`).
const TELLING_WORDS: usize = 25;

/// A passage that others are to be like.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    /// The passage.
    pub chunk: ChunkId,
    /// How much it counts beside the others, above 0.
    pub weight: f32,
    /// Its embedding, of unit length.
    pub embedding: Embedding,
    /// What it is found by: its headings and its text.
    pub text: String,
}

/// What limits the neighbours of a group.
#[derive(Clone, Copy)]
pub struct Bounds<'a> {
    /// Which chunks may be found.
    pub filter: &'a Filter,
    /// Which may not, whatever the filter says.
    pub excluded: &'a BTreeSet<ChunkId>,
    /// How many are wanted in the end.
    pub limit: usize,
    /// What the last of a list is worth before `lifts` are added; the best is worth 1.
    pub floor: f32,
}

/// The passages nearest to `text` and `embedding`, best first: `hybrid` with the words that tell most about the text,
/// scaled from `bounds.floor` to 1, then moved by `lifts`. At most 50, or thrice `bounds.limit` where that is more.
///
/// # Errors
/// If an index fails.
pub fn neighbours(
    sources: Sources<'_>,
    text: &str,
    embedding: &[f32],
    bounds: Bounds<'_>,
    lifts: &[(ChunkId, f32)],
) -> Result<Vec<Scored>, RetrievalError> {
    let Bounds { filter, excluded, limit, floor } = bounds;
    let query = telling_words(sources.lexical, text, TELLING_WORDS)?;
    let wanted = DEPTH.max(3 * limit);
    // What is left out lies near, so the lists are as much deeper.
    let limit = wanted + excluded.len();
    let request =
        Request { query: &query, conversation: &[], embedding, lists: None, complexity: 0.0, filter, limit };
    let mut candidates = Candidates::find(sources, request)?;
    candidates.lexical.retain(|hit| !excluded.contains(&hit.chunk));
    candidates.dense.retain(|hit| !excluded.contains(&hit.chunk));
    candidates.complete(sources, embedding)?;
    let mut fused = convex(&candidates.lexical, &candidates.dense, DENSE_WEIGHT);
    fused.truncate(wanted);
    let lifts: Vec<_> = lifts.iter().copied().filter(|(chunk, _)| !excluded.contains(chunk)).collect();
    Ok(lift(scaled(fused, floor), &lifts, floor))
}

/// The place in `given` of the passage that is nearest to `embedding`, and its cosine.
pub fn nearest(given: &[Given], embedding: &[f32]) -> Option<(usize, f32)> {
    let likeness = given.iter().map(|given| dot(&given.embedding, embedding)).enumerate();
    likeness.max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))
}

/// The best gets 1, the last `floor`.
fn scaled(mut ranking: Vec<Scored>, floor: f32) -> Vec<Scored> {
    let best = ranking.first().map_or(0.0, |scored| scored.score);
    let range = best - ranking.last().map_or(0.0, |scored| scored.score);
    for scored in &mut ranking {
        let below = if range > 0.0 { (best - scored.score) / range } else { 0.0 };
        scored.score = 1.0 - (1.0 - floor) * below;
    }
    ranking
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_scaled_from_one_to_the_floor() {
        let list = |scores: &[f32]| -> Vec<Scored> {
            let scored = |(place, score): (usize, &f32)| Scored {
                chunk: ChunkId(place as u64),
                score: *score,
                components: Vec::new(),
            };
            scores.iter().enumerate().map(scored).collect()
        };
        let cases: [(&[f32], &[f32]); 4] =
            [(&[], &[]), (&[0.2], &[1.0]), (&[0.4, 0.4], &[1.0, 1.0]), (&[0.9, 0.6, 0.3], &[1.0, 0.85, 0.7])];
        for (scores, expected) in cases {
            let found: Vec<f32> = scaled(list(scores), 0.7).iter().map(|scored| scored.score).collect();
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{scores:?}: {found:?}");
        }
    }

    #[test]
    fn the_nearest_is_the_first_of_the_most_like() {
        let given = |embedding: [f32; 2]| Given {
            chunk: ChunkId(0),
            weight: 1.0,
            embedding: embedding.to_vec(),
            text: String::new(),
        };
        let all = [given([0.0, 1.0]), given([1.0, 0.0]), given([1.0, 0.0])];
        assert_eq!(nearest(&all, &[0.8, 0.6]), Some((1, 0.8)));
        assert_eq!(nearest(&[], &[0.8, 0.6]), None);
    }
}
