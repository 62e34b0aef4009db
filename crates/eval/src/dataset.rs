//! Test collections in BEIR's layout: `corpus.jsonl`, `queries.jsonl` and `qrels/<split>.tsv`, each of
//! which may be gzip'd (`.gz`).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::EvalError;
use crate::measures::Grades;
use crate::trec::insert_grade;

/// The grades of each query's documents, by query id.
pub type Qrels = BTreeMap<String, Grades>;

/// A document of a collection.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct CollectionDocument {
    /// Its id, which the qrels name.
    #[serde(rename = "_id")]
    pub id: String,
    /// Its title, or nothing.
    #[serde(default)]
    pub title: String,
    /// Its text.
    pub text: String,
    /// What else is said of it.
    #[serde(default)]
    pub metadata: Map<String, Value>,
}

/// A query of a collection.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct CollectionQuery {
    /// Its id, which the qrels name.
    #[serde(rename = "_id")]
    pub id: String,
    /// What is asked.
    pub text: String,
    /// What else is said of it, such as the answer.
    #[serde(default)]
    pub metadata: Map<String, Value>,
}

impl CollectionQuery {
    /// The texts of which one is the answer. `yes` and `no` stand everywhere and say nothing.
    pub fn answers(&self) -> Vec<&str> {
        let answers = self.metadata.get("answers").and_then(Value::as_array);
        let texts = answers.into_iter().flatten().filter_map(Value::as_str);
        texts.filter(|text| !matches!(text.to_lowercase().as_str(), "" | "yes" | "no")).collect()
    }
}

/// A split of a collection: its queries with their judgements, and the way to the corpus.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// The folder's name.
    pub name: String,
    /// The queries that the split judges, in the order in which its qrels first name them.
    pub queries: Vec<CollectionQuery>,
    /// The judgements.
    pub qrels: Qrels,
    corpus: PathBuf,
}

impl Dataset {
    /// Reads the queries and judgements of `split` (such as `test`) in the folder `dir`. The corpus is only
    /// looked for, and read by [`Self::corpus`].
    ///
    /// # Errors
    /// If a file is missing or can't be read, a line is not what it should be, an id comes twice, or a
    /// judged query is not among the queries.
    pub fn load(dir: &Path, split: &str) -> Result<Self, EvalError> {
        let corpus = find(dir, "corpus.jsonl")?;
        let (order, qrels) = read_ordered_qrels(&find(dir, &format!("qrels/{split}.tsv"))?)?;
        let queries = read_queries(&find(dir, "queries.jsonl")?, order)?;
        let name = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Self { name, queries, qrels, corpus })
    }

    /// Keeps the queries whose metadata has `value` at `field`; a number or a truth value is compared as it is
    /// written in JSON.
    ///
    /// # Errors
    /// If no query is left.
    pub fn keep_where(&mut self, field: &str, value: &str) -> Result<(), EvalError> {
        let has = |query: &CollectionQuery| {
            let written = query.metadata.get(field).map(|found| match found {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            });
            written.is_some_and(|written| written == value)
        };
        self.queries.retain(has);
        match self.queries.is_empty() {
            true => Err(EvalError::NothingLeft { field: field.to_owned(), value: value.to_owned() }),
            false => Ok(()),
        }
    }

    /// The file that [`Self::corpus`] reads.
    pub fn corpus_path(&self) -> &Path {
        &self.corpus
    }

    /// The documents, one after the other as they are read. A second document with the same id is an error;
    /// what comes after an error is not to be relied upon.
    ///
    /// # Errors
    /// If the file can't be opened.
    pub fn corpus(
        &self,
    ) -> Result<impl Iterator<Item = Result<CollectionDocument, EvalError>> + use<>, EvalError> {
        let path = self.corpus.clone();
        let mut seen = HashSet::new();
        Ok(Lines::open(&self.corpus)?.map(move |line| {
            let (number, line) = line?;
            let document: CollectionDocument = parse(&path, number, &line)?;
            match seen.insert(document.id.clone()) {
                true => Ok(document),
                false => Err(twice(&path, number, &document.id)),
            }
        }))
    }
}

