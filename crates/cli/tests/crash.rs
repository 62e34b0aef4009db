//! Kills the real program at random instants: nothing that it acknowledged is lost, and the indexes agree with
//! the store afterwards. `BURNISH_CRASH_ROUNDS` asks for more rounds than the few of every test run.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says why it was skipped"
)]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const DOCUMENTS: usize = 300;
const LONGEST_LIFE: Duration = Duration::from_secs(3);

/// The encoder's folder; without it nothing can be ingested.
fn model() -> Option<PathBuf> {
    let folder = std::env::var_os("BURNISH_MODEL")
        .map_or_else(|| "../../models/all-MiniLM-L6-v2".into(), PathBuf::from);
    if folder.join("model.safetensors").exists() {
        return Some(folder);
    }
    eprintln!("skipped: no embedding model in {}; `scripts/get-model` fetches it", folder.display());
    None
}

fn rounds() -> usize {
    std::env::var("BURNISH_CRASH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2)
}

fn burnish(data: &Path, model: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_burnish"));
    command.arg("--json").arg("--data").arg(data).env("BURNISH_EMBEDDING_PATH", model);
    command
}

fn output(mut command: Command) -> Value {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    serde_json::from_slice(&stdout).unwrap()
}

fn agree(data: &Path, model: &Path) {
    let mut check = burnish(data, model);
    check.arg("check");
    assert_eq!(output(check)["agree"], json!(true));
}

/// Lets the process live for a random while.
fn kill_soon(process: &mut Child, random: &mut fastrand::Rng) {
    let life = LONGEST_LIFE.mul_f64(random.f64());
    let started = Instant::now();
    while started.elapsed() < life && process.try_wait().unwrap().is_none() {
        std::thread::yield_now();
        std::thread::park_timeout(Duration::from_millis(2));
    }
    process.kill().unwrap();
    process.wait().unwrap();
}

struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start(data: &Path, model: &Path) -> Self {
        let mut command = burnish(data, model);
        command.args(["serve", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        Self { process, address: format!("http://{}", said["listening"].as_str().unwrap()) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn acknowledged_documents_survive() {
    let Some(model) = model() else { return };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let records: Vec<String> = (0..DOCUMENTS)
        .map(|id| json!({"_id": id.to_string(), "title": "", "text": format!("Record {id} says {} and no more. ", id * 7).repeat(4)}).to_string())
        .collect();
    let corpus = folder.path().join("corpus.jsonl");
    std::fs::write(&corpus, records.join("\n")).unwrap();
    let mut random = fastrand::Rng::new();
    let mut acknowledged: BTreeSet<String> = BTreeSet::new();
    for _ in 0..rounds() {
        let mut command = burnish(&data, &model);
        command.args(["ingest", "--verbose"]).arg(&corpus).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let stderr = process.stderr.take().unwrap();
        let reader = std::thread::spawn(move || {
            let lines = BufReader::new(stderr).lines().map_while(Result::ok);
            lines.filter_map(|line| line.strip_prefix("stored ").map(str::to_owned)).collect::<Vec<_>>()
        });
        kill_soon(&mut process, &mut random);
        acknowledged.extend(reader.join().unwrap());
        agree(&data, &model);
        let server = Server::start(&data, &model);
        let listed: Value = reqwest::blocking::get(format!("{}/v1/documents?limit=1000", server.address))
            .unwrap()
            .json()
            .unwrap();
        let there: BTreeSet<String> = listed["documents"]
            .as_array()
            .unwrap()
            .iter()
            .map(|document| document["key"].as_str().unwrap().to_owned())
            .collect();
        let lost: Vec<_> = acknowledged.difference(&there).collect();
        assert!(lost.is_empty(), "lost {lost:?}");
    }
    let mut whole = burnish(&data, &model);
    whole.arg("ingest").arg(&corpus);
    let report = output(whole);
    let total = report["documents"].as_u64().unwrap() + report["unchanged"].as_u64().unwrap();
    assert_eq!(total, DOCUMENTS as u64, "what was stored before is not stored again: {report}");
}

#[test]
fn acknowledged_feedback_survives() {
    let Some(model) = model() else { return };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let text = folder.path().join("note.md");
    std::fs::write(&text, "# Keys\n\nA key is rotated every ninety days by the platform team.\n").unwrap();
    let mut first = burnish(&data, &model);
    first.arg("ingest").arg(&text);
    output(first);
    let mut random = fastrand::Rng::new();
    let mut acknowledged: Vec<(String, usize)> = Vec::new();
    let mut decided: Vec<String> = Vec::new();
    for _ in 0..rounds() {
        let mut server = Server::start(&data, &model);
        let address = server.address.clone();
        let worker = std::thread::spawn(move || talk(&address));
        kill_soon(&mut server.process, &mut random);
        let (more_acknowledged, more_decided) = worker.join().unwrap();
        acknowledged.extend(more_acknowledged);
        decided.extend(more_decided);
        drop(server);
        let server = Server::start(&data, &model);
        let client = reqwest::blocking::Client::new();
        // The newest ids are the ones at risk.
        for id in decided.iter().rev().take(150) {
            let answer = client.get(format!("{}/v1/decisions/{id}", server.address)).send().unwrap();
            assert!(answer.status().is_success(), "the decision {id} is lost");
        }
        for (id, outcomes) in acknowledged.iter().rev().take(150) {
            let stored: Value = reqwest::blocking::get(format!("{}/v1/decisions/{id}", server.address))
                .unwrap()
                .json()
                .unwrap();
            assert!(stored["outcomes"].as_array().unwrap().len() >= *outcomes, "feedback for {id} is lost");
        }
        // Later rounds look at some of this one's again.
        decided.truncate(40);
        acknowledged.truncate(40);
    }
    agree(&data, &model);
}

/// Searches and judges until the server is gone; returns what it acknowledged.
fn talk(address: &str) -> (Vec<(String, usize)>, Vec<String>) {
    let client = reqwest::blocking::Client::new();
    let post = |path: &str, body: Value| -> Option<Value> {
        let request = client.post(format!("{address}{path}")).header("content-type", "application/json");
        request.body(body.to_string()).send().ok()?.json().ok()
    };
    let (mut acknowledged, mut decided) = (Vec::new(), Vec::new());
    loop {
        let Some(found) =
            post("/v1/search", json!({"query": "how often are keys rotated", "strategy": "sparse"}))
        else {
            return (acknowledged, decided);
        };
        let id = found["id"].as_str().unwrap().to_owned();
        decided.push(id.clone());
        for outcomes in 1..=2 {
            let Some(answer) = post("/v1/feedback", json!({"id": id, "score": 0.5})) else {
                return (acknowledged, decided);
            };
            assert_eq!(answer["recorded"], json!(true), "{answer}");
            acknowledged.push((id.clone(), outcomes));
        }
    }
}
