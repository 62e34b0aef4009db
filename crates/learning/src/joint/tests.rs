//! What is learned of combinations, and which are chosen.

use super::*;
use crate::policies;
use crate::selection::Wish;

fn part(name: &str, options: usize, places: &[usize]) -> Part {
    let options = (0..options).map(|option| format!("{name}{option}")).collect();
    Part { name: name.to_owned(), options, scale: Vec::new(), places: places.to_vec() }
}

fn space() -> Space {
    Space::new(vec![part("a", 4, &[1]), part("b", 3, &[]), part("c", 5, &[1])])
}

/// Hidden effects of options, an interaction, and one that depends on the request.
fn truth(combination: &[u16], x: &[f64]) -> f64 {
    let (a, b, c) = (combination[0], combination[1], combination[2]);
    let mut quality = 0.4 + 0.05 * f64::from(a) - 0.04 * f64::from(b);
    quality += if a == 3 && b == 2 { 0.25 } else { 0.0 };
    quality + if c == 4 { 0.15 * x[1] } else { 0.0 }
}

fn request(random: &mut fastrand::Rng) -> Vec<f64> {
    vec![1.0, if random.bool() { 1.0 } else { -1.0 }]
}

#[test]
fn places_and_combinations_are_the_same_in_another_form() {
    let space = space();
    assert_eq!((space.len(), space.is_empty()), (60, false));
    for place in 0..space.len() {
        assert_eq!(space.place(&space.at(place)), place);
    }
    assert_eq!(space.describe(&[3, 0, 4]), "a3 · b0 · c4");
    let singles =
        vec![vec![0.0, 1.0, 2.0, 3.0], vec![0.0, 10.0, 20.0], vec![0.0, 100.0, 200.0, 300.0, 400.0]];
    let pairs = vec![vec![0.5; 12], vec![0.25; 20], vec![0.125; 15]];
    let mut sums = Vec::new();
    space.sums(&singles, &pairs, |place, sum| {
        assert_eq!(place, sums.len());
        sums.push(sum);
    });
    let [a, b, c] = [2, 1, 3];
    assert_eq!(sums[space.place(&[a, b, c])], 2.0 + 10.0 + 300.0 + 0.875);
}

#[test]
fn outcomes_of_some_combinations_teach_all() {
    let mut random = fastrand::Rng::with_seed(1);
    let mut predictor = JointPredictor::new(space(), 2);
    for _ in 0..3_000 {
        let x = request(&mut random);
        let combination = predictor.space().at(random.usize(..60));
        let quality = truth(&combination, &x) + 0.2 * (random.f64() - 0.5);
        assert!(predictor.observe(&combination, &x, quality, 1.0).is_some());
    }
    let mut worst = 0.0_f64;
    for place in 0..60 {
        for sign in [-1.0, 1.0] {
            let combination = predictor.space().at(place);
            let forecast = predictor.forecast(&[&combination], &[1.0, sign]);
            worst = worst.max((forecast.estimates()[0].mean - truth(&combination, &[1.0, sign])).abs());
        }
    }
    assert!(worst < 0.06, "{worst}");
}

#[test]
fn on_a_scale_what_is_known_of_some_tells_of_those_beside_them() {
    let ordered = |scale: Vec<f64>| Space::new(vec![Part { scale, ..part("depth", 5, &[]) }]);
    let expected = |scale: Vec<f64>| {
        let mut random = fastrand::Rng::with_seed(2);
        let mut predictor = JointPredictor::new(ordered(scale), 1);
        for turn in 0..600 {
            let option = [0, 1, 3][turn % 3];
            let quality = 0.3 + 0.1 * f64::from(option) + 0.2 * (random.f64() - 0.5);
            predictor.observe(&[option], &[1.0], quality, 1.0);
        }
        predictor.forecast(&[&[4]], &[1.0]).estimates()[0].mean
    };
    assert!((expected(vec![1.0, 2.0, 3.0, 4.0, 5.0]) - 0.7).abs() < 0.08);
    assert!(expected(Vec::new()) < 0.6);
    // Neither of these is a scale.
    assert_eq!(expected(vec![1.0; 5]), expected(Vec::new()));
    assert_eq!(expected(vec![f64::NAN; 5]), expected(vec![1.0, 2.0]));
}

