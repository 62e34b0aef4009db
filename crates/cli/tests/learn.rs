//! `burnish learn` through the real program.

#![expect(clippy::unwrap_used, reason = "a test may stop where something is not as it should be")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

fn learn(folder: &Path, more: &[&str]) -> Result<Value, String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_burnish"));
    command
        .current_dir(folder)
        .args(["--json", "learn", "classifier", "--questions", "questions.jsonl"])
        .args(more);
    let output = command.output().unwrap();
    match output.status.success() {
        true => Ok(serde_json::from_slice(&output.stdout).unwrap()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

#[test]
fn the_classifier_is_trained_measured_and_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut questions = String::new();
    for number in 0..300 {
        let (source, hops, text) = match number % 3 {
            0 => ("short", "single", format!("Who made pump {number}?")),
            1 => ("plain", "single", format!("Which colour does pump {number} have?")),
            _ => ("long", "multi", format!("Where does the owner of the firm that made pump {number} live?")),
        };
        let line = serde_json::json!({ "question": text, "source": source, "hops": hops });
        writeln!(questions, "{line}").unwrap();
    }
    fs::write(folder.path().join("questions.jsonl"), &questions).unwrap();

    let report = learn(folder.path(), &["--out", "one.json", "--test", "questions.jsonl"]).unwrap();
    let test = &report["measured"]["test"]["complexity"];
    let n = |part: &str| report["measured"][part]["complexity"]["n"].as_u64().unwrap();
    assert_eq!(report["n"].as_u64().unwrap() + n("dev") + n("test"), 300);
    assert_eq!(n("questions.jsonl"), 300);
    assert!(test["auc"].as_f64().unwrap() > 0.99 && test["ece"].as_f64().unwrap() < 0.1, "{test}");

    learn(folder.path(), &["--out", "two.json"]).unwrap();
    learn(folder.path(), &["--out", "other.json", "--seed", "9"]).unwrap();
    let written = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(written("one.json"), written("two.json"));
    assert_ne!(written("one.json"), written("other.json"));

    let report = learn(folder.path(), &["--without", "plain"]).unwrap();
    let strangers = &report["measured"]["plain, never trained on"]["complexity"];
    assert!(strangers["n"].as_u64().unwrap() > 100 && strangers["auc"].is_number(), "{strangers}");

    let error = learn(folder.path(), &["--without", "nowhere"]).unwrap_err();
    assert!(error.contains("`nowhere`"), "{error}");
    fs::write(folder.path().join("questions.jsonl"), r#"{"text":"who?","type":"riddle"}"#).unwrap();
    let error = learn(folder.path(), &[]).unwrap_err();
    assert!(error.contains("`riddle`") && error.contains("multi_hop"), "{error}");
}

/// Runs the program over the data directory `data`.
fn burnish(data: &Path, more: &[&str]) -> Result<Value, String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_burnish"));
    let model = std::path::absolute("../../models/all-MiniLM-L6-v2").unwrap();
    command.current_dir(data).env("BURNISH_EMBEDDING_PATH", model).args(["--json", "--data", "."]).args(more);
    let output = command.output().unwrap();
    match output.status.success() {
        true => Ok(serde_json::from_slice(&output.stdout).unwrap()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

#[test]
fn the_log_as_a_whole_is_learned_from() {
    let folder = tempfile::tempdir().unwrap();
    let learned = burnish(folder.path(), &["learn", "--seed", "3"]).unwrap();
    assert_eq!(
        (&learned["patterns"]["patterns"]["n"], &learned["challenger"]["promoted"]),
        (&0.into(), &false.into())
    );
    assert_eq!(learned["challenger"]["training"]["seed"], 3);
    let patterns =
        burnish(folder.path(), &["learn", "patterns", "--from", "2026-01-01", "--to", "2026-02-01"]).unwrap();
    assert_eq!(patterns["patterns"]["found"], serde_json::json!([]));
    assert_eq!(burnish(folder.path(), &["learn", "challenger", "--demote"]).unwrap()["demoted"], false);
    let error = burnish(folder.path(), &["learn", "patterns", "--from", "yesterday"]).unwrap_err();
    assert!(error.contains("`yesterday` is no time"), "{error}");
    burnish(folder.path(), &["learn", "challenger", "--demote", "--seed", "1"]).unwrap_err();
}
