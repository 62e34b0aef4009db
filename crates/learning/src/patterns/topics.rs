//! Topics of questions: k-means over their embeddings, each cluster named by the words that tell it from the others.

use std::collections::{BTreeMap, BTreeSet};

/// Fewer questions have no topics; four times as many have two, nine times as many three.
const FEWEST_QUESTIONS: usize = 40;
const MOST_TOPICS: usize = 12;
const ROUNDS: usize = 25;
/// Words that name a topic.
const NAMING_WORDS: usize = 3;
/// A shorter word says little of a topic.
const SHORTEST_WORD: usize = 3;

/// Questions that are about the same, with the words that name them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Topics {
    /// By topic.
    pub(super) names: Vec<String>,
    /// By question: its topic.
    pub(super) of: Vec<usize>,
}

impl Topics {
    /// Topics of `questions`, each with a vector of unit length; none where there are few questions, or where one has
    /// no vector. The same seed gives the same.
    pub(super) fn find(questions: &[(&str, &[f32])], seed: u64) -> Self {
        let count = (questions.len() as f64 / FEWEST_QUESTIONS as f64).sqrt().ceil() as usize;
        let count = count.clamp(2, MOST_TOPICS);
        let length = questions.first().map_or(0, |(_, vector)| vector.len());
        if questions.len() < FEWEST_QUESTIONS
            || length == 0
            || questions.iter().any(|(_, vector)| vector.len() != length)
        {
            return Self::default();
        }
        let vectors: Vec<&[f32]> = questions.iter().map(|(_, vector)| *vector).collect();
        let of = clusters(&vectors, count, &mut fastrand::Rng::with_seed(seed));
        let texts: Vec<&str> = questions.iter().map(|(text, _)| *text).collect();
        let names = names(&texts, &of, count);
        // Clusters that nothing tells apart are one topic.
        let first = |topic: &usize| names.iter().position(|name| *name == names[*topic]).unwrap_or(*topic);
        Self { of: of.iter().map(first).collect(), names }
    }
}

/// Spherical k-means (Dhillon and Modha 2001), started as k-means++ does (Arthur and Vassilvitskii 2007).
fn clusters(vectors: &[&[f32]], count: usize, random: &mut fastrand::Rng) -> Vec<usize> {
    let mut centres: Vec<Vec<f32>> = vec![vectors[random.usize(..vectors.len())].to_vec()];
    let mut far: Vec<f32> = vec![f32::MAX; vectors.len()];
    while centres.len() < count {
        let last = &centres[centres.len() - 1];
        for (far, vector) in far.iter_mut().zip(vectors) {
            *far = far.min((1.0 - burnish_types::dot(vector, last)).max(0.0));
        }
        let mut left = random.f32() * far.iter().sum::<f32>();
        let next = far.iter().position(|far| {
            left -= far;
            left < 0.0
        });
        centres.push(vectors[next.unwrap_or(vectors.len() - 1)].to_vec());
    }
    let mut of = vec![0; vectors.len()];
    for _ in 0..ROUNDS {
        let nearest: Vec<usize> = vectors.iter().map(|vector| nearest(vector, &centres)).collect();
        if nearest == of {
            break;
        }
        of = nearest;
        for (place, centre) in centres.iter_mut().enumerate() {
            let members = vectors.iter().zip(&of).filter(|(_, of)| **of == place);
            let mut sum = vec![0.0f32; centre.len()];
            for (vector, _) in members {
                sum.iter_mut().zip(*vector).for_each(|(sum, value)| *sum += value);
            }
            let norm = burnish_types::dot(&sum, &sum).sqrt();
            // A cluster that lost all its members stays where it was.
            if norm > 0.0 {
                *centre = sum.into_iter().map(|value| value / norm).collect();
            }
        }
    }
    of
}

fn nearest(vector: &[f32], centres: &[Vec<f32>]) -> usize {
    let likeness = |place: &usize| burnish_types::dot(vector, &centres[*place]);
    // Of equals the first one.
    (0..centres.len()).rev().max_by(|left, right| likeness(left).total_cmp(&likeness(right))).unwrap_or(0)
}

/// For each topic the words that say most of it: by what each adds to the divergence of the topic's words from those of
/// the other topics, counted once a question.
fn names(texts: &[&str], of: &[usize], count: usize) -> Vec<String> {
    let mut shares: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let mut sizes = vec![0.0; count];
    for (text, topic) in texts.iter().zip(of) {
        sizes[*topic] += 1.0;
        for word in words(text) {
            shares.entry(word).or_insert_with(|| vec![0.0; count])[*topic] += 1.0;
        }
    }
    let all: f64 = sizes.iter().sum();
    let name = |topic: usize| {
        let telling = |counts: &Vec<f64>| {
            let elsewhere: f64 = counts.iter().sum::<f64>() - counts[topic];
            let inside = (counts[topic] + 0.5) / (sizes[topic] + 1.0);
            let outside = (elsewhere + 0.5) / (all - sizes[topic] + 1.0);
            inside * (inside / outside).ln()
        };
        let mut ranked: Vec<(f64, &String)> = shares
            .iter()
            .filter(|(_, counts)| counts[topic] >= 2.0)
            .map(|(word, counts)| (telling(counts), word))
            .collect();
        ranked.sort_by(|left, right| right.0.total_cmp(&left.0).then_with(|| left.1.cmp(right.1)));
        let best: Vec<&str> = ranked.iter().take(NAMING_WORDS).map(|(_, word)| word.as_str()).collect();
        if best.is_empty() { format!("topic {}", topic + 1) } else { best.join(", ") }
    };
    (0..count).map(name).collect()
}

fn words(text: &str) -> BTreeSet<String> {
    let words = text.split(|sign: char| !sign.is_alphanumeric()).map(str::to_lowercase);
    words
        .filter(|word| {
            word.chars().count() >= SHORTEST_WORD && !word.chars().all(|sign| sign.is_ascii_digit())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_found_and_named_by_their_words() {
        let mut random = fastrand::Rng::with_seed(3);
        let subjects = ["invoice payment", "password login", "holiday leave"];
        let questions: Vec<(String, Vec<f32>)> = (0..180)
            .map(|place| {
                let mut vector: Vec<f32> = (0..8).map(|_| 0.2 * (random.f32() - 0.5)).collect();
                vector[place % 3] += 1.0;
                let norm = burnish_types::dot(&vector, &vector).sqrt();
                let text = format!("what is the {} number {place}", subjects[place % 3]);
                (text, vector.into_iter().map(|value| value / norm).collect())
            })
            .collect();
        let borrowed: Vec<(&str, &[f32])> =
            questions.iter().map(|(text, vector)| (text.as_str(), vector.as_slice())).collect();
        let topics = Topics::find(&borrowed, 1);
        assert_eq!(topics, Topics::find(&borrowed, 1));
        assert_eq!(topics.names.len(), 3);
        for (place, topic) in topics.of.iter().enumerate() {
            let subject = subjects[place % 3].split(' ').next().unwrap();
            assert!(topics.names[*topic].contains(subject), "{place}: {}", topics.names[*topic]);
            assert!(!topics.names[*topic].contains("what"), "{}", topics.names[*topic]);
        }
        assert_eq!(Topics::find(&borrowed[..30], 1), Topics::default());
    }
}
