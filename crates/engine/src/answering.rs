//! Writes the answer: by quoting, or by a language model, streaming either way.

use std::sync::Arc;
use std::time::Instant;

use burnish_types::{
    Answer, AnswerOrigin, Answerer, BoxStream, Characteristics, Citation, Decision, Evidence, Judgement,
    LanguageModel, ModelError, ModelEvent, ModelRequest, ModelStream, Outcome, Parameters, PromptPlan,
    Prompted, Query, Recorded, SelectiveChoice, SharedPurse, Spending, Stage, StageTiming, Usage,
};
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::caching::{Pending, Prepared, StandIn};
use crate::cascade;
use crate::combinations::input_tokens;
use crate::expenses::Use;
use crate::extractive::Quotation;
use crate::pipeline::{Retrieved, timing};
use crate::prompts::Form;
use crate::selective::Comparison;
use crate::support::support;
use crate::writing::{Spent, Vain, stand_in};
use crate::{Engine, EngineError, Pinned, extractive, prompt};

/// How often the passages are halved for a model that finds its prompt too long.
const MOST_HALVINGS: u32 = 4;
/// Fewer tokens of passages are not halved: it is not these that are too long.
const SMALLEST_CONTEXT: usize = 8;

/// How the caller wants a model to write.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// The most tokens to write.
    pub max_tokens: Option<u32>,
    /// From 0 (precise) to 2 (free).
    pub temperature: Option<f32>,
    /// Whether nothing is shown before the end, so that an answer that breaks off can be begun anew.
    pub whole: bool,
    /// What else OpenAI's API knows, such as `tools`, for the model alone.
    pub passthrough: Map<String, Value>,
    /// The conversation with its question as OpenAI's API has it, where text alone does not say all of it.
    pub verbatim: Vec<Value>,
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
    /// What a model says beside text, such as `tool_calls`, as a delta of OpenAI's API has it.
    Extra(Map<String, Value>),
    /// The whole answer. It comes last, and only once the decision is durable.
    Done(Box<Answer>),
}

/// Everything that the end of an answer needs.
pub(crate) struct Ending {
    engine: Arc<Engine>,
    decision: Decision,
    recorded: Recorded,
    evidence: Vec<Evidence>,
    /// The places of the passages that a model was shown.
    shown: Vec<usize>,
    /// Whether the plan looked at any document.
    consulted: bool,
    /// Whether somebody else than the plan says how long the answer may be.
    limited: bool,
    /// Characters of the question and what was said before it, where a model is asked it alone.
    chars: Option<usize>,
    /// Why passages were not found as planned, where they were not.
    degraded: Option<String>,
    /// What finding the passages took of a model.
    spent: Spent,
    timings: Vec<StageTiming>,
    started: Instant,
    /// What the cache keeps of it.
    pending: Option<Box<Pending>>,
    selective: Option<SelectiveChoice>,
    /// What the model was told.
    prompted: Option<Prompted>,
    /// What it is to be compared with.
    comparison: Option<Box<Comparison>>,
}

/// What was written.
pub(crate) struct Written {
    text: String,
    found: bool,
    citations: Vec<Citation>,
    spent: Spent,
    degraded: Option<String>,
    finish_reason: String,
    origin: AnswerOrigin,
}

impl Ending {
    /// Of a plan whose answer is being written from now on.
    pub(crate) fn new(engine: &Arc<Engine>, retrieved: Retrieved, pending: Option<Box<Pending>>) -> Self {
        let Retrieved {
            decision, evidence, timings, recorded, spent, degraded, selective, comparison, ..
        } = retrieved;
        let strategy = decision.choice().map(|choice| &choice.plan.strategy);
        Self {
            consulted: strategy.is_none_or(|strategy| engine.consults_documents(strategy)),
            // Of several answers at once nobody knows how long each would have been.
            limited: true,
            chars: None,
            engine: Arc::clone(engine),
            decision,
            recorded,
            evidence,
            shown: Vec::new(),
            degraded,
            spent,
            timings,
            started: Instant::now(),
            pending,
            selective,
            prompted: None,
            comparison,
        }
    }

