//! Recorded outcomes: for each query what every arm would have been worth, and cost.

use std::fmt;
use std::path::{Path, PathBuf};

use burnish_learning::{Directions, FeatureVector, query_features};
use burnish_types::{Embedding, Filter, Query, UserContext, fnv1a};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::EvalError;
use crate::dataset::Lines;

/// How many features a query has: those of its text, see [`text_features`], and of its topic, 0 where none was added.
pub const TABLE_FEATURES: usize = QUERY_PLACES + WORD_PLACES + TOPIC_PLACES;
/// Places of the vector that the query's features are put in.
const QUERY_PLACES: usize = 24;
/// Features that a corpus tells, of which a table knows nothing.
const OF_A_CORPUS: [&str; 7] = ["idf", "lists", "lexical", "dense", "overlap", "top", "fused"];
/// Places of the vector that words are hashed to.
const WORD_PLACES: usize = 16;
/// Places of the vector for what an embedding tells of the topic.
const TOPIC_PLACES: usize = Directions::LENGTH;
/// Embeddings that these are taken from.
const MOST_EMBEDDINGS: usize = 2_000;

/// One arm's recorded outcome.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct RecordedOutcome {
    /// In [0, 1].
    pub quality: f64,
    /// In US dollars; `None` where it was not recorded.
    #[serde(default)]
    pub cost_usd: Option<f64>,
    /// Tokens that were read.
    #[serde(default)]
    pub input_tokens: Option<f64>,
    /// Tokens that were written.
    #[serde(default)]
    pub output_tokens: Option<f64>,
    /// In milliseconds.
    #[serde(default)]
    pub latency_ms: Option<f64>,
}

/// One query and its outcomes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Row {
    /// Its id.
    pub id: String,
    /// The kind of query that it is; never shown to a policy.
    #[serde(default)]
    pub group: String,
    /// Its text.
    pub query: String,
    /// The outcomes by arm, in the order of the file.
    #[serde(deserialize_with = "in_order")]
    pub arms: Vec<(String, RecordedOutcome)>,
}

/// Rows of one or more files, over the same arms.
#[derive(Clone, Debug, PartialEq)]
pub struct OutcomeTable {
    /// The arms, in the order in which the files first name them.
    pub arms: Vec<String>,
    /// The rows.
    pub rows: Vec<TableRow>,
}

/// A row with its outcomes in the order of the table's arms.
#[derive(Clone, Debug, PartialEq)]
pub struct TableRow {
    /// The kind of query that it is.
    pub group: String,
    /// What a policy may see of the query.
    pub x: Vec<f64>,
    /// By arm; `None` where the arm was not tried.
    pub outcomes: Vec<Option<RecordedOutcome>>,
}

impl OutcomeTable {
    /// Reads JSON Lines, gzip'd where a name ends in `.gz`.
    ///
    /// # Errors
    /// If a file can't be read, a line is not a row, a quality is not in [0, 1], or there are fewer than two arms.
    pub fn load(files: &[PathBuf]) -> Result<Self, EvalError> {
        let mut table = Self { arms: Vec::new(), rows: Vec::new() };
        for file in files {
            for line in Lines::open(file)? {
                let (number, line) = line?;
                table.push(read_row(file, number, &line)?);
            }
        }
        let arms = table.arms.len();
        table.rows.iter_mut().for_each(|row| row.outcomes.resize(arms, None));
        match arms {
            0 | 1 => Err(EvalError::NoChoice { files: files.to_vec(), arms }),
            _ => Ok(table),
        }
    }

    /// The texts of the queries of such files, in the order of the rows.
    ///
    /// # Errors
    /// As [`Self::load`], but for the number of arms.
    pub fn queries(files: &[PathBuf]) -> Result<Vec<String>, EvalError> {
        let mut queries = Vec::new();
        for file in files {
            for line in Lines::open(file)? {
                let (number, line) = line?;
                queries.push(read_row(file, number, &line)?.query);
            }
        }
        Ok(queries)
    }

    /// Lets policies see what the queries are about, given their embeddings in the order of the rows: along the directions in which
    /// they differ most, for there are no passages to take these from.
    pub fn add_topics(&mut self, embeddings: &[Embedding]) {
        let step = embeddings.len().div_ceil(MOST_EMBEDDINGS).max(1);
        let some: Vec<Embedding> = embeddings.iter().step_by(step).cloned().collect();
        let Some(directions) = Directions::of(&some, 0) else { return };
        for (row, embedding) in self.rows.iter_mut().zip(embeddings) {
            let sketch = directions.sketch(embedding).unwrap_or_default();
            row.x.extend(sketch.into_iter().map(f64::from));
        }
    }

