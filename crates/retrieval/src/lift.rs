//! Moving passages of a ranking up and down by what feedback says of them.

use std::collections::BTreeMap;

use burnish_types::ChunkId;

use crate::Scored;
use crate::fusion::ranked;

/// The component that says how far feedback moved a passage.
pub const LIFT_COMPONENT: &str = "feedback";

/// Orders `ranking` anew after adding `lifts` to it. Lifts are on a scale on which the ranking's best passage has 1
/// and its last one `floor`, whatever the unit of its scores, so they mean the same for every strategy. A lifted
/// passage that the ranking lacks comes in at the floor; one that is pushed down stays in the list.
///
/// Without lifts the ranking stays as it is, scores and all.
pub fn lift(ranking: Vec<Scored>, lifts: &[(ChunkId, f32)], floor: f32) -> Vec<Scored> {
    if lifts.is_empty() {
        return ranking;
    }
    let mut lifts: BTreeMap<ChunkId, f32> = lifts.iter().copied().collect();
    let best = ranking.first().map_or(0.0, |scored| scored.score);
    let last = ranking.last().map_or(0.0, |scored| scored.score);
    let range = best - last;
    let scaled = |score: f32| if range > 0.0 { (score - last) / range } else { 1.0 };
    let mut moved: Vec<Scored> = ranking
        .into_iter()
        .map(|mut scored| {
            scored.score = floor + (1.0 - floor) * scaled(scored.score);
            if let Some(by) = lifts.remove(&scored.chunk) {
                scored.score += by;
                scored.components.push((LIFT_COMPONENT, by));
            }
            scored
        })
        .collect();
    moved.extend(lifts.into_iter().filter(|(_, by)| *by > 0.0).map(|(chunk, by)| Scored {
        chunk,
        score: floor + by,
        components: vec![(LIFT_COMPONENT, by)],
    }));
    ranked(moved)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ranking(scores: &[f32]) -> Vec<Scored> {
        let scored = |(place, score): (usize, &f32)| Scored {
            chunk: ChunkId(place as u64),
            score: *score,
            components: Vec::new(),
        };
        scores.iter().enumerate().map(scored).collect()
    }

    fn order(scored: &[Scored]) -> Vec<u64> {
        scored.iter().map(|scored| scored.chunk.0).collect()
    }

    #[test]
    fn lifts_mean_the_same_in_every_unit() {
        for unit in [0.001, 1.0, 40.0] {
            let ranking = ranking(&[10.0 * unit, 8.0 * unit, 6.0 * unit]);
            type Case<'a> = (&'a [(u64, f32)], &'a [u64]);
            let cases: &[Case<'_>] = &[
                (&[], &[0, 1, 2]),
                (&[(1, 0.1)], &[0, 1, 2]),
                (&[(1, 0.2)], &[1, 0, 2]),
                (&[(9, 0.1)], &[0, 1, 9, 2]),
                (&[(9, 0.4)], &[9, 0, 1, 2]),
                (&[(0, -0.5), (9, -0.5)], &[1, 2, 0]),
            ];
            for (lifts, expected) in cases {
                let lifts: Vec<_> = lifts.iter().map(|(chunk, by)| (ChunkId(*chunk), *by)).collect();
                assert_eq!(order(&lift(ranking.clone(), &lifts, 0.7)), *expected, "{lifts:?} in {unit}");
            }
        }
        assert_eq!(order(&lift(Vec::new(), &[(ChunkId(4), 0.1)], 0.7)), [4]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_doubled(
            mut scores in prop::collection::vec(0.0f32..30.0, 0..40),
            lifts in prop::collection::btree_map(0u64..60, 0.01f32..0.6, 0..10),
        ) {
            scores.sort_by(|a, b| b.total_cmp(a));
            let lifts: Vec<_> = lifts.into_iter().map(|(chunk, by)| (ChunkId(chunk), by)).collect();
            let moved = lift(ranking(&scores), &lifts, 0.7);
            let mut found = order(&moved);
            prop_assert!(moved.windows(2).all(|pair| pair[0].score >= pair[1].score));
            found.sort_unstable();
            let mut expected: Vec<u64> =
                (0..scores.len() as u64).chain(lifts.iter().map(|(chunk, _)| chunk.0)).collect();
            expected.sort_unstable();
            expected.dedup();
            prop_assert_eq!(found, expected);
        }
    }
}
