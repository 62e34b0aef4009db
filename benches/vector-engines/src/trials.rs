//! How an engine fails: killed, on a full disk, and over time. The parent's side of the roles that are meant to die.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

use crate::child;
use crate::data::Random;
use crate::roles::SMALL_BATCH;

const KILLS: usize = 10;
const DISK_MIB: usize = 200;
const BALLAST_MIB: usize = 64;

/// Every trial of `engine`, by name.
pub fn all(engine: &str, scratch: &Path, data: &Path, seed: u64) -> Result<Map<String, Value>> {
    let mut random = Random(seed);
    let mut trials = Map::new();
    let dir = scratch.join("trial");
    let mut lost = 0;
    let mut survived = Vec::new();
    let mut unopened = Vec::new();
    let mut acknowledged = 0;
    for _ in 0..KILLS {
        match killed(engine, "write-until-killed", &dir, data, &mut random)? {
            Ok(crash) => {
                lost += crash.lost;
                acknowledged += crash.acknowledged;
            }
            Err(reason) => unopened.push(reason),
        }
    }
    trials.insert(
        "killed while writing, flushing, optimising".into(),
        json!({ "n": KILLS, "acknowledged": acknowledged, "acknowledged_lost": lost, "did_not_open": unopened }),
    );
    for _ in 0..KILLS {
        match killed(engine, "write-then-wait", &dir, data, &mut random)? {
            Ok(crash) => survived.push(json!(crash.beyond)),
            Err(reason) => survived.push(json!(reason)),
        }
    }
    trials.insert(
        "killed with an update not yet durable".into(),
        json!({ "n": KILLS, "pending": SMALL_BATCH, "present_after": survived }),
    );
    trials.insert("full disk".into(), full_disk(engine, &dir, data)?);
    trials.insert("churn".into(), child(engine, "churn", &dir, data)?);
    fs::remove_dir_all(&dir)?;
    if engine == "qdrant-edge" {
        trials.insert("hazards".into(), child(engine, "hazards", &dir, data)?);
        fs::remove_dir_all(&dir)?;
    }
    trials.insert("crates in the dependency tree".into(), json!(dependencies(engine)?));
    Ok(trials)
}

struct Crash {
    acknowledged: usize,
    lost: usize,
    /// Vectors found right that had not been acknowledged.
    beyond: usize,
}

/// Starts a writer, kills it, opens what it left and counts. The inner error is an index that does not open.
fn killed(
    engine: &str,
    role: &str,
    dir: &Path,
    data: &Path,
    random: &mut Random,
) -> Result<Result<Crash, String>> {
    let mut writer = Command::new(std::env::current_exe()?)
        .args(["role", engine, role])
        .args([dir, data])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut lines = BufReader::new(writer.stdout.take().context("the writer has no output")?).lines();
    let batches = 1 + random.next() % 15;
    let mut acknowledged = 0;
    for line in lines.by_ref() {
        let line = line?;
        acknowledged = line.strip_prefix("acknowledged ").map_or(Ok(acknowledged), str::parse)?;
        if line == "pending"
            || (role == "write-until-killed" && acknowledged as u64 / SMALL_BATCH as u64 >= batches)
        {
            break;
        }
    }
    if role == "write-until-killed" {
        std::thread::sleep(Duration::from_micros(random.next() % 400_000));
    }
    writer.kill()?;
    writer.wait()?;
    for line in lines {
        acknowledged = line?.strip_prefix("acknowledged ").map_or(Ok(acknowledged), str::parse)?;
    }
    let opened = child(engine, "check", dir, data).map(|right| crash(&right, acknowledged));
    fs::remove_dir_all(dir)?;
    Ok(opened.map_err(|error| format!("{error:#}")))
}

fn crash(right: &Value, acknowledged: usize) -> Crash {
    let counts: Vec<usize> =
        right.as_array().into_iter().flatten().filter_map(Value::as_u64).map(|n| n as usize).collect();
    let (before, after) = counts.split_at(acknowledged / SMALL_BATCH);
    Crash { acknowledged, lost: acknowledged - before.iter().sum::<usize>(), beyond: after.iter().sum() }
}

/// Runs [`full_disk_inside`] in a mount namespace of its own; where that is not permitted, says so.
fn full_disk(engine: &str, dir: &Path, data: &Path) -> Result<Value> {
    fs::create_dir_all(dir)?;
    let output = Command::new("unshare")
        .args(["--mount", "--map-root-user"])
        .arg(std::env::current_exe()?)
        .args(["role", engine, "full-disk"])
        .args([dir, data])
        .output();
    fs::remove_dir_all(dir)?;
    match output {
        Ok(output) if output.status.success() => Ok(serde_json::from_slice(&output.stdout)?),
        Ok(output) => Ok(json!({ "skipped": String::from_utf8_lossy(&output.stderr) })),
        Err(error) => Ok(json!({ "skipped": format!("unshare: {error}") })),
    }
}

/// Mounts a small disk over `dir`, lets a writer fill it, and opens what is left: on the full disk, and with room again.
pub fn full_disk_inside(engine: &str, dir: &Path, data: &Path) -> Result<Value> {
    let size = format!("size={DISK_MIB}m");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(dir).status()?;
    if !mounted.success() {
        bail!("mounting a tmpfs is not permitted");
    }
    fs::write(dir.join("ballast"), vec![0u8; BALLAST_MIB << 20])?;
    let index = dir.join("index");
    let mut writer = Command::new(std::env::current_exe()?)
        .args(["role", engine, "fill"])
        .args([&index, data])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut complaint = String::new();
    let mut acknowledged = 0;
    for line in BufReader::new(writer.stdout.take().context("the writer has no output")?).lines() {
        acknowledged = line?.strip_prefix("acknowledged ").map_or(Ok(acknowledged), str::parse)?;
    }
    writer.stderr.take().context("the writer has no errors")?.read_to_string(&mut complaint)?;
    let ended = ending(writer.wait()?);
    let opens = || match child(engine, "check", &index, data) {
        Ok(right) => json!({ "acknowledged_lost": crash(&right, acknowledged).lost }),
        Err(error) => json!(format!("{error:#}").chars().take(600).collect::<String>()),
    };
    let while_full = opens();
    fs::remove_file(dir.join("ballast"))?;
    Ok(json!({
        "mib": DISK_MIB - BALLAST_MIB, "acknowledged": acknowledged, "ended": ended,
        "complaint": complaint.lines().find(|line| !line.is_empty()).unwrap_or("none"),
        "opened_while_full": while_full, "opened_with_room_again": opens(),
    }))
}

fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(0), _) => "did not fill".to_owned(),
        (Some(101), _) => "panic".to_owned(),
        (Some(1), _) => "error".to_owned(),
        (_, Some(6)) => "SIGABRT".to_owned(),
        (_, Some(7)) => "SIGBUS".to_owned(),
        _ => status.to_string(),
    }
}

/// Crates that `engine` brings, itself and build dependencies counted.
fn dependencies(engine: &str) -> Result<usize> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let output = Command::new("cargo")
        .args([
            "tree",
            "--offline",
            "--prefix",
            "none",
            "--edges",
            "normal,build",
            "--manifest-path",
            manifest,
        ])
        .args(["--package", engine])
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    let mut lines: Vec<&str> = text.lines().map(|line| line.trim_end_matches(" (*)").trim()).collect();
    lines.sort_unstable();
    lines.dedup();
    Ok(lines.len())
}
