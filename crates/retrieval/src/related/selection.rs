//! Choosing among the neighbours of several groups: each group has its share, nothing is said twice, and no document
//! takes more than its part.

use std::collections::BTreeMap;

use burnish_types::{ChunkId, DocumentId};

use super::Fingerprint;
use crate::Scored;

/// How much a passage loses for being like one that was chosen before, for each unit of their cosine, on a scale where
/// the best passage of a list has 1 and the last 0.7. From 0 to 0.2 little changes on SciFact (`docs/measurements.md`).
const REPETITION_WEIGHT: f32 = 0.05;

/// A passage that may be chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// With its score in its group's list.
    pub scored: Scored,
    /// Its document.
    pub document: DocumentId,
    /// What it says.
    pub fingerprint: Fingerprint,
}

/// What is near to one group.
#[derive(Clone, Debug, PartialEq)]
pub struct Neighbours {
    /// The group's weight, above 0.
    pub weight: f32,
    /// Best first.
    pub candidates: Vec<Candidate>,
}

/// How many passages one document may have in the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quota {
    /// At most so many as long as other documents have anything to give.
    Preferred(usize),
    /// At most so many.
    Strict(usize),
}

/// A passage that was chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Picked {
    /// Its score less what it repeats of those before it.
    pub scored: Scored,
    /// The place of the group that it was chosen for.
    pub group: usize,
    /// What it says.
    pub fingerprint: Fingerprint,
}

/// At most `limit` of the groups' neighbours, without those that repeat one of `given`.
///
/// The places are given to the groups in proportion to their weights, by the method of Sainte-Laguë (Dang & Croft 2012,
/// "Diversity by Proportionality", PM-1). A group fills its place with the passage of the greatest marginal relevance
/// (Carbonell & Goldstein 1998, "The Use of MMR", eq. 1, up to the scale). The score of what was chosen is that
/// relevance, so scores fall within a group, and not always from one place to the next.
pub fn select(lists: Vec<Neighbours>, given: &[Fingerprint], limit: usize, quota: Quota) -> Vec<Picked> {
    let mut choice = Choice::new(lists, given);
    let (most, strict) = match quota {
        Quota::Preferred(most) => (most, false),
        Quota::Strict(most) => (most, true),
    };
    choice.fill(limit, most);
    if !strict {
        choice.fill(limit, usize::MAX);
    }
    choice.picked
}

/// A choice that is under way.
struct Choice {
    groups: Vec<Open>,
    picked: Vec<Picked>,
    by_document: BTreeMap<DocumentId, usize>,
}

/// A group with what it can still give.
struct Open {
    weight: f32,
    given: usize,
    left: Vec<Contender>,
}

struct Contender {
    candidate: Candidate,
    /// The largest cosine with anything chosen so far, not below 0.
    repetition: f32,
}

impl Contender {
    fn marginal(&self) -> f32 {
        self.candidate.scored.score - REPETITION_WEIGHT * self.repetition
    }
}

impl Choice {
    fn new(lists: Vec<Neighbours>, given: &[Fingerprint]) -> Self {
        let repeats = |candidate: &Candidate| given.iter().any(|given| given.repeats(&candidate.fingerprint));
        let open = |list: Neighbours| Open {
            weight: list.weight,
            given: 0,
            left: list
                .candidates
                .into_iter()
                .filter(|candidate| !repeats(candidate))
                .map(|candidate| Contender { candidate, repetition: 0.0 })
                .collect(),
        };
        Self {
            groups: lists.into_iter().map(open).collect(),
            picked: Vec::new(),
            by_document: BTreeMap::new(),
        }
    }

    /// Chooses until there are `limit`, or nothing is left whose document has fewer than `most`.
    fn fill(&mut self, limit: usize, most: usize) {
        while self.picked.len() < limit {
            let next = (0..self.groups.len()).filter_map(|group| Some((group, self.best(group, most)?)));
            let claim = |group: usize| self.groups[group].weight / (2 * self.groups[group].given + 1) as f32;
            let next = next.max_by(|a, b| claim(a.0).total_cmp(&claim(b.0)).then(b.0.cmp(&a.0)));
            let Some((group, place)) = next else { return };
            self.take(group, place);
        }
    }

    /// The place of the group's passage of the greatest marginal relevance, the first of equals.
    fn best(&self, group: usize, most: usize) -> Option<usize> {
        let allowed = self.groups[group].left.iter().enumerate().filter(|(_, contender)| {
            self.by_document.get(&contender.candidate.document).copied().unwrap_or(0) < most
        });
        let best = allowed.max_by(|a, b| a.1.marginal().total_cmp(&b.1.marginal()).then(b.0.cmp(&a.0)));
        best.map(|(place, _)| place)
    }

