//! Passages like a given passage or document, or like what a person found good.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use burnish_learning::{LIST_FLOOR, Lift, Start, query_features};
use burnish_retrieval::Scored;
use burnish_retrieval::related::{
    Bounds, Candidate as Choosable, Fingerprint, Given, Group, Neighbours, Picked, Quota, groups, nearest,
    neighbours, select,
};
use burnish_types::{
    Answer, Answerer, Candidate, Chunk, ChunkId, Decision, DocumentId, Evidence, Filter, LexicalIndex, Money,
    Plan, Prediction, Query, Recorded, RequestId, Stage, StageTiming, Strategy, Timestamp, UserContext,
    VectorIndex,
};

use crate::expenses::Expense;
use crate::pipeline::{StoredPassages, explain, timing};
use crate::{Answered, Engine, EngineError, caching, context, plans, prompts};

/// The strategy by which these decisions are known. It is not among those that a question can be answered by.
const STRATEGY: &str = "related";
/// The policies that recorded decisions name: there was nothing to choose.
const TO_PASSAGES: &str = "related";
const TO_A_PERSON: &str = "related:user";
/// A document or a person has at most so many sides.
const MOST_GROUPS: usize = 5;
/// Of a long document every so manieth passage is looked at, and of a person the most trusted: grouping is quadratic.
const MOST_GIVEN: usize = 200;
/// Passages of a group whose words are looked for.
const SPOKEN_MEMBERS: usize = 3;
/// One document takes at most this share of the result, as long as others have anything to give.
const DOCUMENT_SHARE: f32 = 0.3;
/// Of what lies near and is not wanted, this much can be passed over.
const MOST_EXCLUDED: usize = 2_000;
/// The store gives no larger numbers, and takes none.
const LARGEST_ID: u64 = i64::MAX as u64;

/// What others are to be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelatedTo {
    /// A document: all of it.
    Document(DocumentId),
    /// A passage.
    Chunk(ChunkId),
    /// What the user confirmed, used and opened.
    User,
}

/// What is wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Related {
    /// What others are to be like.
    pub to: RelatedTo,
    /// Who asks.
    pub user: UserContext,
    /// Which documents may be looked at.
    pub filter: Filter,
    /// How many passages are wanted, at least 1.
    pub top_k: usize,
    /// The most passages of one document; about a third of all, as long as there are others, where not said.
    pub per_document: Option<usize>,
}

/// Which passage a result is like.
#[derive(Clone, Debug, PartialEq)]
pub struct Because {
    /// The passage that was given, or that the user found good.
    pub chunk: ChunkId,
    /// Its document.
    pub document: DocumentId,
    /// The document's title.
    pub title: String,
    /// The cosine of both embeddings, in [-1, 1].
    pub likeness: f32,
}

/// Related passages.
#[derive(Clone, Debug, PartialEq)]
pub struct RelatedPassages {
    /// The decision, and the passages as its answer's evidence.
    pub answered: Answered,
    /// Which passage each of them is like, in the order of the evidence.
    pub because: Vec<Because>,
}

/// What a request starts from.
struct Origin {
    given: Vec<Given>,
    /// The chunks of `given`, to name them.
    chunks: Vec<Chunk>,
    /// What is not to be found.
    excluded: BTreeSet<ChunkId>,
    /// What stands for it in the decision.
    text: String,
    /// Why these passages and no others, in words.
    reason: String,
}

/// What was found.
#[derive(Default)]
struct Found {
    evidence: Vec<Evidence>,
    because: Vec<Because>,
}

/// What a recorded decision started from, for what feedback on it means.
pub(crate) fn start_of(decision: &Decision) -> Start {
    match decision.policy.as_str() {
        TO_PASSAGES => Start::Passage,
        TO_A_PERSON => Start::Person,
        _ => Start::Question,
    }
}

/// Whether `decision` is about a question, so that its outcomes say how questions are best answered.
pub(crate) fn is_of_question(decision: &Decision) -> bool {
    start_of(decision) == Start::Question
        && caching::was_planned(decision)
        && !context::is_of_context(decision)
        && !prompts::is_of_prompt(decision)
        && !plans::is_of_route(decision)
}

