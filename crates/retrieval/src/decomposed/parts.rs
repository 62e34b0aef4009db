//! A question of several hops, split into simple ones by a language model.
//!
//! The idea is that of self-ask (Press et al. 2022, "Measuring and Narrowing the Compositionality Gap"), but the model
//! is asked once and reads no passage: what a part needs of an earlier one is filled in from what that one found.

use crate::writing::write_lines;
use crate::{RetrievalError, Writer};

const INSTRUCTIONS: &str = "Split the question into the fewest simple questions whose answers together give its answer: \
at most three, one a line, in the order in which they can be answered, in the question's language. Where one needs the \
answer of an earlier one, write #1 or #2 in the place of that answer. Repeat a question that is simple already. Write \
the questions alone.";
const MAX_TOKENS: u32 = 120;
/// What comes after so many parts is left out.
const MOST_PARTS: usize = 3;
const LONGEST_CHARACTERS: usize = 300;

/// A simple question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Its words, with a reference where it needs an earlier answer.
    text: String,
    /// The place of the part whose answer it needs.
    pub(super) needs: Option<usize>,
}

impl Part {
    /// Its words, with `names` in the place of what it needs.
    pub(super) fn asked_with(&self, names: &[String]) -> String {
        let names = names.join(" ");
        let words = self.text.split_whitespace().map(|word| match reference(word) {
            Some(_) => names.as_str(),
            None => word,
        });
        words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

/// The parts of `question` in the model's words; none where it takes the question for a simple one.
pub(super) fn split(
    writer: &dyn Writer,
    strategy: &'static str,
    question: &str,
) -> Result<Vec<Part>, RetrievalError> {
    let lines = write_lines(writer, strategy, INSTRUCTIONS, question.to_owned(), MAX_TOKENS)?;
    Ok(parse(&lines))
}

/// Models number, quote and announce what they list, whatever they are told.
fn parse(lines: &[String]) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for text in lines.iter().flat_map(|line| questions_of(line)) {
        let known = parts.iter().any(|part| part.text.eq_ignore_ascii_case(&text));
        if !known && parts.len() < MOST_PARTS {
            let earlier = |number: usize| (1..=parts.len()).contains(&number).then(|| number - 1);
            let needs = text.split_whitespace().find_map(|word| earlier(reference(word)?));
            parts.push(Part { text, needs });
        }
    }
    if parts.len() > 1 { parts } else { Vec::new() }
}

/// The questions of one line, of which there are several in a list as programs write it.
fn questions_of(line: &str) -> Vec<String> {
    let listed: Vec<&str> = match line.starts_with('[') && line.contains('"') {
        true => line.split('"').skip(1).step_by(2).collect(),
        false => vec![line],
    };
    listed.into_iter().filter_map(question_of).collect()
}

/// A line without its number or bullet and without quotes; `None` where it asks nothing.
fn question_of(line: &str) -> Option<String> {
    let bare = line.trim_start_matches(['-', '*', '•', ' ']);
    let label = bare.trim_start_matches(['#', 'Q']);
    let number = label.trim_start_matches(|c: char| c.is_ascii_digit());
    let is_numbered = number.len() < label.len() && number.starts_with(['.', ')', ':']);
    let text = if is_numbered { &number[1..] } else { bare };
    let text = text.trim_matches(|c: char| c.is_whitespace() || "\"“”,".contains(c));
    let announces = text.ends_with(':') || text.starts_with("```");
    let asks = text.chars().any(char::is_alphanumeric) && !announces;
    asks.then(|| text.chars().take(LONGEST_CHARACTERS).collect())
}

/// The number in a word that refers to an earlier part, such as `#1` or `#1's`.
fn reference(word: &str) -> Option<usize> {
    let tail = word.trim_start_matches(['(', '"', '[', '{']).strip_prefix('#')?;
    let digits = tail.find(|c: char| !c.is_ascii_digit()).map_or(tail, |end| &tail[..end]);
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Vec<(String, Option<usize>)> {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        parse(&lines).into_iter().map(|part| (part.text, part.needs)).collect()
    }

    #[test]
    fn lists_are_read_however_they_are_written() {
        let expected = [("Who wrote The Road?".to_owned(), None), ("Where was #1 born?".to_owned(), Some(0))];
        for text in [
            "Who wrote The Road?\nWhere was #1 born?",
            "1. Who wrote The Road?\n2. Where was #1 born?",
            "Here are the questions:\n- \"Who wrote The Road?\"\n- \"Where was #1 born?\"",
            "#1: Who wrote The Road?\n#2: Where was #1 born?",
            "Q1) Who wrote The Road?\nQ2) Where was #1 born?",
            "[\"Who wrote The Road?\", \"Where was #1 born?\"]",
            "```json\n[\n\"Who wrote The Road?\",\n\"Where was #1 born?\"\n]\n```",
            "Who wrote The Road?\nwho wrote the road?\nWhere was #1 born?",
        ] {
            assert_eq!(parsed(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_list_of_parts_splits_nothing() {
        for text in ["", "Who wrote The Road?", "Here you are:", "Who wrote The Road?\nWho wrote The Road?"] {
            assert_eq!(parsed(text), [], "{text:?}");
        }
        let many = parsed("a?\nb #1?\nc #2 #1?\nd?");
        assert_eq!(many.len(), MOST_PARTS);
        assert_eq!((many[1].1, many[2].1), (Some(0), Some(1)));
        assert_eq!(
            parsed("a of #2?\nb of #9 and #1?"),
            [("a of #2?".to_owned(), None), ("b of #9 and #1?".to_owned(), Some(0))]
        );
    }

    #[test]
    fn references_give_way_to_names() {
        let part = Part { text: "Where was #1's (#1) son born?".to_owned(), needs: Some(0) };
        let names = ["Ada Quillfeather".to_owned()];
        assert_eq!(part.asked_with(&names), "Where was Ada Quillfeather Ada Quillfeather son born?");
        assert_eq!(part.asked_with(&[]), "Where was son born?");
    }

    proptest! {
        #[test]
        fn whatever_a_model_says_is_bounded(text in "\\PC{0,200}|([#0-9a?\"\\[\\],:.\n -]{0,120})") {
            for (place, (text, needs)) in parsed(&text).into_iter().enumerate() {
                prop_assert!(place < MOST_PARTS && text.chars().count() <= LONGEST_CHARACTERS);
                prop_assert!(needs.is_none_or(|needs| needs < place));
            }
        }
    }
}
