//! `burnish bench embed` and `burnish bench ingest`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use burnish_engine::{IngestEvent, IngestOptions};
use burnish_types::Embedder;
use serde::Deserialize;
use serde_json::json;

use super::Context;
use super::programs::{memory_mib, worded};
use crate::config::EmbeddingConfig;
use crate::{output, parts};

/// What a passage of the benchmark has, as published figures do.
const PASSAGE_TOKENS: usize = 128;
const QUESTION: &str = "How long are cached answers kept before they expire?";
const QUESTION_REPEATS: usize = 50;
/// Common words of one token each; passages are drawn from them.
const WORDS: &str = "the of and to in is that it was for on are as with they be at one have this from by hot word but \
    what some we can out other were all there when up use your how said an each she which do their time if will way \
    about many then them write would like so these her long make thing see him two has look more day could go come \
    did number sound no most people my over know water than call first who may down side been now find any new work";

/// What a compared program prints.
#[derive(Debug, Deserialize)]
struct PeerFigures {
    texts_per_second: f64,
    query_ms: f64,
}

pub(crate) fn embed(context: &Context, passages: usize, peer: Option<&str>, rounds: usize) -> Result<()> {
    let embedder = parts::embedder(&context.config.embedding)?;
    let passages = make_passages(embedder.as_ref(), passages);
    let texts: Vec<&str> = passages.iter().map(String::as_str).collect();
    embedder.embed(&texts[..texts.len().min(16)])?;
    let mut own = Vec::new();
    let mut queries = Vec::new();
    let mut peers = Vec::new();
    let bar = output::bar(rounds as u64, "rounds");
    for round in 0..rounds.max(1) {
        let started = Instant::now();
        embedder.embed(&texts)?;
        own.push(texts.len() as f64 / started.elapsed().as_secs_f64());
        queries.push(query_ms(embedder.as_ref(), round)?);
        if let (Some(command), EmbeddingConfig::Local { path, .. }) = (peer, &context.config.embedding) {
            peers.push(run_peer(command, path, &passages)?);
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let (own, query) = (median(own), median(queries));
    let peer_texts =
        (!peers.is_empty()).then(|| median(peers.iter().map(|peer| peer.texts_per_second).collect()));
    let peer_query = (!peers.is_empty()).then(|| median(peers.iter().map(|peer| peer.query_ms).collect()));
    if context.json {
        return output::json(&json!({
            "n": texts.len(), "rounds": rounds, "model": embedder.model(),
            "texts_per_second": own, "query_ms": query,
            "peer": peer_texts.map(|texts| json!({"texts_per_second": texts, "query_ms": peer_query})),
            "ratio": peer_texts.map(|texts| own / texts),
        }));
    }
    output::say(format!(
        "{}: {own:.1} passages of {PASSAGE_TOKENS} tokens a second, {query:.2} ms a question",
        embedder.model()
    ))?;
    if let (Some(texts), Some(query)) = (peer_texts, peer_query) {
        output::say(format!(
            "peer: {texts:.1} passages a second, {query:.2} ms a question; ratio {:.2}",
            own / texts
        ))?;
    }
    Ok(())
}

/// The time of one question, each a little different so that none was remembered.
fn query_ms(embedder: &dyn Embedder, round: usize) -> Result<f64> {
    let mut times = Vec::with_capacity(QUESTION_REPEATS);
    for repeat in 0..QUESTION_REPEATS {
        let question = format!("{QUESTION} {}", round * QUESTION_REPEATS + repeat);
        let started = Instant::now();
        embedder.embed(&[&question])?;
        times.push(started.elapsed().as_secs_f64() * 1_000.0);
    }
    Ok(median(times))
}

fn make_passages(embedder: &dyn Embedder, count: usize) -> Vec<String> {
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let mut random = fastrand::Rng::with_seed(7);
    // Two of the tokens are special ones.
    let mut passage = || {
        let drawn: Vec<&str> = (0..PASSAGE_TOKENS - 2).map(|_| words[random.usize(..words.len())]).collect();
        drawn.join(" ")
    };
    let passages: Vec<String> = (0..count.max(1)).map(|_| passage()).collect();
    debug_assert!(passages.iter().all(|text| embedder.count_tokens(text) == PASSAGE_TOKENS - 2));
    passages
}

fn run_peer(command: &str, model: &Path, passages: &[String]) -> Result<PeerFigures> {
    let mut file = tempfile::NamedTempFile::new()?;
    for passage in passages {
        writeln!(file, "{}", serde_json::to_string(passage)?)?;
    }
    file.flush()?;
    let peer = worded(command)?
        .arg(model)
        .arg(file.path())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("the peer `{command}` cannot be started"))?;
    if !peer.status.success() {
        bail!("the peer `{command}` failed with {}", peer.status);
    }
    serde_json::from_slice(&peer.stdout).with_context(|| {
        format!("the peer `{command}` did not print an object with texts_per_second and query_ms")
    })
}

/// Embeds the chunks of `paths` alone, then ingests them, both from nothing and in this one run.
pub(crate) fn ingest(context: &Context, paths: &[PathBuf]) -> Result<()> {
    let config = &context.config;
    let embedder = parts::embedder(&config.embedding)?;
    let mut texts = Vec::new();
    let counter = |text: &str| embedder.count_tokens(text);
    for file in burnish_ingest::discover(paths).files {
        let outcome =
            burnish_ingest::read_file(
                &file,
                &config.engine.limits,
                &config.engine.chunking,
                &counter,
                &mut |read| {
                    if let burnish_ingest::Read::Document(document) = read {
                        texts.extend(document.chunks.iter().map(|chunk| {
                            format!("{}\n{}", chunk.location.heading(&document.title), chunk.text)
                        }));
                    }
                    std::ops::ControlFlow::Continue(())
                },
            );
        if let Err(refusal) = outcome {
            output::note(refusal);
        }
    }
    let bar = output::bar(texts.len() as u64, "chunks embedded");
    let started = Instant::now();
    for some in texts.chunks(256) {
        let some: Vec<&str> = some.iter().map(String::as_str).collect();
        embedder.embed(&some)?;
        bar.inc(some.len() as u64);
    }
    let embedding = started.elapsed().as_secs_f64();
    bar.finish_and_clear();
    drop((texts, embedder));

    let folder = tempfile::tempdir()?;
    let mut config = config.clone();
    config.engine.data = folder.path().to_owned();
    let engine = parts::engine(&config)?;
    let bar = output::bar(0, "chunks ingested");
    let report = engine.ingest(paths, IngestOptions::default(), &|event| {
        if let IngestEvent::Stored { chunks, .. } = event {
            bar.inc(chunks);
        }
    })?;
    bar.finish_and_clear();
    let ratio = report.seconds / embedding;
    let peak = peak_memory_mib();
    if context.json {
        return output::json(&json!({
            "documents": report.documents, "chunks": report.chunks, "refused": report.refused.len(),
            "embedding_seconds": embedding, "seconds": report.seconds, "ratio": ratio, "peak_memory_mib": peak,
        }));
    }
    output::say(format!(
        "{} documents, {} chunks: {:.1} s, of which embedding alone takes {embedding:.1} s; ratio {ratio:.3}; peak memory {peak:.0} MiB",
        report.documents, report.chunks, report.seconds
    ))
}

/// The most memory that this process has had in use (`VmHWM`), in mebibytes.
fn peak_memory_mib() -> f64 {
    memory_mib("self", "VmHWM:")
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    quantile(&mut values, 0.5)
}

/// The nearest-rank quantile; 0 of nothing.
pub(crate) fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let place = (share * values.len() as f64).ceil() as usize;
    values.get(place.saturating_sub(1)).copied().unwrap_or(0.0)
}
