//! Patterns in the log of this data directory: found by a step of its own, kept, and shown.

use std::collections::{BTreeMap, VecDeque};

use burnish_learning::patterns::{Case, Patterns, find_patterns};
use burnish_types::{Decision, Embedding, Timestamp};
use serde::{Deserialize, Serialize};

use crate::judged::is_judgement;
use crate::planner::PINNED;
use crate::{Engine, EngineError};

/// Names the form in which the last patterns are kept.
const SNAPSHOT: &str = "patterns-1";
/// Decisions that are looked at, the latest ones.
const MOST_CASES: usize = 20_000;
/// Questions that are embedded in one go.
const EMBEDDED_TOGETHER: usize = 64;

/// Patterns, and what they were found in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoundPatterns {
    /// When they were looked for.
    pub at: Timestamp,
    /// The first decision that was looked at.
    pub from: Timestamp,
    /// The last one.
    pub to: Timestamp,
    /// What everything random was drawn from.
    pub seed: u64,
    /// Judged decisions that were left out, for the caller had made them.
    pub pinned: usize,
    /// The patterns.
    pub patterns: Patterns,
}

impl Engine {
    /// Looks for patterns in what was judged of the decisions between two times, the first included, and keeps them in
    /// place of the last ones. `progress` is told how many of how many questions are embedded.
    pub fn find_patterns(
        &self,
        from: Timestamp,
        to: Timestamp,
        seed: u64,
        progress: &dyn Fn(usize, usize),
    ) -> Result<FoundPatterns, EngineError> {
        let taken_back = *self.taken_back.lock();
        let mut cases: VecDeque<Case> = VecDeque::new();
        let mut pinned = 0;
        self.each_judged(from, to, |stored, settled| {
            if !is_judgement(&settled) {
                return;
            }
            match case(stored.decision, settled.quality) {
                Some(case) => cases.push_back(case),
                None => pinned += 1,
            }
            if cases.len() > MOST_CASES {
                cases.pop_front();
            }
        })?;
        let mut cases: Vec<Case> = cases.into();
        self.embed_cases(&mut cases, progress)?;
        let found = FoundPatterns {
            at: self.clock.now(),
            from: cases.first().map_or(from, |case| case.at),
            to: cases.last().map_or(from, |case| case.at),
            seed,
            pinned,
            patterns: find_patterns(&cases, seed),
        };
        let bytes = serde_json::to_vec(&found)
            .map_err(|error| EngineError::Internal(format!("the patterns cannot be written: {error}")))?;
        let now = self.taken_back.lock();
        if *now != taken_back {
            return Err(EngineError::TakenBack);
        }
        self.store.put_snapshot(SNAPSHOT, self.learned.position(), &bytes)?;
        Ok(found)
    }

    /// The patterns that were found last.
    pub fn patterns(&self) -> Result<Option<FoundPatterns>, EngineError> {
        let Some((_, bytes)) = self.store.snapshot(SNAPSHOT)? else { return Ok(None) };
        let found = serde_json::from_slice(&bytes);
        Ok(found
            .inspect_err(|error| tracing::warn!(%error, "the patterns that were found last cannot be read"))
            .ok())
    }

    fn embed_cases(&self, cases: &mut [Case], progress: &dyn Fn(usize, usize)) -> Result<(), EngineError> {
        let mut known: BTreeMap<String, Embedding> =
            cases.iter().map(|case| (case.question.clone(), Embedding::new())).collect();
        let questions: Vec<String> = known.keys().cloned().collect();
        let mut embedded = 0;
        for part in questions.chunks(EMBEDDED_TOGETHER) {
            let texts: Vec<&str> = part.iter().map(String::as_str).collect();
            for (question, embedding) in part.iter().zip(self.embedder.embed(&texts)?) {
                known.insert(question.clone(), embedding);
            }
            embedded += part.len();
            progress(embedded, questions.len());
        }
        for case in cases {
            case.embedding = known.get(&case.question).cloned().unwrap_or_default();
        }
        Ok(())
    }
}

/// A decision as a case, without its embedding; `None` where the caller made it.
fn case(decision: Decision, quality: f64) -> Option<Case> {
    let strategy = decision.choice().filter(|_| decision.policy != PINNED)?.plan.strategy.to_string();
    let (strategies, _) = decision.strategies();
    Some(Case {
        propensities: strategies
            .into_iter()
            .map(|(candidate, propensity)| (candidate.plan.strategy.to_string(), propensity))
            .collect(),
        question: decision.query,
        embedding: Embedding::new(),
        at: decision.at,
        features: decision.features,
        strategy,
        quality,
    })
}
