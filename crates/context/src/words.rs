//! Words as they are compared: without their endings, and without those that carry no topic.

use std::collections::HashMap;

/// Words that carry no topic.
const FUNCTION_WORDS: [&str; 62] = [
    "a", "an", "the", "of", "in", "on", "at", "to", "for", "from", "by", "with", "and", "or", "is", "are",
    "was", "were", "be", "been", "what", "which", "who", "whom", "whose", "when", "where", "how", "why",
    "did", "do", "does", "that", "this", "it", "its", "as", "has", "have", "had", "their", "his", "her",
    "they", "he", "she", "i", "you", "we", "there", "these", "those", "will", "would", "can", "could", "if",
    "than", "then", "into", "about", "also",
];
/// Endings that do not change what is spoken of.
const ENDINGS: [&str; 5] = ["ing", "ed", "es", "s", "e"];
/// A stem is not shorter than that.
const SMALLEST_STEM: usize = 3;
/// From here on letters are words, not parts of them (CJK radicals and what comes after them).
const FIRST_IDEOGRAPH: char = '\u{2E80}';
/// What denies.
const DENIALS: [&str; 10] =
    ["not", "no", "never", "none", "neither", "nor", "without", "cannot", "nobody", "nothing"];

/// A word by a number of its own within one [`Words`].
pub(crate) type Word = u32;

/// Gives words their numbers.
#[derive(Default)]
pub(crate) struct Words {
    known: HashMap<String, Word>,
}

/// What a text says, as far as words can tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// Its topic words, ascending, each once.
    pub(crate) topics: Vec<Word>,
    /// Those of them that hold a digit.
    pub(crate) numbers: Vec<Word>,
    /// Whether it denies an odd number of times.
    pub(crate) denies: bool,
    /// Whether it names something: a capital within the sentence.
    pub(crate) names: bool,
    /// About how many tokens it is.
    pub(crate) tokens: usize,
}

impl Words {
    pub(crate) fn read(&mut self, text: &str) -> Said {
        let mut said = Said::default();
        let mut lower = String::new();
        for (place, word) in words(text).enumerate() {
            // As encoders cut words: one token, and one more for every few letters; ideographs are words each.
            let ideographs = word.chars().filter(|c| *c >= FIRST_IDEOGRAPH).count();
            said.tokens += if ideographs > 0 { word.chars().count() } else { 1 + word.len() / 7 };
            said.names |= place > 0 && word.starts_with(char::is_uppercase);
            lower.clear();
            lower.extend(word.chars().flat_map(char::to_lowercase));
            said.denies ^= DENIALS.contains(&lower.as_str()) || lower == "t" && place > 0;
            if FUNCTION_WORDS.contains(&lower.as_str()) {
                continue;
            }
            let number = lower.contains(|c: char| c.is_ascii_digit());
            let stem = if number { lower.as_str() } else { stem(&lower) };
            let word = match self.known.get(stem) {
                Some(word) => *word,
                None => {
                    let fresh = self.known.len() as Word;
                    self.known.insert(stem.to_owned(), fresh);
                    fresh
                }
            };
            said.topics.push(word);
            if number {
                said.numbers.push(word);
            }
        }
        said.tokens += text.chars().filter(|c| !c.is_alphanumeric() && !c.is_whitespace()).count();
        for list in [&mut said.topics, &mut said.numbers] {
            list.sort_unstable();
            list.dedup();
        }
        said
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

fn stem(word: &str) -> &str {
    let long_enough = |stem: &&str| stem.chars().count() >= SMALLEST_STEM;
    ENDINGS.iter().find_map(|ending| word.strip_suffix(ending).filter(long_enough)).unwrap_or(word)
}

/// How many words two ascending lists have in common.
pub(crate) fn common(one: &[Word], other: &[Word]) -> usize {
    let (mut left, mut right, mut count) = (0, 0, 0);
    while let (Some(a), Some(b)) = (one.get(left), other.get(right)) {
        match a.cmp(b) {
            std::cmp::Ordering::Less => left += 1,
            std::cmp::Ordering::Greater => right += 1,
            std::cmp::Ordering::Equal => {
                (left, right, count) = (left + 1, right + 1, count + 1);
            }
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_for_what_they_speak_of() {
        let mut words = Words::default();
        let one = words.read("The caches of Rome expired in 1999.");
        let other = words.read("A cache doesn't expire");
        assert_eq!(common(&one.topics, &other.topics), 2);
        assert_eq!((one.numbers.len(), one.denies, one.names), (1, false, true));
        assert_eq!((other.numbers.len(), other.denies, other.names), (0, true, false));
        assert_eq!(words.read(""), Said::default());
    }
}
