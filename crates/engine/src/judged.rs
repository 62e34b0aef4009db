//! What the log says that requests were worth.

use burnish_learning::{Settled, settle};
use burnish_types::{
    Answer, ChunkId, Decision, LoggedOutcome, Outcome, RequestId, StoredDecision, Timestamp,
};

use crate::{Engine, EngineError, log, related};

/// What is trusted less, as the engine's own signal is, does not count as a judgement.
const SMALLEST_TRUST: f64 = 0.1;

/// What all reports on a request say of its plan, together; nothing where the answer did not come from that. Those that name nobody are the asker's own, like those that name the
/// asker.
fn settled(decision: &Decision, answer: Option<&Answer>, outcomes: &[Outcome]) -> Option<Settled> {
    if answer.is_some_and(|answer| !answer.origin.is_plan()) {
        return None;
    }
    let asker = &decision.user.user;
    let named = |outcome: &Outcome| Outcome {
        user: outcome.user.clone().or_else(|| asker.clone()),
        ..outcome.clone()
    };
    let outcomes: Vec<Outcome> = outcomes.iter().map(named).collect();
    let evidence = answer.iter().flat_map(|answer| &answer.evidence);
    let shown: Vec<ChunkId> = evidence.map(|evidence| evidence.chunk).collect();
    settle(&outcomes, &shown)
}

/// As [`settled`], of a decision of the log.
pub(crate) fn settled_in(stored: &StoredDecision) -> Option<Settled> {
    settled(&stored.decision, stored.answer.as_ref(), &stored.outcomes)
}

/// As [`settled`], of a report with all that came before it.
pub(crate) fn settled_with(logged: &LoggedOutcome) -> Option<Settled> {
    let mut outcomes = logged.earlier.clone();
    outcomes.push(logged.outcome.clone());
    settled(&logged.decision, logged.answer.as_ref(), &outcomes)
}

/// As [`settled`], of what came before a report.
pub(crate) fn settled_before(logged: &LoggedOutcome) -> Option<Settled> {
    settled(&logged.decision, logged.answer.as_ref(), &logged.earlier)
}

/// Whether this is enough to be a judgement.
pub(crate) fn is_judgement(settled: &Settled) -> bool {
    settled.trust >= SMALLEST_TRUST
}

impl Engine {
    /// The decisions between two times, the first included, that were judged, in the order of time: for replaying.
    pub fn judged_decisions(
        &self,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<(Decision, Settled)>, EngineError> {
        let mut found = Vec::new();
        self.each_judged(from, to, |stored, settled| found.push((stored.decision, settled)))?;
        Ok(found)
    }

    /// Hands the judged decisions on questions between two times to `take`, in the order of time.
    pub(crate) fn each_judged(
        &self,
        from: Timestamp,
        to: Timestamp,
        mut take: impl FnMut(StoredDecision, Settled),
    ) -> Result<(), EngineError> {
        for stored in log::decisions(self.store.as_ref(), Some(RequestId::from_parts(from.0, 0))) {
            let stored = stored?;
            if stored.decision.at >= to {
                break;
            }
            if related::is_of_question(&stored.decision)
                && let Some(settled) = settled_in(&stored)
            {
                take(stored, settled);
            }
        }
        Ok(())
    }
}
