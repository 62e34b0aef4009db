//! `burnish eval joint`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use burnish_eval::joint::{Reached, Report, Request, World, evaluate};
use burnish_eval::outcome_table::OutcomeTable;
use burnish_learning::policies::DEFAULT_POLICY;

use super::Context;
use crate::output;

/// What `eval joint` is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct EvalJointArgs {
    /// Which model answered right: recorded outcomes, JSON Lines, plain or `.gz`.
    #[arg(long, value_name = "FILE")]
    routing: PathBuf,
    /// Which template did.
    #[arg(long, value_name = "FILE")]
    templates: PathBuf,
    /// What each strategy found, as `eval retrieval --table` writes it.
    #[arg(long, value_name = "FILE")]
    retrieval: PathBuf,
    /// The policy, by name.
    #[arg(long, default_value = DEFAULT_POLICY, value_name = "NAME")]
    policy: String,
    /// Requests of each stream.
    #[arg(long, default_value_t = 4_000, value_name = "N")]
    requests: usize,
    /// Outcomes before what is reported.
    #[arg(long, default_value_t = 2_000, value_name = "N")]
    warm_up: usize,
    /// Qualities to be kept in the mean, as cheaply as can be, for each of which the planner is run, too.
    #[arg(long, value_delimiter = ',', value_name = "Q,…")]
    targets: Vec<f64>,
    /// How many streams.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// For the composition, the streams and the bootstrap.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

pub(crate) fn run(context: &Context, args: &EvalJointArgs) -> Result<()> {
    let EvalJointArgs { routing, templates, retrieval, policy, requests, warm_up, targets, seeds, seed } =
        args;
    if warm_up >= requests {
        bail!("--warm-up {warm_up} leaves nothing of --requests {requests} to report");
    }
    if let Some(target) = targets.iter().find(|target| !(0.0..=1.0).contains(*target)) {
        bail!("--targets: {target} is not in [0, 1]");
    }
    let table = |file: &PathBuf| OutcomeTable::load(std::slice::from_ref(file));
    let world = World::new(table(routing)?, table(templates)?, table(retrieval)?, *seed)?;
    let request = Request {
        policy: policy.clone(),
        requests: *requests,
        warm_up: *warm_up,
        seeds: *seeds,
        seed: *seed,
        targets: targets.clone(),
    };
    let bar = output::bar(0, "");
    let report = evaluate(&world, &request, &mut |doing| {
        bar.inc(1);
        bar.set_message(doing.to_owned());
    })?;
    bar.finish_and_clear();
    if context.json { output::json(&serde_json::to_value(&report)?) } else { print(&report) }
}

fn print(report: &Report) -> Result<()> {
    output::say(format!(
        "{} combinations, policy {}, {} requests after warming up, {} streams",
        report.combinations, report.policy, report.n, report.seeds
    ))?;
    output::say(format!(
        "{:<16}{:>26}{:>15}{:>22}",
        "", "quality", "USD a request", "of an equal fixed one"
    ))?;
    let mut rows = vec![("planner".to_owned(), &report.planner), ("hindsight".to_owned(), &report.hindsight)];
    rows.extend(
        report.targets.iter().map(|target| (format!("target {}", target.target_quality), &target.reached)),
    );
    for (name, Reached { quality, cost_usd, cost_at_equal_quality }) in rows {
        let shown = format!("{:.4} [{:.4}, {:.4}]", quality.mean, quality.ci95[0], quality.ci95[1]);
        let share =
            cost_at_equal_quality.map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", 100.0 * share));
        output::say(format!("{name:<16}{shown:>26}{cost_usd:>15.6}{share:>22}"))?;
    }
    let best = &report.best_fixed;
    output::say(format!("{:<16}{:>26.4}{:>15.6}", "best fixed", best.quality, best.cost_usd))?;
    output::say(format!("best fixed: {}", best.combination))?;
    output::say(format!("planner: {:.1} % of hindsight", 100.0 * report.share_of_hindsight))?;
    output::say(format!("planning: {:.3} ms (p50), {:.3} ms (p99)", report.plan_ms.p50, report.plan_ms.p99))?;
    output::say(format!(
        "a model that became useless was left after {} outcomes",
        counts(&report.left_after)
    ))?;
    output::say(format!(
        "a new model that is right for {:.0} % of the requests was taken for as many after {} outcomes",
        100.0 * report.right_share,
        counts(&report.adopted_after)
    ))
}

fn counts(counts: &[Option<usize>]) -> String {
    let said = counts.iter().map(|count| count.map_or_else(|| "never".to_owned(), |count| count.to_string()));
    said.collect::<Vec<_>>().join(", ")
}
