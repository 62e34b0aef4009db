//! Trials, their guard, and their verdicts.

use fastrand::Rng;

use super::*;

/// A trial of questions, of which `shares` are answered well by champion and challenger, until its verdict falls.
fn run(settings: TrialSettings, shares: [f64; 2], most: u64, seed: u64) -> TrialFinding {
    let mut random = Rng::with_seed(seed);
    let mut trial = Trial::new(settings);
    for _ in 0..most {
        let (arm, share) =
            if random.bool() { (Arm::Challenger, shares[1]) } else { (Arm::Champion, shares[0]) };
        let quality = f64::from(random.f64() < share);
        if trial.observe(arm, &Measured::of(quality), 0.5).unwrap() != TrialVerdict::Undecided {
            break;
        }
    }
    trial.finding()
}

fn quick(history: Option<History>) -> TrialSettings {
    let mut settings = TrialSettings::default();
    settings.comparison.retire_below = 0.2;
    settings.comparison.horizon = 2_000;
    settings.guard.history = history;
    settings
}

#[test]
fn verdicts_say_why() {
    let mut known = TrialSettings::default();
    known.guard.history = Some(History { quality: 0.7, outcomes: 1_000.0 });
    for (settings, shares, verdict, reason) in [
        (quick(None), [0.3, 0.8], TrialVerdict::Promote, "better by more than 0.0 points"),
        (quick(None), [0.6, 0.4], TrialVerdict::Retire, "not better by 20.0 points"),
        (known, [0.7, 0.5], TrialVerdict::Stopped, "probability of at most 3.4 %"),
    ] {
        let finding = run(settings, shares, 2_000, 9);
        assert_eq!(finding.verdict, verdict, "{shares:?} {finding:?}");
        assert!(finding.reason.contains(reason), "{:?} lacks {reason:?}", finding.reason);
        assert_eq!(finding.decided_after, Some(finding.observations));
        assert_eq!(finding.champion.served + finding.challenger.served, finding.observations);
    }
    let finding = run(quick(None), [0.5, 0.5], 5, 1);
    assert!(finding.reason.contains("undecided after 5"), "{}", finding.reason);
    assert!(finding.guard.watching && finding.guard.evidence < 1.0, "{:?}", finding.guard);
}

#[test]
fn harm_is_stopped_sooner_with_a_history_and_never_without_a_guard() {
    let history = Some(History { quality: 0.7, outcomes: 1_000.0 });
    let stopped = |settings: TrialSettings| {
        let runs = (0..100).map(|seed| run(settings, [0.7, 0.6], 500, seed));
        runs.filter(|finding| finding.verdict == TrialVerdict::Stopped && finding.challenger.served <= 150)
            .count()
    };
    let mut settings = TrialSettings::default();
    let without = stopped(settings);
    settings.guard.history = history;
    let with = stopped(settings);
    settings.guard.on = false;
    assert!(without >= 60 && with >= 85 && with > without, "{without} and {with} of 100");
    assert_eq!(stopped(settings), 0);
}

#[test]
fn equal_arms_are_seldom_promoted_and_good_ones_seldom_stopped() {
    let count = |shares: [f64; 2], verdict: TrialVerdict| {
        (0..200).filter(|&seed| run(quick(None), shares, 2_000, seed).verdict == verdict).count()
    };
    // 0.8 % of 200 are 1.6 and 3.4 % are 6.8; three standard deviations more are 5 and 15.
    let (promoted, stopped) =
        (count([0.5, 0.5], TrialVerdict::Promote), count([0.5, 0.7], TrialVerdict::Stopped));
    assert!(promoted <= 5, "{promoted} of 200 promoted");
    assert!(stopped <= 15, "{stopped} of 200 stopped");
}

