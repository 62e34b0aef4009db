//! Tests of the features of both stages, and of the vector that is made of them.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::Instant;

use burnish_types::{ChunkId, Filter, Message, Role, UserContext};
use proptest::prelude::*;

use super::*;

fn query(text: &str) -> Query {
    Query {
        text: text.to_owned(),
        conversation: Vec::new(),
        user: UserContext::default(),
        filter: Filter::default(),
        top_k: 10,
        target_quality: 0.8,
        budget: None,
        latency_budget_ms: None,
    }
}

fn features(text: &str) -> QueryFeatures {
    query_features(&query(text), &[("cache".to_owned(), 2.0), ("ttl".to_owned(), 4.0)])
}

#[test]
fn features_of_the_text_mean_what_their_table_says() {
    let cases = [
        ("How long is the TTL?", "words", 5.0),
        ("How long is the TTL?", "characters", 20.0),
        ("How long is the TTL?", "wh_how", 1.0),
        ("How long is the TTL?", "wh_why", 0.0),
        ("What is it?", "wh_what", 1.0),
        ("What is it?", "wh_is", 1.0),
        ("which one", "wh_which", 1.0),
        ("Say who did it", "wh_who", 1.0),
        ("since when", "wh_when", 1.0),
        ("where to", "wh_where", 1.0),
        ("but why", "wh_why", 1.0),
        ("How long is the TTL?", "capitals", 1.0),
        ("raised by 20 % in Q3", "numbers", 2.0),
        ("who said \"no\" and \"yes\"", "quotes", 2.0),
        ("Vec::with_capacity", "code", 1.0),
        ("a plain question", "code", 0.0),
        ("anything", "idf_max", 4.0),
        ("anything", "idf_mean", 3.0),
        ("anything", "idf_sum", 6.0),
        ("anything", "idf_deviation", 1.0),
        ("anything", "terms", 2.0),
        ("who came", "wh_first", 1.0),
        ("say who came", "wh_first", 0.0),
        ("red pump", "wh_none", 1.0),
        ("the pump of what", "wh_place", 0.75),
        ("Does it leak?", "yes_no", 1.0),
        ("Who does it?", "yes_no", 0.0),
        ("please list the pumps", "imperative", 1.0),
        ("list", "imperative", 0.0),
        ("both pumps, both valves", "both", 2.0),
        ("of the same make", "same", 1.0),
        ("older than me", "than", 1.0),
        ("older than me", "comparatives", 1.0),
        ("red or blue", "or", 1.0),
        ("red and blue", "and", 1.0),
        ("redis vs memcached", "contrasts", 1.0),
        ("the largest pump", "superlatives", 1.0),
        ("the total of all orders", "aggregates", 2.0),
        ("Are A and B both red?", "shared", 1.0),
        ("Are both red?", "shared", 0.0),
        ("Which is older, Oslo or Bergen?", "alternatives", 1.0),
        ("Which oil or grease does the old pump need?", "alternatives", 0.0),
        ("the pump that leaks", "relatives", 1.0),
        ("that pump leaks", "relatives", 0.0),
        ("the head of the firm", "of", 1.0),
        ("made by him", "by", 1.0),
        ("how to go", "to", 1.0),
        ("is also red", "also", 1.0),
        ("it is what", "what", 1.0),
        ("what is it", "what", 0.0),
        ("by whom", "whom", 1.0),
        ("the man whose pump leaks", "whose", 1.0),
        ("Ada's mother's pump", "possessives", 2.0),
        ("the director of the film that won", "nesting", 1.0),
        ("Ada's pump", "nesting", 0.0),
        ("the author of a film, in a city", "roles", 3.0),
        ("the author of a film, in my city", "described_roles", 2.0),
        ("the author of a film that in a city", "role_links", 2.0),
        ("the pump of the firm", "definites", 2.0),
        ("a pump and an axe", "indefinites", 2.0),
        ("this pump", "pointing", 1.0),
        ("did he see her", "third_person", 2.0),
        ("my pump and I", "first_person", 2.0),
        ("your pump", "second_person", 1.0),
        ("in a box on a shelf", "prepositions", 2.0),
        ("directed and produced", "participles", 2.0),
        ("starring nobody", "gerunds", 1.0),
        ("a ring", "gerunds", 0.0),
        ("formally red", "adverbs", 1.0),
        ("there is", "being_present", 1.0),
        ("there was", "being_past", 1.0),
        ("did it", "do_support", 1.0),
        ("has it", "having", 1.0),
        ("a pump called Bob", "naming", 1.0),
        ("red, blue; green", "clauses", 2.0),
        ("in 1984 and 12345", "years", 1.0),
        ("two four", "word_length", 3.5),
        ("Who is Ada Lovelace's friend Charles Babbage?", "entities", 2.0),
        ("Who is Ada Lovelace's friend Charles Babbage?", "entity_words", 4.0),
        ("What is \"late interaction\"?", "entities", 1.0),
        ("The pump leaks", "entities", 0.0),
        ("invoice RE2041 of v1.2.3 in a/b.txt", "identifiers", 3.0),
        ("the 21st of May 1999", "identifiers", 0.0),
        ("how many pumps", "how_many", 1.0),
        ("the number of pumps", "how_many", 1.0),
        ("What is a pump?", "asks_definition", 1.0),
        ("what's a pump", "asks_definition", 1.0),
        ("what does pump mean", "asks_definition", 1.0),
        ("What is the height of the pump?", "asks_definition", 0.0),
        ("how do I stop it", "asks_procedure", 1.0),
        ("How did they stop it?", "asks_procedure", 0.0),
        ("hello there", "greeting", 1.0),
        ("what about pumps", "follow_up", 1.0),
        ("and pumps?", "follow_up", 1.0),
        ("as above", "prior", 1.0),
        ("is it red or is that blue", "open_pronouns", 1.0),
        ("Who wrote it?", "open_pronouns", 1.0),
        ("Does the large pump leak when it runs dry?", "open_pronouns", 0.0),
        ("what is the pump", "function_words", 0.75),
        ("wie ist das", "foreign_words", 1.0),
        ("насос течёт", "latin", 0.0),
        ("насос течёт", "english", 0.0),
        ("what is the colour of it", "english", 1.0),
        ("wo ist die Pumpe und wie ist das", "english", 0.0),
        ("pump", "english", 0.5),
    ];
    let mut covered = BTreeSet::new();
    for (text, name, expected) in cases {
        assert_eq!(feature_value(&features(text), name), expected, "{name} of {text:?}");
        covered.insert(name);
    }
    let elsewhere = |name: &str| {
        name.starts_with("type_")
            || ["complexity", "turns", "short_turn", "has_user", "has_tenant", "expertise"].contains(&name)
    };
    let stage_one = FEATURES.iter().map(|feature| feature.name).take_while(|name| *name != "lists");
    for name in stage_one.filter(|name| !elsewhere(name)) {
        assert!(covered.contains(name), "`{name}` has no example");
    }
}

