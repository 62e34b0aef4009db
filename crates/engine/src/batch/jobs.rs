//! Batches that are answered in the background. They survive the end of the process: what was taken is answered in the
//! end, and a question whose result is on disk is not asked again.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use burnish_types::{BatchResult, BatchStanding, BatchState, ModelError, RequestId, StoreError};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

use super::{Ask, Batched};
use crate::{Engine, EngineError};

/// Questions that are looked at in one go: groups are found among them, and a cancellation is heard after them.
const SLICE: usize = 32;
/// The longest wait between two slices that find no room.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Results that are read in one go.
const PAGE: usize = 1_000;

/// Says in a code and in words for the caller what went wrong.
pub type DescribeError = fn(EngineError) -> (String, String);

/// One question of a batch, with the name that its caller has for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchQuestion {
    /// In the caller's own terms.
    pub custom_id: Option<String>,
    /// The model that was named.
    pub model: String,
    /// The question.
    pub ask: Ask,
}

/// What became of one question of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchVerdict {
    /// It was answered.
    Answered {
        /// The request, by which the decision and the answer are found.
        request: RequestId,
        /// How many questions the model was asked at once, this one included.
        together: usize,
    },
    /// It could not be answered.
    Failed {
        /// For programs.
        code: String,
        /// For people.
        message: String,
    },
}

/// The questions as they are kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// Grows when the shape changes.
    v: u32,
    questions: Vec<BatchQuestion>,
}

const VERSION: u32 = 1;

impl Engine {
    /// Takes a batch, which is on disk for good when this resolves, and answers it in the background. To be called
    /// inside an asynchronous runtime, which does the work.
    ///
    /// # Errors
    /// If the batch cannot be stored.
    pub async fn start_batch(
        self: &Arc<Self>,
        questions: Vec<BatchQuestion>,
        describe: DescribeError,
    ) -> Result<BatchStanding, EngineError> {
        let at = self.clock.now();
        let id = RequestId::from_parts(at.0, fastrand::u128(..));
        let count = questions.len();
        let record = written(&Kept { v: VERSION, questions })?;
        self.store.put_batch(id, at, count, record).await?;
        self.work_off(id, describe);
        Ok(BatchStanding { id, at, questions: count, state: BatchState::Open, answered: 0, failed: 0 })
    }

