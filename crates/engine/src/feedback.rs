//! What became of answers: taking it, and taking it back.

use std::sync::Arc;

use burnish_types::{ChunkId, Judgement, Outcome, RequestId, StoredDecision};

use crate::{Engine, EngineError};

/// Outcomes that one request may have. What comes after that adds nothing: of each person the last word counts.
const MOST_OUTCOMES: usize = 200;

/// What somebody says of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The request.
    pub request: RequestId,
    /// What is said.
    pub judgement: Judgement,
    /// Free words.
    pub comment: Option<String>,
    /// Whose it is; a request of another tenant is not there.
    pub tenant: Option<String>,
    /// Who says it; whoever asked, where nobody is named.
    pub user: Option<String>,
}

impl Report {
    /// Said by whoever asked.
    pub fn new(request: RequestId, judgement: Judgement) -> Self {
        Self { request, judgement, comment: None, tenant: None, user: None }
    }
}

impl Engine {
    /// Records what became of a request. It is on disk for good when this resolves, and learned from.
    ///
    /// # Errors
    /// If no request of the tenant has this id, a figure is out of range, the passage is not there or, where it was
    /// opened, was not shown, or the request has had all the reports that it may have.
    pub async fn feedback(self: &Arc<Self>, report: Report) -> Result<Outcome, EngineError> {
        let Report { request, judgement, comment, tenant, user } = report;
        in_range(&judgement)?;
        let stored = self.store.decision(request).await?;
        let stored = stored.filter(|stored| stored.decision.user.tenant == tenant);
        let stored = stored.ok_or(EngineError::UnknownRequest(request))?;
        if stored.outcomes.len() >= MOST_OUTCOMES {
            return Err(EngineError::InvalidFeedback(format!(
                "the request `{request}` has {MOST_OUTCOMES} reports already: no more are taken"
            )));
        }
        if let Some(chunk) = judgement.chunk() {
            let opened = matches!(judgement, Judgement::Opened { .. });
            if !shows(&stored, chunk) && (opened || self.chunk(chunk).await?.is_none()) {
                return Err(EngineError::UnknownChunk { request, chunk });
            }
        }
        let outcome = Outcome { request, at: self.clock.now(), judgement, comment, user };
        let heard = outcome.judgement.clone();
        self.blocking(move |engine| {
            engine.caching.hear(&stored.decision, &heard);
            engine.selective.hear(stored.decision.id, &heard);
            Ok(())
        })
        .await?;
        self.store.record_outcomes(vec![outcome.clone()]).await?;
        self.blocking(Self::learn).await?;
        Ok(outcome)
    }

    /// Drops for good what `user` of `tenant` reported, and everything that was learned from it. Returns how many
    /// reports that were.
    pub async fn forget_user(
        self: &Arc<Self>,
        tenant: Option<String>,
        user: String,
    ) -> Result<u64, EngineError> {
        self.blocking(move |engine| {
            let store = engine.store.as_ref();
            let mut taken_back = engine.taken_back.lock();
            let forgotten = store.forget_user(tenant.as_deref(), &user)?;
            if forgotten > 0 {
                *taken_back += 1;
                engine.learned.fold_anew(store, engine.embedder.as_ref())?;
                engine.forget_trees()?;
                engine.sketches.write(store)?;
                engine.prompts.fold_anew(store)?;
                engine.prompts.examples.catch_up(store, engine.embedder.as_ref())?;
            }
            Ok(forgotten)
        })
        .await
    }

    /// Folds in the outcomes that came since the last time.
    pub(crate) fn learn(&self) -> Result<(), EngineError> {
        let (store, embedder) = (self.store.as_ref(), self.embedder.as_ref());
        let heard = self.learned.catch_up(store, embedder, || self.planner.account())?;
        self.planner.hear(heard);
        self.prompts.catch_up(store)?;
        self.prompts.examples.catch_up(store, embedder)?;
        self.watch_trees()
    }

    /// A decision with its answer and outcomes.
    pub async fn decision(&self, id: RequestId) -> Result<Option<StoredDecision>, EngineError> {
        Ok(self.store.decision(id).await?)
    }
}

fn in_range(judgement: &Judgement) -> Result<(), EngineError> {
    match judgement {
        Judgement::Score { value } | Judgement::Supported { value } if !(0.0..=1.0).contains(value) => {
            Err(EngineError::InvalidFeedback(format!("a score lies between 0 and 1; {value} does not")))
        }
        _ => Ok(()),
    }
}

fn shows(stored: &StoredDecision, chunk: ChunkId) -> bool {
    let mut shown = stored.answer.iter().flat_map(|answer| &answer.evidence);
    shown.any(|evidence| evidence.chunk == chunk)
}
