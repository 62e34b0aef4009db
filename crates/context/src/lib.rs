//! Evidence made to fit a budget of tokens, losing as little of what answers as can be. Compute-only: no model is asked.
//!
//! Passages are taken apart into sentences (lines of a list, rows of a table), each of which is worth more the more of the
//! question's words it and its neighbours have, the better its passage was ranked and the more its passage is like the
//! question. What is worth least goes first, step by step ([`optimize`]): what another sentence says too, examples,
//! background, what hardly bears on the question, and at last whatever does not fit. A step that would lose something that the
//! question asks for is undone. What is kept stays word for word and in its order, so that citations hold.

mod conflicts;
mod relevance;
mod sentences;
mod steps;
mod words;

use std::ops::Range;

pub use conflicts::Conflict;
pub use sentences::sentences;
pub use steps::{Step, StepKind};

use relevance::Piece;

/// A passage that was found.
#[derive(Clone, Copy, Debug)]
pub struct Passage<'a> {
    /// Its text.
    pub text: &'a str,
    /// How many tokens that is.
    pub tokens: usize,
    /// The score that it was ranked by; only its ratio to the best one counts.
    pub score: f32,
    /// The cosine of its embedding with the question's, where that is known.
    pub likeness: Option<f32>,
}

/// How small the evidence is to become.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Target {
    /// The most tokens; `None` for any number.
    pub tokens: Option<usize>,
    /// The share to save where quality allows it, in [0, 1).
    pub reduction: f64,
}

/// What is left of a passage: whole sentences of it, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The passage's place among those that were given.
    pub passage: usize,
    /// The parts of its text.
    pub parts: Vec<Range<usize>>,
    /// How many tokens they are, about.
    pub tokens: usize,
}

impl Kept {
    /// The text of the parts, with `…` where something was left out within a passage.
    pub fn text(&self, passage: &str) -> String {
        let mut text = String::new();
        let mut end: Option<usize> = None;
        for part in &self.parts {
            let Some(words) = passage.get(part.clone()) else { continue };
            match end.map(|end| &passage[end..part.start]) {
                Some(between) if between.chars().all(char::is_whitespace) => text.push_str(between),
                Some(_) => text.push_str(" … "),
                None => {}
            }
            text.push_str(words);
            end = Some(part.end);
        }
        text
    }
}

/// The evidence as it is to be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Optimized {
    /// What is left, in the order of the passages. Nothing is left of what is not named.
    pub kept: Vec<Kept>,
    /// Tokens before.
    pub original: usize,
    /// Tokens afterwards, about.
    pub optimized: usize,
    /// What was done, in order.
    pub steps: Vec<Step>,
    /// Passages that speak against each other.
    pub conflicts: Vec<Conflict>,
    /// Whether even the best sentence is longer than what was allowed, and was kept all the same.
    pub overlong: bool,
}

/// Makes passages, best first, as small as `target` says, for a `question`.
pub fn optimize(question: &str, passages: &[Passage<'_>], target: Target) -> Optimized {
    let original: usize = passages.iter().map(|passage| passage.tokens).sum();
    let reduction = if target.reduction.is_finite() { target.reduction.clamp(0.0, 1.0) } else { 0.0 };
    let wished = (original as f64 * (1.0 - reduction)).round() as usize;
    let pieces = relevance::pieces(question, passages);
    let plan = steps::run(&pieces, original, wished, target.tokens);
    let kept = kept(passages, &pieces, &plan.alive);
    let optimized = kept.iter().map(|kept| kept.tokens).sum();
    let conflicts = conflicts::find(&pieces, &plan.alive);
    let overlong = target.tokens.is_some_and(|most| optimized > most);
    Optimized { kept, original, optimized, steps: plan.steps, conflicts, overlong }
}

/// The order in which passages are best read: what is best stands at the beginning and at the end, since models overlook what
/// is in the middle (Liu et al. 2023, arXiv 2307.03172). Gives the places of `count` passages, best first.
pub fn edges_first(count: usize) -> Vec<usize> {
    let (front, back): (Vec<usize>, Vec<usize>) = (0..count).partition(|place| place % 2 == 0);
    front.into_iter().chain(back.into_iter().rev()).collect()
}

fn kept(passages: &[Passage<'_>], pieces: &[Piece], alive: &[bool]) -> Vec<Kept> {
    let mut all: Vec<Kept> = Vec::new();
    let mut rest = pieces.iter().zip(alive).peekable();
    for (place, passage) in passages.iter().enumerate() {
        let (mut parts, mut tokens, mut whole) = (Vec::new(), 0.0, true);
        while let Some((piece, alive)) = rest.next_if(|(piece, _)| piece.passage == place) {
            if *alive {
                parts.push(piece.range.clone());
                tokens += piece.tokens;
            } else {
                whole = false;
            }
        }
        if whole && !passage.text.trim().is_empty() {
            let all_of_it = Kept {
                passage: place,
                parts: std::iter::once(0..passage.text.len()).collect(),
                tokens: passage.tokens,
            };
            all.push(all_of_it);
        } else if !parts.is_empty() {
            all.push(Kept { passage: place, parts, tokens: tokens.round() as usize });
        }
    }
    all
}

#[cfg(test)]
mod tests;