#[test]
fn circumstances_are_features() {
    let mut asked = query("how hot?");
    asked.conversation = vec![Message { role: Role::User, content: "hi".to_owned() }; 3];
    asked.user.user = Some("ada".to_owned());
    asked.user.tenant = Some("acme".to_owned());
    let found = query_features(&asked, &[]);
    for (name, expected) in
        [("turns", 3.0), ("short_turn", 1.0), ("has_user", 1.0), ("has_tenant", 1.0), ("expertise", 0.5)]
    {
        assert_eq!(feature_value(&found, name), expected, "{name}");
    }
    for (said, expected) in [
        ("Expert", 1.0),
        (" novice", 0.1),
        ("0.7", 0.7),
        ("7", 0.5),
        ("wizard", 0.5),
        ("NaN", 0.5),
        ("0", 0.0),
    ] {
        asked.user.attributes.insert("expertise".to_owned(), said.to_owned());
        assert_eq!(feature_value(&query_features(&asked, &[]), "expertise"), expected, "{said}");
    }
}

fn hits(scores: &[(u64, f32)]) -> Vec<Hit> {
    scores.iter().map(|&(id, score)| Hit { chunk: ChunkId(id), score }).collect()
}

#[test]
fn features_of_the_lists_mean_what_their_table_says() {
    let lexical = hits(&[(1, 12.0), (2, 9.0), (3, 6.0)]);
    let dense = hits(&[(2, 0.75), (1, 0.5), (9, 0.25)]);
    let mut found = features("anything");
    list_features(&mut found, &lexical, &dense, 0.125);
    let cases = [
        ("lists", 1.0),
        ("lexical_hits", 3.0),
        ("dense_hits", 3.0),
        ("lexical_top", 12.0),
        ("dense_top", 0.75),
        ("lexical_margin", 0.25),
        ("lexical_gap", 1.0),
        ("dense_margin", 0.25),
        ("dense_gap", 0.5),
        // The deviations are √6 and √(1/24); the idf of the terms adds up to 6.
        ("lexical_nqc", 6f64.sqrt() / 6.0),
        ("dense_nqc", (1f64 / 24.0).sqrt()),
        ("overlap_10", 2.0 / 3.0),
        ("top_agrees", 0.0),
        ("top_cross_rank", 0.5),
        ("fused_margin", 0.125),
    ];
    for (name, expected) in cases {
        let value = feature_value(&found, name);
        assert!((value - expected).abs() < 1e-9, "{name}: {value}");
    }
    assert!(
        FEATURES
            .iter()
            .skip_while(|feature| feature.name != "lists")
            .all(|feature| cases.iter().any(|case| case.0 == feature.name))
    );

    let mut same = features("anything");
    list_features(&mut same, &lexical, &lexical, 0.1);
    assert_eq!((feature_value(&same, "top_agrees"), feature_value(&same, "overlap_10")), (1.0, 1.0));
    let mut none = features("anything");
    list_features(&mut none, &[], &[], 1.0);
    assert_eq!((feature_value(&none, "dense_top"), feature_value(&none, "overlap_10")), (0.0, 0.0));
}

