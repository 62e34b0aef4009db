//! PDFs through the isolated parser. This test has no harness, so that the process it starts, which is itself, can be
//! the parser.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test without a harness is still a test"
)]

use std::io::Read as _;
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use burnish_ingest::{Chunking, Limits, Read, Refusal, read_bytes, read_file, run_isolated_parser};
use burnish_types::{DocumentDraft, Format};
use flate2::Compression;
use flate2::write::ZlibEncoder;

fn main() -> ExitCode {
    if let Some(code) = run_isolated_parser(std::env::args_os()) {
        return code;
    }
    let tests: [(&str, fn()); 7] = [
        ("pages_carry_their_numbers", pages_carry_their_numbers),
        ("files_and_uploads_read_the_same", files_and_uploads_read_the_same),
        ("pages_without_text_are_refused", pages_without_text_are_refused),
        ("damage_is_refused", damage_is_refused),
        ("a_parser_that_hangs_is_ended", a_parser_that_hangs_is_ended),
        ("a_parser_that_is_none_is_noticed", a_parser_that_is_none_is_noticed),
        ("memory_is_bounded", memory_is_bounded),
    ];
    for (name, test) in tests {
        test();
        println!("test {name} ... ok");
    }
    ExitCode::SUCCESS
}

/// A PDF with one text a page.
fn pdf(pages: &[&str]) -> Vec<u8> {
    let content =
        |text: &&str| (String::new(), format!("BT /F1 12 Tf 72 700 Td ({text}) Tj ET").into_bytes());
    pdf_of_streams(&pages.iter().map(content).collect::<Vec<_>>())
}

