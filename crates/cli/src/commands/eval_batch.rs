//! `burnish eval batch`.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, bail};
use burnish_engine::{Engine, Parts};
use burnish_eval::batch::{Asked, Respondent, evaluate};
use burnish_eval::dataset::Dataset;
use burnish_types::{LanguageModel, SystemClock};
use serde_json::json;

use super::{Context, eval};
use crate::{output, parts};

/// What `eval batch` is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct EvalBatchArgs {
    /// The folder with corpus.jsonl, queries.jsonl (with `answers` in their metadata) and qrels.
    #[arg(long, value_name = "DIR")]
    dataset: PathBuf,
    /// Which queries: those of qrels/SPLIT.tsv.
    #[arg(long, default_value = "test")]
    split: String,
    /// How many questions are asked.
    #[arg(long, default_value_t = 200)]
    queries: usize,
    /// The share of replies to several questions that can't be read.
    #[arg(long, default_value_t = 0.0)]
    garbled: f64,
    /// For the choice of questions, what is garbled, and the bootstrap.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

pub(crate) fn run(context: &Context, args: &EvalBatchArgs) -> Result<()> {
    let EvalBatchArgs { dataset, split, queries, garbled, seed } = args;
    if !(0.0..=1.0).contains(garbled) {
        bail!("--garbled {garbled} is no share: give a number from 0 to 1");
    }
    let loaded = Dataset::load(dataset, split)?;
    let mut config = eval::apart(context, dataset)?;
    // The same is asked twice.
    config.engine.cache.enabled = false;
    let embedder = parts::fitting_embedder(&config)?;
    let respondent = Arc::new(Respondent::new(Arc::clone(&embedder), *garbled, *seed));
    let models: Vec<Arc<dyn LanguageModel>> = vec![respondent.clone()];
    let engine = Engine::open(config.engine, Parts { embedder, models, clock: Arc::new(SystemClock) })?;
    eval::bring_in(&engine, &loaded)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let bar = output::bar(0, "asking, alone and together");
    let report = runtime.block_on(evaluate(&engine, &respondent, &loaded, *queries, *seed))?;
    bar.finish_and_clear();
    engine.close()?;
    if context.json {
        return output::json(&json!({
            "dataset": loaded.name, "split": split, "garbled": garbled, "report": report,
        }));
    }
    output::say(format!("{}, n = {}, of a simulated model", loaded.name, report.n))?;
    output::say(format!(
        "{:<10}{:>10}{:>10}{:>16}{:>10}{:>14}",
        "", "requests", "garbled", "prompt tokens", "answered", "at their own"
    ))?;
    for (name, asked) in [("alone", &report.alone), ("together", &report.together)] {
        let Asked { requests, garbled, prompt_tokens, answered, at_their_own } = asked;
        output::say(format!(
            "{name:<10}{requests:>10}{garbled:>10}{prompt_tokens:>16}{answered:>10}{at_their_own:>14}"
        ))?;
    }
    output::say(format!("prompt tokens: {:.1} % of one by one", 100.0 * report.token_ratio))?;
    match report.answers_kept {
        Some(kept) => output::say(format!(
            "answers that stand in the shared context, of {} that stand in their own: {:.3} [{:.3}, {:.3}]",
            report.answerable, kept.mean, kept.ci95[0], kept.ci95[1]
        )),
        None => output::say("no query has `answers` in its metadata that stand in what was found"),
    }
}
