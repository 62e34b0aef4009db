//! Patterns in the log: for which questions answers are poor, and which strategy wins for which, with intervals that
//! stay honest although very many things are looked at.
//!
//! Questions, not decisions, are cut at random into two halves. The first one says what is worth asking: which topics,
//! which thresholds of features, which pairs of strategies. The second one, which played no part in that, is asked, and
//! of its answers those are kept of which at most one in twenty is expected to be wrong (Benjamini and Hochberg
//! 1995). Their intervals are widened for having been selected (Benjamini and Yekutieli 2005, definition 1), so that
//! of all intervals that are shown at most one in twenty is expected to miss the truth.
//!
//! Strategies are compared by doubly robust scores from the recorded propensities, over the decisions that could have
//! gone to both: what a question makes likely to be chosen does not look like what the choice brings about.

mod segments;
mod statistics;
mod topics;

use std::collections::{BTreeMap, BTreeSet};

use burnish_types::{Embedding, QueryFeatures, Timestamp};
use serde::{Deserialize, Serialize};

use crate::features::{FEATURES, FeatureVector, feature_value};
use crate::off_policy::{Log, Logged, cross_fitted_actions};
use crate::query_type::QueryType;
use segments::{Segment, segments};
use statistics::{Moment, Sample, believed};
pub(crate) use statistics::{normal_above, normal_quantile_above};
use topics::Topics;

/// The share of what is said that may be wrong in the mean.
const RATE: f64 = 0.05;
/// What the first half must say to be asked of the second.
const WORTH_ASKING: f64 = 0.05;
/// Each side of a comparison has at least this many different questions, in each half.
const FEWEST_QUESTIONS: usize = 20;
/// Of each strategy, so many decisions on each side at least, in each half.
const FEWEST_TAKEN: usize = 10;
/// A strategy that was hardly ever to be chosen tells nothing that one could rely on.
const SMALLEST_PROPENSITY: f64 = 0.01;
/// Two segments that share so many of their decisions (Jaccard) are one and the same finding.
const SAME: f64 = 0.6;

/// A judged decision.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// What was asked.
    pub question: String,
    /// Its embedding; empty where there is none.
    pub embedding: Embedding,
    /// When.
    pub at: Timestamp,
    /// What was known of the question.
    pub features: QueryFeatures,
    /// The strategy that was taken.
    pub strategy: String,
    /// The probability of each strategy that could have been taken.
    pub propensities: Vec<(String, f64)>,
    /// How good the answer was, in [0, 1].
    pub quality: f64,
}

/// A figure with its interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// The mean.
    pub value: f64,
    /// Holds the true mean; of all intervals of patterns at most one in twenty is expected to miss it.
    pub interval: [f64; 2],
    /// The decisions that it rests on.
    pub n: usize,
}

/// What a pattern is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Claim {
    /// The quality of the answers, whatever strategy was taken.
    Quality,
    /// How much better one strategy is than another.
    Advantage {
        /// The one.
        strategy: String,
        /// The other, the one that is taken most.
        over: String,
    },
}

/// Something that holds for a part of the questions and not for the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pattern {
    /// What it is about.
    pub claim: Claim,
    /// How the part was cut out: `all`, `type`, `complexity`, `length`, `topic`, `hours`, `days`, `time` or `feature`.
    pub cut: String,
    /// The part, in words.
    pub questions: String,
    /// In it.
    pub inside: Figure,
    /// Outside of it; nothing where the part is all questions.
    pub outside: Option<Figure>,
    /// Inside less outside.
    pub difference: Figure,
    /// How likely chance alone would show a difference as large.
    pub p_value: f64,
    /// The whole of it in a sentence.
    pub words: String,
}

/// How a strategy did for a topic, as it was decided: not corrected for which questions it got.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TopicRow {
    /// The telling words of the topic.
    pub topic: String,
    /// The strategy.
    pub strategy: String,
    /// The mean quality.
    pub quality: f64,
    /// The decisions.
    pub n: usize,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Patterns {
    /// The judged decisions that were looked at.
    pub n: usize,
    /// How many different questions they are of.
    pub questions: usize,
    /// How many of the decisions could have gone to another strategy than the one that was taken.
    pub free: usize,
    /// How many comparisons the first half was looked through for.
    pub looked_at: usize,
    /// How many of them the second half was asked for.
    pub asked: usize,
    /// What holds, the surest first.
    pub found: Vec<Pattern>,
    /// By topic and strategy.
    pub topics: Vec<TopicRow>,
}