/// A PDF with one stream of content a page, each with the name of its filter, in the manner of ISO 32000-1, annex H.
fn pdf_of_streams(pages: &[(String, Vec<u8>)]) -> Vec<u8> {
    let kids: String = (0..pages.len()).map(|page| format!("{} 0 R ", 5 + 2 * page)).collect();
    let mut objects = vec![
        b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
        format!("<< /Type /Pages /Kids [{kids}] /Count {} /MediaBox [0 0 612 792] >>", pages.len())
            .into_bytes(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>".to_vec(),
        b"<< /Title (Annual Report) /Author (Ada) >>".to_vec(),
    ];
    for (page, (filter, content)) in pages.iter().enumerate() {
        let resources = "/Resources << /Font << /F1 3 0 R >> >>";
        let stream = 6 + 2 * page;
        objects
            .push(format!("<< /Type /Page /Parent 2 0 R /Contents {stream} 0 R {resources} >>").into_bytes());
        let head = format!("<< {filter} /Length {} >>\nstream\n", content.len()).into_bytes();
        objects.push([&head[..], content, b"\nendstream"].concat());
    }
    let mut file = b"%PDF-1.4\n".to_vec();
    let mut offsets = String::new();
    for (number, object) in (1..).zip(&objects) {
        offsets.push_str(&format!("{:010} 00000 n \n", file.len()));
        file.extend([format!("{number} 0 obj\n").as_bytes(), object, b"\nendobj\n"].concat());
    }
    let (start, size) = (file.len(), objects.len() + 1);
    file.extend(format!("xref\n0 {size}\n0000000000 65535 f \n{offsets}").into_bytes());
    file.extend(
        format!("trailer << /Size {size} /Root 1 0 R /Info 4 0 R >>\nstartxref\n{start}\n%%EOF\n")
            .into_bytes(),
    );
    file
}

fn deflated_spaces(count: u64) -> (String, Vec<u8>) {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    std::io::copy(&mut std::io::repeat(b' ').take(count), &mut encoder).unwrap();
    ("/Filter /FlateDecode".to_owned(), encoder.finish().unwrap())
}

fn words(text: &str) -> usize {
    text.split_whitespace().count()
}

fn read(bytes: &[u8], limits: &Limits) -> Result<Vec<DocumentDraft>, Refusal> {
    let mut documents = Vec::new();
    read_bytes("report.pdf", bytes, limits, &Chunking::default(), &words, &mut |read| {
        documents.extend(document(read));
        ControlFlow::Continue(())
    })?;
    Ok(documents)
}

fn document(read: Read) -> Option<DocumentDraft> {
    match read {
        Read::Document(document) => Some(document),
        Read::Refused(_) => None,
    }
}

fn pages_carry_their_numbers() {
    let documents = read(&pdf(&["First page.", "Second page."]), &Limits::default()).unwrap();
    let [document] = &documents[..] else { panic!("one file is one document") };
    assert_eq!((document.format, document.title.as_str()), (Format::Pdf, "Annual Report"));
    let found: Vec<_> =
        document.chunks.iter().map(|chunk| (chunk.text.as_str(), chunk.location.to_string())).collect();
    assert_eq!(found, [("First page.", "page 1".to_owned()), ("Second page.", "page 2".to_owned())]);
}

fn files_and_uploads_read_the_same() {
    let folder = tempfile::tempdir().unwrap();
    // The name says text, the content doesn't.
    let path = folder.path().join("report.txt");
    std::fs::write(&path, pdf(&["On disk."])).unwrap();
    let mut texts = Vec::new();
    read_file(&path, &Limits::default(), &Chunking::default(), &words, &mut |read| {
        texts.extend(document(read).into_iter().flat_map(|document| document.chunks).map(|chunk| chunk.text));
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(texts, ["On disk."]);
}

fn pages_without_text_are_refused() {
    let refusal = read(&pdf(&[""]), &Limits::default()).unwrap_err();
    assert!(refusal.reason.starts_with("has no text layer"), "{refusal}");
}

/// Flips and cuts at places that are the same in every run.
fn damage_is_refused() {
    let good = pdf(&["A page that will be damaged."]);
    for round in 0..24_usize {
        let mut bytes = good.clone();
        for step in 0..=round % 6 {
            let place = (round * 7_919 + step * 104_729) % bytes.len();
            bytes[place] ^= 1 << (round % 8);
        }
        if round % 4 == 0 {
            bytes.truncate(good.len() * (round + 1) / 30);
        }
        if let Err(refusal) = read(&bytes, &Limits::default()) {
            assert!(!refusal.reason.is_empty());
        }
    }
    let refusal = read(b"%PDF-1.7\nnothing else", &Limits::default()).unwrap_err();
    assert!(refusal.reason.contains("not a valid PDF file"), "{refusal}");
}

fn a_parser_that_hangs_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let parser = Some(script(folder.path(), "exec sleep 600"));
    let refusal = read(&pdf(&["x"]), &Limits { max_seconds: 1, parser, ..Limits::default() }).unwrap_err();
    assert!(refusal.reason.starts_with("took longer than 1 s"), "{refusal}");
    assert!(started.elapsed() < Duration::from_secs(10));
}

fn a_parser_that_is_none_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    for (parser, expected) in [
        (script(folder.path(), "echo hello; exit 0"), "ended without a result"),
        (folder.path().join("missing"), "cannot be started"),
    ] {
        let refusal = read(&pdf(&["x"]), &Limits { parser: Some(parser), ..Limits::default() }).unwrap_err();
        assert!(refusal.reason.contains(expected), "{refusal}");
    }
}

/// A stream that unpacks to more than the parser may hold takes the parser down, and nothing else.
fn memory_is_bounded() {
    let bomb = pdf_of_streams(&[deflated_spaces(64 << 20)]);
    for (max_memory_bytes, expected) in [(96 << 20, "ended without a result"), (1 << 30, "has no text layer")]
    {
        let refusal = read(&bomb, &Limits { max_memory_bytes, ..Limits::default() }).unwrap_err();
        assert!(refusal.reason.contains(expected), "{refusal}");
    }
}

/// A program in place of the parser.
fn script(folder: &Path, body: &str) -> PathBuf {
    let path = folder.join("parser.sh");
    std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}
