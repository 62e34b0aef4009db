//! `burnish eval selective`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use burnish_eval::dataset::Dataset;
use burnish_eval::selective::{Report, Request, evaluate};
use burnish_types::Strategy;
use serde_json::json;

use super::{Context, eval};
use crate::{output, parts};

/// What `eval selective` is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct EvalSelectiveArgs {
    /// The folder with corpus.jsonl, queries.jsonl (with `answers` in their metadata) and qrels.
    #[arg(long, value_name = "DIR")]
    dataset: PathBuf,
    /// Which queries: those of qrels/SPLIT.tsv.
    #[arg(long, default_value = "test")]
    split: String,
    /// How passages are found.
    #[arg(long, default_value = "hybrid")]
    strategy: String,
    /// The share of all requests that may be answered otherwise than the model would.
    #[arg(long, default_value_t = 0.02)]
    delta: f64,
    /// How often each stream goes through the questions. From the second time on they are known, as in a place where the
    /// same is asked again and again.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
    /// How many streams, each in an order of its own.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// For the orders, the coins and the bootstrap.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

pub(crate) fn run(context: &Context, args: &EvalSelectiveArgs) -> Result<()> {
    let EvalSelectiveArgs { dataset, split, strategy, delta, rounds, seeds, seed } = args;
    if !(*delta > 0.0 && *delta < 1.0) {
        bail!("--delta {delta} is no share: give a number between 0 and 1");
    }
    let loaded = Dataset::load(dataset, split)?;
    let engine = parts::engine(&eval::apart(context, dataset)?)?;
    eval::bring_in(&engine, &loaded)?;
    let strategy = engine.strategy(strategy)?;
    let bar = output::bar(loaded.queries.len() as u64, "questions");
    let request = Request { delta: *delta, rounds: *rounds, orders: *seeds, seed: *seed };
    let report = evaluate(&engine, &loaded, &strategy, request, &mut || bar.inc(1))?;
    bar.finish_and_clear();
    engine.close()?;
    if context.json {
        return output::json(&json!({
            "dataset": loaded.name, "split": split, "strategy": strategy, "delta": delta, "report": report,
        }));
    }
    print(&loaded.name, &strategy, &report)
}

fn print(dataset: &str, strategy: &Strategy, report: &Report) -> Result<()> {
    output::say(format!("{dataset}, n = {}, passages by {strategy}", report.n))?;
    if let Some(quotable) = &report.quotable {
        output::say(format!(
            "the quotation says what the answer says: {:.3} [{:.3}, {:.3}]",
            quotable.mean, quotable.ci95[0], quotable.ci95[1]
        ))?;
    }
    output::say(format!(
        "{:>6}{:>10}{:>8}{:>8}{:>10}{:>10}{:>16}",
        "seed", "requests", "spared", "wrong", "compared", "bound", "largest excess"
    ))?;
    for run in &report.runs {
        output::say(format!(
            "{:>6}{:>10}{:>8}{:>8}{:>10}{:>10.1}{:>16.1}",
            run.seed, run.requests, run.spared, run.wrong, run.explored, run.bound, run.largest_excess
        ))?;
    }
    Ok(())
}
