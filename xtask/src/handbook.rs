//! The handbook as a test collection: articles and questions in, a BEIR set out, and the rules both keep.

mod articles;
mod questions;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::finding::Finding;

const ARTICLES: &str = "handbook/articles";
const QUESTIONS: &str = "handbook/questions";
const COLLECTION: &str = "handbook/beir";
const LEAST_ARTICLES: usize = 30;
const LEAST_QUESTIONS: usize = 60;

/// A passage: a line of `corpus.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Passage {
    #[serde(rename = "_id")]
    id: String,
    title: String,
    text: String,
}

/// A file's name and text.
struct Source {
    file: PathBuf,
    text: String,
}

/// What the collection's files should hold, by name.
type Collection = BTreeMap<&'static str, String>;

/// Whether the handbook keeps its rules and `handbook/beir` is what would be written.
pub(crate) fn check(root: &Path) -> Result<Vec<Finding>> {
    let (collection, mut findings) = collect(root)?;
    if !findings.is_empty() {
        // What would be written is not known.
        return Ok(findings);
    }
    for (name, text) in &collection {
        let file = Path::new(COLLECTION).join(name);
        let message = match fs::read_to_string(root.join(&file)) {
            Ok(written) if written == *text => continue,
            Ok(_) => "it is not what the articles and questions say: run `cargo xtask handbook`",
            Err(_) => "it is missing: run `cargo xtask handbook`",
        };
        findings.push(Finding::of(file, message));
    }
    Ok(findings)
}

/// Writes `handbook/beir`, unless the handbook breaks a rule.
pub(crate) fn write(root: &Path) -> Result<Vec<Finding>> {
    let (collection, findings) = collect(root)?;
    if findings.is_empty() {
        for (name, text) in &collection {
            let path = root.join(COLLECTION).join(name);
            let folder = path.parent().unwrap_or(root);
            fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
            fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
        }
    }
    Ok(findings)
}

fn collect(root: &Path) -> Result<(Collection, Vec<Finding>)> {
    let (articles, questions) = (sources(root, ARTICLES, "md")?, sources(root, QUESTIONS, "jsonl")?);
    let mut findings = Vec::new();
    let mut passages = Vec::new();
    for article in &articles {
        match articles::passages(article) {
            Ok(more) => passages.extend(more),
            Err(more) => findings.extend(more),
        }
    }
    let (questions, more) = questions::read(&questions, &passages);
    findings.extend(more);
    for (folder, what, least, found) in [
        (ARTICLES, "articles", LEAST_ARTICLES, articles.len()),
        (QUESTIONS, "questions", LEAST_QUESTIONS, questions.len()),
    ] {
        if found < least {
            findings.push(Finding::of(
                folder,
                format!("{found} {what} are too few: at least {least} are needed"),
            ));
        }
    }
    let judgements = questions.iter().flat_map(|question| {
        question.passages.iter().map(|passage| format!("{}\t{passage}\t1\n", question.id))
    });
    let collection = Collection::from([
        ("corpus.jsonl", json_lines(&passages)?),
        ("queries.jsonl", json_lines(questions.iter().map(questions::Question::query))?),
        (
            "qrels/test.tsv",
            std::iter::once("query-id\tcorpus-id\tscore\n".to_owned()).chain(judgements).collect(),
        ),
    ]);
    Ok((collection, findings))
}

/// The files of `folder` with this extension, by name; none where there is no such folder.
fn sources(root: &Path, folder: &str, extension: &str) -> Result<Vec<Source>> {
    let Ok(entries) = fs::read_dir(root.join(folder)) else { return Ok(Vec::new()) };
    let mut files = Vec::new();
    for entry in entries {
        let name = PathBuf::from(entry?.file_name());
        if name.extension().is_some_and(|found| found == extension) {
            files.push(Path::new(folder).join(name));
        }
    }
    files.sort_unstable();
    let read = |file: PathBuf| {
        let text = fs::read_to_string(root.join(&file))
            .with_context(|| format!("{} cannot be read", file.display()))?;
        Ok(Source { file, text: text.replace("\r\n", "\n") })
    };
    files.into_iter().map(read).collect()
}

