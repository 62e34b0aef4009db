//! `burnish eval context`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use burnish_engine::IngestOptions;
use burnish_eval::context::{self, EXCERPTS, Kept, Report, Request, evaluate};
use burnish_eval::dataset::Dataset;
use serde_json::json;

use super::{Context, eval};
use crate::{output, parts};

/// What `eval context` is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct EvalContextArgs {
    /// A BEIR set whose queries have `answers` in their metadata, or a folder of `questions_df.csv` and `corpora` with the
    /// excerpts that answer.
    #[arg(long, value_name = "DIR")]
    dataset: PathBuf,
    /// Which queries of a BEIR set: those of qrels/SPLIT.tsv.
    #[arg(long, default_value = "test")]
    split: String,
    /// The share of the tokens that may be kept.
    #[arg(long, default_value_t = 0.25, value_name = "R")]
    ratio: f64,
    /// How passages are found.
    #[arg(long, default_value = "hybrid")]
    strategy: String,
    /// How many.
    #[arg(long, short = 'k', default_value_t = 10, value_name = "N")]
    top_k: usize,
    /// For the bootstrap.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

pub(crate) fn run(context: &Context, args: &EvalContextArgs) -> Result<()> {
    let EvalContextArgs { dataset, split, ratio, strategy, top_k, seed } = args;
    if !(*ratio > 0.0 && *ratio <= 1.0) {
        bail!("--ratio {ratio} is no share: give a number above 0, up to 1");
    }
    let engine = parts::engine(&eval::apart(context, dataset)?)?;
    let questions = if dataset.join(EXCERPTS).exists() {
        let questions = context::excerpts(dataset)?;
        let report = engine.ingest(&[dataset.join("corpora")], IngestOptions::default(), &|_| {})?;
        if let Some(refused) = report.refused.first() {
            bail!("{}: {}", refused.path, refused.reason);
        }
        questions
    } else {
        let loaded = Dataset::load(dataset, split)?;
        eval::bring_in(&engine, &loaded)?;
        context::answerable(&loaded)
    };
    if questions.is_empty() {
        bail!("`{}` has no question whose answer can be looked for", dataset.display());
    }
    let request = Request { strategy: engine.strategy(strategy)?, top_k: *top_k, ratio: *ratio, seed: *seed };
    let bar = output::bar(questions.len() as u64, "questions");
    let report = evaluate(&engine, &questions, &request, &mut || bar.inc(1))?;
    bar.finish_and_clear();
    engine.close()?;
    if context.json {
        let mut object = serde_json::to_value(&report)?;
        object["dataset"] = json!(dataset.display().to_string());
        object["ratio"] = json!(ratio);
        return output::json(&object);
    }
    print(&report)
}

fn print(report: &Report) -> Result<()> {
    output::say(format!(
        "n = {}, {} answers in evidence of {:.0} tokens",
        report.n, report.answers, report.evidence_tokens
    ))?;
    output::say(format!("{:<12}{:>12}{:>28}", "", "kept tokens", "answers still there"))?;
    for (name, kept) in [("optimised", &report.optimized), ("first k", &report.first_k)] {
        let Kept { kept_ratio, answer_recall } = kept;
        let recall = answer_recall.as_ref().map_or_else(String::new, |recall| {
            format!("{:.3} [{:.3}, {:.3}]", recall.mean, recall.ci95[0], recall.ci95[1])
        });
        output::say(format!("{name:<12}{kept_ratio:>12.3}{recall:>28}"))?;
    }
    if let Some(difference) = &report.difference {
        let [low, high] = difference.ci95;
        output::say(format!("difference, paired: {:+.3} [{low:+.3}, {high:+.3}]", difference.mean))?;
    }
    let latency = report.latency_ms;
    output::say(format!(
        "{:.2} ms (p50), {:.2} ms (p99); {:.2} ms for 4,000 tokens",
        latency.p50, latency.p99, latency.per_4000_tokens
    ))
}
