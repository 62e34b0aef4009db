//! Logs in the data set's files, and policies recovered from them.

use std::fs::{self, File};
use std::io::Write;

use fastrand::Rng;
use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use super::*;

const HEADER: &str = ",timestamp,item_id,position,click,propensity_score,user_feature_0,user-item_affinity_0";

fn folder(rows: &[String]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("item_context.csv"), ",item_id,item_feature_0\n0,0,0.5\n").unwrap();
    fs::write(dir.path().join("men.csv"), format!("{HEADER}\n{}\n", rows.join("\n"))).unwrap();
    dir
}

/// Three items with these weights at time t, drawn for two positions; clicks follow item and position.
fn simulated(count: usize, weights: fn(f64) -> [f64; 3], random: &mut Rng) -> (BanditLog, f64) {
    let rate = |item: usize, position: u32| 0.1 + 0.2 * item as f64 + 0.05 * f64::from(position);
    let mut value = 0.0;
    let impressions = (0..count)
        .map(|time| {
            let weights = weights(time as f64 / count as f64);
            let sum: f64 = weights.iter().sum();
            let position = 1 + random.u32(..2);
            value +=
                (0..3).map(|item| weights[item] / sum * rate(item, position)).sum::<f64>() / count as f64;
            let mut left = random.f64() * sum;
            let item = weights.iter().position(|weight| {
                left -= weight;
                left < 0.0
            });
            let item = item.unwrap_or(2);
            Impression {
                item: item as u32,
                position,
                clicked: random.f64() < rate(item, position),
                propensity: weights[item] / sum,
                context: Vec::new(),
            }
        })
        .collect();
    (BanditLog { folder: PathBuf::from("simulated"), impressions }, value)
}

/// A policy that turns from one item to another while it runs.
fn turning(time: f64) -> [f64; 3] {
    [0.02 + (1.0 - time).powi(2), 0.3, 0.02 + 2.0 * time.powi(2)]
}

#[test]
fn tables_are_read_plain_and_compressed() {
    let mut rows: Vec<String> =
        (0..40).map(|i| format!("{i},2019,{},{},0,0.5,a,0.0", i % 2, 1 + i % 3)).collect();
    rows.push("40,2019,7,1,1,0.000165,rare,0.0".to_owned());
    let dir = folder(&rows);
    let plain = BanditLog::load(dir.path()).unwrap();
    assert_eq!(plain.impressions.len(), 41);
    let last = Impression { item: 7, position: 1, clicked: true, propensity: 0.000_165, context: vec![0.0] };
    assert_eq!(plain.impressions[40], last);
    // `a` is frequent enough to be told apart; `rare` is not.
    assert_eq!(plain.impressions[0].context, [1.0]);

    let path = dir.path().join("men.csv");
    let file = File::create(dir.path().join("men.csv.gz")).unwrap();
    let mut encoder = GzEncoder::new(file, Compression::fast());
    encoder.write_all(&fs::read(&path).unwrap()).unwrap();
    encoder.finish().unwrap();
    assert!(BanditLog::load(dir.path()).unwrap_err().to_string().contains("it has 2 tables"));
    fs::remove_file(&path).unwrap();
    assert_eq!(BanditLog::load(dir.path()).unwrap(), plain);
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let cases = [
        ("0,2019,1,1,0", "men.csv:2: it has 5 fields, the header 8"),
        ("0,2019,one,1,0,0.5,a,0", "item_id `one` is not a whole number"),
        ("0,2019,1,-1,0,0.5,a,0", "position `-1` is not a whole number"),
        ("0,2019,1,1,2,0.5,a,0", "click `2` is neither 0 nor 1"),
        ("0,2019,1,1,0,0,a,0", "the propensity `0` is not in (0, 1]"),
        ("0,2019,1,1,0,1.01,a,0", "the propensity `1.01` is not in (0, 1]"),
        ("0,2019,1,1,0,often,a,0", "the propensity `often` is not in (0, 1]"),
        ("", "has no rows"),
    ];
    for (line, expected) in cases {
        let message = BanditLog::load(folder(&[line.to_owned()]).path()).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}, not {expected}");
    }
    let dir = tempfile::tempdir().unwrap();
    assert!(BanditLog::load(dir.path()).unwrap_err().to_string().contains("it has 0 tables"));
    fs::write(dir.path().join("men.csv"), "item_id,position,propensity_score\n").unwrap();
    assert!(BanditLog::load(dir.path()).unwrap_err().to_string().contains("no column `click`"));
}

