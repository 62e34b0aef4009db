//! Prompts by themselves: for callers who find passages and ask models themselves.

use std::sync::Arc;

use burnish_types::{
    Answer, Answerer, Assignment, Candidate, Characteristics, Decision, Money, Plan, Prediction, PromptPlan,
    Query, Recorded, RequestId, Strategy,
};

use super::{RenderRequest, RenderedPrompt};
use crate::combinations::GIVEN;
use burnish_context::Target;

use crate::context::{Brought, Context, ContextRequest, Shown};
use crate::{ContextOrder, Engine, EngineError};

/// The policy of a decision that is about nothing but a prompt.
const POLICY: &str = "prompt";

/// Whether `decision` is about nothing but a prompt.
pub(crate) fn is_of_prompt(decision: &Decision) -> bool {
    decision.policy == POLICY
}

/// A question with passages, for which a prompt is wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct PromptRequest {
    /// The question, what was said before it, and who asks.
    pub query: Query,
    /// The passages, best first.
    pub passages: Vec<Brought>,
    /// The most tokens of them; all where not said.
    pub context_tokens: Option<u32>,
}

/// In what a variation differs from the primary prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VariationKind {
    /// Where things are said.
    Order,
    /// How much is asked for.
    Detail,
    /// That it shows answers to follow.
    Examples,
    /// How the answer is worked out.
    Reasoning,
    /// That it is a version which is being tried.
    Version,
}

impl VariationKind {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Detail => "detail",
            Self::Examples => "examples",
            Self::Reasoning => "reasoning",
            Self::Version => "version",
        }
    }
}

/// A prompt, and others that are worth trying.
#[derive(Clone, Debug, PartialEq)]
pub struct OptimizedPrompt {
    /// What was decided; its id is the key for feedback on the primary prompt.
    pub decision: Decision,
    /// The prompt to use.
    pub primary: RenderedPrompt,
    /// Others, with in what they differ.
    pub variations: Vec<(VariationKind, RenderedPrompt)>,
}

impl Engine {
    /// Makes a prompt for a question and its passages, and records that, so that feedback can name it.
    ///
    /// # Errors
    /// If nothing is asked, or a stored passage is not there.
    pub async fn optimize_prompt(
        self: &Arc<Self>,
        request: PromptRequest,
    ) -> Result<OptimizedPrompt, EngineError> {
        if request.query.text.trim().is_empty() {
            return Err(EngineError::InvalidQuery("the query is empty: say what is asked".to_owned()));
        }
        let (recorded, optimized) = self.blocking(move |engine| engine.optimize_prompt_now(&request)).await?;
        recorded.written.await?;
        Ok(optimized)
    }

    fn optimize_prompt_now(
        &self,
        request: &PromptRequest,
    ) -> Result<(Recorded, OptimizedPrompt), EngineError> {
        let query = &request.query;
        let id = RequestId::from_parts(self.clock.now().0, fastrand::u128(..));
        self.prompts.look_at_files(self.store.as_ref(), self.clock.now());
        let passages = ContextRequest {
            query: query.clone(),
            passages: request.passages.iter().cloned().map(|passage| (passage, None)).collect(),
            target: Target::default(),
            order: ContextOrder::Rank,
            model: None,
        };
        let evidence = self.brought_as_evidence(&passages)?;
        let tokens = request.context_tokens.unwrap_or(u32::MAX);
        let context = match request.context_tokens {
            Some(_) => self.context(&query.text, &evidence, tokens, 0.0),
            None => Context {
                passages: evidence
                    .iter()
                    .enumerate()
                    .map(|(place, passage)| Shown::whole(place, passage))
                    .collect(),
                ..self.context(&query.text, &evidence, tokens, 0.0)
            },
        };
        let plain = RenderRequest {
            query: query.clone(),
            template: None,
            version: None,
            operations: None,
            draft: None,
        };
        let mut primary = self.rendered_prompt(&plain, &context)?;
        let mut decision = self.prompt_decision(id, query, &primary.prompted.prompt)?;
        self.prompts.assign(&mut decision, &primary.prompted.characteristics.topics);
        if let Some(Assignment { version, challenger: true, .. }) = &decision.experiment {
            let PromptPlan { template, operations, .. } = primary.prompted.prompt.clone();
            let request = RenderRequest {
                template: Some(template),
                version: Some(version.clone()),
                operations: Some(operations),
                ..plain.clone()
            };
            primary = self.rendered_prompt(&request, &context)?;
        }
        let variations = self.variations(&plain, &primary, &context)?;
        let recorded = self.store.record_decision(decision.clone());
        let answer = Answer {
            found: true,
            // The caller's model answers, and its price is not known.
            cost: None,
            prompted: Some(primary.prompted.clone()),
            ..Answer::of_passages(Vec::new(), self.clock.now())
        };
        // Under way once called; whoever reads the decision waits for it.
        drop(self.store.record_answer(id, answer));
        Ok((recorded, OptimizedPrompt { decision, primary, variations }))
    }

