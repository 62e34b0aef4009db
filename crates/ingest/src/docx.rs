//! Word documents (Office Open XML, ECMA-376): paragraphs, headings, lists, tables, notes and page breaks.

mod body;
mod styles;

use std::io::{Read, Seek};

use burnish_types::MetadataValue;
use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};
use zip::ZipArchive;
use zip::result::ZipError;

use crate::fault::Fault;
use crate::limits::{Deadline, Limits, check_memory};
use crate::outline::{Outline, OutlineBuilder};
use crate::title::is_title;
use styles::Styles;

const MAIN_PART: &str = "word/document.xml";
const MAIN_RELATION: &str = "/officeDocument";

/// What surrounds the text of a part may be this many times as long as the text.
const MARKUP_RATIO: u64 = 4;

pub(crate) fn outline(input: impl Read + Seek, limits: &Limits) -> Result<Outline, Fault> {
    let mut archive = ZipArchive::new(input).map_err(malformed)?;
    let deadline = Deadline::start(limits);
    let main = main_part(&mut archive, limits)?;
    let folder = main.rsplit_once('/').map(|(folder, _)| folder.to_owned()).unwrap_or_default();
    let styles = match part(&mut archive, &format!("{folder}/styles.xml"), limits)? {
        Some(xml) => Styles::read(&xml)?,
        None => Styles::default(),
    };
    let document =
        part(&mut archive, &main, limits)?.ok_or_else(|| malformed(format!("it has no part `{main}`")))?;
    let mut builder = OutlineBuilder::new(limits);
    if let Some(xml) = part(&mut archive, "docProps/core.xml", limits)? {
        let core = core_properties(&xml)?;
        builder.outline().title = core.title.filter(|title| is_title(title));
        if let Some(author) = core.author {
            builder.outline().metadata.insert("author".to_owned(), MetadataValue::Text(author));
        }
    }
    let title = body::read(&document, &styles, &mut builder, &deadline)?;
    for notes in ["footnotes", "endnotes"] {
        if let Some(xml) = part(&mut archive, &format!("{folder}/{notes}.xml"), limits)? {
            builder.end_section();
            builder.page(None);
            body::read(&xml, &styles, &mut builder, &deadline)?;
        }
    }
    let outline = builder.outline();
    outline.title = outline.title.take().or(title);
    builder.finish()
}

fn malformed(reason: impl ToString) -> Fault {
    Fault::malformed("DOCX", reason)
}

/// The name of the part that holds the text, which is almost always the same.
fn main_part<R: Read + Seek>(archive: &mut ZipArchive<R>, limits: &Limits) -> Result<String, Fault> {
    if archive.index_for_name(MAIN_PART).is_some() {
        return Ok(MAIN_PART.to_owned());
    }
    let relations = part(archive, "_rels/.rels", limits)?.unwrap_or_default();
    let mut reader = Reader::from_str(&relations);
    loop {
        match reader.read_event().map_err(malformed)? {
            Event::Start(tag) | Event::Empty(tag) if tag.local_name().as_ref() == "Relationship" => {
                if attribute(&tag, "Type").is_some_and(|kind| kind.ends_with(MAIN_RELATION))
                    && let Some(target) = attribute(&tag, "Target")
                {
                    return Ok(target.trim_start_matches('/').to_owned());
                }
            }
            Event::Eof => return Err(malformed("it has no main part")),
            _ => {}
        }
    }
}

/// The XML of a part, `None` where there is no such part. Parts that unpack to more than a document may hold are
/// refused before they take that much memory.
fn part<R: Read + Seek>(
    archive: &mut ZipArchive<R>,
    name: &str,
    limits: &Limits,
) -> Result<Option<String>, Fault> {
    let entry = match archive.by_name(name) {
        Ok(entry) => entry,
        Err(ZipError::FileNotFound) => return Ok(None),
        Err(error) => return Err(malformed(error)),
    };
    let most = limits.max_text_bytes.saturating_mul(MARKUP_RATIO).min(limits.max_memory_bytes / 2);
    let mut xml = Vec::new();
    entry.take(most.saturating_add(1)).read_to_end(&mut xml).map_err(malformed)?;
    if xml.len() as u64 > most {
        return Err(Fault::TextTooLarge { limit: limits.max_text_bytes });
    }
    check_memory(&xml, b"<", 4, limits)?;
    crate::decode::decode(xml).map(Some)
}

#[derive(Default)]
struct CoreProperties {
    title: Option<String>,
    author: Option<String>,
}

fn core_properties(xml: &str) -> Result<CoreProperties, Fault> {
    let mut found = CoreProperties::default();
    let mut reader = Reader::from_str(xml);
    let mut text = String::new();
    loop {
        match reader.read_event().map_err(malformed)? {
            Event::Start(_) => text.clear(),
            Event::Text(piece) => text.push_str(&piece.xml10_content()),
            Event::GeneralRef(reference) => text.push_str(&reference_text(&reference)),
            Event::End(tag) => {
                let value = Some(text.trim().to_owned()).filter(|text| !text.is_empty());
                match tag.local_name().as_ref() {
                    "title" => found.title = value,
                    "creator" => found.author = value,
                    _ => {}
                }
            }
            Event::Eof => return Ok(found),
            _ => {}
        }
    }
}

/// The value of the attribute called `local`, whatever its prefix.
fn attribute(tag: &BytesStart<'_>, local: &str) -> Option<String> {
    let mut attributes = tag.attributes();
    let mut attributes = attributes.with_checks(false).filter_map(Result::ok);
    let found = attributes.find(|attribute| attribute.key.local_name().as_ref() == local)?;
    Some(found.value.into_owned())
}

/// The character that `&amp;`, `&#38;` and the like stand for; nothing for entities that the file defines itself.
fn reference_text(reference: &BytesRef<'_>) -> String {
    match reference.resolve_char_ref() {
        Ok(Some(character)) => character.to_string(),
        _ => resolve_predefined_entity(reference).unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests;
