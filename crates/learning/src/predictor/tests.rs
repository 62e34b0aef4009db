//! Checks of the predictor: sums that add, outcomes that can be taken back, and what is learned.

use burnish_types::Timestamp;
use proptest::collection::vec;
use proptest::{prop_assert, prop_assert_eq, prop_assume, proptest};

use super::*;

const SIZE: usize = 4;
const DAY: u64 = 86_400_000;

#[derive(Clone, Debug)]
struct Seen {
    arm: usize,
    x: Vec<f64>,
    quality: f64,
    day: u64,
}

fn settings(half_life_days: Option<f64>) -> PredictorSettings {
    PredictorSettings { dimensions: SIZE, half_life_days }
}

fn log() -> impl proptest::strategy::Strategy<Value = Vec<Seen>> {
    use proptest::strategy::Strategy as _;
    let seen = (0usize..3, vec(-1.0f64..1.0, SIZE - 1), 0.0f64..=1.0, 0u64..200);
    vec(
        seen.prop_map(|(arm, mut x, quality, day)| {
            x.insert(0, 1.0);
            Seen { arm, x, quality, day }
        }),
        1..80,
    )
}

const ARMS: [&str; 3] = ["sparse", "dense", "hybrid"];

fn put(predictor: &mut Predictor, seen: &Seen, sign: f64) {
    let at = Timestamp(seen.day * DAY);
    assert!(predictor.observe(ARMS[seen.arm], &seen.x, seen.quality, 6.25 * sign, at));
    predictor.observe_latency(ARMS[seen.arm], 1.0 + 100.0 * seen.quality, sign, at);
    predictor.observe_cost(ARMS[seen.arm], seen.quality, sign, at);
}

fn fold(log: &[Seen], half_life: Option<f64>) -> Predictor {
    let mut predictor = Predictor::new(settings(half_life), Prior::default());
    log.iter().for_each(|seen| put(&mut predictor, seen, 1.0));
    predictor
}

fn close(left: f64, right: f64) -> bool {
    (left - right).abs() < 1e-6
}

fn alike(left: &Predictor, right: &Predictor) -> Result<(), String> {
    let x = [1.0, 0.3, -0.7, 0.2];
    for arm in ARMS.iter().chain(&["never"]) {
        let (a, b) = (left.predict(arm, &x), right.predict(arm, &x));
        if a.outcomes != b.outcomes || !close(a.mean, b.mean) || !close(a.deviation, b.deviation) {
            return Err(format!("{arm}: {a:?} is not {b:?}"));
        }
        let (a, b) = (left.latency(arm), right.latency(arm));
        let same = match (a, b) {
            (Some(a), Some(b)) => {
                close(a.mean_ms, b.mean_ms) && a.p95_ms == b.p95_ms && a.requests == b.requests
            }
            (a, b) => a == b,
        };
        if !same || !close(left.cost(arm).unwrap_or(-1.0), right.cost(arm).unwrap_or(-1.0)) {
            return Err(format!("{arm}: {a:?}, {b:?}, {:?}, {:?}", left.cost(arm), right.cost(arm)));
        }
    }
    let (a, b) = (left.forecast(ARMS, &x), right.forecast(ARMS, &x));
    let same =
        (0..9).all(|place| close(a.covariance(place / 3, place % 3), b.covariance(place / 3, place % 3)));
    if same { Ok(()) } else { Err(format!("{a:?} is not {b:?}")) }
}

