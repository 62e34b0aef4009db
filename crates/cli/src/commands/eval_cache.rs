//! `burnish eval cache`: what the semantic cache serves of pairs whose truth is known.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use burnish_cache::{Promise, Question};
use burnish_eval::cache::{self, Bar, Report, Request, Texts};
use burnish_types::Embedder;
use clap::Args;
use serde_json::json;

use super::Context;
use crate::{output, parts};

/// Texts that are embedded in one go.
const BATCH: usize = 512;
/// Bars on the predicted risk that are tabled for paraphrases.
const BARS: [f64; 7] = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6];

/// What `eval cache` is asked.
#[derive(Debug, Args)]
pub(crate) struct EvalCacheArgs {
    /// Pairs of questions, JSON Lines of `text_a`, `text_b` and `label`, plain or `.gz`.
    #[arg(long, value_name = "FILE")]
    pairs: PathBuf,
    /// The share of all requests that may be answered wrongly from the cache.
    #[arg(long, default_value_t = Promise::default().delta)]
    delta: f64,
    /// The share of served answers of which somebody says whether they were right.
    #[arg(long, default_value_t = 0.0)]
    feedback: f64,
    /// Only the first so many pairs of the file.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// The pairs after the first so many of the file.
    #[arg(long, default_value_t = 0, value_name = "N")]
    skip: usize,
    /// Look these up afterwards: one JSON list of `origin` and `similar`.
    #[arg(long, value_name = "FILE")]
    paraphrases: Option<PathBuf>,
    /// Ask so many traps afterwards, drawn from templates.
    #[arg(long, default_value_t = 0, value_name = "N")]
    traps: usize,
    /// Keep the embeddings in this file, and take them from there once it exists.
    #[arg(long, value_name = "FILE")]
    vectors: Option<PathBuf>,
    /// How many orders of the pairs.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// For the orders, the coins, the model and the traps.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

pub(crate) fn run(context: &Context, args: &EvalCacheArgs) -> Result<()> {
    for (name, share) in [("delta", args.delta), ("feedback", args.feedback)] {
        if !(0.0..=1.0).contains(&share) || (name == "delta" && (share == 0.0 || share == 1.0)) {
            bail!("--{name} {share} is no share: give a number between 0 and 1");
        }
    }
    let mut texts = Texts::default();
    let all = cache::read_pairs(&args.pairs, &mut texts)?;
    let pairs: Vec<_> = all.into_iter().skip(args.skip).take(args.limit.unwrap_or(usize::MAX)).collect();
    if pairs.is_empty() {
        bail!("`{}` has no pair there", args.pairs.display());
    }
    let paraphrases = match &args.paraphrases {
        Some(path) => cache::read_paraphrases(path, &mut texts)?,
        None => Vec::new(),
    };
    let traps = cache::traps(args.traps, args.seed);
    if traps.len() < args.traps {
        bail!("--traps {}: the templates give {}", args.traps, traps.len());
    }
    for trap in &traps {
        texts.add(trap.kept.clone());
        texts.add(trap.asked.clone());
    }
    let embedder = parts::embedder(&context.config.embedding)?;
    let questions = questions(texts.all(), embedder.as_ref(), args.vectors.as_deref())?;

    let promise = Promise { delta: args.delta, ..Promise::default() };
    let request = Request { promise, feedback: args.feedback, orders: args.seeds, seed: args.seed };
    let (report, mut guarantee) = cache::evaluate(&pairs, &questions, embedder.dimensions(), &request);
    let served = cache::sprung(&traps, &texts, &questions, &mut guarantee.clone(), args.seed);
    let bars = cache::paraphrases(&paraphrases, &questions, &mut guarantee, &BARS);
    if context.json {
        let mut value = serde_json::to_value(&report)?;
        if let Some(object) = value.as_object_mut() {
            object.insert("seed".to_owned(), json!(args.seed));
            if args.paraphrases.is_some() {
                object.insert("paraphrases".to_owned(), json!({"n": paraphrases.len(), "bars": bars}));
            }
            if args.traps > 0 {
                object.insert("traps".to_owned(), json!({"n": traps.len(), "served": served}));
            }
        }
        return output::json(&value);
    }
    print(&report)?;
    if args.paraphrases.is_some() {
        print_paraphrases(paraphrases.len(), &bars)?;
    }
    if args.traps > 0 {
        output::say(format!("\n{served} of {} traps were served", traps.len()))?;
    }
    Ok(())
}

fn print(report: &Report) -> Result<()> {
    let Report { n, delta, hits, wrong, explored, error_upper95, broken, ratio, best_static, .. } = report;
    output::say(format!(
        "{n} pairs in {} orders, δ = {delta}: {hits:.0} served, {wrong:.0} of them wrong, {explored:.0} explored\n\
         95 % upper bound of the error, the largest over the orders: {error_upper95:.5}; promise broken in {broken} of them\n\
         best threshold in hindsight, {:.3}: {} served, {} of them wrong; ratio {ratio:.2}\n",
        report.runs.len(),
        best_static.threshold,
        best_static.hits,
        best_static.wrong
    ))?;
    output::say(format!("{:>10}{:>8}{:>8}", "threshold", "served", "wrong"))?;
    report
        .thresholds
        .iter()
        .try_for_each(|row| output::say(format!("{:>10.2}{:>8}{:>8}", row.threshold, row.hits, row.wrong)))
}

fn print_paraphrases(n: usize, bars: &[Bar]) -> Result<()> {
    output::say(format!("\n{n} paraphrases\n{:>10}{:>8}{:>8}", "risk", "right", "wrong"))?;
    bars.iter().try_for_each(|bar| output::say(format!("{:>10.2}{:>8}{:>8}", bar.risk, bar.right, bar.wrong)))
}

/// The questions with their embeddings, from `file` where it is of these texts.
fn questions(texts: &[String], embedder: &dyn Embedder, file: Option<&Path>) -> Result<Vec<Question>> {
    let dimensions = embedder.dimensions();
    let mark = mark(texts, embedder.model());
    let known = file.and_then(|file| fs::read(file).ok()).filter(|bytes| bytes.starts_with(&mark));
    let bytes = match known {
        Some(bytes) => bytes,
        None => {
            let mut bytes = mark.to_vec();
            let bar = output::bar(texts.len() as u64, "texts");
            for batch in texts.chunks(BATCH) {
                let batch: Vec<&str> = batch.iter().map(String::as_str).collect();
                for vector in embedder.embed(&batch)? {
                    bytes.extend(vector.iter().flat_map(|value| value.to_le_bytes()));
                }
                bar.inc(batch.len() as u64);
            }
            bar.finish_and_clear();
            if let Some(file) = file {
                fs::write(file, &bytes).with_context(|| format!("`{}` cannot be written", file.display()))?;
            }
            bytes
        }
    };
    let values: Vec<f32> = bytes[mark.len()..]
        .chunks_exact(4)
        .filter_map(|bytes| Some(f32::from_le_bytes(bytes.try_into().ok()?)))
        .collect();
    let vectors = values.chunks_exact(dimensions.max(1));
    if vectors.len() != texts.len() {
        bail!(
            "there are {} embeddings for {} texts: remove the file of `--vectors`",
            vectors.len(),
            texts.len()
        );
    }
    Ok(texts.iter().zip(vectors).map(|(text, vector)| Question::new(text, vector)).collect())
}

/// Tells the embeddings of these texts by this model from others.
fn mark(texts: &[String], model: &str) -> [u8; 8] {
    let bytes = std::iter::once(model)
        .chain(texts.iter().map(String::as_str))
        .flat_map(|text| text.bytes().chain([0]));
    let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
    bytes.fold(0xCBF2_9CE4_8422_2325, fnv).to_le_bytes()
}