#[test]
fn policies_are_recovered_from_their_logs() {
    let mut random = Rng::with_seed(5);
    let (fixed, _) = simulated(200, |_| [1.0, 2.0, 5.0], &mut random);
    let (turning_log, _) = simulated(20_000, turning, &mut random);
    let items = policy::items(&fixed, &turning_log);
    assert_eq!(items, [0, 1, 2]);
    let close = |found: &[f64], expected: [f64; 3], tolerance: f64| {
        found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < tolerance)
    };
    let found = MeanPolicy::of(&fixed, &items);
    assert!(close(found.at(1).unwrap(), [0.125, 0.25, 0.625], 1e-12), "{:?}", found.at(1));
    assert_eq!(found.at(3), None);

    let mut expected = [0.0; 3];
    for step in 0..1_000 {
        let weights = turning((f64::from(step) + 0.5) / 1_000.0);
        let sum: f64 = weights.iter().sum();
        for (mean, weight) in expected.iter_mut().zip(weights) {
            *mean += weight / sum / 1_000.0;
        }
    }
    let found = MeanPolicy::of(&turning_log, &items);
    // Four standard errors of a share among 10,000.
    assert!(close(found.at(2).unwrap(), expected, 0.02), "{:?}, not {expected:?}", found.at(2));
}

#[test]
fn each_policy_is_found_from_the_others_log() {
    let mut random = Rng::with_seed(11);
    let (uniform, uniform_value) = simulated(1_500, |_| [1.0; 3], &mut random);
    let (turning, turning_value) = simulated(1_500, turning, &mut random);
    let cases = [(&uniform, &turning, turning_value, 1.001), (&turning, &uniform, uniform_value, 0.7)];
    for (log, target, truth, share) in cases {
        let mean = evaluate(log, target, Propensities::Mean, 1).unwrap();
        let logged = evaluate(log, target, Propensities::Logged, 1).unwrap();
        for (name, estimate) in mean.estimators().into_iter().chain(logged.estimators()) {
            assert!(estimate.holds(truth), "{name}: {estimate:?}, truth {truth}");
            assert!((estimate.value - truth).abs() < 0.1, "{name}: {estimate:?}, truth {truth}");
        }
        // Averaging tames what the turning policy logged at improbable times.
        assert!(mean.ips.width() < share * logged.ips.width(), "{mean:?} {logged:?}");
        assert_eq!((mean.n, mean.target.n), (1_500, 1_500));
    }
}

#[test]
fn a_target_that_is_not_seen_at_a_position_is_refused() {
    let mut random = Rng::with_seed(2);
    let (log, _) = simulated(50, |_| [1.0; 3], &mut random);
    let mut target = log.clone();
    target.impressions.retain(|shown| shown.position == 1);
    let message = evaluate(&log, &target, Propensities::Mean, 1).unwrap_err().to_string();
    assert!(message.contains("shows nothing at position 2"), "{message}");
}

#[test]
fn the_targets_clicks_are_not_looked_at() {
    let mut random = Rng::with_seed(3);
    let (log, _) = simulated(300, |_| [1.0; 3], &mut random);
    let (target, _) = simulated(300, turning, &mut random);
    let mut reversed = target.clone();
    for shown in &mut reversed.impressions {
        shown.clicked = !shown.clicked;
    }
    let (honest, other) = (
        evaluate(&log, &target, Propensities::Mean, 1).unwrap(),
        evaluate(&log, &reversed, Propensities::Mean, 1).unwrap(),
    );
    assert_eq!(honest.estimators(), other.estimators());
    assert_ne!(honest.target, other.target);
}
