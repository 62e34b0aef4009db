//! The click rate of each of the Open Bandit data set's policies from the log of the other, against its own mean and
//! the intervals of the Open Bandit Pipeline 0.5.5. The logs are `open_bandit` where `BURNISH_SHARED_DATA` names
//! public data.

use std::path::PathBuf;

use burnish_eval::open_bandit::{BanditLog, Propensities, evaluate};

/// The widths of the pipeline's intervals for IPW, SNIPW and DR, of 10,000 resamples, with the distributions that
/// are taken from the logs here.
const PIPELINE: [(&str, &str, [f64; 3]); 2] = [
    ("random/men", "bts/men", [0.00540, 0.00548, 0.00542]),
    ("bts/men", "random/men", [0.00302, 0.00320, 0.00339]),
];
/// The ends of percentile intervals wander by so much, as a share of the width, from seed to seed.
const CHANCE: f64 = 0.06;

#[test]
fn the_truth_lies_in_every_interval_and_none_is_wider_than_the_pipelines() {
    let Some(data) = std::env::var_os("BURNISH_SHARED_DATA").map(PathBuf::from) else {
        eprintln!("skipped: BURNISH_SHARED_DATA names no folder with public data");
        return;
    };
    for (log, target, widths) in PIPELINE {
        let load = |name: &str| BanditLog::load(&data.join("open_bandit").join(name)).unwrap();
        let report = evaluate(&load(log), &load(target), Propensities::Mean, 0).unwrap();
        for ((name, estimate), width) in report.estimators().into_iter().zip(widths) {
            assert!(estimate.holds(report.target.mean), "{log}, {name}: {estimate:?}");
            assert!(estimate.width() <= width * (1.0 + CHANCE), "{log}, {name}: {estimate:?}, not {width}");
        }
    }
}
