//! Trees are promoted where they see what lines can't, and hardly ever where there is nothing to see.

use burnish_types::QueryFeatures;

use super::*;

/// Three strategies by chance; with a `gain`, `sparse` is better by it for questions of middling length and worse for
/// the others, which no straight line says.
fn log(n: u64, gain: f64, seed: u64) -> Vec<ChallengeRow> {
    let mut random = fastrand::Rng::with_seed(seed);
    let row = |number: u64| {
        let words = 2.0 + (random.f64() * 28.0).floor();
        let values = [("words", words), ("complexity", random.f64()), ("idf_max", 4.0 + 6.0 * random.f64())];
        let values = values.map(|(name, value)| (name.to_owned(), value)).into();
        let chosen = random.usize(..3);
        let middling = (7.0..18.0).contains(&words);
        let expected = 0.5 + if chosen == 1 { if middling { gain } else { -gain } } else { 0.0 };
        let option = |(strategy, ms): (&str, f64)| (strategy.to_owned(), ms, 1.0 / 3.0);
        ChallengeRow {
            question: number,
            at: Timestamp(1_790_000_000_000 + number * 1_000),
            x: FeatureVector::new(&QueryFeatures { version: 2, values }),
            options: [("hybrid", 5.0), ("sparse", 5.0), ("dense", 5.0)].map(option).to_vec(),
            chosen,
            drawn: true,
            quality: f64::from(u8::from(random.f64() < expected)),
            trust: 1.0,
        }
    };
    (0..n).map(row).collect()
}

fn settings(seed: u64) -> ChallengeSettings {
    ChallengeSettings { baseline: None, half_life_days: None, level: 0.005, seed }
}

#[test]
fn what_no_line_says_is_found_and_shown() {
    let rows = log(1_500, 0.3, 1);
    let found = challenge(&rows, &settings(3));
    assert!(found.better && found.gain > 0.1 && found.gain < 0.4, "{found:?}");
    assert_eq!(found, challenge(&rows, &settings(3)));
    assert_eq!((found.n, found.compared), (1_500, 1_500));
    let trees = train(&rows, &settings(3)).unwrap();
    assert_eq!(Some(&trees), train(&rows, &settings(3)).as_ref());
}

#[test]
fn what_could_not_have_been_chosen_proves_nothing() {
    let mut rows = log(1_500, 0.3, 1);
    for row in &mut rows {
        let chosen = row.chosen;
        row.options
            .iter_mut()
            .enumerate()
            .for_each(|(place, option)| option.2 = f64::from(u8::from(place == chosen)));
    }
    let found = challenge(&rows, &settings(3));
    assert!(found.differing > 100 && found.covered == 0 && !found.better, "{found:?}");
    rows.iter_mut().for_each(|row| row.drawn = false);
    assert_eq!(challenge(&rows, &settings(3)).compared, 0);
    assert_eq!(challenge(&[], &settings(3)).n, 0);
}

#[test]
fn nothing_is_made_of_nothing() {
    assert!((0..6).all(|seed| !challenge(&log(400, 0.0, seed), &settings(seed)).better));
}

#[test]
#[ignore = "a simulation of minutes, whose figures stand in docs/measurements.md"]
fn promotions_by_chance_are_as_rare_as_is_promised() {
    for (n, gain, runs) in [(600, 0.0, 1_000), (600, 0.2, 200), (600, 0.4, 200), (2_000, 0.2, 200)] {
        let promoted =
            (0..runs).filter(|seed| challenge(&log(n, gain, *seed), &settings(*seed)).better).count();
        println!("n = {n}, gain {gain}: {promoted} of {runs} promoted");
        assert!(gain > 0.0 || promoted <= 10, "{promoted}");
    }
}
