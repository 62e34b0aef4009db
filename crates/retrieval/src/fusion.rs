//! Fusing two rankings into one.

use std::collections::BTreeMap;

use burnish_types::{ChunkId, Hit};

use crate::Scored;

/// Convex combination of normalised scores: `weight` of the dense score and the rest of the lexical one.
///
/// Both are scaled by their largest value in the list and by their theoretical minimum, 0 for BM25 and -1 for
/// the cosine (Bruch et al. 2023, "An Analysis of Fusion Functions for Hybrid Retrieval", eq. 5, TM2C2). What a
/// list lacks counts as that minimum. The result lies in [0, 1].
pub fn convex(lexical: &[Hit], dense: &[Hit], weight: f32) -> Vec<Scored> {
    let mut parts: BTreeMap<ChunkId, (Option<f32>, Option<f32>)> = BTreeMap::new();
    for hit in lexical {
        parts.entry(hit.chunk).or_default().0 = Some(hit.score);
    }
    for hit in dense {
        parts.entry(hit.chunk).or_default().1 = Some(hit.score);
    }
    let largest_bm25 = largest(lexical, 0.0);
    let largest_cosine = largest(dense, -1.0);
    let fused = parts.into_iter().map(|(chunk, (bm25, cosine))| {
        let words = bm25.map_or(0.0, |score| scale(score, 0.0, largest_bm25));
        let meaning = cosine.map_or(0.0, |score| scale(score, -1.0, largest_cosine));
        Scored {
            chunk,
            score: weight * meaning + (1.0 - weight) * words,
            components: components(&[("bm25", bm25), ("cosine", cosine)]),
        }
    });
    ranked(fused.collect())
}

/// Reciprocal rank fusion: the sum of `1 / (k + rank)` over the lists (Cormack et al. 2009, k = 60).
pub fn reciprocal_rank(lexical: &[Hit], dense: &[Hit], k: f32) -> Vec<Scored> {
    let mut fused: BTreeMap<ChunkId, Scored> = BTreeMap::new();
    for (name, list) in [("bm25", lexical), ("cosine", dense)] {
        for (rank, hit) in list.iter().enumerate() {
            let empty = Scored { chunk: hit.chunk, score: 0.0, components: Vec::new() };
            let scored = fused.entry(hit.chunk).or_insert(empty);
            scored.score += 1.0 / (k + rank as f32 + 1.0);
            scored.components.push((name, hit.score));
        }
    }
    ranked(fused.into_values().collect())
}

/// Best first; equal scores by chunk, so that a ranking never depends on chance.
pub(crate) fn ranked(mut scored: Vec<Scored>) -> Vec<Scored> {
    scored.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.chunk.cmp(&b.chunk)));
    scored
}

fn largest(hits: &[Hit], floor: f32) -> f32 {
    hits.iter().map(|hit| hit.score).fold(floor, f32::max)
}

fn scale(score: f32, smallest: f32, largest: f32) -> f32 {
    let range = largest - smallest;
    if range > 0.0 { ((score - smallest) / range).clamp(0.0, 1.0) } else { 0.0 }
}

fn components(parts: &[(&'static str, Option<f32>)]) -> Vec<(&'static str, f32)> {
    parts.iter().filter_map(|&(name, value)| value.map(|value| (name, value))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hits(scores: &[(u64, f32)]) -> Vec<Hit> {
        scores.iter().map(|&(id, score)| Hit { chunk: ChunkId(id), score }).collect()
    }

    fn order(scored: &[Scored]) -> Vec<u64> {
        scored.iter().map(|scored| scored.chunk.0).collect()
    }

    #[test]
    fn convex_follows_its_formula() {
        let lexical = hits(&[(1, 10.0), (2, 5.0)]);
        let dense = hits(&[(2, 0.8), (3, 0.2)]);
        let fused = convex(&lexical, &dense, 0.5);
        assert_eq!(order(&fused), [2, 1, 3]);
        let expected = [0.5 * 1.0 + 0.5 * 0.5, 0.5, 0.5 * (1.2 / 1.8)];
        for (scored, expected) in fused.iter().zip(expected) {
            assert!((scored.score - expected).abs() < 1e-6, "{scored:?}");
        }
    }

    #[test]
    fn reciprocal_rank_follows_its_formula() {
        let fused = reciprocal_rank(&hits(&[(1, 9.0), (2, 8.0)]), &hits(&[(2, 0.9)]), 60.0);
        assert_eq!(order(&fused), [2, 1]);
        assert!((fused[0].score - (1.0 / 62.0 + 1.0 / 61.0)).abs() < 1e-7);
    }

    prop_compose! {
        fn list(largest: f32)(scores in prop::collection::btree_map(0u64..40, 0.0f32..1.0, 0..30)) -> Vec<Hit> {
            let mut hits: Vec<Hit> =
                scores.into_iter().map(|(id, score)| Hit { chunk: ChunkId(id), score: score * largest }).collect();
            hits.sort_by(|a, b| b.score.total_cmp(&a.score));
            hits
        }
    }

    proptest! {
        #[test]
        fn fusions_keep_everything_once_and_in_order(lexical in list(30.0), dense in list(1.0), weight in 0.0f32..=1.0) {
            for fused in [convex(&lexical, &dense, weight), reciprocal_rank(&lexical, &dense, 60.0)] {
                let mut found = order(&fused);
                prop_assert!(fused.windows(2).all(|pair| pair[0].score >= pair[1].score));
                prop_assert!(fused.iter().all(|scored| (0.0..=1.0).contains(&scored.score)));
                found.sort_unstable();
                let mut expected: Vec<u64> = lexical.iter().chain(&dense).map(|hit| hit.chunk.0).collect();
                expected.sort_unstable();
                expected.dedup();
                prop_assert_eq!(found, expected);
            }
        }

        #[test]
        fn all_weight_on_one_side_is_that_side(lexical in list(30.0)) {
            let positive: Vec<Hit> = lexical.into_iter().filter(|hit| hit.score > 0.0).collect();
            let fused = convex(&positive, &[], 0.0);
            prop_assert_eq!(fused.len(), positive.len());
            let same = |(scored, hit): (&Scored, &Hit)| (scored.score - hit.score / positive[0].score).abs() < 1e-6;
            prop_assert!(fused.iter().zip(&positive).all(same));
        }
    }
}
