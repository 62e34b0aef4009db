//! The text of a PDF's pages to an outline: one section a page, so that every chunk lies on the page it names.

use std::collections::{HashMap, HashSet};

use burnish_types::MetadataValue;
use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::limits::Limits;
use crate::outline::{BlockKind, Outline, OutlineBuilder};
use crate::text::paragraphs;
use crate::title::is_title;

/// How many lines at the top and at the bottom of a page may be running lines.
const EDGE_LINES: usize = 2;

/// In fewer pages than this, lines repeat by chance.
const FEWEST_PAGES: usize = 4;

/// What the parser of PDFs finds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pages {
    pub(crate) title: Option<String>,
    pub(crate) author: Option<String>,
    /// The text of each page, empty where none could be read.
    pub(crate) texts: Vec<String>,
}

pub(crate) fn outline(pages: &Pages, limits: &Limits) -> Result<Outline, Fault> {
    let mut builder = OutlineBuilder::new(limits);
    let mut texts: Vec<String> = pages.texts.iter().map(|text| clean(text)).collect();
    drop_running_lines(&mut texts);
    let words = Words::of(&texts);
    for (number, text) in (1..).zip(&texts) {
        builder.page(Some(number));
        builder.end_section();
        for paragraph in paragraphs(text) {
            builder.block(BlockKind::Paragraph, &words.join_hyphens(&paragraph))?;
        }
    }
    let outline = builder.outline();
    outline.title = pages.title.clone().filter(|title| is_title(title));
    if let Some(author) = pages.author.clone().filter(|author| !author.trim().is_empty()) {
        outline.metadata.insert("author".to_owned(), MetadataValue::Text(author));
    }
    builder.finish().map_err(|fault| match fault {
        Fault::NoText => Fault::NoTextLayer,
        fault => fault,
    })
}

/// Ligatures become letters, for who searches doesn't type them; runs of spaces, which are gaps between columns,
/// become one.
fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            'ﬀ' => cleaned.push_str("ff"),
            'ﬁ' => cleaned.push_str("fi"),
            'ﬂ' => cleaned.push_str("fl"),
            'ﬃ' => cleaned.push_str("ffi"),
            'ﬄ' => cleaned.push_str("ffl"),
            'ﬅ' | 'ﬆ' => cleaned.push_str("st"),
            '\u{ad}' => cleaned.push('-'),
            '\n' => cleaned.push('\n'),
            _ if character.is_whitespace() || character.is_control() => {
                if !cleaned.ends_with([' ', '\n']) {
                    cleaned.push(' ');
                }
            }
            _ => cleaned.push(character),
        }
    }
    cleaned
}

/// Running heads and page numbers say nothing of the page they stand on. They are the lines that stand, but for their
/// digits, at the edge of most pages.
fn drop_running_lines(texts: &mut [String]) {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for text in texts.iter() {
        let patterns: HashSet<String> = edge_lines(text).into_iter().map(|(_, line)| pattern(line)).collect();
        for pattern in patterns {
            *counts.entry(pattern).or_default() += 1;
        }
    }
    let most = texts.iter().filter(|text| !text.trim().is_empty()).count().max(FEWEST_PAGES) / 2;
    for text in texts {
        let edges = edge_lines(text).into_iter();
        let running: Vec<usize> = edges
            .filter(|(_, line)| counts.get(&pattern(line)).is_some_and(|count| *count > most))
            .map(|(number, _)| number)
            .collect();
        let lines = text.lines().enumerate().filter(|(number, _)| !running.contains(number));
        let rest = lines.map(|(_, line)| line).collect::<Vec<_>>().join("\n");
        // A page that has nothing else keeps what it has.
        if !rest.trim().is_empty() {
            *text = rest;
        }
    }
}

/// The first and the last lines of a page that aren't blank, with their numbers.
fn edge_lines(text: &str) -> Vec<(usize, &str)> {
    let lines: Vec<(usize, &str)> =
        text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).collect();
    let tail = lines.len().saturating_sub(EDGE_LINES).max(EDGE_LINES.min(lines.len()));
    [&lines[..lines.len().min(EDGE_LINES)], &lines[tail..]].concat()
}

/// The line with each of its numbers as one sign.
fn pattern(line: &str) -> String {
    let mut pattern = String::new();
    for character in line.trim().chars() {
        match character.is_ascii_digit() {
            true if pattern.ends_with('#') => {}
            true => pattern.push('#'),
            false => pattern.push(character),
        }
    }
    pattern
}

