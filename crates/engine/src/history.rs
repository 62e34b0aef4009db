//! Where learning stands: what is expected, what was reached over time, by strategy and by kind of question, what
//! exploration has cost, and what the log says of the strategies that were not taken.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use burnish_learning::joint::OptionStanding;
use burnish_learning::learner::DriftEvent;
use burnish_learning::off_policy::{self, Estimate, Log, Logged};
use burnish_learning::policies::Ledger;
use burnish_learning::{QueryType, feature_value};
use burnish_types::{Decision, Prediction, RequestId, Stage, StoredDecision, Strategy, Timestamp};

use crate::judged::settled_in;
use crate::planner::PINNED;
use crate::{ChallengerStanding, Engine, EngineError, FoundPatterns, log, related};

/// How far back the log is looked at.
const WINDOW_MS: u64 = 30 * 24 * 3_600_000;
/// Decisions that are looked at, the latest ones.
const MOST_DECISIONS: usize = 5_000;
/// Points in time of the series.
const BUCKETS: usize = 30;

/// Where learning stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// The policy with its settings.
    pub policy: String,
    /// What is expected of each strategy for a question of which nothing is known.
    pub expected: Vec<(Strategy, Prediction)>,
    /// What each depth, reduction and answerer adds, as far as there are several.
    pub options: Vec<OptionStanding>,
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
    /// By strategy and kind of question.
    pub segments: Vec<Segment>,
    /// What always taking one strategy would have been worth.
    pub fixed: Vec<FixedValue>,
    /// Whether trees correct what is learned.
    pub challenger: ChallengerStanding,
    /// The patterns that were found last.
    pub patterns: Option<FoundPatterns>,
}

/// What always taking a strategy would have been worth, as far as the log can tell: over the decisions that could have
/// taken it, pinned ones left out, by self-normalised importance sampling.
#[derive(Clone, Debug, PartialEq)]
pub struct FixedValue {
    /// The strategy.
    pub strategy: Strategy,
    /// Its worth; `n` is how many decisions could have taken it.
    pub estimate: Estimate,
    /// What the same decisions were worth as they were taken; the difference is the regret.
    pub reached: f64,
    /// How many judged decisions there are in all that were not pinned.
    pub of: usize,
}

/// A mean with the interval that holds it with 95 % confidence (normal approximation, counted as having a 0 and a 1
/// more, so that a few equal values do not look certain).
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
    /// How good each was, where it was judged.
    pub by_strategy: BTreeMap<Strategy, Mean>,
}

/// How one strategy did for one kind of question.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// How the kind was told: `type`, `complexity` or `length`. Topics are among the patterns, for which questions are
    /// embedded.
    pub cut: &'static str,
    /// The kind.
    pub kind: &'static str,
    /// The strategy.
    pub strategy: Strategy,
    /// How good it was.
    pub quality: Mean,
    /// Mean latency of retrieval, in milliseconds.
    pub latency_ms: f64,
}

/// A decision with what its outcomes say.
struct Judged {
    at: Timestamp,
    strategy: Strategy,
    /// By what each cut tells.
    kinds: [(&'static str, &'static str); 3],
    /// Of each strategy that could have been taken; none where it was pinned.
    propensities: Vec<(Strategy, f64)>,
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
                options: engine.learned.with(|known| known.effects.standing()),
                ledger: engine.planner.account().ledger,
                memory: engine.learned.memory_size(),
                drift: engine.learned.drift_events(),
                decisions: judged.len(),
                judged: qualities.len(),
                mean_quality: mean(&qualities),
                series: series(&judged),
                segments: segments(&judged),
                fixed: fixed(&judged, engine.planner.candidates()),
                challenger: engine.challenger.standing(),
                patterns: engine.patterns()?,
            })
        })
        .await
    }

    fn recent_log(&self) -> Result<Vec<StoredDecision>, EngineError> {
        let since = self.clock.now().0.saturating_sub(WINDOW_MS);
        let mut recent: VecDeque<StoredDecision> = VecDeque::new();
        for stored in log::decisions(self.store.as_ref(), Some(RequestId::from_parts(since, 0))) {
            recent.push_back(stored?);
            if recent.len() > MOST_DECISIONS {
                recent.pop_front();
            }
        }
        Ok(recent.into())
    }
}

fn judged(stored: &StoredDecision) -> Option<Judged> {
    let decision = &stored.decision;
    let choice = decision.choice().filter(|_| related::is_of_question(decision))?;
    let timings = stored.answer.iter().flat_map(|answer| &answer.timings);
    Some(Judged {
        at: decision.at,
        strategy: choice.plan.strategy.clone(),
        kinds: [
            ("type", QueryType::of(&decision.features).name()),
            (
                "complexity",
                band(
                    feature_value(&decision.features, "complexity"),
                    [0.3, 0.7],
                    ["simple", "middling", "complex"],
                ),
            ),
            (
                "length",
                band(feature_value(&decision.features, "words"), [6.0, 13.0], ["short", "medium", "long"]),
            ),
        ],
        propensities: match decision.policy == PINNED {
            true => Vec::new(),
            false => propensities(decision),
        },
        quality: settled_in(stored).map(|settled| settled.quality),
        latency_ms: timings.filter(|timing| timing.stage == Stage::Retrieve).map(|timing| timing.ms).sum(),
    })
}

