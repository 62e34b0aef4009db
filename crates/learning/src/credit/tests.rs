//! What blocks are credited with, on truths that are known.

use fastrand::Rng;

use super::*;

/// Slots with so many options each; an option's length is ten times its place.
fn slots(options: &[u16]) -> Vec<Slot> {
    let block = |slot: usize, option: u16| Block {
        name: format!("{slot}{option}"),
        tokens: 10.0 * f64::from(option),
    };
    let named = |(slot, count): (usize, &u16)| Slot {
        name: ["format", "examples", "role", "order"][slot % 4].to_owned(),
        options: (0..*count).map(|option| block(slot, option)).collect(),
        reference: 0,
    };
    options.iter().enumerate().map(named).collect()
}

fn contexts() -> Vec<String> {
    vec!["facts".to_owned(), "procedures".to_owned()]
}

/// Outcomes of random combinations whose quality is `truth`, with noise of ± 0.1.
fn rows(options: &[u16], count: usize, truth: impl Fn(&[u16], u16) -> f64, seed: u64) -> Vec<Row> {
    let mut random = Rng::with_seed(seed);
    let mut row = || {
        let options: Vec<u16> = options.iter().map(|count| random.u16(..*count)).collect();
        let context = random.u16(..2);
        let noise = 0.2 * (random.f64() - 0.5);
        let quality = (truth(&options, context) + noise).clamp(0.0, 1.0);
        let output_tokens = Some(100.0 - 30.0 * f64::from(options[0] == 1) + 20.0 * random.f64());
        Row { options, context, quality, weight: 1.0, output_tokens }
    };
    (0..count).map(|_| row()).collect()
}

/// Main effects of the first two slots, one pair, and one block that only procedures gain by.
fn truth(options: &[u16], context: u16) -> f64 {
    let holds = |holds: bool, effect: f64| if holds { effect } else { 0.0 };
    0.4 + holds(options[0] == 1, 0.1)
        + holds(options[1] == 2, -0.1)
        + holds(options[0] == 1 && options[1] == 1, 0.15)
        + holds(options[2] == 1 && context == 1, 0.1)
}

fn fitted(count: usize) -> Credit {
    let options = [2, 3, 2];
    Credit::fit(&slots(&options), &contexts(), &rows(&options, count, truth, 3))
}

#[test]
fn estimates_come_close_to_the_truth_and_say_how_close() {
    let (early, late) = (fitted(60), fitted(1_500));
    let (mut squares, mut covered, mut all) = (0.0, 0, 0);
    for place in 0..24u16 {
        let (options, context) = ([place % 2, place / 2 % 3, place / 6 % 2], place / 12);
        let expected = truth(&options, context);
        let [before, after] = [&early, &late].map(|credit| credit.estimate(&options, Some(context)).unwrap());
        assert!(before.deviation > after.deviation && after.deviation > 0.0);
        squares += (after.mean - expected).powi(2);
        covered += u32::from((after.mean - expected).abs() < 2.0 * after.deviation);
        all += 1;
    }
    assert!((squares / f64::from(all)).sqrt() < 0.015, "{squares}");
    assert!(covered >= 20, "{covered} of {all}");
}

#[test]
fn pairs_are_believed_in_where_they_matter() {
    let options = [3, 3, 2, 3];
    let fit = |truth: fn(&[u16], u16) -> f64| {
        Credit::fit(&slots(&options), &contexts(), &rows(&options, 1_000, truth, 5)).scales()
    };
    let plain = |options: &[u16], _: u16| 0.3 + 0.1 * f64::from(options[0]) + 0.05 * f64::from(options[1]);
    let paired = |options: &[u16], _: u16| 0.3 + 0.4 * f64::from(options[0] == options[1]);
    let ([_, none, _], [_, some, _]) = (fit(plain), fit(paired));
    assert!(some > 5.0 * none, "{none} and {some}");
}

#[test]
fn the_best_is_the_best_of_all_and_lengths_have_their_price() {
    let credit = fitted(1_500);
    let any = |_: usize, _: u16| true;
    for (context, length_price, expected) in
        [(Some(1), 0.0, vec![1, 1, 1]), (Some(0), 0.004, vec![1, 1, 0]), (None, 1.0, vec![0, 0, 0])]
    {
        let best = credit.best(Goal { context, length_price }, None, &any);
        assert_eq!((best.options.clone(), best.exact), (expected, true), "{context:?} {length_price}");
        let quality = credit.quality(None, &best.options, context).unwrap();
        assert!((quality - length_price * credit.length(&best.options) - best.value).abs() < 1e-9);
    }
    // The second slot may only have its last option.
    let only = |slot: usize, option: u16| slot != 1 || option == 2;
    assert_eq!(credit.best(Goal::default(), None, &only).options[1], 2);
}

