//! Articles in Markdown, cut into one passage a section.

use std::collections::BTreeSet;

use super::{Passage, Source};
use crate::finding::Finding;

/// The passages of an article in its order, or every rule that it breaks.
///
/// An article is `# Title`, an introduction, and sections under `## Heading`.
pub(super) fn passages(article: &Source) -> Result<Vec<Passage>, Vec<Finding>> {
    let slug = article.file.file_stem().unwrap_or_default().to_string_lossy();
    let first = article.text.lines().next().unwrap_or_default();
    let Some(title) = first.strip_prefix("# ").map(str::trim).filter(|title| !title.is_empty()) else {
        return Err(vec![Finding::at(&article.file, 1, "the first line is the title: `# Title`")]);
    };
    let mut findings = Vec::new();
    let mut passages = Vec::new();
    let mut slugs = BTreeSet::new();
    for section in sections(&article.text) {
        let (name, title) = match section.heading {
            None => ("intro".to_owned(), title.to_owned()),
            Some(heading) => (slug_of(heading), format!("{title}: {heading}")),
        };
        if section.text.is_empty() {
            let message = format!("the section `{name}` is empty: write it, or take its heading out");
            findings.push(Finding::at(&article.file, section.line, message));
        }
        if name.is_empty() || !slugs.insert(name.clone()) {
            let message =
                format!("the section's name `{name}` is empty or taken: give it a heading of its own");
            findings.push(Finding::at(&article.file, section.line, message));
        }
        passages.push(Passage { id: format!("{slug}#{name}"), title, text: section.text });
    }
    if findings.is_empty() { Ok(passages) } else { Err(findings) }
}

struct Section<'a> {
    /// None for the introduction.
    heading: Option<&'a str>,
    line: usize,
    text: String,
}

/// The sections below the title. A line within a code block is no heading.
fn sections(text: &str) -> Vec<Section<'_>> {
    let mut done = Vec::new();
    let mut current = Section { heading: None, line: 1, text: String::new() };
    let mut in_code = false;
    for (number, line) in text.lines().enumerate().skip(1) {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if let Some(heading) = line.strip_prefix("## ").filter(|_| !in_code) {
            let next = Section { heading: Some(heading.trim()), line: number + 1, text: String::new() };
            done.push(std::mem::replace(&mut current, next));
        } else {
            current.text.push_str(line);
            current.text.push('\n');
        }
    }
    done.push(current);
    for section in &mut done {
        section.text = section.text.trim().to_owned();
    }
    done
}

/// The heading in lower case, with one `-` for each run of anything but letters and digits.
fn slug_of(heading: &str) -> String {
    let lower = heading.to_lowercase();
    let parts = lower.split(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit());
    parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source { file: "handbook/articles/some-topic.md".into(), text: text.to_owned() }
    }

    #[test]
    fn an_article_is_cut_at_its_headings() {
        let article = source(
            "# Some topic\n\nIntro.\n\n## First: `k1` (1994)\n\nOne.\n\n```\n## no heading\n```\n\n## Zwölf\nTwo.\n",
        );
        let passages = passages(&article).unwrap();
        let expected = [
            ("some-topic#intro", "Some topic", "Intro."),
            ("some-topic#first-k1-1994", "Some topic: First: `k1` (1994)", "One.\n\n```\n## no heading\n```"),
            ("some-topic#zw-lf", "Some topic: Zwölf", "Two."),
        ]
        .map(|(id, title, text)| Passage {
            id: id.to_owned(),
            title: title.to_owned(),
            text: text.to_owned(),
        });
        assert_eq!(passages, expected);
    }

    #[test]
    fn articles_of_another_form_are_refused() {
        let cases = [
            ("", &[":1: the first line is the title"][..]),
            ("Some topic\n", &[":1: the first line is the title"]),
            ("# \n", &[":1: the first line is the title"]),
            ("# T\n## A\ntext\n", &[":1: the section `intro` is empty"]),
            ("# T\nintro\n## A\n\n## B\ntext\n", &[":3: the section `a` is empty"]),
            ("# T\nintro\n## A\nx\n## a!\ny\n", &[":5: the section's name `a` is empty or taken"]),
            (
                "# T\nintro\n## Intro\nx\n## ?\ny\n",
                &[":3: the section's name `intro`", ":5: the section's name ``"],
            ),
        ];
        for (text, expected) in cases {
            let findings: Vec<String> =
                passages(&source(text)).unwrap_err().iter().map(Finding::to_string).collect();
            assert_eq!(findings.len(), expected.len(), "{findings:?}");
            for (finding, expected) in findings.iter().zip(expected) {
                assert!(finding.contains(expected), "{finding}");
            }
        }
    }
}
