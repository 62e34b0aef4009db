//! Several questions at once: those whose passages overlap are asked together, over one shared context.

mod gathering;
mod groups;
mod jobs;
mod reply;

use std::collections::BTreeMap;
use std::sync::Arc;

use burnish_types::{
    Answer, Answerer, ChunkId, Decision, Embedding, Evidence, Filter, LanguageModel, ModelRequest, Money,
    Parameters, Query, Usage,
};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use crate::answering::{Ending, finish};
use crate::caching::{Pending, Prepared};
use crate::pipeline::Retrieved;
use crate::writing::{Spent, Vain, Whole, whole};
use crate::{AnswerEvent, Answering, Engine, EngineError, Pinned, Sampling, prompt};

use groups::{Asked, Bounds, Group};

pub(crate) use gathering::Gathering;
pub use jobs::{BatchQuestion, BatchVerdict, DescribeError};

/// Questions whose passages are looked for at one time.
const RETRIEVALS: usize = 4;

/// One question of several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ask {
    /// The question.
    pub query: Query,
    /// What the caller has decided already.
    pub pinned: Pinned,
    /// How a model is to write.
    pub sampling: Sampling,
}

/// The answer to one of several questions.
#[derive(Clone, Debug, PartialEq)]
pub struct Batched {
    /// What was planned, and why.
    pub decision: Decision,
    /// What was answered.
    pub answer: Answer,
    /// How many questions the model was asked at once, this one included.
    pub together: usize,
}

/// A question whose passages were found.
struct Open {
    place: usize,
    ask: Ask,
    retrieved: Retrieved,
    /// What the cache keeps of its answer.
    pending: Option<Box<Pending>>,
}

/// What is asked about several questions at once.
struct Together {
    model: Arc<dyn LanguageModel>,
    request: ModelRequest,
    shared: Vec<Evidence>,
}

/// What the answers to several questions have in common.
struct Shared {
    passages: Vec<Evidence>,
    /// Who answered in place of the planned model, where another one did.
    stand_in: Option<String>,
}

/// Questions share a context only where all of this is the same: nobody is shown what another may not see.
#[derive(PartialEq)]
struct Common<'a> {
    model: &'a str,
    tenant: Option<&'a str>,
    /// Who asks, where that decides who pays.
    user: Option<&'a str>,
    filter: &'a Filter,
    temperature: Option<f32>,
    /// Whether the answer has a bound.
    bounded: bool,
}

impl Engine {
    /// Answers every question; the results are in the order of the questions. One that fails does not touch the others.
    pub async fn answer_batch(self: &Arc<Self>, asks: Vec<Ask>) -> Vec<Result<Batched, EngineError>> {
        let results: BTreeMap<usize, _> = self.answer_as_they_come(asks).await.collect().await;
        results.into_values().collect()
    }

    /// As [`Self::answer_batch`], with each result and the place of its question once it is there.
    async fn answer_as_they_come(
        self: &Arc<Self>,
        asks: Vec<Ask>,
    ) -> impl Stream<Item = (usize, Result<Batched, EngineError>)> + Send + use<> {
        let (mut done, mut open) = (Vec::new(), Vec::new());
        let preparing = stream::iter(asks.into_iter().enumerate()).map(|(place, ask)| async move {
            (place, self.prepare(&ask.query, &ask.pinned, &ask.sampling).await, ask)
        });
        let mut preparing = preparing.buffered(RETRIEVALS);
        while let Some((place, prepared, ask)) = preparing.next().await {
            match prepared {
                Ok(Prepared::Found(retrieved, pending)) => {
                    open.push(Open { place, ask, retrieved: *retrieved, pending });
                }
                Ok(Prepared::Ready(answering)) => done.push((place, drained(*answering).await)),
                Err(error) => done.push((place, Err(error))),
            }
        }
        stream::iter(done).chain(self.answer_open(open, self.settings.batch.parallel.max(1)).await)
    }

    /// Answers questions whose passages were found, in groups, so many of them at one time.
    async fn answer_open(
        self: &Arc<Self>,
        open: Vec<Open>,
        parallel: usize,
    ) -> impl Stream<Item = (usize, Result<Batched, EngineError>)> + Send + use<> {
        let groups = self.grouped(open).await;
        let engine = Arc::clone(self);
        stream::iter(groups)
            .map(move |(members, passages)| {
                let engine = Arc::clone(&engine);
                async move { engine.answer_group(members, passages).await }
            })
            .buffer_unordered(parallel)
            .flat_map(stream::iter)
    }

