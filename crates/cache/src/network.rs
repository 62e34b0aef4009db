//! A small network with one hidden layer, trained by Adam (Kingma & Ba 2015) a few examples at a time.

/// Hidden units; a whole number of vector registers.
const HIDDEN: usize = 32;
/// Adam's own constants.
const MEAN_DECAY: f32 = 0.9;
const SQUARE_DECAY: f32 = 0.999;
const SMALLEST_ROOT: f32 = 1e-8;

/// What is learned, with Adam's two means of its slope.
#[derive(Clone, Debug)]
struct Weights {
    values: Vec<f32>,
    means: Vec<f32>,
    squares: Vec<f32>,
    slopes: Vec<f32>,
}

impl Weights {
    fn new(values: Vec<f32>) -> Self {
        let zeros = vec![0.0; values.len()];
        Self { means: zeros.clone(), squares: zeros.clone(), slopes: zeros, values }
    }

    fn descend(&mut self, rate: f32, decay: f32, mean_scale: f32, square_scale: f32) {
        let moments = self.means.iter_mut().zip(&mut self.squares);
        for ((value, slope), (mean, square)) in self.values.iter_mut().zip(&mut self.slopes).zip(moments) {
            let steep = *slope + decay * *value;
            *slope = 0.0;
            *mean += (1.0 - MEAN_DECAY) * (steep - *mean);
            *square += (1.0 - SQUARE_DECAY) * (steep * steep - *square);
            *value -= rate * *mean * mean_scale / ((*square * square_scale).sqrt() + SMALLEST_ROOT);
        }
    }
}

/// A network from figures to the logit of being right.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    /// Input by input, a row of hidden units each; after them the hidden biases.
    first: Weights,
    /// A weight a hidden unit, and the bias.
    second: Weights,
    inputs: usize,
    rate: f32,
    decay: f32,
    steps: i32,
}

impl Network {
    pub(crate) fn new(inputs: usize, rate: f32, decay: f32, random: &mut fastrand::Rng) -> Self {
        let mut draw =
            |count: usize, width: f32| -> Vec<f32> { (0..count).map(|_| width * normal(random)).collect() };
        let mut first = draw(inputs * HIDDEN, (inputs as f32).sqrt().recip());
        first.resize((inputs + 1) * HIDDEN, 0.0);
        let mut second = draw(HIDDEN, 0.5 * (HIDDEN as f32).sqrt().recip());
        second.push(0.0);
        Self { first: Weights::new(first), second: Weights::new(second), inputs, rate, decay, steps: 0 }
    }

    /// The logit for `inputs`.
    pub(crate) fn logit(&self, inputs: &[f32]) -> f32 {
        self.output(&self.hidden(inputs))
    }

    fn hidden(&self, inputs: &[f32]) -> [f32; HIDDEN] {
        let (rows, biases) = self.first.values.split_at(self.inputs * HIDDEN);
        let mut hidden = [0.0; HIDDEN];
        hidden.copy_from_slice(biases);
        for (input, row) in inputs.iter().zip(rows.chunks_exact(HIDDEN)) {
            for (unit, weight) in hidden.iter_mut().zip(row) {
                *unit += input * weight;
            }
        }
        hidden.map(|unit| unit.max(0.0))
    }

    fn output(&self, hidden: &[f32; HIDDEN]) -> f32 {
        let (weights, bias) = self.second.values.split_at(HIDDEN);
        hidden.iter().zip(weights).map(|(unit, weight)| unit * weight).sum::<f32>() + bias[0]
    }

    /// Adds the slope of one example's loss, where `right` says what it should be and `weight` how much it counts.
    pub(crate) fn study(&mut self, inputs: &[f32], right: bool, weight: f32) {
        let hidden = self.hidden(inputs);
        let error = weight * (sigmoid(self.output(&hidden)) - f32::from(u8::from(right)));
        let mut back = [0.0; HIDDEN];
        for (unit, value) in hidden.iter().enumerate() {
            self.second.slopes[unit] += error * value;
            back[unit] = if *value > 0.0 { error * self.second.values[unit] } else { 0.0 };
        }
        self.second.slopes[HIDDEN] += error;
        let (rows, biases) = self.first.slopes.split_at_mut(self.inputs * HIDDEN);
        for (input, row) in inputs.iter().zip(rows.chunks_exact_mut(HIDDEN)) {
            for (slope, back) in row.iter_mut().zip(&back) {
                *slope += input * back;
            }
        }
        biases.iter_mut().zip(&back).for_each(|(slope, back)| *slope += back);
    }

    /// Takes a step against the slopes of the examples studied since the last one.
    pub(crate) fn step(&mut self) {
        self.steps = self.steps.saturating_add(1);
        let scale = |decay: f32| (1.0 - decay.powi(self.steps)).recip();
        let (mean_scale, square_scale) = (scale(MEAN_DECAY), scale(SQUARE_DECAY));
        for weights in [&mut self.first, &mut self.second] {
            weights.descend(self.rate, self.decay, mean_scale, square_scale);
        }
    }
}

pub(crate) fn sigmoid(logit: f32) -> f32 {
    (1.0 + (-logit).exp()).recip()
}

/// A draw from the normal distribution (Box & Muller 1958).
fn normal(random: &mut fastrand::Rng) -> f32 {
    let radius = (-2.0 * (1.0 - random.f32()).max(f32::MIN_POSITIVE).ln()).sqrt();
    radius * (std::f32::consts::TAU * random.f32()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_learns_what_no_line_separates() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut network = Network::new(2, 0.01, 1e-4, &mut random);
        let draw = |random: &mut fastrand::Rng| [random.f32() * 2.0 - 1.0, random.f32() * 2.0 - 1.0];
        let truth = |inputs: [f32; 2]| inputs[0] * inputs[1] > 0.0;
        for _ in 0..2_000 {
            for _ in 0..16 {
                let inputs = draw(&mut random);
                network.study(&inputs, truth(inputs), 1.0 / 16.0);
            }
            network.step();
        }
        let wrong = (0..1_000)
            .filter(|_| {
                let inputs = draw(&mut random);
                (network.logit(&inputs) > 0.0) != truth(inputs)
            })
            .count();
        assert!(wrong < 60, "{wrong} of 1,000 are wrong");
    }
}