    /// What is said in place of the planned model, which is not needed.
    pub(crate) fn spared(self, quotation: Quotation) -> BoxStream<'static, Result<AnswerEvent, EngineError>> {
        streamed(self, Written { origin: AnswerOrigin::Spared, ..quoted(quotation, None) })
    }

    /// The answer that a model gave in one piece, having been shown all the evidence.
    pub(crate) fn model_wrote(&mut self, text: String, spent: Spent, degraded: Option<String>) -> Written {
        self.shown = (0..self.evidence.len()).collect();
        Written { spent, degraded, ..written(text, self) }
    }
}

/// What a model may take for an answer.
struct Means {
    /// How much to write and how freely, where the caller has not said.
    suggested: Option<Parameters>,
    /// What is paid from.
    purse: Option<SharedPurse>,
}

/// A model that has begun to answer.
struct Begun {
    words: ModelStream,
    /// The places of the passages that it was shown.
    shown: Vec<usize>,
    /// What it was told.
    prompted: Option<Prompted>,
    /// Why it was not shown all that was planned, where it was not.
    degraded: Option<String>,
}

/// What a model is shown.
#[derive(Clone, Copy)]
struct Shown<'a> {
    /// How it is told what to do with it.
    prompt: Option<&'a PromptPlan>,
    /// What the question is like.
    characteristics: &'a Characteristics,
    evidence: &'a [Evidence],
    /// The most tokens of it.
    context_tokens: u32,
    /// The share that is left out.
    reduction: f64,
}

impl Engine {
    /// Answers a question from the documents.
    pub async fn answer(
        self: &Arc<Self>,
        query: Query,
        pinned: Pinned,
        sampling: Sampling,
    ) -> Result<Answering, EngineError> {
        match self.prepare(&query, &pinned, &sampling).await? {
            Prepared::Ready(answering) => Ok(*answering),
            Prepared::Found(retrieved, pending) if self.may_gather(&query, &sampling, &retrieved) => {
                self.answer_gathered(query, sampling, *retrieved, pending).await
            }
            Prepared::Found(retrieved, pending) => {
                self.answer_retrieved(query, *retrieved, sampling, pending).await
            }
        }
    }

