//! What kind of question it is, and whether it needs several passages: two logistic models over the features of
//! stage one, which come trained and go on learning.
//!
//! The types are a multinomial model. Nobody has labelled questions by type, so most of its rows are rules,
//! written as coefficients so that labels that come later can move them; the row of `multi_hop` is trained.
//! Complexity is a binary model of its own, so that learning about types leaves its calibration alone.

mod coefficients;
mod inputs;
mod rules;
mod training;

use std::fmt;
use std::sync::LazyLock;

use burnish_types::QueryFeatures;
use serde::{Deserialize, Serialize};

pub use inputs::TypeInputs;
pub use training::LabelledInputs;

use crate::features::{Values, feature_value};
use coefficients::Coefficients;
use inputs::WIDTH;

/// The coefficients that `burnish learn classifier` writes.
const SHIPPED: &str = include_str!("query_type/coefficients.json");

/// No coefficient grows beyond this, whatever it is told.
const LARGEST: f64 = 20.0;

/// What kind of question a query is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueryType {
    /// One fact: `Who wrote Faust?`.
    Factoid,
    /// What something is or means: `What is an idempotent operation?`.
    Definition,
    /// Two or more things side by side: `Is the Nile longer than the Amazon?`.
    Comparison,
    /// How to do something: `How do I rotate the key?`.
    Procedure,
    /// A fact about something that must itself be found first: `Where was the author of Faust born?`.
    MultiHop,
    /// A count, a sum or a complete list: `List all suppliers of 2023.`.
    Aggregation,
    /// A thing by its name or code, in key words: `invoice RE-2041`.
    Lookup,
    /// A turn that lives from what was said before: `And the second one?`.
    Conversation,
}

impl QueryType {
    /// All types, in the order of the probabilities.
    pub const ALL: [Self; 8] = [
        Self::Factoid,
        Self::Definition,
        Self::Comparison,
        Self::Procedure,
        Self::MultiHop,
        Self::Aggregation,
        Self::Lookup,
        Self::Conversation,
    ];

    /// Its name, as in the feature `type_…`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Factoid => "factoid",
            Self::Definition => "definition",
            Self::Comparison => "comparison",
            Self::Procedure => "procedure",
            Self::MultiHop => "multi_hop",
            Self::Aggregation => "aggregation",
            Self::Lookup => "lookup",
            Self::Conversation => "conversation",
        }
    }

    /// The type of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|query_type| query_type.name() == name)
    }

    /// Whether a question of this type needs several passages; `None` where the type does not tell.
    pub fn needs_several(self) -> Option<bool> {
        match self {
            Self::Comparison | Self::MultiHop => Some(true),
            Self::Factoid | Self::Definition | Self::Lookup => Some(false),
            Self::Procedure | Self::Aggregation | Self::Conversation => None,
        }
    }

    /// The most probable type by the features `type_…`; among equals the first.
    pub fn of(features: &QueryFeatures) -> Self {
        likeliest(&Self::ALL.map(|query_type| feature_value(features, &feature_name(query_type))))
    }
}

impl fmt::Display for QueryType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What became known of a question later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeLabel {
    /// Its type; this also labels its complexity, where the type tells.
    Type(QueryType),
    /// Whether it needed several passages, its type unknown.
    Several(bool),
}

/// What the model says of a question.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TypePrediction {
    /// A probability for each of [`QueryType::ALL`]; they add up to 1.
    pub types: [f64; QueryType::ALL.len()],
    /// The probability that it needs several passages.
    pub complexity: f64,
}

impl TypePrediction {
    /// The most probable type; among equals the first.
    pub fn likeliest(&self) -> QueryType {
        likeliest(&self.types)
    }
}

/// Both models. As JSON it is a table of coefficients by type and input, so that one of an earlier list of inputs
/// still reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Coefficients", into = "Coefficients")]
pub struct QueryTypeModel {
    types: [[f64; WIDTH]; QueryType::ALL.len()],
    complexity: [f64; WIDTH],
}

