//! `burnish bench search`: hybrid search over HTTP against the bare engines, in one run.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use burnish_engine::{Engine, IngestOptions, Parts};
use burnish_index::{TantivyIndex, UsearchIndex};
use burnish_types::{EmbedError, Embedder, Embedding, Filter, LexicalIndex, SystemClock, VectorIndex, fnv1a};
use serde_json::{Value, json};

use super::Context;
use super::bench::{median, quantile};
use super::programs::{Program, memory_mib, serving};
use crate::{output, parts};

const TOP_K: usize = 10;
/// As deep as `hybrid` looks into each list.
const DEPTH: usize = 50;
const CHUNK_WORDS: usize = 90;
const QUERY_WORDS: usize = 6;
const VOCABULARY: usize = 30_000;
const CLUSTERS: usize = 500;
const RECORDS_A_FILE: usize = 10_000;

/// Stands in for the encoder while the corpus is built, since embedding it would take a quarter of an hour:
/// clustered random unit vectors, under the encoder's own name.
struct ClusteredVectors {
    encoder: Arc<dyn Embedder>,
    centres: Vec<Embedding>,
}

impl Embedder for ClusteredVectors {
    fn model(&self) -> &str {
        self.encoder.model()
    }

    fn dimensions(&self) -> usize {
        self.encoder.dimensions()
    }

    fn max_tokens(&self) -> usize {
        self.encoder.max_tokens()
    }

    fn count_tokens(&self, text: &str) -> usize {
        text.split_whitespace().count()
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError> {
        Ok(texts.iter().map(|text| self.vector(text)).collect())
    }
}

impl ClusteredVectors {
    fn vector(&self, text: &str) -> Embedding {
        let mut random = fastrand::Rng::with_seed(fnv1a(text.as_bytes()));
        let centre = &self.centres[random.usize(..self.centres.len())];
        let mut vector: Embedding = centre
            .iter()
            .map(|value| value + 0.6 * normal(&mut random) / (centre.len() as f32).sqrt())
            .collect();
        normalise(&mut vector);
        vector
    }
}

pub(crate) fn run(context: &Context, chunks: usize, queries: usize, seed: u64) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let encoder = parts::embedder(&context.config.embedding)?;
    let mut random = fastrand::Rng::with_seed(seed);
    let vocabulary = vocabulary(&mut random);
    output::note(format!("building {chunks} chunks"));
    build(context, &data, &encoder, chunks, &vocabulary, &mut random)?;
    let questions: Vec<String> = (0..queries).map(|_| words(&vocabulary, QUERY_WORDS, &mut random)).collect();

    output::note("timing the bare engines");
    let bare = bare(&data, encoder.as_ref(), &questions)?;
    output::note("timing hybrid search over HTTP");
    let (server, ready) = start(context, &data)?;
    let served = served(server.text("listening")?, &questions)?;
    let memory = memory_mib(&server.id().to_string(), "VmRSS:");
    drop(server);

    let ratio = served.0 / (bare.0 + bare.1);
    if context.json {
        return output::json(&json!({
            "n": queries, "chunks": chunks,
            "bare_ms": {"lexical": {"p50": bare.0}, "vector": {"p50": bare.1}},
            "http_hybrid_ms": {"p50": served.0, "p99": served.1},
            "ratio": ratio, "rss_mib": memory, "ready_ms": ready,
        }));
    }
    output::say(format!(
        "{chunks} chunks, {queries} questions\n  bare tantivy      p50 {:.3} ms\n  bare vectors      p50 {:.3} ms\n  \
         hybrid over HTTP  p50 {:.3} ms, p99 {:.3} ms, without the question's embedding\n  ratio {ratio:.2}, \
         memory {memory:.0} MiB, ready after {ready:.0} ms",
        bare.0, bare.1, served.0, served.1
    ))
}