    /// Answers a question whose passages were found, and lets the cache keep what is `pending`.
    pub(crate) async fn answer_retrieved(
        self: &Arc<Self>,
        asked: Query,
        retrieved: Retrieved,
        sampling: Sampling,
        pending: Option<Box<Pending>>,
    ) -> Result<Answering, EngineError> {
        let (decision, evidence) = (retrieved.decision.clone(), retrieved.evidence.clone());
        let plan = decision.choice().map(|candidate| &candidate.plan);
        let answerer = plan.map_or(Answerer::Extractive, |plan| plan.answerer.clone());
        let context_tokens = plan.map_or(0, |plan| plan.context_tokens);
        let suggested = plan.and_then(|plan| plan.parameters);
        let reduction = plan.map_or(0.0, |plan| plan.reduction);
        let prompt = plan.and_then(|plan| plan.prompt.clone());
        let characteristics = retrieved.characteristics.clone();
        let purse = retrieved.purse.clone();
        let mut ending = Ending::new(self, retrieved, pending);
        let consulted = ending.consulted;
        ending.chars = Some(asked.chars());
        let names = ["max_tokens", "max_completion_tokens"];
        ending.limited = sampling.max_tokens.is_some()
            || names.iter().any(|name| sampling.passthrough.contains_key(*name));
        let events = match self.model_of(&answerer) {
            Some(model) if !evidence.is_empty() || !consulted => {
                let (prompt, characteristics) = (prompt.as_ref(), &characteristics);
                let shown = Shown { prompt, characteristics, evidence: &evidence, context_tokens, reduction };
                let passages = consulted.then_some(shown);
                match self.begin(model.as_ref(), &asked, passages, sampling, Means { suggested, purse }).await
                {
                    Ok(Begun { words, shown, prompted, degraded }) => {
                        (ending.shown, ending.prompted) = (shown, prompted);
                        modelled(ending, model.name().to_owned(), words, degraded)
                    }
                    // Whoever asks can do something about these, and is told so.
                    Err(Vain {
                        error: error @ (ModelError::Busy { .. } | ModelError::Unsupported { .. }),
                        tries,
                    }) => return Err(broken(ending, String::new(), error, tries)),
                    Err(Vain { error, tries }) => {
                        ending.spent += Spent::in_vain(tries);
                        if let Some(stand_in) = self.stand_in(ending.pending.take()).await {
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
                        let reason = match error {
                            ModelError::OverBudget { .. } => "may not be asked, since a budget is used up",
                            ModelError::TooLong { .. } => "finds even the best passage too long",
                            _ => "did not answer",
                        };
                        let reason = format!("the model `{}` {reason}; {instead}", model.name());
                        self.quoted(asked.text, ending, Some(reason)).await
                    }
                }
            }
            Some(_) | None => self.quoted(asked.text, ending, None).await,
        };
        Ok(Answering { decision, evidence, events })
    }

    /// Asks a model, with ever less of the `passages` for as long as it finds the prompt too long.
    async fn begin(
        &self,
        model: &dyn LanguageModel,
        asked: &Query,
        passages: Option<Shown<'_>>,
        sampling: Sampling,
        Means { suggested, purse }: Means,
    ) -> Result<Begun, Vain> {
        let mut budget = passages.map_or(0, |passages| passages.context_tokens);
        let mut halvings = 0;
        let mut earlier = Vec::new();
        let form = Form::of(&sampling.passthrough);
        loop {
            let context = passages.map(|Shown { evidence, reduction, .. }| {
                self.context(&asked.text, evidence, budget, reduction)
            });
            let (messages, prompted) = match (&context, passages) {
                (Some(context), Some(Shown { prompt, characteristics, .. })) => {
                    let told = self.told(asked, prompt, characteristics.clone(), context, &form);
                    let told = told.map_err(|error| {
                        tracing::error!(%error, "a prompt cannot be made");
                        let (model, reason) =
                            (model.name().to_owned(), "its prompt cannot be made".to_owned());
                        Vain { error: ModelError::Unsupported { model, reason }, tries: earlier.clone() }
                    })?;
                    (told.messages, Some(told.prompted))
                }
                _ => (prompt::conversation(asked), None),
            };
            let (tokens, original) =
                context.as_ref().map_or((0, 0), |context| (context.tokens, context.original));
            let request = ModelRequest {
                messages,
                max_tokens: sampling.max_tokens,
                temperature: sampling.temperature,
                suggested,
                whole: sampling.whole,
                passthrough: sampling.passthrough.clone(),
                verbatim: sampling.verbatim.clone(),
                purse: purse.clone(),
            };
            match start(model, request).await {
                Err(Vain { error: error @ ModelError::TooLong { .. }, tries })
                    if tokens > SMALLEST_CONTEXT && halvings < MOST_HALVINGS =>
                {
                    tracing::warn!(%error, "asking again with half of the context");
                    earlier.extend(tries);
                    halvings += 1;
                    // Of what was shown, which may be less than what was allowed.
                    budget = u32::try_from(tokens / 2).unwrap_or(budget / 2);
                }
                Err(Vain { error, tries }) => {
                    earlier.extend(tries);
                    return Err(Vain { error, tries: earlier });
                }
                Ok(words) => {
                    let earlier = earlier.into_iter().map(|spending| Ok(ModelEvent::Spent(spending)));
                    let words = Box::pin(stream::iter(earlier).chain(words));
                    let degraded = (halvings > 0).then(|| {
                        let name = model.name();
                        format!(
                            "the prompt was too long for the model `{name}`, which was shown {tokens} of the {original} \
                             tokens that were found"
                        )
                    });
                    let shown = context.map(|context| context.places()).unwrap_or_default();
                    return Ok(Begun { words, shown, prompted, degraded });
                }
            }
        }
    }

    /// Takes note of what the answer took of the model that was planned.
    fn observe_use(
        &self,
        decision: &Decision,
        answer: &Answer,
        (chars, consulted): (usize, bool),
        usage: Usage,
    ) {
        let Some(plan) = decision.choice().map(|choice| &choice.plan) else { return };
        let Answerer::Model(name) = &plan.answerer else { return };
        if answer.spent.last().is_none_or(|spending| !cascade::is_of(name, &spending.model)) {
            return;
        }
        let generating = answer.timings.iter().filter(|timing| timing.stage == Stage::Generate);
        let passages = if consulted { plan.depth } else { 0 };
        let own = answer.prompted.as_ref().map(|prompted| f64::from(prompted.tokens));
        let expected = input_tokens(own, passages, plan.reduction, plan.context_tokens, chars);
        if let Some(prompt) = &plan.prompt {
            self.learned.observe_prompt(prompt, name, usage.output_tokens as f64);
        }
        let used = Use {
            latency_ms: generating.map(|timing| timing.ms).sum(),
            input_ratio: usage.input_tokens as f64 / expected,
            output_tokens: usage.output_tokens as f64,
        };
        self.learned.observe_use(name, used);
    }

    /// An answer without a model. Where not even that can be had, a plain apology.
    async fn quoted(
        self: &Arc<Self>,
        question: String,
        ending: Ending,
        degraded: Option<String>,
    ) -> BoxStream<'static, Result<AnswerEvent, EngineError>> {
        let evidence = ending.evidence.clone();
        let consulted = ending.consulted;
        let quotation = self
            .blocking(move |engine| {
                if !consulted {
                    return Ok(extractive::not_consulted());
                }
                engine.quotation(&question, &evidence)
            })
            .await;
        let (quotation, failed) = match quotation {
            Ok(quotation) => (quotation, None),
            Err(error) => {
                tracing::error!(%error, request = %ending.decision.id, "apologising, since quoting failed");
                let apology = extractive::apology(ending.decision.id);
                (apology, Some("nothing could be quoted from the documents".to_owned()))
            }
        };
        let reasons: Vec<String> = degraded.into_iter().chain(failed).collect();
        streamed(ending, quoted(quotation, (!reasons.is_empty()).then(|| reasons.join("; "))))
    }
}

