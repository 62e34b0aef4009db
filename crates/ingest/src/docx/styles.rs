//! Which paragraph styles of a Word document are headings, titles and lists.

use std::collections::HashMap;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::{attribute, malformed};
use crate::fault::Fault;

/// A style may be based on another; a chain longer than this is a loop.
const LONGEST_CHAIN: usize = 12;

/// What a paragraph is by its style.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Role {
    /// The level of a heading, from 1; the document's title has 0.
    pub(super) level: Option<u8>,
    /// Whether it is an item of a list.
    pub(super) listed: bool,
}

/// The paragraph styles of a document by their ids, which depend on the language that it was written in.
#[derive(Debug, Default)]
pub(super) struct Styles {
    styles: HashMap<String, Style>,
}

#[derive(Debug, Default)]
struct Style {
    parent: Option<String>,
    role: Role,
}

impl Styles {
    pub(super) fn read(xml: &str) -> Result<Self, Fault> {
        let mut styles = Self::default();
        let mut open: Option<(String, Style)> = None;
        let mut reader = Reader::from_str(xml);
        loop {
            match reader.read_event().map_err(malformed)? {
                Event::Start(tag) | Event::Empty(tag) => match (tag.local_name().as_ref(), &mut open) {
                    ("style", _) => open = attribute(&tag, "styleId").map(|id| (id, Style::default())),
                    (name, Some((_, style))) => style.note(name, &tag),
                    _ => {}
                },
                Event::End(tag) if tag.local_name().as_ref() == "style" => styles.styles.extend(open.take()),
                Event::Eof => return Ok(styles),
                _ => {}
            }
        }
    }

    /// What paragraphs of the style `id` are, by the style itself or the ones that it is based on.
    pub(super) fn role(&self, id: &str) -> Role {
        let mut role = Role::default();
        let mut next = Some(id);
        for _ in 0..LONGEST_CHAIN {
            let Some(style) = next.and_then(|id| self.styles.get(id)) else { break };
            role.level = role.level.or(style.role.level);
            role.listed |= style.role.listed;
            next = style.parent.as_deref();
        }
        if !self.styles.contains_key(id) {
            role.level = named_level(id);
        }
        role
    }
}

impl Style {
    fn note(&mut self, name: &str, tag: &BytesStart<'_>) {
        let value = attribute(tag, "val").unwrap_or_default();
        match name {
            // Names of built-in styles are English in every language's edition.
            "name" => self.role.level = named_level(&value).or(self.role.level),
            "basedOn" => self.parent = Some(value),
            "outlineLvl" => self.role.level = self.role.level.or(outline_level(&value)),
            "numPr" => self.role.listed = true,
            _ => {}
        }
    }
}

/// The level of an outline as Word counts, from 0 with 9 for body text, as a heading's.
pub(super) fn outline_level(value: &str) -> Option<u8> {
    value.parse::<u8>().ok().filter(|level| *level < 9).map(|level| level + 1)
}

fn named_level(name: &str) -> Option<u8> {
    let name = name.to_ascii_lowercase();
    if name == "title" {
        return Some(0);
    }
    let level = name.strip_prefix("heading")?.trim().parse().ok()?;
    (1..=9).contains(&level).then_some(level)
}
