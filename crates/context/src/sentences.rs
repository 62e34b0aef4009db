//! Where sentences begin and end.

use std::ops::Range;

/// Words before whose full stop a sentence does not end.
const ABBREVIATIONS: [&str; 14] =
    ["e.g", "i.e", "etc", "cf", "vs", "Mr", "Mrs", "Ms", "Dr", "Prof", "Fig", "fig", "No", "al"];

/// Letters of the longest of them.
const LONGEST_ABBREVIATION: usize = 4;

/// The sentences of a text with all that stands between them: each range begins where the last one ended. A sentence ends at
/// `.`, `!` or `?` before white space and something that is not lower case, or at the end of a line that a blank or marked one
/// follows.
pub fn sentences(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut ends = Vec::new();
    let bytes = text.as_bytes();
    for (at, character) in text.char_indices() {
        let rest = &text[at + character.len_utf8()..];
        let ends_sentence = matches!(character, '.' | '!' | '?' | '。' | '！' | '？')
            && rest.starts_with(|c: char| c.is_whitespace() || !c.is_ascii())
            && rest.trim_start().chars().next().is_none_or(|next| !next.is_lowercase())
            && !(character == '.' && abbreviated(&text[..at]));
        let ends_line = character == '\n'
            && (rest.starts_with(['\n', '-', '*', '#', '|', '>'])
                || bytes.get(at + 1).is_some_and(u8::is_ascii_digit));
        if ends_sentence || ends_line {
            ends.push(at + character.len_utf8());
        }
    }
    ends.push(text.len());
    let mut start = 0;
    ends.into_iter().map(move |end| std::mem::replace(&mut start, end)..end)
}

/// Whether the full stop after `before` belongs to an abbreviation or to an initial.
fn abbreviated(before: &str) -> bool {
    let ends = |c: char| c.is_whitespace() || c == '(';
    // No further than the longest of them is, however long a text goes on without a space.
    let start = before.char_indices().rev().take(LONGEST_ABBREVIATION + 1).find(|(_, c)| ends(*c));
    let word = match start {
        Some((at, space)) => &before[at + space.len_utf8()..],
        None if before.len() <= LONGEST_ABBREVIATION => before,
        None => return false,
    };
    let mut letters = word.chars();
    let initial = letters.next().is_some_and(char::is_uppercase) && letters.next().is_none();
    ABBREVIATIONS.contains(&word) || initial
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sentences_end_where_a_reader_ends_them() {
        let cases: [(&str, &[&str]); 6] = [
            ("", &[""]),
            ("The first one ends. The second one, too.", &["The first one ends.", " The second one, too."]),
            (
                "It costs 3.5 units e.g. in winter. J. Doe et al. say so too!",
                &["It costs 3.5 units e.g. in winter.", " J. Doe et al. say so too!"],
            ),
            ("A list\n- of several\n- and more", &["A list\n", "- of several\n", "- and more"]),
            ("| a | b |\n|---|---|\n| 1 | 2 |", &["| a | b |\n", "|---|---|\n", "| 1 | 2 |"]),
            ("Is it really so? yes it is so", &["Is it really so? yes it is so"]),
        ];
        for (text, expected) in cases {
            let found: Vec<&str> =
                sentences(text).map(|range| &text[range]).filter(|s| !s.is_empty()).collect();
            let expected: Vec<&str> = expected.iter().copied().filter(|s| !s.is_empty()).collect();
            assert_eq!(found, expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn sentences_make_up_the_text(text in "\\PC{0,200}|([a-zé.!? \n-]{0,200})") {
            let joined: String = sentences(&text).map(|range| text[range].to_owned()).collect();
            prop_assert_eq!(joined, text);
        }
    }
}