#[test]
fn what_is_no_outcome_changes_nothing() {
    let mut predictor = JointPredictor::new(space(), 2);
    for (combination, x, quality, weight) in [
        (&[0, 0][..], [1.0, 0.0], 0.5, 1.0),
        (&[0, 0, 9], [1.0, 0.0], 0.5, 1.0),
        (&[0, 0, 0], [1.0, f64::NAN], 0.5, 1.0),
        (&[0, 0, 0], [1.0, 0.0], f64::INFINITY, 1.0),
        (&[0, 0, 0], [1.0, 0.0], 0.5, -1.0),
    ] {
        assert_eq!(predictor.observe(combination, &x, quality, weight), None);
    }
    assert_eq!(predictor.outcomes(), 0);
}

/// Plays `requests` and returns how often each place was taken, and the mean quality of the last third.
fn play(
    policy: &str,
    wish: Wish,
    requests: usize,
    worsens: Option<(usize, u16)>,
) -> (Vec<usize>, f64, JointPlanner) {
    let mut random = fastrand::Rng::with_seed(7);
    let predictor = JointPredictor::new(space(), 2);
    let policy = policies::parse(policy).unwrap();
    let mut planner = JointPlanner::new(predictor, policy, JointSettings::default());
    // Later options of `a` are dearer.
    let costs: Vec<f64> =
        (0..60).map(|place| 0.001 * f64::from(1 + planner.predictor().space().at(place)[0])).collect();
    let latencies = vec![100.0; 60];
    let (mut taken, mut late) = (vec![0; 60], Vec::new());
    for number in 0..requests {
        let x = request(&mut random);
        let terms = Terms { costs_usd: &costs, latencies_ms: &latencies };
        let planned = planner.plan(&x, terms, wish, number as u64).unwrap();
        assert_eq!(planned.place, planned.considered[planned.choice.chosen]);
        let total: f64 = planned.choice.propensities.iter().sum();
        assert!((total - 1.0).abs() < 1e-9 && planned.considered.len() <= 40);
        let mut quality = truth(&planned.combination, &x);
        if let Some((part, option)) = worsens
            && number > requests / 2
            && planned.combination[part] == option
        {
            quality -= 0.5;
        }
        let noisy = (quality + 0.2 * (random.f64() - 0.5)).clamp(0.0, 1.0);
        planner.observe(&planned.combination, &x, noisy, 1.0);
        if planned.choice.charge > 0.0 {
            planner.settle(noisy);
        }
        if number >= requests * 2 / 3 {
            taken[planned.place] += 1;
            late.push(quality);
        }
    }
    let mean = late.iter().sum::<f64>() / late.len() as f64;
    (taken, mean, planner)
}

#[test]
fn the_best_combination_is_found_though_only_together_its_options_are_good() {
    let (_, quality, _) = play("thompson", Wish::default(), 1_500, None);
    // The best is 0.4 + 0.15 − 0.08 + 0.25, and for half of the requests 0.15 more.
    assert!(quality > 0.95 * 0.795, "{quality}");
}

#[test]
fn a_target_is_met_at_a_lower_price() {
    let wish = Wish { target_quality: Some(0.3), budget_usd: None };
    let (taken, quality, planner) = play("thompson", wish, 1_500, None);
    let cheap: usize = (0..60)
        .filter(|place| planner.predictor().space().at(*place)[0] == 0)
        .map(|place| taken[place])
        .sum();
    assert!(quality > 0.3 && cheap * 10 > taken.iter().sum::<usize>() * 9, "{quality} {taken:?}");
}

#[test]
fn what_has_worsened_is_left() {
    let (taken, quality, planner) = play("thompson", Wish::default(), 1_800, Some((0, 3)));
    let left: usize = (0..60)
        .filter(|place| planner.predictor().space().at(*place)[0] == 3)
        .map(|place| taken[place])
        .sum();
    assert!(planner.changes() > 0 && left * 20 < taken.iter().sum::<usize>(), "{quality} {taken:?}");
}