impl Engine {
    /// Finds passages like those of `related.to`, which are not among them, and records that, so that feedback can
    /// name it. Where nothing is known of a user the result is empty, and the decision's reason says so.
    ///
    /// # Errors
    /// If the document or passage is not there, the user has no name, or no passage is wanted.
    pub async fn related(self: &Arc<Self>, related: Related) -> Result<RelatedPassages, EngineError> {
        let id = RequestId::from_parts(self.clock.now().0, fastrand::u128(..));
        let work = move |engine: &Self| {
            let (decision, origin, mut timings) = engine.planned(id, &related)?;
            let recorded = engine.store.record_decision(decision.clone());
            let found = engine.find_related(&related, &origin, &mut timings)?;
            Ok((decision, recorded, engine.answered(found, timings)))
        };
        let (decision, recorded, (answer, because)) = self.blocking(work).await?;
        let Recorded { written, durable: _ } = recorded;
        written.await?;
        // Under way once called; whoever reads the decision waits for it.
        drop(self.store.record_answer(decision.id, answer.clone()));
        Ok(RelatedPassages { answered: Answered { decision, answer }, because })
    }

    /// The same without a record of it, so that no feedback can name it.
    ///
    /// # Errors
    /// As [`Engine::related`].
    pub async fn related_unrecorded(
        self: &Arc<Self>,
        related: Related,
    ) -> Result<RelatedPassages, EngineError> {
        self.blocking(move |engine| engine.probe_related(&related)).await
    }

    /// As [`Engine::related_unrecorded`], blocking: for measuring.
    ///
    /// # Errors
    /// As [`Engine::related`].
    pub fn probe_related(&self, related: &Related) -> Result<RelatedPassages, EngineError> {
        let id = RequestId::from_parts(self.clock.now().0, 0);
        let (decision, origin, mut timings) = self.planned(id, related)?;
        let found = self.find_related(related, &origin, &mut timings)?;
        let (answer, because) = self.answered(found, timings);
        Ok(RelatedPassages { answered: Answered { decision, answer }, because })
    }

    fn planned(
        &self,
        id: RequestId,
        related: &Related,
    ) -> Result<(Decision, Origin, Vec<StageTiming>), EngineError> {
        if related.top_k == 0 || related.per_document == Some(0) {
            return Err(EngineError::InvalidQuery("at least one passage must be asked for".to_owned()));
        }
        let started = Instant::now();
        let at = self.clock.now();
        let origin = match related.to {
            RelatedTo::Chunk(chunk) => self.chunk_origin(chunk)?,
            RelatedTo::Document(document) => self.document_origin(document)?,
            RelatedTo::User => self.person_origin(&related.user)?,
        };
        let decision = self.decision_for(id, at, related, &origin)?;
        Ok((decision, origin, vec![timing(Stage::Plan, started)]))
    }

    fn chunk_origin(&self, id: ChunkId) -> Result<Origin, EngineError> {
        let chunk = if id.0 > LARGEST_ID { None } else { self.store.chunks(&[id])?.pop() };
        let chunk = chunk.ok_or(EngineError::NoSuchChunk(id))?;
        let (text, reason) = (found_by(&chunk), format!("passages like passage {id} of `{}`", chunk.title));
        let (given, chunks) = self.given(vec![(chunk, 1.0)])?;
        Ok(Origin { given, chunks, excluded: BTreeSet::from([id]), text, reason })
    }

    fn document_origin(&self, id: DocumentId) -> Result<Origin, EngineError> {
        let document = if id.0 > LARGEST_ID { None } else { self.store.document(id)? };
        let document = document.ok_or(EngineError::NoSuchDocument(id))?;
        let chunks = self.store.document_chunks(id)?;
        let excluded = chunks.iter().map(|chunk| chunk.id).take(MOST_EXCLUDED).collect();
        let step = chunks.len().div_ceil(MOST_GIVEN).max(1);
        let (given, chunks) =
            self.given(chunks.into_iter().step_by(step).map(|chunk| (chunk, 1.0)).collect())?;
        // What stands for most of it tells it from others of the same title.
        let heart = groups(&given, 1).first().and_then(|group| group.members.first().copied());
        let text = heart.map_or_else(|| document.title.clone(), |heart| given[heart].text.clone());
        let reason = format!("passages like those of `{}`", document.title);
        Ok(Origin { given, chunks, excluded, text, reason })
    }

