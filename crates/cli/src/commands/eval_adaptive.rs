//! `eval adaptive`: what is gained by learning from outcomes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use burnish_eval::adaptive::{LearnedReport, Prepared, learn_then_test};
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
    pub(crate) seed: u64,
}

pub(crate) fn run(context: &Context, request: &Request) -> Result<()> {
    let prepared = prepared(context, request)?;
    match &request.learn_split {
        Some(learn) => learned(context, request, &prepared, learn),
        None => bail!("`--learn-split` is missing"),
    }
}

fn learned(context: &Context, request: &Request, prepared: &Prepared, learn: &str) -> Result<()> {
    let [test] = request.splits.as_slice() else {
        bail!("with `--learn-split`, name the one split to test on with `--split`");
    };
    let default = context.config.engine.planner.prefer.as_str();
    let strategy = prepared.strategies.iter().position(|strategy| strategy.as_str() == default);
    let strategy = strategy.with_context(|| format!("the default strategy `{default}` was not asked"))?;
    let report = learn_then_test(prepared, strategy, learn, test, request.seed);
    if context.json {
        return output::json(&serde_json::to_value(&report)?);
    }
    let LearnedReport { n, learned_from, seen, strategy, untrained, learned, .. } = &report;
    output::say(format!(
        "{strategy}, n = {n}, learned from {learned_from}: {seen} of those tested share a document with them"
    ))?;
    output::say(format!("{:<10}{:>26}{:>26}{:>26}", "nDCG@10", "all", "seen", "novel"))?;
    for (name, part) in [("untrained", untrained), ("learned", learned)] {
        let cells = [part.all, part.seen, part.novel].map(|mean| {
            mean.map_or_else(String::new, |mean| {
                format!("{:.4} [{:.3}, {:.3}]", mean.mean, mean.ci95[0], mean.ci95[1])
            })
        });
        output::say(format!("{name:<10}{:>26}{:>26}{:>26}", cells[0], cells[1], cells[2]))?;
    }
    output::say(format!(
        "learning took {:.2} s, and at most {:.2} ms for one query",
        report.training_seconds, report.slowest_update_ms
    ))
}

/// The rankings, from their file where there is one.
fn prepared(context: &Context, request: &Request) -> Result<Prepared> {
    if let Some(path) = request.rankings.as_deref().filter(|path| path.exists()) {
        let bytes =
            fs::read(path).with_context(|| format!("cannot read the rankings `{}`", path.display()))?;
        return postcard::from_bytes(&bytes)
            .with_context(|| format!("`{}` holds no rankings of this version: remove it", path.display()));
    }
    let mut all = Prepared::default();
    for (collection, path) in request.datasets.iter().enumerate() {
        let one = ask(context, request, path, collection)?;
        all.strategies = one.strategies;
        all.queries.extend(one.queries);
    }
    if let Some(path) = &request.rankings {
        fs::write(path, postcard::to_allocvec(&all)?)
            .with_context(|| format!("cannot write the rankings `{}`", path.display()))?;
    }
    Ok(all)
}

fn ask(context: &Context, request: &Request, path: &Path, collection: usize) -> Result<Prepared> {
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
    let prepared = Prepared::new(&engine, &datasets, &strategies, collection, &|| bar.inc(1))?;
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
