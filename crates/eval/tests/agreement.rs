//! Our measures against those of ir-measures 0.4.3 (which asks pytrec_eval and MS MARCO), query by query, on a
//! run with ties, negative scores, graded judgements, and queries that were never run.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use burnish_eval::dataset;
use burnish_eval::measures::{Measure, Ranking};
use burnish_eval::trec;
use serde::Deserialize;

#[derive(Deserialize)]
struct Expected {
    mean: f64,
    queries: BTreeMap<String, f64>,
}

fn fixture(name: &str) -> PathBuf {
    Path::new("tests/fixtures/ir_measures").join(name)
}

#[test]
fn measures_agree_with_ir_measures() {
    let expected = fs::read_to_string(fixture("expected.json")).unwrap();
    let expected: BTreeMap<String, Expected> = serde_json::from_str(&expected).unwrap();
    let qrels = dataset::read_qrels(&fixture("qrels.tsv")).unwrap();
    let run = trec::read_run(&fixture("run.trec")).unwrap();
    for (name, expected) in &expected {
        let measure: Measure = name.parse().unwrap();
        let mut sum = 0.0;
        for (query, grades) in &qrels {
            let scored = run.get(query).map(Vec::as_slice).unwrap_or_default();
            let ranking = Ranking::new(scored.iter().map(|(id, score)| (id.as_str(), *score)));
            let value = measure.of(&ranking, grades);
            let reference = expected.queries[query];
            assert!(
                (value - reference).abs() < 1e-5,
                "{name} of {query}: {value}, ir-measures says {reference}"
            );
            sum += value;
        }
        let mean = sum / qrels.len() as f64;
        assert!((mean - expected.mean).abs() < 1e-6, "{name}: {mean}, ir-measures says {}", expected.mean);
    }
    assert_eq!(expected.len(), 10);
}
