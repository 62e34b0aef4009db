//! What is learned: a fold over the outcome log, kept in memory, written down now and then.

use std::collections::{BTreeMap, BTreeSet};

use burnish_learning::{Memory, Performance, Recall, Testimony};
use burnish_types::{
    ChunkId, Embedder, Embedding, LoggedOutcome, Prediction, Query, Store, Strategy, UserContext,
};
use parking_lot::{Mutex, RwLock};

use crate::{EngineError, related};

/// Names the form of the snapshot; a state of another form is folded anew from the log.
const LEARNER: &str = "learned-2";
const FOLD_STEP: usize = 1_000;
/// Outcomes after which a snapshot is written, which bounds the work of a start after a crash.
const SNAPSHOT_STEP: u64 = 500;
/// A request's latency counts as much as this share of all before it, so that the mean follows the machine.
const LATENCY_STEP: f64 = 0.05;

/// What is learned, with the place in the log that it is folded up to.
pub(crate) struct Learned {
    fold: RwLock<Fold>,
    latency_ms: Mutex<BTreeMap<Strategy, f64>>,
}

#[derive(Default)]
struct Fold {
    position: u64,
    written: u64,
    performance: Performance,
    memory: Memory,
}

impl Fold {
    /// The last snapshot; nothing where there is none.
    fn read(store: &dyn Store) -> Result<Self, EngineError> {
        let Some((position, bytes)) = store.snapshot(LEARNER)? else { return Ok(Self::default()) };
        let parts: Option<(Vec<u8>, Vec<u8>)> = postcard::from_bytes(&bytes).ok();
        let known = parts.and_then(|(performance, memory)| {
            Some((Performance::from_bytes(&performance)?, Memory::from_bytes(&memory)?))
        });
        Ok(known.map_or_else(Self::default, |(performance, memory)| Self {
            position,
            written: position,
            performance,
            memory,
        }))
    }

    /// Folds in everything of the log that is not in yet.
    fn catch_up(&mut self, store: &dyn Store, embedder: &dyn Embedder) -> Result<(), EngineError> {
        loop {
            let log = store.outcome_log(self.position, FOLD_STEP)?;
            if log.is_empty() {
                return Ok(());
            }
            let mut questions = Questions::embedded(&log, embedder)?;
            for logged in &log {
                if let Some(candidate) = logged.decision.choice() {
                    self.performance.observe(&candidate.plan.strategy, &logged.outcome.judgement);
                }
                if let Some(embedding) = questions.next(logged) {
                    self.memory.observe(&Shown::of(logged).testimony(logged), &embedding);
                }
                self.position = logged.position;
            }
        }
    }

    /// Drops what speaks of chunks that are not there anymore.
    fn forget_the_gone(&mut self, store: &dyn Store) -> Result<(), EngineError> {
        let remembered: Vec<ChunkId> = self.memory.chunks().into_iter().collect();
        let there: BTreeSet<ChunkId> = store.chunks(&remembered)?.into_iter().map(|chunk| chunk.id).collect();
        self.memory.forget_passages(|chunk| !there.contains(&chunk));
        Ok(())
    }

    fn write(&mut self, store: &dyn Store) -> Result<(), EngineError> {
        let parts = (self.performance.to_bytes(), self.memory.to_bytes());
        let bytes = postcard::to_allocvec(&parts)
            .map_err(|error| EngineError::Internal(format!("what was learned cannot be written: {error}")))?;
        store.put_snapshot(LEARNER, self.position, &bytes)?;
        self.written = self.position;
        Ok(())
    }
}

/// The embeddings of those questions of a part of the log whose outcomes concern passages, made in one go.
struct Questions {
    embeddings: std::vec::IntoIter<Embedding>,
}

impl Questions {
    fn embedded(log: &[LoggedOutcome], embedder: &dyn Embedder) -> Result<Self, EngineError> {
        let concerned = log.iter().filter(|logged| Shown::of(logged).testimony(logged).concerns_passages());
        let texts: Vec<&str> = concerned.map(|logged| logged.decision.query.as_str()).collect();
        Ok(Self { embeddings: embedder.embed(&texts)?.into_iter() })
    }

