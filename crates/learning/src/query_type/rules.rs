//! What is held of the types before any label: coefficients set by hand. `factoid` is what is left when no other
//! type speaks up, and so has none; the row of `multi_hop` and complexity are only a beginning for training.

use super::QueryType;
use super::inputs::{self, WIDTH};

type Rule = (QueryType, &'static [(&'static str, f64)]);

const RULES: [Rule; 8] = [
    (QueryType::Factoid, &[]),
    (QueryType::Definition, &[("bias", -2.5), ("asks_definition", 4.5), ("nesting", -1.5)]),
    (
        QueryType::Comparison,
        &[
            ("bias", -3.2),
            ("contrasts", 3.5),
            ("than", 2.5),
            ("comparatives", 1.2),
            ("shared", 3.5),
            ("alternatives", 3.5),
            ("both", 0.5),
            ("yes_no", 0.4),
            ("same", 0.8),
            ("and", 0.7),
            ("or", 0.7),
        ],
    ),
    (QueryType::Procedure, &[("bias", -3.0), ("asks_procedure", 5.5), ("wh_how", 0.3)]),
    (QueryType::MultiHop, &[("bias", -3.0), ("nesting", 1.0)]),
    (
        QueryType::Aggregation,
        &[
            ("bias", -3.0),
            ("aggregates", 3.5),
            ("how_many", 2.5),
            ("imperative", 0.5),
            ("asks_definition", -1.0),
        ],
    ),
    (
        QueryType::Lookup,
        &[
            ("bias", -2.2),
            ("wh_none", 3.0),
            ("identifiers", 1.5),
            ("code", 1.0),
            ("function_words", -6.0),
            ("yes_no", -2.0),
            ("imperative", -1.5),
            ("asks_procedure", -2.0),
            ("greeting", -4.0),
            ("follow_up", -3.0),
            ("open_pronouns", -2.0),
            ("contrasts", -4.0),
            ("aggregates", -1.0),
            ("words beyond 8", -1.0),
        ],
    ),
    (
        QueryType::Conversation,
        &[
            ("bias", -4.0),
            ("greeting", 5.0),
            ("follow_up", 5.2),
            ("open_pronouns", 4.5),
            ("prior", 1.0),
            ("short_turn", 2.0),
            ("turns", 0.5),
            ("first_person", 0.4),
            ("second_person", 0.4),
            ("entities", -1.0),
        ],
    ),
];

const COMPLEXITY: [(&str, f64); 5] =
    [("bias", -2.0), ("nesting", 1.0), ("shared", 3.0), ("alternatives", 3.0), ("words", 1.0)];

pub(super) fn rows() -> [[f64; WIDTH]; QueryType::ALL.len()] {
    let mut rows = [[0.0; WIDTH]; QueryType::ALL.len()];
    for (row, (_, rule)) in rows.iter_mut().zip(RULES) {
        // A test says that every rule names inputs that are there.
        *row = inputs::row(rule.iter().copied()).unwrap_or([0.0; WIDTH]);
    }
    rows
}

pub(super) fn complexity() -> [f64; WIDTH] {
    inputs::row(COMPLEXITY).unwrap_or([0.0; WIDTH])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_name_types_in_order_and_inputs_that_are_there() {
        for ((query_type, rule), expected) in RULES.into_iter().zip(QueryType::ALL) {
            assert_eq!(query_type, expected);
            inputs::row(rule.iter().copied()).unwrap();
        }
        inputs::row(COMPLEXITY).unwrap();
    }
}
