//! What every format is read into: sections under headings, made of blocks.

use burnish_types::Metadata;

use crate::fault::Fault;
use crate::limits::Limits;

/// What a block takes in memory beside its text, its share in the chunker's tables included.
const BLOCK_BYTES: u64 = 256;

/// A heading longer than this is a paragraph that somebody made large.
const LONGEST_HEADING: usize = 300;

/// How a block may be cut, where it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlockKind {
    /// Prose: cut between sentences.
    Paragraph,
    /// One point of a list: cut between sentences, but close to its neighbours.
    ListItem,
    /// One row of a table: cut between cells.
    Row,
    /// Lines whose breaks and indentation matter.
    Code,
}

/// A piece of text that belongs together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) text: String,
    pub(crate) kind: BlockKind,
    pub(crate) page: Option<u32>,
    pub(crate) row: Option<u64>,
}

/// Neighbouring blocks under the same headings. No chunk reaches over its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) headings: Vec<String>,
    pub(crate) blocks: Vec<Block>,
}

/// A document as its sections in reading order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Outline {
    pub(crate) title: Option<String>,
    pub(crate) metadata: Metadata,
    pub(crate) sections: Vec<Section>,
}

/// Builds an [`Outline`] from headings and blocks as they come.
///
/// A heading that nothing stands under is kept as text of the section around it, so that no words are lost.
pub(crate) struct OutlineBuilder<'a> {
    outline: Outline,
    open: Vec<OpenHeading>,
    moved: bool,
    page: Option<u32>,
    limits: &'a Limits,
    text_left: u64,
    memory_left: u64,
}

struct OpenHeading {
    level: u8,
    text: String,
    used: bool,
    page: Option<u32>,
}

impl<'a> OutlineBuilder<'a> {
    pub(crate) fn new(limits: &'a Limits) -> Self {
        Self {
            outline: Outline::default(),
            open: Vec::new(),
            moved: true,
            page: None,
            limits,
            text_left: limits.max_text_bytes,
            memory_left: limits.max_memory_bytes,
        }
    }

    /// What is known of the document so far.
    pub(crate) fn outline(&mut self) -> &mut Outline {
        &mut self.outline
    }

    /// Everything from here on lies on `page`, where that is known.
    pub(crate) fn page(&mut self, page: Option<u32>) {
        self.page = page;
    }

    /// Ends the section even though no heading follows.
    pub(crate) fn end_section(&mut self) {
        self.moved = true;
    }

    /// A heading; the lower the level, the more it covers.
    pub(crate) fn heading(&mut self, level: u8, text: &str) -> Result<(), Fault> {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if text.is_empty() {
            return Ok(());
        }
        if text.len() > LONGEST_HEADING {
            return self.block(BlockKind::Paragraph, &text);
        }
        self.close(level)?;
        self.open.push(OpenHeading { level, text, used: false, page: self.page });
        self.moved = true;
        Ok(())
    }

    pub(crate) fn block(&mut self, kind: BlockKind, text: &str) -> Result<(), Fault> {
        self.push(kind, text, self.page, None)
    }

    pub(crate) fn row(&mut self, text: &str, number: u64) -> Result<(), Fault> {
        self.push(BlockKind::Row, text, self.page, Some(number))
    }

    pub(crate) fn finish(mut self) -> Result<Outline, Fault> {
        self.close(0)?;
        let mut outline = self.outline;
        outline.sections.retain(|section| !section.blocks.is_empty());
        if outline.sections.is_empty() {
            return Err(Fault::NoText);
        }
        drop_title_from_headings(&mut outline);
        Ok(outline)
    }

    /// Closes the headings at `level` and below.
    fn close(&mut self, level: u8) -> Result<(), Fault> {
        while let Some(heading) = self.open.pop_if(|heading| heading.level >= level) {
            self.moved = true;
            if !heading.used {
                self.push(BlockKind::Paragraph, &heading.text, heading.page, None)?;
            }
        }
        Ok(())
    }