/// Reads judgements in BEIR's form: `query-id`, `corpus-id` and `score`, separated by tabs, with or without a
/// header; gzip'd where the name ends in `.gz`.
///
/// # Errors
/// If the file can't be read, has no judgement, a line has another form, or a document is judged twice.
pub fn read_qrels(path: &Path) -> Result<Qrels, EvalError> {
    read_ordered_qrels(path).map(|(_, qrels)| qrels)
}

/// The lines of a text file, plain or gzip'd, that are not blank, with their numbers from 1. Ends with the
/// first line that can't be read.
pub(crate) struct Lines {
    path: PathBuf,
    reader: Box<dyn BufRead + Send>,
    number: usize,
    broken: bool,
}

impl Lines {
    pub(crate) fn open(path: &Path) -> Result<Self, EvalError> {
        let file = File::open(path).map_err(EvalError::read(path))?;
        let reader: Box<dyn BufRead + Send> =
            match path.extension().is_some_and(|extension| extension == "gz") {
                true => Box::new(BufReader::new(MultiGzDecoder::new(file))),
                false => Box::new(BufReader::new(file)),
            };
        Ok(Self { path: path.to_owned(), reader, number: 0, broken: false })
    }

    fn failure(&self, reason: &io::Error) -> EvalError {
        let reason = match reason.kind() {
            io::ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
            _ => format!("the file cannot be read further: {reason}"),
        };
        EvalError::line(&self.path, self.number, reason)
    }
}

impl Iterator for Lines {
    type Item = Result<(usize, String), EvalError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.broken {
            let mut line = String::new();
            self.number += 1;
            match self.reader.read_line(&mut line) {
                Ok(0) => return None,
                Ok(_) if line.trim().is_empty() => {}
                Ok(_) => {
                    line.truncate(line.trim_end_matches(['\r', '\n']).len());
                    return Some(Ok((self.number, line)));
                }
                Err(reason) => {
                    self.broken = true;
                    return Some(Err(self.failure(&reason)));
                }
            }
        }
        None
    }
}

fn find(dir: &Path, name: &str) -> Result<PathBuf, EvalError> {
    let candidates = [dir.join(name), dir.join(format!("{name}.gz"))];
    let missing = || EvalError::Missing { folder: dir.to_owned(), name: name.to_owned() };
    candidates.into_iter().find(|path| path.is_file()).ok_or_else(missing)
}

/// The queries in the order of their first judgement, and the judgements.
fn read_ordered_qrels(path: &Path) -> Result<(Vec<String>, Qrels), EvalError> {
    let mut order = Vec::new();
    let mut qrels = Qrels::new();
    for line in Lines::open(path)? {
        let (number, line) = line?;
        let fields: Vec<&str> = line.split('\t').map(str::trim).collect();
        let [query, document, grade] = fields[..] else {
            let reason = format!(
                "`query-id`, `corpus-id` and `score`, separated by tabs, are three fields, this line has {}",
                fields.len()
            );
            return Err(EvalError::line(path, number, reason));
        };
        let grade: i32 = match grade.parse() {
            Ok(grade) => grade,
            Err(_) if number == 1 => continue,
            Err(_) => {
                return Err(EvalError::line(
                    path,
                    number,
                    format!("the score `{grade}` is not a whole number"),
                ));
            }
        };
        let first = insert_grade(&mut qrels, query, document, grade)
            .map_err(|reason| EvalError::line(path, number, reason))?;
        if first {
            order.push(query.to_owned());
        }
    }
    if qrels.is_empty() {
        return Err(EvalError::NoJudgements { path: path.to_owned() });
    }
    Ok((order, qrels))
}