/// The words of a document, by which it is told whether a hyphen at the end of a line belongs to the word.
struct Words<'a>(HashSet<&'a str>);

impl<'a> Words<'a> {
    fn of(texts: &'a [String]) -> Self {
        let words = texts.iter().flat_map(|text| text.split_whitespace());
        Self(words.map(|word| word.trim_matches(is_punctuation)).filter(|word| word.len() > 3).collect())
    }

    /// Joins words that were broken over two lines.
    fn join_hyphens(&self, paragraph: &str) -> String {
        let mut joined = String::with_capacity(paragraph.len());
        let mut lines = paragraph.lines().map(str::trim).peekable();
        while let Some(line) = lines.next() {
            joined.push_str(line);
            let Some(next) = lines.peek() else { break };
            match self.break_between(line, next) {
                Break::Line => joined.push('\n'),
                Break::Hyphen => {
                    joined.pop();
                }
                Break::Compound => {}
            }
        }
        joined
    }

    fn break_between(&self, line: &str, next: &str) -> Break {
        let first = line.rsplit(char::is_whitespace).next().unwrap_or_default();
        let second = next.split_whitespace().next().unwrap_or_default();
        let Some(stem) = first.strip_suffix('-').filter(|stem| stem.ends_with(char::is_alphabetic)) else {
            return Break::Line;
        };
        if !second.starts_with(char::is_lowercase) {
            return Break::Line;
        }
        let (stem, rest) = (stem.trim_start_matches(is_punctuation), second.trim_end_matches(is_punctuation));
        match self.0.contains(format!("{stem}-{rest}").as_str())
            && !self.0.contains(format!("{stem}{rest}").as_str())
        {
            true => Break::Compound,
            false => Break::Hyphen,
        }
    }
}

enum Break {
    /// The line ends, and no word does not.
    Line,
    /// The hyphen only breaks the word.
    Hyphen,
    /// The hyphen is the word's own.
    Compound,
}

fn is_punctuation(character: char) -> bool {
    !character.is_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One line a block, with its page.
    fn texts(pages: &[&str]) -> Vec<String> {
        let pages =
            Pages { texts: pages.iter().map(|text| (*text).to_owned()).collect(), ..Pages::default() };
        let outline = outline(&pages, &Limits::default()).unwrap();
        let blocks = outline.sections.into_iter().flat_map(|section| section.blocks);
        blocks
            .map(|block| block.page.map_or(String::new(), |page| format!("{page}> ")) + &block.text)
            .collect()
    }

    #[test]
    fn pages_are_sections_and_words_are_whole() {
        let cases: [(&[&str], &[&str]); 4] = [
            (&["One\n\nTwo", "", "Three"], &["1> One", "1> Two", "3> Three"]),
            (&["an ef-\nﬁcient way"], &["1> an efficient way"]),
            (
                &["a long-\nterm plan\n\nour long-term plan"],
                &["1> a long-term plan", "1> our long-term plan"],
            ),
            (&["Net sales   1,234 \n  from 2020-\n2021"], &["1> Net sales 1,234\nfrom 2020-\n2021"]),
        ];
        for (pages, expected) in cases {
            assert_eq!(texts(pages), expected);
        }
    }

    #[test]
    fn running_lines_are_left_out() {
        let page = |number: usize| {
            format!("Annual Report\n\nThe text of page {}.\n{number}", ["a", "b", "c", "d"][number])
        };
        let pages: Vec<String> = (0..4).map(page).collect();
        let pages: Vec<&str> = pages.iter().map(String::as_str).chain(["7"]).collect();
        let expected = [
            "1> The text of page a.",
            "2> The text of page b.",
            "3> The text of page c.",
            "4> The text of page d.",
            "5> 7",
        ];
        assert_eq!(texts(&pages), expected);
        assert_eq!(texts(&["Head\n1", "Head\n2"]), ["1> Head\n1", "2> Head\n2"], "two pages prove nothing");
    }

    #[test]
    fn pages_without_text_are_refused() {
        let pages = Pages { texts: vec![" \n".to_owned()], ..Pages::default() };
        assert!(matches!(outline(&pages, &Limits::default()), Err(Fault::NoTextLayer)));
    }
}
