//! Where sentences end, by rules that hold for European and East Asian scripts.

use std::ops::Range;

/// Sentences of fewer bytes than this stay with the next one: they are mostly initials, numbers and abbreviations.
pub(crate) const SHORTEST: usize = 20;

/// Words that a full stop follows without ending a sentence, in lower case and without it.
const ABBREVIATIONS: [&str; 36] = [
    "al", "approx", "art", "bzw", "ca", "cf", "co", "corp", "dept", "dr", "e.g", "ed", "eds", "eq", "etc",
    "fig", "figs", "i.e", "inc", "jr", "ltd", "mr", "mrs", "ms", "no", "nr", "p", "pp", "prof", "ref", "sec",
    "sr", "st", "u.s", "vol", "vs",
];

/// The sentences of `text` in order, as ranges of bytes without the white space around them. Together they hold every
/// character that is not white space.
pub(crate) fn sentences(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let Some(mark) = Mark::of(character) else { continue };
        let mut end = at + character.len_utf8();
        while let Some((next, closer)) =
            characters.next_if(|(_, next)| Mark::of(*next).is_some() || closes(*next))
        {
            end = next + closer.len_utf8();
        }
        if end - start >= SHORTEST && ends_sentence(text, mark, at, end) {
            push_trimmed(&mut found, text, start..end);
            start = end;
        }
    }
    push_trimmed(&mut found, text, start..text.len());
    found
}

/// Adds `range` without the white space at its ends, unless nothing is left.
pub(crate) fn push_trimmed(ranges: &mut Vec<Range<usize>>, text: &str, range: Range<usize>) {
    let piece = &text[range.clone()];
    let start = range.start + (piece.len() - piece.trim_start().len());
    let end = start + piece.trim().len();
    if start < end {
        ranges.push(start..end);
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Mark {
    /// May also abbreviate.
    Stop,
    /// Ends a sentence before white space.
    Strong,
    /// Ends a sentence wherever it stands.
    EastAsian,
}

impl Mark {
    fn of(character: char) -> Option<Self> {
        match character {
            '.' => Some(Self::Stop),
            '!' | '?' | '…' | '؟' | '।' => Some(Self::Strong),
            '。' | '！' | '？' | '｡' => Some(Self::EastAsian),
            _ => None,
        }
    }
}

fn closes(character: char) -> bool {
    matches!(character, '"' | '\'' | '”' | '’' | '»' | ')' | ']' | '」' | '』' | '）')
}

fn ends_sentence(text: &str, mark: Mark, at: usize, end: usize) -> bool {
    if mark == Mark::EastAsian {
        return true;
    }
    let rest = &text[end..];
    let next = rest.trim_start();
    if rest.len() == next.len() || next.chars().next().is_none_or(char::is_lowercase) {
        return false;
    }
    mark == Mark::Strong || !abbreviates(&text[..at])
}

/// Whether the full stop after `before` belongs to its last word.
fn abbreviates(before: &str) -> bool {
    let start = before
        .char_indices()
        .rev()
        .take(12)
        .find(|(_, character)| character.is_whitespace() || matches!(character, '(' | '[' | '"' | '“'))
        .map_or(0, |(at, character)| at + character.len_utf8());
    let word = &before[start..];
    let mut letters = word.chars();
    let initial = letters.next().is_some_and(char::is_uppercase) && letters.next().is_none();
    initial || ABBREVIATIONS.contains(&word.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sentences_end_where_a_reader_would_end_them() {
        let cases: [(&str, &[&str]); 7] = [
            ("A first sentence here. And another one.", &["A first sentence here.", "And another one."]),
            (
                "It was shown by Smith et al. (2019) that this holds.",
                &["It was shown by Smith et al. (2019) that this holds."],
            ),
            (
                "The engine by J. R. Smith reads version 1.2.3 of it.",
                &["The engine by J. R. Smith reads version 1.2.3 of it."],
            ),
            (
                "Is the cache really warm? Yes (it is!). Good.",
                &["Is the cache really warm?", "Yes (it is!). Good."],
            ),
            ("“Who goes there tonight?” asked the guard.", &["“Who goes there tonight?” asked the guard."]),
            (
                "これは最初の文です。これは二番目の文です。",
                &["これは最初の文です。", "これは二番目の文です。"],
            ),
            ("  ", &[]),
        ];
        for (text, expected) in cases {
            let found: Vec<&str> = sentences(text).into_iter().map(|range| &text[range]).collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_but_white_space_is_left_out(text in "[a-zA-Z.!? \n。\"éß]{0,200}") {
            let kept: String = sentences(&text).into_iter().map(|range| &text[range]).collect();
            prop_assert_eq!(bare(&kept), bare(&text));
        }
    }

    fn bare(text: &str) -> String {
        text.chars().filter(|character| !character.is_whitespace()).collect()
    }
}