fn json_lines<T: Serialize>(values: impl IntoIterator<Item = T>) -> Result<String> {
    let mut text = String::new();
    for value in values {
        text.push_str(&serde_json::to_string(&value)?);
        text.push('\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A handbook of `count` articles with two questions each.
    fn handbook(count: usize) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for folder in [ARTICLES, QUESTIONS] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        let mut lines = String::new();
        for number in 0..count {
            let article = format!(
                "# Topic {number}\n\nAbout topic {number}.\n\n## The Why & How\n\nIt takes {number} steps.\n"
            );
            fs::write(dir.path().join(format!("{ARTICLES}/topic-{number:02}.md")), article).unwrap();
            for (letter, section, answer) in [("i", "intro", "topic"), ("s", "the-why-how", "steps")] {
                let line = serde_json::json!({
                    "_id": format!("{letter}-{number}"), "text": "What?", "answer": format!("{answer}"),
                    "passages": [format!("topic-{number:02}#{section}")], "kind": "factoid",
                });
                lines.push_str(&format!("{line}\n"));
            }
        }
        fs::write(dir.path().join(QUESTIONS).join("a.jsonl"), lines).unwrap();
        dir
    }

    fn messages(findings: &[Finding]) -> Vec<String> {
        findings.iter().map(Finding::to_string).collect()
    }

    #[test]
    fn the_collection_is_written_once_and_checked_ever_after() {
        let dir = handbook(30);
        let missing = messages(&check(dir.path()).unwrap());
        assert_eq!(missing.len(), 3, "{missing:?}");
        assert_eq!(missing[0], "handbook/beir/corpus.jsonl: it is missing: run `cargo xtask handbook`");

        assert_eq!(write(dir.path()).unwrap(), []);
        assert_eq!(check(dir.path()).unwrap(), []);
        let read = |name| fs::read_to_string(dir.path().join(COLLECTION).join(name)).unwrap();
        let corpus = read("corpus.jsonl");
        let expected = "{\"_id\":\"topic-00#intro\",\"title\":\"Topic 0\",\"text\":\"About topic 0.\"}\n\
             {\"_id\":\"topic-00#the-why-how\",\"title\":\"Topic 0: The Why & How\",\"text\":\"It takes 0 steps.\"}\n";
        assert!(corpus.starts_with(expected), "{corpus}");
        assert_eq!(corpus.lines().count(), 60);
        let query =
            "{\"_id\":\"i-0\",\"text\":\"What?\",\"metadata\":{\"answer\":\"topic\",\"kind\":\"factoid\"}}\n";
        assert!(read("queries.jsonl").starts_with(query));
        assert!(read("qrels/test.tsv").starts_with("query-id\tcorpus-id\tscore\ni-0\ttopic-00#intro\t1\n"));

        let article = dir.path().join(ARTICLES).join("topic-07.md");
        let changed = fs::read_to_string(&article).unwrap().replace("It takes", "It now takes");
        fs::write(article, changed).unwrap();
        let stale = "handbook/beir/corpus.jsonl: it is not what the articles and questions say: run `cargo xtask handbook`";
        assert_eq!(messages(&check(dir.path()).unwrap()), [stale]);
    }

    #[test]
    fn a_small_handbook_is_refused_and_nothing_is_written() {
        let dir = handbook(29);
        let expected = [
            "handbook/articles: 29 articles are too few: at least 30 are needed",
            "handbook/questions: 58 questions are too few: at least 60 are needed",
        ];
        assert_eq!(messages(&check(dir.path()).unwrap()), expected);
        assert_eq!(messages(&write(dir.path()).unwrap()), expected);
        assert!(!dir.path().join(COLLECTION).exists());
    }
}
