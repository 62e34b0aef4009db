//! Tests of the query's type and complexity.

use burnish_types::{Filter, Message, Query, Role, UserContext};
use proptest::prelude::*;

use super::*;
use crate::{query_features, text_features};

fn query(text: &str, turns: usize) -> Query {
    let message = Message { role: Role::User, content: "What is the warranty of the red one?".to_owned() };
    Query {
        text: text.to_owned(),
        conversation: vec![message; turns],
        user: UserContext::default(),
        filter: Filter::default(),
        top_k: 10,
        target_quality: 0.8,
        budget: None,
        latency_budget_ms: None,
    }
}

/// Written for this test, and the rules were written with such questions in mind: it says that they hold, not how
/// well they do on others.
const EXAMPLES: &[(QueryType, &str)] = &[
    (QueryType::Factoid, "Who wrote Faust?"),
    (QueryType::Factoid, "When was the Suez Canal opened?"),
    (QueryType::Factoid, "what is the boiling point of ethanol"),
    (QueryType::Factoid, "Where is the head office?"),
    (QueryType::Factoid, "How long is the warranty on the pump?"),
    (QueryType::Factoid, "Which port does the server listen on?"),
    (QueryType::Definition, "What is idempotency?"),
    (QueryType::Definition, "define eventual consistency"),
    (QueryType::Definition, "What does NQC mean?"),
    (QueryType::Definition, "what are stop words"),
    (QueryType::Definition, "meaning of amortization"),
    (QueryType::Definition, "What does TTL stand for?"),
    (QueryType::Comparison, "Is the Nile longer than the Amazon?"),
    (QueryType::Comparison, "Which is older, Oxford or Cambridge?"),
    (QueryType::Comparison, "What is the difference between BM25 and TF-IDF?"),
    (QueryType::Comparison, "Are Colocasia and Coronilla both flowering plants?"),
    (QueryType::Comparison, "compare the basic plan and the premium plan"),
    (QueryType::Comparison, "redis vs memcached"),
    (QueryType::Procedure, "How do I reset my password?"),
    (QueryType::Procedure, "how to install the agent on Debian"),
    (QueryType::Procedure, "Configure TLS for the gateway"),
    (QueryType::Procedure, "What are the steps to renew a passport?"),
    (QueryType::Procedure, "How can we rotate the signing key?"),
    (QueryType::MultiHop, "In which city was the director of the film that won the Palme d'Or in 1994 born?"),
    (
        QueryType::MultiHop,
        "Who is the spouse of the author who wrote the novel on which the film Solaris was based?",
    ),
    (
        QueryType::MultiHop,
        "The county where the castle stands that was built by the brother of Henry V is named after what?",
    ),
    (
        QueryType::MultiHop,
        "What nationality is the composer whose opera opened the theatre also known as the Old House?",
    ),
    (QueryType::Aggregation, "How many invoices were overdue in total?"),
    (QueryType::Aggregation, "List all suppliers from Norway"),
    (QueryType::Aggregation, "What is the average age of the employees?"),
    (QueryType::Aggregation, "total revenue of all regions in 2023"),
    (QueryType::Lookup, "invoice RE-2041"),
    (QueryType::Lookup, "error E1234 timeout"),
    (QueryType::Lookup, "quarterly report 2023"),
    (QueryType::Lookup, "config.toml retry_limit"),
    (QueryType::Conversation, "And in Germany?"),
    (QueryType::Conversation, "thanks, that helps"),
    (QueryType::Conversation, "Who wrote it?"),
    (QueryType::Conversation, "how much does it cost"),
    (QueryType::Conversation, "What about the second one?"),
];

