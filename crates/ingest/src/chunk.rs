//! Cuts outlines into chunks of at most so many tokens, at the places where it hurts least.
//!
//! Within a section the cuts are the cheapest ones as a whole, not one after the other, as Knuth and Plass break
//! paragraphs into lines ("Breaking Paragraphs into Lines", Software: Practice and Experience 11, 1981): a chunk
//! costs the square of the room that it leaves, more where it is too short to stand for itself, and the penalty of
//! the place where it starts.

use burnish_types::{ChunkDraft, Location, PageRange, RowRange};

use crate::limits::{Chunking, TokenCounter};
use crate::outline::{Block, BlockKind, Outline, Section};
use crate::units::{Unit, units};

/// What a chunk below the least size costs on top.
const TOO_SHORT: f32 = 1.0;

/// The chunks of a document in reading order.
pub(crate) fn chunks(outline: &Outline, chunking: &Chunking, counter: &dyn TokenCounter) -> Vec<ChunkDraft> {
    let mut found = Vec::new();
    for section in &outline.sections {
        cut_section(section, chunking, counter, &mut found);
    }
    found
}

/// The chunks of a record: itself where it is short enough, verbatim.
pub(crate) fn record_chunks(text: &str, chunking: &Chunking, counter: &dyn TokenCounter) -> Vec<ChunkDraft> {
    let text = text.trim();
    let paragraph =
        |text: &str| Block { text: text.to_owned(), kind: BlockKind::Paragraph, page: None, row: None };
    let blocks = text.split("\n\n").map(str::trim).filter(|text| !text.is_empty()).map(paragraph).collect();
    let section = Section { headings: Vec::new(), blocks };
    let room = chunking.max_tokens.max(8);
    let pieces = units(&section.blocks, room, counter);
    let weight: usize = pieces.iter().map(|unit| unit.weight).sum();
    if weight <= chunking.record_max_tokens {
        let tokens = pieces.iter().map(|unit| unit.tokens).sum();
        return vec![ChunkDraft {
            text: text.to_owned(),
            location: Location::default(),
            tokens: narrow(tokens),
        }];
    }
    let mut found = Vec::new();
    pack(&section, &pieces, chunking, &mut found);
    found
}

fn cut_section(
    section: &Section,
    chunking: &Chunking,
    counter: &dyn TokenCounter,
    found: &mut Vec<ChunkDraft>,
) {
    let (room, overlap) = rooms(chunking);
    pack(section, &units(&section.blocks, room - overlap, counter), chunking, found);
}

/// The most that a chunk holds, and how much of it may repeat the chunk before.
fn rooms(chunking: &Chunking) -> (usize, usize) {
    let room = chunking.max_tokens.max(8);
    (room, chunking.overlap_tokens.min(room / 2))
}