fn quoted(quotation: Quotation, degraded: Option<String>) -> Written {
    Written {
        text: quotation.text,
        found: quotation.found,
        citations: quotation.citations,
        spent: Spent::default(),
        degraded,
        finish_reason: "stop".to_owned(),
        origin: AnswerOrigin::Plan,
    }
}

/// Hands out what is written already, as though it were written now.
fn streamed(ending: Ending, written: Written) -> BoxStream<'static, Result<AnswerEvent, EngineError>> {
    let pieces: Vec<_> = pieces(&written.text).map(|piece| Ok(AnswerEvent::Text(piece))).collect();
    Box::pin(stream::iter(pieces).chain(stream::once(finish(ending, written))))
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
        spent: Spent::default(),
        degraded: Some(degraded),
        finish_reason: answer.finish_reason,
        origin: AnswerOrigin::StandIn,
    };
    let ending = Ending { evidence: answer.evidence, ..ending };
    let text = stream::iter([Ok(AnswerEvent::Text(written.text.clone()))]);
    Box::pin(text.chain(stream::once(finish(ending, written))))
}

/// Starts a model and waits for its first words, so that one that fails at once can still be replaced; for all of them
/// where nothing is shown before the end.
async fn start(model: &dyn LanguageModel, request: ModelRequest) -> Result<ModelStream, Vain> {
    let whole = request.whole;
    let mut stream = model.stream(request).await.map_err(|error| Vain { error, tries: Vec::new() })?;
    let mut first = Vec::new();
    loop {
        match stream.next().await {
            // Tries that were in vain say nothing of the one that follows.
            Some(Ok(event)) if whole || matches!(event, ModelEvent::Spent(_)) => first.push(event),
            Some(Ok(event)) => {
                first.push(event);
                return Ok(Box::pin(stream::iter(first.into_iter().map(Ok)).chain(stream)));
            }
            Some(Err(error)) => {
                let spent = |event| match event {
                    ModelEvent::Spent(spending) => Some(spending),
                    _ => None,
                };
                return Err(Vain { error, tries: first.into_iter().filter_map(spent).collect() });
            }
            None => return Ok(Box::pin(stream::iter(first.into_iter().map(Ok)))),
        }
    }
}

