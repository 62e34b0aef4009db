//! `burnish eval offpolicy` through the real program: one JSON object with what the design asks for, and a refusal
//! that names the folder.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn run(log: &Path, target: &Path) -> io::Result<Output> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_burnish"));
    command
        .args(["--json", "eval", "offpolicy", "--seed", "4", "--log"])
        .arg(log)
        .arg("--target")
        .arg(target);
    command.output()
}

#[test]
fn one_object_says_estimates_and_truth() {
    let folder = tempfile::tempdir().unwrap();
    let header = "item_id,position,click,propensity_score,user_feature_0";
    // Two items, one clicked always and one never: shown evenly by the first policy, three to one by the other.
    for (name, clicked) in [("even", 20), ("keen", 30)] {
        fs::create_dir(folder.path().join(name)).unwrap();
        let share = f64::from(clicked) / 40.0;
        let rows: Vec<String> = (0..40)
            .map(|row| match row < clicked {
                true => format!("1,1,1,{share},a"),
                false => format!("0,1,0,{},a", 1.0 - share),
            })
            .collect();
        let table = format!("{header}\n{}\n", rows.join("\n"));
        fs::write(folder.path().join(name).join("shown.csv"), table).unwrap();
    }
    let (even, keen) = (folder.path().join("even"), folder.path().join("keen"));
    let output = run(&even, &keen).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["n"], &report["target"]["n"]), (&40.into(), &40.into()));
    assert_eq!(report["target"]["mean"], 0.75);
    for name in ["ips", "snips", "dr"] {
        let found = &report["estimators"][name];
        let (value, low, high) = (&found["estimate"], &found["ci95"][0], &found["ci95"][1]);
        assert!((value.as_f64().unwrap() - 0.75).abs() < 0.02, "{report}");
        assert!(low.as_f64() < Some(0.75) && high.as_f64() > Some(0.75), "{report}");
        assert_eq!(found["holds_target_mean"], true);
        // Weights 1.5 and 0.5: (20 · 1.5 + 20 · 0.5)² / (20 · 1.5² + 20 · 0.5²) = 32.
        assert!((found["ess"].as_f64().unwrap() - 32.0).abs() < 1e-9, "{report}");
    }

    let nowhere = run(&folder.path().join("nowhere"), &keen).unwrap();
    assert!(!nowhere.status.success() && nowhere.stdout.is_empty());
    assert!(String::from_utf8_lossy(&nowhere.stderr).contains("nowhere"), "{nowhere:?}");
}