    fn push(&mut self, row: Row) {
        let mut outcomes = vec![None; self.arms.len()];
        for (name, outcome) in row.arms {
            let place = self.arms.iter().position(|arm| *arm == name).unwrap_or_else(|| {
                self.arms.push(name);
                outcomes.push(None);
                self.arms.len() - 1
            });
            outcomes[place] = Some(outcome);
        }
        self.rows.push(TableRow { group: row.group, x: text_features(&row.query), outcomes });
    }

    /// The mean quality of an arm over the rows that tried it.
    pub fn mean_quality(&self, arm: usize) -> f64 {
        mean(self.outcomes(arm).map(|outcome| outcome.quality)).unwrap_or_default()
    }

    /// The mean cost of an arm, in US dollars; `None` where none was recorded.
    pub fn mean_cost(&self, arm: usize) -> Option<f64> {
        mean(self.outcomes(arm).filter_map(|outcome| outcome.cost_usd))
    }

    /// The outcomes of an arm.
    pub fn outcomes(&self, arm: usize) -> impl Iterator<Item = RecordedOutcome> {
        self.rows.iter().filter_map(move |row| row.outcomes.get(arm).copied().flatten())
    }

    /// The arms of the best and of the worst mean quality.
    pub fn extremes(&self) -> (usize, usize) {
        let mut order: Vec<usize> = (0..self.arms.len()).collect();
        order.sort_by(|left, right| self.mean_quality(*right).total_cmp(&self.mean_quality(*left)));
        (order.first().copied().unwrap_or(0), order.last().copied().unwrap_or(0))
    }
}

/// The mean; `None` of nothing.
pub(crate) fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

/// What a policy sees of a query: a constant 1, the features that its text tells, within [-1, 1], and the words hashed
/// with signs (Weinberger et al. 2009) to places that share a length of 1.
pub fn text_features(text: &str) -> Vec<f64> {
    let query = Query {
        text: text.to_owned(),
        conversation: Vec::new(),
        user: UserContext::default(),
        filter: Filter::default(),
        top_k: 10,
        target_quality: 1.0,
        budget: None,
        latency_budget_ms: None,
    };
    let vector = FeatureVector::new(&query_features(&query, &[]));
    let known = FeatureVector::NAMES.iter().zip(vector.as_slice());
    let of_text = known.filter(|(name, _)| !is_of_a_corpus(name));
    // The first is the constant; the others lie in [-3, 3].
    let mut x: Vec<f64> =
        of_text.enumerate().map(|(place, (_, value))| if place == 0 { 1.0 } else { value / 3.0 }).collect();
    x.resize(QUERY_PLACES, 0.0);
    x.extend(hashed_words(text));
    x
}

/// How complex a query is, in [0, 1], of which [`text_features`] are known.
pub(crate) fn complexity(x: &[f64]) -> f64 {
    let of_text = FeatureVector::NAMES.iter().filter(|name| !is_of_a_corpus(name));
    let place = of_text.enumerate().find(|(_, name)| **name == "complexity").map(|(place, _)| place);
    // As the vector has it: a quarter is the centre and the scale, and 3 the end of it.
    let scaled = place.and_then(|place| x.get(place)).copied().unwrap_or_default();
    (0.25 + 0.75 * scaled).clamp(0.0, 1.0)
}

fn is_of_a_corpus(name: &str) -> bool {
    OF_A_CORPUS.iter().any(|corpus| name.starts_with(corpus))
}

fn hashed_words(text: &str) -> [f64; WORD_PLACES] {
    let mut places = [0.0; WORD_PLACES];
    let lower = text.to_lowercase();
    for word in lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let hash = fnv1a(word.as_bytes());
        let hash = hash ^ (hash >> 29);
        let sign = if hash & 1 == 0 { 1.0 } else { -1.0 };
        places[(hash >> 1) as usize % WORD_PLACES] += sign;
    }
    let length = places.iter().map(|value| value * value).sum::<f64>().sqrt();
    if length > 0.0 {
        places.iter_mut().for_each(|value| *value /= length);
    }
    places
}

fn read_row(file: &Path, number: usize, line: &str) -> Result<Row, EvalError> {
    let row: Row = serde_json::from_str(line).map_err(|reason| {
        let reason = reason.to_string().replace(" at line 1 column ", " at column ");
        let form = r#"a line is {"id","query","arms":{NAME:{"quality","cost_usd","output_tokens"}}}"#;
        EvalError::line(file, number, format!("{reason}: {form}"))
    })?;
    for (arm, outcome) in &row.arms {
        if !(0.0..=1.0).contains(&outcome.quality) {
            let quality = outcome.quality;
            let reason = format!("the quality {quality} of `{arm}` is not in [0, 1]: scale it");
            return Err(EvalError::line(file, number, reason));
        }
        let figures = [outcome.cost_usd, outcome.output_tokens, outcome.latency_ms];
        if figures.into_iter().flatten().any(|figure| !(figure.is_finite() && figure >= 0.0)) {
            let reason = format!("a cost, a number of tokens or a latency of `{arm}` is below 0");
            return Err(EvalError::line(file, number, reason));
        }
    }
    Ok(row)
}

