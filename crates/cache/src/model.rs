//! Predicts whether the answer to one question answers another, and learns it from comparisons.
//!
//! Two small networks vote: one sees what the words say, the other the embeddings beside, as the products and the
//! absolute differences of their coordinates. Both know nothing at first: no coefficients are shipped.

use crate::evidence::FIGURES;
use crate::network::{Network, sigmoid};
use crate::question::Packed;

/// Pairs that were compared before a prediction is worth anything.
const LEAST_KNOWN: u64 = 256;
/// What is predicted until then.
const UNKNOWN: f64 = 0.7;
/// Compared pairs that are kept to be studied again.
const MEMORY: usize = 24_576;
/// After so many new pairs the networks study.
const PERIOD: usize = 32;
/// Steps of one study, each over some pairs from memory and some of the newest.
const STEPS: usize = 4;
const REMEMBERED: usize = 48;
const NEWEST: usize = 16;
/// How much a pair counts at most for having been likely to be served, and so seldom compared.
const LARGEST_WEIGHT: f32 = 4.0;
/// Figures are brought to zero mean and unit deviation, and cut off here.
const FARTHEST: f32 = 4.0;
/// The scale is taken anew each time this many pairs were seen, up to the last.
const SCALINGS: [u64; 8] = [64, 256, 1_024, 4_096, 8_192, 12_288, 16_384, 20_480];
const WORDS_RATE: f32 = 1e-3;
const WORDS_DECAY: f32 = 1e-4;
const VECTORS_RATE: f32 = 5e-4;
const VECTORS_DECAY: f32 = 2e-3;

/// Two questions as the model sees them.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) figures: [f32; FIGURES],
    pub(crate) asked: Packed,
    pub(crate) kept: Packed,
}

#[derive(Clone, Debug)]
struct Compared {
    pair: Pair,
    right: bool,
    weight: f32,
}

/// The scale of the figures, from what was seen of them.
#[derive(Clone, Debug)]
struct Scale {
    seen: u64,
    sums: [f64; FIGURES],
    squares: [f64; FIGURES],
    means: [f32; FIGURES],
    widths: [f32; FIGURES],
}

impl Scale {
    fn new() -> Self {
        Self {
            seen: 0,
            sums: [0.0; FIGURES],
            squares: [0.0; FIGURES],
            means: [0.0; FIGURES],
            widths: [1.0; FIGURES],
        }
    }

    fn observe(&mut self, figures: &[f32; FIGURES]) {
        self.seen += 1;
        for (place, figure) in figures.iter().enumerate() {
            self.sums[place] += f64::from(*figure);
            self.squares[place] += f64::from(*figure).powi(2);
        }
        if SCALINGS.contains(&self.seen) {
            let seen = self.seen as f64;
            for place in 0..FIGURES {
                let mean = self.sums[place] / seen;
                let variance = (self.squares[place] / seen - mean * mean).max(0.0) + 1e-3;
                self.means[place] = mean as f32;
                self.widths[place] = variance.sqrt() as f32;
            }
        }
    }

    fn apply(&self, figures: &[f32; FIGURES]) -> [f32; FIGURES] {
        std::array::from_fn(|place| {
            ((figures[place] - self.means[place]) / self.widths[place]).clamp(-FARTHEST, FARTHEST)
        })
    }
}

/// The prior that all entries share.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    words: Network,
    vectors: Network,
    scale: Scale,
    memory: Vec<Compared>,
    /// Pairs that were ever compared.
    compared: u64,
    fresh: usize,
    dimensions: usize,
    random: fastrand::Rng,
}

impl Model {
    pub(crate) fn new(dimensions: usize, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        Self {
            words: Network::new(FIGURES, WORDS_RATE, WORDS_DECAY, &mut random),
            vectors: Network::new(FIGURES + 2 * dimensions, VECTORS_RATE, VECTORS_DECAY, &mut random),
            scale: Scale::new(),
            memory: Vec::new(),
            compared: 0,
            fresh: 0,
            dimensions,
            random,
        }
    }

    /// How likely the kept answer is to be wrong, as far as can be told.
    pub(crate) fn risk(&mut self, pair: &Pair) -> f64 {
        self.scale.observe(&pair.figures);
        if self.compared < LEAST_KNOWN {
            return UNKNOWN;
        }
        let inputs = inputs(&self.scale, pair, self.dimensions);
        let logit = 0.5 * (self.words.logit(&inputs[..FIGURES]) + self.vectors.logit(&inputs));
        f64::from(sigmoid(-logit))
    }

    /// Learns what a comparison has shown. `share` is the probability with which it would not have come about.
    pub(crate) fn learn(&mut self, pair: Pair, right: bool, share: f64) {
        let weight = ((1.0 - share).max(1e-6) as f32).recip().min(LARGEST_WEIGHT);
        let compared = Compared { pair, right, weight };
        if self.memory.len() < MEMORY {
            self.memory.push(compared);
        } else {
            self.memory[(self.compared % MEMORY as u64) as usize] = compared;
        }
        self.compared += 1;
        self.fresh += 1;
        if self.compared >= LEAST_KNOWN && self.fresh >= PERIOD {
            self.fresh = 0;
            self.study();
        }
    }

    fn study(&mut self) {
        let known = self.memory.len();
        let newest = (self.compared % MEMORY as u64) as usize + known;
        let part = 1.0 / (REMEMBERED + NEWEST) as f32;
        for _ in 0..STEPS {
            for place in 0..REMEMBERED + NEWEST {
                let drawn = match place.checked_sub(REMEMBERED) {
                    None => self.random.usize(..known),
                    Some(back) => (newest - 1 - back.min(known - 1)) % known,
                };
                let Compared { pair, right, weight } = &self.memory[drawn];
                let inputs = inputs(&self.scale, pair, self.dimensions);
                self.words.study(&inputs[..FIGURES], *right, weight * part);
                self.vectors.study(&inputs, *right, weight * part);
            }
            self.words.step();
            self.vectors.step();
        }
    }
}

/// The figures, and then for each dimension how far the embeddings differ there and what they share.
fn inputs(scale: &Scale, pair: &Pair, dimensions: usize) -> Vec<f32> {
    let mut inputs = Vec::with_capacity(FIGURES + 2 * dimensions);
    inputs.extend(scale.apply(&pair.figures));
    let Pair { asked, kept, .. } = pair;
    // Coordinates of a unit vector are about as large as the root of their number is small.
    let root = (dimensions as f32).sqrt();
    let coordinates = || {
        asked
            .values
            .iter()
            .zip(&kept.values)
            .map(|(a, b)| (f32::from(*a) * asked.scale, f32::from(*b) * kept.scale))
    };
    inputs.extend(coordinates().map(|(a, b)| 0.64 * root * (a - b).abs() - 0.4));
    inputs.extend(coordinates().map(|(a, b)| 0.13 * root * root * a * b));
    inputs.resize(FIGURES + 2 * dimensions, 0.0);
    inputs
}