    fn person_origin(&self, user: &UserContext) -> Result<Origin, EngineError> {
        let Some(name) = user.user.as_deref().filter(|name| !name.is_empty()) else {
            let reason = "nobody is named: `user` says for whom passages are wanted";
            return Err(EngineError::InvalidQuery(reason.to_owned()));
        };
        let tenant = user.tenant.as_deref();
        let (liked, seen) =
            self.learned.memory(|memory| (memory.liked_by(tenant, name), memory.seen_by(tenant, name)));
        let trust: BTreeMap<ChunkId, f32> = liked.iter().copied().take(MOST_GIVEN).collect();
        let ids: Vec<ChunkId> = liked.iter().map(|(chunk, _)| *chunk).take(MOST_GIVEN).collect();
        let chunks = self.store.chunks(&ids)?.into_iter();
        let weighed = chunks.map(|chunk| (trust.get(&chunk.id).copied().unwrap_or_default(), chunk));
        let (given, chunks) = self.given(weighed.map(|(trust, chunk)| (chunk, trust)).collect())?;
        let reason = match given.len() {
            0 => format!(
                "nothing is known of `{name}` yet: passages are found once some were confirmed, used or opened"
            ),
            1 => format!("passages like the one that `{name}` confirmed, used or opened"),
            count => format!("passages like the {count} that `{name}` confirmed, used or opened"),
        };
        let text = format!("for {name}, from what was confirmed, used and opened");
        let excluded = seen.into_iter().take(MOST_EXCLUDED).collect();
        Ok(Origin { given, chunks, excluded, text, reason })
    }

    /// Those of `weighed` that have an embedding.
    fn given(&self, weighed: Vec<(Chunk, f32)>) -> Result<(Vec<Given>, Vec<Chunk>), EngineError> {
        let ids: Vec<ChunkId> = weighed.iter().map(|(chunk, _)| chunk.id).collect();
        let embeddings = self.corpus.vectors.embeddings(&ids)?;
        let known = weighed.into_iter().zip(embeddings).filter_map(|((chunk, weight), embedding)| {
            let text = found_by(&chunk);
            Some((Given { chunk: chunk.id, weight, embedding: embedding?, text }, chunk))
        });
        Ok(known.unzip())
    }

    fn decision_for(
        &self,
        id: RequestId,
        at: Timestamp,
        related: &Related,
        origin: &Origin,
    ) -> Result<Decision, EngineError> {
        let query = Query {
            text: origin.text.clone(),
            conversation: Vec::new(),
            user: related.user.clone(),
            filter: related.filter.clone(),
            top_k: related.top_k,
            target_quality: 0.0,
            budget: None,
            latency_budget_ms: None,
        };
        let strategy = Strategy::new(STRATEGY);
        // Nothing is learned of it, for there is nothing to choose.
        let prediction = Prediction {
            quality: 0.5,
            quality_deviation: 0.5,
            added: 0.0,
            latency_ms: self.learned.expenses().of(&strategy).latency_ms,
            cost: Money::ZERO,
            outcomes: 0,
        };
        let plan = Plan {
            strategy,
            depth: related.top_k,
            context_tokens: 0,
            reduction: 0.0,
            answerer: Answerer::Passages,
            parameters: None,
            prompt: None,
        };
        let policy = if related.to == RelatedTo::User { TO_A_PERSON } else { TO_PASSAGES };
        Ok(Decision {
            id,
            at,
            features: query_features(&query, &self.corpus.lexical.term_idf(&query.text)?),
            sketch: None,
            query: query.text,
            user: query.user,
            policy: policy.to_owned(),
            candidates: vec![Candidate { plan, prediction, propensity: 1.0 }],
            chosen: 0,
            reason: origin.reason.clone(),
            charge: 0.0,
            cache: None,
            experiment: None,
        })
    }

    fn find_related(
        &self,
        related: &Related,
        origin: &Origin,
        timings: &mut Vec<StageTiming>,
    ) -> Result<Found, EngineError> {
        let started = Instant::now();
        let mut lists = Vec::new();
        let mut lifts = Vec::new();
        for group in groups(&origin.given, MOST_GROUPS) {
            let moved = self.related_lifts(related, origin, &group)?;
            lists.push(self.near(related, origin, &group, &moved)?);
            lifts.push(moved);
        }
        let given: Vec<Fingerprint> =
            origin.given.iter().map(|given| Fingerprint::new(&given.text, &given.embedding)).collect();
        let share = (DOCUMENT_SHARE * related.top_k as f32).ceil() as usize;
        let quota = related.per_document.map_or(Quota::Preferred(share), Quota::Strict);
        let picked = select(lists, &given, related.top_k, quota);
        let found = self.found(origin, &picked, &lifts)?;
        let retrieval = timing(Stage::Retrieve, started);
        self.learned.observe_expense(&Strategy::new(STRATEGY), Expense::new(retrieval.ms, Money::ZERO));
        timings.push(retrieval);
        Ok(found)
    }

