//! Answers that people confirmed, to show a model the manner: those to the most similar questions, for as long as the passages
//! that they cite are there.

use std::collections::VecDeque;

use burnish_learning::Settled;
use burnish_prompt::{Example, suspicion};
use burnish_types::{Answerer, ChunkId, Embedder, Embedding, LoggedOutcome, Store, dot};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::judged::{is_judgement, settled_with};
use crate::{EngineError, related};

/// Its name in the store, and its form.
const SNAPSHOT: &str = "examples-1";
/// So many confirmed answers are kept, the newest ones.
const MOST_KEPT: usize = 1_000;
/// Outcomes after which they are written down.
const WRITE_STEP: u64 = 100;
/// The quality from which on an answer is confirmed.
const CONFIRMED: f64 = 0.9;
/// Characters of an answer; a longer one is no example.
const LONGEST: usize = 1_200;
/// The least likeness of two questions.
const LEAST_LIKENESS: f32 = 0.4;

/// The confirmed answers; none are kept where none are wanted.
pub(crate) struct Examples {
    wanted: usize,
    kept: Mutex<Kept>,
}

#[derive(Default, Serialize, Deserialize)]
struct Kept {
    position: u64,
    answers: VecDeque<Confirmed>,
    #[serde(skip)]
    written: u64,
}

#[derive(Serialize, Deserialize)]
struct Confirmed {
    request: String,
    tenant: Option<String>,
    example: Example,
    chunks: Vec<u64>,
    embedding: Embedding,
}

impl Examples {
    pub(super) fn read(store: &dyn Store, wanted: usize) -> Result<Self, EngineError> {
        let known = store.snapshot(SNAPSHOT)?.filter(|_| wanted > 0);
        let kept = known.and_then(|(_, bytes)| postcard::from_bytes(&bytes).ok()).unwrap_or_default();
        Ok(Self { wanted, kept: Mutex::new(kept) })
    }

    /// Folds in what came since, and writes that down.
    pub(crate) fn catch_up(&self, store: &dyn Store, embedder: &dyn Embedder) -> Result<(), EngineError> {
        if self.wanted == 0 {
            return Ok(());
        }
        let mut kept = self.kept.lock();
        loop {
            let log = store.outcome_log(kept.position, super::FOLD_STEP)?;
            let Some(last) = log.last().map(|logged| logged.position) else { break };
            for logged in &log {
                kept.hear(logged, embedder)?;
            }
            kept.position = last;
        }
        if kept.position >= kept.written + WRITE_STEP { kept.write(store) } else { Ok(()) }
    }

    /// Lets go of everything, after something was taken out of the log.
    pub(crate) fn forget(&self, store: &dyn Store) -> Result<(), EngineError> {
        let mut kept = self.kept.lock();
        *kept = Kept::default();
        kept.write(store)
    }

    /// Writes what is kept, so that the next start has less to do.
    pub(crate) fn write(&self, store: &dyn Store) -> Result<(), EngineError> {
        if self.wanted == 0 { Ok(()) } else { self.kept.lock().write(store) }
    }

    /// The examples for a question of a tenant, the most similar one first.
    pub(super) fn like(
        &self,
        store: &dyn Store,
        tenant: Option<&str>,
        embedding: &[f32],
    ) -> Result<Vec<Example>, EngineError> {
        if self.wanted == 0 {
            return Ok(Vec::new());
        }
        let kept = self.kept.lock();
        let mut alike: Vec<(f32, &Confirmed)> = kept
            .answers
            .iter()
            .filter(|known| known.tenant.as_deref() == tenant)
            .map(|known| (dot(&known.embedding, embedding), known))
            .filter(|(likeness, _)| *likeness >= LEAST_LIKENESS)
            .collect();
        alike.sort_by(|left, right| right.0.total_cmp(&left.0));
        let mut examples = Vec::with_capacity(self.wanted);
        for (_, known) in alike {
            if examples.len() == self.wanted {
                break;
            }
            // What it rests on may have changed since.
            let chunks: Vec<ChunkId> = known.chunks.iter().copied().map(ChunkId).collect();
            if store.chunks(&chunks)?.len() == chunks.len() {
                examples.push(known.example.clone());
            }
        }
        Ok(examples)
    }
}

impl Kept {
    fn write(&mut self, store: &dyn Store) -> Result<(), EngineError> {
        let bytes = postcard::to_allocvec(&*self)
            .map_err(|error| EngineError::Internal(format!("examples cannot be written: {error}")))?;
        store.put_snapshot(SNAPSHOT, self.position, &bytes)?;
        self.written = self.position;
        Ok(())
    }

    fn hear(&mut self, logged: &LoggedOutcome, embedder: &dyn Embedder) -> Result<(), EngineError> {
        let LoggedOutcome { decision, answer, .. } = logged;
        let modelled =
            decision.choice().is_some_and(|choice| matches!(choice.plan.answerer, Answerer::Model(_)));
        let (Some(answer), true) = (answer, modelled && related::is_of_question(decision)) else {
            return Ok(());
        };
        let request = decision.id.to_string();
        self.answers.retain(|known| known.request != request);
        let good = |settled: Settled| is_judgement(&settled) && settled.quality >= CONFIRMED;
        let shows = answer.found && !answer.citations.is_empty() && answer.text.chars().count() <= LONGEST;
        // What somebody has asked and had confirmed is read by everybody who asks the like.
        let plain = shows && suspicion(&decision.query).is_none() && suspicion(&answer.text).is_none();
        if !plain || !settled_with(logged).is_some_and(good) {
            return Ok(());
        }
        let embedding = embedder.embed(&[decision.query.as_str()])?.pop().unwrap_or_default();
        let mut chunks: Vec<u64> = answer.citations.iter().map(|citation| citation.chunk.0).collect();
        chunks.sort_unstable();
        chunks.dedup();
        self.answers.push_back(Confirmed {
            request,
            tenant: decision.user.tenant.clone(),
            example: Example::new(&decision.query, &answer.text),
            chunks,
            embedding,
        });
        if self.answers.len() > MOST_KEPT {
            self.answers.pop_front();
        }
        Ok(())
    }
}
