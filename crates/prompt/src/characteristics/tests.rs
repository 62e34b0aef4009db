//! Characteristics of questions and evidence, and what they ask for.

use std::collections::BTreeMap;

use burnish_types::{AnswerFormat, Characteristics};

use super::*;

type Attributes<'a> = &'a [(&'a str, &'a str)];

fn of(question: &str, attributes: Attributes<'_>) -> Characteristics {
    let attributes: BTreeMap<String, String> =
        attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    of_question(&Asking { question, attributes: &attributes, complexity: 0.4, kind: "factoid" })
}

#[test]
fn a_question_says_how_it_wants_to_be_answered() {
    let cases: [(&str, Attributes<'_>, &[&str]); 14] = [
        ("Who wrote Faust?", &[], &[]),
        ("Explain the merge policy in detail.", &[], &["detailed"]),
        ("Briefly, what is a segment?", &[], &["brief"]),
        ("What is a segment, briefly but in detail?", &[], &[]),
        ("What is BM25, in simple terms?", &[], &["simplify"]),
        ("Give me the settings as a table", &[], &["table"]),
        ("How do I rotate a key, step by step?", &[], &["steps"]),
        ("List the endpoints in JSON", &[], &["json"]),
        ("Who wrote Faust?", &[("expertise", "expert"), ("format", "Bullets")], &["deepen", "bullets"]),
        ("Who wrote Faust?", &[("expertise", "0.2")], &["simplify"]),
        ("Who wrote Faust?", &[("expertise", "very"), ("format", "song")], &[]),
        ("Who wrote Faust?", &[("language", "de-AT")], &["language"]),
        ("Wie oft wird der Schlüssel des Leuchtturms ausgetauscht, und von wem?", &[], &["language"]),
        ("Wie oft wird der Schlüssel des Leuchtturms ausgetauscht?", &[("language", "en")], &[]),
    ];
    for (question, attributes, expected) in cases {
        let known = of(question, attributes);
        let operations = operations_for(&known, &Thresholds::default(), false);
        assert_eq!(operations, expected, "{question} {known:?}");
    }
    assert_eq!(of("Wer schrieb es?", &[("language", "Deutsch")]).language.as_deref(), Some("German"));
    assert_eq!(of("Who?", &[("preferred_format", "json")]).format, Some(AnswerFormat::Json));
}

#[test]
fn topics_are_what_is_named_before_what_kind_it_is() {
    let cases = [
        ("Summarise the incident report", vec!["summary"]),
        ("Which rows of the price table are over 30?", vec!["table"]),
        ("Show the settings as a table", vec!["factoid"]),
        ("What does `flush()` return?", vec!["code"]),
        ("Who wrote Faust?", vec!["factoid"]),
    ];
    for (question, expected) in cases {
        assert_eq!(of(question, &[]).topics, expected, "{question}");
    }
}

#[test]
fn evidence_says_how_dense_old_and_of_what_kind_it_is() {
    let text = |text| Source { text, is_table: false };
    let of = |sources: &[Source<'_>], conflicts: &[[usize; 2]]| {
        of_evidence(Characteristics::default(), sources, conflicts, 2026)
    };
    let loose = of(&[text("it is as it is and as it was so it is and it was as it is")], &[]);
    let dense =
        of(&[text("Photosynthesis converts sunlight, water, carbon dioxide into glucose, oxygen")], &[]);
    assert!(loose.density < 0.1 && dense.density > 0.8, "{loose:?} {dense:?}");
    assert_eq!(of(&[text("In 1999 and 2018."), text("Room 2099, 20188")], &[]).age, 0.8);
    assert_eq!(of(&[text("No year at all")], &[]).age, 0.0);
    let mixed =
        of(&[Source { text: "a", is_table: true }, text("fn main() {\n  x();\n}"), text("b")], &[[0, 2]]);
    assert_eq!(mixed.modalities, ["code", "table", "text"]);
    assert!((mixed.conflict - 2.0 / 3.0).abs() < 1e-9);
    let asks = operations_for(&mixed, &Thresholds::default(), true);
    assert!(asks.contains(&"organise".to_owned()) && asks.ends_with(&["examples".to_owned()]), "{asks:?}");
    assert_eq!(of(&[], &[]).density, 0.0);
}
