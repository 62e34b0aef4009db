//! `burnish bench serve`: what the server adds to a model's latency, and how many requests it can take, beside a peer.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::{Value, json};

use super::Context;
use super::bench::median;
use super::load::{Generator, Outcome, Target};
use super::programs::{Program, group_memory_mib, memory_mib, provider, serving_model, worded};
use crate::output;

/// The name of the one model.
const MODEL: &str = "bench";
/// A rate is tried for so long, after half of that in which everything warms up.
const TRY: Duration = Duration::from_secs(3);
/// Within which share of it the highest rate is found.
const PRECISION: f64 = 1.06;
/// Down to this part of the first rate it is looked whether fewer requests are held.
const FEWER: f64 = 16.0;
/// A rate that is answered more slowly than so was not held.
const HELD: f64 = 0.97;

#[derive(Debug, Args)]
pub(crate) struct BenchServeArgs {
    /// Requests a second at which the added latency is measured.
    #[arg(long, default_value_t = 2_000.0, value_name = "N")]
    rate: f64,
    /// How long each round is, of which one asks the model alone and one asks through the server.
    #[arg(long, default_value_t = 8.0)]
    seconds: f64,
    /// How often both are run in turn.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// The model's latency.
    #[arg(long, default_value_t = 10.0, value_name = "MS")]
    upstream_ms: f64,
    /// A program that serves the same model, to compare with; may be repeated. It is given the model's address, prints an
    /// object with `name`, `base_url`, `model` and `pid` (of its process group) once it is ready, and ends with its input.
    #[arg(long, value_name = "COMMAND")]
    peer: Vec<String>,
}

/// Somebody who answers.
struct Party {
    name: String,
    target: Arc<Target>,
    memory_mib: Box<dyn Fn() -> f64>,
    _program: Program,
}

/// How much a party can take.
struct Capacity {
    name: String,
    /// The highest rate whose p99 is within each bound, with what came of it.
    within: Vec<(f64, Option<Outcome>)>,
    memory_mib: f64,
}

pub(crate) fn run(context: &Context, args: &BenchServeArgs) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let knobs = json!({"first_token_ms": args.upstream_ms, "token_ms": 0.0, "tokens": [24, 24]});
    let provider = provider(&knobs)?;
    let upstream = provider.text("base_url")?.to_owned();
    let alone = Arc::new(Target::new(&upstream, MODEL)?);
    let generator = Generator::new()?;

    let own = own(context, folder.path(), &upstream)?;
    output::note(format!("timing {} requests a second", args.rate));
    let (mut without, mut with) = (Vec::new(), Vec::new());
    let span = Duration::from_secs_f64(args.seconds);
    for target in [&alone, &own.target] {
        generator.run(target, args.rate, TRY / 2, None);
    }
    for _ in 0..args.rounds.max(1) {
        let alone = whole(generator.run(&alone, args.rate, span, None), "the model alone")?;
        let served = whole(generator.run(&own.target, args.rate, span, None), "the server")?;
        output::note(format!(
            "p50 {:.2} ms, p99 {:.2} ms alone; p50 {:.2} ms, p99 {:.2} ms through the server",
            alone.p50_ms, alone.p99_ms, served.p50_ms, served.p99_ms
        ));
        without.push(alone);
        with.push(served);
    }
    let added = |figure: fn(&Outcome) -> f64| {
        median(with.iter().zip(&without).map(|(with, without)| figure(with) - figure(without)).collect())
    };
    let (p50, p99) = (added(|outcome| outcome.p50_ms), added(|outcome| outcome.p99_ms));

    let bounds = [args.upstream_ms + 5.0, args.upstream_ms + 40.0];
    let mut capacities = vec![capacity(&generator, own, &bounds, args.rate)];
    for command in &args.peer {
        capacities.push(capacity(&generator, peer(command, &upstream)?, &bounds, 50.0));
    }
    if context.json {
        let capacity = |capacity: &Capacity| {
            let within = capacity.within.iter().map(|(bound, best)| {
                json!({
                    "p99_below_ms": bound, "rate": best.as_ref().map_or(0.0, |best| best.rate),
                    "p50_ms": best.as_ref().map(|best| best.p50_ms),
                    "p99_ms": best.as_ref().map(|best| best.p99_ms),
                })
            });
            json!({"name": capacity.name, "highest": within.collect::<Vec<_>>(), "memory_mib": capacity.memory_mib})
        };
        return output::json(&json!({
            "rate": args.rate, "rounds": args.rounds, "upstream_ms": args.upstream_ms,
            "added_ms": {"p50": p50, "p99": p99},
            "capacities": capacities.iter().map(capacity).collect::<Vec<Value>>(),
        }));
    }
    output::say(format!(
        "{} requests a second to a model of {} ms: the server adds {p50:.2} ms (p50) and {p99:.2} ms (p99)",
        args.rate, args.upstream_ms
    ))?;
    let own: Vec<f64> = capacities[0].within.iter().map(|(_, best)| rate(best.as_ref())).collect();
    for (place, Capacity { name, within, memory_mib }) in capacities.iter().enumerate() {
        for ((bound, best), own) in within.iter().zip(&own) {
            let ratio = match rate(best.as_ref()) {
                rate if place == 0 || rate == 0.0 => String::new(),
                rate => format!("; burnish takes {:.1} times as many", own / rate),
            };
            output::say(format!(
                "{name}: at most {:.0} requests a second with p99 below {bound:.0} ms, {memory_mib:.0} MiB{ratio}",
                rate(best.as_ref())
            ))?;
        }
    }
    Ok(())
}