/// A JSON object as pairs in its order.
fn in_order<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(String, RecordedOutcome)>, D::Error> {
    struct Pairs;
    impl<'de> Visitor<'de> for Pairs {
        type Value = Vec<(String, RecordedOutcome)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("outcomes by arm")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut pairs = Vec::new();
            while let Some(pair) = map.next_entry()? {
                pairs.push(pair);
            }
            Ok(pairs)
        }
    }
    from.deserialize_map(Pairs)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn load(text: &str) -> Result<OutcomeTable, EvalError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        OutcomeTable::load(&[file.path().to_owned()])
    }

    #[test]
    fn arms_keep_the_order_of_the_file_and_may_be_missing() {
        let table = load(
            "{\"id\":\"1\",\"query\":\"a\",\"arms\":{\"strong\":{\"quality\":1,\"cost_usd\":0.1},\"cheap\":{\"quality\":0.5}}}\n\
             {\"id\":\"2\",\"group\":\"g\",\"query\":\"b\",\"arms\":{\"other\":{\"quality\":0},\"strong\":{\"quality\":0,\"cost_usd\":0.3}}}\n",
        )
        .unwrap();
        assert_eq!(table.arms, ["strong", "cheap", "other"]);
        assert_eq!(table.rows[0].outcomes[2], None);
        assert_eq!(table.rows[1].outcomes[1], None);
        assert_eq!((table.mean_quality(0), table.mean_quality(1)), (0.5, 0.5));
        assert!((table.mean_cost(0).unwrap() - 0.2).abs() < 1e-12 && table.mean_cost(1).is_none());
    }

    #[test]
    fn what_is_no_table_is_refused_with_its_place() {
        let two = "\"arms\":{\"a\":{\"quality\":0},\"b\":{\"quality\":1}}";
        let cases = [
            ("{\"id\":\"1\"}\n".to_owned(), ":1: missing field `query`"),
            (
                format!(
                    "{{\"id\":\"1\",\"query\":\"\",{two}}}\n{{\"id\":\"2\",\"query\":\"\",\"arms\":{{\"a\":{{\"quality\":3}}}}}}"
                ),
                ":2: the quality 3 of `a`",
            ),
            (
                "{\"id\":\"1\",\"query\":\"\",\"arms\":{\"a\":{\"quality\":0,\"cost_usd\":-1}}}".to_owned(),
                "below 0",
            ),
            ("{\"id\":\"1\",\"query\":\"\",\"arms\":{\"a\":{\"quality\":0}}}".to_owned(), "1 arm"),
            (String::new(), "0 arm"),
        ];
        for (text, expected) in cases {
            let error = load(&text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error:?} lacks {expected:?}");
        }
    }

    #[test]
    fn features_are_as_many_as_they_say_and_bounded() {
        for text in ["", "What is 3 + 4?", &"very long \"text\" 42 ".repeat(500)] {
            let x = text_features(text);
            assert_eq!((x.len(), x[0]), (QUERY_PLACES + WORD_PLACES, 1.0));
            assert!(x.iter().all(|value| value.abs() <= 3.5), "{x:?}");
        }
        assert_ne!(text_features("red apples"), text_features("blue apples"));
    }

    #[test]
    fn topics_come_after_the_text() {
        let row = "{\"id\":\"1\",\"query\":\"a\",\"arms\":{\"a\":{\"quality\":0},\"b\":{\"quality\":1}}}\n";
        let mut table = load(&row.repeat(200)).unwrap();
        // Too few to tell how they differ.
        table.add_topics(&[vec![1.0, 0.0], vec![0.0, 1.0]]);
        assert_eq!(table.rows[0].x.len(), QUERY_PLACES + WORD_PLACES);
        let mut random = fastrand::Rng::with_seed(1);
        let embeddings: Vec<Embedding> =
            (0..200).map(|_| (0..20).map(|_| random.f32() - 0.5).collect()).collect();
        table.add_topics(&embeddings);
        assert!(table.rows.iter().all(|row| row.x.len() == TABLE_FEATURES));
        let text = QUERY_PLACES + WORD_PLACES;
        assert_eq!(table.rows[0].x[..text], table.rows[1].x[..text]);
        assert_ne!(table.rows[0].x[text..], table.rows[1].x[text..]);
    }
}
