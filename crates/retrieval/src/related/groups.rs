//! What given passages are about: one group where they are alike, a few where they differ.

use burnish_types::{Embedding, dot};

use super::Given;
use crate::hybrid::blend;

/// Another group must bring the passages nearer to their medoids by this much of the cosine, in the weighted mean.
const SMALLEST_GAIN: f32 = 0.1;

/// Passages of one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// The places of its passages among those given, the nearest to the medoid first, which is the first itself.
    pub members: Vec<usize>,
    /// What they weigh together.
    pub weight: f32,
    /// Their weighted mean, of unit length.
    pub centroid: Embedding,
}

/// Divides `given` into at most `most` groups, the heaviest first.
///
/// The groups' medoids are those passages that bring all others nearest to one of them: the facility location
/// problem, solved greedily, which reaches at least 1 − 1/e of the best possible sum (Nemhauser, Wolsey & Fisher 1978,
/// "An Analysis of Approximations for Maximizing Submodular Set Functions", I). Quadratic in the number of passages.
pub fn groups(given: &[Given], most: usize) -> Vec<Group> {
    let total: f32 = given.iter().map(|given| given.weight).sum();
    let mut nearness = vec![0.0f32; given.len()];
    let mut medoids: Vec<usize> = Vec::new();
    while medoids.len() < most.min(given.len()) {
        let Some((medoid, gain)) = best_medoid(given, &nearness) else { break };
        if !medoids.is_empty() && gain < SMALLEST_GAIN * total {
            break;
        }
        medoids.push(medoid);
        for (nearness, other) in nearness.iter_mut().zip(given) {
            *nearness = nearness.max(dot(&given[medoid].embedding, &other.embedding));
        }
    }
    let mut groups: Vec<Group> = medoids.iter().map(|medoid| gather(given, &medoids, *medoid)).collect();
    groups.sort_by(|a, b| b.weight.total_cmp(&a.weight).then(a.members.cmp(&b.members)));
    groups
}

/// The passage that would bring all nearest, and by how much in the weighted sum; the first of equals.
fn best_medoid(given: &[Given], nearness: &[f32]) -> Option<(usize, f32)> {
    let gain = |candidate: &Given| -> f32 {
        let gains = given.iter().zip(nearness).map(|(other, near)| {
            other.weight * (dot(&candidate.embedding, &other.embedding) - near).max(0.0)
        });
        gains.sum()
    };
    let gains = given.iter().map(gain).enumerate();
    gains.max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))
}

/// The passages that are nearer to `medoid` than to any other.
fn gather(given: &[Given], medoids: &[usize], medoid: usize) -> Group {
    let likeness = |place: usize, of: usize| dot(&given[place].embedding, &given[of].embedding);
    let belongs = |place: usize| {
        let nearest = medoids.iter().copied().max_by(|a, b| {
            // A medoid is its own, even where another one is the same.
            (likeness(place, *a), *a == place, *b)
                .partial_cmp(&(likeness(place, *b), *b == place, *a))
                .unwrap_or(std::cmp::Ordering::Equal)
        });
        nearest == Some(medoid)
    };
    let mut members: Vec<usize> = (0..given.len()).filter(|place| belongs(*place)).collect();
    members.sort_by(|a, b| {
        let order = likeness(*b, medoid).total_cmp(&likeness(*a, medoid));
        (*b == medoid).cmp(&(*a == medoid)).then(order).then(a.cmp(b))
    });
    let parts = members.iter().map(|place| (given[*place].embedding.as_slice(), given[*place].weight));
    Group {
        weight: members.iter().map(|place| given[*place].weight).sum(),
        centroid: blend(parts, &given[medoid].embedding),
        members,
    }
}

#[cfg(test)]
mod tests {
    use burnish_types::ChunkId;
    use proptest::prelude::*;

    use super::*;

    /// A unit vector at this angle, in degrees.
    fn at(degrees: f32, weight: f32) -> Given {
        let (sine, cosine) = degrees.to_radians().sin_cos();
        Given { chunk: ChunkId(0), weight, embedding: vec![cosine, sine], text: String::new() }
    }

    #[test]
    fn passages_are_divided_where_they_differ() {
        /// Angles with weights, the most groups, and those expected.
        type Case<'a> = (&'a [(f32, f32)], usize, &'a [&'a [usize]]);
        let cases: [Case<'_>; 6] = [
            (&[], 5, &[]),
            (&[(10.0, 1.0)], 5, &[&[0]]),
            (&[(0.0, 1.0), (10.0, 1.0), (20.0, 1.0)], 5, &[&[1, 0, 2]]),
            (&[(0.0, 1.0), (10.0, 1.0), (90.0, 1.0)], 5, &[&[1, 0], &[2]]),
            (&[(0.0, 1.0), (10.0, 1.0), (100.0, 5.0)], 5, &[&[2], &[0, 1]]),
            (&[(0.0, 1.0), (90.0, 1.0), (180.0, 1.0)], 1, &[&[0, 1, 2]]),
        ];
        for (passages, most, expected) in cases {
            let given: Vec<Given> = passages.iter().map(|(degrees, weight)| at(*degrees, *weight)).collect();
            let found = groups(&given, most);
            let members: Vec<&[usize]> = found.iter().map(|group| group.members.as_slice()).collect();
            assert_eq!(members, expected, "{passages:?}");
        }
    }

    proptest! {
        #[test]
        fn everything_is_in_one_group(
            passages in prop::collection::vec((0.0f32..360.0, 0.01f32..1.0), 0..30),
            most in 1usize..6,
        ) {
            let given: Vec<Given> = passages.iter().map(|(degrees, weight)| at(*degrees, *weight)).collect();
            let found = groups(&given, most);
            prop_assert!(found.len() <= most);
            let mut members: Vec<usize> = found.iter().flat_map(|group| group.members.clone()).collect();
            members.sort_unstable();
            prop_assert_eq!(members, (0..given.len()).collect::<Vec<_>>());
            prop_assert!(found.windows(2).all(|pair| pair[0].weight >= pair[1].weight));
            for group in &found {
                prop_assert!((dot(&group.centroid, &group.centroid) - 1.0).abs() < 1e-4);
            }
        }
    }
}
