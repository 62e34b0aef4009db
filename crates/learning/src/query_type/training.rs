//! Training both models from labelled questions.

use super::inputs::{TypeInputs, WIDTH};
use super::{LARGEST, QueryType, QueryTypeModel, TypeLabel, sigmoid};

/// A question as the models see it, with what is known of it.
pub type LabelledInputs = (TypeInputs, TypeLabel);

/// The weight of the ridge penalty an example, towards where training begins; the bias has none.
const RIDGE: f64 = 1e-4;
/// Newton steps for complexity; the loss is convex, and they stop when nothing moves.
const NEWTON_STEPS: usize = 25;
/// Steps of expectation and maximisation for the row of `multi_hop`.
const EXPECTATION_STEPS: usize = 40;
/// Passes over questions whose type is known, and the rate of the first.
const TYPE_PASSES: usize = 10;
const TYPE_RATE: f64 = 0.05;

impl QueryTypeModel {
    /// Trains from the rules on, in three steps: complexity by Newton's method on its convex log loss; the row of
    /// `multi_hop` by expectation and maximisation, since that several passages are needed says `multi_hop` *or*
    /// `comparison` (Jin & Ghahramani 2002); all rows by stochastic gradient descent over the questions whose type
    /// is known, in an order drawn from `seed`.
    pub fn train(examples: &[LabelledInputs], seed: u64) -> Self {
        let mut model = Self::rules();
        let several: Vec<(&TypeInputs, bool)> = examples
            .iter()
            .filter_map(|(inputs, label)| match label {
                TypeLabel::Several(several) => Some((inputs, *several)),
                TypeLabel::Type(query_type) => query_type.needs_several().map(|several| (inputs, several)),
            })
            .collect();
        if several.iter().any(|(_, label)| *label) && several.iter().any(|(_, label)| !label) {
            train_complexity(&mut model, &several);
            train_multi_hop(&mut model, &several);
        }
        train_types(&mut model, examples, seed);
        round(&mut model);
        model
    }
}

fn train_complexity(model: &mut QueryTypeModel, examples: &[(&TypeInputs, bool)]) {
    let begin = Beginning { row: model.complexity, held: [false; WIDTH] };
    for _ in 0..NEWTON_STEPS {
        let rows = examples.iter().map(|(inputs, several)| (*inputs, 0.0, f64::from(*several)));
        if newton_step(&mut model.complexity, &begin, rows) < 1e-6 {
            break;
        }
    }
}

/// The expectation gives each question that needs several passages its share of being `multi_hop`; the
/// maximisation is one Newton step of a binary model against the sum of the other types, which stand still.
fn train_multi_hop(model: &mut QueryTypeModel, examples: &[(&TypeInputs, bool)]) {
    let place = QueryType::ALL.iter().position(|query_type| *query_type == QueryType::MultiHop).unwrap_or(0);
    // What speaks for a comparison must not speak for `multi_hop` too: the labels cannot tell them apart.
    let comparison =
        QueryType::ALL.iter().position(|query_type| *query_type == QueryType::Comparison).unwrap_or(0);
    let mut held = model.types[comparison].map(|coefficient| coefficient != 0.0);
    held[0] = false;
    let begin = Beginning { row: model.types[place], held };
    let mut row = begin.row;
    let others: Vec<(f64, f64)> =
        examples.iter().map(|(inputs, _)| other_types(model, inputs, place)).collect();
    for _ in 0..EXPECTATION_STEPS {
        let shared = examples.iter().zip(&others).map(|((inputs, several), (all, needing))| {
            let score = inputs.dot(&row);
            let share = if *several { sigmoid(score - needing) } else { 0.0 };
            (*inputs, -all, share)
        });
        let rows: Vec<_> = shared.collect();
        let mut next = row;
        let moved = newton_step(&mut next, &begin, rows.into_iter());
        row = next;
        if moved < 1e-5 {
            break;
        }
    }
    model.types[place] = row;
}