/// Looks for patterns in `cases`, whatever their order. The same seed gives the same.
pub fn find_patterns(cases: &[Case], seed: u64) -> Patterns {
    let table = Table::of(cases, seed);
    let mut looked_at = 0;
    let mut candidates: Vec<Candidate<'_>> = Vec::new();
    for claim in table.claims() {
        let scores = table.scores(&claim);
        let mut of_claim = Vec::new();
        for segment in &table.segments {
            let Some(test) = table.test(&scores, segment, Half::First) else { continue };
            looked_at += 1;
            of_claim.push((test.difference.p_value(), segment, test));
        }
        of_claim.retain(|(p, ..)| *p < WORTH_ASKING);
        of_claim.sort_by(|left, right| left.0.total_cmp(&right.0));
        let mut kept: Vec<&Segment> = Vec::new();
        for (_, segment, first) in of_claim {
            if kept.iter().any(|known| known.likeness(segment) > SAME) {
                continue;
            }
            if let Some(second) = table.test(&scores, segment, Half::Second) {
                kept.push(segment);
                let claim = claim.clone();
                candidates.push(Candidate {
                    claim,
                    segment,
                    rose: first.difference.mean > 0.0,
                    test: second,
                });
            }
        }
    }
    let p_values: Vec<f64> = candidates.iter().map(Candidate::p_value).collect();
    let believed = believed(&p_values, RATE);
    let selected = believed.iter().filter(|believed| **believed).count();
    let miss = RATE * selected as f64 / candidates.len().max(1) as f64;
    let mut found: Vec<Pattern> = candidates
        .iter()
        .zip(&believed)
        .filter(|(_, believed)| **believed)
        .map(|(found, _)| found.pattern(miss))
        .collect();
    found.sort_by(|left, right| left.p_value.total_cmp(&right.p_value));
    Patterns {
        n: cases.len(),
        questions: table.questions,
        free: cases.iter().filter(|case| is_free(case)).count(),
        looked_at,
        asked: candidates.len(),
        found,
        topics: table.topics(),
    }
}

/// Whether more than one strategy could have been taken.
fn is_free(case: &Case) -> bool {
    case.propensities.iter().filter(|(_, propensity)| *propensity >= SMALLEST_PROPENSITY).count() > 1
}

#[derive(Clone, Copy, PartialEq)]
enum Half {
    First,
    Second,
}

/// Something worth asking, with what the second half says.
struct Candidate<'a> {
    claim: Claim,
    segment: &'a Segment,
    /// Whether the first half said more, rather than less.
    rose: bool,
    test: Test,
}

/// A comparison of what is inside a segment with what is outside.
struct Test {
    inside: (Moment, usize),
    outside: Option<(Moment, usize)>,
    difference: Moment,
}

impl Candidate<'_> {
    /// Where the halves contradict each other there is nothing.
    fn p_value(&self) -> f64 {
        if (self.test.difference.mean > 0.0) == self.rose { self.test.difference.p_value() } else { 1.0 }
    }

    fn pattern(&self, miss: f64) -> Pattern {
        let figure = |(moment, n): &(Moment, usize)| Figure {
            value: moment.mean,
            interval: moment.interval(miss),
            n: *n,
        };
        let (inside, outside) = (figure(&self.test.inside), self.test.outside.as_ref().map(figure));
        let n = inside.n + outside.map_or(0, |outside| outside.n);
        let difference = figure(&(self.test.difference, n));
        let (claim, segment) = (self.claim.clone(), self.segment);
        let words = words(&claim, &segment.name, &inside, outside.as_ref(), &difference);
        Pattern {
            claim,
            cut: segment.cut.to_owned(),
            questions: segment.name.clone(),
            inside,
            outside,
            difference,
            p_value: self.test.difference.p_value(),
            words,
        }
    }
}