#[test]
fn old_logs_read_as_neutral() {
    let old = QueryFeatures {
        version: 1,
        values: [("words", 5.0), ("wh_how", 1.0), ("turns", 0.0), ("idf_max", f64::NAN)]
            .map(|(name, value)| (name.to_owned(), value))
            .into(),
    };
    for (name, expected) in [
        ("words", 5.0),
        ("wh_how", 1.0),
        ("idf_max", 0.0),
        ("expertise", 0.5),
        ("complexity", 0.25),
        ("type_lookup", 0.125),
    ] {
        assert_eq!(feature_value(&old, name), expected, "{name}");
    }
    let vector = FeatureVector::new(&old);
    let at =
        |name: &str| vector.as_slice()[FeatureVector::NAMES.iter().position(|known| *known == name).unwrap()];
    for name in
        ["lists", "dense_top", "overlap_10", "lexical_nqc", "complexity", "expertise", "type_comparison"]
    {
        assert_eq!(at(name), 0.0, "{name}");
    }
}

#[test]
fn the_vector_is_named_scaled_and_led_by_a_bias() {
    let vector = FeatureVector::new(&features("Who wrote Faust?"));
    assert_eq!((vector.as_slice()[0], FeatureVector::NAMES[0]), (1.0, "bias"));
    assert_eq!(vector.to_vec().len(), FeatureVector::LENGTH);
    let names: BTreeSet<&str> = FeatureVector::NAMES.into_iter().collect();
    assert_eq!(names.len(), FeatureVector::LENGTH, "a name comes twice");
    assert!(names.iter().all(|name| *name == "bias" || FEATURES.iter().any(|feature| feature.name == *name)));
    // (ln(1 + 3) − 2.3) / 0.6 for three words.
    assert!((vector.as_slice()[1] - (4f64.ln() - 2.3) / 0.6).abs() < 1e-12);
}

