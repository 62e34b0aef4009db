//! What is learned of combinations, and which are chosen.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;
use crate::learner::Learner;
use crate::policies;
use crate::predictor::{PredictorSettings, Prior};
use crate::selection::{Jointly, LABEL_WEIGHT, Selection, Wish};
use crate::trees::{BoostedTrees, TrainingRow, TreeSettings};
use burnish_types::Timestamp;

fn part(name: &str, options: usize, places: &[usize]) -> Part {
    let options = (0..options).map(|option| format!("{name}{option}")).collect();
    Part { name: name.to_owned(), options, places: places.to_vec(), ..Part::default() }
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
fn outcomes_of_some_combinations_teach_what_all_add() {
    let mut random = fastrand::Rng::with_seed(1);
    let mut effects = Effects::new(space(), 2, 2);
    for _ in 0..3_000 {
        let x = request(&mut random);
        let combination = effects.space().at(random.usize(..60));
        let quality = truth(&combination, &x) + 0.2 * (random.f64() - 0.5);
        assert_eq!(effects.observe(&combination, &x, quality, 1.0, Timestamp(0)), None);
    }
    let mut worst = 0.0_f64;
    for (place, x) in (0..60).flat_map(|place| [(place, [1.0, -1.0]), (place, [1.0, 1.0])]) {
        let combination = effects.space().at(place);
        let plain = effects.space().plain(combination[0]);
        let added = effects.forecast(&[&combination, &plain], &x);
        let expected = truth(&combination, &x) - truth(&plain, &x);
        worst = worst.max((added.estimates()[0].mean - expected).abs());
        assert_eq!((added.estimates()[1].mean, added.estimates()[1].deviation), (0.0, 0.0));
    }
    assert!(worst < 0.08, "{worst}");
}

#[test]
fn an_outcome_that_is_taken_back_leaves_no_trace_and_a_snapshot_is_whole() {
    let mut random = fastrand::Rng::with_seed(5);
    let mut effects = Effects::new(space(), 2, 2);
    let mut outcomes = Vec::new();
    for number in 0..200 {
        let (x, combination) = (request(&mut random), effects.space().at(random.usize(..60)));
        let quality = random.f64();
        effects.hint(&combination, &x, quality, 0.5);
        if number % 3 == 0 {
            outcomes.push((combination, x, quality));
        }
    }
    let mut without = Effects::new(space(), 2, 2);
    let mut random = fastrand::Rng::with_seed(5);
    for number in 0..200 {
        let (x, combination) = (request(&mut random), without.space().at(random.usize(..60)));
        let quality = random.f64();
        if number % 3 != 0 {
            without.hint(&combination, &x, quality, 0.5);
        }
    }
    for (combination, x, quality) in &outcomes {
        assert!(effects.take_back(combination, x, (*quality, 0.5), Timestamp(1)));
    }
    // What was never in is not taken out.
    let mut none = Effects::new(space(), 2, 2);
    assert!(!none.take_back(&[0, 0, 0], &[1.0, 0.0], (0.5, 1e9), Timestamp(1)));
    assert_eq!(none.outcomes(), 0);
    let restored = Effects::from_bytes(space(), 2, 2, &effects.to_bytes()).unwrap();
    assert_eq!((restored.outcomes(), effects.outcomes()), (without.outcomes(), 133));
    for place in 0..60 {
        let of = |effects: &Effects| effects.forecast(&[&space().at(place)], &[1.0, 0.5]).estimates()[0].mean;
        assert!((of(&restored) - of(&without)).abs() < 1e-9);
        assert_eq!(of(&restored), of(&effects));
    }
    assert!(Effects::from_bytes(space(), 3, 2, &effects.to_bytes()).is_none());
    assert!(Effects::from_bytes(Space::new(vec![part("a", 4, &[1])]), 2, 2, &effects.to_bytes()).is_none());
}

#[test]
fn on_a_scale_what_is_known_of_some_tells_of_those_beside_them() {
    let ordered =
        |scale: Vec<f64>| Space::new(vec![part("strategy", 1, &[]), Part { scale, ..part("depth", 5, &[]) }]);
    let expected = |scale: Vec<f64>| {
        let mut random = fastrand::Rng::with_seed(2);
        let mut effects = Effects::new(ordered(scale), 1, 1);
        for turn in 0..600 {
            let option = [0, 1, 3][turn % 3];
            let quality = 0.3 + 0.1 * f64::from(option) + 0.2 * (random.f64() - 0.5);
            effects.observe(&[0, option], &[1.0], quality, 1.0, Timestamp(0));
        }
        effects.forecast(&[&[0, 4]], &[1.0]).estimates()[0].mean
    };
    assert!((expected(vec![1.0, 2.0, 3.0, 4.0, 5.0]) - 0.4).abs() < 0.08);
    assert!(expected(Vec::new()) < 0.3);
    // Neither of these is a scale.
    assert_eq!(expected(vec![1.0; 5]), expected(Vec::new()));
    assert_eq!(expected(vec![f64::NAN; 5]), expected(vec![1.0, 2.0]));
}

#[test]
fn what_is_no_outcome_changes_nothing() {
    let mut effects = Effects::new(space(), 2, 2);
    for (combination, x, quality, weight) in [
        (&[0, 0][..], [1.0, 0.0], 0.5, 1.0),
        (&[0, 0, 9], [1.0, 0.0], 0.5, 1.0),
        (&[0, 0, 0], [1.0, f64::NAN], 0.5, 1.0),
        (&[0, 0, 0], [1.0, 0.0], f64::INFINITY, 1.0),
        (&[0, 0, 0], [1.0, 0.0], 0.5, 0.0),
    ] {
        assert_eq!(effects.observe(combination, &x, quality, weight, Timestamp(0)), None);
    }
    assert_eq!(effects.outcomes(), 0);
}

/// Both learners, and what decides.
struct World {
    learner: Learner,
    effects: Effects,
    selection: Selection,
    costs: Vec<f64>,
    changes: usize,
}

impl World {
    fn new(policy: &str) -> Self {
        let settings = PredictorSettings { dimensions: 2, half_life_days: None };
        let effects = Effects::new(space(), 2, 2);
        // Later options of `a` are dearer.
        let costs = (0..60).map(|place| 0.001 * f64::from(1 + effects.space().at(place)[0])).collect();
        Self {
            learner: Learner::new(settings, Prior::default()),
            effects,
            selection: Selection::new(policies::parse(policy).unwrap(), Some("a0".to_owned())),
            costs,
            changes: 0,
        }
    }

    /// Decides, learns, and returns the combination with its quality.
    fn turn(
        &mut self,
        x: &[f64],
        wish: Wish,
        admitted: &[Admitted],
        number: u64,
        quality: impl Fn(&[u16]) -> f64,
    ) -> (Combination, f64) {
        let request = Jointly {
            learner: &self.learner,
            effects: &self.effects,
            terms: Terms { costs_usd: &self.costs, latencies_ms: &[100.0; 60] },
            x,
            numbers: x,
            wish,
            worth_of_a_dollar: 0.0,
            admitted,
            seed: number,
        };
        let selected = self.selection.decide_jointly(&request).unwrap();
        let total: f64 = selected.choice.propensities.iter().sum();
        assert!((total - 1.0).abs() < 1e-9 && selected.considered.len() <= 40);
        let chosen = selected.chosen().unwrap();
        assert_eq!(self.effects.space().at(chosen.place), chosen.combination);
        let (combination, added) = (chosen.combination.clone(), chosen.added);
        let quality = quality(&combination);
        let seen = (quality + 0.2 * (fastrand::Rng::with_seed(number).f64() - 0.5)).clamp(0.0, 1.0);
        let strategy = self.effects.space().parts()[0].options[usize::from(combination[0])].clone();
        self.learner.observe(&strategy, x, seen - added, LABEL_WEIGHT, Timestamp(number));
        self.changes +=
            usize::from(self.effects.observe(&combination, x, seen, 1.0, Timestamp(number)).is_some());
        if selected.choice.charge > 0.0 {
            self.selection.settle(seen);
        }
        (combination, quality)
    }
}

/// Plays `requests` and returns how often each place was taken, and the mean quality of the last third.
fn play(
    policy: &str,
    wish: Wish,
    requests: usize,
    worsens: Option<(usize, u16)>,
) -> (Vec<usize>, f64, World) {
    let mut random = fastrand::Rng::with_seed(7);
    let mut world = World::new(policy);
    let (mut taken, mut late) = (vec![0; 60], Vec::new());
    for number in 0..requests {
        let x = request(&mut random);
        let worse = |combination: &[u16]| {
            worsens.is_some_and(|(part, option)| number > requests / 2 && combination[part] == option)
        };
        let quality =
            |combination: &[u16]| truth(combination, &x) - if worse(combination) { 0.5 } else { 0.0 };
        let (combination, quality) = world.turn(&x, wish, &[], number as u64, quality);
        if number >= requests * 2 / 3 {
            taken[world.effects.space().place(&combination)] += 1;
            late.push(quality);
        }
    }
    let mean = late.iter().sum::<f64>() / late.len() as f64;
    (taken, mean, world)
}

#[test]
fn the_best_combination_is_found_though_only_together_its_options_are_good() {
    let (_, quality, _) = play("thompson", Wish::default(), 1_500, None);
    // The best is 0.4 + 0.15 − 0.08 + 0.25, and for half of the requests 0.15 more.
    assert!(quality > 0.95 * 0.795, "{quality}");
}

#[test]
fn a_target_is_met_at_a_lower_price() {
    let wish = Wish { target_quality: Some(0.3), ..Wish::default() };
    let (taken, quality, world) = play("thompson", wish, 1_500, None);
    let cheap: usize =
        (0..60).filter(|place| world.effects.space().at(*place)[0] == 0).map(|place| taken[place]).sum();
    assert!(quality > 0.3 && cheap * 10 > taken.iter().sum::<usize>() * 9, "{quality} {taken:?}");
}

#[test]
fn what_has_worsened_is_left() {
    let (taken, quality, world) = play("thompson", Wish::default(), 1_800, Some((2, 4)));
    let left: usize =
        (0..60).filter(|place| world.effects.space().at(*place)[2] == 4).map(|place| taken[place]).sum();
    assert!(world.changes > 0 && left * 20 < taken.iter().sum::<usize>(), "{quality} {taken:?}");
}

#[test]
fn what_is_pinned_or_does_not_fit_is_not_taken() {
    let mut world = World::new("epsilon:0.5");
    for number in 0..200 {
        let admitted = [Some(vec![2]), None, Some(vec![3, 4])];
        let (taken, _) = world.turn(&[1.0, 0.5], Wish::default(), &admitted, number, |_| 0.5);
        assert!(taken[0] == 2 && taken[2] >= 3);
        let wish = Wish { budget_usd: Some(0.002), ..Wish::default() };
        let (taken, _) = world.turn(&[1.0, 0.5], wish, &[], number, |_| 0.5);
        assert!(taken[0] < 2, "{taken:?}");
    }
}

#[test]
fn what_is_new_is_tried_until_it_is_known_within_what_a_policy_may_spend() {
    for (policy, better) in [("epsilon:0", true), ("epsilon:0", false), ("conservative:0.2", true)] {
        let mut world = World::new(policy);
        let x = [1.0, 0.0];
        let known = |combination: &[u16]| if combination[2] == 4 { 0.9 } else { 0.5 };
        let without = [None, None, Some(vec![0, 1, 2, 3])];
        for number in 0..150 {
            world.turn(&x, Wish::default(), &without, number, known);
        }
        let mut before = space().parts().to_vec();
        before[2].options.pop();
        let known = Effects::new(Space::new(before), 2, 2).known();
        // What is new while next to nothing is known is one among others.
        assert!(
            !Effects::new(space(), 2, 2).welcome(&known)
                && !world.effects.clone().welcome(&world.effects.known())
        );
        assert!(world.effects.welcome(&known) && !world.effects.clone().welcome(&known));
        // A snapshot and other options tell what is new, too.
        let again = Effects::known_of(&world.effects.to_bytes()).unwrap();
        assert_eq!(again, world.effects.known());
        let quality = |combination: &[u16]| match combination[2] {
            4 if better => 0.9,
            4 => 0.1,
            _ => 0.5,
        };
        let mut tried = Vec::new();
        for number in 150..450 {
            let (taken, _) = world.turn(&x, Wish::default(), &[], number, quality);
            tried.push(taken[2] == 4);
        }
        let count = |part: &[bool]| part.iter().filter(|tried| **tried).count();
        match better {
            true => assert!(count(&tried[200..]) > 90, "{policy}: {}", count(&tried[200..])),
            false => assert!((1..40).contains(&count(&tried)), "{policy}: {}", count(&tried)),
        }
    }
}

#[test]
fn what_only_the_effects_look_at_is_said_of_the_baseline_too() {
    let mut effects = Effects::new(space(), 2, 1);
    let mut random = fastrand::Rng::with_seed(4);
    for _ in 0..2_000 {
        let x = request(&mut random);
        let combination = effects.space().at(random.usize(..60));
        effects.observe(&combination, &x, 0.5 + 0.3 * x[1], 1.0, Timestamp(0));
    }
    for sign in [-1.0, 1.0] {
        let added = effects.forecast(&[&[1, 0, 0], &[1, 2, 3]], &[1.0, sign]);
        for estimate in added.estimates() {
            assert!((estimate.mean - 0.3 * sign).abs() < 0.06, "{sign} {estimate:?}");
        }
    }
}

#[test]
fn outcomes_from_before_a_change_are_not_revised() {
    let mut effects = Effects::new(space(), 1, 1);
    let mut changed = None;
    for number in 0..400 {
        let quality = if number < 300 { 0.9 } else { 0.0 };
        changed = changed.or(effects.observe(&[0, 0, 2], &[1.0], quality, 1.0, Timestamp(number)));
    }
    assert!(changed.is_some());
    let expected = |effects: &Effects| effects.forecast(&[&[0, 0, 2]], &[1.0]).estimates()[0];
    let before = expected(&effects);
    assert!(!effects.take_back(&[0, 0, 2], &[1.0], (0.9, 1.0), Timestamp(5)));
    effects.revise(&[0, 0, 2], &[1.0], [(0.9, 1.0), (0.0, 1.0)], Timestamp(5));
    assert_eq!((expected(&effects), effects.outcomes()), (before, 400));
    effects.revise(&[0, 0, 2], &[1.0], [(0.0, 1.0), (0.4, 1.0)], Timestamp(399));
    assert!(effects.outcomes() == 400 && expected(&effects).mean > before.mean);
}

#[test]
fn what_money_is_worth_decides_among_what_is_wanted_and_charges_go_by_quality() {
    let mut world = World::new("conservative:0.5");
    let x = [1.0, 0.0];
    // Later options of `a` are better, and dearer.
    for number in 0..600 {
        world.turn(&x, Wish::default(), &[], number, |taken| 0.4 + 0.15 * f64::from(taken[0]));
    }
    let decide = |world: &mut World, worth_of_a_dollar: f64| {
        let request = Jointly {
            learner: &world.learner,
            effects: &world.effects,
            terms: Terms { costs_usd: &world.costs, latencies_ms: &[100.0; 60] },
            x: &x,
            numbers: &x,
            wish: Wish::default(),
            worth_of_a_dollar,
            admitted: &[],
            seed: 3,
        };
        let selected = world.selection.decide_jointly(&request).unwrap();
        (selected.chosen().unwrap().combination[0], selected.choice)
    };
    let (dear, _) = decide(&mut world, 0.0);
    // However dear money is, what is cheapest is what is taken.
    for worth in [1e3, 1e6, 1e9] {
        let before = world.selection.ledger().unwrap();
        let (cheap, choice) = decide(&mut world, worth);
        let after = world.selection.ledger().unwrap();
        assert!(cheap < dear && cheap == 0, "{cheap} {dear}");
        assert!(choice.charge >= 0.0 && after.expected > before.expected);
    }
}

#[test]
fn trees_move_the_strategy_and_nothing_that_they_do_not_know() {
    let mut world = World::new("conservative:0");
    // Expected to be better, and not proven.
    for number in 0..3 {
        world.effects.observe(&[1, 1, 0], &[1.0, 0.0], 1.0, 1.0, Timestamp(number));
    }
    let rows: Vec<TrainingRow> = (0..400)
        .map(|place| TrainingRow {
            arm: ["a0", "a3"][place % 2].to_owned(),
            x: vec![1.0, if place % 4 < 2 { 1.0 } else { -1.0 }],
            quality: if place % 2 == 1 { 0.95 } else { 0.6 },
            expected: 0.6,
            weight: 1.0,
        })
        .collect();
    let trees = BoostedTrees::fit(&rows, TreeSettings::default(), 1).unwrap();
    world.selection.correct_by(Some(Arc::new(trees)));
    let mut taken = BTreeSet::new();
    for number in 0..100 {
        let (combination, _) = world.turn(&[1.0, 1.0], Wish::default(), &[], number, |_| 0.6);
        taken.insert(combination);
    }
    assert_eq!(taken, BTreeSet::from([vec![0, 0, 0], vec![3, 0, 0]]));
}

#[test]
fn where_there_is_nothing_else_to_choose_nothing_is_added() {
    let one = Space::new(vec![part("a", 3, &[]), part("b", 1, &[])]);
    let mut effects = Effects::new(one, 2, 1);
    effects.observe(&[1, 0], &[1.0, 1.0], 1.0, 1.0, Timestamp(1));
    let added = effects.forecast(&[&[0, 0], &[1, 0]], &[1.0, 1.0]);
    assert!(added.estimates().iter().all(|added| added.mean == 0.0 && added.deviation == 0.0));
    assert_eq!((added.covariance(0, 1), effects.standing()), (0.0, Vec::new()));
}
