//! Several questions at once: those whose passages overlap are asked together, over one shared context.

mod groups;
mod jobs;
mod reply;

use std::collections::BTreeMap;
use std::sync::Arc;

use burnish_types::{
    Answer, Answerer, ChunkId, Decision, Embedding, Evidence, Filter, LanguageModel, ModelError, ModelEvent,
    ModelRequest, Query, Usage,
};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use crate::answering::{Ending, finish};
use crate::pipeline::Retrieved;
use crate::{AnswerEvent, Engine, EngineError, Pinned, Sampling, prompt};

use groups::{Asked, Bounds, Group};

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
struct Prepared {
    place: usize,
    ask: Ask,
    retrieved: Retrieved,
}

/// What is asked about several questions at once.
struct Together {
    model: Arc<dyn LanguageModel>,
    request: ModelRequest,
    shared: Vec<Evidence>,
}

/// Questions share a context only where all of this is the same: nobody is shown what another may not see.
#[derive(PartialEq)]
struct Common<'a> {
    model: &'a str,
    tenant: Option<&'a str>,
    filter: &'a Filter,
    temperature: Option<f32>,
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
        let mut failed = Vec::new();
        let mut prepared: Vec<Prepared> = Vec::new();
        let retrievals = stream::iter(asks.into_iter().enumerate()).map(|(place, ask)| async move {
            let found = self.retrieve(ask.query.clone(), ask.pinned.clone()).await;
            (place, found.map(|retrieved| Prepared { place, ask, retrieved }))
        });
        let mut retrievals = retrievals.buffered(RETRIEVALS);
        while let Some((place, found)) = retrievals.next().await {
            match found {
                Ok(found) => prepared.push(found),
                Err(error) => failed.push((place, Err(error))),
            }
        }
        let groups = self.grouped(prepared).await;
        let engine = Arc::clone(self);
        let answers = stream::iter(groups)
            .map(move |(members, passages)| {
                let engine = Arc::clone(&engine);
                async move { engine.answer_group(members, passages).await }
            })
            .buffer_unordered(self.settings.batch.parallel.max(1))
            .flat_map(stream::iter);
        stream::iter(failed).chain(answers)
    }

    /// The groups with the passages that each shares.
    async fn grouped(self: &Arc<Self>, prepared: Vec<Prepared>) -> Vec<(Vec<Prepared>, Vec<ChunkId>)> {
        let (together, alone): (Vec<_>, Vec<_>) =
            prepared.into_iter().partition(|one| self.common(one).is_some());
        let mut found: Vec<(Vec<Prepared>, Vec<ChunkId>)> =
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
            let mut alike: Vec<Option<Prepared>> = alike.into_iter().map(Some).collect();
            for Group { members, passages } in groups::groups(&asked, bounds) {
                let members = members.into_iter().filter_map(|member| alike.get_mut(member)?.take());
                found.push((members.collect(), passages));
            }
        }
        found
    }

    /// What this question may share a context by; `None` where no model is asked, or more than the question is said.
    fn common<'a>(&self, one: &'a Prepared) -> Option<Common<'a>> {
        let plan = &one.retrieved.decision.choice()?.plan;
        let Answerer::Model(model) = &plan.answerer else { return None };
        let fits = !one.retrieved.evidence.is_empty()
            && one.ask.query.conversation.is_empty()
            && self.consults_documents(&plan.strategy);
        fits.then_some(Common {
            model,
            tenant: one.ask.query.user.tenant.as_deref(),
            filter: &one.ask.query.filter,
            temperature: one.ask.sampling.temperature,
        })
    }

    async fn embeddings(self: &Arc<Self>, texts: Vec<String>) -> Result<Vec<Embedding>, EngineError> {
        self.blocking(move |engine| {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            Ok(engine.embedder.embed(&texts)?)
        })
        .await
    }

    fn asked(&self, prepared: &[Prepared], embeddings: Vec<Embedding>) -> Vec<Asked> {
        let mut embeddings = embeddings.into_iter();
        let asked = |one: &Prepared| {
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
        prepared.iter().map(asked).collect()
    }

    async fn answer_group(
        self: &Arc<Self>,
        members: Vec<Prepared>,
        passages: Vec<ChunkId>,
    ) -> Vec<(usize, Result<Batched, EngineError>)> {
        let together = members.len();
        let prompt = if together > 1 { self.prompt_together(&members, &passages) } else { None };
        let replied = match prompt {
            Some(Together { model, request, shared }) => match whole(model.as_ref(), request).await {
                Ok((text, usage)) => Some((shared, reply::answers(&text, together), usage)),
                Err(error) => {
                    tracing::warn!(%error, questions = together, "asking one by one, since the model does not answer");
                    None
                }
            },
            None => None,
        };
        let Some((shared, said, usage)) = replied else {
            return stream::iter(members).then(|one| self.answer_alone(one)).collect().await;
        };
        let mut shares = shares(usage, &members, &said).into_iter();
        let mut answered = Vec::with_capacity(together);
        for (number, one) in members.into_iter().enumerate() {
            let usage = shares.next().unwrap_or_default();
            let place = one.place;
            answered.push(match said.get(&(number + 1)) {
                Some(text) => (place, self.finish_shared(one, text, &shared, usage, together).await),
                None => {
                    let mut one = one;
                    one.retrieved.spent.usage += usage;
                    self.answer_alone(one).await
                }
            });
        }
        answered
    }

    /// What the model is asked about all members at once.
    fn prompt_together(&self, members: &[Prepared], passages: &[ChunkId]) -> Option<Together> {
        let first = members.first()?;
        let name = self.common(first)?.model;
        let model = self.models.iter().find(|model| model.name() == name)?;
        let all = members.iter().flat_map(|one| &one.retrieved.evidence);
        let by_chunk: BTreeMap<ChunkId, &Evidence> = all.map(|evidence| (evidence.chunk, evidence)).collect();
        let shared: Vec<Evidence> =
            passages.iter().filter_map(|chunk| by_chunk.get(chunk).map(|found| (*found).clone())).collect();
        let questions: Vec<&str> = members.iter().map(|one| one.ask.query.text.as_str()).collect();
        // A bound holds for the whole reply, so it is the sum, where every question has one.
        let bounds: Option<Vec<u32>> = members.iter().map(|one| one.ask.sampling.max_tokens).collect();
        let request = ModelRequest {
            messages: prompt::together(&questions, &shared),
            max_tokens: bounds.map(|bounds| bounds.into_iter().fold(0, u32::saturating_add)),
            temperature: first.ask.sampling.temperature,
        };
        Some(Together { model: Arc::clone(model), request, shared })
    }

    async fn finish_shared(
        self: &Arc<Self>,
        one: Prepared,
        text: &str,
        shared: &[Evidence],
        usage: Usage,
        together: usize,
    ) -> Result<Batched, EngineError> {
        let Prepared { mut retrieved, .. } = one;
        let text = prompt::renumber(text, shared, &mut retrieved.evidence);
        let decision = retrieved.decision.clone();
        let mut ending = Ending::new(self, retrieved);
        let written = ending.model_wrote(text, usage);
        match finish(ending, written).await? {
            AnswerEvent::Done(answer) => Ok(Batched { decision, answer: *answer, together }),
            AnswerEvent::Text(_) => Err(EngineError::Internal("an answer has no end".to_owned())),
        }
    }

    async fn answer_alone(self: &Arc<Self>, one: Prepared) -> (usize, Result<Batched, EngineError>) {
        let Prepared { place, ask, retrieved } = one;
        let answered = async {
            let mut answering = self.answer_retrieved(ask.query, retrieved, ask.sampling).await?;
            while let Some(event) = answering.events.try_next().await? {
                if let AnswerEvent::Done(answer) = event {
                    return Ok(Batched { decision: answering.decision, answer: *answer, together: 1 });
                }
            }
            Err(EngineError::Internal("an answer has no end".to_owned()))
        };
        (place, answered.await)
    }
}

