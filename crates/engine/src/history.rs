//! Where learning stands: what is expected, what was reached, what exploration has cost, and what the log says of
//! the strategies that were not taken.

use std::collections::BTreeMap;
use std::sync::Arc;

use burnish_learning::learner::DriftEvent;
use burnish_learning::off_policy::{self, Estimate, Log, Logged};
use burnish_learning::policies::Ledger;
use burnish_learning::{QueryType, Settled, settle};
use burnish_types::{ChunkId, Decision, Prediction, RequestId, Stage, StoredDecision, Strategy, Timestamp};

use crate::planner::PINNED;
use crate::{Engine, EngineError, related};

/// How far back the log is looked at.
const WINDOW_MS: u64 = 30 * 24 * 3_600_000;
/// Decisions that are looked at, the latest ones.
const MOST_DECISIONS: usize = 5_000;
const PAGE: usize = 1_000;
/// Points in time of the series.
const BUCKETS: usize = 30;

/// Where learning stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// The policy with its settings.
    pub policy: String,
    /// What is expected of each strategy for a question of which nothing is known.
    pub expected: Vec<(Strategy, Prediction)>,
    /// What exploration has cost, of a policy that bounds it.
    pub ledger: Option<Ledger>,
    /// Questions and votes that feedback has left.
    pub memory: (usize, usize),
    /// When outcomes changed, oldest first.
    pub drift: Vec<DriftEvent>,
    /// Decisions that were looked at.
    pub decisions: usize,
    /// Those of them whose outcomes say how good they were.
    pub judged: usize,
    /// The mean of that.
    pub mean_quality: Option<Mean>,
    /// In the order of time.
    pub series: Vec<Bucket>,
    /// By strategy and type of question.
    pub segments: Vec<Segment>,
    /// What always taking one strategy would have been worth, by self-normalised importance sampling over the
    /// decisions that were not pinned; the difference to [`Self::mean_quality`] is the regret.
    pub fixed: Vec<(Strategy, Estimate)>,
}

/// A mean with the interval that holds it with 95 % confidence (normal approximation).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mean {
    /// The mean.
    pub mean: f64,
    /// Half the width of the interval.
    pub margin: f64,
    /// What it is the mean of.
    pub n: usize,
}

/// What was decided in a span of time.
#[derive(Clone, Debug, PartialEq)]
pub struct Bucket {
    /// Its first decision.
    pub from: Timestamp,
    /// Decisions.
    pub decisions: usize,
    /// How good those were that were judged.
    pub quality: Option<Mean>,
    /// How often each strategy was taken.
    pub taken: BTreeMap<Strategy, usize>,
}

/// How one strategy does for one type of question.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// The strategy.
    pub strategy: Strategy,
    /// The type of question.
    pub query_type: QueryType,
    /// How good it was.
    pub quality: Mean,
    /// Mean latency of retrieval, in milliseconds.
    pub latency_ms: f64,
}

/// A decision with what its outcomes say.
struct Judged {
    at: Timestamp,
    strategy: Strategy,
    query_type: QueryType,
    propensity: Option<f64>,
    quality: Option<f64>,
    latency_ms: f64,
}

impl Engine {
    /// Where learning stands, from what is learned and the log of the last thirty days.
    pub async fn standing(self: &Arc<Self>) -> Result<Standing, EngineError> {
        self.blocking(|engine| {
            let log = engine.recent_log()?;
            let judged: Vec<Judged> = log.iter().filter_map(judged).collect();
            let qualities: Vec<f64> = judged.iter().filter_map(|judged| judged.quality).collect();
            Ok(Standing {
                policy: engine.planner.policy(),
                expected: engine.learned(),
                ledger: engine.planner.account().ledger,
                memory: engine.learned.memory_size(),
                drift: engine.learned.drift_events(),
                decisions: judged.len(),
                judged: qualities.len(),
                mean_quality: mean(&qualities),
                series: series(&judged),
                segments: segments(&judged),
                fixed: fixed(&judged, engine.planner.candidates()),
            })
        })
        .await
    }

