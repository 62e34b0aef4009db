//! `burnish eval`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use burnish_engine::{Engine, IngestEvent, IngestOptions};
use burnish_eval::dataset::Dataset;
use burnish_eval::retrieval::{MEASURES, StrategyReport, evaluate};
use burnish_eval::trec::write_ranking;
use burnish_types::{Strategy, fnv1a};
use serde_json::json;

use super::Context;
use crate::config::Config;
use crate::{output, parts};

/// What `eval retrieval` was asked.
pub(crate) struct Request {
    pub(crate) dataset: PathBuf,
    pub(crate) split: String,
    pub(crate) strategy: Vec<String>,
    pub(crate) top_k: usize,
    pub(crate) run: Option<PathBuf>,
    pub(crate) seed: u64,
}

pub(crate) fn retrieval(context: &Context, request: &Request) -> Result<()> {
    let dataset = Dataset::load(&request.dataset, &request.split)?;
    let engine = parts::engine(&apart(context, &request.dataset)?)?;
    bring_in(&engine, &dataset)?;
    let strategies = match request.strategy.as_slice() {
        [] => engine.strategies(),
        names => names.iter().map(Strategy::new).collect(),
    };
    let bar = output::bar((strategies.len() * dataset.queries.len()) as u64, "queries");
    let mut reports = Vec::new();
    for strategy in &strategies {
        bar.set_message(strategy.to_string());
        let path = request.run.as_deref().map(|file| run_path(file, strategy, strategies.len()));
        let mut file = path.as_deref().map(create).transpose()?;
        let report =
            evaluate(&engine, &dataset, strategy, request.top_k, request.seed, &mut |query, ranking| {
                bar.inc(1);
                match &mut file {
                    Some(file) => write_ranking(file, query, ranking, strategy.as_str()),
                    None => Ok(()),
                }
            })?;
        if let (Some(file), Some(path)) = (&mut file, &path) {
            file.flush().with_context(|| format!("cannot write the run `{}`", path.display()))?;
        }
        reports.push((strategy.to_string(), report));
    }
    bar.finish_and_clear();
    engine.close()?;
    if context.json {
        let strategies: serde_json::Map<_, _> = reports
            .iter()
            .map(|(name, report)| Ok((name.clone(), serde_json::to_value(report)?)))
            .collect::<Result<_>>()?;
        return output::json(&json!({
            "dataset": dataset.name, "split": request.split, "n": dataset.queries.len(), "strategies": strategies,
        }));
    }
    print(&dataset, &reports)
}

/// The settings with a data directory of the data set's own, below the one that is set.
pub(super) fn apart(context: &Context, dataset: &Path) -> Result<Config> {
    let full = std::path::absolute(dataset)?;
    let name = full.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let hash = fnv1a(full.as_os_str().as_encoded_bytes());
    let mut config = context.config.clone();
    config.engine.data = config.engine.data.join("eval").join(format!("{name}-{:08x}", hash as u32));
    Ok(config)
}

pub(super) fn bring_in(engine: &Engine, dataset: &Dataset) -> Result<()> {
    let bar = output::bar(0, "documents");
    let report = engine.ingest(&[dataset.corpus_path().to_owned()], IngestOptions::default(), &|event| {
        if let IngestEvent::Stored { keys, .. } = event {
            bar.inc(keys.len() as u64);
        }
    })?;
    bar.finish_and_clear();
    match report.refused.first() {
        Some(refused) => bail!("{}: {}", refused.path, refused.reason),
        None => Ok(()),
    }
}

fn run_path(file: &Path, strategy: &Strategy, strategies: usize) -> PathBuf {
    if strategies == 1 {
        return file.to_owned();
    }
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let ending = file.extension().map(|ending| format!(".{}", ending.to_string_lossy())).unwrap_or_default();
    file.with_file_name(format!("{stem}-{strategy}{ending}"))
}

fn create(path: &Path) -> Result<BufWriter<File>> {
    Ok(BufWriter::new(
        File::create(path).with_context(|| format!("cannot write the run `{}`", path.display()))?,
    ))
}

fn print(dataset: &Dataset, reports: &[(String, StrategyReport)]) -> Result<()> {
    output::say(format!("{}, n = {}", dataset.name, dataset.queries.len()))?;
    let names: Vec<String> = MEASURES.iter().map(ToString::to_string).collect();
    let header: String = names.iter().map(|name| format!("{name:>24}")).collect();
    output::say(format!("{:<10}{header}{:>16}", "strategy", "ms p50 / p99"))?;
    for (strategy, report) in reports {
        let values: String = names
            .iter()
            .filter_map(|name| report.measures.get(name))
            .map(|mean| {
                format!("{:>24}", format!("{:.4} [{:.3}, {:.3}]", mean.mean, mean.ci95[0], mean.ci95[1]))
            })
            .collect();
        let latency = format!("{:.1} / {:.1}", report.latency_ms.p50, report.latency_ms.p99);
        output::say(format!("{strategy:<10}{values}{latency:>16}"))?;
    }
    Ok(())
}
