//! A remembered question: its text, what stands for its meaning, and the votes that were given for it.

use burnish_types::{ChunkId, fnv1a};
use serde::{Deserialize, Serialize};

use super::vote::{Signals, Vote};

/// More of a question is not kept: what is longer is told apart by its beginning.
const MOST_CHARS: usize = 512;

/// Hashes of distinct telling words, in order.
pub(super) type Words = Vec<u64>;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Question {
    pub(super) text: String,
    words: Words,
    /// The embedding in steps of `step`: a byte each is enough for a likeness, and keeps the memory small.
    embedding: Vec<i8>,
    step: f32,
    /// By passage and person.
    pub(super) votes: Vec<Vote>,
}

/// Lower case, single spaces, at most [`MOST_CHARS`] characters.
pub(super) fn normalised(text: &str) -> String {
    let joined = text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    joined.chars().take(MOST_CHARS).collect()
}

/// Words that stand in questions of all kinds, and so make none like another.
const EMPTY_WORDS: [&str; 72] = [
    "a", "about", "after", "all", "also", "an", "and", "any", "are", "as", "at", "be", "been", "before",
    "but", "by", "can", "did", "do", "does", "for", "from", "had", "has", "have", "he", "her", "his", "how",
    "i", "if", "in", "into", "is", "it", "its", "me", "my", "no", "not", "of", "on", "or", "our", "she",
    "so", "than", "that", "the", "their", "them", "there", "they", "this", "to", "was", "we", "were", "what",
    "when", "where", "which", "who", "whom", "whose", "why", "will", "with", "would", "you", "your", "name",
];

fn words(text: &str) -> Words {
    let parts = text.split(|c: char| !c.is_alphanumeric());
    let parts = parts.filter(|word| !word.is_empty() && !EMPTY_WORDS.contains(word));
    let mut words: Words = parts.map(|word| fnv1a(word.as_bytes())).collect();
    words.sort_unstable();
    words.dedup();
    words
}

impl Question {
    /// The question with this normalised text.
    pub(super) fn new(text: &str, embedding: &[f32]) -> Self {
        let largest = embedding.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        let step = largest / f32::from(i8::MAX);
        // The quotient lies in [-127, 127].
        let quantised = |value: &f32| if step > 0.0 { (value / step).round() as i8 } else { 0 };
        Self {
            text: text.to_owned(),
            words: words(text),
            embedding: embedding.iter().map(quantised).collect(),
            step,
            votes: Vec::new(),
        }
    }

    /// The mean of cosine and Jaccard index, in [-0.5, 1].
    pub(super) fn likeness(&self, other: &Self) -> f32 {
        0.5 * self.cosine(other) + 0.5 * jaccard(&self.words, &other.words)
    }

    fn cosine(&self, other: &Self) -> f32 {
        // 127² × the dimensions stays far below the largest i32.
        let steps: i32 =
            self.embedding.iter().zip(&other.embedding).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum();
        steps as f32 * self.step * other.step
    }

    pub(super) fn vote(&mut self, chunk: ChunkId, reporter: Option<&str>, signals: &Signals) {
        let place = self
            .votes
            .binary_search_by(|vote| (vote.chunk, vote.reporter.as_deref()).cmp(&(chunk, reporter)));
        match place {
            Ok(place) => self.votes[place].signals.hear(signals),
            Err(place) => {
                let vote = Vote { chunk, reporter: reporter.map(str::to_owned), signals: signals.clone() };
                self.votes.insert(place, vote);
            }
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for vote in &other.votes {
            self.vote(vote.chunk, vote.reporter.as_deref(), &vote.signals);
        }
    }
}

fn jaccard(left: &[u64], right: &[u64]) -> f32 {
    let (mut l, mut r, mut common) = (0, 0, 0u32);
    while l < left.len() && r < right.len() {
        let order = left[l].cmp(&right[r]);
        common += u32::from(order.is_eq());
        l += usize::from(order.is_le());
        r += usize::from(order.is_ge());
    }
    let all = (left.len() + right.len()) as f32 - common as f32;
    if all > 0.0 { common as f32 / all } else { 0.0 }
}