#[test]
fn a_large_space_is_climbed_to_its_top() {
    let options = [3; 10];
    let truth =
        |options: &[u16], _: u16| 0.1 + 0.08 * options.iter().filter(|option| **option == 2).count() as f64;
    let mut rows = rows(&options, 800, truth, 1);
    rows.iter_mut().for_each(|row| row.context = 0);
    let credit = Credit::fit(&slots(&options), &[], &rows);
    let best = credit.best(Goal::default(), None, &|_, _| true);
    assert_eq!((best.options, best.exact), (vec![2; 10], false));
}

#[test]
fn draws_spread_as_the_estimates_say() {
    let credit = fitted(100);
    let mut random = Rng::with_seed(1);
    for (options, context) in [([1, 1, 0], None), ([0, 2, 1], Some(1))] {
        let drawn: Vec<f64> = (0..2_000)
            .map(|_| credit.quality(Some(&credit.draw(&mut random)), &options, context).unwrap())
            .collect();
        let mean = drawn.iter().sum::<f64>() / 2_000.0;
        let variance = drawn.iter().map(|one| (one - mean).powi(2)).sum::<f64>() / 2_000.0;
        let expected = credit.estimate(&options, context).unwrap();
        assert!((mean - expected.mean).abs() < 4.0 * expected.deviation / 2_000f64.sqrt());
        assert!((variance.sqrt() / expected.deviation - 1.0).abs() < 0.08, "{variance} {expected:?}");
    }
}

#[test]
fn effects_and_insights_say_what_blocks_do() {
    let credit = fitted(1_500);
    let effects = credit.effects();
    assert_eq!(effects.len(), 3 * 4);
    let special = effects.iter().find(|one| (one.slot, one.option, one.context) == (2, 1, Some(1))).unwrap();
    assert!((special.quality - 0.1).abs() < 0.03 && special.interval[0] > 0.0, "{special:?}");
    let shorter = effects.iter().find(|one| (one.slot, one.option, one.context) == (0, 1, None)).unwrap();
    assert!((shorter.output_tokens.unwrap() + 30.0).abs() < 3.0, "{shorter:?}");

    let insights = credit.insights(0.99);
    let texts: Vec<&str> = insights.iter().map(|insight| insight.text.as_str()).collect();
    for words in ["format=01 + examples=11: +", "for procedures, role=21: +", "30 fewer tokens of answer"] {
        assert!(texts.iter().any(|text| text.contains(words)), "{words:?} is not in {texts:#?}");
    }
    assert!(insights.iter().all(|insight| insight.certainty >= 0.99));
    assert!(insights.is_sorted_by(|one, other| one.quality.abs() >= other.quality.abs()));
    // What does nothing is not spoken of.
    assert!(!texts.iter().any(|text| text.starts_with("for facts, role")), "{texts:#?}");
}

#[test]
fn nothing_is_claimed_of_nothing() {
    let credit = Credit::fit(&slots(&[2, 2]), &[], &[]);
    let estimate = credit.estimate(&[0, 1], None).unwrap();
    assert!((estimate.mean - 0.5).abs() < 1e-12 && estimate.deviation > 0.1, "{estimate:?}");
    assert!(credit.insights(0.9).is_empty());
    assert_eq!(credit.estimate(&[0, 2], None), None);
    assert_eq!(credit.estimate(&[0], None), None);
    assert_eq!(credit.output_tokens(&[0, 1], None), None);
    let empty = Credit::fit(&[], &[], &[]);
    assert_eq!(empty.best(Goal::default(), None, &|_, _| true).options, Vec::<u16>::new());
}

#[test]
fn rows_that_cannot_be_are_left_out() {
    let good =
        Row { options: vec![0, 1], context: 0, quality: 0.9, weight: 1.0, output_tokens: Some(f64::NAN) };
    let bad = [
        Row { options: vec![0, 7], ..good.clone() },
        Row { context: 3, ..good.clone() },
        Row { quality: f64::NAN, ..good.clone() },
        Row { weight: -1.0, ..good.clone() },
    ];
    let with: Vec<Row> = bad.into_iter().chain([good.clone()]).collect();
    let (with, without) =
        (Credit::fit(&slots(&[2, 2]), &[], &with), Credit::fit(&slots(&[2, 2]), &[], &[good]));
    assert_eq!(with.estimate(&[0, 1], None), without.estimate(&[0, 1], None));
}
