//! `burnish eval prompts`: experiments, credit to blocks, and searches, on simulated outcomes.

use anyhow::{Result, bail};
use burnish_eval::{prompt_credit, prompt_search, prompt_trials};
use clap::Subcommand;

use super::Context;
use crate::output;

#[derive(Debug, Subcommand)]
pub(crate) enum EvalPrompts {
    /// Equal, better and harmful challengers: how many are promoted and stopped, and how soon, beside the fixed-horizon z-test.
    Trials {
        /// How often each case is run.
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
        runs: u64,
        /// The champion's mean quality.
        #[arg(long, default_value_t = 0.7, value_name = "Q")]
        base: f64,
        /// The first seed.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Whether the best combination of blocks is found, with effects of blocks and of pairs, beside random search.
    Blocks {
        /// How many truths.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
        runs: u64,
        /// Outcomes after which a combination is recommended.
        #[arg(long, default_value_t = 1_500)]
        outcomes: u64,
        /// By how much the best combination is better than the second, at least.
        #[arg(long, default_value_t = 0.03, value_name = "Q")]
        gap: f64,
        /// The first seed.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// What a search makes of a middling prompt, where blocks help or harm and cost their length.
    Search {
        /// How many truths.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
        runs: u64,
        /// Outcomes of search and experiments together.
        #[arg(long, default_value_t = 2_000)]
        outcomes: u64,
        /// The first seed.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
}

pub(crate) fn run(context: &Context, command: EvalPrompts) -> Result<()> {
    match command {
        EvalPrompts::Trials { runs, base, seed } => {
            let settings = prompt_trials::Settings { runs, base, seed, ..prompt_trials::Settings::default() };
            if !(base - settings.harm >= 0.0 && base + settings.better <= 1.0) {
                bail!("with --base {base} an effect leaves [0, 1]: give one between 0.1 and 0.95");
            }
            trials(context, &settings)
        }
        EvalPrompts::Blocks { runs, outcomes, gap, seed } => {
            if !(0.0..=0.06).contains(&gap) {
                bail!("--gap {gap} is not between 0 and 0.06: larger ones are hardly ever drawn");
            }
            let settings =
                prompt_credit::Settings { runs, outcomes, gap, seed, ..prompt_credit::Settings::default() };
            blocks(context, &settings)
        }
        EvalPrompts::Search { runs, outcomes, seed } => {
            let settings =
                prompt_search::Settings { runs, outcomes, seed, ..prompt_search::Settings::default() };
            search(context, &settings)
        }
    }
}

fn trials(context: &Context, settings: &prompt_trials::Settings) -> Result<()> {
    let report = prompt_trials::simulate(settings);
    if context.json {
        return output::json(&serde_json::to_value(&report)?);
    }
    output::say(format!(
        "{} runs a case; champion's mean quality {}; the z-test at level {} and power {}",
        report.runs, settings.base, settings.level, settings.power
    ))?;
    output::say(format!(
        "{:<10}{:<11}{:>7}{:>10}{:>9}{:>9}{:>9}{:>8}{:>8}{:>9}{:>7}",
        "told",
        "quality",
        "effect",
        "promoted",
        "retired",
        "stopped",
        "in time",
        "median",
        "p95",
        "fixed n",
        "ratio"
    ))?;
    for case in &report.cases {
        let fixed = case.fixed.map_or_else(
            || format!("{:>9}{:>7}", "–", "–"),
            |fixed| format!("{:>9}{:>7.2}", fixed.observations, fixed.ratio),
        );
        output::say(format!(
            "{:<10}{:<11}{:>7.2}{:>10.3}{:>9.3}{:>9.3}{:>9.3}{:>8}{:>8}{fixed}",
            format!("{:?}", case.told).to_lowercase(),
            format!("{:?}", case.quality).to_lowercase(),
            case.effect,
            case.promoted,
            case.retired,
            case.stopped,
            case.ended_within_exposures,
            case.median,
            case.p95,
        ))?;
    }
    output::say(format!(
        "in time: stopped or retired within {} requests of the challenger's own",
        settings.exposures
    ))
}

fn blocks(context: &Context, settings: &prompt_credit::Settings) -> Result<()> {
    let report = prompt_credit::simulate(settings);
    if context.json {
        return output::json(&serde_json::to_value(&report)?);
    }
    let median = report.gaps.get(report.gaps.len() / 2).copied().unwrap_or_default();
    output::say(format!(
        "{} truths of {} combinations, {} outcomes each; the best is better than the second by {:.3} in the median",
        settings.runs, report.combinations, settings.outcomes, median
    ))?;
    output::say(format!("{:<14}{:>8}{:>10}{:>10}", "outcomes by", "found", "regret", "largest"))?;
    report.methods.iter().try_for_each(|reached| {
        let name = match reached.method {
            prompt_credit::Method::Thompson => "draws",
            prompt_credit::Method::TopTwo => "two draws",
            prompt_credit::Method::RandomModel => "chance, model",
            prompt_credit::Method::RandomMeans => "chance, means",
        };
        let found = format!("{}/{}", reached.found, settings.runs);
        output::say(format!("{name:<14}{found:>8}{:>10.4}{:>10.4}", reached.regret, reached.largest_regret))
    })
}

fn search(context: &Context, settings: &prompt_search::Settings) -> Result<()> {
    let report = prompt_search::simulate(settings);
    if context.json {
        return output::json(&serde_json::to_value(&report)?);
    }
    output::say(format!(
        "{} truths, {} outcomes each; of what a trial has confirmed, and of what is held for the best in the end:",
        settings.runs, settings.outcomes
    ))?;
    for (name, counts) in [("confirmed", report.confirmed), ("proposed", report.proposed)] {
        output::say(format!(
            "{name:<10} {} reach 90 % of the optimum's value ({:.3} of it in the mean), {} gain 90 % of what there is to gain \
             ({:.3}), {} are at most 1.2 times as long as the shortest of their value",
            counts.reached_90, counts.share, counts.gained_90, counts.gain, counts.short
        ))?;
    }
    output::say(format!(
        "\n{:<6}{:>8}{:>9}{:>10}{:>8}{:>8}{:>10}{:>8}{:>8}{:>8}{:>10}",
        "seed",
        "start",
        "optimum",
        "confirmed",
        "tokens",
        "longer",
        "proposed",
        "tokens",
        "longer",
        "trials",
        "promoted"
    ))?;
    report.runs.iter().try_for_each(|run| {
        let (confirmed, proposed) = (run.confirmed, run.proposed);
        output::say(format!(
            "{:<6}{:>8.3}{:>9.3}{:>10.3}{:>8.0}{:>8.2}{:>10.3}{:>8.0}{:>8.2}{:>8}{:>10}",
            run.seed,
            run.start,
            run.optimum,
            confirmed.value,
            confirmed.tokens,
            confirmed.length_ratio,
            proposed.value,
            proposed.tokens,
            proposed.length_ratio,
            run.trials,
            run.promoted
        ))
    })
}
