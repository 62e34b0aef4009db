//! Learns the weights by which injections are told from other text, from `training/` and every other article of the
//! handbook, and writes `src/injection/weights.txt`. The same input gives the same file, byte for byte.

#[path = "../src/injection/features.rs"]
mod features;
#[path = "../src/injection/letters.rs"]
mod letters;
#[path = "../src/injection/lexicon.rs"]
mod lexicon;
#[path = "../src/injection/reading.rs"]
mod reading;

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use features::{Feature, name, scale, visit, windows};
use reading::Reading;

/// Parts that the data is cut into to see how well unseen text is judged.
const FOLDS: usize = 5;
/// Rounds of gradient descent, and after how many the window that makes a text suspicious is chosen anew.
const ROUNDS: usize = 600;
const CHOOSE: usize = 200;
/// How fast weights move.
const STEP: f32 = 0.2;
/// How strongly weights are drawn to zero: those of words, and those of topics.
const DRAW_WORDS: f32 = 1.0;
const DRAW_TOPICS: f32 = 1.0;
/// Words in fewer texts than this have no weight.
const FEWEST_TEXTS: usize = 3;
/// How much a clean line weighs against an attempt or a passage of the handbook; most are there to mislead.
const CLEAN_LINE: f32 = 0.4;
/// Weights nearer to zero than this are left out.
const SMALLEST: f32 = 0.05;
/// The share of clean passages that may be flagged, by which the threshold is set.
const FALSE_ALARMS: f64 = 0.025;

/// A text, and what is known about it.
struct Example {
    text: String,
    attempt: bool,
    /// Which part it belongs to; all of an article is in one part.
    fold: usize,
    /// Whether it is of the handbook, by whose passages the threshold is set.
    handbook: bool,
    /// Whether it is an attempt of the test set.
    odd: bool,
    windows: Vec<Window>,
}

/// The features of a window by their number, and how much each counts.
struct Window {
    features: Vec<u32>,
    scale: f32,
}

fn main() -> Result<(), Box<dyn Error>> {
    let home = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?);
    let mut examples = lines(&home.join("training/attempts.txt"), true)?;
    examples.extend(lines(&home.join("training/clean.txt"), false)?);
    examples.extend(lines(&home.join("training/notes.txt"), false)?);
    examples.extend(odd_attempts(&home.join("tests/injections.jsonl"))?);
    examples.extend(articles(&home.join("../../handbook/articles"))?);
    let names = number_features(&mut examples);

    let mut unseen = vec![0.0; examples.len()];
    for fold in 0..FOLDS {
        let seen: Vec<&Example> = examples.iter().filter(|example| example.fold != fold).collect();
        let weights = learn(&seen, &names);
        for (place, example) in examples.iter().enumerate().filter(|(_, example)| example.fold == fold) {
            unseen[place] = probability(&weights, example);
        }
    }
    let mut out = std::io::stdout();
    let of = |wanted: fn(&Example) -> bool| -> Vec<f64> {
        examples.iter().zip(&unseen).filter(|(example, _)| wanted(example)).map(|(_, score)| *score).collect()
    };
    let attempts = of(|example| example.attempt);
    let odd = of(|example| example.odd);
    let (clean, handbook) =
        (of(|example| !example.attempt && !example.handbook), of(|example| example.handbook));
    let share = |scores: &[f64], threshold: f64| {
        scores.iter().filter(|score| **score > threshold).count() as f64 / scores.len().max(1) as f64
    };
    for step in 4..20 {
        let threshold = f64::from(step) * 0.05;
        writeln!(
            out,
            "unseen, above {threshold:.2}: {:.3} of attempts, {:.3} of odd ones, {:.3} of clean lines, {:.3} of handbook passages",
            share(&attempts, threshold),
            share(&odd, threshold),
            share(&clean, threshold),
            share(&handbook, threshold)
        )?;
    }
    let threshold = (40..98)
        .map(|hundredth| f64::from(hundredth) / 100.0)
        .find(|threshold| share(&handbook, *threshold) <= FALSE_ALARMS)
        .unwrap_or(0.98);
    if std::env::args().any(|argument| argument == "--errors") {
        let wrong =
            examples.iter().zip(&unseen).filter(|(example, score)| (**score > threshold) != example.attempt);
        for (example, score) in wrong {
            let shown: String = example.text.chars().take(200).collect();
            writeln!(out, "{} {score:.2} {shown:?}", if example.attempt { "missed" } else { "false" })?;
        }
    }
    let all: Vec<&Example> = examples.iter().collect();
    let weights = learn(&all, &names);
    let text = written(&weights, &names, threshold);
    std::fs::write(home.join("src/injection/weights.txt"), &text)?;
    writeln!(
        out,
        "threshold {threshold}: {:.3} of {} unseen attempts, {:.3} of {} clean lines, {:.3} of {} handbook passages; {} bytes",
        share(&attempts, threshold),
        attempts.len(),
        share(&clean, threshold),
        clean.len(),
        share(&handbook, threshold),
        handbook.len(),
        text.len()
    )?;
    Ok(())
}

/// The texts of a file, one a line; `\n` stands for the end of a line, and headings begin with `==`.
fn lines(path: &Path, attempt: bool) -> Result<Vec<Example>, Box<dyn Error>> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let texts = text.lines().filter(|line| !line.is_empty() && !line.starts_with("== "));
    Ok(texts
        .enumerate()
        .map(|(place, line)| Example {
            text: line.replace("\\n", "\n"),
            attempt,
            fold: place % FOLDS,
            handbook: false,
            odd: false,
            windows: Vec::new(),
        })
        .collect())
}

