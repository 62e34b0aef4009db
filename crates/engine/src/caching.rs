//! Answers that need not be written again: looked up before anything is retrieved, kept once they are written.
//!
//! Only what a language model wrote is kept: quoting passages takes no longer than it takes to look a similar question up.
//! An answer is shared where tenant, model, parameters, filter, prompts and conversation are the same, and it goes with
//! the first passage that it rests on. A similar question's answer is served within [`burnish_cache::Guarantee`].

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use burnish_cache::{
    Answers, Fresh, Guarantee, Kept, Key, Offer, Promise, Question, Scope, Standing, StoredAnswer, Ticket,
    agree, contradict,
};
use burnish_learning::query_features;
use burnish_types::{
    Answer, Answerer, CacheChoice, CacheKind, Candidate, ChangeSet, Decision, EmbedError, Embedder,
    Embedding, Generation, Judgement, LanguageModel, LexicalIndex, Money, Plan, Prediction, Query, RequestId,
    Stage, Store, Strategy, Usage,
};
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::pipeline::{Retrieved, timing};
use crate::tickets::Tickets;
use crate::{
    AnswerEvent, Answering, CacheSettings, Engine, EngineError, EngineSettings, Pinned, Sampling, log, prompt,
};

/// The policy and the strategy of a decision that a kept answer serves.
const POLICY: &str = "cache";
/// The strategy of the plan that it was chosen over: to leave it to the planner.
const OTHERWISE: &str = "fresh";
/// Similar questions that are judged for a request.
const OFFERED: usize = 3;
/// Questions that are less alike are not looked at.
const SMALLEST_LIKENESS: f32 = 0.6;
/// Two answers to one question are the same from this likeness on, if they name the same numbers and names.
const AGREEMENT: f32 = 0.85;

/// Whether `decision` says how a question was answered anew, so that it counts for how that is best done.
pub(crate) fn was_planned(decision: &Decision) -> bool {
    decision.policy != POLICY
}

/// What the cache counts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CacheStanding {
    /// Requests that could have been served.
    pub lookups: u64,
    /// The same request, served.
    pub exact_hits: u64,
    /// What the promise is about, and how it is kept.
    pub similar: Standing,
    /// Answers that are kept.
    pub entries: u64,
    /// What they take.
    pub bytes: u64,
}

/// The cache of an engine.
pub(crate) struct Caching {
    settings: CacheSettings,
    /// How much of the passages an answer rests on, and in which order.
    context: String,
    /// Hashed into every scope: other prompts, other answers.
    prompts: blake3::Hash,
    state: Mutex<State>,
    /// The corpus's, as far as readers find it.
    generation: AtomicU64,
    file: PathBuf,
    writing: Mutex<()>,
    behind: Arc<Semaphore>,
}

/// What is in the file, beside its version and a hash.
#[derive(Serialize, Deserialize)]
struct File {
    /// The outcome of the log up to which people were heard.
    heard: u64,
    answers: Vec<StoredAnswer>,
}

struct State {
    answers: Answers,
    guarantee: Guarantee,
    tickets: Tickets<(u64, Ticket)>,
    lookups: u64,
    exact_hits: u64,
    /// Answers that were kept since the start.
    kept: u64,
}

/// The version of the file's form.
const FILE_VERSION: u8 = 2;
/// After so many new answers all are written out.
const WRITTEN_EVERY: u64 = 256;
/// Answers whose comparison or embedding may be behind; what comes then goes without.
const BEHIND: usize = 64;

/// A request whose answer is being written, and will be kept.
pub(crate) struct Pending {
    key: Key,
    scope: Scope,
    text: String,
    question: Option<Question>,
    /// Whether its answer may be found by likeness.
    likened: bool,
    generation: Generation,
    /// The answer that might have been served, to compare with.
    compare: Option<(u64, Ticket)>,
    /// What was decided about it.
    choice: Option<CacheChoice>,
}

