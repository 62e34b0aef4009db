//! Measures of a ranking against judgements, as trec_eval computes them, so that figures can be compared
//! with published ones and checked with `ir-measures`.
//!
//! Definitions: nDCG by Järvelin and Kekäläinen (2002) in trec_eval's form: the gain is the grade, the
//! discount is `log2(rank + 1)`, and the ideal ranking is over everything judged, found or not. For all
//! other measures a document is relevant if its grade is at least 1. What was not judged is not relevant.
//! trec_eval has no reciprocal rank with a cut; that one is MS MARCO's, as `ir-measures` has it, which breaks
//! ties the other way round.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::str::FromStr;

use crate::EvalError;

/// The grades of one query's documents, by document id; below 1 means not relevant.
pub type Grades = HashMap<String, i32>;

/// Documents in the order in which trec_eval looks at them.
///
/// That is by descending score in single precision and, between equal scores, by descending document
/// id, whatever order they came in. A document that is named twice counts where it stands first.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking<'a> {
    scored: Vec<(&'a str, f32)>,
}

impl<'a> Ranking<'a> {
    /// Ranks `scored`; a score that is no number comes last.
    pub fn new(scored: impl IntoIterator<Item = (&'a str, f32)>) -> Self {
        let mut scored: Vec<(&str, f32)> = scored
            .into_iter()
            .map(|(document, score)| (document, if score.is_nan() { f32::NEG_INFINITY } else { score }))
            .collect();
        scored.sort_by(|left, right| trec_order(*left, *right));
        let mut seen = HashSet::with_capacity(scored.len());
        scored.retain(|(document, _)| seen.insert(*document));
        Self { scored }
    }

    /// The documents with their scores, best first.
    pub fn scored(&self) -> &[(&'a str, f32)] {
        &self.scored
    }

    /// The grades of the first `depth` documents; 0 where nothing was judged.
    fn grades<'b>(&'b self, depth: usize, grades: &'b Grades) -> impl Iterator<Item = i32> + 'b {
        self.scored.iter().take(depth).map(|(document, _)| grades.get(*document).copied().unwrap_or(0))
    }

    /// The documents in the order in which MS MARCO's evaluator looks at them: equal scores by ascending id.
    fn ascending_ties(&self) -> impl Iterator<Item = &'a str> {
        let ties = self.scored.chunk_by(|left, right| left.1 == right.1);
        ties.flat_map(|tie| tie.iter().rev()).map(|(document, _)| *document)
    }
}

// `partial_cmp`, since trec_eval holds 0.0 and -0.0 for equal, which `total_cmp` does not.
fn trec_order(left: (&str, f32), right: (&str, f32)) -> Ordering {
    right.1.partial_cmp(&left.1).unwrap_or(Ordering::Equal).then_with(|| right.0.cmp(left.0))
}

/// A measure of one ranking, in [0, 1]. Means over queries count a query without a ranking as 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Measure {
    /// Normalised discounted cumulative gain of the first so many.
    Ndcg(usize),
    /// The share of the relevant documents that is among the first so many.
    Recall(usize),
    /// One over the rank of the first relevant document, 0 if it is not among the first so many.
    ReciprocalRank(usize),
    /// The share of relevant documents among the first so many, missing ones counted as not relevant.
    Precision(usize),
    /// 1 if a relevant document is among the first so many.
    Success(usize),
    /// The mean, over the relevant documents, of the precision at each one's rank; 0 for one not found.
    AveragePrecision,
}

impl Measure {
    /// The measure of `ranking`; 0 where nothing is relevant.
    pub fn of(self, ranking: &Ranking<'_>, grades: &Grades) -> f64 {
        let relevant = grades.values().filter(|&&grade| grade > 0).count();
        let found = |depth| ranking.grades(depth, grades).filter(|&grade| grade > 0).count();
        match self {
            Self::Ndcg(depth) => ndcg(ranking, grades, depth),
            Self::Recall(depth) => ratio(found(depth), relevant),
            Self::ReciprocalRank(depth) => {
                first_relevant(ranking, grades, depth).map_or(0.0, |rank| ratio(1, rank))
            }
            Self::Precision(depth) => ratio(found(depth), depth),
            Self::Success(depth) => f64::from(u8::from(found(depth) > 0)),
            Self::AveragePrecision => average_precision(ranking, grades, relevant),
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ndcg(depth) => write!(f, "ndcg@{depth}"),
            Self::Recall(depth) => write!(f, "recall@{depth}"),
            Self::ReciprocalRank(depth) => write!(f, "mrr@{depth}"),
            Self::Precision(depth) => write!(f, "precision@{depth}"),
            Self::Success(depth) => write!(f, "success@{depth}"),
            Self::AveragePrecision => f.write_str("map"),
        }
    }
}

