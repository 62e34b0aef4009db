//! `/v1/learning`: where learning stands, and learning from the log as a whole.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use burnish_engine::{ChallengerChange, ChallengerStanding, Standing};
use burnish_learning::patterns::{self, Claim};
use burnish_learning::trees::Challenge;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::error::ApiError;
use crate::extract::Body;
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
    /// What each depth, reduction and answerer adds to a strategy, as far as there are several to choose from.
    options: Vec<PlanOption>,
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
    trees: Trees,
    /// What was found last; nothing where nobody has looked yet.
    patterns: Option<FoundPatterns>,
}

/// What is known of one option of a plan beside its strategy.
#[derive(Serialize, ToSchema)]
pub(crate) struct PlanOption {
    /// `depth`, `reduction` or `answerer`.
    part: String,
    option: String,
    /// Outcomes that have it.
    outcomes: u64,
    /// What it is expected to add to the quality beside the part's first option.
    added: f64,
    /// The standard deviation of that.
    added_deviation: f64,
    /// Whether it is new, and tried until more is known.
    new: bool,
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
    /// How good each was, where it was judged.
    by_strategy: BTreeMap<String, Mean>,
}

/// How one strategy did for one kind of question.
#[derive(Serialize, ToSchema)]
pub(crate) struct Segment {
    /// How the kind was told: `type`, `complexity` or `length`.
    cut: &'static str,
    kind: &'static str,
    strategy: String,
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
    /// How many judged decisions could have taken it: the value speaks of these.
    n: usize,
    /// Of how many.
    of: usize,
    /// What those decisions were worth as they were taken.
    reached: f64,
}

/// Whether boosted trees correct what is learned.
#[derive(Serialize, ToSchema)]
pub(crate) struct Trees {
    /// In the form of RFC 3339; nothing where no trees are in use.
    in_use_since: Option<String>,
    /// What the log said of them before they were.
    promoted_on: Option<Comparison>,
    /// What live outcomes say of playing without them.
    without_them: Option<Difference>,
    /// Oldest first.
    events: Vec<TreesEvent>,
}

/// What the log says of trees against what is learned without.
#[derive(Serialize, ToSchema)]
pub(crate) struct Comparison {
    /// Judged decisions that were learned from.
    n: usize,
    /// Decisions on which the two differ.
    differing: usize,
    /// How many of those the log can tell of.
    covered: usize,
    /// How many different questions they are of.
    questions: usize,
    /// By how much such a decision is better with the trees.
    gain: f64,
    interval: [f64; 2],
    /// The probability that the interval lies above 0 where it should not.
    level: f64,
    better: bool,
}

/// A difference that may be read at any time.
#[derive(Serialize, ToSchema)]
pub(crate) struct Difference {
    value: f64,
    interval: [f64; 2],
    observations: u64,
}

/// Something that happened to trees.
#[derive(Serialize, ToSchema)]
pub(crate) struct TreesEvent {
    /// In the form of RFC 3339.
    at: String,
    /// `promoted`, `refused`, `dropped` or `demoted`.
    change: &'static str,
    /// The outcome of the log up to which they were trained; with the seed, enough to train them again.
    position: u64,
    seed: u64,
    reason: String,
}

/// Patterns in the log.
#[derive(Serialize, ToSchema)]
pub(crate) struct FoundPatterns {
    /// When they were looked for, in the form of RFC 3339.
    at: String,
    /// Judged decisions that were looked at.
    n: usize,
    questions: usize,
    /// How many of them could have gone another way.
    free: usize,
    looked_at: usize,
    asked: usize,
    /// The surest first; at most one in twenty is expected to be wrong.
    found: Vec<Pattern>,
    topics: Vec<TopicRow>,
}

/// Something that holds for a part of the questions and not for the others.
#[derive(Serialize, ToSchema)]
pub(crate) struct Pattern {
    /// The whole of it in a sentence.
    words: String,
    /// The strategy that is compared, where it is not about the quality of answers.
    strategy: Option<String>,
    /// With which.
    over: Option<String>,
    cut: String,
    questions: String,
    inside: Figure,
    outside: Option<Figure>,
    difference: Figure,
    p_value: f64,
}

/// A figure with its interval.
#[derive(Serialize, ToSchema)]
pub(crate) struct Figure {
    value: f64,
    interval: [f64; 2],
    n: usize,
}

/// How a strategy did for a topic.
#[derive(Serialize, ToSchema)]
pub(crate) struct TopicRow {
    topic: String,
    strategy: String,
    quality: f64,
    n: usize,
}

/// What to learn from.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LearnRequest {
    /// For halves, folds, topics and trees.
    #[serde(default)]
    seed: u64,
}

/// What was learned.
#[derive(Serialize, ToSchema)]
pub(crate) struct LearnResponse {
    patterns: FoundPatterns,
    /// Whether trees correct what is learned from now on.
    promoted: bool,
    /// Why, or why not.
    reason: String,
    /// What the log says of them; nothing where it has hardly grown since the last time.
    comparison: Option<Comparison>,
}

impl From<&Challenge> for Comparison {
    fn from(found: &Challenge) -> Self {
        let Challenge { n, differing, covered, questions, gain, interval, level, better, .. } = *found;
        Self { n, differing, covered, questions, gain, interval, level, better }
    }
}