    /// The embedding of `logged`'s question, where it is needed. To be asked in the order of the log.
    fn next(&mut self, logged: &LoggedOutcome) -> Option<Embedding> {
        if Shown::of(logged).testimony(logged).concerns_passages() { self.embeddings.next() } else { None }
    }
}

/// The passages of an answer, by their ids.
struct Shown {
    shown: Vec<ChunkId>,
    cited: Vec<ChunkId>,
}

impl Shown {
    fn of(logged: &LoggedOutcome) -> Self {
        let evidence = logged.answer.iter().flat_map(|answer| &answer.evidence);
        let citations = logged.answer.iter().flat_map(|answer| &answer.citations);
        Self {
            shown: evidence.map(|evidence| evidence.chunk).collect(),
            cited: citations.map(|citation| citation.chunk).collect(),
        }
    }

    fn testimony<'a>(&'a self, logged: &'a LoggedOutcome) -> Testimony<'a> {
        let UserContext { tenant, user, .. } = &logged.decision.user;
        Testimony {
            tenant: tenant.as_deref(),
            reporter: logged.outcome.user.as_deref().or(user.as_deref()),
            start: related::start_of(&logged.decision),
            question: &logged.decision.query,
            at: logged.outcome.at,
            judgement: &logged.outcome.judgement,
            shown: &self.shown,
            cited: &self.cited,
        }
    }
}

impl Learned {
    /// The last snapshot, and the log from there on; the whole log where there is none.
    pub(crate) fn from_log(store: &dyn Store, embedder: &dyn Embedder) -> Result<Self, EngineError> {
        let mut fold = Fold::read(store)?;
        fold.catch_up(store, embedder)?;
        fold.forget_the_gone(store)?;
        Ok(Self { fold: RwLock::new(fold), latency_ms: Mutex::default() })
    }

    /// Folds in what came since, and writes a snapshot where much came.
    pub(crate) fn catch_up(&self, store: &dyn Store, embedder: &dyn Embedder) -> Result<(), EngineError> {
        let mut fold = self.fold.write();
        fold.catch_up(store, embedder)?;
        if fold.position >= fold.written + SNAPSHOT_STEP { fold.write(store) } else { Ok(()) }
    }

    /// Folds the whole log anew, after something was taken out of it.
    pub(crate) fn fold_anew(&self, store: &dyn Store, embedder: &dyn Embedder) -> Result<(), EngineError> {
        // Held meanwhile, so that nothing is folded into a state that is about to go.
        let mut fold = self.fold.write();
        let mut anew = Fold::default();
        anew.catch_up(store, embedder)?;
        anew.forget_the_gone(store)?;
        *fold = anew;
        Ok(())
    }

    pub(crate) fn snapshot(&self, store: &dyn Store) -> Result<(), EngineError> {
        self.fold.write().write(store)
    }

    pub(crate) fn forget_the_gone(&self, store: &dyn Store) -> Result<(), EngineError> {
        self.fold.write().forget_the_gone(store)
    }

    /// Whether feedback could move anything for whoever asks.
    pub(crate) fn remembers(&self, user: &UserContext) -> bool {
        self.fold.read().memory.knows(user.tenant.as_deref())
    }

    /// What feedback says of `query`.
    pub(crate) fn recall(&self, query: &Query, embedding: &[f32]) -> Recall {
        self.fold.read().memory.recall(query.user.tenant.as_deref(), &query.text, embedding)
    }

    /// Looks into the memory of feedback.
    pub(crate) fn memory<T>(&self, look: impl FnOnce(&Memory) -> T) -> T {
        look(&self.fold.read().memory)
    }

    pub(crate) fn predict(&self, strategy: &Strategy) -> Prediction {
        let latency = self.latency_ms.lock().get(strategy).copied().unwrap_or_default();
        self.fold.read().performance.predict(strategy, latency)
    }

    pub(crate) fn observe_latency(&self, strategy: &Strategy, ms: f64) {
        let mut known = self.latency_ms.lock();
        let mean = known.entry(strategy.clone()).or_insert(ms);
        *mean += LATENCY_STEP * (ms - *mean);
    }
}