#[test]
fn every_feature_stands_in_the_documentation() {
    let documentation = std::fs::read_to_string("../../docs/features.md").unwrap();
    let (table, _) = documentation.split_once("\n## ").unwrap();
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| `")).collect();
    let expected: Vec<String> = FEATURES
        .iter()
        .map(|feature| {
            let (name, meaning, range) = (feature.name, feature.meaning, feature.range);
            format!("| `{name}` | {meaning} | {range} | {} | {} |", neutral_value(name), feature.since)
        })
        .collect();
    assert_eq!(rows, expected, "docs/features.md should have these rows:\n{}", expected.join("\n"));
}

#[test]
#[ignore = "a measurement: cargo test --release -p burnish-learning -- --ignored --nocapture microseconds"]
fn microseconds_of_stage_one() {
    let questions = [
        "Who wrote Faust?",
        "In which city was the director of the film that won the Palme d'Or in 1994 born?",
        "quarterly report 2023",
        "Which American artist, who also illustrated works by Bill Nye and George W. Peck, illustrated an 1876 novel \
         by Mark Twain about a young boy growing up along the Mississippi River?",
    ];
    let idf: Vec<(String, f32)> = (0..12).map(|place| (format!("term{place}"), place as f32)).collect();
    for text in questions {
        let query = query(text);
        let mut times: Vec<f64> = (0..20_000)
            .map(|_| {
                let started = Instant::now();
                let features = query_features(black_box(&query), &idf);
                black_box(FeatureVector::new(&features));
                started.elapsed().as_secs_f64() * 1e6
            })
            .collect();
        times.sort_unstable_by(f64::total_cmp);
        let words = text.split_whitespace().count();
        println!("{words} words: p50 {:.1} µs, p99 {:.1} µs", times[10_000], times[19_800]);
    }
}

fn finite(features: &QueryFeatures) -> bool {
    features
        .values
        .iter()
        .all(|(name, value)| value.is_finite() && FEATURES.iter().any(|feature| feature.name == name))
        && FeatureVector::new(features).as_slice().iter().all(|number| (-3.0..=3.0).contains(number))
}

proptest! {
    #[test]
    fn any_text_gives_finite_values(text in "(?s).{0,300}", idf in prop::collection::vec(any::<f32>(), 0..9)) {
        let idf: Vec<(String, f32)> = idf.into_iter().map(|idf| ("term".to_owned(), idf)).collect();
        prop_assert!(finite(&query_features(&query(&text), &idf)));
    }

    #[test]
    fn words_in_any_order_give_finite_values(
        words in prop::collection::vec(prop::sample::select(vec![
            "what", "is", "'s", "how", "do", "I", "’", "\"", "A", "both", "of", "that", "list", ",", "1984", "x_y", "s'", "-", "\u{301}", "İ", "ß",
        ]), 0..40),
    ) {
        prop_assert!(finite(&features(&words.join(" "))));
        prop_assert!(finite(&features(&words.concat())));
    }

    #[test]
    fn any_lists_give_finite_values(
        lexical in prop::collection::vec((0u64..30, any::<f32>()), 0..130), dense in prop::collection::vec((0u64..30, any::<f32>()), 0..130),
    ) {
        let mut found = features("anything");
        list_features(&mut found, &hits(&lexical), &hits(&dense), 0.05);
        prop_assert!(finite(&found));
    }
}

#[test]
fn texts_without_end_give_finite_values() {
    for part in
        ["a", "ß", "word ", "A. ", "’s", "\"", "\u{1f469}\u{200d}", "北京", "\0", " ", "x::", "a.b", "İ"]
    {
        let found = features(&part.repeat(100_000 / part.chars().count()));
        assert!(finite(&found), "{part:?}: {found:?}");
    }
}