/// The attempts of the test set that have odd numbers; those with even ones are never learned from.
fn odd_attempts(path: &Path) -> Result<Vec<Example>, Box<dyn Error>> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut examples = Vec::new();
    for (place, line) in text.lines().enumerate().filter(|(place, _)| place % 2 == 0) {
        let attempt: serde_json::Value = serde_json::from_str(line)?;
        let text = attempt["text"].as_str().ok_or("an attempt has no text")?.to_owned();
        let fold = place / 2 % FOLDS;
        examples.push(Example { text, attempt: true, fold, handbook: false, odd: true, windows: Vec::new() });
    }
    Ok(examples)
}

/// The passages of every other article, beginning with the first.
fn articles(folder: &Path) -> Result<Vec<Example>, Box<dyn Error>> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    paths.sort();
    let mut examples = Vec::new();
    for (place, path) in paths.iter().step_by(2).enumerate() {
        let text = std::fs::read_to_string(path)?;
        let mut passage = String::new();
        let mut take = |passage: &mut String| {
            let text = std::mem::take(passage);
            examples.push(Example {
                text,
                attempt: false,
                fold: place % FOLDS,
                handbook: true,
                odd: false,
                windows: Vec::new(),
            });
        };
        for paragraph in text.split("\n\n") {
            passage.push_str(paragraph);
            passage.push_str("\n\n");
            if passage.split_whitespace().count() >= 100 {
                take(&mut passage);
            }
        }
        take(&mut passage);
    }
    Ok(examples)
}

/// Numbers the features that occur often enough, and gives each example its own.
fn number_features(examples: &mut [Example]) -> Vec<String> {
    let mut counts: HashMap<String, (usize, usize)> = HashMap::new();
    let mut named: Vec<Vec<Vec<String>>> = Vec::new();
    for (place, example) in examples.iter().enumerate() {
        let reading = Reading::of(&example.text);
        let mut of_windows = Vec::new();
        for window in windows(&reading) {
            let mut found = Vec::new();
            visit(&reading, &window, |feature: Feature| found.push(name(&reading, feature)));
            for name in &found {
                let (count, last) = counts.entry(name.clone()).or_insert((0, usize::MAX));
                if *last != place {
                    (*count, *last) = (*count + 1, place);
                }
            }
            of_windows.push(found);
        }
        named.push(of_windows);
    }
    let mut names: Vec<String> =
        counts.into_iter().filter(|(_, (count, _))| *count >= FEWEST_TEXTS).map(|(name, _)| name).collect();
    names.sort();
    let numbers: HashMap<&str, u32> = names.iter().map(String::as_str).zip(0..).collect();
    for (example, of_windows) in examples.iter_mut().zip(named) {
        example.windows = of_windows
            .iter()
            .map(|found| Window {
                features: found.iter().filter_map(|name| numbers.get(name.as_str()).copied()).collect(),
                scale: scale(found.len() as f32),
            })
            .collect();
    }
    names
}

/// The weights of the features, and at the end the bias.
fn learn(examples: &[&Example], names: &[String]) -> Vec<f32> {
    let bias = names.len();
    let draws: Vec<f32> =
        names.iter().map(|name| if name.starts_with("words ") { DRAW_WORDS } else { DRAW_TOPICS }).collect();
    let mut weights = vec![0.0_f32; bias + 1];
    let mut squares = vec![1e-6_f32; bias + 1];
    let mut chosen: Vec<Range<usize>> = examples
        .iter()
        .map(|example| 0..if example.attempt { example.windows.len().min(3) } else { example.windows.len() })
        .collect();
    for round in 0..ROUNDS {
        if round > 0 && round % CHOOSE == 0 {
            for (range, example) in chosen.iter_mut().zip(examples).filter(|(_, example)| example.attempt) {
                let best = (0..example.windows.len()).max_by(|first, second| {
                    sum(&weights, &example.windows[*first])
                        .total_cmp(&sum(&weights, &example.windows[*second]))
                });
                if let Some(best) = best {
                    *range = best..best + 1;
                }
            }
        }
        let mut slopes: Vec<f32> = draws.iter().zip(&weights).map(|(draw, weight)| draw * weight).collect();
        slopes.push(0.0);
        for (example, range) in examples.iter().zip(&chosen) {
            let share = if example.attempt || example.handbook { 1.0 } else { CLEAN_LINE };
            for window in &example.windows[range.clone()] {
                let error = (logistic(sum(&weights, window)) - f32::from(u8::from(example.attempt))) * share;
                window.features.iter().for_each(|feature| slopes[*feature as usize] += error * window.scale);
                slopes[bias] += error;
            }
        }
        for ((weight, square), slope) in weights.iter_mut().zip(&mut squares).zip(slopes) {
            *square += slope * slope;
            *weight -= STEP * slope / square.sqrt();
        }
    }
    weights
}

fn sum(weights: &[f32], window: &Window) -> f32 {
    let bias = weights.last().copied().unwrap_or_default();
    bias + window.scale * window.features.iter().map(|feature| weights[*feature as usize]).sum::<f32>()
}

fn logistic(sum: f32) -> f32 {
    1.0 / (1.0 + (-sum).exp())
}

/// The probability of the most suspicious window.
fn probability(weights: &[f32], example: &Example) -> f64 {
    example.windows.iter().map(|window| f64::from(logistic(sum(weights, window)))).fold(0.0, f64::max)
}

fn written(weights: &[f32], names: &[String], threshold: f64) -> String {
    let bias = weights.last().copied().unwrap_or_default();
    let mut text = format!("threshold {threshold}\nbias {bias:.2}\n");
    for (name, weight) in names.iter().zip(weights).filter(|(_, weight)| weight.abs() >= SMALLEST) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name} {weight:.2}");
    }
    text
}