#[test]
fn each_type_is_told_by_its_examples() {
    let wrong: Vec<_> = EXAMPLES
        .iter()
        .map(|(expected, text)| (expected, text, query_features(&query(text, 0), &[])))
        .filter(|(expected, _, features)| QueryType::of(features) != **expected)
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_was_said_before_makes_a_short_turn_part_of_it() {
    let conversation =
        |turns| feature_value(&query_features(&query("and the blue one", turns), &[]), "type_conversation");
    assert!(conversation(2) > conversation(0), "{} {}", conversation(2), conversation(0));
    assert!(conversation(2) > 0.9);
}

#[test]
fn complexity_rises_with_hops() {
    let complexity = |text: &str| feature_value(&query_features(&query(text, 0), &[]), "complexity");
    let cases = [
        ("Who wrote Faust?", "Where was the wife of the author who wrote Faust and Egmont born?"),
        ("Is Oslo in Norway?", "Are Oslo and Bergen both in Norway?"),
        ("When was Ada Lovelace born?", "Who was born first, Ada Lovelace or Charles Babbage?"),
    ];
    for (simple, complex) in cases {
        let (low, high) = (complexity(simple), complexity(complex));
        assert!(low < 0.5 && high > low + 0.2, "{simple} {low}, {complex} {high}");
    }
}

#[test]
fn the_shipped_table_parses_and_is_trained() {
    let shipped: QueryTypeModel = serde_json::from_str(SHIPPED).unwrap();
    assert_eq!(&shipped, QueryTypeModel::shipped());
    assert_ne!(shipped, QueryTypeModel::rules());
    assert_eq!(
        serde_json::to_string_pretty(&shipped).unwrap() + "\n",
        SHIPPED,
        "it is not what the command writes"
    );
}

#[test]
fn tables_that_cannot_be_meant_are_refused() {
    let broken = [
        (SHIPPED.replacen("\"form\": 1", "\"form\": 9", 1), "form 9"),
        (SHIPPED.replacen("asks_definition", "asks_nonsense", 1), "asks_nonsense"),
        (SHIPPED.replacen("-2.5", "-2500.0", 1), "±20"),
        (SHIPPED.replacen("\"factoid\"", "\"fact\"", 1), "fact"),
    ];
    for (table, complaint) in broken {
        let error = serde_json::from_str::<QueryTypeModel>(&table).unwrap_err().to_string();
        assert!(error.contains(complaint), "{error}");
    }
}

#[test]
fn labels_that_come_later_move_the_model() {
    let features = text_features(&query("bolt M8 zinc", 0));
    let mut model = QueryTypeModel::shipped().clone();
    let before = model.predict(&TypeInputs::new(&features));
    assert_eq!(before.likeliest(), QueryType::Lookup);
    for _ in 0..50 {
        model.update(&features, TypeLabel::Type(QueryType::Comparison), 0.2);
    }
    let after = model.predict(&TypeInputs::new(&features));
    assert_eq!(after.likeliest(), QueryType::Comparison);
    assert!(after.complexity > before.complexity + 0.3);

    // That several passages were needed leaves open which of the two types it is.
    let mut model = QueryTypeModel::shipped().clone();
    model.update(&features, TypeLabel::Several(true), 0.2);
    let several = model.predict(&TypeInputs::new(&features));
    let sum = |prediction: &TypePrediction| prediction.types[2] + prediction.types[4];
    assert!(sum(&several) > sum(&before) && several.complexity > before.complexity);
}

#[test]
fn training_finds_what_the_labels_say() {
    // The truth: several passages are needed where `also` stands, with nine in ten labelled right.
    let example = |place: usize| {
        let also = place.is_multiple_of(2);
        let several = also != (place % 20 < 2);
        let text = if also { "which firm also sells pumps" } else { "which firm sells good pumps" };
        (TypeInputs::new(&text_features(&query(text, 0))), TypeLabel::Several(several))
    };
    let examples: Vec<LabelledInputs> = (0..400).map(example).collect();
    let model = QueryTypeModel::train(&examples, 1);
    for (place, expected) in [(0, 0.9), (1, 0.1)] {
        let prediction = model.predict(&examples[place].0);
        assert!((prediction.complexity - expected).abs() < 0.02, "{prediction:?}");
        let several = prediction.types[2] + prediction.types[4];
        assert!((several - expected).abs() < 0.1, "{prediction:?}");
    }
    assert_eq!(model, QueryTypeModel::train(&examples, 1));
}

#[test]
fn training_learns_types_where_they_are_known() {
    let inputs = TypeInputs::new(&text_features(&query("who signs off travel expenses", 0)));
    assert_ne!(QueryTypeModel::rules().predict(&inputs).likeliest(), QueryType::Procedure);
    let examples = vec![(inputs, TypeLabel::Type(QueryType::Procedure)); 60];
    assert_eq!(QueryTypeModel::train(&examples, 1).predict(&inputs).likeliest(), QueryType::Procedure);
}

proptest! {
    #[test]
    fn probabilities_stay_probabilities_whatever_is_learned(
        steps in prop::collection::vec((".{0,60}", 0usize..10, -1.0f64..1e9), 0..40), text in ".{0,200}",
    ) {
        let mut model = QueryTypeModel::shipped().clone();
        for (text, label, rate) in steps {
            let label = match label {
                8 => TypeLabel::Several(true),
                9 => TypeLabel::Several(false),
                place => TypeLabel::Type(QueryType::ALL[place]),
            };
            model.update(&text_features(&query(&text, 1)), label, rate);
        }
        let prediction = model.predict(&TypeInputs::new(&text_features(&query(&text, 0))));
        prop_assert!((prediction.types.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        prop_assert!(prediction.types.iter().chain([&prediction.complexity]).all(|p| (0.0..=1.0).contains(p)));
        let json = serde_json::to_string(&model).unwrap();
        prop_assert_eq!(serde_json::from_str::<QueryTypeModel>(&json).unwrap(), model);
    }
}
