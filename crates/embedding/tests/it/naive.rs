//! The encoder's definition (Devlin et al. 2019), written down plainly in double precision.

use super::tiny::{Tiny, Weights};

type Matrix = Vec<Vec<f64>>;

/// The last hidden states of one sequence.
pub(crate) fn states(tiny: &Tiny, weights: &Weights, tokens: &[u32]) -> Matrix {
    let row = |name: &str, index: usize| -> Vec<f64> {
        let (shape, numbers) = &weights[name];
        numbers[index * shape[1]..][..shape[1]].iter().map(|&number| f64::from(number)).collect()
    };
    let mut states: Matrix = tokens
        .iter()
        .enumerate()
        .map(|(place, &token)| {
            let word = row("embeddings.word_embeddings.weight", token as usize);
            let position = row("embeddings.position_embeddings.weight", tiny.first_position() + place);
            let kind = row("embeddings.token_type_embeddings.weight", 0);
            (0..word.len()).map(|column| word[column] + position[column] + kind[column]).collect()
        })
        .collect();
    states = norm(weights, "embeddings.LayerNorm", &states);
    for layer in 0..tiny.layers {
        let name = format!("encoder.layer.{layer}");
        let mixed = attention(tiny, weights, &name, &states);
        let mixed = linear(weights, &format!("{name}.attention.output.dense"), &mixed);
        states = norm(weights, &format!("{name}.attention.output.LayerNorm"), &sum(&states, &mixed));
        let mut wide = linear(weights, &format!("{name}.intermediate.dense"), &states);
        wide.iter_mut().flatten().for_each(|value| *value = activate(tiny.activation, *value));
        let narrow = linear(weights, &format!("{name}.output.dense"), &wide);
        states = norm(weights, &format!("{name}.output.LayerNorm"), &sum(&states, &narrow));
    }
    states
}

/// One unit-length vector of the states of a sequence.
pub(crate) fn pool(pooling: &str, states: &Matrix) -> Vec<f64> {
    let column = |column: usize| states.iter().map(move |row| row[column]);
    let pooled: Vec<f64> = (0..states[0].len())
        .map(|index| match pooling {
            "cls" => states[0][index],
            "mean" => column(index).sum::<f64>() / states.len() as f64,
            "max" => column(index).fold(f64::NEG_INFINITY, f64::max),
            other => panic!("no pooling `{other}`"),
        })
        .collect();
    unit(&pooled)
}

/// `vector` at length 1.
pub(crate) fn unit(vector: &[f64]) -> Vec<f64> {
    let length = vector.iter().map(|value| value * value).sum::<f64>().sqrt();
    vector.iter().map(|value| value / length).collect()
}

fn attention(tiny: &Tiny, weights: &Weights, layer: &str, states: &Matrix) -> Matrix {
    let [queries, keys, values] = ["query", "key", "value"]
        .map(|part| linear(weights, &format!("{layer}.attention.self.{part}"), states));
    let width = tiny.head_width;
    let mut mixed = vec![vec![0.0; tiny.hidden()]; states.len()];
    for (place, query) in queries.iter().enumerate() {
        for head in 0..tiny.heads {
            let columns = head * width..(head + 1) * width;
            let scores: Vec<f64> = keys
                .iter()
                .map(|key| {
                    columns.clone().map(|column| query[column] * key[column]).sum::<f64>()
                        / (width as f64).sqrt()
                })
                .collect();
            let total: f64 = scores.iter().map(|score| score.exp()).sum();
            for column in columns {
                mixed[place][column] = scores
                    .iter()
                    .zip(&values)
                    .map(|(score, value)| score.exp() / total * value[column])
                    .sum();
            }
        }
    }
    mixed
}

fn linear(weights: &Weights, name: &str, input: &Matrix) -> Matrix {
    let (shape, matrix) = &weights[&format!("{name}.weight")];
    let bias = &weights[&format!("{name}.bias")].1;
    let row = |row: &Vec<f64>| {
        let output = |out: usize| {
            let line = &matrix[out * shape[1]..][..shape[1]];
            f64::from(bias[out])
                + line.iter().zip(row).map(|(&weight, value)| f64::from(weight) * value).sum::<f64>()
        };
        (0..shape[0]).map(output).collect()
    };
    input.iter().map(row).collect()
}

fn norm(weights: &Weights, name: &str, rows: &Matrix) -> Matrix {
    let (scale, shift) = (&weights[&format!("{name}.weight")].1, &weights[&format!("{name}.bias")].1);
    let row = |row: &Vec<f64>| {
        let mean = row.iter().sum::<f64>() / row.len() as f64;
        let variance = row.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / row.len() as f64;
        let one = |(column, value): (usize, &f64)| {
            (value - mean) / (variance + 1e-12).sqrt() * f64::from(scale[column]) + f64::from(shift[column])
        };
        row.iter().enumerate().map(one).collect()
    };
    rows.iter().map(row).collect()
}

fn sum(left: &Matrix, right: &Matrix) -> Matrix {
    left.iter().zip(right).map(|(a, b)| a.iter().zip(b).map(|(x, y)| x + y).collect()).collect()
}

fn activate(kind: &str, x: f64) -> f64 {
    match kind {
        "gelu" => 0.5 * x * (1.0 + erf(x / 2f64.sqrt())),
        "gelu_new" => {
            0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
        }
        "relu" => x.max(0.0),
        other => panic!("no activation `{other}`"),
    }
}

/// The error function by Simpson's rule; past 6 it is 1 to the last bit.
fn erf(x: f64) -> f64 {
    let (end, steps) = (x.clamp(-6.0, 6.0), 400);
    let step = end / f64::from(steps);
    let weight = |place: i32| {
        if place == 0 || place == steps {
            1.0
        } else if place % 2 == 1 {
            4.0
        } else {
            2.0
        }
    };
    let area: f64 = (0..=steps).map(|place| weight(place) * (-(f64::from(place) * step).powi(2)).exp()).sum();
    area * step / 3.0 * 2.0 / std::f64::consts::PI.sqrt()
}