fn build(
    context: &Context,
    data: &std::path::Path,
    encoder: &Arc<dyn Embedder>,
    chunks: usize,
    vocabulary: &[String],
    random: &mut fastrand::Rng,
) -> Result<()> {
    let centres = (0..CLUSTERS)
        .map(|_| {
            let mut centre: Embedding = (0..encoder.dimensions()).map(|_| normal(random)).collect();
            normalise(&mut centre);
            centre
        })
        .collect();
    let embedder = Arc::new(ClusteredVectors { encoder: Arc::clone(encoder), centres });
    let mut settings = context.config.engine.clone();
    settings.data = data.to_owned();
    let engine =
        Engine::open(settings, Parts { embedder, models: Vec::new(), clock: Arc::new(SystemClock) })?;
    let records = tempfile::tempdir()?;
    let bar = output::bar(chunks as u64, "chunks");
    for (number, first) in (0..chunks).step_by(RECORDS_A_FILE).enumerate() {
        let lines: Vec<String> = (first..chunks.min(first + RECORDS_A_FILE))
            .map(|id| json!({"_id": id.to_string(), "title": words(vocabulary, 4, random), "text": words(vocabulary, CHUNK_WORDS, random)}).to_string())
            .collect();
        let file = records.path().join(format!("{number}.jsonl"));
        std::fs::write(&file, lines.join("\n"))?;
        let report = engine.ingest(&[file], IngestOptions::default(), &|_| {})?;
        bar.inc(report.chunks);
    }
    bar.finish_and_clear();
    Ok(engine.close()?)
}

/// The median time of each engine alone, in milliseconds.
fn bare(data: &std::path::Path, encoder: &dyn Embedder, questions: &[String]) -> Result<(f64, f64)> {
    let lexical = Arc::new(TantivyIndex::open(&data.join("lexical"))?);
    let filters = Arc::clone(&lexical);
    let vectors = UsearchIndex::open(
        &data.join("vectors"),
        encoder.dimensions(),
        Arc::new(move |filter: &Filter| filters.matching(filter)),
    )?;
    let (mut words, mut meanings) = (Vec::new(), Vec::new());
    for question in questions {
        let embedding = encoder.embed(&[question])?.pop().unwrap_or_default();
        let started = Instant::now();
        lexical.search(question, &Filter::default(), DEPTH)?;
        words.push(started.elapsed().as_secs_f64() * 1_000.0);
        let started = Instant::now();
        vectors.search(&embedding, &Filter::default(), DEPTH)?;
        meanings.push(started.elapsed().as_secs_f64() * 1_000.0);
    }
    Ok((median(words), median(meanings)))
}

/// Starts the server, and says after how many milliseconds it was ready.
fn start(context: &Context, data: &std::path::Path) -> Result<(Program, f64)> {
    let started = Instant::now();
    let server = Program::start(&mut serving(context, data, None)?)?;
    let ready = reqwest::blocking::get(format!("http://{}/readyz", server.text("listening")?))?;
    ready.error_for_status()?;
    Ok((server, started.elapsed().as_secs_f64() * 1_000.0))
}

/// The median and the 99th percentile of a search over HTTP, less the time that embedding the question took.
fn served(address: &str, questions: &[String]) -> Result<(f64, f64)> {
    let client = reqwest::blocking::Client::builder().tcp_nodelay(true).no_proxy().build()?;
    let mut times = Vec::new();
    for question in questions {
        let body = json!({"query": question, "strategy": "hybrid", "top_k": TOP_K}).to_string();
        let request = client
            .post(format!("http://{address}/v1/search"))
            .header("content-type", "application/json")
            .body(body);
        let started = Instant::now();
        let answer = request.send()?.error_for_status()?.bytes()?;
        let whole = started.elapsed().as_secs_f64() * 1_000.0;
        let answer: Value = serde_json::from_slice(&answer)?;
        let stages = answer["timings"].as_array().context("a search came without timings")?;
        let embedding =
            stages.iter().find(|stage| stage["stage"] == "embed").and_then(|stage| stage["ms"].as_f64());
        times.push(whole - embedding.unwrap_or(0.0));
    }
    let p99 = quantile(&mut times, 0.99);
    Ok((median(times), p99))
}

/// Words whose use follows Zipf's law, as in natural text.
fn words(vocabulary: &[String], count: usize, random: &mut fastrand::Rng) -> String {
    let word = |random: &mut fastrand::Rng| {
        let rank = (vocabulary.len() as f64).powf(random.f64()) as usize;
        vocabulary[rank.min(vocabulary.len() - 1)].as_str()
    };
    (0..count).map(|_| word(random)).collect::<Vec<_>>().join(" ")
}

fn vocabulary(random: &mut fastrand::Rng) -> Vec<String> {
    (0..VOCABULARY).map(|_| (0..random.usize(3..10)).map(|_| random.lowercase()).collect()).collect()
}

/// A standard normal number (Box & Muller 1958).
fn normal(random: &mut fastrand::Rng) -> f32 {
    let radius = (-2.0 * (1.0 - random.f32()).ln()).sqrt();
    radius * (std::f32::consts::TAU * random.f32()).cos()
}

fn normalise(vector: &mut Embedding) {
    let norm = vector.iter().map(|value| value * value).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    vector.iter_mut().for_each(|value| *value /= norm);
}
