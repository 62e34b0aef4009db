//! What a child process does with one engine: each role runs alone, so that memory and crashes are the engine's own.
//! A role prints JSON on its last line; roles that are to be killed print `acknowledged N` as they go.

use std::fs;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

use crate::data::{Allowed, DIMENSIONS, Truth, Vectors, dot};
use crate::engines::{Engine, How, QdrantEdge};

/// Vectors in a batch of the bulk build.
const BATCH: usize = 1000;
/// Vectors in a batch of the crash trials.
pub const SMALL_BATCH: usize = 200;
/// Acknowledged batches before the crash trial on updates that were not made durable.
const BATCHES_BEFORE_PENDING: usize = 5;

type Figures = Map<String, Value>;

fn figure(figures: &mut Figures, name: impl Into<String>, value: f64, n: usize) {
    figures.insert(name.into(), json!({ "value": value, "n": n }));
}

/// Runs `role` on the index in `dir` with the vectors in `data`.
pub fn run<E: Engine>(role: &str, dir: &Path, data: &Path) -> Result<Value> {
    match role {
        "build" => build::<E>(dir, data),
        "search" => search::<E>(dir, data),
        "open-read-only" => open_read_only::<E>(dir, data),
        "update" => update::<E>(dir, data),
        "write-until-killed" => write_until_killed::<E>(dir, data),
        "write-then-wait" => write_then_wait::<E>(dir, data),
        "fill" => fill::<E>(dir, data),
        "check" => check::<E>(dir, data),
        "churn" => churn::<E>(dir, data),
        _ => bail!("there is no role {role:?}"),
    }
}

fn build<E: Engine>(dir: &Path, data: &Path) -> Result<Value> {
    let base = Vectors::read(&data.join("base"))?;
    let engine = E::create(dir)?;
    let started = Instant::now();
    for (number, batch) in base.0.chunks(BATCH * DIMENSIONS).enumerate() {
        engine.put((number * BATCH) as u64, batch)?;
    }
    engine.make_durable()?;
    let added = started.elapsed().as_secs_f64();
    engine.optimize()?;
    let mut figures = Figures::new();
    figure(&mut figures, "build: add, s", added, base.len());
    figure(&mut figures, "build: add + optimise, s", started.elapsed().as_secs_f64(), base.len());
    drop(engine);
    figure(&mut figures, "disk: all, MiB", mebibytes(dir)?, base.len());
    let log = dir.join("wal");
    figure(&mut figures, "disk: of it write-ahead log, MiB", mebibytes(&log)?, base.len());
    Ok(Value::Object(figures))
}

/// MiB that the files under `path` occupy; nothing where it is absent.
fn mebibytes(path: &Path) -> Result<f64> {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(0.0) };
    if !metadata.is_dir() {
        return Ok(metadata.blocks() as f64 * 512.0 / 1_048_576.0);
    }
    let mut sum = 0.0;
    for entry in fs::read_dir(path)? {
        sum += mebibytes(&entry?.path())?;
    }
    Ok(sum)
}

/// A line of /proc/self/status, in MiB.
fn memory(line: &str) -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let kibibytes =
        status.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(':')?.split_whitespace().next());
    Ok(kibibytes.with_context(|| format!("no {line} in /proc/self/status"))?.parse::<f64>()? / 1024.0)
}

fn memory_figures(figures: &mut Figures, mode: &str) -> Result<()> {
    for (label, line) in
        [("peak", "VmHWM"), ("resident", "VmRSS"), ("anonymous", "RssAnon"), ("of files", "RssFile")]
    {
        figure(figures, format!("memory, {mode}: {label}, MiB"), memory(line)?, 1);
    }
    Ok(())
}