    /// The groups with the passages that each shares.
    async fn grouped(self: &Arc<Self>, open: Vec<Open>) -> Vec<(Vec<Open>, Vec<ChunkId>)> {
        let (together, alone): (Vec<_>, Vec<_>) =
            open.into_iter().partition(|one| self.common(one).is_some());
        let mut found: Vec<(Vec<Open>, Vec<ChunkId>)> =
            alone.into_iter().map(|one| (vec![one], Vec::new())).collect();
        let mut left = together;
        while let Some(first) = left.pop() {
            let (mut alike, others): (Vec<_>, Vec<_>) =
                left.into_iter().partition(|one| self.common(one) == self.common(&first));
            left = others;
            alike.push(first);
            alike.sort_by_key(|one| one.place);
            let texts = alike.iter().map(|one| one.ask.query.text.clone()).collect();
            // Without embeddings, questions are grouped by their passages alone.
            let embeddings = self.embeddings(texts).await.unwrap_or_default();
            let asked = self.asked(&alike, embeddings);
            let bounds = Bounds { size: self.settings.batch.size, kept: self.settings.batch.kept_context };
            let mut alike: Vec<Option<Open>> = alike.into_iter().map(Some).collect();
            for Group { members, passages } in groups::groups(&asked, bounds) {
                let members = members.into_iter().filter_map(|member| alike.get_mut(member)?.take());
                found.push((members.collect(), passages));
            }
        }
        found
    }

    /// What this question may share a context by; `None` where no model is asked, or more than the question is said.
    fn common<'a>(&self, one: &'a Open) -> Option<Common<'a>> {
        let plan = &one.retrieved.decision.choice()?.plan;
        let Answerer::Model(model) = &plan.answerer else { return None };
        let fits = !one.retrieved.evidence.is_empty()
            && one.ask.query.conversation.is_empty()
            // What one question may cost says nothing of what several may.
            && one.ask.query.budget.is_none()
            && self.consults_documents(&plan.strategy);
        fits.then_some(Common {
            model,
            tenant: one.ask.query.user.tenant.as_deref(),
            user: one.ask.query.user.user.as_deref().filter(|_| self.budgets.tell_users_apart()),
            filter: &one.ask.query.filter,
            temperature: one.ask.sampling.temperature,
            bounded: one.ask.sampling.max_tokens.is_some(),
        })
    }

    async fn embeddings(self: &Arc<Self>, texts: Vec<String>) -> Result<Vec<Embedding>, EngineError> {
        self.blocking(move |engine| {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            Ok(engine.embedder.embed(&texts)?)
        })
        .await
    }

    fn asked(&self, open: &[Open], embeddings: Vec<Embedding>) -> Vec<Asked> {
        let mut embeddings = embeddings.into_iter();
        let asked = |one: &Open| {
            let budget = one.retrieved.decision.choice().map_or(0, |choice| choice.plan.context_tokens);
            let packed = prompt::pack(&one.retrieved.evidence, budget, |text| self.count_tokens(text));
            Asked {
                passages: packed
                    .into_iter()
                    .map(|(_, passage)| (passage.chunk, self.count_tokens(&passage.text)))
                    .collect(),
                embedding: embeddings.next().unwrap_or_default(),
            }
        };
        open.iter().map(asked).collect()
    }

    async fn answer_group(
        self: &Arc<Self>,
        mut members: Vec<Open>,
        passages: Vec<ChunkId>,
    ) -> Vec<(usize, Result<Batched, EngineError>)> {
        let together = members.len();
        let prompt = if together > 1 { self.prompt_together(&members, &passages) } else { None };
        let replied = match prompt {
            Some(Together { model, request, shared }) => match whole(model.as_ref(), request).await {
                Ok(Whole { text, spent, stand_in }) => {
                    Some((Shared { passages: shared, stand_in }, reply::answers(&text, together), spent))
                }
                Err(Vain { error, tries }) => {
                    tracing::warn!(%error, questions = together, "asking one by one, since the model does not answer");
                    if let Some(first) = members.first_mut() {
                        first.retrieved.spent += Spent::in_vain(tries);
                    }
                    None
                }
            },
            None => None,
        };
        let Some((shared, said, spent)) = replied else {
            return stream::iter(members).then(|one| self.answer_alone(one)).collect().await;
        };
        let mut shares = shares(spent, &members, &said).into_iter();
        let mut answered = Vec::with_capacity(together);
        for (number, one) in members.into_iter().enumerate() {
            let spent = shares.next().unwrap_or_default();
            let place = one.place;
            answered.push(match said.get(&(number + 1)) {
                Some(text) => (place, self.finish_shared(one, text, &shared, spent, together).await),
                None => {
                    let mut one = one;
                    one.retrieved.spent += spent;
                    self.answer_alone(one).await
                }
            });
        }
        answered
    }

    /// What the model is asked about all members at once.
    fn prompt_together(&self, members: &[Open], passages: &[ChunkId]) -> Option<Together> {
        let first = members.first()?;
        let model = self.model_of(&first.retrieved.decision.choice()?.plan.answerer)?;
        let all = members.iter().flat_map(|one| &one.retrieved.evidence);
        let by_chunk: BTreeMap<ChunkId, &Evidence> = all.map(|evidence| (evidence.chunk, evidence)).collect();
        let shared: Vec<Evidence> =
            passages.iter().filter_map(|chunk| by_chunk.get(chunk).map(|found| (*found).clone())).collect();
        let questions: Vec<&str> = members.iter().map(|one| one.ask.query.text.as_str()).collect();
        // A bound holds for the whole reply, so it is the sum, where every question has one.
        let bounds: Option<Vec<u32>> = members.iter().map(|one| one.ask.sampling.max_tokens).collect();
        let plans = members.iter().filter_map(|one| one.retrieved.decision.choice());
        let suggested: Option<Vec<Parameters>> = plans.map(|choice| choice.plan.parameters).collect();
        let suggested = suggested.filter(|all| !all.is_empty()).map(|all| Parameters {
            max_tokens: all.iter().fold(0, |sum, one| sum.saturating_add(one.max_tokens)),
            temperature: all.iter().map(|one| one.temperature).fold(f32::INFINITY, f32::min),
        });
        let request = ModelRequest {
            suggested,
            messages: prompt::together(&questions, &shared),
            max_tokens: bounds.map(|bounds| bounds.into_iter().fold(0, u32::saturating_add)),
            temperature: first.ask.sampling.temperature,
            whole: true,
            // The same for all members.
            purse: first.retrieved.purse.clone(),
            ..ModelRequest::default()
        };
        Some(Together { model: Arc::clone(model), request, shared })
    }

    async fn finish_shared(
        self: &Arc<Self>,
        one: Open,
        text: &str,
        shared: &Shared,
        spent: Spent,
        together: usize,
    ) -> Result<Batched, EngineError> {
        let Open { mut retrieved, pending, .. } = one;
        let text = prompt::renumber(text, &shared.passages, &mut retrieved.evidence);
        let decision = retrieved.decision.clone();
        let mut ending = Ending::new(self, retrieved, pending);
        let written = ending.model_wrote(text, spent, shared.stand_in.clone());
        match finish(ending, written).await? {
            AnswerEvent::Done(answer) => Ok(Batched { decision, answer: *answer, together }),
            AnswerEvent::Text(_) | AnswerEvent::Extra(_) => {
                Err(EngineError::Internal("an answer has no end".to_owned()))
            }
        }
    }

    async fn answer_alone(self: &Arc<Self>, one: Open) -> (usize, Result<Batched, EngineError>) {
        let Open { place, ask, retrieved, pending } = one;
        let answered = async {
            drained(self.answer_retrieved(ask.query, retrieved, ask.sampling, pending).await?).await
        };
        (place, answered.await)
    }
}