    /// The decisions between two times, the first included, that were judged, in the order of time: for replaying.
    pub fn judged_decisions(
        &self,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<(Decision, Settled)>, EngineError> {
        let mut after = Some(RequestId::from_parts(from.0, 0));
        let mut found = Vec::new();
        loop {
            let page = self.store.decision_log(after, PAGE)?;
            let Some(last) = page.last() else { return Ok(found) };
            after = Some(last.decision.id);
            for stored in page {
                if stored.decision.at >= to {
                    return Ok(found);
                }
                let of_question = related::is_of_question(&stored.decision);
                let settled = settle(&stored.outcomes, &shown(&stored)).filter(|_| of_question);
                found.extend(settled.map(|settled| (stored.decision, settled)));
            }
        }
    }

    fn recent_log(&self) -> Result<Vec<StoredDecision>, EngineError> {
        let since = self.clock.now().0.saturating_sub(WINDOW_MS);
        let mut after = Some(RequestId::from_parts(since, 0));
        let mut log: Vec<StoredDecision> = Vec::new();
        loop {
            let page = self.store.decision_log(after, PAGE)?;
            let Some(last) = page.last() else { return Ok(log) };
            after = Some(last.decision.id);
            log.extend(page);
            let surplus = log.len().saturating_sub(MOST_DECISIONS);
            log.drain(..surplus);
        }
    }
}

fn judged(stored: &StoredDecision) -> Option<Judged> {
    let decision = &stored.decision;
    let choice = decision.choice().filter(|_| related::is_of_question(decision))?;
    let timings = stored.answer.iter().flat_map(|answer| &answer.timings);
    Some(Judged {
        at: decision.at,
        strategy: choice.plan.strategy.clone(),
        query_type: QueryType::of(&decision.features),
        propensity: (decision.policy != PINNED).then_some(choice.propensity),
        quality: settle(&stored.outcomes, &shown(stored)).map(|settled| settled.quality),
        latency_ms: timings.filter(|timing| timing.stage == Stage::Retrieve).map(|timing| timing.ms).sum(),
    })
}

fn shown(stored: &StoredDecision) -> Vec<ChunkId> {
    let evidence = stored.answer.iter().flat_map(|answer| &answer.evidence);
    evidence.map(|evidence| evidence.chunk).collect()
}

fn series(judged: &[Judged]) -> Vec<Bucket> {
    let size = judged.len().div_ceil(BUCKETS).max(1);
    let bucket = |part: &[Judged]| {
        let mut taken: BTreeMap<Strategy, usize> = BTreeMap::new();
        part.iter().for_each(|judged| *taken.entry(judged.strategy.clone()).or_default() += 1);
        let qualities: Vec<f64> = part.iter().filter_map(|judged| judged.quality).collect();
        let from = part.first().map(|judged| judged.at).unwrap_or_default();
        Bucket { from, decisions: part.len(), quality: mean(&qualities), taken }
    };
    judged.chunks(size).map(bucket).collect()
}

fn segments(judged: &[Judged]) -> Vec<Segment> {
    let mut groups: BTreeMap<(Strategy, &'static str), Vec<&Judged>> = BTreeMap::new();
    for judged in judged.iter().filter(|judged| judged.quality.is_some()) {
        groups.entry((judged.strategy.clone(), judged.query_type.name())).or_default().push(judged);
    }
    let segment = |((strategy, _), group): ((Strategy, _), Vec<&Judged>)| {
        let qualities: Vec<f64> = group.iter().filter_map(|judged| judged.quality).collect();
        let latency_ms = group.iter().map(|judged| judged.latency_ms).sum::<f64>() / group.len() as f64;
        Some(Segment {
            strategy,
            query_type: group.first()?.query_type,
            quality: mean(&qualities)?,
            latency_ms,
        })
    };
    groups.into_iter().filter_map(segment).collect()
}

/// What the log says of always taking each of `strategies`.
fn fixed(judged: &[Judged], strategies: &[Strategy]) -> Vec<(Strategy, Estimate)> {
    let rows: Vec<(usize, f64, f64)> = judged
        .iter()
        .filter_map(|judged| {
            let action = strategies.iter().position(|strategy| *strategy == judged.strategy)?;
            Some((action, judged.quality?, judged.propensity.filter(|propensity| *propensity > 0.0)?))
        })
        .collect();
    let value = |(place, strategy): (usize, &Strategy)| {
        let mut target = vec![0.0; strategies.len()];
        target[place] = 1.0;
        let logged = rows.iter().map(|&(action, reward, propensity)| Logged {
            context: &[],
            position: 0,
            action,
            reward,
            propensity,
            target: &target,
        });
        // Without a row of the strategy the log says nothing of it.
        rows.iter().any(|(action, ..)| *action == place).then_some(())?;
        let log = Log::new(logged.collect()).ok()?;
        Some((strategy.clone(), off_policy::snips(&log, 0)))
    };
    strategies.iter().enumerate().filter_map(value).collect()
}

fn mean(values: &[f64]) -> Option<Mean> {
    let n = values.len();
    if n == 0 {
        return None;
    }
    let mean = values.iter().sum::<f64>() / n as f64;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n as f64 - 1.0).max(1.0);
    Some(Mean { mean, margin: 1.96 * (variance / n as f64).sqrt(), n })
}
