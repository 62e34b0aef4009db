//! `/v1/learning`: where learning stands.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use burnish_engine::Standing;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::error::ApiError;
use crate::wire::{Prediction, rfc3339};

/// Below this many effective rows an estimate from the log says little.
pub(crate) const SMALLEST_SAMPLE: f64 = 30.0;

/// Where learning stands: from what is learned, and the log of the last thirty days.
#[derive(Serialize, ToSchema)]
pub(crate) struct LearningResponse {
    /// What chooses, with its settings.
    policy: String,
    /// What is expected of each strategy for a question of which nothing is known.
    expected: BTreeMap<String, Prediction>,
    exploration: Option<Exploration>,
    memory: Memory,
    /// Oldest first.
    drift: Vec<Drift>,
    /// Decisions that were looked at.
    decisions: usize,
    /// Those of them whose outcomes say how good they were.
    judged: usize,
    quality: Option<Mean>,
    /// In the order of time.
    series: Vec<Bucket>,
    segments: Vec<Segment>,
    /// What always taking one strategy would have been worth, by self-normalised importance sampling.
    fixed: BTreeMap<String, FixedValue>,
}

/// What exploration has cost, in summed quality.
#[derive(Serialize, ToSchema)]
pub(crate) struct Exploration {
    requests: u64,
    explored: u64,
    /// At most; below 0 where it has paid.
    spent: f64,
    /// What the chosen strategies were expected to be worth; the policy's share of it may be spent.
    expected: f64,
}

/// What feedback has left.
#[derive(Serialize, ToSchema)]
pub(crate) struct Memory {
    questions: usize,
    votes: usize,
}

/// Outcomes have changed.
#[derive(Serialize, ToSchema)]
pub(crate) struct Drift {
    strategy: String,
    /// In the form of RFC 3339.
    at: String,
    /// By how much the quality has moved, about.
    shift: f64,
    /// How many outcomes before, most likely.
    outcomes_ago: usize,
}

/// A mean with the half width of its 95 % interval.
#[derive(Serialize, ToSchema)]
pub(crate) struct Mean {
    mean: f64,
    margin: f64,
    n: usize,
}

/// What was decided in a span of time.
#[derive(Serialize, ToSchema)]
pub(crate) struct Bucket {
    /// In the form of RFC 3339.
    from: String,
    decisions: usize,
    quality: Option<Mean>,
    /// How often each strategy was taken.
    taken: BTreeMap<String, usize>,
}

/// How one strategy does for one type of question.
#[derive(Serialize, ToSchema)]
pub(crate) struct Segment {
    strategy: String,
    query_type: &'static str,
    quality: Mean,
    latency_ms: f64,
}

/// What always taking a strategy would have been worth.
#[derive(Serialize, ToSchema)]
pub(crate) struct FixedValue {
    value: f64,
    ci95: [f64; 2],
    effective_sample_size: f64,
    /// Whether that rests on enough.
    trusted: bool,
}

impl From<&burnish_engine::Mean> for Mean {
    fn from(mean: &burnish_engine::Mean) -> Self {
        Self { mean: mean.mean, margin: mean.margin, n: mean.n }
    }
}

impl From<Standing> for LearningResponse {
    fn from(standing: Standing) -> Self {
        let expected = standing.expected.iter();
        let bucket = |bucket: &burnish_engine::Bucket| Bucket {
            from: rfc3339(bucket.from),
            decisions: bucket.decisions,
            quality: bucket.quality.as_ref().map(Mean::from),
            taken: bucket.taken.iter().map(|(strategy, count)| (strategy.to_string(), *count)).collect(),
        };
        let segment = |segment: &burnish_engine::Segment| Segment {
            strategy: segment.strategy.to_string(),
            query_type: segment.query_type.name(),
            quality: Mean::from(&segment.quality),
            latency_ms: segment.latency_ms,
        };
        let fixed = standing.fixed.iter().map(|(strategy, estimate)| {
            let value = FixedValue {
                value: estimate.value,
                ci95: [estimate.low, estimate.high],
                effective_sample_size: estimate.effective_sample_size,
                trusted: estimate.effective_sample_size >= SMALLEST_SAMPLE,
            };
            (strategy.to_string(), value)
        });
        Self {
            policy: standing.policy,
            expected: expected.map(|(name, value)| (name.to_string(), Prediction::from(value))).collect(),
            exploration: standing.ledger.map(|ledger| Exploration {
                requests: ledger.requests,
                explored: ledger.explored,
                spent: ledger.spent(),
                expected: ledger.expected,
            }),
            memory: Memory { questions: standing.memory.0, votes: standing.memory.1 },
            drift: standing
                .drift
                .iter()
                .map(|event| Drift {
                    strategy: event.arm.clone(),
                    at: rfc3339(event.at),
                    shift: event.shift,
                    outcomes_ago: event.outcomes_ago,
                })
                .collect(),
            decisions: standing.decisions,
            judged: standing.judged,
            quality: standing.mean_quality.as_ref().map(Mean::from),
            series: standing.series.iter().map(bucket).collect(),
            segments: standing.segments.iter().map(segment).collect(),
            fixed: fixed.collect(),
        }
    }
}

/// Where learning stands: expectations, what was reached, what exploration has cost, drift.
#[utoipa::path(get, path = "/v1/learning", tag = "burnish", responses((status = 200, body = LearningResponse)))]
pub(super) async fn retrieve(State(app): State<App>) -> Result<Json<LearningResponse>, ApiError> {
    Ok(Json(app.engine.standing().await?.into()))
}
