//! Markdown (CommonMark with GitHub's tables): headings, paragraphs, lists, tables and code.

use burnish_types::MetadataValue;
use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use crate::fault::Fault;
use crate::html;
use crate::limits::{Deadline, Limits, check_memory};
use crate::outline::{BlockKind, Outline, OutlineBuilder};
use crate::table::row_text;

pub(crate) fn outline(text: &str, limits: &Limits) -> Result<Outline, Fault> {
    check_memory(text.as_bytes(), b"*_`[]<>&\\\n|~!", 64, limits)?;
    let deadline = Deadline::start(limits);
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS;
    let mut walk = Walk::new(limits);
    for (count, event) in Parser::new_ext(text, options).enumerate() {
        if count % 1_024 == 0 {
            deadline.check()?;
        }
        walk.event(event)?;
    }
    walk.finish()
}

struct Walk<'a> {
    limits: &'a Limits,
    builder: OutlineBuilder<'a>,
    text: String,
    /// What stands before the next item of each open list: a number or nothing.
    lists: Vec<Option<u64>>,
    marker: Option<String>,
    header: Vec<String>,
    cells: Vec<String>,
    /// Whether the open table has had a row below its header.
    rows: bool,
    html: String,
    /// The first heading of the first level.
    title: Option<String>,
}

impl<'a> Walk<'a> {
    fn new(limits: &'a Limits) -> Self {
        Self {
            limits,
            builder: OutlineBuilder::new(limits),
            text: String::new(),
            lists: Vec::new(),
            marker: None,
            header: Vec::new(),
            cells: Vec::new(),
            rows: false,
            html: String::new(),
            title: None,
        }
    }

    fn event(&mut self, event: Event<'_>) -> Result<(), Fault> {
        match event {
            Event::Start(tag) => self.start(&tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) | Event::Code(text) | Event::InlineMath(text) | Event::DisplayMath(text) => {
                self.text.push_str(&text);
                Ok(())
            }
            Event::SoftBreak | Event::HardBreak => {
                self.text.push('\n');
                Ok(())
            }
            Event::Html(text) => {
                self.html.push_str(&text);
                Ok(())
            }
            Event::TaskListMarker(done) => {
                self.text.push_str(if done { "[x] " } else { "[ ] " });
                Ok(())
            }
            Event::Rule => self.flush(),
            Event::InlineHtml(tag) => {
                if tag.to_ascii_lowercase().starts_with("<br") {
                    self.text.push('\n');
                }
                Ok(())
            }
            Event::FootnoteReference(_) => Ok(()),
        }
    }

    fn start(&mut self, tag: &Tag<'_>) -> Result<(), Fault> {
        match tag {
            Tag::Paragraph
            | Tag::BlockQuote(_)
            | Tag::Heading { .. }
            | Tag::FootnoteDefinition(_)
            | Tag::CodeBlock(_) => self.flush(),
            Tag::List(first) => {
                self.flush()?;
                self.lists.push(*first);
                Ok(())
            }
            Tag::Item => {
                self.flush()?;
                self.marker = Some(match self.lists.last_mut() {
                    Some(Some(number)) => {
                        *number += 1;
                        format!("{}. ", *number - 1)
                    }
                    _ => "- ".to_owned(),
                });
                Ok(())
            }
            Tag::Table(_) => {
                self.rows = false;
                self.flush()
            }
            _ => Ok(()),
        }
    }

    fn end(&mut self, tag: TagEnd) -> Result<(), Fault> {
        match tag {
            TagEnd::Heading(level) => self.heading(level),
            TagEnd::Paragraph | TagEnd::Item | TagEnd::BlockQuote(_) | TagEnd::FootnoteDefinition => {
                self.flush()
            }
            TagEnd::CodeBlock => {
                let code = std::mem::take(&mut self.text);
                self.builder.block(BlockKind::Code, &code)
            }
            TagEnd::List(_) => {
                self.flush()?;
                self.lists.pop();
                self.marker = None;
                Ok(())
            }
            TagEnd::TableCell => {
                self.cells.push(std::mem::take(&mut self.text).replace('\n', " "));
                Ok(())
            }
            TagEnd::TableHead => {
                self.header = std::mem::take(&mut self.cells);
                Ok(())
            }
            TagEnd::Table if !self.rows => {
                self.builder.block(BlockKind::Row, &row_text(&[], &std::mem::take(&mut self.header)))
            }
            TagEnd::TableRow => {
                self.rows = true;
                let cells = std::mem::take(&mut self.cells);
                self.builder.block(BlockKind::Row, &row_text(&self.header, &cells))
            }
            TagEnd::MetadataBlock(_) => {
                let matter = std::mem::take(&mut self.text);
                self.front_matter(&matter);
                Ok(())
            }
            TagEnd::HtmlBlock => self.html_block(),
            _ => Ok(()),
        }
    }