fn band(value: f64, [low, high]: [f64; 2], [below, between, above]: [&'static str; 3]) -> &'static str {
    match value {
        value if value < low => below,
        value if value < high => between,
        _ => above,
    }
}

fn propensities(decision: &Decision) -> Vec<(Strategy, f64)> {
    let (strategies, _) = decision.strategies();
    strategies
        .into_iter()
        .map(|(candidate, propensity)| (candidate.plan.strategy.clone(), propensity))
        .collect()
}

fn series(judged: &[Judged]) -> Vec<Bucket> {
    let size = judged.len().div_ceil(BUCKETS).max(1);
    let bucket = |part: &[Judged]| {
        let mut taken: BTreeMap<Strategy, usize> = BTreeMap::new();
        let mut qualities: BTreeMap<Strategy, Vec<f64>> = BTreeMap::new();
        for judged in part {
            *taken.entry(judged.strategy.clone()).or_default() += 1;
            qualities.entry(judged.strategy.clone()).or_default().extend(judged.quality);
        }
        let all: Vec<f64> = part.iter().filter_map(|judged| judged.quality).collect();
        let by_strategy =
            qualities.into_iter().filter_map(|(strategy, values)| Some((strategy, mean(&values)?)));
        Bucket {
            from: part.first().map(|judged| judged.at).unwrap_or_default(),
            decisions: part.len(),
            quality: mean(&all),
            taken,
            by_strategy: by_strategy.collect(),
        }
    };
    judged.chunks(size).map(bucket).collect()
}

fn segments(judged: &[Judged]) -> Vec<Segment> {
    let mut groups: BTreeMap<(usize, &str, &Strategy), Vec<&Judged>> = BTreeMap::new();
    for judged in judged.iter().filter(|judged| judged.quality.is_some()) {
        for (place, (_, kind)) in judged.kinds.iter().enumerate() {
            groups.entry((place, kind, &judged.strategy)).or_default().push(judged);
        }
    }
    let segment = |((place, _, strategy), group): ((usize, &str, &Strategy), Vec<&Judged>)| {
        let qualities: Vec<f64> = group.iter().filter_map(|judged| judged.quality).collect();
        let latency_ms = group.iter().map(|judged| judged.latency_ms).sum::<f64>() / group.len() as f64;
        let (cut, kind) = *group.first()?.kinds.get(place)?;
        Some(Segment { cut, kind, strategy: strategy.clone(), quality: mean(&qualities)?, latency_ms })
    };
    groups.into_iter().filter_map(segment).collect()
}

/// What the log says of always taking each of `strategies`.
fn fixed(judged: &[Judged], strategies: &[Strategy]) -> Vec<FixedValue> {
    let drawn: Vec<(&Judged, f64)> = judged
        .iter()
        .filter(|judged| !judged.propensities.is_empty())
        .filter_map(|judged| Some((judged, judged.quality?)))
        .collect();
    let value = |strategy: &Strategy| {
        let row = |&(judged, quality): &(&Judged, f64)| {
            let propensity = |of: &Strategy| {
                let known = judged.propensities.iter().find(|(strategy, _)| strategy == of);
                known.map(|(_, propensity)| *propensity).filter(|propensity| *propensity > 0.0)
            };
            // Where it could not have been taken the log says nothing of it.
            propensity(strategy)?;
            let taken = judged.strategy == *strategy;
            Some((usize::from(!taken), quality, propensity(&judged.strategy)?))
        };
        let rows: Vec<(usize, f64, f64)> = drawn.iter().filter_map(row).collect();
        let logged = rows.iter().map(|&(action, reward, propensity)| Logged {
            context: &[],
            position: 0,
            action,
            reward,
            propensity,
            target: &[1.0, 0.0],
        });
        let log = Log::new(logged.collect()).ok()?;
        let reached = rows.iter().map(|(_, quality, _)| quality).sum::<f64>() / rows.len() as f64;
        let estimate = off_policy::snips(&log, 0);
        Some(FixedValue { strategy: strategy.clone(), estimate, reached, of: drawn.len() })
    };
    strategies.iter().filter_map(value).collect()
}

fn mean(values: &[f64]) -> Option<Mean> {
    let n = values.len();
    if n == 0 {
        return None;
    }
    let mean = values.iter().sum::<f64>() / n as f64;
    let squares: f64 = values.iter().chain(&[0.0, 1.0]).map(|value| (value - mean).powi(2)).sum();
    Some(Mean { mean, margin: 1.96 * (squares / (n as f64 + 1.0) / n as f64).sqrt(), n })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_values_are_not_certain_and_many_are_as_they_vary() {
        assert_eq!(mean(&[]), None);
        for (values, least, most) in [
            (vec![1.0], 1.0, 2.0),
            (vec![0.7; 2], 0.5, 1.2),
            (vec![1.0; 10], 0.1, 0.3),
            ((0..1_000).map(|place| f64::from(place % 2)).collect(), 0.0305, 0.0315),
        ] {
            let found = mean(&values).unwrap();
            assert!(
                found.margin > least && found.margin < most,
                "{} of {}: {found:?}",
                values.len(),
                values[0]
            );
        }
    }
}
