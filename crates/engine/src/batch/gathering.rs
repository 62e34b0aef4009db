//! Questions that come at about the same time, from whomever: each waits a moment, and those that rest on the same
//! passages are asked together.

use std::sync::Arc;
use std::time::Duration;

use burnish_types::{Answerer, Query};
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{Ask, Batched, Open};
use crate::caching::Pending;
use crate::pipeline::Retrieved;
use crate::{AnswerEvent, Answering, Engine, EngineError, Pinned, Sampling};

/// Questions that wait at one time; the next ones begin a gathering of their own.
const MOST_WAITING: usize = 64;

type Reply = oneshot::Sender<Result<Batched, EngineError>>;

/// The questions that wait.
pub(crate) struct Gathering {
    /// How long the first one waits; nobody does where this is zero.
    window: Duration,
    waiting: Mutex<Vec<(Open, Reply)>>,
}

impl Gathering {
    pub(crate) fn new(window: Duration) -> Self {
        Self { window, waiting: Mutex::default() }
    }
}

impl Engine {
    /// Whether a question may wait for others: one that is alone in its conversation, whose answer nobody watches come or
    /// limits, and that is put to a language model in words alone.
    pub(crate) fn may_gather(&self, query: &Query, sampling: &Sampling, retrieved: &Retrieved) -> bool {
        let plan = retrieved.decision.choice().map(|choice| &choice.plan);
        let plain = sampling.whole && sampling.passthrough.is_empty() && sampling.verbatim.is_empty();
        !self.gathering.window.is_zero()
            && plain
            && sampling.max_tokens.is_none()
            && query.conversation.is_empty()
            && !retrieved.evidence.is_empty()
            && plan.is_some_and(|plan| matches!(plan.answerer, Answerer::Model(_)))
    }

    /// Answers a question whose passages were found, together with what else comes within the window.
    pub(crate) async fn answer_gathered(
        self: &Arc<Self>,
        query: Query,
        sampling: Sampling,
        retrieved: Retrieved,
        pending: Option<Box<Pending>>,
    ) -> Result<Answering, EngineError> {
        let ask = Ask { query, pinned: Pinned::default(), sampling };
        let (reply, answered) = oneshot::channel();
        let (first, full) = {
            let mut waiting = self.gathering.waiting.lock();
            let place = waiting.len();
            waiting.push((Open { place, ask, retrieved, pending }, reply));
            let full = waiting.len() >= MOST_WAITING;
            (place == 0, full.then(|| std::mem::take(&mut *waiting)))
        };
        if let Some(gathered) = full {
            tokio::spawn(Arc::clone(self).answer_all(gathered));
        } else if first {
            let engine = Arc::clone(self);
            tokio::spawn(async move {
                tokio::time::sleep(engine.gathering.window).await;
                let gathered = std::mem::take(&mut *engine.gathering.waiting.lock());
                engine.answer_all(gathered).await;
            });
        }
        let cut_short = || EngineError::Internal("an answer was cut short".to_owned());
        let Batched { decision, answer, .. } = answered.await.map_err(|_| cut_short())??;
        let evidence = answer.evidence.clone();
        let text = AnswerEvent::Text(answer.text.clone());
        let events = stream::iter([Ok(text), Ok(AnswerEvent::Done(Box::new(answer)))]);
        Ok(Answering { decision, evidence, events: Box::pin(events) })
    }

    async fn answer_all(self: Arc<Self>, gathered: Vec<(Open, Reply)>) {
        let (open, replies): (Vec<Open>, Vec<Reply>) = gathered.into_iter().unzip();
        let mut replies: Vec<Option<Reply>> = replies.into_iter().map(Some).collect();
        // Nobody waits for another's turn: alone each would have been asked at once.
        let all = open.len().max(1);
        let mut answers = Box::pin(self.answer_open(open, all).await);
        while let Some((place, answer)) = answers.next().await {
            if let Some(reply) = replies.get_mut(place).and_then(Option::take) {
                // Whoever asked may have left.
                let _ = reply.send(answer);
            }
        }
    }
}