/// Passes a model's words on as they come. The decision is written meanwhile.
fn modelled(
    ending: Ending,
    planned: String,
    words: ModelStream,
    degraded: Option<String>,
) -> BoxStream<'static, Result<AnswerEvent, EngineError>> {
    let written = Written { degraded, ..written(String::new(), &ending) };
    // Boxed, since it changes hands with each word.
    let state = Box::new(Modelled { ending, planned, words, written, spent: Spent::default() });
    Box::pin(stream::unfold(Some(state), |state| async { state?.next().await }))
}

/// An answer as a model writes it.
struct Modelled {
    ending: Ending,
    planned: String,
    words: ModelStream,
    written: Written,
    spent: Spent,
}

impl Modelled {
    /// What comes next, and what the rest comes from, unless that was the end.
    async fn next(mut self: Box<Self>) -> Option<(Result<AnswerEvent, EngineError>, Option<Box<Self>>)> {
        loop {
            match self.words.next().await {
                Some(Ok(ModelEvent::Text(text))) => {
                    self.written.text.push_str(&text);
                    return Some((Ok(AnswerEvent::Text(text)), Some(self)));
                }
                Some(Ok(ModelEvent::Extra(extra))) => {
                    return Some((Ok(AnswerEvent::Extra(extra)), Some(self)));
                }
                Some(Ok(ModelEvent::Spent(spending))) => self.spent.tries.push(spending),
                Some(Ok(ModelEvent::Finished { reason, usage })) => {
                    self.written.finish_reason = reason;
                    self.spent.usage = usage.unwrap_or(self.spent.usage);
                }
                Some(Err(error)) => {
                    let Self { ending, written, spent, .. } = *self;
                    return Some((Err(broken(ending, written.text, error, spent.tries)), None));
                }
                None => return Some((self.end().await, None)),
            }
        }
    }

    async fn end(self) -> Result<AnswerEvent, EngineError> {
        let Self { ending, planned, written: Written { finish_reason, text, degraded, .. }, spent, .. } =
            self;
        let reasons: Vec<String> = degraded.into_iter().chain(stand_in(&planned, &spent.tries)).collect();
        let written = Written {
            spent: Spent::on_answer(spent.usage, spent.tries),
            degraded: (!reasons.is_empty()).then(|| reasons.join("; ")),
            finish_reason,
            ..written(text, &ending)
        };
        finish(ending, written).await
    }
}

/// What a model wrote, with what its markers point at.
fn written(text: String, ending: &Ending) -> Written {
    Written {
        found: ending.consulted && !text.contains(prompt::NOT_FOUND),
        citations: prompt::citations(&text, &ending.evidence, &ending.shown),
        spent: Spent::default(),
        degraded: None,
        finish_reason: "stop".to_owned(),
        origin: AnswerOrigin::Plan,
        text,
    }
}

