//! `eval adaptive`: what is gained by learning from outcomes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use burnish_eval::adaptive::{
    self, Chooser, LearnedReport, Planned, Prepared, PreparedQuery, Side, StreamSettings, learn_then_test,
};
use burnish_eval::bootstrap::MeanInterval;
use burnish_eval::dataset::Dataset;
use burnish_types::Strategy;

use super::Context;
use super::eval::{apart, bring_in};
use crate::{output, parts};

/// What `eval adaptive` was asked.
pub(crate) struct Request {
    pub(crate) datasets: Vec<PathBuf>,
    pub(crate) splits: Vec<String>,
    pub(crate) strategies: Vec<String>,
    pub(crate) learn_split: Option<String>,
    pub(crate) rankings: Option<PathBuf>,
    pub(crate) policy: Option<String>,
    pub(crate) seeds: u64,
    pub(crate) seed: u64,
}

pub(crate) fn run(context: &Context, request: &Request) -> Result<()> {
    let prepared = prepared(context, request)?;
    match &request.learn_split {
        Some(learn) => learned(context, request, &prepared, learn),
        None => stream(context, request, &prepared),
    }
}

fn planned(context: &Context, request: &Request, prepared: &Prepared) -> Result<Planned> {
    let planner = &context.config.engine.planner;
    let policy = request.policy.as_deref().unwrap_or(&planner.policy);
    Ok(Planned::new(prepared, policy, planner.baseline.as_deref())?)
}

fn learned(context: &Context, request: &Request, prepared: &Prepared, learn: &str) -> Result<()> {
    let [test] = request.splits.as_slice() else {
        bail!("with `--learn-split`, name the one split to test on with `--split`");
    };
    let mut chooser = planned(context, request, prepared)?;
    let report = learn_then_test(prepared, &mut chooser, learn, test, request.seed);
    if context.json {
        return output::json(&serde_json::to_value(&report)?);
    }
    let LearnedReport { n, learned_from, seen, untrained, learned, training_seconds, update_ms } = &report;
    output::say(format!(
        "n = {n}, learned from {learned_from}: {seen} of those tested share a document with them"
    ))?;
    output::say(format!("{:<10}{:>26}{:>26}{:>26}", "nDCG@10", "all", "seen", "novel"))?;
    for (name, part) in [("untrained", untrained), ("learned", learned)] {
        let [all, seen, novel] = [part.all, part.seen, part.novel].map(interval);
        output::say(format!("{name:<10}{all:>26}{seen:>26}{novel:>26}"))?;
    }
    output::say(format!(
        "learning took {training_seconds:.2} s; one query {:.2} ms (p50), {:.2} ms (p99)",
        update_ms.p50, update_ms.p99
    ))
}

fn stream(context: &Context, request: &Request, prepared: &Prepared) -> Result<()> {
    let bar = output::bar(2 * request.seeds, "orders");
    let side = |memory: bool| {
        let settings = StreamSettings { seeds: request.seeds, seed: request.seed, memory };
        let mut chooser =
            || -> Result<Box<dyn Chooser>> { Ok(Box::new(planned(context, request, prepared)?)) };
        adaptive::run(prepared, settings, &mut chooser, &|| bar.inc(1))?.context("there is no query")
    };
    let (with, without) = (side(true)?, side(false)?);
    bar.finish_and_clear();
    if context.json {
        let mut report = serde_json::to_value(&with)?;
        report["without_memory"] = serde_json::to_value(&without)?;
        return output::json(&report);
    }
    output::say(format!("n = {}, {} orders, nDCG@10", with.n, with.seeds))?;
    output::say(format!("{:<22}{:>26}{:>12}{:>10}{:>8}", "", "mean", "last half", "ms", "share"))?;
    for (place, fixed) in with.fixed.iter().enumerate() {
        let best = if fixed.strategy == with.best_fixed.strategy { " *" } else { "" };
        let share = format!("{:.0} %", 100.0 * without.shares[place]);
        row(&format!("{}{best}", fixed.strategy), &fixed.side, &share)?;
    }
    row("adaptive", &without.adaptive, "")?;
    row("adaptive with memory", &with.adaptive, "")?;
    output::say(format!("{:<22}{:>18.4}", "oracle", with.oracle))?;
    for (name, report) in [("without memory", &without), ("with memory", &with)] {
        output::say(format!(
            "{name}: running mean at least {:.2} % of {}'s beyond 100 queries; last half {:.2} % (worst order {:.2} %); \
             {} alarms",
            100.0 * report.worst_running_ratio,
            report.best_fixed.strategy,
            100.0 * report.last_half_ratio.mean,
            100.0 * report.last_half_ratio.worst,
            report.alarms,
        ))?;
    }
    for (label, shares) in &without.shares_by_label {
        let named = shares.iter().zip(&with.fixed).filter(|(share, _)| **share >= 0.01);
        let parts: Vec<String> =
            named.map(|(share, fixed)| format!("{} {:.0} %", fixed.strategy, 100.0 * share)).collect();
        output::say(format!("{label}: {}", parts.join(", ")))?;
    }
    Ok(())
}

