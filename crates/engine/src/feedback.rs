//! What became of answers, and what is learned from it: a fold over the outcome log.

use std::collections::BTreeMap;
use std::sync::Arc;

use burnish_learning::Performance;
use burnish_types::{Judgement, Outcome, Prediction, RequestId, Store, StoredDecision, Strategy};
use parking_lot::Mutex;

use crate::{Engine, EngineError};

const LEARNER: &str = "performance-1";
const FOLD_STEP: usize = 10_000;
/// A request's latency counts as much as this share of all before it, so that the mean follows the machine.
const LATENCY_STEP: f64 = 0.05;

/// What is learned, with the place in the log that it is folded up to.
pub(crate) struct Learned {
    fold: Mutex<Fold>,
    latency_ms: Mutex<BTreeMap<Strategy, f64>>,
}

#[derive(Clone, Default)]
struct Fold {
    position: u64,
    performance: Performance,
}

impl Fold {
    /// Folds in everything of the log that is not in yet.
    fn catch_up(&mut self, store: &dyn Store) -> Result<(), EngineError> {
        loop {
            let log = store.outcome_log(self.position, FOLD_STEP)?;
            let Some((last, ..)) = log.last() else { return Ok(()) };
            self.position = *last;
            for (_, outcome, decision) in &log {
                if let Some(candidate) = decision.choice() {
                    self.performance.observe(&candidate.plan.strategy, &outcome.judgement);
                }
            }
        }
    }
}

impl Learned {
    /// The last snapshot, and the log from there on; the whole log where there is none.
    pub(crate) fn from_log(store: &dyn Store) -> Result<Self, EngineError> {
        let snapshot = store.snapshot(LEARNER)?;
        let known = snapshot.and_then(|(position, bytes)| {
            Performance::from_bytes(&bytes).map(|performance| Fold { position, performance })
        });
        let mut fold = known.unwrap_or_default();
        fold.catch_up(store)?;
        Ok(Self { fold: Mutex::new(fold), latency_ms: Mutex::default() })
    }

    pub(crate) fn snapshot(&self, store: &dyn Store) -> Result<(), EngineError> {
        let fold = self.fold.lock().clone();
        Ok(store.put_snapshot(LEARNER, fold.position, &fold.performance.to_bytes())?)
    }

    pub(crate) fn predict(&self, strategy: &Strategy) -> Prediction {
        let latency = self.latency_ms.lock().get(strategy).copied().unwrap_or_default();
        self.fold.lock().performance.predict(strategy, latency)
    }

    pub(crate) fn observe_latency(&self, strategy: &Strategy, ms: f64) {
        let mut known = self.latency_ms.lock();
        let mean = known.entry(strategy.clone()).or_insert(ms);
        *mean += LATENCY_STEP * (ms - *mean);
    }
}

impl Engine {
    /// Records what became of a request. It is on disk for good when this resolves.
    pub async fn feedback(
        self: &Arc<Self>,
        request: RequestId,
        judgement: Judgement,
        comment: Option<String>,
    ) -> Result<Outcome, EngineError> {
        if let Judgement::Score { value } = judgement
            && !(0.0..=1.0).contains(&value)
        {
            return Err(EngineError::InvalidFeedback(format!(
                "a score lies between 0 and 1; {value} does not"
            )));
        }
        if let Judgement::Passage { chunk, .. } = judgement {
            let stored = self.store.decision(request).await?.ok_or(EngineError::UnknownRequest(request))?;
            let shown = stored.answer.iter().flat_map(|answer| &answer.evidence);
            if !shown.into_iter().any(|evidence| evidence.chunk == chunk) {
                return Err(EngineError::UnknownChunk { request, chunk });
            }
        }
        let outcome = Outcome { request, at: self.clock.now(), judgement, comment, user: None };
        self.store.record_outcomes(vec![outcome.clone()]).await?;
        self.blocking(|engine| engine.learned.fold.lock().catch_up(engine.store.as_ref())).await?;
        Ok(outcome)
    }

    /// A decision with its answer and outcomes.
    pub async fn decision(&self, id: RequestId) -> Result<Option<StoredDecision>, EngineError> {
        Ok(self.store.decision(id).await?)
    }
}