impl Pending {
    /// Whether an answer that might have been served is compared with the one to come.
    pub(crate) fn compares(&self) -> bool {
        self.compare.is_some()
    }

    /// What nearness is measured by. Questions under a filter have none: only the generation, which is in the exact key,
    /// vouches for what a filter lets through.
    fn question(&mut self, embedder: &dyn Embedder) -> Result<Option<&Question>, EmbedError> {
        if self.question.is_none() && self.likened {
            let embedding = embedder.embed(&[&self.text])?.pop().unwrap_or_default();
            self.question = Some(Question::new(&self.text, &embedding));
        }
        Ok(self.question.as_ref())
    }
}

/// The answer to a similar question, where one can't be had for the question itself.
pub(crate) struct StandIn {
    /// The question that it answers.
    pub(crate) question: String,
    pub(crate) answer: Answer,
}

/// A question before anybody is asked to answer it.
pub(crate) enum Prepared {
    /// It takes nobody: the cache has an answer, or no model is needed.
    Ready(Box<Answering>),
    /// Passages were found; what comes is to be kept where there is something pending.
    Found(Box<Retrieved>, Option<Box<Pending>>),
}

/// What a look into the cache led to.
enum Lookup {
    /// It has the answer.
    Hit(Box<Answering>),
    /// It has not; what comes is to be kept where there is something pending.
    Miss(Option<Box<Pending>>),
}

impl Caching {
    pub(crate) fn new(settings: &EngineSettings, dimensions: usize) -> Self {
        let EngineSettings { data, planner, answer, cache: settings, .. } = settings;
        let settings = *settings;
        let promise = Promise { delta: settings.delta, ..Promise::default() };
        let state = State {
            answers: Answers::new(settings.max_bytes, settings.lifetime_ms),
            guarantee: Guarantee::new(promise, dimensions, 0),
            tickets: Tickets::default(),
            lookups: 0,
            exact_hits: 0,
            kept: 0,
        };
        Self {
            settings,
            context: format!(
                "{} {} {:?} {:?} {:?}",
                answer.context_tokens,
                answer.context_reduction,
                answer.order,
                planner.depths,
                planner.reductions
            ),
            prompts: prompt::fingerprint(),
            state: Mutex::new(state),
            generation: AtomicU64::new(0),
            file: data.join("cache.bin"),
            writing: Mutex::new(()),
            behind: Arc::new(Semaphore::new(BEHIND)),
        }
    }

    /// Takes in the answers of an earlier process, as far as what they rest on is still there and nobody has said since
    /// that they are wrong. A file that can't be read is set aside.
    pub(crate) fn load(&self, store: &dyn Store) -> Result<(), EngineError> {
        if !self.settings.enabled {
            return Ok(());
        }
        self.generation.fetch_max(store.generation()?.0, Ordering::SeqCst);
        let Ok(bytes) = fs::read(&self.file) else { return Ok(()) };
        let Some(File { heard, answers }) = read(&bytes) else {
            let aside = self.file.with_extension("damaged");
            let moved = fs::rename(&self.file, &aside).is_ok();
            tracing::warn!(file = %self.file.display(), moved, "the kept answers cannot be read: beginning anew");
            return Ok(());
        };
        let known: HashSet<u64> = store.chunk_ids()?.into_iter().map(|chunk| chunk.0).collect();
        let mut wrong = HashSet::new();
        for logged in log::outcomes(store, heard) {
            let logged = logged?;
            if right(&logged.outcome.judgement) == Some(false) {
                wrong.extend(repeated(&logged.decision));
            }
        }
        let holds = |answer: &StoredAnswer| {
            answer.chunks().iter().all(|chunk| known.contains(chunk)) && !wrong.contains(&answer.request())
        };
        let mut state = self.state.lock();
        answers.into_iter().filter(holds).for_each(|answer| state.answers.restore(answer));
        Ok(())
    }

