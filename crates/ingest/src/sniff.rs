//! What a file is, by its content; its name decides only between formats that are plain text alike.

use std::io::Read;

use flate2::read::MultiGzDecoder;
use serde_json::{Map, Value};
use zip::ZipArchive;

use crate::decode::decode;
use crate::delimited;
use crate::fault::Fault;
use crate::input::Input;

/// How much of a file is looked at.
const HEAD_BYTES: u64 = 64 << 10;

/// How a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Markdown,
    Html,
    Pdf,
    Docx,
    Delimited,
    /// One object a line.
    JsonLines {
        gzip: bool,
    },
    /// One object, or an array of objects, over several lines.
    Json,
}

/// Files that begin like this are known and not read.
const UNSUPPORTED: [(&[u8], &str); 27] = [
    (b"{\\rtf", "a Rich Text document"),
    (b"\x89PNG", "an image"),
    (b"\xff\xd8\xff", "an image"),
    (b"GIF8", "an image"),
    (b"II*\0", "an image"),
    (b"MM\0*", "an image"),
    (b"BM", "an image"),
    (b"8BPS", "an image"),
    (b"\0\0\x01\0", "an image"),
    (b"ID3", "an audio file"),
    (b"OggS", "an audio file"),
    (b"fLaC", "an audio file"),
    (b"\xff\xfb", "an audio file"),
    (b"\x1aE\xdf\xa3", "a video file"),
    (b"7z\xbc\xaf", "a compressed archive"),
    (b"BZh", "a compressed archive"),
    (b"\xfd7zXZ", "a compressed archive"),
    (b"\x28\xb5\x2f\xfd", "a compressed archive"),
    (b"Rar!", "a compressed archive"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"PAR1", "a Parquet file"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"\0asm", "a program"),
    (b"%!PS", "a PostScript document"),
    (b"wOFF", "a font"),
    (b"!BDN", "an Outlook mailbox"),
];

/// Tags that an HTML document without a doctype starts with.
const HTML_STARTS: [&str; 14] = [
    "html", "head", "body", "title", "meta", "script", "style", "div", "p", "h1", "h2", "table", "article",
    "section",
];

/// What `input`, which came under `name`, is. The input is at its start again afterwards.
pub(crate) fn sniff(name: &str, input: &mut Input<'_>) -> Result<Kind, Fault> {
    let head = input.head(HEAD_BYTES)?;
    if head.is_empty() {
        return Err(Fault::Empty);
    }
    if head.windows(5).take(1_024).any(|window| window == b"%PDF-") {
        return Ok(Kind::Pdf);
    }
    if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
        return sniff_zip(input);
    }
    if head.starts_with(b"\x1f\x8b") {
        return sniff_gzip(name, &head);
    }
    if head.starts_with(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1") {
        return Err(sniff_compound(&head));
    }
    if let Some(what) = unsupported(&head) {
        return Err(Fault::Unsupported(what));
    }
    let whole = (head.len() as u64) < HEAD_BYTES;
    sniff_text(extension(name).as_str(), &decode(whole_characters(head))?, whole)
}

/// The extension in lower case, empty where there is none.
fn extension(name: &str) -> String {
    let file = name.rsplit(['/', '\\']).next().unwrap_or(name);
    file.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase()).unwrap_or_default()
}

fn unsupported(head: &[u8]) -> Option<&'static str> {
    let container = head.get(4..12).unwrap_or_default();
    if head.starts_with(b"RIFF") {
        return Some(if container.ends_with(b"WEBP") { "an image" } else { "an audio or video file" });
    }
    if container.starts_with(b"ftyp") {
        let still = [b"heic", b"heix", b"mif1", b"avif"].iter().any(|brand| container.ends_with(*brand));
        return Some(if still { "an image" } else { "an audio or video file" });
    }
    // Two letters are too few to tell a bitmap or a program from a text: those have bytes that texts lack.
    let binary = || head.iter().take(512).any(|byte| *byte == 0);
    let known =
        UNSUPPORTED.iter().find(|(magic, _)| head.starts_with(magic) && (magic.len() > 2 || binary()));
    known.map(|(_, what)| *what)
}

fn sniff_zip(input: &mut Input<'_>) -> Result<Kind, Fault> {
    let mut archive =
        ZipArchive::new(&mut *input).map_err(|error| Fault::malformed("ZIP or Office", error))?;
    let mut media_type = String::new();
    if let Ok(entry) = archive.by_name("mimetype") {
        entry.take(100).read_to_string(&mut media_type)?;
    }
    let has = |prefix: &str| archive.file_names().flatten().any(|name| name.starts_with(prefix));
    if has("word/") {
        return Ok(Kind::Docx);
    }
    Err(Fault::Unsupported(match media_type.trim() {
        "application/epub+zip" => "an EPUB book",
        media_type if media_type.starts_with("application/vnd.oasis.opendocument.") => "an OpenDocument file",
        _ if has("xl/") => "an Excel workbook",
        _ if has("ppt/") => "a PowerPoint presentation",
        _ => "a ZIP archive",
    }))
}