fn row(name: &str, side: &Side, share: &str) -> Result<()> {
    let mean = interval(side.mean);
    output::say(format!("{name:<22}{mean:>26}{:>12.4}{:>10.1}{share:>8}", side.last_half, side.latency_ms))
}

pub(super) fn interval(mean: Option<MeanInterval>) -> String {
    mean.map_or_else(String::new, |mean| {
        format!("{:.4} [{:.3}, {:.3}]", mean.mean, mean.ci95[0], mean.ci95[1])
    })
}

/// The rankings of all data sets, each from its file where there is one.
pub(super) fn prepared(context: &Context, request: &Request) -> Result<Prepared> {
    let mut all = Prepared::default();
    for (collection, path) in request.datasets.iter().enumerate() {
        let one = match &request.rankings {
            Some(folder) => kept(context, request, path, folder)?,
            None => ask(context, request, path)?,
        };
        if collection > 0 && one.strategies != all.strategies {
            bail!("the rankings of `{}` are of other strategies: remove the file", path.display());
        }
        all.strategies = one.strategies;
        all.queries.extend(one.queries.into_iter().map(|query| PreparedQuery { collection, ..query }));
    }
    Ok(all)
}

fn kept(context: &Context, request: &Request, path: &Path, folder: &Path) -> Result<Prepared> {
    let name = std::path::absolute(path)?.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let file = folder.join(format!("{name}.rankings"));
    if file.exists() {
        let bytes =
            fs::read(&file).with_context(|| format!("cannot read the rankings `{}`", file.display()))?;
        return postcard::from_bytes(&bytes)
            .with_context(|| format!("`{}` holds no rankings of this version: remove it", file.display()));
    }
    let prepared = ask(context, request, path)?;
    let bytes = postcard::to_allocvec(&prepared)?;
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&file, bytes))
        .with_context(|| format!("cannot write the rankings `{}`", file.display()))?;
    Ok(prepared)
}

fn ask(context: &Context, request: &Request, path: &Path) -> Result<Prepared> {
    let splits = match (request.splits.as_slice(), &request.learn_split) {
        ([], _) => splits(path)?,
        (named, learn) => named.iter().chain(learn).cloned().collect(),
    };
    let datasets: Vec<(String, Dataset)> = splits
        .into_iter()
        .map(|split| Ok((split.clone(), Dataset::load(path, &split)?)))
        .collect::<Result<_>>()?;
    let Some((_, first)) = datasets.first() else {
        bail!("`{}` has no judgements in `qrels`", path.display());
    };
    let engine = parts::engine(&apart(context, path)?)?;
    bring_in(&engine, first)?;
    let strategies = match request.strategies.as_slice() {
        [] => engine.strategies(),
        names => names.iter().map(Strategy::new).collect(),
    };
    let queries: usize = datasets.iter().map(|(_, dataset)| dataset.queries.len()).sum();
    let bar = output::bar(queries as u64, "queries");
    let prepared = Prepared::new(&engine, &datasets, &strategies, &|| bar.inc(1))?;
    bar.finish_and_clear();
    engine.close()?;
    Ok(prepared)
}

/// The splits that a data set is judged in.
fn splits(path: &Path) -> Result<Vec<String>> {
    let folder = path.join("qrels");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot read `{}`", folder.display()))?;
    let mut splits = Vec::new();
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        splits.extend(name.strip_suffix(".tsv").map(str::to_owned));
    }
    splits.sort();
    Ok(splits)
}
