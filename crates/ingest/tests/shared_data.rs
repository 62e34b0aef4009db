//! Every file of a folder of real documents parses or is refused with a reason, in time and in bounded memory. The
//! folder is `ingest_docs` below `BURNISH_SHARED_DATA`. There is no harness, so that this program can parse PDFs.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test without a harness is still a test")]

use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use burnish_ingest::{Chunking, Limits, Read, discover, read_file, run_isolated_parser};

fn main() -> ExitCode {
    if let Some(code) = run_isolated_parser(std::env::args_os()) {
        return code;
    }
    let Some(folder) = std::env::var_os("BURNISH_SHARED_DATA") else {
        println!("skipped: BURNISH_SHARED_DATA names no folder of real documents");
        return ExitCode::SUCCESS;
    };
    let found = discover(&[Path::new(&folder).join("ingest_docs")]);
    assert!(found.refused.is_empty() && !found.files.is_empty(), "{:?}", found.refused);
    let limits = Limits::default();
    for path in &found.files {
        check(path, &limits);
    }
    ExitCode::SUCCESS
}

fn check(path: &Path, limits: &Limits) {
    let chunking = Chunking::default();
    let (mut documents, mut chunks, mut refused) = (0, 0, Vec::new());
    let started = Instant::now();
    let result = read_file(path, limits, &chunking, &words, &mut |read| {
        match read {
            Read::Document(document) => {
                assert!(!document.chunks.is_empty(), "{}", document.key);
                for chunk in &document.chunks {
                    assert!(
                        !chunk.text.trim().is_empty() && chunk.tokens as usize <= chunking.record_max_tokens
                    );
                }
                documents += 1;
                chunks += document.chunks.len();
            }
            Read::Refused(refusal) => refused.push(refusal),
        }
        ControlFlow::Continue(())
    });
    let elapsed = started.elapsed();
    refused.extend(result.err());
    assert!(elapsed < Duration::from_secs(limits.max_seconds + 1), "{} took {elapsed:?}", path.display());
    assert!(documents > 0 || refused.iter().all(|refusal| refusal.reason.len() > 5) && !refused.is_empty());
    let reasons: Vec<_> = refused.into_iter().map(|refusal| refusal.reason).collect();
    let name = path.file_name().unwrap().to_string_lossy();
    println!("{name}: {documents} documents, {chunks} chunks, {elapsed:.0?} {}", reasons.join("; "));
}

fn words(text: &str) -> usize {
    text.split_whitespace().count()
}
