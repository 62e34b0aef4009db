//! Questions whose kind is known: JSON Lines, gzip'd or not.

use std::path::Path;

use serde::Deserialize;

use crate::EvalError;
use crate::dataset::Lines;

/// A question with what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelledQuestion {
    /// The question.
    pub text: String,
    /// Where it was collected; empty where the file does not say.
    pub source: String,
    /// Whether several passages are needed, from `hops`: `single` or `multi`.
    pub several: Option<bool>,
    /// The name of its type, from `type`.
    pub query_type: Option<String>,
}

#[derive(Deserialize)]
struct Line {
    #[serde(alias = "question")]
    text: String,
    #[serde(flatten)]
    labels: Labels,
    #[serde(default)]
    metadata: Labels,
}

#[derive(Default, Deserialize)]
struct Labels {
    #[serde(alias = "src")]
    source: Option<String>,
    hops: Option<String>,
    #[serde(rename = "type")]
    query_type: Option<String>,
}

/// Reads labelled questions. A line has the text as `question` or `text`, and at least one of `hops` (`single` or
/// `multi`) and `type`, beside it or in `metadata`; `source` (or `src`) may say where it was collected.
///
/// # Errors
/// If the file can't be read, or a line has another form or no label.
pub fn read_questions(path: &Path) -> Result<Vec<LabelledQuestion>, EvalError> {
    Lines::open(path)?
        .map(|line| {
            let (number, line) = line?;
            question(&line).map_err(|reason| EvalError::line(path, number, reason))
        })
        .collect()
}

fn question(line: &str) -> Result<LabelledQuestion, String> {
    const FORM: &str = r#"a line is a JSON object with "question" or "text" and "hops" or "type""#;
    let Line { text, labels, metadata } =
        serde_json::from_str(line).map_err(|reason| format!("{reason}: {FORM}"))?;
    let several = match labels.hops.or(metadata.hops).as_deref() {
        None => None,
        Some("single") => Some(false),
        Some("multi") => Some(true),
        Some(other) => return Err(format!("`hops` is `{other}`: `single` and `multi` are known")),
    };
    let query_type = labels.query_type.or(metadata.query_type);
    if several.is_none() && query_type.is_none() {
        return Err(format!("the question has no label: {FORM}"));
    }
    let source = labels.source.or(metadata.source).unwrap_or_default();
    Ok(LabelledQuestion { text, source, several, query_type })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn lines_of_every_form_are_read_and_others_named() {
        let read = |text: &str| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("questions.jsonl");
            fs::write(&path, text).unwrap();
            read_questions(&path).map_err(|error| error.to_string())
        };
        let known = |source: &str, several, query_type: Option<&str>| LabelledQuestion {
            text: "who?".to_owned(),
            source: source.to_owned(),
            several,
            query_type: query_type.map(str::to_owned),
        };
        let cases = [
            (r#"{"question":"who?","source":"nq","hops":"single"}"#, known("nq", Some(false), None)),
            (
                r#"{"_id":"1","text":"who?","metadata":{"src":"h","hops":"multi","n":2}}"#,
                known("h", Some(true), None),
            ),
            (r#"{"text":"who?","type":"factoid"}"#, known("", None, Some("factoid"))),
        ];
        for (line, expected) in cases {
            assert_eq!(read(line).unwrap(), [expected], "{line}");
        }
        for (line, complaint) in [
            (r#"{"question":"who?"}"#, "no label"),
            (r#"{"question":"who?","hops":"three"}"#, "`three`"),
            (r#"{"hops":"multi"}"#, "missing field"),
        ] {
            let error = read(line).unwrap_err();
            assert!(error.contains(complaint) && error.contains(":1:"), "{error}");
        }
    }
}