/// The queries that are in `order`, in that order.
fn read_queries(path: &Path, order: Vec<String>) -> Result<Vec<CollectionQuery>, EvalError> {
    let wanted: HashSet<&str> = order.iter().map(String::as_str).collect();
    let mut seen = HashSet::new();
    let mut found = HashMap::with_capacity(wanted.len());
    for line in Lines::open(path)? {
        let (number, line) = line?;
        let query: CollectionQuery = parse(path, number, &line)?;
        if !seen.insert(query.id.clone()) {
            return Err(twice(path, number, &query.id));
        }
        if wanted.contains(query.id.as_str()) {
            found.insert(query.id.clone(), query);
        }
    }
    let missing = |id: &String| {
        EvalError::line(path, 1, format!("no line has the query `{id}`, which the qrels judge"))
    };
    order.iter().map(|id| found.remove(id).ok_or_else(|| missing(id))).collect()
}

fn parse<T: DeserializeOwned>(path: &Path, number: usize, line: &str) -> Result<T, EvalError> {
    serde_json::from_str(line).map_err(|reason| {
        // serde_json counts lines within what it is given, which is always line 1.
        let reason = reason.to_string().replace(" at line 1 column ", " at column ");
        let form = r#"a line is a JSON object with the texts "_id" and "text""#;
        EvalError::line(path, number, format!("{reason}: {form}"))
    })
}