fn words(
    claim: &Claim,
    questions: &str,
    inside: &Figure,
    outside: Option<&Figure>,
    difference: &Figure,
) -> String {
    let of = |figure: &Figure, plus: bool| {
        let Figure { value, interval: [low, high], n } = figure;
        match plus {
            true => format!("{value:+.2} [{low:+.2}, {high:+.2}] (n = {n})"),
            false => format!("{value:.2} [{:.2}, {:.2}] (n = {n})", low.max(0.0), high.min(1.0)),
        }
    };
    let Figure { value, interval: [low, high], .. } = difference;
    match (claim, outside) {
        (Claim::Quality, Some(outside)) => format!(
            "Answers to {questions} are {} than others: {}, others {}; a difference of {value:+.2} [{low:+.2}, {high:+.2}].",
            if *value < 0.0 { "worse" } else { "better" },
            of(inside, false),
            of(outside, false),
        ),
        (Claim::Quality, None) => format!("Answers to {questions} are worth {}.", of(inside, false)),
        (Claim::Advantage { strategy, over }, outside) => {
            let [low, high] = inside.interval;
            let is = match (low > 0.0, high < 0.0) {
                (true, _) => format!("`{strategy}` beats `{over}`"),
                (_, true) => format!("`{strategy}` loses to `{over}`"),
                _ => format!(
                    "`{strategy}` does {} against `{over}`",
                    if *value > 0.0 { "better" } else { "worse" }
                ),
            };
            let elsewhere =
                outside.map(|outside| format!(", elsewhere {}", of(outside, true))).unwrap_or_default();
            format!("For {questions}, {is}: {}{elsewhere}.", of(inside, true))
        }
    }
}

/// The cases in the order of their questions, with everything that is asked of them.
struct Table<'a> {
    cases: Vec<&'a Case>,
    /// By case: the number of its question.
    groups: Vec<usize>,
    questions: usize,
    second: Vec<bool>,
    segments: Vec<Segment>,
    topics: Topics,
    strategies: Vec<String>,
    /// By case and strategy: the doubly robust score, where the strategy could have been taken.
    scores: Vec<Vec<Option<f64>>>,
}

impl<'a> Table<'a> {
    fn of(cases: &'a [Case], seed: u64) -> Self {
        let mut order: Vec<(String, &Case)> =
            cases.iter().map(|case| (normalised(&case.question), case)).collect();
        order.sort_by(|left, right| left.0.cmp(&right.0).then(left.1.at.cmp(&right.1.at)));
        let mut groups = Vec::with_capacity(order.len());
        let mut firsts: Vec<(&str, &Case)> = Vec::new();
        for (question, case) in &order {
            if firsts.last().map(|(known, _)| *known) != Some(question.as_str()) {
                firsts.push((question, case));
            }
            groups.push(firsts.len() - 1);
        }
        let mut random = fastrand::Rng::with_seed(seed);
        let halves: Vec<bool> = firsts.iter().map(|_| random.bool()).collect();
        let asked: Vec<(&str, &[f32])> =
            firsts.iter().map(|(question, case)| (*question, case.embedding.as_slice())).collect();
        let topics = Topics::find(&asked, seed);
        let questions = firsts.len();
        let cases: Vec<&Case> = order.iter().map(|(_, case)| *case).collect();
        let of_topic: Vec<Option<usize>> =
            groups.iter().map(|group| topics.of.get(*group).copied()).collect();
        let strategies: BTreeSet<&String> = cases.iter().map(|case| &case.strategy).collect();
        let strategies: Vec<String> = strategies.into_iter().cloned().collect();
        Self {
            segments: segments(&cases, &of_topic, &topics.names),
            second: groups.iter().map(|group| halves[*group]).collect(),
            scores: scores(&cases, &strategies, seed),
            cases,
            groups,
            questions,
            topics,
            strategies,
        }
    }

    /// What may hold: of the quality, and of each strategy against the one that is taken most.
    fn claims(&self) -> Vec<Claim> {
        let taken = |name: &String| self.cases.iter().filter(|case| case.strategy == *name).count();
        let usual = self.strategies.iter().rev().max_by_key(|name| taken(name));
        let advantage = |strategy: &String| {
            let over = usual.filter(|usual| *usual != strategy)?.clone();
            Some(Claim::Advantage { strategy: strategy.clone(), over })
        };
        std::iter::once(Claim::Quality).chain(self.strategies.iter().filter_map(advantage)).collect()
    }

    /// By case: what it says of the claim, where it says anything.
    fn scores(&self, claim: &Claim) -> Scores {
        let place = |name: &String| self.strategies.iter().position(|known| known == name);
        let (pair, values) = match claim {
            Claim::Quality => (None, self.cases.iter().map(|case| Some(case.quality)).collect()),
            Claim::Advantage { strategy, over } => {
                let pair = place(strategy).zip(place(over));
                let score = |scores: &Vec<Option<f64>>| {
                    let (of, over) = pair?;
                    Some(scores[of]? - scores[over]?)
                };
                (Some([strategy.clone(), over.clone()]), self.scores.iter().map(score).collect())
            }
        };
        Scores { values, pair }
    }

