//! Checks of the policies: true propensities, the objective, reasons, and the bound on exploration.

use proptest::collection::vec;
use proptest::option;
use proptest::{prop_assert, prop_assert_eq, proptest};

use super::*;
use crate::predictor::{Estimate, Forecast};

const POLICIES: [&str; 6] =
    ["fixed:arm-1", "epsilon:0.2", "linucb:0.5", "thompson", "conservative:0.01", "conservative:0.3"];

fn alternatives(prices: &[(f64, f64)]) -> Vec<Alternative> {
    let of = |(place, (latency_ms, cost_usd)): (usize, &(f64, f64))| Alternative {
        arm: format!("arm-{place}"),
        latency_ms: *latency_ms,
        cost_usd: *cost_usd,
        spent: 0.0,
        is_baseline: false,
    };
    prices.iter().enumerate().map(of).collect()
}

fn forecast(estimates: &[(f64, f64)]) -> Forecast {
    let of = |(mean, deviation): &(f64, f64)| Estimate { mean: *mean, deviation: *deviation, outcomes: 9 };
    Forecast::new(estimates.iter().map(of).collect(), Vec::new())
}

fn choose(
    policy: &str,
    estimates: &[(f64, f64)],
    prices: &[(f64, f64)],
    target_quality: Option<f64>,
    budget_usd: Option<f64>,
) -> Choice {
    let (alternatives, forecast) = (alternatives(prices), forecast(estimates));
    let wish = Wish { target_quality, budget_usd, latency_ms: None };
    let situation = Situation { alternatives: &alternatives, forecast: &forecast, wish };
    parse(policy).unwrap().choose(&situation, &mut fastrand::Rng::with_seed(1)).unwrap()
}

#[test]
fn the_objective_says_what_it_prefers_and_why() {
    // Estimates, prices (ms, USD), target, budget; the place chosen and a part of the reason.
    type Case<'a> = (&'a [(f64, f64)], &'a [(f64, f64)], Option<f64>, Option<f64>, usize, &'a str);
    let cases: [Case<'_>; 8] = [
        (
            &[(0.7, 0.0), (0.8, 0.0)],
            &[(1.0, 0.0), (1.0, 0.0)],
            None,
            None,
            1,
            "arm-1: the best expected quality, 0.800",
        ),
        (
            &[(0.776, 0.0), (0.78, 0.0)],
            &[(1.0, 0.0), (150.0, 0.0)],
            None,
            None,
            0,
            "arm-0: within 0.005 of arm-1's 0.780 at a 150th of the time",
        ),
        (&[(0.776, 0.0), (0.78, 0.0)], &[(1.0, 0.002), (1.0, 0.004)], None, None, 0, "at 50 % of the cost"),
        (&[(0.77, 0.0), (0.78, 0.0)], &[(1.0, 0.0), (150.0, 0.0)], None, None, 1, "the best expected"),
        (
            &[(0.77, 0.01), (0.9, 0.01)],
            &[(1.0, 0.001), (1.0, 0.01)],
            Some(0.7),
            None,
            0,
            "the cheapest whose quality is sure to meet 0.70",
        ),
        (&[(0.77, 0.1), (0.9, 0.01)], &[(1.0, 0.001), (1.0, 0.01)], Some(0.7), None, 1, "sure to meet 0.70"),
        (
            &[(0.5, 0.0), (0.9, 0.0)],
            &[(1.0, 0.001), (1.0, 0.01)],
            None,
            Some(0.005),
            0,
            "the best expected quality, 0.500",
        ),
        (
            &[(0.5, 0.0), (0.9, 0.0)],
            &[(1.0, 0.002), (1.0, 0.01)],
            Some(0.8),
            Some(0.001),
            0,
            "nothing is expected to fit the budget of $0.001000",
        ),
    ];
    for (estimates, prices, target, budget, place, reason) in cases {
        for policy in ["epsilon:0", "conservative:0"] {
            let choice = choose(policy, estimates, prices, target, budget);
            assert_eq!(choice.chosen, place, "{policy}: {}", choice.reason);
            assert!(choice.reason.contains(reason), "{policy}: {:?} lacks {reason:?}", choice.reason);
        }
    }
}

#[test]
fn names_are_read_and_said_again() {
    for name in POLICIES {
        assert_eq!(parse(name).unwrap().name(), name);
    }
    for (name, full) in [("linucb", "linucb:1"), ("conservative", "conservative:0.01")] {
        assert_eq!(parse(name).unwrap().name(), full);
    }
    for wrong in
        ["", "fixed", "fixed:", "epsilon", "epsilon:2", "epsilon:NaN", "linucb:-1", "thompson:1", "best"]
    {
        let error = parse(wrong).err().unwrap();
        assert!(error.to_string().contains(&format!("`{wrong}`")), "{error}");
    }
}

#[test]
fn the_baseline_is_left_on_evidence_only() {
    let prices = [(150.0, 0.0), (1.0, 0.0), (150.0, 0.0)];
    // Baseline arm-0; the deviations of the others; where the choice should fall without exploration.
    let cases = [
        ([(0.78, 0.01), (0.77, 0.01), (0.80, 0.02)], 0),
        ([(0.78, 0.01), (0.70, 0.01), (0.84, 0.01)], 2),
        ([(0.78, 0.001), (0.779, 0.001), (0.70, 0.01)], 1),
        ([(0.78, 0.05), (0.779, 0.05), (0.70, 0.01)], 0),
    ];
    for (estimates, place) in cases {
        assert_eq!(choose("conservative:0", &estimates, &prices, None, None).chosen, place, "{estimates:?}");
    }
    // What the two have in common does not hide the difference.
    let estimate = |mean| Estimate { mean, deviation: 0.2, outcomes: 9 };
    let joint = Forecast::new(vec![estimate(0.5), estimate(0.6)], vec![0.0401, 0.04, 0.04, 0.0401]);
    let alternatives = alternatives(&[(1.0, 0.0), (1.0, 0.0)]);
    let situation = Situation { alternatives: &alternatives, forecast: &joint, wish: Wish::default() };
    let choice =
        parse("conservative:0").unwrap().choose(&situation, &mut fastrand::Rng::with_seed(1)).unwrap();
    assert_eq!(choice.chosen, 1);
}

