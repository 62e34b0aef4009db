//! What of the answers is still there once the evidence is made smaller.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use burnish_context::{Passage, Target, optimize, sentences};
use burnish_engine::Engine;
use burnish_types::{Evidence, Strategy};
use serde::{Deserialize, Serialize};

use crate::EvalError;
use crate::bootstrap::{self, MeanInterval};
use crate::dataset::{CollectionQuery, Dataset};
use crate::retrieval::asked;

/// The file of questions with the excerpts that answer them, beside the folder `corpora` of the documents.
pub const EXCERPTS: &str = "questions_df.csv";

/// A question, and the texts that answer it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answerable {
    /// What is asked.
    pub question: String,
    /// The texts: one of which is enough, or all of which are wanted.
    pub answers: Vec<String>,
    /// Whether one is enough.
    pub any: bool,
}

/// How much smaller, and of what.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// How passages are found.
    pub strategy: Strategy,
    /// How many.
    pub top_k: usize,
    /// The share of the tokens that may be kept, in (0, 1].
    pub ratio: f64,
    /// For the bootstrap.
    pub seed: u64,
}

/// What was kept.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Questions.
    pub n: usize,
    /// Answers that the whole evidence holds; the others say nothing.
    pub answers: usize,
    /// By the optimiser.
    #[serde(flatten)]
    pub optimized: Kept,
    /// By the first passages that fit.
    pub first_k: Kept,
    /// How much more of the answers the optimiser keeps, paired.
    pub difference: Option<MeanInterval>,
    /// What optimising took, in milliseconds, the tokens of the passages being known.
    pub latency_ms: Latency,
    /// Tokens of the whole evidence, in the mean.
    pub evidence_tokens: f64,
}

/// How much one way kept.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Kept {
    /// Of the tokens.
    pub kept_ratio: f64,
    /// Of the answers in the whole evidence.
    pub answer_recall: Option<MeanInterval>,
}

/// Milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Latency {
    /// Half take no longer.
    pub p50: f64,
    /// 99 of 100 take no longer.
    pub p99: f64,
    /// For each 4,000 tokens, in the mean.
    pub per_4000_tokens: f64,
}

/// The questions of a BEIR set whose metadata has `answers`.
pub fn answerable(dataset: &Dataset) -> Vec<Answerable> {
    let of = |query: &CollectionQuery| Answerable {
        question: query.text.clone(),
        answers: query.answers().into_iter().map(str::to_owned).collect(),
        any: true,
    };
    dataset.queries.iter().map(of).filter(|question| !question.answers.is_empty()).collect()
}

#[derive(Deserialize)]
struct ExcerptRow {
    question: String,
    /// A list of `content` with offsets, in JSON.
    references: String,
}

#[derive(Deserialize)]
struct Excerpt {
    content: String,
}

/// The questions of [`EXCERPTS`] in `dir`, all of whose excerpts are wanted.
///
/// # Errors
/// If the file can't be read, or a row is not what it should be.
pub fn excerpts(dir: &Path) -> Result<Vec<Answerable>, EvalError> {
    let path: PathBuf = dir.join(EXCERPTS);
    let file = File::open(&path).map_err(|reason| EvalError::Read { path: path.clone(), reason })?;
    let mut questions = Vec::new();
    for (number, row) in csv::Reader::from_reader(file).deserialize().enumerate() {
        let wrong = |reason: String| EvalError::Line { path: path.clone(), line: number + 2, reason };
        let ExcerptRow { question, references } = row.map_err(|error| wrong(error.to_string()))?;
        let excerpts: Vec<Excerpt> = serde_json::from_str(&references)
            .map_err(|error| wrong(format!("`references` is no list of excerpts: {error}")))?;
        let answers = excerpts.into_iter().map(|excerpt| excerpt.content).collect();
        questions.push(Answerable { question, answers, any: false });
    }
    Ok(questions)
}