#[test]
fn what_is_expected_makes_the_noise_smaller_and_leaves_the_difference_alone() {
    let mut gained = 0;
    for seed in 0..20 {
        let mut random = Rng::with_seed(seed);
        let (mut told, mut untold) =
            (Trial::new(TrialSettings::default()), Trial::new(TrialSettings::default()));
        for _ in 0..800 {
            let easy = if random.bool() { 0.9 } else { 0.3 };
            let arm = if random.bool() { Arm::Challenger } else { Arm::Champion };
            let quality = (easy + 0.2 * (random.f64() - 0.5)).clamp(0.0, 1.0);
            told.observe(arm, &Measured { expected: Some(easy), ..Measured::of(quality) }, 0.5).unwrap();
            untold.observe(arm, &Measured::of(quality), 0.5).unwrap();
        }
        let (told, untold) = (told.finding(), untold.finding());
        assert!(told.interval[0] <= 0.0 && told.interval[1] >= 0.0, "{told:?}");
        gained += usize::from(told.difference.abs() < untold.difference.abs());
        assert!(told.difference.abs() < 0.02, "{told:?}");
    }
    assert!(gained >= 15, "closer in {gained} of 20");
}

#[test]
fn amounts_are_compared_by_their_means() {
    let mut trial = Trial::new(TrialSettings::default());
    for place in 0..200 {
        let arm = [Arm::Champion, Arm::Challenger][place % 2];
        let (tokens, wobble) =
            (if arm == Arm::Champion { 100.0 } else { 60.0 }, (place / 2 % 3) as f64 - 1.0);
        let measured = Measured {
            output_tokens: Some(tokens + 10.0 * wobble),
            cost_usd: (place < 2).then_some(0.01),
            ..Measured::of(0.5)
        };
        trial.observe(arm, &measured, 0.5).unwrap();
    }
    let finding = trial.finding();
    let gap = finding.output_tokens.unwrap();
    assert!((gap.difference + 40.0).abs() < 0.5 && gap.interval[1] < -35.0, "{gap:?}");
    assert_eq!((finding.cost_usd, finding.latency_ms), (None, None));
    assert_eq!((finding.champion.cost_usd, finding.champion.latency_ms), (Some(0.01), None));
}

#[test]
fn pairs_count_as_one_exposure_each() {
    let mut trial = Trial::new(quick(None));
    for place in 0..40 {
        let good = Measured::of(f64::from(place % 4 != 0));
        trial.observe_pair(&good, &Measured::of(0.0)).unwrap();
    }
    let finding = trial.finding();
    assert_eq!(finding.verdict, TrialVerdict::Stopped, "{finding:?}");
    assert_eq!((finding.champion.served, finding.observations), (40, 40));
}

#[test]
fn what_cannot_be_used_is_refused_and_changes_nothing() {
    let mut trial = Trial::new(TrialSettings::default());
    let before = trial.clone();
    let well = Measured::of(0.5);
    for (measured, propensity) in [
        (Measured::of(1.5), 0.5),
        (Measured::of(f64::NAN), 0.5),
        (Measured { expected: Some(-0.1), ..well }, 0.5),
        (Measured { cost_usd: Some(-1.0), ..well }, 0.5),
        (Measured { latency_ms: Some(f64::INFINITY), ..well }, 0.5),
        (Measured { output_tokens: Some(f64::NAN), ..well }, 0.5),
        (well, 0.0),
        (well, 1.0),
    ] {
        let refused = trial.observe(Arm::Challenger, &measured, propensity).unwrap_err();
        assert!(!refused.to_string().is_empty());
    }
    assert!(trial.observe_pair(&well, &Measured::of(-1.0)).is_err());
    assert_eq!(trial, before);
}

#[test]
fn a_stored_trial_goes_on_as_if_it_had_not_been() {
    for seed in 0..20 {
        let mut random = Rng::with_seed(seed);
        let history = random.bool().then(|| History { quality: random.f64(), outcomes: 50.0 });
        let (mut whole, cut) = (Trial::new(quick(history)), random.usize(..80));
        let mut stored = whole.clone();
        for place in 0..80 {
            let arm = if random.bool() { Arm::Challenger } else { Arm::Champion };
            let measured = Measured {
                quality: random.f64(),
                expected: random.bool().then(|| random.f64()),
                cost_usd: random.bool().then(|| random.f64()),
                latency_ms: None,
                output_tokens: Some(random.f64() * 300.0),
            };
            let propensity = 0.1 + 0.8 * random.f64();
            for trial in [&mut whole, &mut stored] {
                trial.observe(arm, &measured, propensity).unwrap();
            }
            if place == cut {
                stored = serde_json::from_str(&serde_json::to_string(&stored).unwrap()).unwrap();
            }
        }
        assert_eq!(stored, whole);
        assert_eq!(stored.finding(), whole.finding());
    }
}