fn rate(best: Option<&Outcome>) -> f64 {
    best.map_or(0.0, |best| best.rate)
}

fn own(context: &Context, folder: &Path, upstream: &str) -> Result<Party> {
    let model = format!("name = \"{MODEL}\"\nurl = \"{upstream}\"\nmodel = \"{MODEL}\"\n");
    let program = serving_model(context, folder, &model)?;
    let process = program.id().to_string();
    Ok(Party {
        name: "burnish".to_owned(),
        target: Arc::new(Target::new(&format!("http://{}/v1", program.text("listening")?), MODEL)?),
        memory_mib: Box::new(move || memory_mib(&process, "VmRSS:")),
        _program: program,
    })
}

fn peer(command: &str, upstream: &str) -> Result<Party> {
    output::note(format!("starting `{command}`"));
    let program = Program::start_with_input(worded(command)?.arg(upstream))?;
    let group = program.said["pid"].as_u64().context("the peer did not say its `pid`")?;
    let workers = program.said["workers"].as_u64().map(|workers| format!(", workers: {workers}"));
    Ok(Party {
        name: format!("{}{}", program.text("name")?, workers.unwrap_or_default()),
        target: Arc::new(Target::new(program.text("base_url")?, program.text("model")?)?),
        memory_mib: Box::new(move || group_memory_mib(group)),
        _program: program,
    })
}

fn whole(outcome: Outcome, who: &str) -> Result<Outcome> {
    match &outcome.failure {
        Some(failure) => bail!("{who} failed {} of {} requests: {failure}", outcome.failed, outcome.sent),
        None if outcome.failed > 0 => bail!("{who} left {} requests unanswered", outcome.failed),
        None => Ok(outcome),
    }
}

/// Doubles the rate until it is too much for each bound, and halves the way from there.
fn capacity(generator: &Generator, party: Party, bounds: &[f64], first: f64) -> Capacity {
    let try_at = |rate: f64| {
        generator.run(&party.target, rate, TRY / 2, None);
        let outcome = generator.run(&party.target, rate, TRY, None);
        output::note(format!(
            "{}: {rate:.0} requests a second: p50 {:.2} ms, p99 {:.2} ms, {} failed",
            party.name, outcome.p50_ms, outcome.p99_ms, outcome.failed
        ));
        outcome
    };
    let holds = |outcome: &Outcome, bound: f64| {
        outcome.failed == 0 && outcome.answered >= HELD * outcome.rate && outcome.p99_ms < bound
    };
    let within = bounds
        .iter()
        .map(|bound| {
            let (mut rate, mut best, mut too_much) = (first, None, None::<f64>);
            loop {
                let outcome = try_at(rate);
                if holds(&outcome, *bound) {
                    best = Some(outcome);
                } else {
                    too_much = Some(rate);
                }
                let held = best.as_ref().map(|best| best.rate);
                rate = match (held, too_much) {
                    (Some(held), None) => 2.0 * held,
                    (Some(held), Some(most)) if most / held > PRECISION => (held * most).sqrt(),
                    // What so few are too much for is not a matter of how many there are.
                    (None, Some(most)) if most > first / FEWER => most / 2.0,
                    _ => return (*bound, best),
                };
            }
        })
        .collect();
    Capacity { name: party.name.clone(), within, memory_mib: (party.memory_mib)() }
}
