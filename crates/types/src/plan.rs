//! The joint decision for a query: what will be done, what else was possible, and how it was chosen.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Assignment, Money, PromptPlan, QueryFeatures, RequestId, Timestamp, UserContext};

/// The name of a retrieval strategy in the registry.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Strategy(pub String);

impl Strategy {
    /// The strategy called `name`.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who writes the answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answerer {
    /// Nobody: passages only.
    Passages,
    /// The sentences that answer, quoted from the passages.
    Extractive,
    /// A language model, by name.
    Model(String),
}

impl Answerer {
    /// The name of quotation, which no model has.
    pub const EXTRACTIVE: &str = "extractive";

    /// Its name: a model's own, `extractive`, or `passages` where nobody writes.
    pub fn name(&self) -> &str {
        match self {
            Self::Passages => "passages",
            Self::Extractive => Self::EXTRACTIVE,
            Self::Model(name) => name,
        }
    }
}

/// How a language model is to write, where the caller does not say.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameters {
    /// The most tokens to write.
    pub max_tokens: u32,
    /// From 0 (precise) to 2 (free).
    pub temperature: f32,
}

/// Everything that will be done for one query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// How passages are found.
    pub strategy: Strategy,
    /// How many passages are found.
    pub depth: usize,
    /// The most tokens of evidence given to the answerer.
    pub context_tokens: u32,
    /// The share of the evidence that a language model is not shown, in [0, 1), as far as nothing is lost by it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reduction: f64,
    /// Who writes the answer.
    pub answerer: Answerer,
    /// How a language model is to write, where that is left to the planner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Parameters>,
    /// What a language model is told, where one is shown passages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<PromptPlan>,
}

/// What is expected of a plan. Quality lies in [0, 1]; the deviation is of its estimate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Expected quality.
    pub quality: f64,
    /// Standard deviation of that expectation.
    pub quality_deviation: f64,
    /// What of it depth, reduction, answerer and what the question is about are expected to add to what the strategy is worth with
    /// the first option of each.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub added: f64,
    /// Expected latency in milliseconds, of retrieval and of whoever answers.
    pub latency_ms: f64,
    /// Expected cost of the answer.
    #[serde(default, skip_serializing_if = "Money::is_zero")]
    pub cost: Money,
    /// Outcomes that the expectation rests on.
    pub outcomes: u64,
}

/// A plan that could have been chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The plan.
    pub plan: Plan,
    /// What was expected of it.
    pub prediction: Prediction,
    /// The probability with which it was going to be chosen; they add up to 1 over the candidates.
    pub propensity: f64,
}

/// How a kept answer belongs to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheKind {
    /// The same was asked, under the same circumstances.
    Exact,
    /// Something similar was asked.
    Similar,
}

/// An answer that was kept, and what was decided about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CacheChoice {
    /// How it belongs to the request.
    pub kind: CacheKind,
    /// The request that it was written for; records of old name none.
    #[serde(default)]
    pub request: Option<RequestId>,
    /// The question that it answered.
    pub question: String,
    /// The cosine of the two questions' embeddings.
    pub similarity: f32,
    /// How old it was, in milliseconds.
    pub age_ms: u64,
    /// How likely it was predicted to be wrong here, in [0, 1].
    pub risk: f64,
    /// The probability with which it was going to be served; above 0 and not served, it was compared with a fresh one.
    pub propensity: f64,
    /// Whether it was served.
    pub served: bool,
}

/// What a question is about, in a few numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sketch {
    /// Of the directions along which they were measured.
    pub version: u64,
    /// The numbers.
    pub numbers: Vec<f32>,
}

/// A choice among candidates, as it is recorded, explained and replayed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// The request.
    pub id: RequestId,
    /// When it was made.
    pub at: Timestamp,
    /// What was asked.
    pub query: String,
    /// Who asked.
    pub user: UserContext,
    /// What the planner saw.
    pub features: QueryFeatures,
    /// What the question is about, where that helps to tell who answers it best.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sketch: Option<Sketch>,
    /// The policy that chose, with its settings.
    pub policy: String,
    /// What was possible, in the order in which the policy saw it.
    pub candidates: Vec<Candidate>,
    /// The place of the chosen one among them.
    pub chosen: usize,
    /// Why, in words.
    pub reason: String,
    /// What it may have cost at most in quality, where the choice explored: counted against what exploration may
    /// cost, and given back with the outcome.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub charge: f64,
    /// The kept answer that might have served, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheChoice>,
    /// The experiment with prompts that it was part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment: Option<Assignment>,
}

/// Most decisions explore nothing, leave nothing out, and add nothing to their strategy.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands in a reference")]
fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

impl Decision {
    /// The candidate that was chosen.
    pub fn choice(&self) -> Option<&Candidate> {
        self.candidates.get(self.chosen)
    }

    /// The strategies that could have been taken, each with its first candidate and with the probability that it was going to be
    /// taken in whatever combination; the chosen one's place among them.
    pub fn strategies(&self) -> (Vec<(&Candidate, f64)>, usize) {
        let mut strategies: Vec<(&Candidate, f64)> = Vec::new();
        let mut chosen = 0;
        for (place, candidate) in self.candidates.iter().enumerate() {
            let same = |(known, _): &(&Candidate, f64)| known.plan.strategy == candidate.plan.strategy;
            let at = strategies.iter().position(same).unwrap_or(strategies.len());
            match strategies.get_mut(at) {
                Some((_, propensity)) => *propensity += candidate.propensity,
                None => strategies.push((candidate, candidate.propensity)),
            }
            if place == self.chosen {
                chosen = at;
            }
        }
        (strategies, chosen)
    }
}