/// The old binary formats of Office, and the new ones when they are encrypted, are told apart by names of streams.
fn sniff_compound(head: &[u8]) -> Fault {
    let has = |name: &str| {
        let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        head.windows(name.len()).any(|window| window == name)
    };
    if has("EncryptedPackage") {
        return Fault::Encrypted;
    }
    Fault::Unsupported(match () {
        () if has("WordDocument") => "a Word 97–2003 document",
        () if has("Workbook") => "an Excel 97–2003 workbook",
        () if has("PowerPoint Document") => "a PowerPoint 97–2003 presentation",
        () if has("__substg1.0_") => "an Outlook message",
        () => "an old Microsoft Office file",
    })
}

fn sniff_gzip(name: &str, head: &[u8]) -> Result<Kind, Fault> {
    let mut inner = Vec::new();
    // The head ends in the midst of the stream, so an error after some bytes says nothing.
    let read = MultiGzDecoder::new(head).take(HEAD_BYTES).read_to_end(&mut inner);
    if inner.is_empty() {
        read?;
    }
    let name = name.strip_suffix(".gz").unwrap_or(name);
    match sniff_text(&extension(name), &decode(whole_characters(inner))?, false) {
        Ok(Kind::JsonLines { .. }) => Ok(Kind::JsonLines { gzip: true }),
        _ => Err(Fault::Unsupported("a compressed file of something else than JSON Lines")),
    }
}

/// `head` without the part of a UTF-8 character that the cut may have left at its end.
fn whole_characters(mut head: Vec<u8>) -> Vec<u8> {
    if let Err(error) = std::str::from_utf8(&head)
        && error.error_len().is_none()
    {
        head.truncate(error.valid_up_to());
    }
    head
}

fn sniff_text(extension: &str, text: &str, whole: bool) -> Result<Kind, Fault> {
    let text = text.trim_start();
    if let Some(kind) = sniff_json(extension, text, whole) {
        return Ok(kind);
    }
    if let Some(kind) = sniff_markup(extension, text)? {
        return Ok(kind);
    }
    let prose = matches!(extension, "txt" | "text" | "md" | "markdown" | "csv" | "tsv" | "tab" | "log");
    if extension == "eml" || !prose && is_mail(text) {
        return Err(Fault::Unsupported("an e-mail message"));
    }
    Ok(match extension {
        "md" | "markdown" | "mdown" | "mkd" => Kind::Markdown,
        "csv" | "tsv" | "tab" => Kind::Delimited,
        "" if has_markdown_headings(text) => Kind::Markdown,
        "" if delimited::is_table(text) => Kind::Delimited,
        _ => Kind::Text,
    })
}

fn sniff_json(extension: &str, text: &str, whole: bool) -> Option<Kind> {
    let lines_extension = matches!(extension, "jsonl" | "ndjson" | "jsonlines");
    let is_object = |line: &str| serde_json::from_str::<Map<String, Value>>(line).is_ok();
    if text.starts_with('{') {
        if text.lines().next().is_some_and(is_object) || lines_extension {
            return Some(Kind::JsonLines { gzip: false });
        }
        let valid = || whole && serde_json::from_str::<Value>(text).is_ok();
        return (extension == "json" || valid()).then_some(Kind::Json);
    }
    if text.starts_with('[') {
        let valid = || whole && serde_json::from_str::<Vec<Map<String, Value>>>(text).is_ok();
        return (extension == "json" || lines_extension || valid()).then_some(Kind::Json);
    }
    (lines_extension && text.lines().any(|line| line.starts_with('{')))
        .then_some(Kind::JsonLines { gzip: false })
}

fn sniff_markup(extension: &str, text: &str) -> Result<Option<Kind>, Fault> {
    if !text.starts_with('<') {
        let html = matches!(extension, "html" | "htm" | "xhtml") && text.contains("</");
        return Ok(html.then_some(Kind::Html));
    }
    let start: String = text.chars().take(4_096).collect::<String>().to_ascii_lowercase();
    if start.starts_with("<!doctype html")
        || start.starts_with("<html")
        || start.contains("<html") && starts_as_xml(&start)
    {
        return Ok(Some(Kind::Html));
    }
    if starts_as_xml(&start) && !start.starts_with("<!--") || extension == "xml" || start.starts_with("<svg")
    {
        return Err(Fault::Unsupported("an XML document"));
    }
    let opens = |tag: &&str| {
        let rest = start[1..].strip_prefix(*tag);
        rest.is_some_and(|rest| {
            rest.starts_with(|next: char| next == '>' || next == '/' || next.is_whitespace())
        })
    };
    let fragment = HTML_STARTS.iter().any(opens) && !matches!(extension, "md" | "markdown");
    Ok((fragment || matches!(extension, "html" | "htm" | "xhtml")).then_some(Kind::Html))
}

