//! Which features the models of the query's type look at, and on which scale.
//!
//! Nothing that says where a question was collected rather than what it asks: no final mark, no capitals by
//! themselves, no statistics of a corpus.

use burnish_types::QueryFeatures;

use crate::feature_value;

pub(super) const WIDTH: usize = 1 + INPUTS.len();

/// What is made of a feature's value before a coefficient meets it; the result is clipped to [-3, 3].
#[derive(Clone, Copy)]
enum Shape {
    /// As it is.
    Plain,
    /// Its logarithm `ln((1 + x) / (1 + c))`, which is 0 at `c`.
    Log(f64),
    /// How far it is beyond a bound, in units of that bound.
    Beyond(f64),
    /// The difference from a middle.
    From(f64),
}

use Shape::{Beyond, From, Log, Plain};

const INPUTS: [(&str, &str, Shape); 74] = [
    ("words", "words", Log(11.0)),
    ("words beyond 8", "words", Beyond(8.0)),
    ("words beyond 16", "words", Beyond(16.0)),
    ("words beyond 28", "words", Beyond(28.0)),
    ("wh_what", "wh_what", Plain),
    ("wh_which", "wh_which", Plain),
    ("wh_who", "wh_who", Plain),
    ("wh_when", "wh_when", Plain),
    ("wh_where", "wh_where", Plain),
    ("wh_how", "wh_how", Plain),
    ("wh_why", "wh_why", Plain),
    ("wh_first", "wh_first", Plain),
    ("wh_none", "wh_none", Plain),
    ("wh_place", "wh_place", Plain),
    ("yes_no", "yes_no", Plain),
    ("imperative", "imperative", Plain),
    ("numbers", "numbers", Plain),
    ("years", "years", Plain),
    ("quotes", "quotes", Plain),
    ("code", "code", Plain),
    ("identifiers", "identifiers", Plain),
    ("entities", "entities", Log(0.0)),
    ("entity_words", "entity_words", Log(0.0)),
    ("both", "both", Plain),
    ("same", "same", Plain),
    ("than", "than", Plain),
    ("or", "or", Plain),
    ("and", "and", Plain),
    ("contrasts", "contrasts", Plain),
    ("comparatives", "comparatives", Plain),
    ("superlatives", "superlatives", Plain),
    ("aggregates", "aggregates", Plain),
    ("shared", "shared", Plain),
    ("alternatives", "alternatives", Plain),
    ("relatives", "relatives", Plain),
    ("of", "of", Plain),
    ("by", "by", Plain),
    ("to", "to", Plain),
    ("also", "also", Plain),
    ("what", "what", Plain),
    ("whom", "whom", Plain),
    ("whose", "whose", Plain),
    ("possessives", "possessives", Plain),
    ("nesting", "nesting", Plain),
    ("roles", "roles", Plain),
    ("described_roles", "described_roles", Plain),
    ("role_links", "role_links", Plain),
    ("definites", "definites", Plain),
    ("indefinites", "indefinites", Plain),
    ("pointing", "pointing", Plain),
    ("third_person", "third_person", Plain),
    ("first_person", "first_person", Plain),
    ("second_person", "second_person", Plain),
    ("prepositions", "prepositions", Plain),
    ("participles", "participles", Plain),
    ("gerunds", "gerunds", Plain),
    ("adverbs", "adverbs", Plain),
    ("being_present", "being_present", Plain),
    ("being_past", "being_past", Plain),
    ("do_support", "do_support", Plain),
    ("having", "having", Plain),
    ("naming", "naming", Plain),
    ("clauses", "clauses", Plain),
    ("word_length", "word_length", From(4.8)),
    ("how_many", "how_many", Plain),
    ("asks_definition", "asks_definition", Plain),
    ("asks_procedure", "asks_procedure", Plain),
    ("greeting", "greeting", Plain),
    ("follow_up", "follow_up", Plain),
    ("prior", "prior", Plain),
    ("open_pronouns", "open_pronouns", Plain),
    ("short_turn", "short_turn", Plain),
    ("function_words", "function_words", Plain),
    ("turns", "turns", Log(0.0)),
];

/// What the models see of a question: a bias of 1, then each input within [-3, 3].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TypeInputs([f64; WIDTH]);

impl TypeInputs {
    /// The inputs of a question's features; only those of stage one are looked at.
    pub fn new(features: &QueryFeatures) -> Self {
        let mut inputs = [1.0; WIDTH];
        for (input, (_, feature, shape)) in inputs.iter_mut().skip(1).zip(INPUTS) {
            let value = feature_value(features, feature);
            let shaped = match shape {
                Plain => value,
                Log(middle) => (value.max(0.0).ln_1p()) - f64::ln_1p(middle),
                Beyond(bound) => (value / bound - 1.0).max(0.0),
                From(middle) => value - middle,
            };
            *input = shaped.clamp(-3.0, 3.0);
        }
        Self(inputs)
    }

    pub(super) fn as_slice(&self) -> &[f64; WIDTH] {
        &self.0
    }

    pub(super) fn dot(&self, row: &[f64; WIDTH]) -> f64 {
        self.0.iter().zip(row).map(|(input, coefficient)| input * coefficient).sum()
    }

    pub(super) fn squared_length(&self) -> f64 {
        self.0.iter().map(|input| input * input).sum()
    }
}

/// The names of a row's coefficients, the bias first.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    std::iter::once("bias").chain(INPUTS.iter().map(|(name, _, _)| *name))
}

/// A row from coefficients by name; an unknown name is given back.
pub(super) fn row<'a>(
    coefficients: impl IntoIterator<Item = (&'a str, f64)>,
) -> Result<[f64; WIDTH], String> {
    let mut row = [0.0; WIDTH];
    for (name, value) in coefficients {
        let place = names().position(|known| known == name).ok_or_else(|| name.to_owned())?;
        row[place] = value;
    }
    Ok(row)
}