fn search<E: Engine>(dir: &Path, data: &Path) -> Result<Value> {
    let (queries, truth) = (Vectors::read(&data.join("queries"))?, Truth::read(data)?);
    let count = fs::metadata(data.join("base"))?.len() / (4 * DIMENSIONS as u64);
    let mut figures = Figures::new();
    figure(&mut figures, "memory, before opening: resident, MiB", memory("VmRSS")?, 1);
    let started = Instant::now();
    let engine = E::open(dir)?;
    figure(&mut figures, "open, ms", started.elapsed().as_secs_f64() * 1e3, 1);
    for point in E::POINTS {
        let n = point.queries.min(queries.len());
        let allowed_ids: Vec<u64> = match point.allowed {
            Allowed::All => Vec::new(),
            allowed => (0..count).filter(|id| allowed.contains(*id)).collect(),
        };
        for query in 0..n.min(50) {
            engine.search(queries.get(query), &allowed_ids, point)?;
        }
        let started = Instant::now();
        let found: Vec<Vec<u64>> = (0..n)
            .map(|query| engine.search(queries.get(query), &allowed_ids, point))
            .collect::<Result<_>>()?;
        let seconds = started.elapsed().as_secs_f64();
        let recall: f64 =
            found.iter().enumerate().map(|(query, ids)| truth.recall(query, point.allowed, ids)).sum();
        let how = match point.how {
            How::Graph { breadth } => format!("breadth {breadth}"),
            How::Exact => "exact scan".to_owned(),
        };
        let name = format!("{}, {how}", point.allowed.label());
        figure(&mut figures, format!("{name}: recall@10"), recall / n as f64, n);
        figure(&mut figures, format!("{name}: queries/s"), n as f64 / seconds, n);
    }
    memory_figures(&mut figures, "searching")?;
    Ok(Value::Object(figures))
}

fn open_read_only<E: Engine>(dir: &Path, data: &Path) -> Result<Value> {
    let queries = Vectors::read(&data.join("queries"))?;
    let mut figures = Figures::new();
    let started = Instant::now();
    let engine = E::open_read_only(dir)?;
    figure(&mut figures, "open read-only, ms", started.elapsed().as_secs_f64() * 1e3, 1);
    for query in 0..queries.len() {
        engine.search(queries.get(query), &[], &E::POINTS[0])?;
    }
    memory_figures(&mut figures, "read-only")?;
    Ok(Value::Object(figures))
}

/// The price of one small durable change to a full index.
fn update<E: Engine>(dir: &Path, data: &Path) -> Result<Value> {
    let base = Vectors::read(&data.join("base"))?;
    let engine = E::open(dir)?;
    let started = Instant::now();
    engine.put(0, &base.0[..100 * DIMENSIONS])?;
    engine.make_durable()?;
    let mut figures = Figures::new();
    figure(&mut figures, "replace 100 vectors durably, ms", started.elapsed().as_secs_f64() * 1e3, 100);
    Ok(Value::Object(figures))
}

fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

fn acknowledge(count: usize) -> Result<()> {
    say(&format!("acknowledged {count}"))
}

fn write_until_killed<E: Engine>(dir: &Path, data: &Path) -> Result<Value> {
    let base = Vectors::read(&data.join("base"))?;
    let engine = E::create(dir)?;
    for (number, batch) in base.0.chunks_exact(SMALL_BATCH * DIMENSIONS).enumerate() {
        engine.put((number * SMALL_BATCH) as u64, batch)?;
        engine.make_durable()?;
        acknowledge((number + 1) * SMALL_BATCH)?;
        if number % 5 == 4 {
            engine.optimize()?;
        }
    }
    bail!("nobody killed this process before it had written everything")
}

fn write_then_wait<E: Engine>(dir: &Path, data: &Path) -> Result<Value> {
    let base = Vectors::read(&data.join("base"))?;
    let engine = E::create(dir)?;
    for (number, batch) in
        base.0.chunks_exact(SMALL_BATCH * DIMENSIONS).enumerate().take(BATCHES_BEFORE_PENDING + 1)
    {
        engine.put((number * SMALL_BATCH) as u64, batch)?;
        if number < BATCHES_BEFORE_PENDING {
            engine.make_durable()?;
            acknowledge((number + 1) * SMALL_BATCH)?;
        }
    }
    say("pending")?;
    loop {
        std::thread::park();
    }
}

