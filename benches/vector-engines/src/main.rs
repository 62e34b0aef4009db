//! Compares embedded vector engines: recall and speed, memory, durability, and how each fails.
//!
//! `vector-engines [qdrant-edge|usearch]… [--vectors N] [--queries N] [--rounds N] [--seed N] [--dir DIR]` prints one
//! JSON object on stdout and a table on stderr. The engines take turns within a round, and figures are medians over
//! rounds, since a shared machine drifts.

mod data;
mod engines;
mod roles;
mod trials;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

use crate::engines::{QdrantEdge, Usearch};

const ENGINES: [&str; 2] = ["qdrant-edge", "usearch"];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [word, engine, role, dir, data] if word == "role" => {
            println!("{}", role_of(engine, role, Path::new(dir), Path::new(data))?);
            Ok(())
        }
        _ => compare(&Settings::parse(&arguments)?),
    }
}

fn role_of(engine: &str, role: &str, dir: &Path, data: &Path) -> Result<Value> {
    match (engine, role) {
        (_, "full-disk") => trials::full_disk_inside(engine, dir, data),
        ("qdrant-edge", "hazards") => roles::qdrant_hazards(dir, data),
        ("qdrant-edge", _) => roles::run::<QdrantEdge>(role, dir, data),
        ("usearch", _) => roles::run::<Usearch>(role, dir, data),
        _ => bail!("there is no engine {engine:?}; there are {ENGINES:?}"),
    }
}

struct Settings {
    engines: Vec<String>,
    vectors: usize,
    queries: usize,
    rounds: usize,
    seed: u64,
    dir: PathBuf,
}

impl Settings {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut settings = Self {
            engines: Vec::new(),
            vectors: 100_000,
            queries: 1000,
            rounds: 3,
            seed: 7,
            dir: std::env::temp_dir(),
        };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            if ENGINES.contains(&argument.as_str()) {
                settings.engines.push(argument.clone());
                continue;
            }
            let value = rest
                .next()
                .with_context(|| format!("{argument:?} is no engine and no option with a value"))?;
            match argument.as_str() {
                "--vectors" => settings.vectors = value.parse()?,
                "--queries" => settings.queries = value.parse()?,
                "--rounds" => settings.rounds = value.parse()?,
                "--seed" => settings.seed = value.parse()?,
                "--dir" => settings.dir = value.into(),
                _ => bail!("there is no option {argument:?}"),
            }
        }
        if settings.vectors < 20_000 || settings.queries == 0 || settings.rounds == 0 {
            bail!("at least 20,000 vectors, one query and one round are needed");
        }
        // A folder of its own, since all of it is removed at the end.
        settings.dir = settings.dir.join(format!("vector-engines-{}", std::process::id()));
        if settings.engines.is_empty() {
            settings.engines = ENGINES.map(str::to_owned).to_vec();
        }
        Ok(settings)
    }
}

/// The values of a figure over the rounds, and the observations behind each.
#[derive(Default)]
struct Series {
    values: Vec<f64>,
    n: u64,
}

impl Series {
    fn median(&self) -> f64 {
        let mut sorted = self.values.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
    }

    fn json(&self) -> Value {
        let min = self.values.iter().copied().fold(f64::INFINITY, f64::min);
        let max = self.values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        json!({ "median": self.median(), "min": min, "max": max, "rounds": self.values.len(), "n": self.n })
    }
}

fn compare(settings: &Settings) -> Result<()> {
    let data = settings.dir.join("data");
    std::fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
    eprintln!("{} vectors, {} queries, exact answers …", settings.vectors, settings.queries);
    data::generate(&data, settings.vectors, settings.queries, settings.seed)?;

    let mut figures: BTreeMap<&str, BTreeMap<String, Series>> = BTreeMap::new();
    for round in 0..settings.rounds {
        for engine in &settings.engines {
            let dir = settings.dir.join(engine);
            for role in ["build", "search", "open-read-only", "update"] {
                eprintln!("round {} of {}: {engine}, {role} …", round + 1, settings.rounds);
                record(figures.entry(engine).or_default(), &child(engine, role, &dir, &data)?)?;
            }
            std::fs::remove_dir_all(&dir)?;
        }
    }
    let mut report = Map::new();
    for engine in &settings.engines {
        eprintln!("{engine}: crashes, full disk, churn, dependencies …");
        let trials = trials::all(engine, &settings.dir, &data, settings.seed)?;
        let measured: Map<String, Value> =
            figures[engine.as_str()].iter().map(|(name, series)| (name.clone(), series.json())).collect();
        report.insert(engine.clone(), json!({ "figures": measured, "trials": trials }));
    }
    std::fs::remove_dir_all(&settings.dir)?;
    table(&settings.engines, &figures, &report);
    println!(
        "{}",
        json!({
            "vectors": settings.vectors, "dimensions": data::DIMENSIONS, "queries": settings.queries,
            "rounds": settings.rounds, "seed": settings.seed, "engines": report,
        })
    );
    Ok(())
}

/// Runs a role in a process of its own and reads the JSON on its last line.
fn child(engine: &str, role: &str, dir: &Path, data: &Path) -> Result<Value> {
    let output =
        Command::new(std::env::current_exe()?).args(["role", engine, role]).args([dir, data]).output()?;
    if !output.status.success() {
        bail!("{engine}, {role}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    let text = String::from_utf8(output.stdout)?;
    let last = text.lines().last().with_context(|| format!("{engine}, {role}: no output"))?;
    serde_json::from_str(last).with_context(|| format!("{engine}, {role}: {last:?}"))
}

fn record(figures: &mut BTreeMap<String, Series>, measured: &Value) -> Result<()> {
    for (name, figure) in measured.as_object().context("a role's figures are an object")? {
        let series = figures.entry(name.clone()).or_default();
        series.values.push(figure["value"].as_f64().with_context(|| format!("{name} has no value"))?);
        series.n = figure["n"].as_u64().with_context(|| format!("{name} has no n"))?;
    }
    Ok(())
}

fn table(
    engines: &[String],
    figures: &BTreeMap<&str, BTreeMap<String, Series>>,
    report: &Map<String, Value>,
) {
    let mut names: Vec<&String> = figures.values().flat_map(BTreeMap::keys).collect();
    names.sort_unstable();
    names.dedup();
    let columns: String = engines.iter().map(|engine| format!("{engine:>16}")).collect();
    eprintln!("\n{:<44}{columns}", "median over the rounds");
    for name in names {
        let cell = |engine: &String| match figures[engine.as_str()].get(name) {
            Some(series) if series.median() < 1.5 => format!("{:>16.4}", series.median()),
            Some(series) => format!("{:>16.1}", series.median()),
            None => format!("{:>16}", "–"),
        };
        eprintln!("{name:<44}{}", engines.iter().map(cell).collect::<String>());
    }
    for (engine, parts) in report {
        eprintln!("\n{engine}");
        for (trial, outcome) in parts["trials"].as_object().into_iter().flatten() {
            eprintln!("  {trial}: {outcome}");
        }
    }
}