impl QueryTypeModel {
    /// The model that is compiled in.
    pub fn shipped() -> &'static Self {
        // A constant that is only parsed once: a test says that it parses.
        static MODEL: LazyLock<QueryTypeModel> =
            LazyLock::new(|| serde_json::from_str(SHIPPED).unwrap_or_else(|_| QueryTypeModel::rules()));
        &MODEL
    }

    /// The rules alone, before anything is trained.
    pub fn rules() -> Self {
        Self { types: rules::rows(), complexity: rules::complexity() }
    }

    /// What it says of a question.
    pub fn predict(&self, inputs: &TypeInputs) -> TypePrediction {
        let mut types = self.types.map(|row| inputs.dot(&row));
        softmax(&mut types);
        TypePrediction { types, complexity: sigmoid(inputs.dot(&self.complexity)) }
    }

    /// Puts the types and the complexity among the features, or replaces those that are there.
    pub fn annotate(&self, features: &mut QueryFeatures) {
        let prediction = self.predict(&TypeInputs::new(features));
        let mut values = Values(std::mem::take(&mut features.values));
        for (query_type, probability) in QueryType::ALL.into_iter().zip(prediction.types) {
            values.put(&feature_name(query_type), probability);
        }
        values.put("complexity", prediction.complexity);
        features.values = values.0;
    }

    /// One step of stochastic gradient descent on the log loss, for a label that came later. The step is
    /// normalised by the length of the inputs: at `rate` 1 it halves the error at least, at 0 it does nothing.
    /// Coefficients stay within ±20, whatever comes.
    pub fn update(&mut self, features: &QueryFeatures, label: TypeLabel, rate: f64) {
        self.update_inputs(&TypeInputs::new(features), label, rate);
    }

    fn update_inputs(&mut self, inputs: &TypeInputs, label: TypeLabel, rate: f64) {
        let prediction = self.predict(inputs);
        let targets = targets(&prediction, label);
        let step = if rate.is_finite() { rate.clamp(0.0, 1.0) * 4.0 / inputs.squared_length() } else { 0.0 };
        for (row, (target, probability)) in
            self.types.iter_mut().zip(targets.into_iter().zip(prediction.types))
        {
            move_row(row, inputs, step * (target - probability));
        }
        let several = match label {
            TypeLabel::Type(query_type) => query_type.needs_several(),
            TypeLabel::Several(several) => Some(several),
        };
        if let Some(several) = several {
            move_row(&mut self.complexity, inputs, step * (f64::from(several) - prediction.complexity));
        }
    }
}

/// The probabilities that the label leaves: all on the type it names, or those of the types it allows in
/// proportion (Jin & Ghahramani 2002, "Learning with Multiple Labels", section 3.1).
fn targets(prediction: &TypePrediction, label: TypeLabel) -> [f64; QueryType::ALL.len()] {
    let allowed = |query_type: QueryType| match label {
        TypeLabel::Type(named) => query_type == named,
        TypeLabel::Several(several) => query_type.needs_several().is_none_or(|needs| needs == several),
    };
    let mut targets = prediction.types;
    for (target, query_type) in targets.iter_mut().zip(QueryType::ALL) {
        *target = if allowed(query_type) { target.max(1e-12) } else { 0.0 };
    }
    let total: f64 = targets.iter().sum();
    targets.map(|target| target / total)
}

fn move_row(row: &mut [f64; WIDTH], inputs: &TypeInputs, by: f64) {
    for (coefficient, input) in row.iter_mut().zip(inputs.as_slice()) {
        *coefficient = (*coefficient + by * input).clamp(-LARGEST, LARGEST);
    }
}

fn likeliest(probabilities: &[f64; QueryType::ALL.len()]) -> QueryType {
    let pairs = QueryType::ALL.into_iter().zip(probabilities).rev();
    pairs.max_by(|a, b| a.1.total_cmp(b.1)).map_or(QueryType::Factoid, |(query_type, _)| query_type)
}

fn feature_name(query_type: QueryType) -> String {
    format!("type_{}", query_type.name())
}

fn softmax(scores: &mut [f64]) {
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    for score in scores.iter_mut() {
        *score = (*score - largest).exp();
    }
    let total: f64 = scores.iter().sum();
    for score in scores {
        *score /= total;
    }
}

fn sigmoid(score: f64) -> f64 {
    1.0 / (1.0 + (-score).exp())
}

#[cfg(test)]
mod tests;
