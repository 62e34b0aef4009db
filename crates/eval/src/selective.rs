//! Which questions would be answered without a model, where the right answers stand for the model's.

use std::sync::Arc;

use burnish_engine::{Engine, QuotationJudge, Signs};
use burnish_types::Strategy;
use serde::Serialize;

use crate::EvalError;
use crate::bootstrap::{self, MeanInterval};
use crate::dataset::Dataset;
use crate::retrieval::asked;

/// Passages that are looked at.
const TOP_K: usize = 10;

/// How the questions are run through.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Request {
    /// The share of all requests that may be answered otherwise.
    pub delta: f64,
    /// How often the questions are gone through in each stream; the first times teach, the last is reported.
    pub rounds: u64,
    /// Streams, each in an order of its own.
    pub orders: u64,
    /// For the orders, the coins and the bootstrap.
    pub seed: u64,
}

/// One stream.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Run {
    /// Its seed.
    pub seed: u64,
    /// Requests.
    pub requests: u64,
    /// Requests that were quoted for.
    pub spared: u64,
    /// Those of them that were quoted wrongly.
    pub wrong: u64,
    /// Requests that might have been quoted for, and were compared.
    pub explored: u64,
    /// The most by which the wrong ones were ever above what may be; at most 0 where the promise was kept.
    pub largest_excess: f64,
    /// The bound on the wrong ones that is known without looking, at the end.
    pub bound: f64,
}

/// What came of the questions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Questions with an answer that can be looked for.
    pub n: usize,
    /// The share of them whose answer stands in the quotation.
    pub quotable: Option<MeanInterval>,
    /// The streams.
    pub runs: Vec<Run>,
}

/// Quotes for every query of `dataset` whose metadata has `answers`, and streams them past a judge that sees whether a
/// quotation is right only where it is not given.
///
/// # Errors
/// If there is nothing to ask, or nothing can be quoted.
pub fn evaluate(
    engine: &Arc<Engine>,
    dataset: &Dataset,
    strategy: &Strategy,
    request: Request,
    tell: &mut dyn FnMut(),
) -> Result<Report, EvalError> {
    let mut rows: Vec<(Signs, bool)> = Vec::new();
    for query in &dataset.queries {
        let answers = query.answers();
        if !answers.is_empty() {
            let asked = asked(query, TOP_K);
            rows.push(engine.probe_quotation(&asked, strategy, &answers).map_err(Box::new)?);
        }
        tell();
    }
    let quotable: Vec<f64> = rows.iter().map(|(_, agrees)| f64::from(u8::from(*agrees))).collect();
    let runs = (0..request.orders).map(|order| stream(&rows, request, request.seed + order)).collect();
    Ok(Report { n: rows.len(), quotable: bootstrap::mean(&quotable, request.seed), runs })
}

fn stream(rows: &[(Signs, bool)], request: Request, seed: u64) -> Run {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut judge = QuotationJudge::new(request.delta);
    let mut run = Run {
        seed,
        requests: 0,
        spared: 0,
        wrong: 0,
        explored: 0,
        largest_excess: f64::NEG_INFINITY,
        bound: 0.0,
    };
    let mut order: Vec<&(Signs, bool)> = rows.iter().collect();
    for _ in 0..request.rounds {
        random.shuffle(&mut order);
        for (signs, right) in &order {
            run.requests += 1;
            if judge.is_open() {
                let draw = judge.draw(signs, random.f64());
                if draw.serves() {
                    run.spared += 1;
                    run.wrong += u64::from(!right);
                } else {
                    judge.settle(*signs, &draw, *right);
                }
            } else {
                judge.learn(*signs, *right);
            }
            let excess = run.wrong as f64 - request.delta * run.requests as f64;
            run.largest_excess = run.largest_excess.max(excess);
        }
    }
    let standing = judge.standing();
    run.explored = standing.explored;
    run.bound = standing.wrong_bound;
    run
}
