//! Writes the answer: by quoting, or by a language model, streaming either way.

use std::sync::Arc;
use std::time::Instant;

use burnish_types::{
    Answer, Answerer, BoxStream, Citation, Decision, Evidence, Judgement, LanguageModel, ModelEvent,
    ModelRequest, ModelStream, Money, Outcome, Query, Recorded, Stage, StageTiming, Usage,
};
use futures_util::{StreamExt, stream};

use crate::caching::{Lookup, Pending, StandIn};
use crate::pipeline::{Retrieved, timing};
use crate::support::support;
use crate::{Engine, EngineError, Pinned, extractive, prompt};

/// How the caller wants a model to write.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sampling {
    /// The most tokens to write.
    pub max_tokens: Option<u32>,
    /// From 0 (precise) to 2 (free).
    pub temperature: Option<f32>,
}

/// An answer that is being written.
pub struct Answering {
    /// What was planned, and why.
    pub decision: Decision,
    /// The passages that it will rest on, best first.
    pub evidence: Vec<Evidence>,
    /// The text, and at last the whole.
    pub events: BoxStream<'static, Result<AnswerEvent, EngineError>>,
}

/// What comes while an answer is written.
#[derive(Clone, Debug, PartialEq)]
pub enum AnswerEvent {
    /// More text.
    Text(String),
    /// The whole answer. It comes last, and only once the decision is durable.
    Done(Box<Answer>),
}

/// Everything that the end of an answer needs.
struct Ending {
    engine: Arc<Engine>,
    decision: Decision,
    recorded: Recorded,
    evidence: Vec<Evidence>,
    /// How many of the passages a model was shown.
    shown: usize,
    /// Whether the plan looked at any document.
    consulted: bool,
    /// Why passages were not found as planned, where they were not.
    degraded: Option<String>,
    timings: Vec<StageTiming>,
    started: Instant,
    /// What the cache keeps of it.
    pending: Option<Box<Pending>>,
}

/// What was written.
struct Written {
    text: String,
    found: bool,
    citations: Vec<Citation>,
    usage: Usage,
    degraded: Option<String>,
    finish_reason: String,
}

impl Engine {
    /// Answers a question from the documents.
    pub async fn answer(
        self: &Arc<Self>,
        query: Query,
        pinned: Pinned,
        sampling: Sampling,
    ) -> Result<Answering, EngineError> {
        let answerer = self.answerer(pinned.answerer.as_ref())?;
        let pending = match self.look_up(&query, answerer, &pinned, sampling).await? {
            Lookup::Hit(answering) => return Ok(*answering),
            Lookup::Miss(pending) => pending,
        };
        let choice = pending.as_ref().and_then(|pending| pending.choice.clone());
        let asked = query.clone();
        let Retrieved { decision, evidence, timings, recorded, degraded } =
            self.retrieve(query, pinned, choice).await?;
        let plan = decision.choice().map(|candidate| candidate.plan.clone());
        let answerer = plan.as_ref().map_or(Answerer::Extractive, |plan| plan.answerer.clone());
        let consulted = plan.as_ref().is_none_or(|plan| self.consults_documents(&plan.strategy));
        let context_tokens = plan.map_or(0, |plan| plan.context_tokens);
        let mut ending = Ending {
            engine: Arc::clone(self),
            decision: decision.clone(),
            recorded,
            evidence: evidence.clone(),
            shown: 0,
            consulted,
            degraded,
            timings,
            started: Instant::now(),
            pending,
        };
        let model = match &answerer {
            Answerer::Model(name) => self.models.iter().find(|model| model.name() == name),
            Answerer::Extractive | Answerer::Passages => None,
        };
        let events = match model {
            Some(model) if !evidence.is_empty() || !consulted => {
                let context =
                    prompt::pack(&evidence, context_tokens, |text| self.embedder.count_tokens(text));
                ending.shown = context.len();
                let request = ModelRequest {
                    messages: match consulted {
                        true => prompt::messages(&asked, context),
                        false => prompt::conversation(&asked),
                    },
                    max_tokens: sampling.max_tokens,
                    temperature: sampling.temperature,
                };
                match start(model.as_ref(), request).await {
                    Ok(stream) => modelled(ending, stream),
                    Err(error) => {
                        if let Some(stand_in) =
                            ending.pending.as_ref().and_then(|pending| self.stand_in(pending))
                        {
                            tracing::warn!(%error, "answering from the cache, since the model does not answer");
                            let evidence = stand_in.answer.evidence.clone();
                            let events = repeated(ending, stand_in, model.name());
                            return Ok(Answering { decision, evidence, events });
                        }
                        tracing::warn!(%error, "answering by quotation, since the model does not answer");
                        let instead = match consulted {
                            true => "this is quoted from the documents",
                            false => "no documents were consulted",
                        };
                        let reason = format!("the model `{}` did not answer; {instead}", model.name());
                        self.quoted(asked.text, ending, Some(reason)).await?
                    }
                }
            }
            Some(_) | None => self.quoted(asked.text, ending, None).await?,
        };
        Ok(Answering { decision, evidence, events })
    }