impl FromStr for Measure {
    type Err = EvalError;

    fn from_str(name: &str) -> Result<Self, EvalError> {
        let unknown = || EvalError::UnknownMeasure(name.to_owned());
        if name == "map" {
            return Ok(Self::AveragePrecision);
        }
        let (kind, depth) = name.split_once('@').ok_or_else(unknown)?;
        let depth = depth.parse().ok().filter(|&depth: &usize| depth > 0).ok_or_else(unknown)?;
        match kind {
            "ndcg" => Ok(Self::Ndcg(depth)),
            "recall" => Ok(Self::Recall(depth)),
            "mrr" => Ok(Self::ReciprocalRank(depth)),
            "precision" => Ok(Self::Precision(depth)),
            "success" => Ok(Self::Success(depth)),
            _ => Err(unknown()),
        }
    }
}

fn ndcg(ranking: &Ranking<'_>, grades: &Grades, depth: usize) -> f64 {
    let mut ideal: Vec<i32> = grades.values().copied().collect();
    ideal.sort_unstable_by(|left, right| right.cmp(left));
    let best = discounted_gain(ideal.into_iter().take(depth));
    if best > 0.0 { discounted_gain(ranking.grades(depth, grades)) / best } else { 0.0 }
}

/// A negative grade is no gain, as in trec_eval.
fn discounted_gain(grades: impl Iterator<Item = i32>) -> f64 {
    grades.enumerate().map(|(place, grade)| f64::from(grade.max(0)) / (place as f64 + 2.0).log2()).sum()
}

fn first_relevant(ranking: &Ranking<'_>, grades: &Grades, depth: usize) -> Option<usize> {
    let mut documents = ranking.ascending_ties().take(depth);
    documents.position(|document| grades.get(document).is_some_and(|&grade| grade > 0)).map(|place| place + 1)
}

fn average_precision(ranking: &Ranking<'_>, grades: &Grades, relevant: usize) -> f64 {
    let mut found = 0;
    let mut precisions = 0.0;
    for (place, grade) in ranking.grades(usize::MAX, grades).enumerate() {
        if grade > 0 {
            found += 1;
            precisions += ratio(found, place + 1);
        }
    }
    if relevant > 0 { precisions / relevant as f64 } else { 0.0 }
}

