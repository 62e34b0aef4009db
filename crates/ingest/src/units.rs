//! The smallest pieces that chunks are packed from: sentences where they fit, and parts of them where they don't.

use std::ops::Range;

use crate::limits::TokenCounter;
use crate::outline::{Block, BlockKind};
use crate::sentence::{SHORTEST, push_trimmed, sentences};

/// The tokenizers of BERT count one token for a word of any length, so that tokens alone don't bound a chunk's bytes.
const BYTES_A_TOKEN: usize = 16;

/// A paragraph of more bytes than this is no heading.
const LONGEST_LEAD: usize = 100;

/// A piece of a block that is never cut again.
#[derive(Clone, Debug)]
pub(crate) struct Unit<'a> {
    pub(crate) text: &'a str,
    /// What stands before it when it isn't the first of its chunk.
    pub(crate) gap: &'a str,
    /// How much it hurts when a chunk starts here, in [0, 1].
    pub(crate) penalty: f32,
    pub(crate) tokens: usize,
    /// What it takes of a chunk's room: its tokens, or more where its bytes demand it.
    pub(crate) weight: usize,
    pub(crate) page: Option<u32>,
    pub(crate) row: Option<u64>,
}

/// Where a text may be cut, from the best place to the worst.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Cut {
    Sentence,
    Line,
    Clause,
    Word,
    Character,
}

impl Cut {
    const fn next(self) -> Self {
        match self {
            Self::Sentence => Self::Line,
            Self::Line => Self::Clause,
            Self::Clause => Self::Word,
            Self::Word | Self::Character => Self::Character,
        }
    }

    const fn penalty(self) -> f32 {
        match self {
            Self::Line => 0.2,
            Self::Sentence => 0.3,
            Self::Clause => 0.6,
            Self::Word => 0.9,
            Self::Character => 1.0,
        }
    }
}

/// The units of `blocks` in order, none of them heavier than `room`, a single character aside.
///
/// Every sentence is counted once, and its parts only when it is too long itself.
pub(crate) fn units<'a>(blocks: &'a [Block], room: usize, counter: &dyn TokenCounter) -> Vec<Unit<'a>> {
    let mut found = Vec::new();
    let mut before: Option<&Block> = None;
    for block in blocks {
        let (gap, penalty) = between(before, block);
        let mut cutter = Cutter { block, room, counter, gap, penalty, end: None, found: &mut found };
        match block.kind {
            BlockKind::Paragraph | BlockKind::ListItem => cutter.cut(0..block.text.len(), Cut::Sentence),
            BlockKind::Row => cutter.fit(0..block.text.len(), Cut::Sentence, Cut::Sentence),
            BlockKind::Code => cutter.cut(0..block.text.len(), Cut::Line),
        }
        before = Some(block);
    }
    found
}

/// What stands between two blocks, and how much it hurts to cut there.
fn between(before: Option<&Block>, block: &Block) -> (&'static str, f32) {
    let Some(before) = before else { return ("", 0.0) };
    match (before.kind, block.kind) {
        (BlockKind::Row, BlockKind::Row) | (BlockKind::ListItem, BlockKind::ListItem) => ("\n", 0.05),
        (BlockKind::Paragraph, _) if introduces(&before.text) => ("\n\n", 0.5),
        // A list rarely stands for itself: keep it with what comes before it.
        (BlockKind::Paragraph, BlockKind::ListItem) => ("\n\n", 0.15),
        _ => ("\n\n", 0.0),
    }
}

/// Whether a paragraph is a heading in all but name, as those of PDFs are, or leads to the next one.
fn introduces(text: &str) -> bool {
    let finished = text.ends_with(['.', '!', '?', '。', '”', '"', ')', ';', ',']);
    text.ends_with(':') || text.len() <= LONGEST_LEAD && !finished
}

/// The room that `text` takes, with its tokens.
fn measure(text: &str, counter: &dyn TokenCounter) -> (usize, usize) {
    let tokens = counter.count(text);
    (tokens, tokens.max(text.len().div_ceil(BYTES_A_TOKEN)).max(1))
}

struct Cutter<'a, 'b> {
    block: &'a Block,
    room: usize,
    counter: &'b dyn TokenCounter,
    /// What stands before the block, and the penalty of a cut there.
    gap: &'a str,
    penalty: f32,
    /// Where the last unit of the block ended.
    end: Option<usize>,
    found: &'b mut Vec<Unit<'a>>,
}

impl<'a> Cutter<'a, '_> {
    /// Cuts `range` at every place that `cut` allows.
    fn cut(&mut self, range: Range<usize>, cut: Cut) {
        for piece in pieces(&self.block.text, range, cut, self.room) {
            self.fit(piece, cut, cut.next());
        }
    }

    /// Keeps `range`, which was cut off by `cut`, or cuts it by `finer` where it is too long.
    fn fit(&mut self, range: Range<usize>, cut: Cut, finer: Cut) {
        let text = &self.block.text[range.clone()];
        // What can't fit by its bytes is not worth counting.
        if text.len().div_ceil(BYTES_A_TOKEN) <= self.room {
            let (tokens, weight) = measure(text, self.counter);
            if weight <= self.room || text.chars().nth(1).is_none() {
                return self.push(range, cut, tokens, weight);
            }
        } else if text.chars().nth(1).is_none() {
            return self.push(range, cut, 1, 1);
        }
        self.cut(range, finer);
    }

    fn push(&mut self, range: Range<usize>, cut: Cut, tokens: usize, weight: usize) {
        let (gap, penalty) = match self.end {
            None => (self.gap, self.penalty),
            Some(end) => (&self.block.text[end..range.start], cut.penalty()),
        };
        self.end = Some(range.end);
        let text = &self.block.text[range];
        self.found.push(Unit {
            text,
            gap,
            penalty,
            tokens,
            weight,
            page: self.block.page,
            row: self.block.row,
        });
    }
}

fn pieces(text: &str, range: Range<usize>, cut: Cut, room: usize) -> Vec<Range<usize>> {
    let inner = &text[range.clone()];
    // Pieces of a few bytes each would take far more memory than the text itself.
    let shortest = SHORTEST.min(room);
    let mut found = match cut {
        Cut::Sentence => sentences(inner),
        Cut::Line => split_after(inner, shortest, |character, _| character == '\n'),
        Cut::Clause => split_after(inner, shortest, |character, next| {
            matches!(character, ';' | ',' | ':' | '|' | '、' | '，') && next.is_none_or(char::is_whitespace)
        }),
        Cut::Word => split_after(inner, shortest, |character, _| character.is_whitespace()),
        Cut::Character => halves(inner),
    };
    for piece in &mut found {
        *piece = piece.start + range.start..piece.end + range.start;
    }
    found
}

fn split_after(text: &str, shortest: usize, ends: impl Fn(char, Option<char>) -> bool) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let end = at + character.len_utf8();
        if end - start >= shortest && ends(character, characters.peek().map(|(_, next)| *next)) {
            push_trimmed(&mut found, text, start..end);
            start = end;
        }
    }
    push_trimmed(&mut found, text, start..text.len());
    found
}

fn halves(text: &str) -> Vec<Range<usize>> {
    let first = text.chars().next().map_or(0, char::len_utf8);
    let middle = text.floor_char_boundary(text.len() / 2).max(first);
    let mut found = Vec::new();
    push_trimmed(&mut found, text, 0..middle);
    push_trimmed(&mut found, text, middle..text.len());
    found
}
