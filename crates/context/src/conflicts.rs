//! Passages that speak against each other: about the same, with other numbers or with a denial.

use std::ops::Range;

use crate::relevance::{Kind, Piece};
use crate::words::common;

/// Sentences of the most worth that are compared.
const COMPARED: usize = 48;
/// Sentences that share this part of their words, numbers left out, speak of the same.
const SAME: f32 = 0.6;
/// And at least so many of them.
const SMALLEST_SHARE: usize = 4;
/// Conflicts that are told.
const TOLD: usize = 8;

/// Two sentences of two passages that can't both hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The places of the passages among those that were given.
    pub passages: [usize; 2],
    /// The sentences, in their texts.
    pub sentences: [Range<usize>; 2],
    /// Whether one denies what the other says; else their numbers differ.
    pub denies: bool,
}

pub(crate) fn find(pieces: &[Piece], alive: &[bool]) -> Vec<Conflict> {
    let mut candidates: Vec<&Piece> = pieces
        .iter()
        .zip(alive)
        .filter(|(piece, alive)| **alive && piece.kind == Kind::Sentence && piece.asked > 0.0)
        .map(|(piece, _)| piece)
        .collect();
    candidates.sort_by(|one, other| other.worth.total_cmp(&one.worth));
    candidates.truncate(COMPARED);
    let mut found = Vec::new();
    for (place, one) in candidates.iter().enumerate() {
        for other in &candidates[place + 1..] {
            if let Some(denies) = contradict(one, other) {
                found.push(Conflict {
                    passages: [one.passage, other.passage],
                    sentences: [one.range.clone(), other.range.clone()],
                    denies,
                });
            }
        }
    }
    found.truncate(TOLD);
    found
}

/// Whether two sentences can't both hold, and if so whether by a denial.
fn contradict(one: &Piece, other: &Piece) -> Option<bool> {
    if one.passage == other.passage {
        return None;
    }
    let (one, other) = (&one.said, &other.said);
    let shared = common(&one.topics, &other.topics);
    let numbers = common(&one.numbers, &other.numbers);
    let words = |said: &crate::words::Said| said.topics.len() - said.numbers.len();
    let longer = words(one).max(words(other));
    let alike = shared - numbers >= SMALLEST_SHARE && (shared - numbers) as f32 >= SAME * longer as f32;
    let other_numbers = !one.numbers.is_empty() && !other.numbers.is_empty() && one.numbers != other.numbers;
    match alike {
        true if one.denies != other.denies => Some(true),
        true if other_numbers => Some(false),
        _ => None,
    }
}
