//! Documents, the chunks they are cut into, and where in the document each chunk lies.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{ChunkId, DocumentId};

/// What a document was before it became text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Plain text.
    Text,
    /// CommonMark with GitHub's tables.
    Markdown,
    /// HTML.
    Html,
    /// PDF with a text layer.
    Pdf,
    /// Office Open XML word processing.
    Docx,
    /// Comma, semicolon or tab separated values.
    Csv,
    /// One JSON object a line.
    JsonLines,
}

impl Format {
    /// The lower-case name, as in the metadata field `format`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Markdown => "markdown",
            Self::Html => "html",
            Self::Pdf => "pdf",
            Self::Docx => "docx",
            Self::Csv => "csv",
            Self::JsonLines => "jsonlines",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One value of a metadata field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum MetadataValue {
    /// True or false.
    Bool(bool),
    /// Any number.
    Number(f64),
    /// Any text.
    Text(String),
}

impl fmt::Display for MetadataValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Number(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
        }
    }
}

/// What is known of a document beside its text; filters look here.
pub type Metadata = BTreeMap<String, MetadataValue>;

/// Pages, the first and the last one included, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageRange {
    /// The first page.
    pub first: u32,
    /// The last page, never before the first.
    pub last: u32,
}

/// Rows of a table, the first and the last one included, counted from 1 without the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowRange {
    /// The first row.
    pub first: u64,
    /// The last row, never before the first.
    pub last: u64,
}

/// Where in its document a chunk lies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// Pages, where the format has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pages: Option<PageRange>,
    /// The headings above the chunk, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headings: Vec<String>,
    /// Rows, where the chunk is of a table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<RowRange>,
}

impl Location {
    /// The document's title with the headings above the chunk, which is what a chunk is found by beside its text.
    pub fn heading(&self, title: &str) -> String {
        let below = self.headings.iter().map(String::as_str).filter(|heading| *heading != title);
        let all = std::iter::once(title).chain(below).filter(|heading| !heading.is_empty());
        all.collect::<Vec<_>>().join(" › ")
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if let Some(pages) = self.pages {
            parts.push(match pages.first == pages.last {
                true => format!("page {}", pages.first),
                false => format!("pages {}–{}", pages.first, pages.last),
            });
        }
        if !self.headings.is_empty() {
            parts.push(self.headings.join(" › "));
        }
        if let Some(rows) = self.rows {
            parts.push(match rows.first == rows.last {
                true => format!("row {}", rows.first),
                false => format!("rows {}–{}", rows.first, rows.last),
            });
        }
        f.write_str(&parts.join(", "))
    }
}

/// A piece of a document that is not in the store yet.
#[derive(Clone, Debug, PartialEq)]
pub struct ChunkDraft {
    /// The text as it is shown and indexed.
    pub text: String,
    /// Where it lies.
    pub location: Location,
    /// Its length in the embedding model's tokens, special tokens left out.
    pub tokens: u32,
}

/// A document that is not in the store yet.
#[derive(Clone, Debug, PartialEq)]
pub struct DocumentDraft {
    /// What names the document for its users: a path, or `path#id` for a record of a file of records.
    pub key: String,
    /// The file it came from; several documents may share one.
    pub source: String,
    /// Its title, or the file's name where it has none.
    pub title: String,
    /// What it was.
    pub format: Format,
    /// What is known of it.
    pub metadata: Metadata,
    /// BLAKE3 of everything above and of the text, in hexadecimal.
    pub content_hash: String,
    /// Its chunks in reading order.
    pub chunks: Vec<ChunkDraft>,
}

/// A document in the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// Its id.
    pub id: DocumentId,
    /// What names it for its users.
    pub key: String,
    /// The file it came from.
    pub source: String,
    /// Its title.
    pub title: String,
    /// What it was.
    pub format: Format,
    /// What is known of it.
    pub metadata: Metadata,
    /// BLAKE3 of its content, in hexadecimal.
    pub content_hash: String,
    /// How many chunks it has.
    pub chunks: u32,
    /// When it was stored, in milliseconds since 1970.
    pub stored_at: crate::Timestamp,
}

/// A chunk in the store, with what an answer needs to cite it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chunk {
    /// Its id.
    pub id: ChunkId,
    /// The document it belongs to.
    pub document: DocumentId,
    /// What names the document for its users.
    pub document_key: String,
    /// The document's title.
    pub title: String,
    /// Its place in the document, from 0.
    pub ordinal: u32,
    /// Its text.
    pub text: String,
    /// Where it lies in the document.
    pub location: Location,
    /// Its length in the embedding model's tokens.
    pub tokens: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_stand_below_the_title_once() {
        let at = |headings: &[&str]| Location {
            headings: headings.iter().map(|heading| (*heading).to_owned()).collect(),
            ..Location::default()
        };
        let cases: [(&str, &[&str], &str); 4] = [
            ("Caching", &[], "Caching"),
            ("Caching", &["Caching", "Keys"], "Caching › Keys"),
            ("", &["Keys"], "Keys"),
            ("", &[], ""),
        ];
        for (title, headings, expected) in cases {
            assert_eq!(at(headings).heading(title), expected);
        }
    }

    #[test]
    fn locations_read_well() {
        let headings = vec!["Caching".to_owned(), "Keys".to_owned()];
        let cases = [
            (Location::default(), ""),
            (Location { pages: Some(PageRange { first: 3, last: 3 }), ..Location::default() }, "page 3"),
            (
                Location { pages: Some(PageRange { first: 3, last: 4 }), headings, rows: None },
                "pages 3–4, Caching › Keys",
            ),
            (Location { rows: Some(RowRange { first: 1, last: 20 }), ..Location::default() }, "rows 1–20"),
        ];
        for (location, expected) in cases {
            assert_eq!(location.to_string(), expected);
        }
    }
}
