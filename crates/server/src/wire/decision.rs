//! Plans, what was expected of them, and what became of them, as they go over the wire.

use std::collections::BTreeMap;

use burnish_engine::Frontier;
use burnish_types as inside;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Assignment, Prompt, dollars, rfc3339};

/// What is done for a question.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Plan {
    /// How passages are found.
    pub(crate) strategy: String,
    /// How many passages are found.
    pub(crate) depth: usize,
    /// The most tokens of evidence that the answerer is given.
    pub(crate) context_tokens: u32,
    /// The share of it that a language model is not shown, as far as nothing is lost by it.
    pub(crate) reduction: f64,
    /// A model's name, `extractive`, or `passages` where nobody writes.
    pub(crate) answerer: String,
    /// The most tokens that a model is told to write, where the caller does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_tokens: Option<u32>,
    /// The temperature that it is told, where the caller does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) temperature: Option<f32>,
    /// What a model is told, where one is shown passages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) prompt: Option<Prompt>,
}

impl From<&inside::Plan> for Plan {
    fn from(plan: &inside::Plan) -> Self {
        Self {
            strategy: plan.strategy.to_string(),
            depth: plan.depth,
            context_tokens: plan.context_tokens,
            reduction: plan.reduction,
            answerer: plan.answerer.name().to_owned(),
            max_tokens: plan.parameters.map(|parameters| parameters.max_tokens),
            temperature: plan.parameters.map(|parameters| parameters.temperature),
            prompt: plan.prompt.as_ref().map(Prompt::from),
        }
    }
}

/// What was expected of a plan.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(crate) struct Prediction {
    /// In [0, 1].
    pub(crate) quality: f64,
    /// The standard deviation of that estimate.
    pub(crate) quality_deviation: f64,
    /// What of it depth, reduction, answerer and what the question is about are expected to add to the strategy with the first
    /// option of each.
    pub(crate) added: f64,
    /// Of retrieval and of whoever answers, in milliseconds.
    pub(crate) latency_ms: f64,
    /// Of the answer, in US dollars.
    pub(crate) cost_usd: f64,
    /// The outcomes that the estimate rests on.
    pub(crate) outcomes: u64,
}

impl From<&inside::Prediction> for Prediction {
    fn from(prediction: &inside::Prediction) -> Self {
        let inside::Prediction { quality, quality_deviation, added, latency_ms, cost, outcomes } =
            *prediction;
        Self { quality, quality_deviation, added, latency_ms, cost_usd: dollars(cost), outcomes }
    }
}

/// An answer that was kept, and what was decided about it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Cache {
    /// `exact` where the same was asked, `similar` where something like it was.
    pub(crate) hit: &'static str,
    /// Whether it was served.
    pub(crate) served: bool,
    /// Whether it might have been served, and was compared with a fresh answer instead.
    pub(crate) explored: bool,
    /// The request that it was written for.
    pub(crate) request: Option<String>,
    /// The question that it answered.
    pub(crate) question: String,
    /// The cosine of the two questions.
    pub(crate) similarity: f32,
    pub(crate) age_seconds: f64,
    /// How likely it was predicted to be wrong here.
    pub(crate) risk: f64,
    /// The probability with which it was going to be served.
    pub(crate) propensity: f64,
}

impl From<&inside::CacheChoice> for Cache {
    fn from(choice: &inside::CacheChoice) -> Self {
        Self {
            hit: match choice.kind {
                inside::CacheKind::Exact => "exact",
                inside::CacheKind::Similar => "similar",
            },
            served: choice.served,
            explored: !choice.served && choice.propensity > 0.0,
            request: choice.request.map(|request| request.to_string()),
            question: choice.question.clone(),
            similarity: choice.similarity,
            age_seconds: choice.age_ms as f64 / 1_000.0,
            risk: choice.risk,
            propensity: choice.propensity,
        }
    }
}

/// What was chosen for a request, and why: part of each answer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Planned {
    pub(crate) plan: Plan,
    pub(crate) prediction: Prediction,
    /// The probability with which the plan was chosen.
    pub(crate) propensity: f64,
    /// What chose, with its settings.
    pub(crate) policy: String,
    /// Why, in words.
    pub(crate) reason: String,
    /// The kept answer that served, or might have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cache: Option<Cache>,
    /// The experiment with prompts that it was part of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) experiment: Option<Assignment>,
}

impl Planned {
    /// The choice of `decision`, which every recorded decision has.
    pub(crate) fn of(decision: &inside::Decision) -> Option<Self> {
        let choice = decision.choice()?;
        Some(Self {
            plan: Plan::from(&choice.plan),
            prediction: Prediction::from(&choice.prediction),
            propensity: choice.propensity,
            policy: decision.policy.clone(),
            reason: decision.reason.clone(),
            cache: decision.cache.as_ref().map(Cache::from),
            experiment: decision.experiment.as_ref().map(Assignment::from),
        })
    }
}

/// A plan that could have been chosen.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Candidate {
    pub(crate) plan: Plan,
    pub(crate) prediction: Prediction,
    /// The probability with which it was going to be chosen; they add up to 1.
    pub(crate) propensity: f64,
}

/// What could have been chosen. Of many only those are told that might have been, and the front.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Considered {
    pub(crate) candidates: Vec<Candidate>,
    /// The place of the chosen one among them, from 0.
    pub(crate) chosen: usize,
    /// The places of those than which none is expected to be both cheaper and better, cheapest first.
    pub(crate) front: Vec<usize>,
    /// The place of the next cheaper one: the best that takes less than the chosen one.
    pub(crate) next_cheaper: Option<usize>,
    /// The place of the next better one: the cheapest of which more is expected.
    pub(crate) next_better: Option<usize>,
}