    fn test(&self, scores: &Scores, segment: &Segment, half: Half) -> Option<Test> {
        let everything = segment.is_everything();
        // How good answers are in all is a figure, and no pattern.
        if everything && scores.pair.is_none() {
            return None;
        }
        let inside = self.side(scores, half, |place| segment.holds[place])?;
        if everything {
            return Some(Test { difference: inside.0, inside, outside: None });
        }
        let outside = self.side(scores, half, |place| !segment.holds[place])?;
        Some(Test { difference: inside.0.less(&outside.0), inside, outside: Some(outside) })
    }

    fn side(&self, scores: &Scores, half: Half, holds: impl Fn(usize) -> bool) -> Option<(Moment, usize)> {
        let places = || {
            (0..self.cases.len())
                .filter(|place| self.second[*place] == (half == Half::Second) && holds(*place))
                .filter_map(|place| Some((place, scores.values[place]?)))
        };
        let sample = Sample::new(places().map(|(place, value)| (self.groups[place], value)));
        let often = |name: &String| {
            places().filter(|(place, _)| self.cases[*place].strategy == *name).count() >= FEWEST_TAKEN
        };
        let enough = sample.groups() >= FEWEST_QUESTIONS && scores.pair.iter().flatten().all(often);
        sample.moment().filter(|_| enough).map(|moment| (moment, sample.rows()))
    }

    fn topics(&self) -> Vec<TopicRow> {
        let mut sums: BTreeMap<(&String, &String), (f64, usize)> = BTreeMap::new();
        for (case, group) in self.cases.iter().zip(&self.groups) {
            let Some(topic) = self.topics.of.get(*group) else { continue };
            let (sum, n) = sums.entry((&self.topics.names[*topic], &case.strategy)).or_default();
            *sum += case.quality;
            *n += 1;
        }
        let row = |((topic, strategy), (sum, n)): ((&String, &String), (f64, usize))| TopicRow {
            topic: topic.clone(),
            strategy: strategy.clone(),
            quality: sum / n as f64,
            n,
        };
        sums.into_iter().map(row).collect()
    }
}

/// What the cases say of a claim.
struct Scores {
    values: Vec<Option<f64>>,
    /// The strategies that are compared.
    pair: Option<[String; 2]>,
}

fn normalised(question: &str) -> String {
    question.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>().join(" ")
}

/// Doubly robust scores (Dudík, Langford and Li 2011) of each strategy for each case, from a model of the quality that
/// has not seen the case.
fn scores(cases: &[&Case], strategies: &[String], seed: u64) -> Vec<Vec<Option<f64>>> {
    let propensity = |case: &Case, strategy: &str| {
        let known = case.propensities.iter().find(|(name, _)| name == strategy);
        known.map_or(0.0, |(_, propensity)| *propensity)
    };
    let even = vec![1.0 / strategies.len().max(1) as f64; strategies.len()];
    let contexts: Vec<Vec<f64>> =
        cases.iter().map(|case| FeatureVector::new(&case.features).to_vec()).collect();
    // Only a decision that had a choice is in the model; the others could not be compared anyway.
    let drawn: Vec<usize> = (0..cases.len()).filter(|place| is_free(cases[*place])).collect();
    let rows = drawn.iter().map(|&place| Logged {
        context: &contexts[place],
        position: 0,
        action: strategies.iter().position(|name| *name == cases[place].strategy).unwrap_or(0),
        reward: cases[place].quality,
        propensity: propensity(cases[place], &cases[place].strategy).clamp(SMALLEST_PROPENSITY, 1.0),
        target: &even,
    });
    let mut scores = vec![vec![None; strategies.len()]; cases.len()];
    let Ok(log) = Log::new(rows.collect()) else { return scores };
    for (&place, expected) in drawn.iter().zip(cross_fitted_actions(&log, seed)) {
        let case = cases[place];
        for (action, strategy) in strategies.iter().enumerate() {
            let propensity = propensity(case, strategy);
            if propensity >= SMALLEST_PROPENSITY {
                let taken = f64::from(u8::from(case.strategy == *strategy));
                let score = expected[action] + taken / propensity * (case.quality - expected[action]);
                scores[place][action] = Some(score);
            }
        }
    }
    scores
}

#[cfg(test)]
mod tests;