    /// Writes the answers out, for the next process. People were heard up to the outcome `heard` of the log.
    pub(crate) fn save(&self, heard: u64) -> Result<(), EngineError> {
        if !self.settings.enabled {
            return Ok(());
        }
        let failed = |reason: String| EngineError::Internal(format!("`{}` {reason}", self.file.display()));
        // Nobody else writes the file meanwhile.
        let _writing = self.writing.lock();
        let file = File { heard, answers: self.state.lock().answers.stored() };
        let body =
            postcard::to_allocvec(&file).map_err(|error| failed(format!("cannot be made: {error}")))?;
        let mut bytes = vec![FILE_VERSION];
        bytes.extend_from_slice(blake3::hash(&body).as_bytes());
        bytes.extend_from_slice(&body);
        burnish_index::replace_file(&self.file, &bytes)
            .map_err(|error| failed(format!("cannot be written: {error}")))
    }

    /// Drops what rests on chunks that a change of the corpus has removed. Must come before the change is acknowledged.
    pub(crate) fn corpus_changed(&self, change: &ChangeSet) {
        if self.settings.enabled && !change.removed.is_empty() {
            let chunks: Vec<u64> = change.removed.iter().map(|chunk| chunk.0).collect();
            self.state.lock().answers.remove_chunks(&chunks, change.generation.0);
        }
    }

    /// From now on readers find all of this generation. What is answered before rests on less, and is not to be taken for an
    /// answer of it.
    pub(crate) fn corpus_shown(&self, generation: Generation) {
        self.generation.fetch_max(generation.0, Ordering::SeqCst);
    }

    /// Learns from what somebody says of an answer that was served, or of one that may be. Must come before that is on
    /// record, so that no answer outlives it.
    pub(crate) fn hear(&self, decision: &Decision, judgement: &Judgement) {
        let Some(right) = right(judgement) else { return };
        let mut state = self.state.lock();
        if let Some((entry, ticket)) = state.tickets.take(decision.id) {
            state.guarantee.learn(ticket, right);
            state.answers.judge(entry, right);
        }
        if !right {
            repeated(decision).into_iter().for_each(|request| state.answers.drop_request(request));
        }
    }

    fn standing(&self) -> CacheStanding {
        let state = self.state.lock();
        CacheStanding {
            lookups: state.lookups,
            exact_hits: state.exact_hits,
            similar: state.guarantee.standing(),
            entries: state.answers.len() as u64,
            bytes: state.answers.bytes(),
        }
    }

    /// Everything but the question that an answer depends on.
    fn scope(
        &self,
        query: &Query,
        models: &[&dyn LanguageModel],
        pinned: &Pinned,
        sampling: &Sampling,
        prompts: blake3::Hash,
    ) -> Scope {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.prompts.as_bytes());
        hasher.update(prompts.as_bytes());
        let user = &query.user;
        // Every part has its length before it, so that no two scopes read the same.
        let mut part = |text: String| {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        };
        part(format!("{:?}", user.tenant));
        part(format!("{:?}", user.attributes));
        for model in models {
            part(model.name().to_owned());
            part(model.fingerprint());
        }
        part(format!("{:?} {:?}", pinned.strategy, pinned.depth));
        // Whoever waits for the whole and whoever watches it come are told the same.
        part(format!("{:?}", Sampling { whole: false, ..sampling.clone() }));
        part(format!("{:?}", query.filter));
        part(format!("{} {}", query.top_k, query.target_quality));
        part(format!("{:?} {:?} {}", query.budget, query.latency_budget_ms, self.context));
        for message in &query.conversation {
            part(format!("{:?}", message.role));
            part(message.content.clone());
        }
        Scope(*hasher.finalize().as_bytes())
    }
}

/// Which request's answer is not to be given again once this one's is found wrong. What was served to a similar question may
/// still be right for its own.
fn repeated(decision: &Decision) -> Option<RequestId> {
    match decision.cache.as_ref().filter(|choice| choice.served) {
        Some(CacheChoice { kind: CacheKind::Exact, request, .. }) => *request,
        Some(CacheChoice { kind: CacheKind::Similar, .. }) => None,
        None => Some(decision.id),
    }
}

