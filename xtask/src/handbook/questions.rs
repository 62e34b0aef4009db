//! Questions on the articles, with their answers and the passages that hold them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Passage, Source};
use crate::finding::Finding;

/// A line of a file of questions.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    #[serde(rename = "_id")]
    pub(super) id: String,
    text: String,
    answer: String,
    pub(super) passages: Vec<String>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Factoid,
    Definition,
    Comparison,
    Procedure,
    MultiHop,
    Lookup,
}

/// A line of `queries.jsonl`.
#[derive(Serialize)]
pub(super) struct Query<'a> {
    #[serde(rename = "_id")]
    id: &'a str,
    text: &'a str,
    metadata: QueryMetadata<'a>,
}

#[derive(Serialize)]
struct QueryMetadata<'a> {
    answer: &'a str,
    kind: Kind,
}

impl Question {
    pub(super) fn query(&self) -> Query<'_> {
        let metadata = QueryMetadata { answer: &self.answer, kind: self.kind };
        Query { id: &self.id, text: &self.text, metadata }
    }
}

/// The questions in the files' order, and every rule that they break.
pub(super) fn read(files: &[Source], passages: &[Passage]) -> (Vec<Question>, Vec<Finding>) {
    let texts: BTreeMap<&str, String> =
        passages.iter().map(|passage| (passage.id.as_str(), collapsed(&passage.text))).collect();
    let mut questions = Vec::new();
    let mut findings = Vec::new();
    let mut ids = BTreeSet::new();
    for file in files {
        for (number, line) in file.text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let mut complain = |message: String| findings.push(Finding::at(&file.file, number + 1, message));
            match serde_json::from_str::<Question>(line) {
                Err(reason) => complain(format!("it is not a question: {reason}")),
                Ok(question) => {
                    if !ids.insert(question.id.clone()) {
                        complain(format!("the id `{}` is taken: give the question its own", question.id));
                    }
                    breaches(&question, &texts).into_iter().for_each(&mut complain);
                    questions.push(question);
                }
            }
        }
    }
    (questions, findings)
}

fn breaches(question: &Question, texts: &BTreeMap<&str, String>) -> Vec<String> {
    let mut breaches = Vec::new();
    if question.text.trim().is_empty() || question.answer.trim().is_empty() || question.passages.is_empty() {
        breaches.push(
            "a question has a text, an answer and at least one passage: one of them is empty".to_owned(),
        );
    }
    for (place, id) in question.passages.iter().enumerate() {
        if question.passages[..place].contains(id) {
            breaches.push(format!("the passage `{id}` is named twice: once is enough"));
        }
        match texts.get(id.as_str()) {
            None => breaches
                .push(format!("no article has the passage `{id}`: correct it to `<article>#<section>`")),
            Some(text) if place == 0 && !text.contains(&collapsed(&question.answer)) => {
                breaches.push(format!(
                    "the answer `{}` does not stand in `{id}`: quote it word for word",
                    question.answer
                ));
            }
            Some(_) => {}
        }
    }
    breaches
}

/// With one blank for each run of white space, so that line breaks don't matter.
fn collapsed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_that_break_a_rule_are_named() {
        let passage =
            |id: &str, text: &str| Passage { id: id.into(), title: String::new(), text: text.into() };
        let passages = [passage("a#intro", "It takes two\nto tango."), passage("a#more", "More.")];
        let line = |id: &str, answer: &str, passages: &str, kind: &str| {
            format!(
                r#"{{"_id":"{id}","text":"Q?","answer":"{answer}","passages":[{passages}],"kind":"{kind}"}}"#
            )
        };
        let both = r##""a#intro","a#more""##;
        let cases = [
            (line("q1", "takes two to tango", both, "multi-hop"), ""),
            (line("q1", "More", r##""a#more""##, "lookup"), "the id `q1` is taken"),
            (line("q2", "More", both, "factoid"), "the answer `More` does not stand in `a#intro`"),
            (
                line("q3", "two", r##""a#intro","b#intro""##, "factoid"),
                "no article has the passage `b#intro`",
            ),
            (
                line("q4", "two", r##""a#intro","a#intro""##, "factoid"),
                "the passage `a#intro` is named twice",
            ),
            (line("q5", "two", "", "factoid"), "at least one passage"),
            (line("q6", " ", r##""a#intro""##, "factoid"), "one of them is empty"),
            (line("q7", "two", r##""a#intro""##, "riddle"), "it is not a question: unknown variant `riddle`"),
            ("{}".to_owned(), "it is not a question: missing field `_id`"),
        ];
        let text: Vec<&str> = cases.iter().map(|(line, _)| line.as_str()).collect();
        let file = Source { file: "a.jsonl".into(), text: text.join("\n\n") };
        let (questions, findings) = read(&[file], &passages);
        assert_eq!(questions.len(), 7);
        let findings: Vec<String> = findings.iter().map(Finding::to_string).collect();
        let broken = cases.iter().enumerate().filter(|(_, (_, expected))| !expected.is_empty());
        assert_eq!(findings.len(), broken.clone().count(), "{findings:?}");
        for (finding, (place, (_, expected))) in findings.iter().zip(broken) {
            assert!(finding.starts_with(&format!("a.jsonl:{}: ", 2 * place + 1)), "{finding}");
            assert!(finding.contains(expected), "{finding} does not say {expected}");
        }
    }
}