#[test]
fn thompson_plays_each_as_often_as_it_may_be_the_best() {
    let (alternatives, forecast) =
        (alternatives(&[(1.0, 0.0), (1.0, 0.0)]), forecast(&[(0.5, 0.1), (0.6, 0.1)]));
    let situation = Situation { alternatives: &alternatives, forecast: &forecast, wish: Wish::default() };
    let mut chosen = 0.0;
    let mut said = 0.0;
    for seed in 0..4_000 {
        let choice = Thompson.choose(&situation, &mut fastrand::Rng::with_seed(seed)).unwrap();
        chosen += choice.chosen as f64 / 4_000.0;
        said += choice.propensities[1] / 4_000.0;
    }
    // Φ(0.1 / (0.1 √2)) = 0.760.
    assert!((chosen - 0.76).abs() < 0.02 && (said - 0.76).abs() < 0.01, "{chosen} {said}");
}

/// Explores whenever it may, among alternatives that it takes for equals; what they are worth is `worth`.
fn play(alpha: f64, worth: &[f64], delay: usize, lost: bool, alarms: bool) -> Result<Ledger, String> {
    let mut policy = Conservative::new(alpha);
    let alternatives = alternatives(&[(1.0, 0.0), (1.0, 0.0), (1.0, 0.0)]);
    let forecast = forecast(&[(0.7, 0.1), (0.7, 0.1), (0.65, 0.3)]);
    let situation = Situation { alternatives: &alternatives, forecast: &forecast, wish: Wish::default() };
    let mut owed = std::collections::VecDeque::new();
    for (round, worth) in worth.iter().enumerate() {
        if alarms && round % 50 == 0 {
            policy.renew();
        }
        let choice = policy.choose(&situation, &mut fastrand::Rng::with_seed(round as u64)).unwrap();
        if choice.charge > 0.0 {
            owed.push_back((round, *worth));
        }
        while owed.front().is_some_and(|(made, _)| made + delay <= round) {
            let (_, worth) = owed.pop_front().unwrap();
            if !lost {
                policy.settle(worth);
            }
        }
        let ledger = policy.ledger().unwrap();
        if ledger.spent() > ledger.allowed(alpha) + 1e-9 {
            return Err(format!("round {round}: {ledger:?}"));
        }
    }
    Ok(policy.ledger().unwrap())
}

proptest! {
    #[test]
    fn exploration_stays_within_its_bound_for_any_outcomes(
        alpha in 0.0f64..0.5, worth in vec(0.0f64..=1.0, 1..400), delay in 0usize..30, lost: bool, alarms: bool,
    ) {
        let ledger = play(alpha, &worth, delay, lost, alarms);
        prop_assert!(ledger.is_ok(), "{:?}", ledger);
    }

    #[test]
    fn propensities_are_a_distribution_and_the_choice_is_in_it(
        estimates in vec((0.0f64..1.0, 0.0f64..0.3), 1..8), prices in vec((0.1f64..500.0, 0.0f64..0.01), 8),
        target in option::of(0.0f64..1.0), budget in option::of(0.0f64..0.01), seed: u64,
    ) {
        let (alternatives, forecast) = (alternatives(&prices[..estimates.len()]), forecast(&estimates));
        let wish = Wish { target_quality: target, budget_usd: budget, latency_ms: target.map(|target| 500.0 * target) };
        let situation = Situation { alternatives: &alternatives, forecast: &forecast, wish };
        for name in POLICIES {
            let mut policy = parse(name).unwrap();
            let choice = policy.choose(&situation, &mut fastrand::Rng::with_seed(seed)).unwrap();
            prop_assert_eq!(choice.propensities.len(), estimates.len());
            prop_assert!((choice.propensities.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            prop_assert!(choice.propensities[choice.chosen] > 0.0);
            let again = parse(name).unwrap().choose(&situation, &mut fastrand::Rng::with_seed(seed)).unwrap();
            prop_assert_eq!(choice, again);
        }
    }
}

#[test]
fn exploration_happens_and_pays_for_itself_where_it_is_worth_it() {
    let rich = play(0.05, &[0.9; 400], 0, false, false).unwrap();
    let poor = play(0.05, &[0.0; 400], 0, false, false).unwrap();
    let silent = play(0.05, &[0.9; 400], 0, true, false).unwrap();
    assert!(rich.explored > 200 && rich.spent() < 0.0, "{rich:?}");
    assert!(poor.explored > 5 && poor.explored < 30, "{poor:?}");
    assert_eq!(silent.explored, poor.explored);
    let mut both = rich;
    both.merge(&poor);
    assert_eq!((both.requests, both.explored), (800, rich.explored + poor.explored));
    assert!(both.spent() <= both.allowed(0.05));
}

#[test]
fn nothing_can_be_chosen_from_nothing() {
    let forecast = forecast(&[]);
    let situation = Situation { alternatives: &[], forecast: &forecast, wish: Wish::default() };
    for name in POLICIES {
        assert_eq!(parse(name).unwrap().choose(&situation, &mut fastrand::Rng::with_seed(1)), None, "{name}");
    }
}