proptest! {
    #[test]
    fn two_halves_merged_are_the_whole(log in log(), cut in 0usize..80, fades: bool) {
        let half_life = fades.then_some(30.0);
        let cut = cut.min(log.len());
        let mut merged = fold(&log[..cut], half_life);
        merged.merge(&fold(&log[cut..], half_life));
        prop_assert_eq!(alike(&merged, &fold(&log, half_life)), Ok(()));
    }

    #[test]
    fn what_is_taken_back_was_never_there(log in log(), from in 0usize..80, fades: bool) {
        let half_life = fades.then_some(30.0);
        let from = from.min(log.len());
        // How far things have faded depends on the latest outcome, and that is not taken back.
        prop_assume!(!fades || log[..from].iter().map(|seen| seen.day).max() >= log[from..].iter().map(|seen| seen.day).max());
        let mut predictor = fold(&log, half_life);
        log[from..].iter().for_each(|seen| put(&mut predictor, seen, -1.0));
        prop_assert_eq!(alike(&predictor, &fold(&log[..from], half_life)), Ok(()));
    }

    #[test]
    fn a_snapshot_that_is_folded_further_is_the_live_state(log in log(), cut in 0usize..80, fades: bool) {
        let half_life = fades.then_some(30.0);
        let cut = cut.min(log.len());
        let bytes = fold(&log[..cut], half_life).to_bytes();
        let mut restored = Predictor::from_bytes(settings(half_life), Prior::default(), &bytes).unwrap();
        log[cut..].iter().for_each(|seen| put(&mut restored, seen, 1.0));
        prop_assert_eq!(alike(&restored, &fold(&log, half_life)), Ok(()));
    }

    #[test]
    fn the_order_of_the_log_does_not_matter_even_after_an_alarm(log in log(), keep in 0.0f64..1.0) {
        // The alarm is of the last day, so that every outcome counts as one of before.
        let alarm = Timestamp(200 * DAY);
        let mut late = fold(&log, None);
        late.forget("dense", keep, alarm);
        let mut early = Predictor::new(settings(None), Prior::default());
        early.forget("dense", keep, alarm);
        log.iter().rev().for_each(|seen| put(&mut early, seen, 1.0));
        prop_assert_eq!(alike(&late, &early), Ok(()));
    }

    #[test]
    fn predictions_are_sound_whatever_comes(log in log(), weight in -50.0f64..50.0, x in vec(-5.0f64..5.0, 0..8)) {
        let mut predictor = fold(&log, None);
        predictor.observe("dense", &x, 7.0, weight, Timestamp(0));
        predictor.observe("dense", &x, 0.0, -weight.abs(), Timestamp(0));
        for arm in ARMS {
            let estimate = predictor.predict(arm, &x);
            prop_assert!((0.0..=1.0).contains(&estimate.mean), "{estimate:?}");
            prop_assert!(estimate.deviation >= 0.0 && estimate.deviation.is_finite(), "{estimate:?}");
        }
    }
}

proptest! {
    #[test]
    fn what_changes_hands_does_so_in_any_order_and_on_any_replica(log in log(), day in 0u64..200, cut in 0usize..80) {
        let at = Timestamp(day * DAY);
        let cut = cut.min(log.len());
        let mut live = fold(&log[..cut], None);
        live.exchange("sparse", "dense", at);
        log[cut..].iter().for_each(|seen| put(&mut live, seen, 1.0));
        let mut late = Predictor::new(settings(None), Prior::default());
        late.exchange("sparse", "dense", at);
        // What was seen before the exchange, but as of after it, was put under the name it had then.
        let (first, rest) = log.split_at(cut);
        let renamed = |seen: &Seen| match seen.day > day {
            true => Seen { arm: [1, 0, 2][seen.arm], ..seen.clone() },
            false => seen.clone(),
        };
        let qualities = |predictor: &mut Predictor, seen: &Seen| {
            predictor.observe(ARMS[seen.arm], &seen.x, seen.quality, 6.25, Timestamp(seen.day * DAY));
        };
        first.iter().map(renamed).for_each(|seen| qualities(&mut late, &seen));
        let mut other = Predictor::new(settings(None), Prior::default());
        other.exchange("sparse", "dense", at);
        rest.iter().for_each(|seen| qualities(&mut other, seen));
        late.merge(&other);
        let x = [1.0, 0.3, -0.7, 0.2];
        for arm in ARMS {
            let (left, right) = (live.predict(arm, &x), late.predict(arm, &x));
            prop_assert!(close(left.mean, right.mean) && close(left.deviation, right.deviation));
        }
        let back = Predictor::from_bytes(settings(None), Prior::default(), &live.to_bytes()).unwrap();
        alike(&live, &back).unwrap();
    }
}

/// Solves the joint regression over shared and own coefficients directly, without any elimination.
fn direct(log: &[Seen], arm: usize, x: &[f64]) -> (f64, f64) {
    let prior = Prior::default();
    let width = SIZE * 4;
    let row = |arm: usize, x: &[f64]| {
        let mut row = vec![0.0; width];
        row[..SIZE].copy_from_slice(x);
        row[SIZE * (arm + 1)..SIZE * (arm + 2)].copy_from_slice(x);
        row
    };
    let mut diagonal = prior.shared_precision(SIZE);
    ARMS.iter().for_each(|arm| diagonal.extend(prior.precision(arm, SIZE, false)));
    let mut total = matrix::Matrix::diagonal(&diagonal);
    let mut moment = vec![0.0; width];
    for seen in log {
        let row = row(seen.arm, &seen.x);
        total.add_outer(&row, 6.25);
        for (moment, value) in moment.iter_mut().zip(&row) {
            *moment += 6.25 * value * (seen.quality - prior.level);
        }
    }
    let moved = total.inverse().unwrap().times(&row(arm, x));
    (prior.level + matrix::dot(&moved, &moment), matrix::dot(&moved, &row(arm, x)).sqrt())
}

