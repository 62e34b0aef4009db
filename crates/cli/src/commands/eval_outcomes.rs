//! `burnish eval choice` and `burnish eval drift`: policies over recorded outcomes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use burnish_eval::bootstrap::MeanInterval;
use burnish_eval::choice::{ChoiceReport, Fixed, Means, Reached};
use burnish_eval::drift::DriftReport;
use burnish_eval::outcome_table::OutcomeTable;
use burnish_eval::routing::Cost;
use burnish_eval::stream::Request;
use burnish_eval::{choice, drift};
use burnish_learning::policies::DEFAULT_POLICY;
use burnish_types::Embedding;
use clap::Args;

use super::Context;
use crate::{output, parts};

const EMBEDDED_AT_ONCE: usize = 256;

/// What both commands are asked.
#[derive(Debug, Args)]
pub(crate) struct Outcomes {
    /// Recorded outcomes, JSON Lines, plain or `.gz`; may be repeated.
    #[arg(long, required = true, value_name = "FILE", num_args = 1..)]
    table: Vec<PathBuf>,
    /// `fixed:ARM`, `epsilon:SHARE`, `linucb`, `linucb:C`, `thompson`, `conservative` or `conservative:ALPHA`.
    #[arg(long, default_value = DEFAULT_POLICY, value_name = "NAME")]
    policy: String,
    /// The arm that is played until evidence speaks against it; without it the first of the table.
    #[arg(long, value_name = "ARM")]
    baseline: Option<String>,
    /// Lets policies see what the embeddings of the queries tell of their topics. The embeddings are kept in FILE, 32-bit
    /// floats one after the other; where it is not there, the configured encoder makes it.
    #[arg(long, value_name = "FILE")]
    embeddings: Option<PathBuf>,
    /// The first order of the rows.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// What `eval choice` is asked beside.
#[derive(Debug, Args)]
pub(crate) struct ChoiceArgs {
    #[command(flatten)]
    outcomes: Outcomes,
    /// Quality in [0, 1] that is good enough; without it, more is always better.
    #[arg(long, value_name = "Q")]
    quality_target: Option<f64>,
    /// The most that one request may be expected to cost, in US dollars.
    #[arg(long, value_name = "USD")]
    budget: Option<f64>,
    /// How many orders of the rows.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// In place of playing online: how well routers rank queries from all outcomes of the other parts, the rows being cut into
    /// so many, anew for each seed. Needs --embeddings.
    #[arg(long, value_name = "K", requires = "embeddings", value_parser = clap::value_parser!(u16).range(2..=100))]
    folds: Option<u16>,
    /// In place of a policy: a router over whole embeddings, which starts with the baseline and keeps a bound on what is lost
    /// against it, at each of these prices: the quality that is given up to save the baseline's mean cost. Needs --embeddings.
    #[arg(
        long,
        value_name = "PRICE,…",
        requires = "embeddings",
        value_delimiter = ',',
        conflicts_with = "folds"
    )]
    router: Vec<f64>,
    /// With --router: save US dollars, and not tokens that are written.
    #[arg(long, requires = "router")]
    usd: bool,
}

/// What `eval drift` is asked beside.
#[derive(Debug, Args)]
pub(crate) struct DriftArgs {
    #[command(flatten)]
    outcomes: Outcomes,
    /// How many streams of each kind.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
}

pub(crate) fn choice(context: &Context, args: ChoiceArgs) -> Result<()> {
    let ChoiceArgs { outcomes, quality_target, budget, seeds, folds, router, usd } = args;
    if !router.is_empty() {
        let cost = if usd { Cost::Usd } else { Cost::OutputTokens };
        return routed(context, outcomes, cost, &router, seeds);
    }
    if let Some(folds) = folds {
        return offline(context, outcomes, usize::from(folds), seeds);
    }
    if let Some(target) = quality_target.filter(|target| !(0.0..=1.0).contains(target)) {
        bail!("--quality-target {target} is not in [0, 1]");
    }
    if let Some(budget) = budget.filter(|budget| !(budget.is_finite() && *budget >= 0.0)) {
        bail!("--budget {budget} is no amount of money: write US dollars, such as 0.002");
    }
    let (table, request) =
        outcomes.load(context, Request { quality_target, budget_usd: budget, seeds, ..nothing() })?;
    let report = choice::evaluate(&table, &request)?;
    if context.json {
        return output::json(&serde_json::to_value(&report)?);
    }
    print_choice(&table, &report)
}

