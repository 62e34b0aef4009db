//! Which questions are answered together, and over which passages: so that what several of them rest on is sent once.

use std::collections::{BTreeMap, BTreeSet};

use burnish_types::{ChunkId, Embedding, dot};

/// What grouping sees of a question.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// The passages that it would be answered from alone, best first, with their tokens.
    pub(crate) passages: Vec<(ChunkId, usize)>,
    /// Its embedding; empty where none was made.
    pub(crate) embedding: Embedding,
}

/// Bounds of a group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bounds {
    /// The most questions of a group.
    pub(crate) size: usize,
    /// The most tokens of shared passages, as a share in (0, 1] of what its questions would take alone.
    pub(crate) kept: f64,
}

/// Questions that are answered together.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Group {
    /// Their places, in ascending order.
    pub(crate) members: Vec<usize>,
    /// The passages that are sent, in an order that depends on nothing but which they are: equal sets make equal
    /// prompts, which providers cache.
    pub(crate) passages: Vec<ChunkId>,
}

/// Puts every question into exactly one group: first those whose passages overlap, the most shared tokens first, then
/// what is left over beside the questions that are most like it.
pub(crate) fn groups(asked: &[Asked], bounds: Bounds) -> Vec<Group> {
    let mut parts = Parts::alone(asked.len());
    for (left, right) in by_overlap(asked).into_iter().chain(by_likeness(asked, bounds.size)) {
        parts.join(left, right, bounds.size);
    }
    let group = |members: Vec<usize>| Group { passages: shared(asked, &members, bounds.kept), members };
    parts.into_sets().into_iter().map(group).collect()
}

/// A partition that only ever gets coarser.
struct Parts {
    part_of: Vec<usize>,
    members: Vec<Vec<usize>>,
}

impl Parts {
    fn alone(count: usize) -> Self {
        Self { part_of: (0..count).collect(), members: (0..count).map(|place| vec![place]).collect() }
    }

    /// Joins the parts of two questions, unless that would be too large.
    fn join(&mut self, left: usize, right: usize, size: usize) {
        let (into, from) = (self.part_of[left], self.part_of[right]);
        if into == from || self.members[into].len() + self.members[from].len() > size {
            return;
        }
        let moved = std::mem::take(&mut self.members[from]);
        moved.iter().for_each(|place| self.part_of[*place] = into);
        self.members[into].extend(moved);
    }

    fn into_sets(self) -> Vec<Vec<usize>> {
        let sets = self.members.into_iter().filter(|members| !members.is_empty());
        let mut sets: Vec<Vec<usize>> = sets
            .map(|mut members| {
                members.sort_unstable();
                members
            })
            .collect();
        sets.sort_unstable();
        sets
    }
}

/// Pairs that share passages, those that share most tokens first.
fn by_overlap(asked: &[Asked]) -> Vec<(usize, usize)> {
    let mut askers: BTreeMap<ChunkId, (usize, Vec<usize>)> = BTreeMap::new();
    for (place, one) in asked.iter().enumerate() {
        for (chunk, tokens) in &one.passages {
            let (known, places) = askers.entry(*chunk).or_default();
            *known = *tokens;
            places.push(place);
        }
    }
    let mut shared: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    for (tokens, places) in askers.values() {
        for (at, left) in places.iter().enumerate() {
            for right in &places[at + 1..] {
                *shared.entry((*left, *right)).or_default() += tokens;
            }
        }
    }
    let mut pairs: Vec<((usize, usize), usize)> =
        shared.into_iter().filter(|(_, tokens)| *tokens > 0).collect();
    pairs.sort_by(|left, right| right.1.cmp(&left.1).then(left.0.cmp(&right.0)));
    pairs.into_iter().map(|(pair, _)| pair).collect()
}

/// Each question with the `most` that are most like it, the most alike first.
fn by_likeness(asked: &[Asked], most: usize) -> Vec<(usize, usize)> {
    let mut pairs: Vec<(f32, usize, usize)> = Vec::new();
    for (left, one) in asked.iter().enumerate() {
        let others = asked.iter().enumerate().filter(|(right, other)| {
            *right != left && !one.embedding.is_empty() && one.embedding.len() == other.embedding.len()
        });
        let mut near: Vec<(f32, usize, usize)> = others
            .map(|(right, other)| (dot(&one.embedding, &other.embedding), left.min(right), left.max(right)))
            .collect();
        near.sort_by(nearer);
        near.truncate(most);
        pairs.extend(near);
    }
    pairs.sort_by(nearer);
    pairs.dedup_by_key(|(_, left, right)| (*left, *right));
    pairs.into_iter().map(|(_, left, right)| (left, right)).collect()
}

fn nearer(left: &(f32, usize, usize), right: &(f32, usize, usize)) -> std::cmp::Ordering {
    right.0.total_cmp(&left.0).then((left.1, left.2).cmp(&(right.1, right.2)))
}