    /// Goes on with the batches that an earlier process left, and says how many these are.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn resume_batches(self: &Arc<Self>, describe: DescribeError) -> Result<usize, EngineError> {
        let open = self.store.open_batches()?;
        open.iter().for_each(|id| self.work_off(*id, describe));
        Ok(open.len())
    }

    /// How far a batch is; `None` where there is none.
    pub async fn batch(self: &Arc<Self>, id: RequestId) -> Result<Option<BatchStanding>, EngineError> {
        self.blocking(move |engine| Ok(engine.store.batch_standing(id)?)).await
    }

    /// The latest batches, the newest first.
    pub async fn batches(self: &Arc<Self>, limit: usize) -> Result<Vec<BatchStanding>, EngineError> {
        self.blocking(move |engine| Ok(engine.store.batches(limit)?)).await
    }

    /// Results of a batch by the place of their question, `limit` of them from the place `from` on, each with its question.
    pub async fn batch_results(
        self: &Arc<Self>,
        id: RequestId,
        from: usize,
        limit: usize,
    ) -> Result<Vec<(usize, BatchQuestion, BatchVerdict)>, EngineError> {
        self.blocking(move |engine| {
            let questions = engine.questions(id)?;
            let results = engine.store.batch_results(id, from, limit)?;
            let read = |result: BatchResult| {
                let question = questions.get(result.place).cloned();
                let verdict = serde_json::from_str(&result.record).map_err(|error| unreadable(id, &error))?;
                Ok(question.map(|question| (result.place, question, verdict)))
            };
            results.into_iter().map(read).filter_map(Result::transpose).collect()
        })
        .await
    }

    /// Ends a batch: what is being answered is answered, and nothing more. Says whether it was open.
    pub async fn cancel_batch(&self, id: RequestId) -> Result<bool, EngineError> {
        Ok(self.store.end_batch(id, BatchState::Cancelled).await?)
    }

    fn questions(&self, id: RequestId) -> Result<Vec<BatchQuestion>, EngineError> {
        let record = self.store.batch_record(id)?.unwrap_or_default();
        let kept: Kept = serde_json::from_str(&record).map_err(|error| unreadable(id, &error))?;
        match kept.v {
            VERSION => Ok(kept.questions),
            other => Err(unreadable(id, &format!("its version is {other}, {VERSION} is the last known"))),
        }
    }

    fn work_off(self: &Arc<Self>, id: RequestId, describe: DescribeError) {
        let engine = Arc::clone(self);
        tokio::spawn(async move {
            // One after the other: a batch has no haste, and what is asked at the door has.
            let _turn = engine.background.acquire().await;
            if let Err(error) = engine.answer_the_rest(id, describe).await {
                // It stays open, so that the next start goes on with it.
                tracing::error!(%error, batch = %id, "a batch cannot go on");
            }
        });
    }

    async fn answer_the_rest(
        self: &Arc<Self>,
        id: RequestId,
        describe: DescribeError,
    ) -> Result<(), EngineError> {
        let mut left: VecDeque<_> = self.blocking(move |engine| engine.unanswered(id)).await?.into();
        // Slices in a row of which nothing was answered.
        let mut fruitless = 0;
        while !left.is_empty() {
            let standing = self.batch(id).await?;
            if standing.is_none_or(|standing| standing.state != BatchState::Open) {
                return Ok(());
            }
            let mut slice: Vec<_> = left.drain(..left.len().min(SLICE)).map(Some).collect();
            let asks = slice.iter().flatten().map(|(_, question)| question.ask.clone()).collect();
            let mut answers = Box::pin(self.answer_as_they_come(asks).await);
            let mut wait = None;
            fruitless += 1;
            while let Some((number, answered)) = answers.next().await {
                let Some((place, question)) = slice.get_mut(number).and_then(Option::take) else { continue };
                let verdict = match answered {
                    Ok(Batched { decision, together, .. }) => {
                        BatchVerdict::Answered { request: decision.id, together }
                    }
                    // Those at the door come first; a batch comes again.
                    Err(EngineError::Model(ModelError::Busy { retry_after, .. })) => {
                        wait = wait.max(Some(retry_after));
                        left.push_back((place, question));
                        continue;
                    }
                    Err(error) => {
                        let (code, message) = describe(error);
                        BatchVerdict::Failed { code, message }
                    }
                };
                fruitless = 0;
                let failed = matches!(verdict, BatchVerdict::Failed { .. });
                let result = BatchResult { place, failed, record: written(&verdict)? };
                self.store.put_batch_result(id, result).await?;
            }
            if let Some(wait) = wait {
                tokio::time::sleep((wait * (1 << fruitless.min(10))).min(LONGEST_WAIT)).await;
            }
        }
        self.store.end_batch(id, BatchState::Completed).await?;
        Ok(())
    }

    fn unanswered(&self, id: RequestId) -> Result<Vec<(usize, BatchQuestion)>, EngineError> {
        let mut done: BTreeSet<usize> = BTreeSet::new();
        loop {
            let from = done.last().map_or(0, |last| last + 1);
            let page = self.store.batch_results(id, from, PAGE)?;
            if page.is_empty() {
                break;
            }
            done.extend(page.iter().map(|result| result.place));
        }
        let questions = self.questions(id)?.into_iter().enumerate();
        Ok(questions.filter(|(place, _)| !done.contains(place)).collect())
    }
}

fn written<T: Serialize>(value: &T) -> Result<String, EngineError> {
    serde_json::to_string(value)
        .map_err(|error| EngineError::Internal(format!("a batch cannot be written: {error}")))
}

fn unreadable(id: RequestId, reason: &dyn std::fmt::Display) -> EngineError {
    StoreError::Corrupt { what: "batch", path: id.to_string(), reason: reason.to_string() }.into()
}