impl From<&ChallengerStanding> for Trees {
    fn from(standing: &ChallengerStanding) -> Self {
        let event = |event: &burnish_engine::ChallengerEvent| TreesEvent {
            at: rfc3339(event.at),
            change: change_name(event.change),
            position: event.training.position,
            seed: event.training.seed,
            reason: event.reason.clone(),
        };
        let in_use = standing.in_use.as_ref();
        let watched = standing.watched;
        Self {
            in_use_since: in_use.map(|(at, _)| rfc3339(*at)),
            promoted_on: in_use.map(|(_, found)| Comparison::from(found)),
            without_them: watched.map(|(value, interval, observations)| Difference {
                value,
                interval,
                observations,
            }),
            events: standing.events.iter().map(event).collect(),
        }
    }
}

/// What happened, in a word.
pub(crate) fn change_name(change: ChallengerChange) -> &'static str {
    match change {
        ChallengerChange::Promoted => "promoted",
        ChallengerChange::Refused => "refused",
        ChallengerChange::Dropped => "dropped",
        ChallengerChange::Demoted => "demoted",
    }
}

impl From<&burnish_engine::FoundPatterns> for FoundPatterns {
    fn from(found: &burnish_engine::FoundPatterns) -> Self {
        let patterns = &found.patterns;
        let row = |row: &patterns::TopicRow| TopicRow {
            topic: row.topic.clone(),
            strategy: row.strategy.clone(),
            quality: row.quality,
            n: row.n,
        };
        Self {
            at: rfc3339(found.at),
            n: patterns.n,
            questions: patterns.questions,
            free: patterns.free,
            looked_at: patterns.looked_at,
            asked: patterns.asked,
            found: patterns.found.iter().map(Pattern::from).collect(),
            topics: patterns.topics.iter().map(row).collect(),
        }
    }
}

impl From<&patterns::Pattern> for Pattern {
    fn from(pattern: &patterns::Pattern) -> Self {
        let figure = |figure: &patterns::Figure| {
            let patterns::Figure { value, interval, n } = *figure;
            Figure { value, interval, n }
        };
        let (strategy, over) = match &pattern.claim {
            Claim::Quality => (None, None),
            Claim::Advantage { strategy, over } => (Some(strategy.clone()), Some(over.clone())),
        };
        Self {
            words: pattern.words.clone(),
            strategy,
            over,
            cut: pattern.cut.clone(),
            questions: pattern.questions.clone(),
            inside: figure(&pattern.inside),
            outside: pattern.outside.as_ref().map(figure),
            difference: figure(&pattern.difference),
            p_value: pattern.p_value,
        }
    }
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
            by_strategy: bucket
                .by_strategy
                .iter()
                .map(|(strategy, mean)| (strategy.to_string(), Mean::from(mean)))
                .collect(),
        };
        let segment = |segment: &burnish_engine::Segment| Segment {
            cut: segment.cut,
            kind: segment.kind,
            strategy: segment.strategy.to_string(),
            quality: Mean::from(&segment.quality),
            latency_ms: segment.latency_ms,
        };
        let fixed = standing.fixed.iter().map(|fixed| {
            let estimate = &fixed.estimate;
            let value = FixedValue {
                value: estimate.value,
                ci95: [estimate.low, estimate.high],
                effective_sample_size: estimate.effective_sample_size,
                trusted: estimate.effective_sample_size >= SMALLEST_SAMPLE,
                n: estimate.n,
                of: fixed.of,
                reached: fixed.reached,
            };
            (fixed.strategy.to_string(), value)
        });
        Self {
            policy: standing.policy,
            expected: expected.map(|(name, value)| (name.to_string(), Prediction::from(value))).collect(),
            options: standing
                .options
                .into_iter()
                .map(|known| PlanOption {
                    part: known.part,
                    option: known.option,
                    outcomes: known.outcomes,
                    added: known.added,
                    added_deviation: known.deviation,
                    new: known.is_new,
                })
                .collect(),
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
            trees: Trees::from(&standing.challenger),
            patterns: standing.patterns.as_ref().map(FoundPatterns::from),
        }
    }
}

/// Where learning stands: expectations, what was reached, what exploration has cost, drift.
#[utoipa::path(get, path = "/v1/learning", tag = "burnish", responses((status = 200, body = LearningResponse)))]
pub(super) async fn retrieve(State(app): State<App>) -> Result<Json<LearningResponse>, ApiError> {
    Ok(Json(app.engine.standing().await?.into()))
}

/// Learn from the log as a whole, as `burnish learn` does: patterns, and trees that take over where the log shows that
/// they are for the better. That takes seconds for each thousand questions.
#[utoipa::path(
    post, path = "/v1/learning", tag = "burnish", request_body = LearnRequest,
    responses((status = 200, body = LearnResponse))
)]
pub(super) async fn learn(
    State(app): State<App>,
    Body(request): Body<LearnRequest>,
) -> Result<Json<LearnResponse>, ApiError> {
    let (found, attempt) = app.engine.learn_from_log(request.seed).await?;
    Ok(Json(LearnResponse {
        patterns: FoundPatterns::from(&found),
        promoted: attempt.promoted,
        reason: attempt.reason,
        comparison: attempt.found.as_ref().map(Comparison::from),
    }))
}

/// Whether there were trees to take out of use.
#[derive(Serialize, ToSchema)]
pub(crate) struct Demoted {
    demoted: bool,
}

/// Take the trees that correct what is learned out of use.
#[utoipa::path(delete, path = "/v1/learning/trees", tag = "burnish", responses((status = 200, body = Demoted)))]
pub(super) async fn demote(State(app): State<App>) -> Result<Json<Demoted>, ApiError> {
    Ok(Json(Demoted { demoted: app.engine.demote_trees().await? }))
}
