//! A template file taken apart: front matter and blocks. What stands in them is not looked at here.

use super::{Block, TemplateError};
use crate::block::BlockKind;

const FENCE: &str = "+++";
/// How much of a text that is in the wrong place is shown.
const SHOWN: usize = 60;

/// A template file in parts.
pub(super) struct Split<'a> {
    pub(super) front: &'a str,
    pub(super) blocks: Vec<Block>,
}

pub(super) fn split(text: &str) -> Result<Split<'_>, TemplateError> {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let after = text.strip_prefix(FENCE).ok_or(TemplateError::NoFront)?;
    let (front, body) = after.split_once("\n+++").ok_or(TemplateError::NoFront)?;
    let mut blocks: Vec<Block> = Vec::new();
    let mut rest = body;
    while let Some((before, name, after)) = next_block(rest) {
        check_outside(before)?;
        let kind = BlockKind::named(name).ok_or_else(|| TemplateError::UnknownBlock(name.to_owned()))?;
        if blocks.iter().any(|block| block.kind == kind) {
            return Err(TemplateError::DoubleBlock(kind));
        }
        let Some((text, after)) = end_of_block(after) else {
            let reason = "`{% endblock %}` is missing".to_owned();
            return Err(TemplateError::Broken { block: kind, reason });
        };
        blocks.push(Block { kind, text: text.trim().to_owned() });
        rest = after;
    }
    check_outside(rest)?;
    Ok(Split { front, blocks })
}

fn check_outside(text: &str) -> Result<(), TemplateError> {
    match text.trim() {
        "" => Ok(()),
        text => Err(TemplateError::Outside(text.chars().take(SHOWN).collect())),
    }
}

/// What stands before the next block, its name, and what comes after its beginning.
fn next_block(text: &str) -> Option<(&str, &str, &str)> {
    let (before, inside, after) = tag(text)?;
    // Another tag is text in the wrong place, which the caller says.
    let name = inside.strip_prefix("block")?;
    Some((before, name.trim(), after))
}

/// A block's text and what comes after its end.
fn end_of_block(text: &str) -> Option<(&str, &str)> {
    let mut at = 0;
    while let Some((before, inside, after)) = tag(&text[at..]) {
        if inside.split_whitespace().next() == Some("endblock") {
            return Some((&text[..at + before.len()], after));
        }
        at = text.len() - after.len();
    }
    None
}

/// What stands before the first tag, what is in it, and what comes after it.
fn tag(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("{%")?;
    let (inside, after) = rest.split_once("%}")?;
    Some((before, inside.trim_matches(|letter: char| letter == '-' || letter == '+').trim(), after))
}