fn pack(section: &Section, units: &[Unit<'_>], chunking: &Chunking, found: &mut Vec<ChunkDraft>) {
    let (room, overlap) = rooms(chunking);
    let mut start = 0;
    for end in cuts(units, room - overlap, chunking.min_tokens) {
        let first = start - repeated(&units[..start], overlap);
        found.push(draft(section, &units[first..end]));
        start = end;
    }
}

/// Where each chunk ends, as numbers of units.
fn cuts(units: &[Unit<'_>], room: usize, least: usize) -> Vec<usize> {
    // best[end] is the cheapest way to cut the first `end` units, with the start of its last chunk.
    let mut best: Vec<(f32, usize)> = vec![(0.0, 0)];
    for end in 1..=units.len() {
        let mut cheapest = (f32::INFINITY, end - 1);
        let mut weight = 0;
        for start in (0..end).rev() {
            weight += units[start].weight;
            if weight > room && start + 1 < end {
                break;
            }
            let slack = 1.0 - (weight as f32 / room as f32).min(1.0);
            let short = if weight < least { TOO_SHORT } else { 0.0 };
            let cost = best[start].0 + slack * slack + short + units[start].penalty;
            if cost < cheapest.0 {
                cheapest = (cost, start);
            }
        }
        best.push(cheapest);
    }
    let mut ends = Vec::new();
    let mut end = units.len();
    while end > 0 {
        ends.push(end);
        end = best[end].1;
    }
    ends.reverse();
    ends
}

/// How many of the last units fit into `overlap`.
fn repeated(units: &[Unit<'_>], overlap: usize) -> usize {
    let mut left = overlap;
    let fits = |unit: &&Unit<'_>| {
        let fits = unit.weight <= left;
        left = left.saturating_sub(unit.weight);
        fits
    };
    units.iter().rev().take_while(fits).count()
}

fn draft(section: &Section, units: &[Unit<'_>]) -> ChunkDraft {
    let mut text = String::new();
    for unit in units {
        if !text.is_empty() {
            text.push_str(unit.gap);
        }
        text.push_str(unit.text);
    }
    let pages =
        span(units.iter().filter_map(|unit| unit.page)).map(|(first, last)| PageRange { first, last });
    let rows = span(units.iter().filter_map(|unit| unit.row)).map(|(first, last)| RowRange { first, last });
    let location = Location { pages, headings: section.headings.clone(), rows };
    ChunkDraft { text, location, tokens: narrow(units.iter().map(|unit| unit.tokens).sum()) }
}

fn span<T: Ord + Copy>(values: impl Iterator<Item = T> + Clone) -> Option<(T, T)> {
    Some((values.clone().min()?, values.max()?))
}

fn narrow(tokens: usize) -> u32 {
    u32::try_from(tokens).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limits::Limits;
    use crate::outline::OutlineBuilder;

    fn words(text: &str) -> usize {
        text.split_whitespace().count()
    }

    /// Counts as a byte-pair encoding does: a few characters a token, never fewer than one a word.
    fn quarters(text: &str) -> usize {
        text.split_whitespace().map(|word| word.chars().count().div_ceil(4)).sum()
    }

    fn section(blocks: &[(BlockKind, &str)]) -> Outline {
        let limits = Limits::default();
        let mut builder = OutlineBuilder::new(&limits);
        for (kind, text) in blocks {
            builder.block(*kind, text).unwrap();
        }
        builder.finish().unwrap()
    }

    fn texts(outline: &Outline, chunking: &Chunking) -> Vec<String> {
        chunks(outline, chunking, &words).into_iter().map(|chunk| chunk.text).collect()
    }

    #[test]
    fn cuts_fall_between_paragraphs_and_never_leave_a_crumb() {
        let chunking = Chunking { max_tokens: 12, min_tokens: 4, ..Chunking::default() };
        let first = "One two three four five six seven.";
        let second = "Eight nine ten eleven twelve thirteen.";
        let crumb = "The end.";
        let outline = section(&[
            (BlockKind::Paragraph, first),
            (BlockKind::Paragraph, second),
            (BlockKind::Paragraph, crumb),
        ]);
        assert_eq!(texts(&outline, &chunking), [first.to_owned(), format!("{second}\n\n{crumb}")]);
    }

    #[test]
    fn headings_stay_with_what_they_head() {
        let chunking = Chunking { max_tokens: 10, min_tokens: 2, ..Chunking::default() };
        let outline = section(&[
            (BlockKind::Paragraph, "One two three four five six seven."),
            (BlockKind::Paragraph, "Cost of sales"),
            (BlockKind::Paragraph, "Eight nine ten eleven twelve."),
        ]);
        assert_eq!(
            texts(&outline, &chunking),
            ["One two three four five six seven.", "Cost of sales\n\nEight nine ten eleven twelve.",]
        );
    }

    #[test]
    fn long_paragraphs_are_cut_into_even_parts_at_sentences() {
        let chunking = Chunking { max_tokens: 10, min_tokens: 2, ..Chunking::default() };
        let sentence = "Four words of text.";
        let outline = section(&[(BlockKind::Paragraph, &[sentence; 4].join(" "))]);
        assert_eq!(
            texts(&outline, &chunking),
            [format!("{sentence} {sentence}"), format!("{sentence} {sentence}")]
        );
    }

    #[test]
    fn overlap_repeats_whole_sentences() {
        let chunking = Chunking { max_tokens: 12, min_tokens: 2, overlap_tokens: 4, ..Chunking::default() };
        let outline = section(&[(
            BlockKind::Paragraph,
            "First sentence comes here. Second sentence comes next. Third sentence comes then. Fourth sentence comes last.",
        )]);
        assert_eq!(
            texts(&outline, &chunking),
            [
                "First sentence comes here. Second sentence comes next.",
                "Second sentence comes next. Third sentence comes then. Fourth sentence comes last.",
            ]
        );
    }

    #[test]
    fn code_keeps_its_lines() {
        let chunking = Chunking { max_tokens: 8, min_tokens: 2, ..Chunking::default() };
        let code = "fn main() {\n    let x = 1;\n    print(x);\n}";
        let outline = section(&[(BlockKind::Code, code)]);
        assert_eq!(texts(&outline, &chunking).join("\n    ").replace("\n    }", "\n}"), code);
        assert_eq!(texts(&outline, &Chunking::default()), [code]);
    }

    #[test]
    fn long_words_are_bounded_by_their_bytes() {
        let outline = section(&[(BlockKind::Paragraph, &"x".repeat(100_000))]);
        let found = texts(&outline, &Chunking::default());
        assert!(found.iter().all(|chunk| chunk.len() <= 200 * 16));
        assert_eq!(found.concat().len(), 100_000);
    }

    #[test]
    fn records_stay_whole_up_to_their_own_limit() {
        let record = "A sentence of five words. ".repeat(80);
        let whole = record_chunks(&record, &Chunking::default(), &words);
        assert_eq!((whole.len(), whole[0].tokens, whole[0].text.as_str()), (1, 400, record.trim()));
        let long =
            record_chunks(&record, &Chunking { record_max_tokens: 300, ..Chunking::default() }, &words);
        assert_eq!(long.iter().map(|chunk| chunk.tokens).collect::<Vec<_>>(), [200, 200]);
    }

    fn kinds() -> impl Strategy<Value = BlockKind> {
        prop_oneof![
            Just(BlockKind::Paragraph),
            Just(BlockKind::ListItem),
            Just(BlockKind::Row),
            Just(BlockKind::Code)
        ]
    }

    proptest! {
        #[test]
        fn no_chunk_is_too_long_and_no_text_is_lost(
            blocks in prop::collection::vec((kinds(), "[a-zA-Z é日😀.,;!?|\n]{1,300}"), 1..12),
            max_tokens in 8usize..60,
            min_tokens in 0usize..20,
        ) {
            let limits = Limits::default();
            let mut builder = OutlineBuilder::new(&limits);
            for (page, (kind, text)) in (1..).zip(&blocks) {
                builder.page(Some(page));
                builder.block(*kind, text).unwrap();
            }
            let Ok(outline) = builder.finish() else { return Ok(()) };
            let chunking = Chunking { max_tokens, min_tokens, ..Chunking::default() };
            for counter in [&words as &dyn TokenCounter, &quarters] {
                let found = chunks(&outline, &chunking, counter);
                for chunk in &found {
                    prop_assert!(counter.count(&chunk.text) <= chunk.tokens as usize);
                    prop_assert!(chunk.tokens as usize <= max_tokens, "{} tokens", chunk.tokens);
                    let pages = chunk.location.pages.unwrap();
                    prop_assert!(1 <= pages.first && pages.first <= pages.last && pages.last as usize <= blocks.len());
                }
                let kept: String = found.iter().map(|chunk| bare(&chunk.text)).collect();
                let all: String = blocks.iter().map(|(_, text)| bare(text)).collect();
                prop_assert_eq!(kept, all);
                let overlapping = Chunking { overlap_tokens: max_tokens / 3, ..chunking.clone() };
                for chunk in chunks(&outline, &overlapping, counter) {
                    prop_assert!(chunk.tokens as usize <= max_tokens);
                }
            }
        }
    }

    fn bare(text: &str) -> String {
        text.chars().filter(|character| !character.is_whitespace()).collect()
    }
}