/// Waits for the end of an answer to one question.
async fn drained(mut answering: Answering) -> Result<Batched, EngineError> {
    while let Some(event) = answering.events.try_next().await? {
        if let AnswerEvent::Done(answer) = event {
            return Ok(Batched { decision: answering.decision, answer: *answer, together: 1 });
        }
    }
    Err(EngineError::Internal("an answer has no end".to_owned()))
}

/// What a reply to all cost, by question: what was read in equal parts, what was written by length, and money as what was
/// read. The parts add up; the tries stand with the first.
fn shares(spent: Spent, members: &[Open], said: &BTreeMap<usize, String>) -> Vec<Spent> {
    let count = members.len() as u64;
    let length = |number: usize| said.get(&number).map_or(0, String::len) as u64;
    let whole = (1..=members.len()).map(length).sum::<u64>().max(1);
    let Usage { input_tokens, cached_input_tokens, output_tokens } = spent.usage;
    let share = |number: usize| Spent {
        usage: Usage {
            input_tokens: input_tokens / count,
            cached_input_tokens: cached_input_tokens / count,
            output_tokens: output_tokens * length(number) / whole,
        },
        cost: spent.cost.map(|cost| Money::from_micros(cost.micros() / count)),
        tries: Vec::new(),
    };
    let mut shares: Vec<Spent> = (1..=members.len()).map(share).collect();
    let sum = |part: fn(&Spent) -> u64| shares.iter().map(part).sum::<u64>();
    let rest = Spent {
        usage: Usage {
            input_tokens: input_tokens - sum(|share| share.usage.input_tokens),
            cached_input_tokens: cached_input_tokens - sum(|share| share.usage.cached_input_tokens),
            output_tokens: output_tokens - sum(|share| share.usage.output_tokens),
        },
        cost: spent
            .cost
            .map(|cost| Money::from_micros(cost.micros() - sum(|share| share.cost.map_or(0, Money::micros)))),
        tries: spent.tries,
    };
    if let Some(first) = shares.first_mut() {
        *first += rest;
    }
    shares
}
