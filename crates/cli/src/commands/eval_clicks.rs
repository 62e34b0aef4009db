//! `eval clicks`: what the memory makes of opened passages where people look at the places of a list unevenly.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use burnish_eval::adaptive::{Clicking, clicks};

use super::{Context, eval_adaptive};
use crate::output;

/// What `eval clicks` is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct ClicksArgs {
    /// A folder with corpus.jsonl, queries.jsonl and qrels.
    #[arg(long, value_name = "DIR")]
    dataset: PathBuf,
    /// The judgements that the queries come from; without it all splits.
    #[arg(long, value_name = "SPLIT")]
    split: Vec<String>,
    /// The strategy whose rankings people are shown.
    #[arg(long, short, default_value = "hybrid", value_name = "NAME")]
    strategy: String,
    /// Keep what the strategies found in this folder, and take it from there once it exists.
    #[arg(long, value_name = "DIR")]
    rankings: Option<PathBuf>,
    /// People look at the place n, from 0, with probability (1 + n)^-BIAS; may be repeated.
    #[arg(long, value_name = "BIAS", default_values_t = [0.0, 0.5, 1.0, 1.5], value_delimiter = ',')]
    bias: Vec<f64>,
    /// How often those who look at it open a passage that answers.
    #[arg(long, default_value_t = 0.7)]
    opens: f64,
    /// How often those who look at it open a passage that does not.
    #[arg(long, default_value_t = 0.15)]
    opens_wrongly: f64,
    /// How many people ask each query.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// For people's choices and the bootstrap.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

pub(crate) fn run(context: &Context, args: &ClicksArgs) -> Result<()> {
    let request = eval_adaptive::Request {
        datasets: vec![args.dataset.clone()],
        splits: args.split.clone(),
        strategies: Vec::new(),
        learn_split: None,
        rankings: args.rankings.clone(),
        policy: None,
        seeds: 1,
        seed: args.seed,
    };
    let mut prepared = eval_adaptive::prepared(context, &request)?;
    if !args.split.is_empty() {
        prepared.queries.retain(|query| args.split.contains(&query.split));
    }
    let known = || prepared.strategies.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let place = prepared.strategies.iter().position(|strategy| strategy.as_str() == args.strategy);
    let place = place.with_context(|| format!("--strategy `{}` is none of {}", args.strategy, known()))?;
    let mut reports = Vec::new();
    for &bias in &args.bias {
        let opens = (args.opens, args.opens_wrongly);
        let clicking = Clicking { bias, opens, rounds: args.rounds, seed: args.seed };
        reports.push((bias, clicks(&prepared, place, clicking)?));
    }
    if context.json {
        let mut rows = Vec::new();
        for (bias, report) in &reports {
            let mut row = serde_json::to_value(report)?;
            row["bias"] = serde_json::json!(bias);
            rows.push(row);
        }
        return output::json(&serde_json::json!({ "rounds": args.rounds, "reports": rows }));
    }
    output::say(format!("n = {}, {} rounds, nDCG@10", prepared.queries.len(), args.rounds))?;
    for (bias, report) in &reports {
        output::say(format!("\nlooking at place n with (1 + n)^-{bias}: {} passages opened", report.opened))?;
        for (name, mean) in [
            ("without memory", report.without),
            ("plain", report.plain),
            ("believed", report.believed),
            ("learned", report.learned),
            ("learned over plain", report.learned_over_plain),
            ("learned over believed", report.learned_over_believed),
        ] {
            output::say(format!("{name:<24}{}", eval_adaptive::interval(mean)))?;
        }
    }
    Ok(())
}