    fn take(&mut self, group: usize, place: usize) {
        self.groups[group].given += 1;
        let taken = self.groups[group].left.remove(place);
        let (score, repetition) = (taken.marginal(), taken.repetition);
        let Candidate { mut scored, document, fingerprint } = taken.candidate;
        scored.score = score;
        if repetition > 0.0 {
            scored.components.push(("repetition", -REPETITION_WEIGHT * repetition));
        }
        *self.by_document.entry(document).or_default() += 1;
        let chunk: ChunkId = scored.chunk;
        for open in &mut self.groups {
            open.left.retain_mut(|contender| {
                let other = &contender.candidate.fingerprint;
                contender.repetition = contender.repetition.max(fingerprint.likeness(other));
                contender.candidate.scored.chunk != chunk && !fingerprint.repeats(other)
            });
        }
        self.picked.push(Picked { scored, group, fingerprint });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Chunk, document, score and the angle of the embedding in degrees.
    type Plain = (u64, u64, f32, f32);

    fn list(weight: f32, plain: &[Plain]) -> Neighbours {
        let candidate = |&(chunk, document, score, degrees): &Plain| {
            let (sine, cosine) = degrees.to_radians().sin_cos();
            Candidate {
                scored: Scored { chunk: ChunkId(chunk), score, components: Vec::new() },
                document: DocumentId(document),
                fingerprint: Fingerprint::new(&format!("passage {degrees}"), &[cosine, sine]),
            }
        };
        Neighbours { weight, candidates: plain.iter().map(candidate).collect() }
    }

    fn chosen(lists: Vec<Neighbours>, limit: usize, quota: Quota) -> Vec<u64> {
        select(lists, &[], limit, quota).iter().map(|picked| picked.scored.chunk.0).collect()
    }

    #[test]
    fn documents_keep_to_their_part_and_repetitions_fall() {
        let same_document: &[Plain] =
            &[(1, 1, 1.0, 0.0), (2, 1, 0.99, 90.0), (3, 1, 0.98, 180.0), (4, 2, 0.8, 270.0)];
        let alike: &[Plain] = &[(1, 1, 1.0, 0.0), (2, 2, 0.99, 20.0), (3, 3, 0.98, 90.0)];
        let cases: [(&[Plain], usize, Quota, &[u64]); 6] = [
            (same_document, 4, Quota::Preferred(2), &[1, 2, 4, 3]),
            (same_document, 4, Quota::Strict(2), &[1, 2, 4]),
            (same_document, 2, Quota::Strict(1), &[1, 4]),
            (alike, 3, Quota::Strict(1), &[1, 3, 2]),
            (alike, 0, Quota::Strict(1), &[]),
            (&[], 3, Quota::Preferred(1), &[]),
        ];
        for (plain, limit, quota, expected) in cases {
            assert_eq!(chosen(vec![list(1.0, plain)], limit, quota), expected, "{quota:?} of {plain:?}");
        }
    }

    #[test]
    fn groups_have_places_in_proportion() {
        let heavy: Vec<Plain> = (0..9).map(|n| (n, n, 1.0 - n as f32 / 100.0, 0.0 + n as f32)).collect();
        let light: Vec<Plain> = (20..29).map(|n| (n, n, 1.0, 90.0 + n as f32)).collect();
        let found = select(vec![list(2.0, &heavy), list(1.0, &light)], &[], 6, Quota::Strict(1));
        let groups: Vec<usize> = found.iter().map(|picked| picked.group).collect();
        assert_eq!(groups.iter().filter(|group| **group == 0).count(), 4, "{groups:?}");
        assert_eq!(groups[0], 0);
    }

    #[test]
    fn what_is_given_or_chosen_is_not_said_again() {
        let plain: &[Plain] = &[(1, 1, 1.0, 0.0), (2, 2, 0.9, 0.0), (3, 3, 0.8, 90.0), (4, 4, 0.7, 180.0)];
        assert_eq!(chosen(vec![list(1.0, plain)], 4, Quota::Strict(1)), [1, 3, 4], "2 repeats 1");
        let given = [Fingerprint::new("Passage 90", &[0.0, 1.0])];
        let found = select(vec![list(1.0, plain)], &given, 4, Quota::Strict(1));
        assert_eq!(found.iter().map(|picked| picked.scored.chunk.0).collect::<Vec<_>>(), [1, 4]);
    }

    proptest! {
        #[test]
        fn nothing_is_chosen_twice(
            one in prop::collection::vec((0u64..30, 0u64..8, 0.5f32..1.0, 0.0f32..360.0), 0..20),
            two in prop::collection::vec((0u64..30, 0u64..8, 0.5f32..1.0, 0.0f32..360.0), 0..20),
            limit in 0usize..20,
            most in 1usize..4,
        ) {
            let lists = vec![list(1.0, &one), list(0.3, &two)];
            let found = select(lists.clone(), &[], limit, Quota::Strict(most));
            let mut chunks: Vec<u64> = found.iter().map(|picked| picked.scored.chunk.0).collect();
            chunks.sort_unstable();
            chunks.dedup();
            prop_assert_eq!(chunks.len(), found.len());
            prop_assert!(found.len() <= limit);
            for group in 0..2 {
                let scores: Vec<f32> =
                    found.iter().filter(|picked| picked.group == group).map(|picked| picked.scored.score).collect();
                prop_assert!(scores.windows(2).all(|pair| pair[0] >= pair[1] - 1e-6), "{scores:?}");
            }
            let more = select(lists, &[], limit, Quota::Preferred(most));
            prop_assert!(more.len() >= found.len());
            prop_assert_eq!(&more[..found.len()], &found[..]);
        }
    }
}