/// The log-sum-exp of the scores of all other types, and of those others that are not ruled out by needing
/// several passages.
fn other_types(model: &QueryTypeModel, inputs: &TypeInputs, place: usize) -> (f64, f64) {
    let (mut all, mut needing) = (0.0, 0.0);
    for (other, (row, query_type)) in model.types.iter().zip(QueryType::ALL).enumerate() {
        if other != place {
            let weight = inputs.dot(row).exp();
            all += weight;
            needing += if query_type.needs_several() == Some(false) { 0.0 } else { weight };
        }
    }
    (all.ln(), needing.ln())
}

/// Where training begins, and which coefficients stay there.
struct Beginning {
    row: [f64; WIDTH],
    held: [bool; WIDTH],
}

/// One damped Newton step on the penalised log loss of a logistic row; each example is inputs, an offset to the
/// score, and a target in [0, 1]. Gives back the largest change of a coefficient.
fn newton_step<'a>(
    row: &mut [f64; WIDTH],
    begin: &Beginning,
    examples: impl Iterator<Item = (&'a TypeInputs, f64, f64)>,
) -> f64 {
    let mut gradient = [0.0; WIDTH];
    let mut hessian = vec![[0.0; WIDTH]; WIDTH];
    let mut count = 0.0;
    for (inputs, offset, target) in examples {
        let probability = sigmoid(inputs.dot(row) + offset);
        let (error, curvature) = (probability - target, probability * (1.0 - probability));
        let inputs = inputs.as_slice();
        for (i, &input) in inputs.iter().enumerate().filter(|(_, input)| **input != 0.0) {
            gradient[i] += error * input;
            let scaled = curvature * input;
            for (sum, other) in hessian[i].iter_mut().zip(inputs).take(i + 1) {
                *sum += scaled * other;
            }
        }
        count += 1.0;
    }
    for i in 0..WIDTH {
        let ridge = if begin.held[i] { 1e6 } else { RIDGE * f64::from(i != 0) };
        hessian[i][i] += ridge * count;
        gradient[i] += ridge * count * (row[i] - begin.row[i]);
    }
    let step = solve(hessian, gradient);
    let mut largest: f64 = 0.0;
    for (coefficient, step) in row.iter_mut().zip(step) {
        let step = step.clamp(-2.0, 2.0);
        *coefficient = (*coefficient - step).clamp(-LARGEST, LARGEST);
        largest = largest.max(step.abs());
    }
    largest
}

/// Solves a positive definite system, given by its lower triangle, by Cholesky's decomposition.
fn solve(mut matrix: Vec<[f64; WIDTH]>, mut right: [f64; WIDTH]) -> [f64; WIDTH] {
    for i in 0..WIDTH {
        for j in 0..=i {
            let product: f64 = (0..j).map(|k| matrix[i][k] * matrix[j][k]).sum();
            let rest = matrix[i][j] - product;
            matrix[i][j] = if i == j { rest.max(1e-12).sqrt() } else { rest / matrix[j][j] };
        }
    }
    for i in 0..WIDTH {
        let product: f64 = (0..i).map(|k| matrix[i][k] * right[k]).sum();
        right[i] = (right[i] - product) / matrix[i][i];
    }
    for i in (0..WIDTH).rev() {
        let product: f64 = (i + 1..WIDTH).map(|k| matrix[k][i] * right[k]).sum();
        right[i] = (right[i] - product) / matrix[i][i];
    }
    right
}

fn train_types(model: &mut QueryTypeModel, examples: &[LabelledInputs], seed: u64) {
    let mut typed: Vec<&LabelledInputs> =
        examples.iter().filter(|(_, label)| matches!(label, TypeLabel::Type(_))).collect();
    let mut random = fastrand::Rng::with_seed(seed);
    let complexity = model.complexity;
    for pass in 0..TYPE_PASSES {
        random.shuffle(&mut typed);
        for (inputs, label) in &typed {
            model.update_inputs(inputs, *label, TYPE_RATE / (1 + pass) as f64);
        }
    }
    // It was trained on these questions already, to the optimum.
    model.complexity = complexity;
}

/// Four digits are more than the data can tell, and make a table that can be read.
fn round(model: &mut QueryTypeModel) {
    for coefficient in model.types.iter_mut().flatten().chain(&mut model.complexity) {
        *coefficient = (*coefficient * 1e4).round() / 1e4 + 0.0;
    }
}
