//! A hundred attempts at injection in documents: all stay inside their delimiters, and nearly all are flagged.

use std::error::Error;
use std::path::{Path, PathBuf};

use burnish_prompt::{delimited, suspicion, undelimited};
use serde_json::Value;

fn attempts() -> Result<Vec<String>, Box<dyn Error>> {
    let text = |line: &str| {
        let value: Value = serde_json::from_str(line)?;
        Ok(value["text"].as_str().ok_or("an attempt has no text")?.to_owned())
    };
    include_str!("injections.jsonl").lines().map(text).collect()
}

/// Paragraphs of the handbook, joined until they have a hundred words.
fn clean_passages() -> Result<Vec<String>, Box<dyn Error>> {
    let folder = Path::new("../../handbook/articles");
    let paths: Result<Vec<PathBuf>, _> =
        folder.read_dir()?.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths?;
    paths.sort();
    let mut passages = Vec::new();
    for path in paths {
        let mut passage = String::new();
        for paragraph in std::fs::read_to_string(path)?.split("\n\n") {
            passage.push_str(paragraph);
            passage.push_str("\n\n");
            if passage.split_whitespace().count() >= 100 {
                passages.push(std::mem::take(&mut passage));
            }
        }
        passages.push(passage);
    }
    passages.retain(|passage| !passage.is_empty());
    passages.truncate(1_000);
    Ok(passages)
}

#[test]
fn attempts_are_flagged_and_the_handbook_is_not() {
    let flagged = |texts: &[String]| texts.iter().filter(|text| suspicion(text).is_some()).count();
    let (attempts, clean) = (attempts().unwrap(), clean_passages().unwrap());
    let (found, alarms) = (flagged(&attempts), flagged(&clean));
    let counts = format!(
        "{found} of {} attempts and {alarms} of {} clean passages are flagged",
        attempts.len(),
        clean.len()
    );
    assert!(clean.len() >= 200, "{counts}");
    assert!(found * 100 >= attempts.len() * 90, "{counts}");
    assert!(alarms * 100 <= clean.len() * 2, "{counts}");
}

#[test]
fn every_attempt_reaches_the_model_inside_its_delimiters() {
    let texts = attempts().unwrap();
    assert_eq!(texts.len(), 100);
    for some in texts.chunks(10) {
        let passages: Vec<String> =
            some.iter().enumerate().map(|(place, text)| delimited(place + 1, text, text)).collect();
        let (inside, outside) = undelimited(&format!("Read.\n\n{}", passages.join("\n\n"))).unwrap();
        assert_eq!((inside.len(), outside.trim_end()), (some.len(), "Read."));
        for (inside, text) in inside.iter().zip(some) {
            // All of the text is there, but for what was escaped.
            assert!(inside.replace("&lt;", "<").contains(text.as_str()), "{inside}");
            assert!(!inside.contains("<|"), "{inside}");
        }
    }
}