fn twice(path: &Path, number: usize, id: &str) -> EvalError {
    EvalError::line(path, number, format!("the id `{id}` was there before: ids are used once"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const CORPUS: &str = "{\"_id\":\"d1\",\"title\":\"One\",\"text\":\"first\",\"metadata\":{\"year\":1994}}\n\
                          \n{\"_id\":\"d2\",\"text\":\"second\"}\n";
    const QUERIES: &str = "{\"_id\":\"q1\",\"text\":\"one?\"}\r\n{\"_id\":\"other\",\"text\":\"?\"}\n\
                           {\"_id\":\"q2\",\"text\":\"two?\",\"metadata\":{\"answer\":\"2\"}}\n";
    const QRELS: &str = "query-id\tcorpus-id\tscore\nq2\td2\t1\nq1\td1\t2\nq2\td1\t0\n";

    fn folder(corpus: &str, queries: &str, qrels: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("qrels")).unwrap();
        for (name, text) in [("corpus.jsonl", corpus), ("queries.jsonl", queries), ("qrels/test.tsv", qrels)]
        {
            fs::write(dir.path().join(name), text).unwrap();
        }
        dir
    }

    fn compress(dir: &Path, name: &str) {
        let path = dir.join(name);
        let mut encoder =
            GzEncoder::new(File::create(dir.join(format!("{name}.gz"))).unwrap(), Compression::fast());
        encoder.write_all(&fs::read(&path).unwrap()).unwrap();
        encoder.finish().unwrap();
        fs::remove_file(path).unwrap();
    }

    fn check(dir: &Path) {
        let dataset = Dataset::load(dir, "test").unwrap();
        let ids: Vec<&str> = dataset.queries.iter().map(|query| query.id.as_str()).collect();
        assert_eq!(ids, ["q2", "q1"]);
        assert_eq!(dataset.queries[0].metadata["answer"], "2");
        assert_eq!(dataset.qrels["q2"], Grades::from([("d2".to_owned(), 1), ("d1".to_owned(), 0)]));
        let documents: Vec<CollectionDocument> = dataset.corpus().unwrap().map(Result::unwrap).collect();
        assert_eq!((documents[0].title.as_str(), documents[1].title.as_str()), ("One", ""));
        assert_eq!(documents[0].metadata["year"], 1994);
        assert_eq!(documents[1].text, "second");
    }

    #[test]
    fn collections_are_read_plain_and_compressed() {
        let dir = folder(CORPUS, QUERIES, QRELS);
        check(dir.path());
        for name in ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"] {
            compress(dir.path(), name);
        }
        check(dir.path());
        let headless = folder(CORPUS, QUERIES, QRELS.split_once('\n').unwrap().1);
        check(headless.path());
    }

    #[test]
    fn queries_are_kept_by_their_metadata() {
        let queries = "{\"_id\":\"q1\",\"text\":\"one?\",\"metadata\":{\"hops\":\"multi\",\"gold\":2}}\n\
                       {\"_id\":\"q2\",\"text\":\"two?\",\"metadata\":{\"hops\":\"single\",\"gold\":2}}\n";
        let dir = folder(CORPUS, queries, QRELS);
        let cases: [(&str, &[&str]); 5] = [
            ("hops=multi", &["q1"]),
            ("gold=2", &["q2", "q1"]),
            ("gold=2 hops=single", &["q2"]),
            ("hops=many", &[]),
            ("other=multi", &[]),
        ];
        for (conditions, expected) in cases {
            let mut dataset = Dataset::load(dir.path(), "test").unwrap();
            let mut conditions = conditions.split(' ').filter_map(|condition| condition.split_once('='));
            let kept = conditions.try_for_each(|(field, value)| dataset.keep_where(field, value));
            let ids: Vec<&str> = dataset.queries.iter().map(|query| query.id.as_str()).collect();
            assert_eq!((ids.as_slice(), kept.is_ok()), (expected, !expected.is_empty()));
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let judged_twice = format!("{QRELS}q1\td1\t1\n");
        let cases = [
            (QUERIES, "q1\td1", "test.tsv:1: `query-id`, `corpus-id` and `score`"),
            (QUERIES, "q1\td1\t1\nq1\td2\tyes", "test.tsv:2: the score `yes` is not a whole number"),
            (QUERIES, judged_twice.as_str(), "test.tsv:5: query `q1` judges the document `d1` twice"),
            (QUERIES, "query-id\tcorpus-id\tscore\n", "has no judgement"),
            (QUERIES, "q9\td1\t1\n", "queries.jsonl:1: no line has the query `q9`, which the qrels judge"),
            (
                "{\"_id\":\"q1\",\"text\":\"a\"}\n{\"_id\":\"q1\",\"text\":\"b\"}",
                QRELS,
                "queries.jsonl:2: the id `q1`",
            ),
            (
                "{\"_id\":7,\"text\":\"a\"}",
                QRELS,
                "queries.jsonl:1: invalid type: integer `7`, expected a string",
            ),
            ("[", QRELS, "queries.jsonl:1: "),
        ];
        for (queries, qrels, expected) in cases {
            let dir = folder(CORPUS, queries, qrels);
            let message = Dataset::load(dir.path(), "test").unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn a_broken_corpus_is_refused_where_it_breaks() {
        let cases = [
            (
                format!("{CORPUS}{{\"_id\":\"d1\",\"text\":\"again\"}}"),
                "corpus.jsonl:4: the id `d1` was there before",
            ),
            (format!("{CORPUS}{{\"_id\":\"d3\"}}"), "corpus.jsonl:4: missing field `text` at column"),
        ];
        for (corpus, expected) in cases {
            let dir = folder(&corpus, QUERIES, QRELS);
            let dataset = Dataset::load(dir.path(), "test").unwrap();
            let documents: Vec<_> = dataset.corpus().unwrap().collect();
            assert_eq!(documents.len(), 3);
            let message = documents[2].as_ref().unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn missing_files_and_torn_archives_are_named() {
        let dir = folder(CORPUS, QUERIES, QRELS);
        let message = Dataset::load(dir.path(), "train").unwrap_err().to_string();
        assert!(message.contains("neither `qrels/train.tsv` nor `qrels/train.tsv.gz`"), "{message}");
        compress(dir.path(), "queries.jsonl");
        let archive = dir.path().join("queries.jsonl.gz");
        let bytes = fs::read(&archive).unwrap();
        fs::write(&archive, &bytes[..bytes.len() / 2]).unwrap();
        let read: Vec<_> = Lines::open(&archive).unwrap().collect();
        assert!(read.last().unwrap().is_err(), "{read:?}");
        let message = Dataset::load(dir.path(), "test").unwrap_err().to_string();
        assert!(message.contains("queries.jsonl.gz:"), "{message}");
    }
}