/// Whether an answer is right, by what somebody says; none where that does not say.
pub(crate) fn right(judgement: &Judgement) -> Option<bool> {
    match judgement {
        Judgement::Thumb { up } => Some(*up),
        Judgement::Score { value } => Some(*value >= 0.5),
        Judgement::Completed { done } => Some(*done),
        Judgement::AskedAgain => Some(false),
        _ => None,
    }
}

/// What is in a file of this version that is whole.
fn read(bytes: &[u8]) -> Option<File> {
    let (version, rest) = bytes.split_first()?;
    let (hash, body) = rest.split_first_chunk::<32>()?;
    let whole = *version == FILE_VERSION && blake3::hash(body) == *hash;
    whole.then(|| postcard::from_bytes(body).ok()).flatten()
}

fn key(scope: &Scope, text: &str, generation: Generation) -> Key {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&scope.0);
    hasher.update(&generation.0.to_le_bytes());
    hasher.update(text.trim().as_bytes());
    Key(*hasher.finalize().as_bytes())
}

impl Engine {
    /// What the cache has served and keeps.
    pub fn cache(&self) -> CacheStanding {
        self.caching.standing()
    }

    /// Looks into the cache, and finds the passages where it has no answer.
    pub(crate) async fn prepare(
        self: &Arc<Self>,
        query: &Query,
        pinned: &Pinned,
        sampling: &Sampling,
    ) -> Result<Prepared, EngineError> {
        self.check_pinned(pinned)?;
        let pending = match self.look_up(query, pinned, sampling).await {
            Lookup::Hit(answering) => return Ok(Prepared::Ready(answering)),
            Lookup::Miss(pending) => pending,
        };
        let choice = pending.as_ref().and_then(|pending| pending.choice.clone());
        let retrieved = self.retrieve(query.clone(), pinned.clone(), choice).await?;
        self.select(query, pinned, sampling, retrieved, pending).await
    }

    /// Serves the request from the cache, or says what is to be kept of the answer to come.
    async fn look_up(self: &Arc<Self>, query: &Query, pinned: &Pinned, sampling: &Sampling) -> Lookup {
        let settings = &self.caching.settings;
        // What a model says beside text, such as calls of tools, is not kept.
        let plain = sampling.passthrough.is_empty() && sampling.verbatim.is_empty();
        let models = self.models_for(pinned);
        if !settings.enabled || models.is_empty() || pinned.fresh || !plain {
            return Lookup::Miss(None);
        }
        let answerer = Answerer::Model(models[0].name().to_owned());
        let generation = Generation(self.caching.generation.load(Ordering::SeqCst));
        let scope = self.caching.scope(query, &models, pinned, sampling, self.prompts.shelf().fingerprint());
        let pending = Box::new(Pending {
            key: key(&scope, &query.text, generation),
            scope,
            text: query.text.clone(),
            question: None,
            likened: query.filter.is_empty(),
            generation,
            compare: None,
            choice: None,
        });
        let same = {
            let mut state = self.caching.state.lock();
            state.lookups += 1;
            state.answers.same(&pending.key, self.clock.now().0)
        };
        // A document may keep its passages and change what filters look at.
        if same.is_none() && !(settings.similar && pending.likened) {
            return Lookup::Miss(Some(pending));
        }
        let query = query.clone();
        let found = self.blocking(move |engine| engine.look_up_now(query, answerer, same, pending)).await;
        found.unwrap_or_else(|error| {
            // What can't be looked up can still be answered.
            tracing::warn!(%error, "answering without a look into the cache");
            Lookup::Miss(None)
        })
    }

