//! What a question and its evidence are like, and which operations that asks for.

mod evidence;
mod words;

use burnish_types::{AnswerFormat, Characteristics};
use serde::{Deserialize, Serialize};

pub use evidence::{Source, of_evidence};
pub use words::{Asking, of_question};

/// From where on a characteristic asks for an operation; each in [0, 1].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    /// More complex questions are worked out first.
    pub complexity: f64,
    /// Denser evidence is put in order.
    pub density: f64,
    /// So is evidence of which a larger share contradicts itself,
    pub conflict: f64,
    /// or which is older.
    pub age: f64,
    /// Whoever knows the field better is told more of it.
    pub expert: f64,
    /// Whoever knows it less is told in plain words.
    pub novice: f64,
    /// Answers that are wanted longer than this go into detail.
    pub detailed: f64,
    /// Those that are wanted shorter than this are brief.
    pub brief: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            complexity: 0.7,
            density: 0.8,
            conflict: 0.3,
            age: 0.8,
            expert: 0.8,
            novice: 0.3,
            detailed: 0.7,
            brief: 0.3,
        }
    }
}

/// The operations that these characteristics ask for, by name, in the order of their slots.
pub fn operations_for(known: &Characteristics, thresholds: &Thresholds, examples: bool) -> Vec<String> {
    let Thresholds { complexity, density, conflict, age, expert, novice, detailed, brief } = *thresholds;
    let asked = [
        (known.complexity > complexity).then_some("scaffold"),
        (known.density > density || known.conflict > conflict || known.age > age).then_some("organise"),
        (known.expertise > expert).then_some("deepen"),
        (known.expertise < novice).then_some("simplify"),
        known.format.map(AnswerFormat::name),
        (known.length > detailed).then_some("detailed"),
        (known.length < brief).then_some("brief"),
        known.language.is_some().then_some("language"),
        examples.then_some("examples"),
    ];
    asked.into_iter().flatten().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
