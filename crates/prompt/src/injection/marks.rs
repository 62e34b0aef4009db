//! Marks that a prompt has and a document has not: turns of a conversation, and delimiters that end what never began.

use std::ops::Range;

use super::reading::is_container;

/// What models tell turns by.
const TURNS: [&str; 15] = [
    "<|im_start|>",
    "<|im_end|>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|eot_id|>",
    "<|start_header_id|>",
    "<|endoftext|>",
    "<|begin_of_text|>",
    "[INST]",
    "[/INST]",
    "<<SYS>>",
    "<</SYS>>",
    "<start_of_turn>",
    "<end_of_turn>",
];
/// So many marks of a kind are looked at, so that the time does not grow with the square of the length.
const MOST: usize = 100;
/// Headings of prompts; two of them make one.
const HEADINGS: [&str; 9] = [
    "question",
    "documents",
    "passages",
    "context",
    "instruction",
    "instructions",
    "answer",
    "task",
    "response",
];

/// The first mark found, its place, and what it does.
pub(super) fn find(text: &str) -> Option<(Range<usize>, &'static str)> {
    if !text.contains(['<', '[', '#', ':', '\u{e0020}']) && !text.contains(super::letters::is_tag) {
        return None;
    }
    let turn = || {
        TURNS.iter().filter_map(|turn| {
            let place = text
                .match_indices(turn)
                .take(MOST)
                .map(|(place, _)| place)
                .find(|place| !is_quoted(text, *place))?;
            Some(place..place + turn.len())
        })
    };
    let smallest = |places: &mut dyn Iterator<Item = Range<usize>>| places.min_by_key(|place| place.start);
    smallest(&mut turn())
        .map(|place| (place, "has marks of who speaks"))
        .or_else(|| unopened(text).map(|place| (place, "ends a delimiter that it did not begin")))
        .or_else(|| conversation(text).map(|place| (place, "plays a conversation with an assistant")))
        .or_else(|| headings(text).map(|place| (place, "is set out like a prompt")))
        .or_else(|| unseen(text).map(|place| (place, "holds text that cannot be seen")))
}

/// Whether a place stands in code, as documentation would have it.
fn is_quoted(text: &str, place: usize) -> bool {
    let before = &text[..place];
    let line = before.rsplit('\n').next().unwrap_or(before);
    line.matches('`').count() % 2 == 1
        || (before.matches("```").count() % 2 == 1 && text[place..].contains("```"))
}

/// An end tag of what prompts put passages into, without its beginning.
fn unopened(text: &str) -> Option<Range<usize>> {
    text.match_indices("</").take(MOST).find_map(|(place, sign)| {
        let rest = &text[place + sign.len()..];
        let name = rest.split(|letter: char| !letter.is_ascii_alphabetic() && letter != '_').next()?;
        let begins = || {
            text[..place].match_indices('<').any(|(open, _)| {
                text[open + 1..].get(..name.len()).is_some_and(|known| known.eq_ignore_ascii_case(name))
            })
        };
        (is_container(name) && !is_quoted(text, place) && !begins())
            .then_some(place..place + sign.len() + name.len())
            .map(|found| match text[found.end..].starts_with('>') {
                true => found.start..found.end + 1,
                false => found,
            })
    })
}

/// A line of an assistant after one of its user.
fn conversation(text: &str) -> Option<Range<usize>> {
    let mut asked = false;
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let shown = line.trim_start_matches([' ', '*', '#', '>', '\t', '\r']);
        let speaker = shown.split_once(':').map_or("", |(speaker, _)| speaker).trim_end_matches('*');
        let is = |name: &str| speaker.eq_ignore_ascii_case(name);
        if asked && (is("assistant") || is("ai")) {
            let indent = line.len() - shown.len();
            return Some(start + indent..start + indent + speaker.len() + 1);
        }
        asked |= is("human") || is("user") || is("system");
        start += line.len();
    }
    None
}

/// The second of two headings that prompts have.
fn headings(text: &str) -> Option<Range<usize>> {
    let mut known: Option<&str> = None;
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let shown = line.trim();
        if let Some(heading) = shown.strip_prefix('#') {
            let heading = heading.trim_start_matches(['#', ' ']);
            let word = heading.split(|letter: char| !letter.is_alphabetic()).next().unwrap_or_default();
            let rest = heading[word.len()..].trim_start();
            let alone = rest.is_empty() || rest.starts_with(['(', ':']);
            if let Some(name) = HEADINGS.iter().find(|name| alone && name.eq_ignore_ascii_case(word)) {
                if known.is_some_and(|known| known != *name) && !is_quoted(text, start) {
                    let from = start + (line.len() - line.trim_start().len());
                    return Some(from..from + shown.len());
                }
                known = Some(name);
            }
        }
        start += line.len();
    }
    None
}

/// Text in characters that no font shows.
fn unseen(text: &str) -> Option<Range<usize>> {
    let mut tags =
        text.char_indices().filter(|(_, letter)| super::letters::is_tag(*letter)).map(|(place, _)| place);
    let first = tags.next()?;
    let last = tags.next_back()?;
    // Flags of regions are spelt with a handful of them.
    (last - first > 8 * '\u{e0041}'.len_utf8()).then_some(first..last + '\u{e0041}'.len_utf8())
}