    async fn quoted(
        self: &Arc<Self>,
        question: String,
        ending: Ending,
        degraded: Option<String>,
    ) -> Result<BoxStream<'static, Result<AnswerEvent, EngineError>>, EngineError> {
        let evidence = ending.evidence.clone();
        let consulted = ending.consulted;
        let quotation = self
            .blocking(move |engine| {
                if !consulted {
                    return Ok(extractive::not_consulted());
                }
                let smallest_support = engine.settings.answer.smallest_support;
                extractive::quote(&question, &evidence, engine.embedder.as_ref(), smallest_support)
            })
            .await?;
        let written = Written {
            text: quotation.text,
            found: quotation.found,
            citations: quotation.citations,
            usage: Usage::default(),
            degraded,
            finish_reason: "stop".to_owned(),
        };
        let pieces: Vec<_> = pieces(&written.text).map(|piece| Ok(AnswerEvent::Text(piece))).collect();
        Ok(Box::pin(stream::iter(pieces).chain(stream::once(finish(ending, written)))))
    }
}

/// Hands out the answer to a similar question in place of one that can't be had, and says so.
fn repeated(
    ending: Ending,
    StandIn { question, answer }: StandIn,
    model: &str,
) -> BoxStream<'static, Result<AnswerEvent, EngineError>> {
    let degraded =
        format!("the model `{model}` did not answer; this is what “{question}” was answered before");
    let written = Written {
        text: answer.text,
        found: answer.found,
        citations: answer.citations,
        usage: Usage::default(),
        degraded: Some(degraded),
        finish_reason: answer.finish_reason,
    };
    let ending = Ending { evidence: answer.evidence, ..ending };
    let text = stream::iter([Ok(AnswerEvent::Text(written.text.clone()))]);
    Box::pin(text.chain(stream::once(finish(ending, written))))
}

/// Starts a model and waits for its first words, so that one that fails at once can still be replaced.
async fn start(
    model: &dyn LanguageModel,
    request: ModelRequest,
) -> Result<ModelStream, burnish_types::ModelError> {
    let mut stream = model.stream(request).await?;
    match stream.next().await {
        Some(Err(error)) => Err(error),
        Some(Ok(first)) => Ok(Box::pin(stream::once(async { Ok(first) }).chain(stream))),
        None => Ok(stream),
    }
}

/// Passes a model's words on as they come. The decision is written meanwhile.
fn modelled(ending: Ending, words: ModelStream) -> BoxStream<'static, Result<AnswerEvent, EngineError>> {
    let written = Written {
        text: String::new(),
        found: true,
        citations: Vec::new(),
        usage: Usage::default(),
        degraded: None,
        finish_reason: "stop".to_owned(),
    };
    Box::pin(stream::unfold(Some((ending, words, written)), |state| async {
        let (ending, mut words, mut written) = state?;
        loop {
            match words.next().await {
                Some(Ok(ModelEvent::Text(text))) => {
                    written.text.push_str(&text);
                    return Some((Ok(AnswerEvent::Text(text)), Some((ending, words, written))));
                }
                Some(Ok(ModelEvent::Finished { reason, usage })) => {
                    written.finish_reason = reason;
                    written.usage = usage.unwrap_or(written.usage);
                }
                Some(Err(error)) => return Some((Err(EngineError::Model(error)), None)),
                None => {
                    written.citations = prompt::citations(&written.text, &ending.evidence[..ending.shown]);
                    written.found = ending.consulted && !written.text.contains(prompt::NOT_FOUND);
                    return Some((finish(ending, written).await, None));
                }
            }
        }
    }))
}

/// Waits until the decision is durable, sends the answer after it, and hands the whole out.
async fn finish(ending: Ending, written: Written) -> Result<AnswerEvent, EngineError> {
    let Ending { engine, decision, recorded, evidence, mut timings, started, pending, .. } = ending;
    let reasons: Vec<String> = ending.degraded.into_iter().chain(written.degraded).collect();
    timings.push(timing(Stage::Generate, started));
    let answer = Answer {
        text: written.text,
        found: written.found,
        citations: written.citations,
        evidence,
        usage: written.usage,
        cost: Money::ZERO,
        timings,
        degraded: (!reasons.is_empty()).then(|| reasons.join("; ")),
        finish_reason: written.finish_reason,
        at: engine.clock.now(),
    };
    recorded.durable.await?;
    // Under way once called; whoever reads the decision waits for it.
    drop(engine.store.record_answer(decision.id, answer.clone()));
    if let Some(value) = support(&answer) {
        let judgement = Judgement::Supported { value };
        let outcome = Outcome { request: decision.id, at: answer.at, judgement, comment: None, user: None };
        drop(engine.store.record_outcomes(vec![outcome]));
    }
    if let Some(pending) = pending {
        engine.keep(*pending, &answer).await;
    }
    Ok(AnswerEvent::Done(Box::new(answer)))
}

/// Words with the space before them, so that a quotation streams like anything else.
fn pieces(text: &str) -> impl Iterator<Item = String> {
    text.split_inclusive(' ').map(str::to_owned)
}
