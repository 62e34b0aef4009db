//! What speaks for and against one question being answered by the answer to another.

use crate::question::Question;
use crate::wording::Wording;

/// How many figures the words give.
pub(crate) const FIGURES: usize = 33;
/// Classes of words that are counted to know how telling a word is.
const WORD_CLASSES: usize = 1 << 16;

/// How often words were asked for, which says how telling they are. Words share classes by their hash.
#[derive(Clone, Debug)]
pub(crate) struct Frequencies {
    counts: Vec<u32>,
    questions: u64,
}

impl Default for Frequencies {
    fn default() -> Self {
        Self { counts: vec![0; WORD_CLASSES], questions: 0 }
    }
}

impl Frequencies {
    pub(crate) fn count(&mut self, wording: &Wording) {
        self.questions += 1;
        for topic in &wording.topics {
            let count = &mut self.counts[class(*topic)];
            *count = count.saturating_add(1);
        }
    }

    /// From 0 for a word of every question to 1 for one that was never asked.
    fn telling(&self, stem: u32) -> f32 {
        let questions = self.questions as f32 + 2.0;
        (questions / (self.counts[class(stem)] as f32 + 1.0)).ln().max(0.0) / questions.ln()
    }
}

fn class(stem: u32) -> usize {
    (stem ^ (stem >> 16)) as usize % WORD_CLASSES
}

/// What a person would not be asked twice about: two questions that differ so have two answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// Numbers, dates or units differ.
    Numbers,
    /// One says it and one denies it.
    Negation,
    /// A word stands where the other question has its opposite.
    Opposites,
    /// A name stands where the other question has another one.
    Names,
}

/// Where two questions can't have one answer, whatever the likeness.
pub(crate) fn conflict(one: &Wording, other: &Wording) -> Option<Conflict> {
    if one.numbers != other.numbers {
        return Some(Conflict::Numbers);
    }
    if one.negations % 2 != other.negations % 2 {
        return Some(Conflict::Negation);
    }
    if one.opposes(other) {
        return Some(Conflict::Opposites);
    }
    let lost = |from: &Wording, to: &Wording| from.names.iter().any(|name| !to.stems.contains(name));
    (lost(one, other) && lost(other, one)).then_some(Conflict::Names)
}

/// Whether two texts, such as two answers, can't both be right: by their numbers, names, negations and opposites.
pub fn contradict(one: &str, other: &str) -> bool {
    conflict(&Wording::new(one), &Wording::new(other)).is_some()
}

/// Whether a text denies what it speaks of.
pub fn denies(text: &str) -> bool {
    Wording::new(text).negations % 2 == 1
}

/// Whether two questions ask the same: at least so alike, and without a conflict.
pub fn agree(one: &Question, other: &Question, least: f32) -> bool {
    one.cosine(other) >= least && conflict(&one.wording, &other.wording).is_none()
}

/// What the words of two questions and the cosine of their embeddings say, as figures of about unit size.
pub(crate) fn figures(
    one: &Wording,
    other: &Wording,
    cosine: f32,
    frequencies: &Frequencies,
) -> [f32; FIGURES] {
    let telling = |stem: &u32| frequencies.telling(*stem);
    let shared = common(&one.topics, &other.topics);
    let (only_one, only_other) = (without(&one.topics, &other.topics), without(&other.topics, &one.topics));
    let weight = |stems: &[u32]| stems.iter().map(telling).sum::<f32>();
    let most = |stems: &[u32]| stems.iter().map(telling).fold(0.0, f32::max);
    let union = shared.len() + only_one.len() + only_other.len();
    let jaccard = share(shared.len(), union);
    let (weight_shared, weight_one, weight_other) = (weight(&shared), weight(&only_one), weight(&only_other));
    let total = weight_shared + weight_one + weight_other;
    let weighted = if total > 0.0 { weight_shared / total } else { 1.0 };
    let strange =
        |from: &Wording, to: &Wording| from.names.iter().filter(|name| !to.stems.contains(name)).count();
    let strange_names = strange(one, other) + strange(other, one);
    let (shorter, longer) = ordered(one.words.len(), other.words.len());
    let order = share(subsequence(&one.stems, &other.stems), longer);
    let content_order =
        share(subsequence(&one.content, &other.content), one.content.len().max(other.content.len()));
    let same_words = one.words == other.words;
    let pairs = |wording: &Wording| {
        let mut pairs: Vec<u64> =
            wording.stems.windows(2).map(|pair| (u64::from(pair[0]) << 32) | u64::from(pair[1])).collect();
        pairs.sort_unstable();
        pairs.dedup();
        pairs
    };
    let flag = |value: bool| f32::from(u8::from(value));
    let both_ask = one.asks.is_some() && other.asks.is_some();
    [
        cosine,
        (2.0 - 2.0 * cosine).max(0.0).sqrt(),
        jaccard,
        share(shared.len(), one.topics.len().max(1)),
        share(shared.len(), other.topics.len().max(1)),
        weighted,
        most(&only_one),
        most(&only_other),
        weight_one.ln_1p(),
        weight_other.ln_1p(),
        flag(one.numbers != other.numbers),
        flag(one.negations % 2 != other.negations % 2),
        flag(one.opposes(other)),
        flag(strange_names > 0),
        flag(both_ask && one.asks != other.asks),
        flag(one.asks.is_some() != other.asks.is_some()),
        share(shorter, longer),
        order,
        likeness(&one.trigrams, &other.trigrams),
        flag(same_words),
        flag(!same_words && sorted(&one.stems) == sorted(&other.stems)),
        (only_one.len() as f32).ln_1p(),
        (only_other.len() as f32).ln_1p(),
        flag(one.words.first() == other.words.first()),
        flag(one.content.last().is_some() && one.content.last() == other.content.last()),
        (shorter as f32).ln_1p(),
        likeness(&pairs(one), &pairs(other)),
        strange_names as f32,
        cosine * jaccard,
        cosine * order,
        content_order,
        flag(only_one.len() == 1 && only_other.len() == 1),
        flag(!one.numbers.is_empty() || !other.numbers.is_empty()),
    ]
}

