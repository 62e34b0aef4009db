//! What each sentence is worth for the question.

use std::ops::Range;

use crate::Passage;
use crate::sentences::sentences;
use crate::words::{Said, Words, common};

/// What the question's words in a sentence are worth, all together.
const WORDS_WEIGHT: f32 = 1.2;
/// What the words of a neighbour are worth beside those of the sentence itself.
const NEIGHBOUR: f32 = 0.3;
/// What the rank of the passage is worth, from the best to one that scores nothing.
const RANK_WEIGHT: f32 = 1.2;
/// What the likeness of the passage is worth.
const LIKENESS_WEIGHT: f32 = 0.4;
/// Long sentences take the place of others: taken off for each e-fold of the length.
const LENGTH_PRICE: f32 = 0.07;
/// Every word of the question tells a little, even one that stands in each sentence.
const LEAST_TELLING: f32 = 0.3;

/// What a sentence is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A sentence, or a line of a list.
    Sentence,
    /// What names the columns of a table, up to the rows.
    Header,
    /// A row of a table.
    Row,
}

/// A sentence of a passage.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) passage: usize,
    /// Where it stands in the passage, without white space around it.
    pub(crate) range: Range<usize>,
    pub(crate) kind: Kind,
    /// Where the table begins that it stands in; its own place where it is in none.
    pub(crate) table: usize,
    pub(crate) said: Said,
    /// About how many tokens it is.
    pub(crate) tokens: f64,
    /// The weight of the question's words that it has, in [0, 1].
    pub(crate) asked: f32,
    /// The question's words that it has, by their places in the question.
    pub(crate) answers: Vec<usize>,
    /// What it is worth, all in all.
    pub(crate) worth: f32,
    /// How it begins, in lower case.
    pub(crate) beginning: String,
}

/// Letters of the beginning that say what kind of sentence it is.
const BEGINNING: usize = 24;

/// The sentences of all passages, in their order.
pub(crate) fn pieces(question: &str, passages: &[Passage<'_>]) -> Vec<Piece> {
    let mut words = Words::default();
    let asked = words.read(question).topics;
    let mut pieces: Vec<Piece> = Vec::new();
    for (place, passage) in passages.iter().enumerate() {
        let first = pieces.len();
        for range in sentences(passage.text) {
            let text = passage.text.get(range.clone()).unwrap_or_default();
            let lead = text.len() - text.trim_start().len();
            let trimmed = text.trim();
            if trimmed.is_empty() {
                continue;
            }
            let kind = match trimmed.starts_with('|') {
                true if is_rule(trimmed) => Kind::Header,
                true => Kind::Row,
                false => Kind::Sentence,
            };
            if kind == Kind::Header {
                // Up to the line of dashes the rows of a table name its columns.
                let above = pieces[first..].iter_mut().rev().take_while(|piece| piece.kind == Kind::Row);
                above.for_each(|piece| piece.kind = Kind::Header);
            }
            let start = range.start + lead;
            let said = words.read(trimmed);
            pieces.push(Piece {
                passage: place,
                range: start..start + trimmed.len(),
                kind,
                table: match pieces[first..].last() {
                    Some(above) if kind != Kind::Sentence && above.kind != Kind::Sentence => above.table,
                    _ => pieces.len(),
                },
                tokens: said.tokens as f64,
                asked: 0.0,
                answers: (0..asked.len())
                    .filter(|word| said.topics.binary_search(&asked[*word]).is_ok())
                    .collect(),
                said,
                worth: 0.0,
                beginning: trimmed.chars().take(BEGINNING).flat_map(char::to_lowercase).collect(),
            });
        }
        // Counted as the caller counts, in all.
        let about: f64 = pieces[first..].iter().map(|piece| piece.tokens).sum();
        let scale = passage.tokens as f64 / about.max(1.0);
        pieces[first..].iter_mut().for_each(|piece| piece.tokens *= scale);
    }
    weigh(&mut pieces, asked.len(), passages);
    pieces
}

fn weigh(pieces: &mut [Piece], asked: usize, passages: &[Passage<'_>]) {
    // Rare words tell more than those that nearly every sentence has.
    let mut counts = vec![0_usize; asked];
    pieces.iter().flat_map(|piece| &piece.answers).for_each(|word| counts[*word] += 1);
    let all = pieces.len() as f32;
    let weights: Vec<f32> = counts
        .iter()
        .map(|count| ((all + 1.0) / (*count as f32 + 0.5)).ln().max(0.0) + LEAST_TELLING)
        .collect();
    let total: f32 = weights.iter().sum::<f32>().max(f32::MIN_POSITIVE);
    for piece in pieces.iter_mut() {
        piece.asked = piece.answers.iter().map(|word| weights[*word]).sum::<f32>() / total;
    }
    let scores = || passages.iter().map(|passage| passage.score).filter(|score| score.is_finite());
    let best = scores().fold(f32::NEG_INFINITY, f32::max);
    // Where scores may be negative, only how far they lie apart says anything.
    let worst = scores().fold(0.0, f32::min);
    let own: Vec<(usize, f32)> = pieces.iter().map(|piece| (piece.passage, piece.asked)).collect();
    for (place, piece) in pieces.iter_mut().enumerate() {
        let neighbours = [place.checked_sub(1), Some(place + 1)].into_iter().flatten();
        let near = neighbours.filter_map(|other| own.get(other)).filter(|other| other.0 == piece.passage);
        let near: f32 = near.map(|other| other.1).sum();
        let passage = &passages[piece.passage];
        let span = best - worst;
        let known = span > 0.0 && passage.score.is_finite();
        let rank = if known { ((passage.score - worst) / span).clamp(0.0, 1.0) } else { 0.0 };
        let likeness = passage.likeness.filter(|likeness| likeness.is_finite()).unwrap_or(0.0);
        piece.worth = WORDS_WEIGHT * (piece.asked + NEIGHBOUR * near) / (1.0 + NEIGHBOUR)
            + RANK_WEIGHT * rank
            + LIKENESS_WEIGHT * likeness
            - LENGTH_PRICE * (piece.tokens.max(1.0) as f32).ln();
    }
}

/// Whether a row of a table is the line between the names of its columns and the rest.
fn is_rule(row: &str) -> bool {
    row.contains('-') && row.chars().all(|c| matches!(c, '|' | '-' | ':') || c.is_whitespace())
}

/// How much of the shorter one of two sentences the other one says, too, in [0, 1].
pub(crate) fn overlap(one: &Said, other: &Said) -> f32 {
    let shorter = one.topics.len().min(other.topics.len());
    if shorter == 0 { 0.0 } else { common(&one.topics, &other.topics) as f32 / shorter as f32 }
}
