//! How a language model is told what to do: the prompt that was planned, and the one that was sent.

use serde::{Deserialize, Serialize};

/// The prompt of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PromptPlan {
    /// The template's id.
    pub template: String,
    /// The template's version, by its content.
    pub version: String,
    /// The operations that adapt it to the question, by their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<String>,
    /// Whether it was chosen by what the question is like, and not by what was learned.
    #[serde(default, skip_serializing_if = "is_false")]
    pub by_rule: bool,
}

/// In which form an answer is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerFormat {
    /// Flowing text.
    #[default]
    Paragraph,
    /// A list.
    Bullets,
    /// Numbered steps.
    Steps,
    /// A table.
    Table,
    /// JSON.
    Json,
}

impl AnswerFormat {
    /// All of them, with the names that requests use.
    pub const NAMES: [(&'static str, Self); 5] = [
        ("paragraph", Self::Paragraph),
        ("bullets", Self::Bullets),
        ("steps", Self::Steps),
        ("table", Self::Table),
        ("json", Self::Json),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, format)| *format == self).map_or("paragraph", |(name, _)| name)
    }
}

/// What a question and its evidence are like, as far as it decides how a model is told to answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Characteristics {
    /// How likely the answer takes several passages, in [0, 1].
    pub complexity: f64,
    /// How much the evidence says in few words, in [0, 1].
    pub density: f64,
    /// The share of the passages that contradict another one, in [0, 1].
    pub conflict: f64,
    /// How old the newest year is that the evidence names, in [0, 1]: 1 is ten years or more; 0, too, where it names none.
    pub age: f64,
    /// How well whoever asks knows the field, in [0, 1]; 0.5 where that is not known.
    pub expertise: f64,
    /// How long an answer is wanted, in [0, 1]; 0.5 where the question does not say.
    pub length: f64,
    /// The form that is wanted, where somebody says so.
    pub format: Option<AnswerFormat>,
    /// The language of whoever asks, as an English name, where it is not English and known with some certainty.
    pub language: Option<String>,
    /// What the evidence consists of: `text`, `table`, `code`.
    pub modalities: Vec<String>,
    /// What the question is of, by which templates say when they apply: a query type, `summary`, `table`, `code`.
    pub topics: Vec<String>,
}

/// The prompt that a model was sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prompted {
    /// The template, its version, and all operations.
    pub prompt: PromptPlan,
    /// What they were chosen by.
    pub characteristics: Characteristics,
    /// About how many tokens it has beside passages, examples and what was said.
    pub tokens: u32,
    /// The numbers of the passages that seem to tell the model what to do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suspicious: Vec<u32>,
}

/// That a request was part of an experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Assignment {
    /// The experiment's id.
    pub experiment: String,
    /// The template's version that it was assigned.
    pub version: String,
    /// Whether that is a challenger.
    pub challenger: bool,
    /// The probability with which it was going to be.
    pub propensity: f64,
    /// The probability with which it was going to be assigned the champion.
    pub champion: f64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands in a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}