    fn push(
        &mut self,
        kind: BlockKind,
        text: &str,
        page: Option<u32>,
        row: Option<u64>,
    ) -> Result<(), Fault> {
        let text = match kind {
            // The first line keeps its indentation, or the others would lose their relation to it.
            BlockKind::Code => text.trim_start_matches(['\n', '\r']).trim_end(),
            _ => text.trim(),
        };
        if text.trim().is_empty() {
            return Ok(());
        }
        self.charge(text.len())?;
        if std::mem::take(&mut self.moved) {
            let headings: Vec<String> = self.open.iter().map(|heading| heading.text.clone()).collect();
            // Paths count as text, or many short sections below long headings would multiply what a file holds.
            self.charge(headings.iter().map(String::len).sum())?;
            self.outline.sections.push(Section { headings, blocks: Vec::new() });
        }
        for heading in &mut self.open {
            heading.used = true;
        }
        if let Some(section) = self.outline.sections.last_mut() {
            section.blocks.push(Block { text: text.to_owned(), kind, page, row });
        }
        Ok(())
    }

    fn charge(&mut self, bytes: usize) -> Result<(), Fault> {
        let (bytes, limits) = (bytes as u64, self.limits);
        let text_left = self.text_left.checked_sub(bytes);
        self.text_left = text_left.ok_or(Fault::TextTooLarge { limit: limits.max_text_bytes })?;
        let memory_left = self.memory_left.checked_sub(bytes.saturating_add(BLOCK_BYTES));
        self.memory_left = memory_left.ok_or(Fault::MemoryTooLarge { limit: limits.max_memory_bytes })?;
        Ok(())
    }
}

/// A first heading that repeats the title says nothing that the title doesn't.
fn drop_title_from_headings(outline: &mut Outline) {
    let Some(title) = outline.title.as_deref().map(str::trim) else { return };
    for section in &mut outline.sections {
        if section.headings.first().is_some_and(|first| first == title) {
            section.headings.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sections(build: impl FnOnce(&mut OutlineBuilder)) -> Vec<(Vec<String>, Vec<String>)> {
        let limits = Limits { max_text_bytes: 1_000, ..Limits::default() };
        let mut builder = OutlineBuilder::new(&limits);
        build(&mut builder);
        let outline = builder.finish().unwrap();
        let texts = |section: &Section| section.blocks.iter().map(|block| block.text.clone()).collect();
        outline.sections.iter().map(|section| (section.headings.clone(), texts(section))).collect()
    }

    #[test]
    fn headings_nest_and_none_is_lost() {
        let found = sections(|builder| {
            builder.heading(1, "Caching").unwrap();
            builder.heading(2, "Keys").unwrap();
            builder.block(BlockKind::Paragraph, "A key.").unwrap();
            builder.heading(3, "Bare").unwrap();
            builder.heading(2, "Values").unwrap();
            builder.heading(1, "End").unwrap();
        });
        let expected = [
            (vec!["Caching", "Keys"], vec!["A key."]),
            (vec!["Caching", "Keys"], vec!["Bare"]),
            (vec!["Caching"], vec!["Values"]),
            (vec![], vec!["End"]),
        ];
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!((&found.0[..], &found.1[..]), (&own(&expected.0)[..], &own(&expected.1)[..]));
        }
        assert_eq!(found.len(), expected.len());
    }

    fn own(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn text_is_bounded_with_the_heading_paths() {
        let limits = Limits { max_text_bytes: 1_000, ..Limits::default() };
        let mut builder = OutlineBuilder::new(&limits);
        let mut pushed = 0;
        while builder
            .heading(1, &"h".repeat(90))
            .and_then(|()| builder.block(BlockKind::Paragraph, "x"))
            .is_ok()
        {
            pushed += 1;
        }
        assert_eq!(pushed, 10);
    }

    #[test]
    fn a_long_heading_is_a_paragraph() {
        let long = "word ".repeat(80);
        let found = sections(|builder| builder.heading(1, &long).unwrap());
        assert_eq!(found, [(vec![], vec![long.trim().to_owned()])]);
    }
}