proptest! {
    #[test]
    fn elimination_gives_what_the_joint_regression_gives(log in log(), arm in 0usize..3) {
        let x = [1.0, 0.5, -0.2, 0.9];
        let estimate = fold(&log, None).predict(ARMS[arm], &x);
        let (mean, deviation) = direct(&log, arm, &x);
        prop_assert!(close(estimate.mean, mean.clamp(0.0, 1.0)), "{} {mean}", estimate.mean);
        prop_assert!(close(estimate.deviation, deviation), "{} {deviation}", estimate.deviation);
    }
}

#[test]
fn a_prior_is_believed_until_outcomes_speak() {
    let trusted = ArmPrior { offsets: vec![(0, 0.1), (1, -0.2)], deviation: 0.02, slope_deviation: 0.02 };
    let prior = Prior { level: 0.7, arms: [("reranked".to_owned(), trusted)].into(), ..Prior::default() };
    let mut predictor = Predictor::new(settings(None), prior);
    assert!(close(predictor.predict("reranked", &[1.0]).mean, 0.8));
    assert!(close(predictor.predict("reranked", &[1.0, 1.0]).mean, 0.6));
    assert!(close(predictor.predict("hybrid", &[1.0, 1.0]).mean, 0.7));
    let (advantage, deviation) = predictor.forecast(["reranked", "hybrid"], &[1.0]).advantage(0, 1);
    assert!(close(advantage, 0.1) && deviation < predictor.predict("hybrid", &[1.0]).deviation);
    for _ in 0..2_000 {
        predictor.observe("reranked", &[1.0], 0.3, 6.25, Timestamp(0));
        predictor.observe("hybrid", &[1.0], 0.5, 6.25, Timestamp(0));
    }
    let (advantage, deviation) = predictor.forecast(["reranked", "hybrid"], &[1.0]).advantage(0, 1);
    assert!((advantage + 0.2).abs() < 0.03 && deviation < 0.02, "{advantage} ± {deviation}");
}

#[test]
fn what_one_arm_shows_of_difficulty_is_believed_of_the_others_in_part() {
    let mut predictor = Predictor::new(settings(None), Prior::default());
    for _ in 0..200 {
        predictor.observe("sparse", &[1.0, 1.0], 0.1, 6.25, Timestamp(0));
        predictor.observe("dense", &[1.0, 1.0], 0.1, 6.25, Timestamp(0));
    }
    let unseen = predictor.predict("hybrid", &[1.0, 1.0]);
    assert!(unseen.mean < 0.35 && unseen.outcomes == 0, "{unseen:?}");
    assert!(unseen.deviation > 2.0 * predictor.predict("dense", &[1.0, 1.0]).deviation);
}

#[test]
fn old_outcomes_fade_by_their_time() {
    let mut predictor = Predictor::new(settings(Some(10.0)), Prior::default());
    for _ in 0..100 {
        predictor.observe("dense", &[1.0], 0.0, 6.25, Timestamp(0));
    }
    for _ in 0..100 {
        predictor.observe("dense", &[1.0], 1.0, 6.25, Timestamp(100 * DAY));
    }
    assert!(predictor.predict("dense", &[1.0]).mean > 0.97);
    assert_eq!(predictor.predict("dense", &[1.0]).outcomes, 200);
}

#[test]
fn after_an_alarm_the_arm_is_open_again() {
    let mut predictor = Predictor::new(settings(None), Prior::default());
    for _ in 0..500 {
        predictor.observe("dense", &[1.0], 1.0, 6.25, Timestamp(5));
        predictor.observe("sparse", &[1.0], 0.5, 6.25, Timestamp(5));
    }
    let before = predictor.predict("dense", &[1.0]);
    predictor.forget("dense", 0.02, Timestamp(6));
    let after = predictor.predict("dense", &[1.0]);
    assert!(after.deviation > 3.0 * before.deviation, "{before:?} {after:?}");
    for _ in 0..60 {
        predictor.observe("dense", &[1.0], 0.0, 6.25, Timestamp(7));
    }
    assert!(predictor.predict("dense", &[1.0]).mean < 0.25);
}

#[test]
fn garbage_is_refused() {
    let mut predictor = Predictor::new(settings(None), Prior::default());
    for (x, quality, weight) in
        [([f64::NAN; 1], 0.5, 1.0), ([1.0], f64::INFINITY, 1.0), ([1.0], 0.5, f64::NAN)]
    {
        assert!(!predictor.observe("dense", &x, quality, weight, Timestamp(0)));
    }
    assert_eq!(predictor.arms().count(), 0);
    for bytes in [&b"{}"[..], b"", b"[1]"] {
        assert!(Predictor::from_bytes(settings(None), Prior::default(), bytes).is_none());
    }
    let other = predictor.to_bytes();
    assert!(Predictor::from_bytes(settings(Some(1.0)), Prior::default(), &other).is_none());
}