    fn heading(&mut self, level: HeadingLevel) -> Result<(), Fault> {
        let text = std::mem::take(&mut self.text);
        if level == HeadingLevel::H1 {
            self.title.get_or_insert_with(|| text.trim().to_owned());
        }
        self.builder.heading(level as u8, &text)
    }

    /// Ends the paragraph or list item that is under way.
    fn flush(&mut self) -> Result<(), Fault> {
        if self.text.trim().is_empty() {
            self.text.clear();
            return Ok(());
        }
        let text = std::mem::take(&mut self.text);
        match self.marker.take() {
            Some(marker) => self.builder.block(BlockKind::ListItem, &format!("{marker}{text}")),
            None if !self.lists.is_empty() => self.builder.block(BlockKind::ListItem, &text),
            None => self.builder.block(BlockKind::Paragraph, &text),
        }
    }

    fn html_block(&mut self) -> Result<(), Fault> {
        let source = std::mem::take(&mut self.html);
        // Comments and lone tags hold no text, and that is fine within a document that does.
        let Ok(inner) = html::outline(&source, self.limits) else { return Ok(()) };
        for block in inner.sections.into_iter().flat_map(|section| section.blocks) {
            self.builder.block(block.kind, &block.text)?;
        }
        Ok(())
    }

    /// Simple `name: value` lines of YAML; lists and nested values are passed over.
    fn front_matter(&mut self, matter: &str) {
        for line in matter.lines() {
            let Some((name, value)) = line.split_once(':') else { continue };
            let value = value.trim().trim_matches(['"', '\'']);
            let simple = !name.is_empty() && !name.starts_with([' ', '\t', '#', '-']);
            if !simple || value.is_empty() || value.starts_with(['[', '{', '|', '>', '&', '*']) {
                continue;
            }
            if name == "title" {
                self.builder.outline().title = Some(value.to_owned());
            } else {
                self.builder.outline().metadata.insert(name.trim().to_owned(), scalar(value));
            }
        }
    }

    fn finish(mut self) -> Result<Outline, Fault> {
        self.flush()?;
        let outline = self.builder.outline();
        outline.title = outline.title.take().or(self.title).filter(|title| !title.is_empty());
        self.builder.finish()
    }
}

fn scalar(value: &str) -> MetadataValue {
    match (value, value.parse::<f64>()) {
        ("true", _) => MetadataValue::Bool(true),
        ("false", _) => MetadataValue::Bool(false),
        (_, Ok(number)) if number.is_finite() => MetadataValue::Number(number),
        _ => MetadataValue::Text(value.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARTICLE: &str = "---
title: Caches
draft: false
year: 2026
tags: [a, b]
---

# Caches

A *cache* keeps
[answers](https://example.org).

## Keys

1. One
2. Two
   - nested

| Key | Hits |
|-----|------|
| a   | 1    |

```rust
fn main() {

    run();
}
```

<div>Some <b>markup</b></div>

<!-- a comment -->
";

    #[test]
    fn structure_is_kept() {
        let outline = outline(ARTICLE, &Limits::default()).unwrap();
        assert_eq!(outline.title.as_deref(), Some("Caches"));
        let metadata: Vec<_> =
            outline.metadata.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(metadata, ["draft=false", "year=2026"]);
        let found: Vec<_> = outline
            .sections
            .iter()
            .flat_map(|section| {
                section.blocks.iter().map(|block| (section.headings.join("/"), block.kind, &*block.text))
            })
            .collect();
        let keys = || "Keys".to_owned();
        assert_eq!(
            found,
            [
                (String::new(), BlockKind::Paragraph, "A cache keeps\nanswers."),
                (keys(), BlockKind::ListItem, "1. One"),
                (keys(), BlockKind::ListItem, "2. Two"),
                (keys(), BlockKind::ListItem, "- nested"),
                (keys(), BlockKind::Row, "Key: a; Hits: 1"),
                (keys(), BlockKind::Code, "fn main() {\n\n    run();\n}"),
                (keys(), BlockKind::Paragraph, "Some markup"),
            ]
        );
    }
}
