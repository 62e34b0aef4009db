//! `eval choice --folds`: how well routers rank queries by what the strong arm gains, taught every outcome of the other folds. What can
//! be had at most, beside what is learned online.

use std::collections::BTreeMap;

use burnish_types::{Embedding, dot};
use serde::Serialize;

use crate::EvalError;
use crate::bootstrap::{self, MeanInterval};
use crate::choice::{Routed, measure, strong_and_weak};
use crate::outcome_table::{OutcomeTable, mean};

/// Neighbours whose mean is taken.
const NEIGHBOURS: usize = 80;
/// The weight of the ridge penalty, chosen on other folds than are reported, between 3 and 300.
const PENALTY: f64 = 30.0;
/// What numbers that lie in [-1, 1] are multiplied by, so that they weigh about as much as those of an embedding.
const SCALE: f64 = 0.15;
/// Steps of conjugate gradients; the residual is far below what matters then.
const STEPS: usize = 60;

/// Routers by name.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OfflineReport {
    /// Rows with an outcome of both arms.
    pub n: usize,
    /// Parts that the rows are cut into, each of which is ranked by what the others teach.
    pub folds: usize,
    /// How often they are cut anew.
    pub repeats: u64,
    /// `nearest`, `ridge`, `both` and `sketch`.
    pub routers: BTreeMap<&'static str, Offline>,
}

/// A router; means over folds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Offline {
    /// As [`crate::choice::Routing::apgr`].
    pub apgr: MeanInterval,
    /// As [`crate::choice::Routing::strong_calls_at_95`].
    pub strong_calls_at_95: f64,
    /// By how much that is above `nearest`, paired by folds; none of `nearest` itself.
    pub over_nearest: Option<MeanInterval>,
}

/// A row as routers see it.
struct Row {
    embedding: Embedding,
    /// The embedding, with the row's other numbers.
    wide: Vec<f64>,
    /// What the engine's planner looks at: the numbers, with a sketch of the embedding among them.
    narrow: Vec<f64>,
    strong: f64,
    weak: f64,
}

impl Row {
    fn gain(&self) -> f64 {
        self.strong - self.weak
    }
}

/// Ranks each fold by what the others teach.
///
/// # Errors
/// If the table has no strong and weak arm, or too few rows.
pub fn evaluate(
    table: &OutcomeTable,
    embeddings: &[Embedding],
    folds: usize,
    repeats: u64,
    seed: u64,
) -> Result<OfflineReport, EvalError> {
    let (strong, weak) = strong_and_weak(table).ok_or(EvalError::NoRows)?;
    let row = |(row, embedding): (&crate::outcome_table::TableRow, &Embedding)| {
        let narrow: Vec<f64> = row.x.iter().map(|value| SCALE * value).collect();
        Some(Row {
            embedding: embedding.clone(),
            wide: embedding.iter().map(|value| f64::from(*value)).chain(narrow.iter().copied()).collect(),
            narrow,
            strong: row.outcomes[strong]?.quality,
            weak: row.outcomes[weak]?.quality,
        })
    };
    let rows: Vec<Row> = table.rows.iter().zip(embeddings).filter_map(row).collect();
    let folds = folds.clamp(2, rows.len().max(2));
    if rows.len() < 2 * folds {
        return Err(EvalError::NoRows);
    }
    let mut found: BTreeMap<&'static str, Vec<(f64, f64)>> = BTreeMap::new();
    for repeat in 0..repeats.max(1) {
        let mut order: Vec<usize> = (0..rows.len()).collect();
        fastrand::Rng::with_seed(seed.wrapping_add(repeat)).shuffle(&mut order);
        for fold in 0..folds {
            let part = |inside: bool| -> Vec<&Row> {
                let places = order.iter().enumerate();
                places.filter(|(at, _)| (at % folds == fold) == inside).map(|(_, row)| &rows[*row]).collect()
            };
            for (name, scores) in scores(&part(false), &part(true)) {
                let asked = part(true).into_iter().zip(scores);
                let routed = asked.map(|(row, score)| Routed { score, strong: row.strong, weak: row.weak });
                let routing = measure(routed.collect()).ok_or(EvalError::NoRows)?;
                found.entry(name).or_default().push((routing.apgr, routing.strong_calls_at_95));
            }
        }
    }
    let nearest: Vec<f64> = found["nearest"].iter().map(|(apgr, _)| *apgr).collect();
    let router = |(name, figures): (&&'static str, &Vec<(f64, f64)>)| {
        let apgr: Vec<f64> = figures.iter().map(|(apgr, _)| *apgr).collect();
        let over: Vec<f64> = apgr.iter().zip(&nearest).map(|(one, other)| one - other).collect();
        let router = Offline {
            apgr: bootstrap::mean(&apgr, seed)?,
            strong_calls_at_95: mean(figures.iter().map(|(_, calls)| *calls))?,
            over_nearest: if *name == "nearest" { None } else { bootstrap::mean(&over, seed) },
        };
        Some((*name, router))
    };
    let routers = found.iter().filter_map(router).collect();
    Ok(OfflineReport { n: rows.len(), folds, repeats: repeats.max(1), routers })
}