    /// What people found related, or not, to the passages of a group: of each result the strongest word.
    fn related_lifts(
        &self,
        related: &Related,
        origin: &Origin,
        group: &Group,
    ) -> Result<Vec<Lift>, EngineError> {
        let tenant = related.user.tenant.as_deref();
        let mut strongest: BTreeMap<ChunkId, Lift> = BTreeMap::new();
        self.learned.memory(|memory| {
            let spoken = group.members.iter().take(SPOKEN_MEMBERS).map(|place| &origin.given[*place]);
            // A document's decisions are known by the passage in its middle, which need not be among those.
            let whole = origin.given.iter().filter(|given| given.text == origin.text);
            for given in spoken.chain(whole) {
                for lift in memory.recall_related(tenant, &given.text, &given.embedding).lifts {
                    let known = strongest.entry(lift.chunk).or_insert_with(|| lift.clone());
                    if lift.lift.abs() > known.lift.abs() {
                        *known = lift;
                    }
                }
            }
        });
        if !strongest.is_empty() && !related.filter.is_empty() {
            let passing = self.corpus.lexical.matching(&related.filter)?;
            strongest.retain(|chunk, _| passing.contains(chunk.0));
        }
        Ok(strongest.into_values().collect())
    }

    fn near(
        &self,
        related: &Related,
        origin: &Origin,
        group: &Group,
        lifts: &[Lift],
    ) -> Result<Neighbours, EngineError> {
        let passages = StoredPassages(self.store.as_ref());
        let sources = self.sources(&passages);
        let members = group.members.iter().take(SPOKEN_MEMBERS);
        let text: Vec<&str> = members.map(|place| origin.given[*place].text.as_str()).collect();
        let bounds = Bounds {
            filter: &related.filter,
            excluded: &origin.excluded,
            limit: related.top_k,
            floor: LIST_FLOOR,
        };
        let moves: Vec<(ChunkId, f32)> = lifts.iter().map(|lift| (lift.chunk, lift.lift)).collect();
        let scored = neighbours(sources, &text.join("\n"), &group.centroid, bounds, &moves)?;
        Ok(Neighbours { weight: group.weight, candidates: self.choosable(scored)? })
    }

    /// Reads what was found. What was removed meanwhile is left out.
    fn choosable(&self, scored: Vec<Scored>) -> Result<Vec<Choosable>, EngineError> {
        let ids: Vec<ChunkId> = scored.iter().map(|scored| scored.chunk).collect();
        let embeddings = self.corpus.vectors.embeddings(&ids)?;
        let mut chunks = self.store.chunks(&ids)?.into_iter().peekable();
        let mut choosable = Vec::with_capacity(scored.len());
        for (scored, embedding) in scored.into_iter().zip(embeddings) {
            let chunk = chunks.next_if(|chunk| chunk.id == scored.chunk);
            if let Some((chunk, embedding)) = chunk.zip(embedding) {
                let fingerprint = Fingerprint::new(&found_by(&chunk), &embedding);
                choosable.push(Choosable { scored, document: chunk.document, fingerprint });
            }
        }
        Ok(choosable)
    }

    fn found(&self, origin: &Origin, picked: &[Picked], lifts: &[Vec<Lift>]) -> Result<Found, EngineError> {
        let scored: Vec<Scored> = picked.iter().map(|picked| picked.scored.clone()).collect();
        let mut evidence = self.evidence(&scored)?;
        let mut found = Found::default();
        for passage in &mut evidence {
            let Some(picked) = picked.iter().find(|picked| picked.scored.chunk == passage.chunk) else {
                continue;
            };
            let Some((place, likeness)) = nearest(&origin.given, picked.fingerprint.embedding()) else {
                continue;
            };
            let chunk = passage.chunk;
            let moved = lifts[picked.group].iter().filter(|lift| lift.chunk == chunk).cloned();
            explain(std::slice::from_mut(passage), moved.collect());
            let near = &origin.chunks[place];
            found.because.push(Because {
                chunk: near.id,
                document: near.document,
                title: near.title.clone(),
                likeness,
            });
            found.evidence.push(passage.clone());
        }
        Ok(found)
    }

    fn answered(&self, found: Found, timings: Vec<StageTiming>) -> (Answer, Vec<Because>) {
        let Found { evidence, because } = found;
        let answer = Answer { timings, ..Answer::of_passages(evidence, self.clock.now()) };
        (answer, because)
    }
}

/// The text that a chunk is embedded and found by.
fn found_by(chunk: &Chunk) -> String {
    format!("{}\n{}", chunk.location.heading(&chunk.title), chunk.text)
}
