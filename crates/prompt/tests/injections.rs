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

/// Passages of a hundred words of each article of the handbook, each of which begins a third of one after the last.
fn clean_passages() -> Result<Vec<Vec<String>>, Box<dyn Error>> {
    let paths: Result<Vec<PathBuf>, _> = Path::new("../../handbook/articles")
        .read_dir()?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect();
    let mut paths = paths?;
    paths.sort();
    let mut articles = Vec::new();
    for path in paths {
        let mut passages = Vec::new();
        let text = std::fs::read_to_string(path)?;
        let mut gap = true;
        let begins = |(at, letter): (usize, char)| {
            let was_gap = std::mem::replace(&mut gap, letter.is_whitespace());
            (was_gap && !letter.is_whitespace()).then_some(at)
        };
        let words: Vec<usize> = text.char_indices().filter_map(begins).collect();
        for first in (0..words.len()).step_by(33) {
            let end = words.get(first + 100).copied().unwrap_or(text.len());
            passages.push(text[words[first]..end].to_owned());
            if end == text.len() {
                break;
            }
        }
        articles.push(passages);
    }
    Ok(articles)
}

/// How many are flagged, of how many.
fn flagged<'a>(texts: impl Iterator<Item = &'a String> + Clone) -> (usize, usize) {
    (texts.clone().filter(|text| suspicion(text).is_some()).count(), texts.count())
}

#[test]
fn attempts_are_flagged_and_the_handbook_is_not() {
    let (attempts, clean) = (attempts().unwrap(), clean_passages().unwrap());
    let (found, all) = flagged(attempts.iter());
    let (alarms, passages) = flagged(clean.iter().flatten());
    // The classifier learned from the others.
    let (unseen_found, unseen) = flagged(attempts.iter().skip(1).step_by(2));
    let (unseen_alarms, unseen_passages) = flagged(clean.iter().skip(1).step_by(2).flatten());
    let counts = format!(
        "flagged: {found} of {all} attempts ({unseen_found} of {unseen} that nothing was tuned on), {alarms} of {passages} clean \
         passages ({unseen_alarms} of {unseen_passages} that nothing was tuned on)"
    );
    println!("{counts}");
    assert!(passages >= 1_000, "{counts}");
    assert!(found * 100 >= all * 90, "{counts}");
    assert!(alarms * 100 <= passages * 2 && unseen_alarms * 100 <= unseen_passages * 2, "{counts}");
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