    fn look_up_now(
        &self,
        query: Query,
        answerer: Answerer,
        same: Option<Kept>,
        mut pending: Box<Pending>,
    ) -> Result<Lookup, EngineError> {
        let started = Instant::now();
        let caching = &self.caching;
        let now = self.clock.now().0;
        if let Some(kept) = same
            && let Ok(answer) = serde_json::from_slice(&kept.answer)
        {
            caching.state.lock().exact_hits += 1;
            let choice = CacheChoice {
                kind: CacheKind::Exact,
                request: Some(kept.request),
                question: kept.text,
                similarity: 1.0,
                age_ms: kept.age,
                risk: 0.0,
                propensity: 1.0,
                served: true,
            };
            return self.serve(query, answerer, choice, answer, None, started);
        }
        if !(caching.settings.similar && pending.likened) {
            return Ok(Lookup::Miss(Some(pending)));
        }
        let Some(question) = pending.question(self.embedder.as_ref())?.cloned() else {
            return Ok(Lookup::Miss(Some(pending)));
        };
        let hit = {
            let mut state = caching.state.lock();
            let state = &mut *state;
            let similar = state.answers.similar(&pending.scope, &question, OFFERED, SMALLEST_LIKENESS, now);
            let offers: Vec<Offer<'_>> = similar
                .iter()
                .map(|similar| Offer { question: &similar.question, record: similar.record })
                .collect();
            let verdict = state.guarantee.judge(&question, &offers, fastrand::f64());
            verdict.and_then(|verdict| {
                let entry = similar.get(verdict.chosen)?.id;
                let kept = state.answers.answer(entry, now)?;
                Some((verdict, kept))
            })
        };
        if let Some((verdict, kept)) = hit
            && let Ok(answer) = serde_json::from_slice(&kept.answer)
        {
            let choice = CacheChoice {
                kind: CacheKind::Similar,
                request: Some(kept.request),
                question: kept.text,
                similarity: verdict.cosine,
                age_ms: kept.age,
                risk: verdict.risk,
                propensity: verdict.propensity,
                served: verdict.serves(),
            };
            let ticket = verdict.into_ticket();
            if choice.served {
                return self.serve(query, answerer, choice, answer, Some((kept.id, ticket)), started);
            }
            pending.compare = Some((kept.id, ticket));
            pending.choice = Some(choice);
        }
        Ok(Lookup::Miss(Some(pending)))
    }

    /// Hands a kept answer out, under a decision of its own.
    fn serve(
        &self,
        query: Query,
        answerer: Answerer,
        choice: CacheChoice,
        mut answer: Answer,
        ticket: Option<(u64, Ticket)>,
        started: Instant,
    ) -> Result<Lookup, EngineError> {
        let at = self.clock.now();
        let id = RequestId::from_parts(at.0, fastrand::u128(..));
        if let Some(ticket) = ticket {
            self.caching.state.lock().tickets.keep(id, ticket);
        }
        // Of several that might have answered, the one that did.
        let wrote = answer.spent.last().map(|spending| Answerer::Model(spending.model.clone()));
        let answerer = wrote.unwrap_or(answerer);
        let plan = Plan {
            strategy: Strategy::new(POLICY),
            depth: query.top_k,
            context_tokens: self.settings.answer.context_tokens,
            reduction: 0.0,
            answerer,
            parameters: None,
            prompt: None,
        };
        let took = timing(Stage::Plan, started);
        let prediction = Prediction {
            quality: 1.0 - choice.risk,
            quality_deviation: 0.0,
            added: 0.0,
            latency_ms: took.ms,
            cost: Money::ZERO,
            outcomes: 0,
        };
        let served = Candidate { plan, prediction, propensity: choice.propensity };
        let fresh = (choice.propensity < 1.0).then(|| Candidate {
            plan: Plan { strategy: Strategy::new(OTHERWISE), ..served.plan.clone() },
            prediction: Prediction { quality: 1.0, ..prediction },
            propensity: 1.0 - choice.propensity,
        });
        let reason = match choice.kind {
            CacheKind::Exact => "the same was asked before, and nothing has changed since".to_owned(),
            CacheKind::Similar => format!(
                "“{}” was answered before; its answer is wrong with a probability of {:.3}",
                choice.question, choice.risk
            ),
        };
        let decision = Decision {
            id,
            at,
            features: query_features(&query, &self.corpus.lexical.term_idf(&query.text)?),
            sketch: None,
            query: query.text,
            user: query.user,
            policy: POLICY.to_owned(),
            candidates: std::iter::once(served).chain(fresh).collect(),
            chosen: 0,
            reason,
            charge: 0.0,
            cache: Some(choice),
            experiment: None,
        };
        let recorded = self.store.record_decision(decision.clone());
        answer.timings = vec![took];
        answer.usage = Usage::default();
        answer.cost = Some(Money::ZERO);
        answer.spent = Vec::new();
        answer.selective = None;
        answer.at = at;
        let store = Arc::clone(&self.store);
        let (evidence, text) = (answer.evidence.clone(), answer.text.clone());
        let end = async move {
            recorded.durable.await?;
            // Under way once called; whoever reads the decision waits for it.
            drop(store.record_answer(id, answer.clone()));
            Ok(AnswerEvent::Done(Box::new(answer)))
        };
        let words = stream::iter([Ok(AnswerEvent::Text(text))]);
        let events = Box::pin(words.chain(stream::once(end)));
        Ok(Lookup::Hit(Box::new(Answering { decision, evidence, events })))
    }

