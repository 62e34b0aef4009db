//! `burnish eval`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use burnish_engine::{Engine, IngestEvent, IngestOptions};
use burnish_eval::bootstrap::MeanInterval;
use burnish_eval::dataset::Dataset;
use burnish_eval::measures::Measure;
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
    pub(crate) conditions: Vec<String>,
    pub(crate) top_k: usize,
    pub(crate) run: Option<PathBuf>,
    pub(crate) table: Option<PathBuf>,
    pub(crate) seed: u64,
}

pub(crate) fn retrieval(context: &Context, request: &Request) -> Result<()> {
    let mut dataset = Dataset::load(&request.dataset, &request.split)?;
    for condition in &request.conditions {
        let (field, value) = condition
            .split_once('=')
            .with_context(|| format!("--where `{condition}`: FIELD=VALUE is expected"))?;
        dataset.keep_where(field, value)?;
    }
    let engine = parts::engine(&apart(context, &request.dataset)?)?;
    bring_in(&engine, &dataset)?;
    let strategies: Vec<Strategy> = match request.strategy.as_slice() {
        [] => {
            engine.strategies().into_iter().filter(|strategy| engine.consults_documents(strategy)).collect()
        }
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
    if let Some(file) = &request.table {
        write_table(file, &dataset, &reports)?;
    }
    let differences = differences(&reports, request.seed)?;
    if context.json {
        let strategies: serde_json::Map<_, _> = reports
            .iter()
            .map(|(name, report)| Ok((name.clone(), serde_json::to_value(report)?)))
            .collect::<Result<_>>()?;
        let differences: serde_json::Map<_, _> = differences
            .iter()
            .map(|(name, difference)| Ok((name.clone(), serde_json::to_value(difference)?)))
            .collect::<Result<_>>()?;
        return output::json(&json!({
            "dataset": dataset.name, "split": request.split, "where": request.conditions, "n": dataset.queries.len(),
            "strategies": strategies, "baseline": reports.first().map(|(name, _)| name), "differences": differences,
        }));
    }
    print(&dataset, &reports, &differences)
}

/// How far each strategy is from the first one, by the measure's name.
type Difference = BTreeMap<String, MeanInterval>;

fn differences(reports: &[(String, StrategyReport)], seed: u64) -> Result<Vec<(String, Difference)>> {
    let Some(((_, baseline), others)) = reports.split_first() else { return Ok(Vec::new()) };
    others.iter().map(|(name, report)| Ok((name.clone(), report.differences(baseline, seed)?))).collect()
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

/// What each strategy reached, in the form that `eval choice` and `eval joint` read.
fn write_table(file: &Path, dataset: &Dataset, reports: &[(String, StrategyReport)]) -> Result<()> {
    let measure = Measure::Ndcg(10).to_string();
    let mut written = create(file)?;
    for (place, query) in dataset.queries.iter().enumerate() {
        let arms: serde_json::Map<_, _> = reports
            .iter()
            .filter_map(|(name, report)| {
                let quality = report.values.get(&measure)?.get(place)?;
                Some((name.clone(), json!({"quality": quality, "latency_ms": report.latency_ms.p50})))
            })
            .collect();
        let row = json!({"id": query.id, "group": dataset.name, "query": query.text, "arms": arms});
        writeln!(written, "{row}")?;
    }
    written.flush().with_context(|| format!("cannot write the table `{}`", file.display()))
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

fn print(
    dataset: &Dataset,
    reports: &[(String, StrategyReport)],
    differences: &[(String, Difference)],
) -> Result<()> {
    output::say(format!("{}, n = {}", dataset.name, dataset.queries.len()))?;
    let header: String = MEASURES.iter().map(|measure| format!("{:>26}", measure.to_string())).collect();
    output::say(format!("{:<12}{header}{:>16}", "strategy", "ms p50 / p99"))?;
    for (strategy, report) in reports {
        let latency = format!("{:.1} / {:.1}", report.latency_ms.p50, report.latency_ms.p99);
        let values = columns(&report.measures, |mean| {
            format!("{:.4} [{:.3}, {:.3}]", mean.mean, mean.ci95[0], mean.ci95[1])
        });
        output::say(format!("{strategy:<12}{values}{latency:>16}"))?;
    }
    if let (Some((baseline, _)), false) = (reports.first(), differences.is_empty()) {
        output::say(format!("\nagainst {baseline}, paired"))?;
    }
    for (strategy, difference) in differences {
        let values = columns(difference, |mean| {
            format!("{:+.4} [{:+.3}, {:+.3}]", mean.mean, mean.ci95[0], mean.ci95[1])
        });
        output::say(format!("{strategy:<12}{values}"))?;
    }
    Ok(())
}

fn columns(measures: &BTreeMap<String, MeanInterval>, form: impl Fn(&MeanInterval) -> String) -> String {
    let means = MEASURES.iter().filter_map(|measure| measures.get(&measure.to_string()));
    means.map(|mean| format!("{:>26}", form(mean))).collect()
}