/// Waits until the decision is durable, sends the answer after it, and hands the whole out.
pub(crate) async fn finish(ending: Ending, written: Written) -> Result<AnswerEvent, EngineError> {
    let (consulted, limited) = (ending.consulted, ending.limited);
    // Without what finding the passages took.
    let usage = if written.origin.is_plan() { written.spent.usage } else { Usage::default() };
    let chars = ending.chars;
    let Closed { engine, decision, recorded, pending, comparison, answer } = close(ending, written);
    recorded.durable.await?;
    // Under way once called; whoever reads the decision waits for it.
    drop(engine.store.record_answer(decision.id, answer.clone()));
    if !limited {
        engine.lengths.observe(&decision.features, usage.output_tokens, &answer.finish_reason);
    }
    if let Some(chars) = chars.filter(|_| answer.degraded.is_none() && usage != Usage::default()) {
        engine.observe_use(&decision, &answer, (chars, consulted), usage);
    }
    if answer.origin.is_plan()
        && let Some(value) = support(&answer)
    {
        let judgement = Judgement::Supported { value };
        let outcome = Outcome { request: decision.id, at: answer.at, judgement, comment: None, user: None };
        drop(engine.store.record_outcomes(vec![outcome]));
    }
    if let Some(comparison) = comparison {
        engine.compare(*comparison, &decision, &answer);
    }
    let wrote = decision.choice().is_some_and(|choice| matches!(choice.plan.answerer, Answerer::Model(_)));
    // What is only tried is not kept for others.
    let tried = decision.experiment.as_ref().is_some_and(|assigned| assigned.challenger);
    if let Some(pending) = pending.filter(|_| wrote && !tried) {
        engine.keep(*pending, decision.id, &answer, consulted);
    }
    Ok(AnswerEvent::Done(Box::new(answer)))
}

/// What goes to whoever asked in place of an answer that broke off. What was said, and what it took, is recorded.
fn broken(ending: Ending, text: String, error: ModelError, tries: Vec<Spending>) -> EngineError {
    if !tries.is_empty() || !ending.spent.tries.is_empty() || !text.is_empty() {
        let written = Written {
            found: false,
            spent: Spent::in_vain(tries),
            degraded: Some(error.to_string()),
            finish_reason: "error".to_owned(),
            origin: AnswerOrigin::Broken,
            ..written(text, &ending)
        };
        let Closed { engine, decision, answer, .. } = close(ending, written);
        drop(engine.store.record_answer(decision.id, answer));
    }
    EngineError::Model(error)
}

/// An answer at its end.
struct Closed {
    engine: Arc<Engine>,
    decision: Decision,
    recorded: Recorded,
    pending: Option<Box<Pending>>,
    comparison: Option<Box<Comparison>>,
    answer: Answer,
}

fn close(ending: Ending, written: Written) -> Closed {
    let Ending { engine, decision, recorded, evidence, mut spent, mut timings, started, .. } = ending;
    let Ending { pending, selective, comparison, .. } = ending;
    spent += written.spent;
    let reasons: Vec<String> = ending.degraded.into_iter().chain(written.degraded).collect();
    timings.push(timing(Stage::Generate, started));
    let answer = Answer {
        text: written.text,
        found: written.found,
        citations: written.citations,
        evidence,
        usage: spent.usage,
        cost: spent.cost,
        spent: spent.tries,
        timings,
        degraded: (!reasons.is_empty()).then(|| reasons.join("; ")),
        finish_reason: written.finish_reason,
        origin: written.origin,
        selective,
        prompted: ending.prompted,
        at: engine.clock.now(),
    };
    Closed { engine, decision, recorded, pending, comparison, answer }
}

/// Words with the space before them, so that a quotation streams like anything else.
fn pieces(text: &str) -> impl Iterator<Item = String> {
    text.split_inclusive(' ').map(str::to_owned)
}
