//! Whole files of every format but PDF through the public door, good ones and broken ones.

#![expect(clippy::unwrap_used, reason = "functions that tests call are tests too")]

use std::io::Write;
use std::ops::ControlFlow;

use burnish_ingest::{Chunking, Limits, Read, read_bytes};
use burnish_types::{DocumentDraft, Format};
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

fn words(text: &str) -> usize {
    text.split_whitespace().count()
}

/// What was read, one line a chunk or refused record.
fn read(name: &str, bytes: &[u8]) -> (Vec<DocumentDraft>, Vec<String>) {
    let (mut documents, mut refused) = (Vec::new(), Vec::new());
    let result = read_bytes(name, bytes, &Limits::default(), &Chunking::default(), &words, &mut |read| {
        match read {
            Read::Document(document) => documents.push(document),
            Read::Refused(refusal) => refused.push(refusal.to_string()),
        }
        ControlFlow::Continue(())
    });
    refused.extend(result.err().map(|refusal| refusal.to_string()));
    (documents, refused)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn every_format_becomes_documents_with_locations() {
    let cases: [(&str, &[u8], Format, [&str; 3]); 6] = [
        ("notes/plan.txt", b"A plan.", Format::Text, ["plan", "A plan.", ""]),
        ("a.md", b"# T\n\n## S\n\nText.", Format::Markdown, ["T", "Text.", "S"]),
        ("a.html", b"<title>T</title><h1>S</h1><p>Text.", Format::Html, ["T", "Text.", "S"]),
        ("a.csv", b"a,b\n1,2\n3,4\n", Format::Csv, ["a", "a: 1; b: 2\na: 3; b: 4", "rows 1–2"]),
        (
            "a.jsonl",
            b"{\"_id\":\"7\",\"title\":\"T\",\"text\":\"Text.\"}",
            Format::JsonLines,
            ["T", "Text.", ""],
        ),
        ("a.json", b"[\n{\"id\":7,\"text\":\"Text.\"}]", Format::JsonLines, ["", "Text.", ""]),
    ];
    for (name, bytes, format, expected) in cases {
        let (documents, refused) = read(name, bytes);
        assert_eq!(refused, Vec::<String>::new(), "{name}");
        let [document] = &documents[..] else { panic!("{name} is one document") };
        let [chunk] = &document.chunks[..] else { panic!("{name} is one chunk") };
        let location = chunk.location.to_string();
        assert_eq!([&document.title, &chunk.text, &location], expected, "{name}");
        assert_eq!((document.format, document.source.as_str()), (format, name));
        assert_eq!(chunk.tokens as usize, words(&chunk.text), "{name}");
    }
}

#[test]
fn compressed_records_are_read_and_bad_lines_named() {
    let lines = b"{\"_id\":\"a\",\"text\":\"One.\"}\n{broken\n{\"_id\":\"b\",\"text\":\"Two.\"}\n";
    let (documents, refused) = read("corpus.jsonl.gz", &gzip(lines));
    let keys: Vec<_> = documents.iter().map(|document| document.key.as_str()).collect();
    assert_eq!(keys, ["corpus.jsonl.gz#a", "corpus.jsonl.gz#b"]);
    assert_eq!(refused.len(), 1);
    assert!(refused[0].starts_with("corpus.jsonl.gz:2: this record is not valid JSON"), "{refused:?}");
    let (documents, refused) = read("corpus.csv.gz", &gzip(b"a,b\n1,2\n"));
    assert!(documents.is_empty() && refused[0].contains("something else than JSON Lines"), "{refused:?}");
}

#[test]
fn the_hash_changes_with_what_is_read() {
    let hash = |name: &str, text: &[u8]| read(name, text).0[0].content_hash.clone();
    assert_eq!(hash("a.txt", b"One."), hash("a.txt", b"One.\n\n"));
    assert_ne!(hash("a.txt", b"One."), hash("a.txt", b"Two."));
    assert_ne!(hash("a.txt", b"One."), hash("b.txt", b"One."));
}

/// A small good file of each format that is parsed in this process.
fn fixtures() -> Vec<(&'static str, Vec<u8>)> {
    let html =
        "<html><body><h1>A</h1><table><tr><th rowspan=2>x<td colspan=3>y</table><ul><li>z</ul></body></html>";
    let markdown = "---\ntitle: x\n---\n# A\n\n- b\n\n| c | d |\n|---|---|\n| e | f |\n\n```\ncode\n```\n";
    let lines = "{\"_id\":\"a\",\"text\":\"One.\"}\n{\"_id\":\"b\",\"text\":\"Two.\"}\n";
    vec![
        ("a.html", html.into()),
        ("a.md", markdown.into()),
        ("a.csv", "a;b\n\"1\";2\n\n3;4;5\n".into()),
        ("a.jsonl", lines.into()),
        ("a.json", "[{\"a\": [1, {\"b\": null}]}, {\"text\": \"x\"}]".into()),
        ("a.jsonl.gz", gzip(lines.as_bytes())),
        ("a.docx", docx()),
    ]
}

fn docx() -> Vec<u8> {
    let body = "<w:document><w:body><w:tbl><w:tr><w:tc><w:p><w:r><w:t>a</w:t></w:r></w:p></w:tc></w:tr></w:tbl>\
        <w:p><w:pPr><w:pStyle w:val='Heading1'/></w:pPr><w:r><w:t>b</w:t></w:r></w:p></w:body></w:document>";
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    // Stored, not compressed, so that damage reaches the XML instead of ending at the checksum's door.
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    archive.start_file("word/document.xml", stored).unwrap();
    archive.write_all(body.as_bytes()).unwrap();
    archive.finish().unwrap().into_inner()
}

#[test]
fn the_fixtures_are_good() {
    for (name, bytes) in fixtures() {
        let (documents, refused) = read(name, &bytes);
        assert!(!documents.is_empty() && refused.is_empty(), "{name}: {refused:?}");
    }
}

#[test]
fn a_file_of_no_records_is_empty() {
    for (name, text) in [("a.jsonl", "[]"), ("a.json", " [ ]\n"), ("a.jsonl", "\n\n")] {
        let (documents, refused) = read(name, text.as_bytes());
        assert!(documents.is_empty() && refused.len() == 1, "{name} {text:?}: {refused:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Every outcome is a document or a reason; a panic fails the test.
    #[test]
    fn damaged_files_are_read_or_refused(
        which in 0usize..7,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..3), 1..8),
    ) {
        let (name, mut bytes) = fixtures().swap_remove(which);
        for (place, byte, edit) in edits {
            let place = place.index(bytes.len());
            match edit {
                0 => bytes[place] = byte,
                1 => bytes.insert(place, byte),
                _ => { bytes.remove(place); }
            }
        }
        let (documents, refused) = read(name, &bytes);
        prop_assert!(!documents.is_empty() || !refused.is_empty());
    }

    #[test]
    fn noise_is_read_or_refused(
        name in "[a-z]{1,3}\\.(txt|md|html|csv|jsonl|json|docx|bin)",
        magic in prop::sample::select(vec![&b""[..], b"PK\x03\x04", b"\x1f\x8b", b"<html>", b"{", b"[", b"\xff\xfe", b"# "]),
        noise in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let (documents, refused) = read(&name, &[magic, &noise].concat());
        prop_assert!(!documents.is_empty() || !refused.is_empty());
    }

    #[test]
    fn odd_text_is_read_or_refused(
        name in "a\\.(txt|md|html|csv|jsonl|json)",
        text in "([#|<>`*_\\[\\]{}\":,;\n\t -]|<t[drh]>|</table>|<table>|\\PC){0,120}",
    ) {
        let (documents, refused) = read(&name, text.as_bytes());
        prop_assert!(!documents.is_empty() || !refused.is_empty());
    }
}
