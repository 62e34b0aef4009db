//! What models are told, as it goes over the wire.

use burnish_types as inside;
use serde::Serialize;
use utoipa::ToSchema;

/// A template with the operations that adapt it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Prompt {
    /// The template's id.
    pub(crate) template: String,
    /// Its version, by its content.
    pub(crate) version: String,
    /// By their names.
    pub(crate) operations: Vec<String>,
    /// Whether the template was chosen by what the question is like, and not by what was learned.
    pub(crate) by_rule: bool,
}

impl From<&inside::PromptPlan> for Prompt {
    fn from(prompt: &inside::PromptPlan) -> Self {
        let inside::PromptPlan { template, version, operations, by_rule } = prompt.clone();
        Self { template, version, operations, by_rule }
    }
}

/// What a question and its evidence are like.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Characteristics {
    /// How likely the answer takes several passages, in [0, 1].
    complexity: f64,
    /// How much the evidence says in few words, in [0, 1].
    density: f64,
    /// The share of the passages that contradict another one.
    conflict: f64,
    /// How old the newest year is that the evidence names, in [0, 1]: 1 is ten years or more.
    age: f64,
    /// How well whoever asks knows the field, in [0, 1]; 0.5 where that is not known.
    expertise: f64,
    /// How long an answer is wanted, in [0, 1]; 0.5 where nobody says.
    length: f64,
    /// `paragraph`, `bullets`, `steps`, `table` or `json`, where somebody says so.
    format: Option<&'static str>,
    /// Where it is not English and known with some certainty.
    language: Option<String>,
    /// What the evidence consists of: `text`, `table`, `code`.
    modalities: Vec<String>,
    /// What the question is of: a query type, `summary`, `table`, `code`.
    topics: Vec<String>,
}

impl From<&inside::Characteristics> for Characteristics {
    fn from(known: &inside::Characteristics) -> Self {
        Self {
            complexity: known.complexity,
            density: known.density,
            conflict: known.conflict,
            age: known.age,
            expertise: known.expertise,
            length: known.length,
            format: known.format.map(inside::AnswerFormat::name),
            language: known.language.clone(),
            modalities: known.modalities.clone(),
            topics: known.topics.clone(),
        }
    }
}

/// What a model was told.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Prompted {
    #[serde(flatten)]
    pub(crate) prompt: Prompt,
    pub(crate) characteristics: Characteristics,
    /// About how many tokens it has beside passages, examples and what was said.
    pub(crate) tokens: u32,
    /// The numbers of the passages that seem to tell the model what to do.
    pub(crate) suspicious: Vec<u32>,
}

impl From<&inside::Prompted> for Prompted {
    fn from(prompted: &inside::Prompted) -> Self {
        Self {
            prompt: Prompt::from(&prompted.prompt),
            characteristics: Characteristics::from(&prompted.characteristics),
            tokens: prompted.tokens,
            suspicious: prompted.suspicious.clone(),
        }
    }
}

/// That a request was part of an experiment.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Assignment {
    /// The experiment's id.
    experiment: String,
    /// The version that it was assigned.
    version: String,
    /// `champion` or `challenger`.
    arm: &'static str,
    /// The probability with which it was going to be.
    propensity: f64,
}

impl From<&inside::Assignment> for Assignment {
    fn from(assignment: &inside::Assignment) -> Self {
        let inside::Assignment { experiment, version, challenger, propensity, .. } = assignment.clone();
        Self { experiment, version, arm: if challenger { "challenger" } else { "champion" }, propensity }
    }
}

/// One message of a prompt.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct PromptMessage {
    /// `system`, `user` or `assistant`.
    role: &'static str,
    content: String,
}

impl From<&inside::Message> for PromptMessage {
    fn from(message: &inside::Message) -> Self {
        let role = match message.role {
            inside::Role::System => "system",
            inside::Role::User => "user",
            inside::Role::Assistant => "assistant",
        };
        Self { role, content: message.content.clone() }
    }
}
