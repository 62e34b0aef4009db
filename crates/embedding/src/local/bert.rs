//! The forward pass of a BERT encoder (Devlin et al. 2019, §3) over sequences laid end to end, without padding.

use super::matmul::{Onto, Packed, Rows, TILE_ROWS, multiply};
use super::rows::{Activation, Norm, softmax};
use super::weights::WordTable;

/// Rows that go through the feed-forward layers together, so that what is between them stays in the second-level cache.
const FEED_FORWARD_ROWS: usize = 16 * TILE_ROWS;
/// Queries whose scores against all keys of a head are held at once.
const ATTENTION_ROWS: usize = 8 * TILE_ROWS;

/// A dense layer.
#[derive(Debug)]
pub(super) struct Linear {
    weights: Packed,
    bias: Vec<f32>,
    outputs: usize,
}

impl Linear {
    /// A layer from `outputs` rows of `inputs` weights, and one bias an output.
    pub(super) fn new(weights: &[f32], mut bias: Vec<f32>, inputs: usize) -> Self {
        let outputs = bias.len();
        let mut packed = Packed::default();
        packed.pack_transposed(weights, inputs, outputs, inputs);
        bias.resize(packed.padded_columns(), 0.0);
        Self { weights: packed, bias, outputs }
    }

    fn apply(&self, input: Rows<'_>, output: &mut [f32]) {
        multiply(input, &self.weights, Onto::Bias(&self.bias), output, self.outputs, self.outputs);
    }

    fn add(&self, input: Rows<'_>, output: &mut [f32]) {
        multiply(input, &self.weights, Onto::Output(&self.bias), output, self.outputs, self.outputs);
    }
}

/// One encoder layer.
#[derive(Debug)]
pub(super) struct Layer {
    /// Queries (already divided by the square root of a head's width), keys and values, side by side.
    pub(super) attention_input: Linear,
    /// Joins the heads.
    pub(super) attention_output: Linear,
    /// After attention.
    pub(super) attention_norm: Norm,
    /// Into the wide layer.
    pub(super) up: Linear,
    /// Back out of it.
    pub(super) down: Linear,
    /// After the feed-forward layers.
    pub(super) output_norm: Norm,
}

/// An encoder.
#[derive(Debug)]
pub(super) struct Bert {
    /// Width of a hidden state.
    pub(super) hidden: usize,
    /// Attention heads.
    pub(super) heads: usize,
    /// Width between the feed-forward layers.
    pub(super) intermediate: usize,
    /// The non-linearity between them.
    pub(super) activation: Activation,
    /// One row a word piece.
    pub(super) words: WordTable,
    /// One row a position, the embedding of the first token type included.
    pub(super) positions: Vec<f32>,
    /// After the embeddings.
    pub(super) embedding_norm: Norm,
    /// The layers, first to last.
    pub(super) layers: Vec<Layer>,
}

/// Buffers of a forward pass, kept between passes.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    states: Vec<f32>,
    projected: Vec<f32>,
    context: Vec<f32>,
    intermediate: Vec<f32>,
    scores: Vec<f32>,
    keys: Packed,
    values: Packed,
}

impl Bert {
    /// The last hidden states of `sequences`, row after row in their order.
    ///
    /// Every token must be a row of `words`, and no sequence longer than there are `positions`.
    pub(super) fn forward<'s>(&self, sequences: &[&[u32]], scratch: &'s mut Scratch) -> &'s [f32] {
        let tokens: usize = sequences.iter().map(|sequence| sequence.len()).sum();
        resize(&mut scratch.states, tokens * self.hidden);
        resize(&mut scratch.projected, tokens * self.hidden * 3);
        resize(&mut scratch.context, tokens * self.hidden);
        resize(&mut scratch.intermediate, tokens.min(FEED_FORWARD_ROWS) * self.intermediate);
        self.look_up(sequences, &mut scratch.states);
        for layer in &self.layers {
            self.attend(layer, sequences, tokens, scratch);
            self.feed_forward(layer, scratch);
        }
        &scratch.states
    }

    fn look_up(&self, sequences: &[&[u32]], states: &mut [f32]) {
        let mut rows = states.chunks_exact_mut(self.hidden);
        for sequence in sequences {
            let places = sequence.iter().zip(self.positions.chunks_exact(self.hidden));
            for ((&token, position), row) in places.zip(&mut rows) {
                self.words.copy_row(token, row);
                row.iter_mut().zip(position).for_each(|(value, &offset)| *value += offset);
            }
        }
        self.embedding_norm.apply(states);
    }

    fn attend(&self, layer: &Layer, sequences: &[&[u32]], tokens: usize, scratch: &mut Scratch) {
        let input = Rows { values: &scratch.states, stride: self.hidden, count: tokens };
        layer.attention_input.apply(input, &mut scratch.projected);
        let mut first = 0;
        for sequence in sequences {
            for head in 0..self.heads {
                self.attend_head(first, sequence.len(), head, scratch);
            }
            first += sequence.len();
        }
        let input = Rows { values: &scratch.context, stride: self.hidden, count: tokens };
        layer.attention_output.add(input, &mut scratch.states);
        layer.attention_norm.apply(&mut scratch.states);
    }

    /// softmax(Q·Kᵀ)·V for one head of one sequence (Vaswani et al. 2017, §3.2.1).
    fn attend_head(&self, first: usize, length: usize, head: usize, scratch: &mut Scratch) {
        let Scratch { projected, context, scores, keys, values, .. } = scratch;
        let width = self.hidden / self.heads;
        let stride = self.hidden * 3;
        let start = first * stride + head * width;
        keys.pack_transposed(&projected[start + self.hidden..], stride, length, width);
        values.pack(&projected[start + self.hidden * 2..], stride, length, width);
        let row = keys.padded_columns();
        for begin in (0..length).step_by(ATTENTION_ROWS) {
            let count = ATTENTION_ROWS.min(length - begin);
            resize(scores, count * row);
            let queries = Rows { values: &projected[start + begin * stride..], stride, count };
            multiply(queries, keys, Onto::Nothing, scores, row, row);
            softmax(scores, row, length);
            let output = &mut context[(first + begin) * self.hidden + head * width..];
            multiply(
                Rows { values: scores, stride: row, count },
                values,
                Onto::Nothing,
                output,
                self.hidden,
                width,
            );
        }
    }

    fn feed_forward(&self, layer: &Layer, scratch: &mut Scratch) {
        for states in scratch.states.chunks_mut(FEED_FORWARD_ROWS * self.hidden) {
            let count = states.len() / self.hidden;
            let wide = &mut scratch.intermediate[..count * self.intermediate];
            layer.up.apply(Rows { values: states, stride: self.hidden, count }, wide);
            self.activation.apply(wide);
            layer.down.add(Rows { values: wide, stride: self.intermediate, count }, states);
            layer.output_norm.apply(states);
        }
    }
}

/// Makes `buffer` exactly `length` long; what it holds is of no interest.
fn resize(buffer: &mut Vec<f32>, length: usize) {
    buffer.resize(length, 0.0);
}