fn starts_as_xml(start: &str) -> bool {
    ["<?xml", "<!doctype", "<!--"].iter().any(|prefix| start.starts_with(prefix))
}

/// Whether the text begins with the header of a message (RFC 5322).
fn is_mail(text: &str) -> bool {
    let fields = [
        "from",
        "to",
        "subject",
        "date",
        "received",
        "message-id",
        "mime-version",
        "return-path",
        "delivered-to",
    ];
    let header = text.lines().take_while(|line| !line.trim().is_empty()).take(40);
    let named = header.filter_map(|line| line.split_once(':')).map(|(name, _)| name.to_ascii_lowercase());
    named.filter(|name| fields.contains(&name.as_str())).count() >= 3
}

fn has_markdown_headings(text: &str) -> bool {
    let mut headings = text.lines().filter(|line| line.starts_with("# ") || line.starts_with("## "));
    headings.next().is_some() && headings.next().is_some()
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn found(name: &str, bytes: &[u8]) -> Result<Kind, String> {
        sniff(name, &mut Input::Bytes(Cursor::new(bytes))).map_err(|fault| fault.to_string())
    }

    #[test]
    fn formats_are_found_by_content_and_ties_are_broken_by_name() {
        let lines = Kind::JsonLines { gzip: false };
        let cases: [(&str, &[u8], Kind); 21] = [
            ("a.txt", b"%PDF-1.7\n", Kind::Pdf),
            ("a.txt", b"Some words.", Kind::Text),
            ("a.md", b"Some words.", Kind::Markdown),
            ("README", b"# One\n\ntext\n\n## Two\n", Kind::Markdown),
            ("script.py", b"# One\n# Two\n## Three\n", Kind::Text),
            ("a.csv", b"a,b\n1,2\n", Kind::Delimited),
            ("a.csv", b"<!DOCTYPE html><p>x</p>", Kind::Html),
            ("a", b"a\tb\n1\t2\n3\t4\n", Kind::Delimited),
            ("a.txt", b"<html><body>x", Kind::Html),
            ("a.txt", b"<p>One</p>", Kind::Html),
            ("a.md", b"<p align=center>One</p>", Kind::Markdown),
            ("a.html", b"no tags at all", Kind::Text),
            ("a.html", b"Loose words, <b>bold</b>.", Kind::Html),
            ("a.xhtml", b"<?xml version='1.0'?><html xmlns='x'/>", Kind::Html),
            ("a.jsonl", b"{\"a\":1}\n{\"a\":2}\n", lines),
            ("a", b"{\"a\":1}\n{\"a\":2}\n", lines),
            ("a.json", b"{\"a\":1}", lines),
            ("a.json", b"{\n\"a\":1}", Kind::Json),
            ("a.json", b"[{\"a\":1}]", Kind::Json),
            ("a.txt", b"[link](there) and so on", Kind::Text),
            ("BM.txt", b"BMW and MZ are makers of things.", Kind::Text),
        ];
        for (name, bytes, expected) in cases {
            assert_eq!(found(name, bytes), Ok(expected), "{name}: {}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn what_is_not_supported_is_named() {
        let cases: [(&str, &[u8], &str); 9] = [
            ("a.txt", b"", "is empty"),
            ("a.txt", b"{\\rtf1 x}", "is a Rich Text document"),
            ("a.pdf", b"\x89PNG\r\n\x1a\n", "is an image"),
            ("a.xml", b"<?xml version='1.0'?><note/>", "is an XML document"),
            ("a", b"From: a\nTo: b\nSubject: c\n\nHello", "is an e-mail message"),
            ("a.eml", b"Hello", "is an e-mail message"),
            ("a.docx", b"PK\x03\x04broken", "is not a valid ZIP or Office file"),
            (
                "a.doc",
                b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1W\0o\0r\0d\0D\0o\0c\0u\0m\0e\0n\0t\0",
                "is a Word 97–2003 document",
            ),
            ("a.bin", b"\x01\x02\x03\x04\x05\0\0\0", "is a binary file"),
        ];
        for (name, bytes, expected) in cases {
            let reason = found(name, bytes).unwrap_err();
            assert!(reason.starts_with(expected), "{name}: {reason}");
        }
    }
}
