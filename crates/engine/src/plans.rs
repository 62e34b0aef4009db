//! Plans by themselves: what would be done for a question, and who should answer one whose passages the caller has found.

use std::sync::Arc;

use burnish_learning::query_features;
use burnish_types::{Answerer, Decision, LexicalIndex, Query, RequestId, Strategy};

use crate::combinations::{GIVEN, Given};
use crate::prompts::is_of_prompt;
use crate::{Engine, EngineError, Pinned, context};

/// A question for which the caller does everything but choosing who answers.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteRequest {
    /// The question, with what is wanted of the answer.
    pub query: Query,
    /// Tokens of the prompt, where they are known.
    pub input_tokens: Option<u64>,
    /// The models that may answer; none stands for all that are chosen from.
    pub models: Vec<String>,
}

/// Whether `decision` is about nothing but who should answer.
pub(crate) fn is_of_route(decision: &Decision) -> bool {
    !context::is_of_context(decision)
        && !is_of_prompt(decision)
        && decision.choice().is_some_and(|choice| choice.plan.strategy.as_str() == GIVEN)
}

impl Engine {
    /// What would be done for a question now, recording and counting nothing.
    ///
    /// # Errors
    /// If nothing is asked, or something is pinned that there is not.
    pub async fn plan(self: &Arc<Self>, query: Query, pinned: Pinned) -> Result<Decision, EngineError> {
        check(&query)?;
        self.check_pinned(&pinned)?;
        self.blocking(move |engine| {
            let mut features = query_features(&query, &engine.corpus.lexical.term_idf(&query.text)?);
            let looks = pinned.strategy.is_none()
                && (engine.prompts.are_routed()
                    || engine.planner.wants_a_look(&query, &features, &engine.learned));
            let embedding = if looks { engine.look_for_features(&query, &mut features) } else { None };
            let sketch = embedding.as_ref().and_then(|embedding| engine.sketches.of(embedding));
            let id = RequestId::from_parts(engine.clock.now().0, fastrand::u128(..));
            let known = engine.tells(&pinned).then(|| engine.prompts.characteristics(&query, &features));
            let circumstances = engine.circumstances(
                id,
                &query,
                &pinned,
                features,
                sketch,
                (embedding.as_deref(), known.as_ref()),
            );
            engine.planner.rehearse(&query, circumstances, &pinned, &engine.learned)
        })
        .await
    }

    /// Chooses who should answer, and records that, so that feedback can name it.
    ///
    /// # Errors
    /// If nothing is asked, there is no such model, or none that has a price where there is a budget.
    pub async fn route(self: &Arc<Self>, request: RouteRequest) -> Result<Decision, EngineError> {
        let RouteRequest { query, input_tokens, models } = request;
        check(&query)?;
        let given = Given { input_tokens, models: self.routable(&query, &models)? };
        let (decision, recorded) = self
            .blocking(move |engine| {
                let features = query_features(&query, &engine.corpus.lexical.term_idf(&query.text)?);
                let id = RequestId::from_parts(engine.clock.now().0, fastrand::u128(..));
                let mut pinned = Pinned::default();
                if let [only] = given.models.as_slice() {
                    // There is nothing to choose, and nothing to be learned of it where there is no other.
                    pinned.strategy = Some(Strategy::new(GIVEN));
                    pinned.answerer = Some(only.clone());
                }
                let sketch = match engine.sketches.are_known() {
                    true => engine.sketches.of(&engine.query_embedding(&query, &mut Vec::new())?),
                    false => None,
                };
                let mut circumstances =
                    engine.circumstances(id, &query, &pinned, features, sketch, (None, None));
                circumstances.asked.given = Some(given);
                // Whoever asks the model pays for it, and not from the budgets here.
                circumstances.asked.counts_money = query.budget.is_some();
                (circumstances.budget, circumstances.worth_of_a_dollar) = (query.budget, 0.0);
                let decision = engine.planner.decide(&query, circumstances, &pinned, &engine.learned)?;
                let recorded = engine.store.record_decision(decision.clone());
                Ok((decision, recorded))
            })
            .await?;
        recorded.written.await?;
        Ok(decision)
    }

    /// The models that may answer: those named, or all that are chosen from.
    fn routable(&self, query: &Query, named: &[String]) -> Result<Vec<Answerer>, EngineError> {
        let all = self.planner.combinations().answerers();
        let known: Vec<&Answerer> = all.iter().filter(|known| self.model_of(known).is_some()).collect();
        let mut may: Vec<Answerer> = Vec::new();
        for name in named {
            let answerer = Answerer::Model(name.clone());
            if !known.contains(&&answerer) {
                return Err(EngineError::UnknownModel { name: name.clone(), known: self.models() });
            }
            if !may.contains(&answerer) {
                may.push(answerer);
            }
        }
        if named.is_empty() {
            may = known.into_iter().cloned().collect();
        }
        if may.is_empty() {
            let reason = "no language model is configured to choose from: add [[models]] to the settings";
            return Err(EngineError::InvalidQuery(reason.to_owned()));
        }
        let priced =
            |answerer: &Answerer| self.model_of(answerer).is_some_and(|model| model.price().is_some());
        if query.budget.is_some() && !may.iter().any(priced) {
            let reason = "there is a budget, and none of the models has a price: set input_usd_per_million and \
                          output_usd_per_million";
            return Err(EngineError::InvalidQuery(reason.to_owned()));
        }
        Ok(may)
    }
}

fn check(query: &Query) -> Result<(), EngineError> {
    if query.text.trim().is_empty() {
        return Err(EngineError::InvalidQuery("the query is empty: say what is asked".to_owned()));
    }
    Ok(())
}
