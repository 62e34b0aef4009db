//! The text of each page of a PDF. This runs in a process of its own: see `isolate`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pdf_extract::{Document, Error, Object, PlainTextOutput, output_doc_page};
use serde::{Deserialize, Serialize};

use crate::pages::Pages;

/// What became of a PDF, as it crosses from one process to the other.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Parsed {
    Pages(Pages),
    Encrypted,
    Malformed(String),
    TextTooLarge,
}

/// Parses a PDF. A page that makes the parser panic is left empty, the others are kept.
pub(crate) fn parse(bytes: &[u8], max_text_bytes: u64) -> Parsed {
    let document = match catch_unwind(|| load(bytes)) {
        Ok(Ok(document)) => document,
        Ok(Err(parsed)) => return parsed,
        Err(_) => return Parsed::Malformed("the parser failed on its structure".to_owned()),
    };
    let count = document.get_pages().len();
    if count == 0 {
        return Parsed::Malformed("it has no pages".to_owned());
    }
    let mut pages =
        Pages { title: info(&document, b"Title"), author: info(&document, b"Author"), texts: Vec::new() };
    let mut left = max_text_bytes;
    for number in 1..=u32::try_from(count).unwrap_or(u32::MAX) {
        let text = page_text(&document, number);
        match left.checked_sub(text.len() as u64) {
            Some(rest) => left = rest,
            None => return Parsed::TextTooLarge,
        }
        pages.texts.push(text);
    }
    Parsed::Pages(pages)
}

fn load(bytes: &[u8]) -> Result<Document, Parsed> {
    let mut document = Document::load_mem(bytes).map_err(refuse)?;
    if document.is_encrypted() {
        // Many files are encrypted only so that they can forbid printing, and open with no password.
        document.decrypt("").map_err(refuse)?;
    }
    Ok(document)
}

fn refuse(error: Error) -> Parsed {
    match error {
        Error::Decryption(_) | Error::InvalidPassword | Error::UnsupportedSecurityHandler(_) => {
            Parsed::Encrypted
        }
        error => Parsed::Malformed(error.to_string()),
    }
}

fn page_text(document: &Document, number: u32) -> String {
    let mut text = String::new();
    // Whatever was written before a page went wrong is worth keeping.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        output_doc_page(document, &mut PlainTextOutput::new(&mut text), number).is_ok()
    }));
    text
}

/// A text of the document's information dictionary (ISO 32000-1, 14.3.3).
fn info(document: &Document, name: &[u8]) -> Option<String> {
    let entry = document.trailer.get(b"Info").ok()?;
    let dictionary = match entry {
        Object::Reference(id) => document.get_dictionary(*id).ok()?,
        entry => entry.as_dict().ok()?,
    };
    let text = text_string(dictionary.get(name).ok()?.as_str().ok()?);
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// UTF-16 with a byte order mark, UTF-8 with one, or an encoding that is close to Latin-1 (ISO 32000-2, 7.9.2.2).
fn text_string(bytes: &[u8]) -> String {
    match encoding_rs::Encoding::for_bom(bytes) {
        Some((encoding, _)) => encoding.decode(bytes).0.into_owned(),
        None => encoding_rs::mem::decode_latin1(bytes).into_owned(),
    }
}