fn ratio(part: usize, whole: usize) -> f64 {
    if whole > 0 { part as f64 / whole as f64 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EVERY: [Measure; 6] = [
        Measure::Ndcg(5),
        Measure::Recall(5),
        Measure::ReciprocalRank(5),
        Measure::Precision(5),
        Measure::Success(5),
        Measure::AveragePrecision,
    ];

    fn grades(judged: &[(&str, i32)]) -> Grades {
        judged.iter().map(|(document, grade)| ((*document).to_owned(), *grade)).collect()
    }

    /// Documents from best to worst, one character each.
    fn ranking(documents: &str) -> Ranking<'_> {
        let ids = documents.split("").filter(|id| !id.is_empty());
        Ranking::new(ids.enumerate().map(|(place, id)| (id, -(place as f32))))
    }

    #[test]
    fn measures_equal_what_was_computed_by_hand() {
        let judged = grades(&[("a", 2), ("b", 1), ("c", 1), ("n", 0), ("m", -1)]);
        let log3 = 3f64.log2();
        let ideal = 2.0 + 1.0 / log3 + 0.5;
        let cases = [
            ("ndcg@10", "abc", 1.0),
            ("ndcg@10", "cba", (1.0 + 1.0 / log3 + 1.0) / ideal),
            ("ndcg@10", "xyza", 2.0 / 5f64.log2() / ideal),
            ("ndcg@2", "xa", (2.0 / log3) / (2.0 + 1.0 / log3)),
            ("ndcg@10", "mnx", 0.0),
            ("recall@2", "abc", 2.0 / 3.0),
            ("recall@10", "xnmabc", 1.0),
            ("mrr@10", "xyb", 1.0 / 3.0),
            ("mrr@2", "xyb", 0.0),
            ("mrr@3", "xyb", 1.0 / 3.0),
            ("precision@4", "ab", 0.5),
            ("precision@2", "xa", 0.5),
            ("success@1", "na", 0.0),
            ("success@2", "na", 1.0),
            ("map", "axb", (1.0 + 2.0 / 3.0) / 3.0),
            ("map", "abc", 1.0),
            ("map", "", 0.0),
        ];
        for (name, documents, expected) in cases {
            let measure: Measure = name.parse().unwrap();
            let value = measure.of(&ranking(documents), &judged);
            assert!((value - expected).abs() < 1e-12, "{name} of {documents}: {value}, not {expected}");
            assert_eq!(measure.to_string(), name);
        }
    }

    #[test]
    fn equal_scores_are_broken_as_trec_eval_breaks_them() {
        // 1e-9 is lost in single precision next to 1.
        let scored =
            [("a", 1.0 + 1e-9f64 as f32), ("c", 1.0), ("b", 1.0), ("z", f32::NAN), ("y", 2.0), ("y", 0.5)];
        let order: Vec<&str> = Ranking::new(scored).scored().iter().map(|(id, _)| *id).collect();
        assert_eq!(order, ["y", "c", "b", "a", "z"]);
        let zeros: Vec<&str> =
            Ranking::new([("a", 0.0), ("b", -0.0)]).scored().iter().map(|(id, _)| *id).collect();
        assert_eq!(zeros, ["b", "a"]);
    }

    #[test]
    fn reciprocal_ranks_break_ties_as_ms_marco_does() {
        let ranking = Ranking::new([("d", 2.0), ("b", 1.0), ("c", 1.0), ("a", 1.0)]);
        for (relevant, rank) in [("d", 1.0), ("a", 2.0), ("b", 3.0), ("c", 4.0)] {
            let value = Measure::ReciprocalRank(4).of(&ranking, &grades(&[(relevant, 1)]));
            assert_eq!(value, 1.0 / rank, "{relevant}");
        }
    }

    #[test]
    fn unknown_measures_are_refused() {
        for name in ["ndcg", "ndcg@", "ndcg@0", "ndcg@-1", "err@10", "map@", ""] {
            let error = name.parse::<Measure>().unwrap_err();
            assert!(
                error.to_string().starts_with(&format!("there is no measure `{name}`: write ")),
                "{error}"
            );
        }
    }

    #[test]
    fn nothing_relevant_is_worth_nothing() {
        for judged in [grades(&[]), grades(&[("a", 0), ("b", -2)])] {
            for measure in EVERY {
                assert_eq!(measure.of(&ranking("ab"), &judged), 0.0, "{measure}");
            }
        }
    }

    fn judged_and_scored() -> impl Strategy<Value = (Grades, Vec<(String, f32)>)> {
        let grades = proptest::collection::hash_map("[a-h]", -1..4i32, 0..8);
        let scored = proptest::collection::vec(("[a-l]", (0..6u8).prop_map(f32::from)), 0..15);
        (grades, scored)
    }

    proptest! {
        #[test]
        fn measures_are_shares((judged, scored) in judged_and_scored()) {
            let ranking = Ranking::new(scored.iter().map(|(id, score)| (id.as_str(), *score)));
            for measure in EVERY {
                let value = measure.of(&ranking, &judged);
                prop_assert!((0.0..=1.0 + 1e-12).contains(&value), "{} is {}", measure, value);
            }
        }

        #[test]
        fn a_ranking_does_not_depend_on_the_order_it_came_in((_, mut scored) in judged_and_scored()) {
            let sorted = |scored: &[(String, f32)]| {
                Ranking::new(scored.iter().map(|(id, score)| (id.as_str(), *score)))
                    .scored().iter().map(|(id, score)| ((*id).to_owned(), *score)).collect::<Vec<_>>()
            };
            let before = sorted(&scored);
            scored.reverse();
            prop_assert_eq!(before, sorted(&scored));
        }

        #[test]
        fn the_best_ranking_is_worth_one((judged, _) in judged_and_scored()) {
            prop_assume!(judged.values().any(|&grade| grade > 0));
            let ranking = Ranking::new(judged.iter().map(|(id, grade)| (id.as_str(), *grade as f32)));
            let found = judged.values().filter(|&&grade| grade > 0).count();
            for measure in [
                Measure::Ndcg(3), Measure::Recall(found), Measure::ReciprocalRank(1), Measure::Precision(found),
                Measure::Success(1), Measure::AveragePrecision,
            ] {
                prop_assert!((measure.of(&ranking, &judged) - 1.0).abs() < 1e-12, "{}", measure);
            }
        }

        #[test]
        fn what_is_past_the_cut_changes_nothing((judged, scored) in judged_and_scored()) {
            let ranking = Ranking::new(scored.iter().map(|(id, score)| (id.as_str(), *score)));
            prop_assume!(ranking.scored().len() >= 5);
            let longer = scored.iter().map(|(id, score)| (id.as_str(), *score)).chain([("zz", -1.0), ("zy", -2.0)]);
            let longer = Ranking::new(longer);
            for measure in EVERY {
                prop_assert_eq!(measure.of(&ranking, &judged), measure.of(&longer, &judged), "{}", measure);
            }
        }
    }
}