/// Finds passages for each question, and makes them smaller in two ways.
///
/// # Errors
/// If passages can't be found.
pub fn evaluate(
    engine: &Engine,
    questions: &[Answerable],
    request: &Request,
    tell: &mut dyn FnMut(),
) -> Result<Report, EvalError> {
    let (mut optimized, mut first) = (Tally::default(), Tally::default());
    let mut latencies = Vec::with_capacity(questions.len());
    for Answerable { question, answers, any } in questions {
        let query =
            CollectionQuery { id: String::new(), text: question.clone(), metadata: serde_json::Map::new() };
        let (evidence, _) =
            engine.probe(&asked(&query, request.top_k), &request.strategy).map_err(Box::new)?;
        let passages = engine.passages(&evidence);
        let tokens: usize = passages.iter().map(|passage| passage.tokens).sum();
        let most = (request.ratio * tokens as f64).floor() as usize;
        let started = Instant::now();
        let result = optimize(question, &passages, Target { tokens: Some(most), reduction: 0.0 });
        latencies.push(started.elapsed().as_secs_f64() * 1_000.0);
        let kept: Vec<String> =
            result.kept.iter().map(|kept| kept.text(passages[kept.passage].text)).collect();
        let all: Vec<&str> = evidence.iter().map(|passage| passage.text.as_str()).collect();
        let (leading, leading_tokens) = leading(&evidence, &passages, most);
        let kept: Vec<&str> = kept.iter().map(String::as_str).collect();
        let wanted = wanted(answers, *any, &all);
        optimized.count(&wanted, &kept, result.optimized, tokens);
        first.count(&wanted, &leading, leading_tokens, tokens);
        tell();
    }
    let tokens: f64 = optimized.of.iter().sum();
    let total: f64 = latencies.iter().sum();
    latencies.sort_by(f64::total_cmp);
    let at =
        |share: f64| latencies.get((share * latencies.len() as f64) as usize).copied().unwrap_or_default();
    Ok(Report {
        n: questions.len(),
        answers: optimized.held.len(),
        difference: bootstrap::paired_difference(&optimized.held, &first.held, request.seed)?,
        optimized: optimized.kept(request.seed),
        first_k: first.kept(request.seed),
        latency_ms: Latency {
            p50: at(0.5),
            p99: at(0.99),
            per_4000_tokens: total / tokens.max(1.0) * 4_000.0,
        },
        evidence_tokens: tokens / questions.len().max(1) as f64,
    })
}

/// The first passages that fit, the best one always.
fn leading<'a>(evidence: &'a [Evidence], passages: &[Passage<'_>], most: usize) -> (Vec<&'a str>, usize) {
    let (mut texts, mut tokens) = (Vec::new(), 0);
    for (passage, counted) in evidence.iter().zip(passages) {
        if tokens + counted.tokens > most && !texts.is_empty() {
            break;
        }
        tokens += counted.tokens;
        texts.push(passage.text.as_str());
    }
    (texts, tokens)
}

/// What has to be found again: sets of texts, of one of which all have to be there.
type Wanted = Vec<Vec<Vec<String>>>;

/// Of the answers those that stand in the evidence, as their sentences. Where one answer is enough, all together count as one.
fn wanted(answers: &[String], any: bool, evidence: &[&str]) -> Wanted {
    let evidence = plain(&evidence.join("\n"));
    let parts = |answer: &String| -> Vec<String> {
        sentences(answer).map(|range| plain(&answer[range])).filter(|part| !part.is_empty()).collect()
    };
    let there =
        |parts: &Vec<String>| !parts.is_empty() && parts.iter().all(|part| evidence.contains(part.as_str()));
    let found: Vec<Vec<String>> = answers.iter().map(parts).filter(there).collect();
    match (any, found.is_empty()) {
        (_, true) => Vec::new(),
        (true, false) => vec![found],
        (false, false) => found.into_iter().map(|parts| vec![parts]).collect(),
    }
}

/// In lower case, with single spaces.
fn plain(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

#[derive(Default)]
struct Tally {
    /// 1 or 0 for each answer that was wanted.
    held: Vec<f64>,
    ratios: Vec<f64>,
    of: Vec<f64>,
}

impl Tally {
    fn count(&mut self, wanted: &Wanted, kept: &[&str], tokens: usize, of: usize) {
        let kept = plain(&kept.join("\n"));
        let holds = |parts: &Vec<String>| parts.iter().all(|part| kept.contains(part.as_str()));
        self.held.extend(wanted.iter().map(|any| f64::from(u8::from(any.iter().any(holds)))));
        self.ratios.push(tokens as f64 / of.max(1) as f64);
        self.of.push(of as f64);
    }

    fn kept(&self, seed: u64) -> Kept {
        let ratios: f64 = self.ratios.iter().sum();
        Kept {
            kept_ratio: ratios / self.ratios.len().max(1) as f64,
            answer_recall: bootstrap::mean(&self.held, seed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_evidence_holds_is_wanted() {
        let answers = ["Four days.", "It takes  four days. Then it ends.", "never"].map(str::to_owned);
        let evidence = ["Then it ends. Or not.", "It takes four DAYS."];
        assert_eq!(wanted(&answers, true, &evidence).len(), 1);
        let all = wanted(&answers, false, &evidence);
        assert_eq!(all.len(), 2);
        let mut tally = Tally::default();
        tally.count(&all, &["it takes four days."], 1, 4);
        assert_eq!((tally.held, tally.ratios), (vec![1.0, 0.0], vec![0.25]));
    }
}
