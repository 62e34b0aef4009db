//! `burnish bench soak`: a long time under load and faults, and whether anything grows.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde_json::json;

use super::Context;
use super::bench::median;
use super::load::{Generator, Outcome, Target};
use super::programs::{provider, serving_model};
use crate::output;

const MODEL: &str = "bench";
/// Endpoints of the one model.
const ENDPOINTS: usize = 3;
/// Requests go on in pieces of this length.
const PIECE: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(crate) struct BenchSoakArgs {
    /// How long.
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Requests a second, half of them as streams.
    #[arg(long, default_value_t = 500.0, value_name = "N")]
    rate: f64,
    /// The share of the time that passes for warming up.
    #[arg(long, default_value_t = 0.2, value_name = "SHARE")]
    warm_up: f64,
}

/// What the server has of what could leak.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    memory_mib: f64,
    files: f64,
    tasks: f64,
}

pub(crate) fn run(context: &Context, args: &BenchSoakArgs) -> Result<()> {
    ensure!(args.minutes > 0.0 && (0.0..1.0).contains(&args.warm_up), "give a time, and a share below 1");
    let folder = tempfile::tempdir()?;
    let faults = json!({"hang": 0.1, "server_error": 0.1, "rate_limit": 0.05, "cut": 0.05, "garbage": 0.02});
    let mut providers = Vec::new();
    let mut endpoints = Vec::new();
    for _ in 0..ENDPOINTS {
        let knobs = json!({"first_token_ms": 10.0, "tokens": [8, 40], "faults": faults, "retry_after": 0});
        let provider = provider(&knobs)?;
        endpoints.push(format!("{{ url = \"{}\" }}", provider.text("base_url")?));
        providers.push(provider);
    }
    let model = format!(
        "name = \"{MODEL}\"\nmodel = \"{MODEL}\"\nendpoints = [{}]\nfirst_token_seconds = 1\nidle_seconds = 1\n\
         goes_on = \"final_message\"\nretries_per_request = 2.0\n",
        endpoints.join(", ")
    );
    let server = serving_model(context, folder.path(), &model)?;
    let address = server.text("listening")?.to_owned();
    let target = Arc::new(Target::new(&format!("http://{address}/v1"), MODEL)?);
    let generator = Generator::new()?;

    let whole = Duration::from_secs_f64(60.0 * args.minutes);
    let bar = output::bar(whole.as_secs(), "seconds");
    let started = Instant::now();
    let (mut warm, mut sent, mut failed, mut failure) = (Vec::new(), 0, 0, None);
    while started.elapsed() < whole {
        let outcome: Outcome = generator.run(&target, args.rate, PIECE, Some(2));
        sent += outcome.sent;
        failed += outcome.failed;
        failure = outcome.failure.or(failure);
        bar.set_position(started.elapsed().as_secs());
        // What is idle now and held all the same has leaked.
        thread::sleep(Duration::from_millis(200));
        let held = held(&address)?;
        if started.elapsed() >= whole.mul_f64(args.warm_up) {
            warm.push(held);
        }
    }
    bar.finish_and_clear();
    let third = warm.len().div_ceil(3);
    ensure!(third > 0, "that was too short to see anything");
    let of = |held: &[Held], figure: fn(&Held) -> f64| median(held.iter().map(figure).collect());
    let (first, last) = (&warm[..third], &warm[warm.len() - third..]);
    let memory = (of(first, |held| held.memory_mib), of(last, |held| held.memory_mib));
    let files = (of(first, |held| held.files), of(last, |held| held.files));
    let tasks = (of(first, |held| held.tasks), of(last, |held| held.tasks));
    let growth = memory.1 / memory.0 - 1.0;
    if context.json {
        return output::json(&json!({
            "minutes": args.minutes, "rate": args.rate, "requests": sent, "failed": failed, "failure": failure,
            "memory_mib": [memory.0, memory.1], "memory_growth": growth,
            "open_files": [files.0, files.1], "tasks": [tasks.0, tasks.1],
        }));
    }
    output::say(format!(
        "{sent} requests in {} minutes, {failed} failed{}; from the first to the last third after warming up: memory {:.1} to \
         {:.1} MiB ({:+.1} %), open files {:.0} to {:.0}, tasks {:.0} to {:.0}",
        args.minutes,
        failure.map(|failure| format!(" (such as: {failure})")).unwrap_or_default(),
        memory.0,
        memory.1,
        100.0 * growth,
        files.0,
        files.1,
        tasks.0,
        tasks.1
    ))
}

fn held(address: &str) -> Result<Held> {
    let figures = reqwest::blocking::get(format!("http://{address}/metrics"))?.error_for_status()?.text()?;
    let figure = |name: &str| {
        let value = figures.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
        value.with_context(|| format!("the server has no figure `{name}`"))
    };
    Ok(Held {
        memory_mib: figure("process_resident_memory_bytes ")? / (1 << 20) as f64,
        files: figure("process_open_fds ")?,
        tasks: figure("burnish_tasks ")?,
    })
}