fn offline(context: &Context, outcomes: Outcomes, folds: usize, repeats: u64) -> Result<()> {
    let Some(file) = outcomes.embeddings.clone() else { bail!("--folds needs --embeddings") };
    let embeddings = embeddings(context, &file, &OutcomeTable::queries(&outcomes.table)?)?;
    let (table, request) = outcomes.load(context, nothing())?;
    let report = burnish_eval::offline::evaluate(&table, &embeddings, folds, repeats, request.seed)?;
    if context.json {
        return output::json(&serde_json::to_value(&report)?);
    }
    let said = format!("{} rows, {} folds, cut {} times", report.n, report.folds, report.repeats);
    output::say(format!(
        "{said}\n\n{:<10}{:>8}{:>18}{:>26}{:>26}",
        "", "APGR", "95 %", "calls for 95 % of quality", "above nearest"
    ))?;
    let interval = |of: &MeanInterval| format!("[{:.4}, {:.4}]", of.ci95[0], of.ci95[1]);
    for (name, router) in &report.routers {
        let above = router.over_nearest.as_ref();
        let above = above.map(|above| format!("{:+.4} {}", above.mean, interval(above))).unwrap_or_default();
        let calls = format!("{:.1} %", 100.0 * router.strong_calls_at_95);
        output::say(format!(
            "{name:<10}{:>8.4}{:>18}{calls:>26}{above:>26}",
            router.apgr.mean,
            interval(&router.apgr)
        ))?;
    }
    Ok(())
}

fn routed(context: &Context, outcomes: Outcomes, cost: Cost, prices: &[f64], seeds: u64) -> Result<()> {
    if let Some(price) = prices.iter().find(|price| !(0.0..=100.0).contains(*price)) {
        bail!("--router {price} is no price: write qualities, such as 0.1");
    }
    let Some(file) = outcomes.embeddings.clone() else { bail!("--router needs --embeddings") };
    let embeddings = embeddings(context, &file, &OutcomeTable::queries(&outcomes.table)?)?;
    let (table, request) = outcomes.load(context, nothing())?;
    let named = |arm: &String| table.arms.iter().position(|known| known == arm);
    let baseline = request.baseline.as_ref().and_then(named).unwrap_or(0);
    let report =
        burnish_eval::routing::evaluate(&table, &embeddings, baseline, cost, prices, seeds, request.seed)?;
    if context.json {
        return output::json(&serde_json::to_value(&report)?);
    }
    output::say(format!(
        "{} rows, {} orders, second half; always {}: quality {:.4} at {:.5} {}\n",
        report.n,
        report.seeds,
        report.baseline,
        report.always.quality,
        report.always.cost,
        if cost == Cost::Usd { "US dollars" } else { "tokens written" }
    ))?;
    output::say(format!(
        "{:<8}{:>9}{:>11}{:>10}{:>22}{:>22}{:>13}  front",
        "price", "quality", "cost", "above", "95 % over rows", "95 % over orders", "least share"
    ))?;
    let interval = |of: &MeanInterval| format!("[{:+.4}, {:+.4}]", of.ci95[0], of.ci95[1]);
    for (place, priced) in report.prices.iter().enumerate() {
        output::say(format!(
            "{:<8}{:>9.4}{:>11.5}{:>10}{:>22}{:>22}{:>13.3}  {}",
            priced.price,
            priced.reached.quality,
            priced.reached.cost,
            format!("{:+.4}", priced.over_rows.mean),
            interval(&priced.over_rows),
            interval(&priced.over_seeds),
            priced.least_share,
            if report.front.contains(&place) { "yes" } else { "" },
        ))?;
    }
    Ok(())
}

pub(crate) fn drift(context: &Context, args: DriftArgs) -> Result<()> {
    let (table, request) = args.outcomes.load(context, Request { seeds: args.seeds, ..nothing() })?;
    let report = drift::evaluate(&table, &request)?;
    if context.json {
        return output::json(&serde_json::to_value(&report)?);
    }
    print_drift(&report)
}

fn nothing() -> Request {
    Request {
        policy: String::new(),
        baseline: None,
        quality_target: None,
        budget_usd: None,
        seeds: 1,
        seed: 0,
    }
}

impl Outcomes {
    /// The table, and `request` with what both commands are asked.
    fn load(self, context: &Context, request: Request) -> Result<(OutcomeTable, Request)> {
        let mut table = OutcomeTable::load(&self.table)?;
        if let Some(file) = &self.embeddings {
            table.add_topics(&embeddings(context, file, &OutcomeTable::queries(&self.table)?)?);
        }
        let fixed = self.policy.strip_prefix("fixed:");
        for arm in self.baseline.as_deref().into_iter().chain(fixed) {
            if !table.arms.iter().any(|known| known == arm) {
                bail!("the table has no arm `{arm}`; its arms are {}", table.arms.join(", "));
            }
        }
        Ok((table, Request { policy: self.policy, baseline: self.baseline, seed: self.seed, ..request }))
    }
}