/// Adds until something gives way.
fn fill<E: Engine>(dir: &Path, data: &Path) -> Result<Value> {
    let base = Vectors::read(&data.join("base"))?;
    let engine = E::create(dir)?;
    for (number, batch) in base.0.chunks_exact(BATCH * DIMENSIONS).enumerate() {
        engine.put((number * BATCH) as u64, batch)?;
        engine.make_durable()?;
        acknowledge((number + 1) * BATCH)?;
    }
    Ok(json!("the disk did not fill"))
}

/// How many of the vectors there are present and right, in runs of [`SMALL_BATCH`].
fn check<E: Engine>(dir: &Path, data: &Path) -> Result<Value> {
    let base = Vectors::read(&data.join("base"))?;
    let engine = E::open(dir)?;
    let mut right = Vec::new();
    for first in (0..base.len()).step_by(SMALL_BATCH) {
        let mut count = 0;
        for id in first..(first + SMALL_BATCH).min(base.len()) {
            let stored = engine.vector(id as u64)?;
            count += usize::from(stored.is_some_and(|vector| dot(&vector, base.get(id)) > 0.999));
        }
        right.push(count);
    }
    Ok(json!(right))
}

/// Replaces the same vectors over and over: what stays on disk is what is never cleaned up.
fn churn<E: Engine>(dir: &Path, data: &Path) -> Result<Value> {
    let base = Vectors::read(&data.join("base"))?;
    let log = dir.join("wal");
    let mut sizes = Vec::new();
    for _ in 0..4 {
        let started = Instant::now();
        let engine = if dir.exists() { E::open(dir)? } else { E::create(dir)? };
        let (opened, mapped) = (started.elapsed().as_secs_f64() * 1e3, memory("RssFile")?);
        for _ in 0..10 {
            engine.put(0, &base.0[..BATCH * DIMENSIONS])?;
            engine.make_durable()?;
        }
        engine.optimize()?;
        drop(engine);
        sizes.push(json!({
            "open_ms": opened, "resident_file_mib_after_opening": mapped,
            "log_mib": mebibytes(&log)?, "all_mib": mebibytes(dir)?,
        }));
    }
    Ok(json!({ "vectors": BATCH, "replacements_between_sizes": 10, "sizes": sizes }))
}

/// What reading qdrant-edge's source makes one ask.
pub fn qdrant_hazards(dir: &Path, data: &Path) -> Result<Value> {
    let base = Vectors::read(&data.join("base"))?;
    let batch = &base.0[..BATCH * DIMENSIONS];
    let engine = QdrantEdge::create(dir)?;
    let panicked = std::thread::scope(|scope| {
        let writer = scope.spawn(|| (0..20).try_for_each(|_| engine.put(0, batch)));
        let mut panicked = None;
        while !writer.is_finished() && panicked.is_none() {
            panicked = catch_unwind(AssertUnwindSafe(|| engine.0.flush())).err();
        }
        panicked.map(|reason| reason.downcast_ref::<String>().cloned().unwrap_or_default())
    });
    engine.make_durable()?;
    drop(engine);

    fs::remove_dir_all(dir.join("wal"))?;
    let engine = QdrantEdge::open(dir)?;
    let other = base.get(BATCH);
    engine.put(0, other)?;
    let applied = engine.vector(0)?.is_some_and(|vector| dot(&vector, other) > 0.999);
    Ok(json!({
        "flush_during_an_update": panicked.map_or("waits".to_owned(), |reason| format!("panics: {reason}")),
        "update_after_the_log_was_removed": if applied { "applied" } else { "silently ignored" },
    }))
}