impl Considered {
    pub(crate) fn of(decision: &inside::Decision) -> Self {
        let candidate = |candidate: &inside::Candidate| Candidate {
            plan: Plan::from(&candidate.plan),
            prediction: Prediction::from(&candidate.prediction),
            propensity: candidate.propensity,
        };
        let Frontier { front, cheaper, better } = Frontier::of_decision(decision);
        Self {
            candidates: decision.candidates.iter().map(candidate).collect(),
            chosen: decision.chosen,
            front,
            next_cheaper: cheaper,
            next_better: better,
        }
    }
}

/// A choice among candidates, as it was recorded.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Decision {
    pub(crate) id: String,
    /// When it was made, in the form of RFC 3339.
    pub(crate) at: String,
    pub(crate) query: String,
    pub(crate) user: UserEcho,
    /// The version of the features' definitions.
    pub(crate) features_version: u32,
    /// What the planner saw.
    pub(crate) features: BTreeMap<String, f64>,
    pub(crate) policy: String,
    #[serde(flatten)]
    pub(crate) considered: Considered,
    pub(crate) reason: String,
    /// The kept answer that served, or might have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cache: Option<Cache>,
    /// The experiment with prompts that it was part of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) experiment: Option<Assignment>,
}

/// Who asked.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct UserEcho {
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    attributes: BTreeMap<String, String>,
}

impl From<&inside::Decision> for Decision {
    fn from(decision: &inside::Decision) -> Self {
        let inside::UserContext { tenant, user, attributes } = decision.user.clone();
        Self {
            id: decision.id.to_string(),
            at: rfc3339(decision.at),
            query: decision.query.clone(),
            user: UserEcho { tenant, user, attributes },
            features_version: decision.features.version,
            features: decision.features.values.clone(),
            policy: decision.policy.clone(),
            considered: Considered::of(decision),
            reason: decision.reason.clone(),
            cache: decision.cache.as_ref().map(Cache::from),
            experiment: decision.experiment.as_ref().map(Assignment::from),
        }
    }
}

/// What could have answered without the planned model, and what was decided about it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Selective {
    /// `greeting`, or `quotation` of the passages.
    pub(crate) kind: &'static str,
    /// Whether it was served.
    pub(crate) served: bool,
    /// Whether it might have been served, and was compared with the model's answer instead.
    pub(crate) explored: bool,
    /// The likeness of the best sentence to the question.
    pub(crate) support: f32,
    /// How likely it was predicted not to say what the model would.
    pub(crate) risk: f64,
    /// The probability with which it was going to be served.
    pub(crate) propensity: f64,
}

impl From<&inside::SelectiveChoice> for Selective {
    fn from(choice: &inside::SelectiveChoice) -> Self {
        let inside::SelectiveChoice { kind, support, risk, propensity, served } = *choice;
        let kind = match kind {
            inside::SelectiveKind::Greeting => "greeting",
            inside::SelectiveKind::Quotation => "quotation",
        };
        Self { kind, served, explored: !served && propensity > 0.0, support, risk, propensity }
    }
}

/// How long a stage took.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Timing {
    /// `embed`, `plan`, `retrieve` or `generate`.
    pub(crate) stage: &'static str,
    pub(crate) ms: f64,
}

impl From<&inside::StageTiming> for Timing {
    fn from(timing: &inside::StageTiming) -> Self {
        let stage = match timing.stage {
            inside::Stage::Embed => "embed",
            inside::Stage::Plan => "plan",
            inside::Stage::Retrieve => "retrieve",
            inside::Stage::Generate => "generate",
        };
        Self { stage, ms: timing.ms }
    }
}

/// What was said of an answer, in the form in which feedback is given.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(crate) struct Outcome {
    /// When it was said, in the form of RFC 3339.
    pub(crate) at: String,
    /// `up` or `down`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) thumb: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) score: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) chunk: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) correct: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) opened: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cited: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) completed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) asked_again: Option<bool>,
    /// How well the answer is supported by what it cites: the engine's own signal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) supported: Option<f64>,
    /// Whether a quotation would have said what the model's answer says: the engine's own signal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) quotation_agrees: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) comment: Option<String>,
    /// Who reported it, where that was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
}

impl From<&inside::Outcome> for Outcome {
    fn from(outcome: &inside::Outcome) -> Self {
        let said = Self {
            at: rfc3339(outcome.at),
            comment: outcome.comment.clone(),
            user: outcome.user.clone(),
            chunk: outcome.judgement.chunk().map(|chunk| chunk.0),
            ..Self::default()
        };
        match outcome.judgement {
            inside::Judgement::Thumb { up } => Self { thumb: Some(if up { "up" } else { "down" }), ..said },
            inside::Judgement::Score { value } => Self { score: Some(value), ..said },
            inside::Judgement::Passage { correct, .. } => Self { correct: Some(correct), ..said },
            inside::Judgement::Opened { .. } => Self { opened: Some(true), ..said },
            inside::Judgement::Cited { .. } => Self { cited: Some(true), ..said },
            inside::Judgement::Completed { done } => Self { completed: Some(done), ..said },
            inside::Judgement::AskedAgain => Self { asked_again: Some(true), ..said },
            inside::Judgement::Supported { value } => Self { supported: Some(value), ..said },
            inside::Judgement::Compared { agrees, .. } => Self { quotation_agrees: Some(agrees), ..said },
        }
    }
}