    /// What differs from the primary prompt in one thing, where the question makes that worth trying.
    fn variations(
        &self,
        plain: &RenderRequest,
        primary: &RenderedPrompt,
        context: &Context<'_>,
    ) -> Result<Vec<(VariationKind, RenderedPrompt)>, EngineError> {
        let prompt = &primary.prompted.prompt;
        let known: &Characteristics = &primary.prompted.characteristics;
        let has = |name: &str| prompt.operations.iter().any(|known| known == name);
        let complex = known.complexity > self.settings.prompts.detail_above;
        let candidates = [
            (VariationKind::Order, "restate", true),
            (VariationKind::Detail, "detailed", complex && !has("brief")),
            (VariationKind::Examples, "examples", self.prompts.wants_examples()),
            (VariationKind::Reasoning, "scaffold", complex),
        ];
        let mut variations = Vec::new();
        let base = RenderRequest {
            template: Some(prompt.template.clone()),
            version: Some(prompt.version.clone()),
            ..plain.clone()
        };
        for (kind, name, worth) in candidates {
            if !worth || has(name) {
                continue;
            }
            let operations = prompt.operations.iter().cloned().chain([name.to_owned()]).collect();
            let rendered = self
                .rendered_prompt(&RenderRequest { operations: Some(operations), ..base.clone() }, context)?;
            if rendered.messages != primary.messages {
                variations.push((kind, rendered));
            }
        }
        for version in self.prompts.challengers_of(&prompt.template) {
            if version != prompt.version {
                let request = RenderRequest {
                    version: Some(version),
                    operations: Some(prompt.operations.clone()),
                    ..base.clone()
                };
                variations.push((VariationKind::Version, self.rendered_prompt(&request, context)?));
            }
        }
        Ok(variations)
    }

    fn prompt_decision(
        &self,
        id: RequestId,
        query: &Query,
        prompt: &PromptPlan,
    ) -> Result<Decision, EngineError> {
        let plan = Plan {
            strategy: Strategy::new(GIVEN),
            depth: 0,
            context_tokens: 0,
            reduction: 0.0,
            answerer: Answerer::Passages,
            parameters: None,
            prompt: Some(prompt.clone()),
        };
        let prediction = Prediction {
            quality: 0.5,
            quality_deviation: 0.5,
            added: 0.0,
            latency_ms: 0.0,
            cost: Money::ZERO,
            outcomes: 0,
        };
        Ok(Decision {
            id,
            at: self.clock.now(),
            query: query.text.clone(),
            user: query.user.clone(),
            features: self.features_of(query)?,
            sketch: None,
            policy: POLICY.to_owned(),
            candidates: vec![Candidate { plan, prediction, propensity: 1.0 }],
            chosen: 0,
            reason: format!("`{}`, made for questions like this one", prompt.template),
            charge: 0.0,
            cache: None,
            experiment: None,
        })
    }
}
