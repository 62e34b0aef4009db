//! Several questions at once: those whose passages overlap are asked together, over one shared context.

mod groups;
mod reply;

use std::collections::BTreeMap;
use std::sync::Arc;

use burnish_types::{Answer, Answerer, ChunkId, Decision, Evidence, ModelEvent, ModelRequest, Query, Usage};
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::answering::{Ending, finish};
use crate::pipeline::Retrieved;
use crate::{AnswerEvent, Engine, EngineError, Pinned, Sampling, prompt};

use groups::{Asked, Bounds, Group};

/// Questions whose passages are looked for at one time.
const RETRIEVALS: usize = 4;

/// One question of several.
#[derive(Clone, Debug)]
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

/// Questions share a context only where all of this is the same: nobody is shown what another may not see.
#[derive(PartialEq)]
struct Common<'a> {
    model: &'a str,
    tenant: Option<&'a str>,
    filter: &'a burnish_types::Filter,
    temperature: Option<f32>,
}

impl Engine {
    /// Answers every question; the results are in the order of the questions. One that fails does not touch the others.
    pub async fn answer_batch(self: &Arc<Self>, asks: Vec<Ask>) -> Vec<Result<Batched, EngineError>> {
        let mut results: BTreeMap<usize, Result<Batched, EngineError>> = BTreeMap::new();
        let mut prepared: Vec<Prepared> = Vec::new();
        let retrievals = stream::iter(asks.into_iter().enumerate()).map(|(place, ask)| async move {
            let found = self.retrieve(ask.query.clone(), ask.pinned.clone()).await;
            (place, found.map(|retrieved| Prepared { place, ask, retrieved }))
        });
        let mut retrievals = retrievals.buffered(RETRIEVALS);
        while let Some((place, found)) = retrievals.next().await {
            match found {
                Ok(found) => prepared.push(found),
                Err(error) => drop(results.insert(place, Err(error))),
            }
        }
        let mut answering = stream::iter(self.grouped(prepared).await)
            .map(|(members, passages)| self.answer_group(members, passages))
            .buffer_unordered(self.settings.batch.parallel.max(1));
        while let Some(answered) = answering.next().await {
            results.extend(answered);
        }
        results.into_values().collect()
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
            let asked = self.asked(&alike).await;
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

    async fn asked(self: &Arc<Self>, prepared: &[Prepared]) -> Vec<Asked> {
        let texts: Vec<String> = prepared.iter().map(|one| one.ask.query.text.clone()).collect();
        let embeddings = self.blocking(move |engine| {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            Ok(engine.embedder.embed(&texts)?)
        });
        // Without them, questions are grouped by their passages alone.
        let mut embeddings = embeddings.await.unwrap_or_default().into_iter();
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
        let said = if together > 1 { self.ask_together(&members, &passages).await } else { None };
        let Some((shared, said, usage)) = said else {
            return stream::iter(members).then(|one| self.answer_alone(one)).collect().await;
        };
        let mut shares = shares(usage, &members, &said).into_iter();
        let mut answered = Vec::with_capacity(together);
        for (number, one) in members.into_iter().enumerate() {
            let usage = shares.next().unwrap_or_default();
            let place = one.place;
            answered.push(match said.get(&(number + 1)) {
                Some(text) => (place, self.finish_shared(one, text, &shared, usage, together).await),
                None => self.answer_alone(one).await,
            });
        }
        answered
    }

    /// Asks the model all questions at once. `None` where it does not answer: then each is asked alone.
    async fn ask_together(
        &self,
        members: &[Prepared],
        passages: &[ChunkId],
    ) -> Option<(Vec<Evidence>, BTreeMap<usize, String>, Usage)> {
        let name = self.common(members.first()?)?.model;
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
            temperature: members.first()?.ask.sampling.temperature,
        };
        let reply = async {
            let events = model.stream(request).await?;
            events
                .try_fold((String::new(), Usage::default()), |(mut text, mut used), event| async move {
                    match event {
                        ModelEvent::Text(more) => text.push_str(&more),
                        ModelEvent::Finished { usage, .. } => used = usage.unwrap_or(used),
                    }
                    Ok((text, used))
                })
                .await
        };
        match reply.await {
            Ok((text, usage)) => Some((shared, reply::answers(&text, members.len()), usage)),
            Err(error) => {
                tracing::warn!(%error, questions = members.len(), "asking one by one, since the model does not answer");
                None
            }
        }
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