    /// What is nearest to an answer, for a question whose model does not answer. It is marked where it is handed out, and
    /// so is no part of the promise.
    pub(crate) async fn stand_in(self: &Arc<Self>, pending: Option<Box<Pending>>) -> Option<StandIn> {
        let pending = pending?;
        let found = self.blocking(move |engine| engine.stand_in_now(*pending)).await;
        found.unwrap_or_else(|error| {
            tracing::warn!(%error, "no kept answer can stand in");
            None
        })
    }

    fn stand_in_now(&self, mut pending: Pending) -> Result<Option<StandIn>, EngineError> {
        let Some(asked) = pending.question(self.embedder.as_ref())? else { return Ok(None) };
        let (asked, scope, now) = (asked.clone(), pending.scope, self.clock.now().0);
        let mut state = self.caching.state.lock();
        let similar = state.answers.similar(&scope, &asked, OFFERED, AGREEMENT, now);
        let nearest = similar.iter().find(|similar| agree(&asked, &similar.question, AGREEMENT));
        let kept = nearest.and_then(|nearest| state.answers.answer(nearest.id, now));
        Ok(kept.and_then(|kept| {
            Some(StandIn { question: kept.text, answer: serde_json::from_slice(&kept.answer).ok()? })
        }))
    }

    /// Keeps an answer that was written. What takes its time comes later, unless too much of that has piled up: comparing
    /// the answer with the one that might have been served, and embedding the question of one that `consulted` documents,
    /// so that it can stand in.
    pub(crate) fn keep(
        self: &Arc<Self>,
        mut pending: Pending,
        id: RequestId,
        answer: &Answer,
        consulted: bool,
    ) {
        let whole = answer.finish_reason == "stop" && answer.degraded.is_none() && answer.found;
        if !whole || answer.text.is_empty() {
            return;
        }
        let compare = pending.compare.take();
        let (entry, due) = match self.keep_now(&pending, id, answer) {
            Ok(kept) => kept,
            Err(error) => {
                tracing::warn!(%error, "an answer is not kept for those who ask the same");
                (None, false)
            }
        };
        let liken = entry.filter(|_| consulted && pending.likened && pending.question.is_none());
        if compare.is_none() && liken.is_none() && !due {
            return;
        }
        let Ok(place) = Arc::clone(&self.caching.behind).try_acquire_owned() else { return };
        let (engine, text) = (Arc::clone(self), answer.text.clone());
        tokio::task::spawn_blocking(move || {
            let _place = place;
            if let Err(error) = engine.keep_later(pending, &text, compare, liken, due) {
                tracing::warn!(%error, "a kept answer was not looked at any further");
            }
        });
    }

