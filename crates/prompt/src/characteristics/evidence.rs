//! What the evidence is like.

use std::collections::BTreeSet;

use burnish_types::Characteristics;

/// Letters from which on a word carries something of its own.
const LEAST_LETTERS: usize = 4;
/// The share of words that say something new at which a text is as dense as texts get; and that at which it says next to nothing.
const DENSE: f64 = 0.75;
const LOOSE: f64 = 0.25;
/// Words of which the density is told; of more, repetition says less.
const WINDOW: usize = 200;
/// So many years are old.
const OLD_YEARS: f64 = 10.0;
/// Years that a text may name.
const YEARS: std::ops::RangeInclusive<i32> = 1900..=2100;
/// So many lines of a passage look like code before it is taken for that.
const CODE_LINES: usize = 2;

/// A passage.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Its text.
    pub text: &'a str,
    /// Whether it is part of a table.
    pub is_table: bool,
}

/// Adds what the evidence says. `conflicts` are the places of passages that contradict each other; `year` is the present one.
pub fn of_evidence(
    known: Characteristics,
    sources: &[Source<'_>],
    conflicts: &[[usize; 2]],
    year: i32,
) -> Characteristics {
    let contradicting: BTreeSet<usize> = conflicts.iter().flatten().copied().collect();
    let share = |count: usize| count as f64 / sources.len().max(1) as f64;
    let densities = sources.iter().map(|source| density(source.text)).sum::<f64>();
    let newest = sources.iter().filter_map(|source| newest_year(source.text, year)).max();
    let age = newest.map_or(0.0, |newest| (f64::from(year - newest) / OLD_YEARS).clamp(0.0, 1.0));
    let mut modalities: Vec<String> = Vec::new();
    for source in sources {
        let modality = if source.is_table {
            "table"
        } else if is_code(source.text) {
            "code"
        } else {
            "text"
        };
        if !modalities.iter().any(|known| known == modality) {
            modalities.push(modality.to_owned());
        }
    }
    modalities.sort_unstable();
    Characteristics {
        density: densities / sources.len().max(1) as f64,
        conflict: share(contradicting.len()).min(1.0),
        age,
        modalities,
        ..known
    }
}

/// Of the words of a text, the share that are long enough to carry something, or a number, and were not said before; from 0 where
/// that is [`LOOSE`] to 1 where it is [`DENSE`].
fn density(text: &str) -> f64 {
    let mut seen = BTreeSet::new();
    let (mut words, mut new) = (0_u32, 0_u32);
    for word in
        text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()).take(WINDOW)
    {
        words += 1;
        let carries =
            word.chars().count() >= LEAST_LETTERS || word.chars().any(|letter| letter.is_ascii_digit());
        new += u32::from(carries && seen.insert(word.to_lowercase()));
    }
    let share = f64::from(new) / f64::from(words.max(1));
    ((share - LOOSE) / (DENSE - LOOSE)).clamp(0.0, 1.0)
}

fn newest_year(text: &str, now: i32) -> Option<i32> {
    let numbers = text.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| word.len() == 4);
    numbers.filter_map(|word| word.parse().ok()).filter(|year| YEARS.contains(year) && *year <= now).max()
}

fn is_code(text: &str) -> bool {
    let ends =
        |line: &&str| line.ends_with(['{', '}', ';']) || line.starts_with("$ ") || line.starts_with("```");
    text.lines().map(str::trim).filter(|line| !line.is_empty()).filter(ends).count() >= CODE_LINES
}