fn share(part: usize, whole: usize) -> f32 {
    if whole == 0 { 1.0 } else { part as f32 / whole as f32 }
}

fn ordered(one: usize, other: usize) -> (usize, usize) {
    (one.min(other), one.max(other))
}

fn sorted(stems: &[u32]) -> Vec<u32> {
    let mut stems = stems.to_vec();
    stems.sort_unstable();
    stems
}

/// What two ascending lists have in common.
fn common<T: Ord + Copy>(one: &[T], other: &[T]) -> Vec<T> {
    one.iter().filter(|value| other.binary_search(value).is_ok()).copied().collect()
}

/// What one has and the other, ascending, lacks.
fn without<T: Ord + Copy>(one: &[T], other: &[T]) -> Vec<T> {
    one.iter().filter(|value| other.binary_search(value).is_err()).copied().collect()
}

/// Jaccard's index of two ascending lists.
fn likeness<T: Ord + Copy>(one: &[T], other: &[T]) -> f32 {
    let shared = common(one, other).len();
    share(shared, one.len() + other.len() - shared)
}

/// The length of the longest common subsequence.
fn subsequence(one: &[u32], other: &[u32]) -> usize {
    let mut row = vec![0; other.len() + 1];
    for in_one in one {
        let mut diagonal = 0;
        for (place, in_other) in other.iter().enumerate() {
            let above = row[place + 1];
            row[place + 1] = if in_one == in_other { diagonal + 1 } else { above.max(row[place]) };
            diagonal = above;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(one: &str, other: &str) -> [f32; FIGURES] {
        figures(&Wording::new(one), &Wording::new(other), 0.5, &Frequencies::default())
    }

    #[test]
    fn figures_are_finite_and_the_same_words_agree() {
        for (one, other) in [("", ""), ("", "a"), ("?", "What is it?"), ("Ωmega 12", "omega twelve")] {
            assert!(of(one, other).iter().all(|figure| figure.is_finite()), "{one} {other}");
        }
        let same = of("How do I rotate a key?", "How do I rotate a key?");
        assert_eq!((same[2], same[17], same[18], same[19]), (1.0, 1.0, 1.0, 1.0));
    }

    #[test]
    fn what_turns_a_question_round_is_a_conflict() {
        let cases = [
            ("How many people live in Rome?", "How many people live in Oslo?", Some(Conflict::Names)),
            ("Is it legal to park here?", "Is it not legal to park here?", Some(Conflict::Negation)),
            ("Why is Python 2 slow?", "Why is Python 3 slow?", Some(Conflict::Numbers)),
            ("How do I enable logging?", "How do I disable logging?", Some(Conflict::Opposites)),
            ("Where is Rome?", "where is rome", None),
            ("How do I rotate a key?", "How can I rotate keys?", None),
        ];
        for (one, other, expected) in cases {
            assert_eq!(conflict(&Wording::new(one), &Wording::new(other)), expected, "{one} {other}");
        }
    }

    #[test]
    fn rare_words_tell_more() {
        let mut frequencies = Frequencies::default();
        for _ in 0..50 {
            frequencies.count(&Wording::new("best phone"));
        }
        let of =
            |one: &str, other: &str| figures(&Wording::new(one), &Wording::new(other), 0.9, &frequencies)[6];
        assert!(of("phone camera", "camera") < of("zither camera", "camera"));
    }
}
