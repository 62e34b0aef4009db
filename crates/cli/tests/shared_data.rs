//! Every file of a folder of all formats, encrypted and malformed ones among them, through the real program: parsed,
//! or refused with a reason. The folder is `ingest_docs` where `BURNISH_SHARED_DATA` names public data.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

#[test]
fn every_file_is_parsed_or_refused_with_a_reason() {
    let model = std::path::absolute("../../models/all-MiniLM-L6-v2").unwrap();
    let Some(data) = std::env::var_os("BURNISH_SHARED_DATA").map(PathBuf::from) else {
        eprintln!("skipped: BURNISH_SHARED_DATA names no folder with public data");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_burnish"));
    command.arg("--json").arg("--data").arg(folder.path()).arg("ingest").arg(data.join("ingest_docs"));
    let output = command.env("BURNISH_EMBEDDING_PATH", model).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["documents"].as_u64().unwrap() > 0);
    for refused in report["refused"].as_array().unwrap() {
        let reason = refused["reason"].as_str().unwrap();
        // That would be said of the parser's fault, not the file's.
        assert!(!reason.is_empty() && !reason.contains("isolation"), "{refused}");
    }
}
