//! One file, or the bytes of one, to documents.

use std::fs::File;
use std::io::{self, Cursor};
use std::ops::ControlFlow;
use std::path::Path;

use burnish_types::{ChunkDraft, DocumentDraft, Format, Metadata};
use flate2::read::MultiGzDecoder;

use crate::chunk::{chunks, record_chunks};
use crate::fault::{Fault, Refusal};
use crate::input::Input;
use crate::limits::{Chunking, Limits, TokenCounter};
use crate::outline::Outline;
use crate::records::{self, Record};
use crate::sniff::{Kind, sniff};
use crate::title::file_title;
use crate::{decode, delimited, docx, html, isolate, markdown, pages, text};

/// What comes of reading a file, piece by piece.
#[derive(Clone, Debug, PartialEq)]
pub enum Read {
    /// A document, complete.
    Document(DocumentDraft),
    /// A record that could not be read; the others of its file go on.
    Refused(Refusal),
}

/// Reads one file and hands each document to `sink` as soon as it is complete; `sink` ends the reading by breaking.
///
/// A file that can't be read as a whole is the error; records that can't be are handed to `sink`. The file's format is
/// found by its content. `counter` is called once for each sentence.
pub fn read_file(
    path: &Path,
    limits: &Limits,
    chunking: &Chunking,
    counter: &dyn TokenCounter,
    sink: &mut dyn FnMut(Read) -> ControlFlow<()>,
) -> Result<(), Refusal> {
    let name = path.display().to_string();
    let mut input = open(path).map(Input::File).map_err(|error| Fault::Io(error).refuse(&name))?;
    let reading = Reading { name: &name, limits, chunking, counter };
    reading.read(&mut input, sink).map_err(|fault| fault.refuse(&name))
}

/// The same for bytes that were uploaded, with `name` in place of the path.
pub fn read_bytes(
    name: &str,
    bytes: &[u8],
    limits: &Limits,
    chunking: &Chunking,
    counter: &dyn TokenCounter,
    sink: &mut dyn FnMut(Read) -> ControlFlow<()>,
) -> Result<(), Refusal> {
    let reading = Reading { name, limits, chunking, counter };
    reading.read(&mut Input::Bytes(Cursor::new(bytes)), sink).map_err(|fault| fault.refuse(name))
}

/// Opens a regular file; a pipe or a device would never end.
fn open(path: &Path) -> io::Result<File> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    File::open(path)
}

struct Reading<'a> {
    name: &'a str,
    limits: &'a Limits,
    chunking: &'a Chunking,
    counter: &'a dyn TokenCounter,
}

impl Reading<'_> {
    fn read(
        &self,
        input: &mut Input<'_>,
        sink: &mut dyn FnMut(Read) -> ControlFlow<()>,
    ) -> Result<(), Fault> {
        let kind = sniff(self.name, input)?;
        if let Kind::JsonLines { gzip } = kind {
            return match gzip {
                true => {
                    records::read_lines(&mut MultiGzDecoder::new(input), self.limits, &mut self.records(sink))
                }
                false => records::read_lines(input, self.limits, &mut self.records(sink)),
            };
        }
        let (found, limit) = (input.len()?, self.limits.max_file_bytes);
        if found > limit {
            return Err(Fault::FileTooLarge { found, limit });
        }
        let (format, outline) = match kind {
            Kind::Json | Kind::JsonLines { .. } => {
                return records::read_json(&self.text(input)?, self.limits, &mut self.records(sink));
            }
            Kind::Text => (Format::Text, text::outline(&self.text(input)?, self.limits)?),
            Kind::Markdown => (Format::Markdown, markdown::outline(&self.text(input)?, self.limits)?),
            Kind::Html => (Format::Html, html::outline(&self.text(input)?, self.limits)?),
            Kind::Delimited => (Format::Csv, delimited::outline(&self.text(input)?, self.limits)?),
            Kind::Docx => (Format::Docx, docx::outline(input, self.limits)?),
            Kind::Pdf => {
                (Format::Pdf, pages::outline(&isolate::parse_pdf(input, self.limits)?, self.limits)?)
            }
        };
        // What the caller does with its last document doesn't change what was read.
        let _ = sink(Read::Document(self.document(format, outline)));
        Ok(())
    }

    fn text(&self, input: &mut Input<'_>) -> Result<String, Fault> {
        decode::decode(input.read_all(self.limits.max_text_bytes)?)
    }

    fn document(&self, format: Format, outline: Outline) -> DocumentDraft {
        let chunks = chunks(&outline, self.chunking, self.counter);
        let title =
            outline.title.filter(|title| !title.trim().is_empty()).unwrap_or_else(|| file_title(self.name));
        self.draft(self.name.to_owned(), title, format, outline.metadata, chunks)
    }

    fn records<'b>(
        &'b self,
        sink: &'b mut dyn FnMut(Read) -> ControlFlow<()>,
    ) -> impl FnMut(u64, Result<Record, Fault>) -> ControlFlow<()> + 'b {
        move |line, record| {
            sink(match record {
                Ok(record) => {
                    let chunks = record_chunks(&record.text, self.chunking, self.counter);
                    let key = format!("{}#{}", self.name, record.id);
                    Read::Document(self.draft(key, record.title, Format::JsonLines, record.metadata, chunks))
                }
                Err(fault) => Read::Refused(fault.refuse(format!("{}:{line}", self.name))),
            })
        }
    }

    fn draft(
        &self,
        key: String,
        title: String,
        format: Format,
        metadata: Metadata,
        chunks: Vec<ChunkDraft>,
    ) -> DocumentDraft {
        let source = self.name.to_owned();
        let mut draft =
            DocumentDraft { key, source, title, format, metadata, content_hash: String::new(), chunks };
        draft.content_hash = content_hash(&draft);
        draft
    }
}

/// BLAKE3 of all that a draft says, each part after its length so that no two drafts read the same.
fn content_hash(draft: &DocumentDraft) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut add = |part: &str| {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    };
    for part in [&draft.key, &draft.source, &draft.title] {
        add(part);
    }
    add(draft.format.name());
    for (name, value) in &draft.metadata {
        add(name);
        add(&value.to_string());
    }
    for chunk in &draft.chunks {
        add(&chunk.location.to_string());
        add(&chunk.text);
    }
    hasher.finalize().to_hex().to_string()
}
