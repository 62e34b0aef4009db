//! The parts of the questions that patterns may hold for.

use super::{Case, FEATURES, QueryType, feature_value};

const MS_AN_HOUR: u64 = 3_600_000;
const HOURS_A_DAY: u64 = 24;
/// 1970-01-01 was a Thursday; days count from Monday.
const FIRST_WEEKDAY: u64 = 3;
/// Features are cut at these quantiles.
const QUANTILES: [f64; 3] = [0.25, 0.5, 0.75];

/// A part of the questions.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Segment {
    /// How it was cut out.
    pub(super) cut: &'static str,
    /// In words that go on after "answers to" and "for".
    pub(super) name: String,
    /// By case: whether it belongs to the part.
    pub(super) holds: Vec<bool>,
    /// The feature that cuts, where one does.
    feature: Option<&'static str>,
}

impl Segment {
    pub(super) fn is_everything(&self) -> bool {
        self.cut == "all"
    }

    /// How many of the cases of both belong to both (Jaccard); a part and what it leaves are the same cut.
    pub(super) fn likeness(&self, other: &Self) -> f64 {
        let share = |same: bool| {
            let pairs = || self.holds.iter().zip(&other.holds).map(|(one, other)| (*one, *other == same));
            let both = pairs().filter(|(one, other)| *one && *other).count();
            let any = pairs().filter(|(one, other)| *one || *other).count();
            both as f64 / any.max(1) as f64
        };
        // One threshold a feature is enough.
        if self.feature.is_some() && self.feature == other.feature {
            return 1.0;
        }
        // That everything holds a part says nothing of their being alike.
        if self.is_everything() || other.is_everything() { 0.0 } else { share(true).max(share(false)) }
    }
}

/// Every part that is looked at. None depends on how good the answers were.
pub(super) fn segments(cases: &[&Case], topics: &[Option<usize>], topic_names: &[String]) -> Vec<Segment> {
    let mut segments = Vec::new();
    let mut add = |cut: &'static str, name: String, holds: Vec<bool>| {
        let some = cut == "all" || (holds.contains(&true) && holds.contains(&false));
        segments.extend(some.then_some(Segment { cut, name, holds, feature: None }));
    };
    let by = |holds: &dyn Fn(&Case) -> bool| cases.iter().map(|case| holds(case)).collect::<Vec<bool>>();
    add("all", "all questions".to_owned(), vec![true; cases.len()]);
    for query_type in QueryType::ALL {
        let name = format!("questions of the type {}", query_type.name().replace('_', " "));
        add("type", name, by(&|case| QueryType::of(&case.features) == query_type));
    }
    for (name, low, high) in [("simple", -1.0, 0.3), ("middling", 0.3, 0.7), ("complex", 0.7, 2.0)] {
        let name = format!("{name} questions (complexity {})", bounds(low, high, 0.0, 1.0));
        add(
            "complexity",
            name,
            by(&|case| (low..high).contains(&feature_value(&case.features, "complexity"))),
        );
    }
    for (name, low, high) in [("short", 0.0, 6.0), ("medium", 6.0, 13.0), ("long", 13.0, f64::MAX)] {
        let name = format!("{name} questions ({} words)", bounds(low, high, 0.0, f64::MAX));
        add("length", name, by(&|case| (low..high).contains(&feature_value(&case.features, "words"))));
    }
    for (topic, name) in topic_names.iter().enumerate() {
        let holds = topics.iter().map(|of| *of == Some(topic)).collect();
        add("topic", format!("questions on \u{201c}{name}\u{201d}"), holds);
    }
    for part in 0..4u64 {
        let (from, to) = (6 * part, 6 * part + 6);
        let hour = |case: &Case| case.at.0 / MS_AN_HOUR % HOURS_A_DAY;
        add(
            "hours",
            format!("questions asked from {from} to {to} o'clock UTC"),
            by(&|case| (from..to).contains(&hour(case))),
        );
    }
    let weekday = |case: &Case| (case.at.0 / MS_AN_HOUR / HOURS_A_DAY + FIRST_WEEKDAY) % 7;
    add("days", "questions asked at the weekend".to_owned(), by(&|case| weekday(case) >= 5));
    let mut times: Vec<u64> = cases.iter().map(|case| case.at.0).collect();
    times.sort_unstable();
    for (name, share) in [("half", 0.5), ("quarter", 0.75)] {
        let since = times.get((times.len() as f64 * share) as usize).copied().unwrap_or_default();
        add("time", format!("questions of the last {name} of the log"), by(&|case| case.at.0 >= since));
    }
    // The probabilities of types are there as types already.
    for feature in FEATURES.iter().filter(|feature| !feature.name.starts_with("type_")) {
        for (name, holds) in thresholds(cases, feature.name) {
            segments.push(Segment { cut: "feature", name, holds, feature: Some(feature.name) });
        }
    }
    segments
}

/// The cuts of a feature; one that takes few values is cut between them.
fn thresholds(cases: &[&Case], name: &str) -> Vec<(String, Vec<bool>)> {
    let values: Vec<f64> = cases.iter().map(|case| feature_value(&case.features, name)).collect();
    let mut sorted = values.clone();
    sorted.sort_unstable_by(f64::total_cmp);
    let last = sorted.last().copied();
    let mut cuts: Vec<f64> = QUANTILES
        .iter()
        .filter_map(|share| sorted.get((sorted.len() as f64 * share) as usize).copied())
        .collect();
    // So that a flag that is hardly ever set has both sides.
    cuts.extend(sorted.first());
    cuts.sort_unstable_by(f64::total_cmp);
    cuts.dedup();
    cuts.retain(|cut| Some(*cut) != last);
    let part = |cut: f64| {
        let words = format!("questions with `{name}` above {}", (cut * 1_000.0).round() / 1_000.0);
        (words, values.iter().map(|value| *value > cut).collect())
    };
    cuts.into_iter().map(part).collect()
}

fn bounds(low: f64, high: f64, least: f64, most: f64) -> String {
    match (low > least, high < most) {
        (false, _) => format!("below {high}"),
        (true, false) => format!("from {low}"),
        (true, true) => format!("from {low} to below {high}"),
    }
}