/// The passages that serve the members best for their tokens. Each member's first one is always there; the others
/// follow by what they gain, `1 / log2(rank + 1)` for every member that found them (the discount of nDCG), as long as the
/// tokens last.
fn shared(asked: &[Asked], members: &[usize], kept: f64) -> Vec<ChunkId> {
    let mut gains: BTreeMap<ChunkId, (f64, usize)> = BTreeMap::new();
    let mut chosen: BTreeSet<ChunkId> = BTreeSet::new();
    let mut alone = 0;
    for member in members {
        for (rank, (chunk, tokens)) in asked[*member].passages.iter().enumerate() {
            let (gain, known) = gains.entry(*chunk).or_default();
            *gain += 1.0 / ((rank + 2) as f64).log2();
            *known = *tokens;
            alone += tokens;
            if rank == 0 {
                chosen.insert(*chunk);
            }
        }
    }
    // A single question keeps all that it would have had.
    let kept = if members.len() > 1 { kept } else { 1.0 };
    let spent: usize = chosen.iter().filter_map(|chunk| gains.get(chunk)).map(|(_, tokens)| tokens).sum();
    let mut left = ((alone as f64 * kept) as usize).saturating_sub(spent);
    let mut others: Vec<(ChunkId, f64, usize)> = gains
        .into_iter()
        .filter(|(chunk, _)| !chosen.contains(chunk))
        .map(|(chunk, (gain, tokens))| (chunk, gain / tokens.max(1) as f64, tokens))
        .collect();
    others.sort_by(|left, right| right.1.total_cmp(&left.1).then(left.0.cmp(&right.0)));
    for (chunk, _, tokens) in others {
        if tokens <= left {
            left -= tokens;
            chosen.insert(chunk);
        }
    }
    // Chunks of one document have neighbouring ids, so they stand together and in reading order.
    chosen.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn asked(passages: &[u64], embedding: &[f32]) -> Asked {
        Asked {
            passages: passages.iter().map(|id| (ChunkId(*id), 100)).collect(),
            embedding: embedding.to_vec(),
        }
    }

    fn members(asked: &[Asked], size: usize) -> Vec<Vec<usize>> {
        groups(asked, Bounds { size, kept: 0.5 }).into_iter().map(|group| group.members).collect()
    }

    #[test]
    fn what_rests_on_the_same_passages_is_answered_together() {
        type Case<'a> = (&'a [Asked], usize, &'a [&'a [usize]]);
        let (here, there) = ([1.0, 0.0], [0.0, 1.0]);
        let cases: [Case<'_>; 5] = [
            (&[], 8, &[]),
            (&[asked(&[1, 2], &[])], 8, &[&[0]]),
            // 0 and 2 overlap; 1 has neither passages nor an embedding in common with anything.
            (&[asked(&[1, 2, 3], &[]), asked(&[7], &[]), asked(&[2, 3, 4], &[])], 8, &[&[0, 2], &[1]]),
            // No overlap: likeness decides who fits into two places.
            (
                &[asked(&[1], &here), asked(&[2], &there), asked(&[3], &there), asked(&[4], &here)],
                2,
                &[&[0, 3], &[1, 2]],
            ),
            // The larger overlap goes first where not all fit.
            (&[asked(&[1, 2, 3], &[]), asked(&[3, 9], &[]), asked(&[1, 2, 8], &[])], 2, &[&[0, 2], &[1]]),
        ];
        for (asked, size, expected) in cases {
            assert_eq!(members(asked, size), expected, "{asked:?}");
        }
    }

    #[test]
    fn shared_passages_serve_every_member_within_the_bound() {
        let two = [asked(&[1, 2, 3, 4], &[]), asked(&[4, 5, 6, 7], &[])];
        let chosen = |kept| {
            let found = groups(&two, Bounds { size: 8, kept });
            found[0].passages.iter().map(|chunk| chunk.0).collect::<Vec<_>>()
        };
        // Both first ones come before anything, then 2 and 5 which are second for one member each.
        assert_eq!(chosen(0.5), [1, 2, 4, 5]);
        assert_eq!(chosen(1.0), [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(chosen(0.01), [1, 4]);
    }

    proptest! {
        #[test]
        fn groups_are_a_partition_within_their_bounds(
            lists in vec(vec(0u64..30, 0..6), 0..20), size in 1usize..9, kept in 0.05f64..1.0,
        ) {
            let asked: Vec<Asked> = lists
                .iter()
                .map(|list| {
                    let distinct: BTreeSet<u64> = list.iter().copied().collect();
                    asked(&distinct.into_iter().collect::<Vec<_>>(), &[1.0, list.len() as f32])
                })
                .collect();
            let found = groups(&asked, Bounds { size, kept });
            let mut places: Vec<usize> = found.iter().flat_map(|group| group.members.clone()).collect();
            places.sort_unstable();
            prop_assert_eq!(places, (0..asked.len()).collect::<Vec<_>>());
            for group in &found {
                prop_assert!(group.members.len() <= size);
                let firsts: BTreeSet<ChunkId> = group.members.iter()
                    .filter_map(|member| Some(asked[*member].passages.first()?.0)).collect();
                prop_assert!(firsts.iter().all(|first| group.passages.contains(first)));
                let alone: usize = group.members.iter().map(|member| 100 * asked[*member].passages.len()).sum();
                let bound = if group.members.len() > 1 { (alone as f64 * kept) as usize } else { alone };
                prop_assert!(100 * group.passages.len() <= bound.max(100 * firsts.len()));
            }
        }
    }
}