    /// Returns the entry, where there is one, and whether all are to be written out.
    fn keep_now(
        &self,
        pending: &Pending,
        id: RequestId,
        answer: &Answer,
    ) -> Result<(Option<u64>, bool), EngineError> {
        let now = self.clock.now().0;
        let written = serde_json::to_vec(answer).map_err(|error| EngineError::Internal(error.to_string()))?;
        let chunks: Vec<u64> = answer.evidence.iter().map(|evidence| evidence.chunk.0).collect();
        let fresh = Fresh {
            request: id,
            key: pending.key,
            similar: pending.question.as_ref().map(|question| (pending.scope, question)),
            text: &pending.text,
            answer: &written,
            chunks: &chunks,
            generation: pending.generation.0,
        };
        let mut state = self.caching.state.lock();
        let entry = state.answers.keep(&fresh, now);
        state.kept += u64::from(entry.is_some());
        Ok((entry, entry.is_some() && state.kept.is_multiple_of(WRITTEN_EVERY)))
    }

    fn keep_later(
        &self,
        mut pending: Pending,
        text: &str,
        compare: Option<(u64, Ticket)>,
        liken: Option<u64>,
        due: bool,
    ) -> Result<(), EngineError> {
        if let Some((entry, ticket)) = compare {
            let earlier = self.caching.state.lock().answers.answer(entry, self.clock.now().0);
            let earlier = earlier.and_then(|kept| serde_json::from_slice::<Answer>(&kept.answer).ok());
            // One that is gone meanwhile can't be compared: it goes on counting as wrong.
            if let Some(earlier) = earlier {
                let right = self.agree(&earlier.text, text)?;
                let mut state = self.caching.state.lock();
                state.guarantee.learn(ticket, right);
                state.answers.judge(entry, right);
            }
        }
        if let Some(entry) = liken
            && let Some(question) = pending.question(self.embedder.as_ref())?.cloned()
        {
            self.caching.state.lock().answers.liken(entry, pending.scope, &question);
        }
        if due { self.save_cache() } else { Ok(()) }
    }

    /// Writes the kept answers out, for the next process.
    pub(crate) fn save_cache(&self) -> Result<(), EngineError> {
        // Taken before the answers are: what is heard meanwhile is heard again.
        self.caching.save(self.learned.position())
    }

    /// Whether two answers say the same. A doubt counts as no. What is longer than the encoder reads is compared part by
    /// part: each has to have one like it in the other answer.
    fn agree(&self, one: &str, other: &str) -> Result<bool, EngineError> {
        let (one, other) = (prompt::without_markers(one), prompt::without_markers(other));
        if one.trim() == other.trim() {
            return Ok(true);
        }
        if contradict(&one, &other) {
            return Ok(false);
        }
        let (parts, others) = (self.parts(&one), self.parts(&other));
        let texts: Vec<&str> = parts.iter().chain(&others).map(String::as_str).collect();
        let embeddings = self.embedder.embed(&texts)?;
        let (parts, others) = embeddings.split_at(parts.len().min(embeddings.len()));
        let near = |one: &Embedding, all: &[Embedding]| {
            all.iter().any(|other| one.iter().zip(other).map(|(a, b)| a * b).sum::<f32>() >= AGREEMENT)
        };
        Ok(parts.iter().all(|part| near(part, others)) && others.iter().all(|part| near(part, parts)))
    }

    /// Whole sentences, as many together as the encoder reads in one go.
    fn parts(&self, text: &str) -> Vec<String> {
        let most = self.embedder.max_tokens();
        let mut parts: Vec<String> = Vec::new();
        for sentence in text.split_inclusive(['.', '!', '?', '\n']) {
            match parts.last_mut() {
                Some(part)
                    if self.embedder.count_tokens(part) + self.embedder.count_tokens(sentence) <= most =>
                {
                    part.push_str(sentence);
                }
                _ => parts.push(sentence.to_owned()),
            }
        }
        parts
    }
}