/// What each router expects the strong arm to gain for those `asked`, from what it was `taught`.
fn scores(taught: &[&Row], asked: &[&Row]) -> [(&'static str, Vec<f64>); 4] {
    let nearest: Vec<f64> = asked.iter().map(|row| nearest(taught, row)).collect();
    let ridge = |of: fn(&Row) -> &[f64]| {
        let mean = mean(taught.iter().map(|row| row.gain())).unwrap_or_default();
        let coefficients = coefficients(taught, of, mean);
        asked.iter().map(|row| dot64(of(row), &coefficients)).collect::<Vec<f64>>()
    };
    let (wide, narrow) = (ridge(|row| &row.wide), ridge(|row| &row.narrow));
    let both = standardised(&nearest).zip(standardised(&wide)).map(|(one, other)| one + other).collect();
    [("nearest", nearest), ("ridge", wide), ("both", both), ("sketch", narrow)]
}

fn nearest(taught: &[&Row], asked: &Row) -> f64 {
    let mut near: Vec<(f32, f64)> =
        taught.iter().map(|row| (dot(&row.embedding, &asked.embedding), row.gain())).collect();
    let count = NEIGHBOURS.min(near.len());
    if count < near.len() {
        near.select_nth_unstable_by(count, |left, right| right.0.total_cmp(&left.0));
    }
    mean(near[..count].iter().map(|(_, gain)| *gain)).unwrap_or_default()
}

/// Ridge regression of the gain beyond its mean, by conjugate gradients.
fn coefficients(taught: &[&Row], of: fn(&Row) -> &[f64], mean: f64) -> Vec<f64> {
    let width = taught.first().map_or(0, |row| of(row).len());
    let through = |vector: &[f64]| {
        let mut product: Vec<f64> = vector.iter().map(|value| PENALTY * value).collect();
        for row in taught {
            add(&mut product, of(row), dot64(of(row), vector));
        }
        product
    };
    let mut residual = vec![0.0; width];
    taught.iter().for_each(|row| add(&mut residual, of(row), row.gain() - mean));
    let (mut solution, mut direction) = (vec![0.0; width], residual.clone());
    let mut square = dot64(&residual, &residual);
    for _ in 0..STEPS {
        if square < 1e-18 {
            break;
        }
        let product = through(&direction);
        let step = square / dot64(&direction, &product).max(f64::MIN_POSITIVE);
        add(&mut solution, &direction, step);
        add(&mut residual, &product, -step);
        let next = dot64(&residual, &residual);
        let turn = next / square;
        direction.iter_mut().zip(&residual).for_each(|(value, residual)| *value = residual + turn * *value);
        square = next;
    }
    solution
}

fn standardised(values: &[f64]) -> impl Iterator<Item = f64> + '_ {
    let mean = mean(values.iter().copied()).unwrap_or_default();
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let deviation = (squares / values.len().max(1) as f64).sqrt().max(1e-12);
    values.iter().map(move |value| (value - mean) / deviation)
}

fn dot64(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(left, right)| left * right).sum()
}

fn add(sum: &mut [f64], row: &[f64], factor: f64) {
    sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += factor * value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome_table::{RecordedOutcome, TableRow};

    /// The strong arm gains where the first number of the embedding is above 0.
    fn table(rows: usize) -> (OutcomeTable, Vec<Embedding>) {
        let mut random = fastrand::Rng::with_seed(2);
        let embeddings: Vec<Embedding> =
            (0..rows).map(|_| (0..8).map(|_| random.f32() - 0.5).collect()).collect();
        let outcome = |quality: f64| {
            Some(RecordedOutcome {
                quality,
                cost_usd: None,
                input_tokens: None,
                output_tokens: None,
                latency_ms: None,
            })
        };
        let row = |embedding: &Embedding| {
            let hard = embedding[0] > 0.0;
            TableRow {
                group: String::new(),
                x: vec![1.0, 0.0],
                outcomes: vec![outcome(0.9), outcome(if hard { 0.1 } else { 0.9 })],
            }
        };
        let rows = embeddings.iter().map(row).collect();
        (OutcomeTable { arms: vec!["strong".to_owned(), "weak".to_owned()], rows }, embeddings)
    }

    #[test]
    fn what_an_embedding_tells_is_found_and_what_it_does_not_is_not() {
        let (table, embeddings) = table(600);
        let report = evaluate(&table, &embeddings, 5, 2, 1).unwrap();
        assert_eq!((report.n, report.folds, report.repeats, report.routers.len()), (600, 5, 2, 4));
        let of = |name: &str| &report.routers[name];
        // All of the gap is recovered by half of the calls.
        assert!(of("ridge").apgr.mean > 0.74 && of("nearest").apgr.mean > 0.65, "{report:?}");
        assert!((of("sketch").apgr.mean - 0.5).abs() < 0.06, "{report:?}");
        assert!(of("ridge").over_nearest.unwrap().mean > 0.0 && of("nearest").over_nearest.is_none());
        assert_eq!(report, evaluate(&table, &embeddings, 5, 2, 1).unwrap());
    }

    #[test]
    fn from_too_little_nothing_is_told() {
        let (few, embeddings) = table(6);
        assert!(evaluate(&few, &embeddings, 5, 1, 0).is_err());
        let (mut alone, embeddings) = table(100);
        alone.arms.pop();
        alone.rows.iter_mut().for_each(|row| row.outcomes.truncate(1));
        assert!(evaluate(&alone, &embeddings, 5, 1, 0).is_err());
    }
}
