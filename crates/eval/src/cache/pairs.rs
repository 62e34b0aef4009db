//! Pairs of questions with their labels, and paraphrases, as they lie in files.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use serde::Deserialize;

use crate::EvalError;
use crate::dataset::Lines;

/// Distinct texts, each with a place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts {
    texts: Vec<String>,
    places: HashMap<String, usize>,
}

impl Texts {
    /// The place of `text`, which is kept where it is new.
    pub fn add(&mut self, text: String) -> usize {
        *self.places.entry(text).or_insert_with_key(|text| {
            self.texts.push(text.clone());
            self.texts.len() - 1
        })
    }

    /// The place of `text`, where it is known.
    pub fn place(&self, text: &str) -> Option<usize> {
        self.places.get(text).copied()
    }

    /// All of them, by place.
    pub fn all(&self) -> &[String] {
        &self.texts
    }
}

/// Two questions, by the places of their texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelledPair {
    /// The question whose answer is kept.
    pub kept: usize,
    /// The one that is asked.
    pub asked: usize,
    /// Whether the answer kept is right for it.
    pub right: bool,
}

/// A text and the same in other words, by their places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paraphrase {
    /// The text that is kept.
    pub kept: usize,
    /// The one that is looked up.
    pub asked: usize,
}

#[derive(Deserialize)]
struct Line {
    text_a: String,
    text_b: String,
    label: u8,
}

/// Reads pairs, JSON Lines of `text_a`, `text_b` and `label` (1 where one answer does for both), plain or `.gz`.
///
/// # Errors
/// If the file can't be read, or a line has another form.
pub fn read_pairs(path: &Path, texts: &mut Texts) -> Result<Vec<LabelledPair>, EvalError> {
    let mut pairs = Vec::new();
    for line in Lines::open(path)? {
        let (number, line) = line?;
        let Line { text_a, text_b, label } = serde_json::from_str(&line).map_err(|reason| {
            let form = r#"a line is {"text_a", "text_b", "label": 0 or 1}"#;
            EvalError::line(path, number, format!("{reason}: {form}"))
        })?;
        if label > 1 {
            return Err(EvalError::line(path, number, format!("the label is {label}: it is 0 or 1")));
        }
        pairs.push(LabelledPair { kept: texts.add(text_a), asked: texts.add(text_b), right: label == 1 });
    }
    Ok(pairs)
}

/// Reads paraphrases, one JSON list of objects with `origin` and `similar`.
///
/// # Errors
/// If the file can't be read, or has another form.
pub fn read_paraphrases(path: &Path, texts: &mut Texts) -> Result<Vec<Paraphrase>, EvalError> {
    #[derive(Deserialize)]
    struct Item {
        origin: String,
        similar: String,
    }
    let file = File::open(path).map_err(EvalError::read(path))?;
    let items: Vec<Item> = serde_json::from_reader(std::io::BufReader::new(file)).map_err(|reason| {
        let form = r#"the file is a list of {"origin", "similar"}"#;
        EvalError::line(path, reason.line(), format!("{reason}: {form}"))
    })?;
    let paraphrase =
        |Item { origin, similar }| Paraphrase { kept: texts.add(origin), asked: texts.add(similar) };
    Ok(items.into_iter().map(paraphrase).collect())
}