/// The embeddings of `queries`, which `file` holds, or will hold.
fn embeddings(context: &Context, file: &Path, queries: &[String]) -> Result<Vec<Embedding>> {
    if file.exists() {
        let bytes = fs::read(file).with_context(|| format!("cannot read `{}`", file.display()))?;
        let values: Vec<f32> = bytes
            .chunks_exact(4)
            .map(|value| f32::from_le_bytes([value[0], value[1], value[2], value[3]]))
            .collect();
        if queries.is_empty() || values.is_empty() || !values.len().is_multiple_of(queries.len()) {
            bail!("`{}` holds no embeddings of these {} queries: delete it", file.display(), queries.len());
        }
        return Ok(values.chunks(values.len() / queries.len()).map(<[f32]>::to_vec).collect());
    }
    let embedder = parts::embedder(&context.config.embedding)?;
    let bar = output::bar(queries.len() as u64, "queries embedded");
    let mut embeddings = Vec::with_capacity(queries.len());
    for some in queries.chunks(EMBEDDED_AT_ONCE) {
        embeddings.extend(embedder.embed(&some.iter().map(String::as_str).collect::<Vec<_>>())?);
        bar.inc(some.len() as u64);
    }
    bar.finish_and_clear();
    let bytes: Vec<u8> = embeddings.iter().flatten().flat_map(|value| value.to_le_bytes()).collect();
    fs::write(file, bytes).with_context(|| format!("cannot write `{}`", file.display()))?;
    Ok(embeddings)
}

fn print_choice(table: &OutcomeTable, report: &ChoiceReport) -> Result<()> {
    output::say(format!(
        "{}, {} rows in {} orders\n\n{:<34} {:>8} {:>17} {:>12} {:>8}",
        report.policy, report.n, report.seeds, "", "quality", "95 %", "cost, USD", "tokens"
    ))?;
    for (name, reached) in [("the policy", &report.all), ("  last half", &report.last_half)] {
        let [low, high] = reached.quality.ci95;
        let means = Means {
            quality: reached.quality.mean,
            cost_usd: reached.cost_usd,
            output_tokens: reached.output_tokens,
        };
        output::say(line(name, &format!("[{low:.4}, {high:.4}]"), &means))?;
    }
    output::say(line("the best arm for each row", "", &report.oracle))?;
    for Fixed { arm, means } in &report.fixed {
        let mark = if *arm == report.best_fixed.arm { " (best fixed)" } else { "" };
        output::say(line(&format!("always {arm}{mark}"), "", means))?;
    }
    output::say(format!("\nshares over the last half: {}", shares(table, &report.last_half)))?;
    if let Some(routing) = &report.last_half.routing {
        output::say(format!(
            "routing over the last half: APGR {:.3}, CPT(50 %) {:.1} %, CPT(80 %) {:.1} %; 95 % of the best arm's \
             quality with {:.1} % of its calls",
            routing.apgr,
            100.0 * routing.cpt.half,
            100.0 * routing.cpt.four_fifths,
            100.0 * routing.strong_calls_at_95
        ))?;
    }
    if let Some(exploration) = &report.exploration {
        output::say(format!(
            "explored {:.1} % of requests, which cost {:.2} of {:.0} in summed quality; {:.1} drift alarms",
            100.0 * exploration.share,
            exploration.spent,
            exploration.expected,
            report.alarms
        ))?;
    }
    Ok(())
}

fn line(name: &str, interval: &str, means: &Means) -> String {
    let figure = |value: Option<f64>, digits: usize| {
        value.map_or("–".to_owned(), |value| format!("{value:.digits$}"))
    };
    let (cost, tokens) = (figure(means.cost_usd, 6), figure(means.output_tokens, 0));
    format!("{name:<34} {:>8.4} {interval:>17} {cost:>12} {tokens:>8}", means.quality)
}

fn shares(table: &OutcomeTable, reached: &Reached) -> String {
    let share = |(arm, share): (&String, &f64)| format!("{arm} {:.1} %", 100.0 * share);
    let mut arms: Vec<(&String, &f64)> = table.arms.iter().zip(&reached.shares).collect();
    arms.sort_by(|left, right| right.1.total_cmp(left.1));
    arms.into_iter().filter(|(_, share)| **share > 0.0).map(share).collect::<Vec<_>>().join(", ")
}

fn print_drift(report: &DriftReport) -> Result<()> {
    let list = |values: &[Option<usize>]| {
        let mut values: Vec<usize> = values.iter().map(|value| value.unwrap_or(usize::MAX)).collect();
        values.sort_unstable();
        let text = |value: &usize| if *value == usize::MAX { "never".to_owned() } else { value.to_string() };
        values.iter().map(text).collect::<Vec<_>>().join(" ")
    };
    output::say(format!(
        "{}, {} rows, {} seeds: after row {} `{}` ({:.3}) and `{}` ({:.3}) swap their quality\n\n\
         back within 5 % of the new best, after outcomes (sorted): {}\n  within 100 in {} of {} seeds\n\
         first alarm after outcomes (sorted): {}\n  alarms before the swap: {}\n\
         10,000 outcomes without a change: no alarm in {} of {} seeds",
        report.policy,
        report.n,
        report.seeds,
        report.swap_at,
        report.best,
        report.means[0],
        report.worst,
        report.means[1],
        list(&report.back_after),
        report.back_within_100,
        report.seeds,
        list(&report.alarm_after),
        report.alarms_before.iter().sum::<usize>(),
        report.stationary_without_alarm,
        report.seeds
    ))
}