/// All that a model says, with what it used.
async fn whole(model: &dyn LanguageModel, request: ModelRequest) -> Result<(String, Usage), ModelError> {
    let mut events = model.stream(request).await?;
    let (mut text, mut used) = (String::new(), Usage::default());
    while let Some(event) = events.try_next().await? {
        match event {
            ModelEvent::Text(more) => text.push_str(&more),
            ModelEvent::Finished { usage, .. } => used = usage.unwrap_or(used),
        }
    }
    Ok((text, used))
}

/// What a reply to all cost, by question: what was read in equal parts, what was written by length. The parts add up.
fn shares(usage: Usage, members: &[Prepared], said: &BTreeMap<usize, String>) -> Vec<Usage> {
    let count = members.len() as u64;
    let length = |number: usize| said.get(&number).map_or(0, String::len) as u64;
    let lengths: Vec<u64> = (1..=members.len()).map(length).collect();
    let whole = lengths.iter().sum::<u64>().max(1);
    let mut left = usage;
    let mut shares: Vec<Usage> = lengths
        .iter()
        .map(|length| {
            let share = Usage {
                input_tokens: usage.input_tokens / count,
                output_tokens: usage.output_tokens * length / whole,
            };
            left.input_tokens -= share.input_tokens;
            left.output_tokens -= share.output_tokens;
            share
        })
        .collect();
    if let Some(first) = shares.first_mut() {
        first.input_tokens += left.input_tokens;
        first.output_tokens += left.output_tokens;
    }
    shares
}
