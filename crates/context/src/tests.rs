//! What is kept, what goes, and that nothing else happens.

use proptest::prelude::*;

use super::*;

fn tokens(text: &str) -> usize {
    text.split_whitespace().count()
}

fn passages<'a>(texts: &[&'a str]) -> Vec<Passage<'a>> {
    let passage = |(place, text): (usize, &&'a str)| Passage {
        text,
        tokens: tokens(text),
        score: 1.0 / (1.0 + place as f32),
        likeness: None,
    };
    texts.iter().enumerate().map(passage).collect()
}

fn texts(optimized: &Optimized, passages: &[Passage<'_>]) -> Vec<String> {
    optimized.kept.iter().map(|kept| kept.text(passages[kept.passage].text)).collect()
}

fn to_tokens(tokens: usize) -> Target {
    Target { tokens: Some(tokens), reduction: 0.0 }
}

#[test]
fn what_fits_is_left_alone() {
    let given = passages(&["Answers expire. For example after a while.", "", "Bridges are long."]);
    let optimized = optimize("When do answers expire?", &given, to_tokens(500));
    assert_eq!(texts(&optimized, &given), [given[0].text, given[2].text]);
    assert!(optimized.steps.is_empty() && !optimized.overlong);
    assert_eq!((optimized.original, optimized.optimized), (10, 10));
}

#[test]
fn what_answers_is_kept_wherever_it_stands() {
    let given = passages(&[
        "The gateway was written by a small team. It has a long history. People like it very much indeed.",
        "Nobody knows where bridges come from. Cached answers of the gateway expire after 30 minutes. Rain falls.",
    ]);
    let optimized = optimize("When do cached answers of the gateway expire?", &given, to_tokens(12));
    let kept = texts(&optimized, &given);
    assert!(kept.iter().any(|text| text.contains("expire after 30 minutes")), "{kept:?}");
    assert!(optimized.optimized <= 12, "{optimized:?}");
    assert_eq!(optimized.steps.last().map(|step| step.kind), Some(StepKind::Budget));
}

#[test]
fn parts_that_are_left_out_leave_a_trace_and_neighbours_none() {
    let passage = "One is kept. Two goes away. Three is kept. Four is kept.";
    let kept = Kept { passage: 0, parts: vec![0..12, 28..42, 43..56], tokens: 9 };
    assert_eq!(kept.text(passage), "One is kept. … Three is kept. Four is kept.");
}

#[test]
fn steps_take_what_they_are_for_and_are_undone_where_they_lose_what_is_asked_for() {
    let wish = Target { tokens: None, reduction: 0.2 };
    let cases: [(&str, &[&str], StepKind, bool, &str); 4] = [
        (
            "How long do keys last?",
            &[
                "Keys last ninety days in every region of the world. Rotation is automatic and quiet.",
                "Keys last ninety days in every region of the world. The console shows their age and owner, with a \
                 filter by team, project and month of creation.",
                "Whoever leaves a project loses the keys of it at once, in Oslo and Lima alike, and is told so by a letter \
                 that Ada Wong signs herself, with a stamp of 1999 that nobody else may use, not even those who work for \
                 her day by day in the tower at the river of the town where all of this began so many years ago.",
            ],
            StepKind::Redundancy,
            false,
            "Keys last ninety days in every region of the world.\nThe console",
        ),
        (
            "How long do keys last?",
            &["Keys last ninety days in all regions of the world. For example, a month. They are \
               rotated without a word by the service that made them, and logged by region, hour, owner and project, so that \
               auditors find them again."],
            StepKind::Examples,
            false,
            "… They are rotated",
        ),
        (
            "How long do keys last?",
            &[
                "Keys last ninety days in all regions. In general things take time. They are rotated by Ada Wong and \
               logged by region, with the hour and the day and the month.",
            ],
            StepKind::Background,
            false,
            "… They are rotated",
        ),
        (
            "Which weasel keeps keys?",
            &["For example, weasel. Keys are kept in a vault under the sea by Ada Wong since 1999, and \
               nobody has ever seen them leave it, not once in all these years of waiting for it to happen before noon."],
            StepKind::Examples,
            true,
            "For example, weasel.",
        ),
    ];
    for (question, given, kind, undone, left) in cases {
        let given = passages(given);
        let optimized = optimize(question, &given, wish);
        let step = optimized.steps.iter().find(|step| step.kind == kind);
        assert_eq!(step.map(|step| step.undone), Some(undone), "{question} {optimized:?}");
        let kept = texts(&optimized, &given).join("\n");
        assert!(kept.contains(left), "{kept}");
        assert!(optimized.optimized <= optimized.original);
    }
}

#[test]
fn rows_keep_the_names_of_their_columns() {
    let table = "| part | price |\n|------|-------|\n| bolt | 3 |\n| nut | 5 |\n| washer | 7 |\n\nPrices are in cents.";
    let given = passages(&[table]);
    let optimized = optimize("What does the washer cost?", &given, to_tokens(14));
    let kept = texts(&optimized, &given).join("\n");
    assert!(kept.contains("| part | price |") && kept.contains("washer") && !kept.contains("bolt"), "{kept}");
}

#[test]
fn dashes_in_a_row_do_not_make_it_the_names_of_columns() {
    let table = "| Flag | Meaning |\n|---|---|\n| --verbose | prints much more |\n| --quiet | prints less |";
    let given = passages(&[table, "Rain falls on the mountains all day long in autumn."]);
    let optimized = optimize("What does --verbose do?", &given, to_tokens(14));
    let kept = texts(&optimized, &given).join("\n");
    assert!(kept.contains("verbose") && kept.contains("Meaning") && !kept.contains("quiet"), "{kept}");
    let headers = passages(&["| a | b |\n|---|---|", "| c | d | e |\n|---|---|---|"]);
    assert_eq!(optimize("What is b?", &headers, to_tokens(1)).kept.len(), 1);
}

#[test]
fn what_no_word_is_takes_room_too() {
    let signs = "😀 → ∑ ".repeat(300);
    let given =
        passages(&["Answers expire after a while.", &signs, "鍵は九十日間有効です。その後は更新されます。"]);
    let optimized = optimize("When do answers expire?", &given, to_tokens(20));
    assert!(optimized.optimized <= 20 && !optimized.overlong, "{optimized:?}");
}

#[test]
fn time_grows_with_the_text_and_no_faster() {
    for piece in ["。", "É.", "Ab cd ef gh. ", "|a\n", "| a |\n|---|\n", "a", "- \n", "Keys last. "] {
        let text = piece.repeat(60_000 / piece.len());
        let given = passages(&[&text, &text]);
        let started = std::time::Instant::now();
        optimize("How long do keys last, a b c?", &given, to_tokens(10));
        let took = started.elapsed();
        // A tenth of that here, without optimisation; quadratic in the length it is minutes.
        assert!(took < std::time::Duration::from_secs(20), "{piece:?} {took:?}");
    }
}

#[test]
fn scores_below_zero_rank_too() {
    let texts = ["Alpha is one of them indeed.", "Omega is one of them indeed."];
    let given: Vec<Passage<'_>> = passages(&texts)
        .into_iter()
        .zip([-9.0, -1.0])
        .map(|(passage, score)| Passage { score, ..passage })
        .collect();
    let optimized = optimize("Which?", &given, to_tokens(6));
    assert_eq!(optimized.kept.first().map(|kept| kept.passage), Some(1), "{optimized:?}");
}

#[test]
fn a_sentence_longer_than_the_budget_is_kept_and_told() {
    let given = passages(&["Answers expire after thirty minutes of silence in every region."]);
    let optimized = optimize("When do answers expire?", &given, to_tokens(3));
    assert!(optimized.overlong && optimized.kept.len() == 1, "{optimized:?}");
    assert!(optimize("?", &[], to_tokens(3)).kept.is_empty());
}

#[test]
fn passages_that_speak_against_each_other_are_named() {
    let given = passages(&[
        "The free plan of the gateway allows 100 requests a minute. It is popular.",
        "The free plan of the gateway allows 60 requests a minute. It is new.",
        "The paid plan has no such bound. The free plan of the gateway allows 100 requests a minute.",
    ]);
    let optimized = optimize("How many requests does the free plan allow?", &given, Target::default());
    let pairs: Vec<[usize; 2]> = optimized.conflicts.iter().map(|conflict| conflict.passages).collect();
    assert!(pairs.contains(&[0, 1]) && !pairs.contains(&[0, 2]), "{:?}", optimized.conflicts);
    assert!(optimized.conflicts.iter().all(|conflict| !conflict.denies));
}

#[test]
fn the_best_stand_at_the_edges() {
    assert_eq!(edges_first(0), Vec::<usize>::new());
    assert_eq!(edges_first(1), [0]);
    assert_eq!(edges_first(5), [0, 2, 4, 3, 1]);
    assert_eq!(edges_first(6), [0, 2, 4, 5, 3, 1]);
}

proptest! {
    #[test]
    fn what_is_kept_is_part_of_what_was_given(
        texts in proptest::collection::vec("([A-Za-z0-9é|.!? \n-]{0,160})", 0..6),
        question in "[a-zA-Z ]{0,40}",
        most in proptest::option::of(0usize..60),
        reduction in -0.5f64..1.5,
    ) {
        let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
        let given = passages(&borrowed);
        let optimized = optimize(&question, &given, Target { tokens: most, reduction });
        let mut last = None;
        for kept in &optimized.kept {
            prop_assert!(last < Some(kept.passage));
            last = Some(kept.passage);
            let text = given[kept.passage].text;
            let mut end = 0;
            for part in &kept.parts {
                prop_assert!(end <= part.start && part.start < part.end && part.end <= text.len());
                prop_assert!(text.get(part.clone()).is_some());
                end = part.end;
            }
            prop_assert!(!kept.text(text).is_empty());
        }
        let (fits, one) = (most.is_none_or(|most| optimized.optimized <= most), optimized.kept.len() <= 1);
        // Each passage's tokens are rounded.
        let nearly = most.is_some_and(|most| optimized.optimized <= most + given.len());
        prop_assert!(fits || nearly || one, "{optimized:?}");
        prop_assert!(optimized.steps.iter().all(|step| (0.0..=1.0001).contains(&step.lost)));
        let again = optimize(&question, &given, Target { tokens: most, reduction });
        prop_assert_eq!(optimized, again);
    }
}
