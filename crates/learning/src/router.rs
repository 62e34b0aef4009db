//! Which of a few options a question gets, by all that its embedding says, against one that is in use.
//!
//! Each option has a Bayesian linear model of its quality, and one of its cost, over the whole embedding: which prompt or model
//! does well depends mostly on what kind of task a question is, and the embedding tells tasks apart better than a few directions
//! of it do (`docs/measurements.md`). What is expected to be best for its price is taken, but only as far as a budget of loss
//! allows: with what was lost so far against the option in use, as its own model has it, and the error that this may have, the
//! quality stays above `1 − loss` times what that option would have had.

use serde::{Deserialize, Serialize};

use crate::predictor::matrix::{Matrix, dot};

/// The strength of the prior: as many observations along each direction.
const RIDGE: f64 = 4.0;
/// The constant beside the embedding.
const BIAS: f64 = 0.5;
/// Of the error of the loss, so many standard deviations are reckoned with.
const CAUTION: f64 = 2.0;
/// The quality of an option in use before any outcome.
const NEUTRAL: f64 = 0.5;
/// Outcomes until an option is known.
const TRIALS: u64 = 30;
/// What makes the better of two equals.
const HARDLY: f64 = 1e-9;
/// The form of a snapshot.
const VERSION: u32 = 1;

/// How a router weighs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouterSettings {
    /// The quality that is given up to save the mean cost of the option in use, once the budget of loss is hardly touched.
    pub price: f64,
    /// The share of the quality of the option in use that may be lost, in (0, 1).
    pub loss: f64,
}

impl Default for RouterSettings {
    fn default() -> Self {
        Self { price: 0.1, loss: 0.0125 }
    }
}

/// What a router says of a question.
#[derive(Clone, Debug, PartialEq)]
pub struct Routed {
    /// The option to take.
    pub option: usize,
    /// The quality to expect of each.
    pub qualities: Vec<f64>,
    /// The cost to expect of each.
    pub costs: Vec<f64>,
    /// Whether another one looked better, and the budget of loss did not allow it.
    pub is_held: bool,
}

/// Options that are chosen by a question's embedding; the first is in use until outcomes speak for another one.
#[derive(Clone, Debug)]
pub struct Router {
    settings: RouterSettings,
    options: Vec<Model>,
    /// Summed quality and cost of the first option's own outcomes.
    quality: f64,
    cost: f64,
    /// What the first one was, or would have been, worth; what was lost against it; and the variance of that.
    worth: f64,
    lost: f64,
    variance: f64,
}

#[derive(Clone, Debug)]
struct Model {
    outcomes: u64,
    /// The inverse of the precision.
    covariance: Matrix,
    quality: Vec<f64>,
    cost: Vec<f64>,
    /// What it is taken to be worth whatever is asked.
    level: f64,
}

#[derive(Serialize, Deserialize)]
struct Snapshot {
    version: u32,
    settings: RouterSettings,
    sums: [f64; 5],
    options: Vec<Stored>,
}

/// A model in a snapshot; of the covariance the lower triangle.
#[derive(Serialize, Deserialize)]
struct Stored {
    outcomes: u64,
    covariance: Vec<f64>,
    quality: Vec<f64>,
    cost: Vec<f64>,
    level: f64,
}

impl Router {
    /// One that knows nothing, over so many options and embeddings of a length.
    pub fn new(options: usize, dimensions: usize, settings: RouterSettings) -> Self {
        let size = dimensions + 1;
        let model = Model {
            outcomes: 0,
            covariance: Matrix::diagonal(&vec![RIDGE.recip(); size]),
            quality: vec![0.0; size],
            cost: vec![0.0; size],
            level: NEUTRAL,
        };
        Self {
            settings,
            options: vec![model; options.max(1)],
            quality: 0.0,
            cost: 0.0,
            worth: 0.0,
            lost: 0.0,
            variance: 0.0,
        }
    }

    /// Outcomes by option.
    pub fn outcomes(&self) -> Vec<u64> {
        self.options.iter().map(|model| model.outcomes).collect()
    }

    /// The option for a question of this embedding, whose length is one.
    pub fn route(&self, embedding: &[f32]) -> Routed {
        let x = self.numbers(embedding);
        let mean_cost = match self.options[0].outcomes {
            0 => 1.0,
            outcomes => (self.cost / outcomes as f64).max(f64::MIN_POSITIVE),
        };
        // What may be lost and is not yet is spent on saving.
        let unspent =
            1.0 - (self.lost + CAUTION * self.variance.sqrt()) / (self.settings.loss * self.worth.max(1.0));
        let price = self.settings.price * unspent.clamp(0.0, 1.0);
        let qualities: Vec<f64> =
            self.options.iter().map(|model| self.level(model) + dot(&model.quality, &x)).collect();
        let costs: Vec<f64> = self.options.iter().map(|model| dot(&model.cost, &x).max(0.0)).collect();
        let worth = |option: usize| qualities[option] - price * costs[option] / mean_cost;
        // One that is hardly known yet may have been unlucky: it is tried as soon as that may be lost.
        let score = |option: usize| match self.options[option].outcomes < TRIALS && option > 0 {
            true => worth(option).max(worth(0) + HARDLY),
            false => worth(option),
        };
        let best = (1..self.options.len())
            .fold(0, |best, option| if score(option) > score(best) { option } else { best });
        let is_held = best != 0 && !self.may_lose(qualities[0], qualities[best]);
        Routed { option: if is_held { 0 } else { best }, qualities, costs, is_held }
    }

    /// Folds in what became of a question that got an option, in the order of outcomes. What is not finite changes nothing.
    pub fn observe(&mut self, option: usize, embedding: &[f32], quality: f64, cost: f64) {
        let x = self.numbers(embedding);
        if option >= self.options.len() || ![quality, cost].iter().chain(&x).all(|value| value.is_finite()) {
            return;
        }
        if option == 0 {
            self.worth += quality;
            self.quality += quality;
            self.cost += cost;
        } else {
            let expected = (self.level(&self.options[0]) + dot(&self.options[0].quality, &x)).clamp(0.0, 1.0);
            self.lost += expected - quality;
            self.variance += expected * (1.0 - expected);
            self.worth += expected;
        }
        let level = self.level(&self.options[option]);
        let model = &mut self.options[option];
        model.level = level;
        model.outcomes += 1;
        let moved = model.covariance.times(&x);
        let scale = (1.0 + dot(&moved, &x)).recip();
        let surprises = [quality - level - dot(&model.quality, &x), cost - dot(&model.cost, &x)];
        for (weights, surprise) in [&mut model.quality, &mut model.cost].into_iter().zip(surprises) {
            weights.iter_mut().zip(&moved).for_each(|(weight, moved)| *weight += scale * surprise * moved);
        }
        model.covariance.add_outer(&moved, -scale);
    }

    /// Everything as bytes for a snapshot.
    pub fn to_bytes(&self) -> Vec<u8> {
        let options = self.options.iter().map(|model| {
            let Model { outcomes, covariance, quality, cost, level } = model;
            let (quality, cost) = (quality.clone(), cost.clone());
            Stored { outcomes: *outcomes, covariance: covariance.lower(), quality, cost, level: *level }
        });
        let sums = [self.quality, self.cost, self.worth, self.lost, self.variance];
        let snapshot =
            Snapshot { version: VERSION, settings: self.settings, sums, options: options.collect() };
        postcard::to_allocvec(&snapshot).unwrap_or_default()
    }

    /// The state of a snapshot of such a one. `None` as for [`Router::from_bytes`].
    pub fn restored(&self, bytes: &[u8]) -> Option<Self> {
        let dimensions = self.options.first()?.quality.len().checked_sub(1)?;
        Self::from_bytes(self.options.len(), dimensions, self.settings, bytes)
    }

    /// The state of a snapshot. `None` where that is of another form, or of other options, embeddings or settings, so that the log
    /// is folded anew.
    pub fn from_bytes(
        options: usize,
        dimensions: usize,
        settings: RouterSettings,
        bytes: &[u8],
    ) -> Option<Self> {
        let snapshot: Snapshot = postcard::from_bytes(bytes).ok()?;
        let size = dimensions + 1;
        if snapshot.version != VERSION
            || snapshot.settings != settings
            || snapshot.options.len() != options.max(1)
        {
            return None;
        }
        let model = |Stored { outcomes, covariance, quality, cost, level }: Stored| {
            let fits = quality.len() == size && cost.len() == size;
            let covariance = Matrix::from_lower(size, &covariance).filter(|_| fits)?;
            Some(Model { outcomes, covariance, quality, cost, level })
        };
        let options = snapshot.options.into_iter().map(model).collect::<Option<Vec<_>>>()?;
        let [quality, cost, worth, lost, variance] = snapshot.sums;
        Some(Self { settings, options, quality, cost, worth, lost, variance })
    }

    /// Whether what is expected to be lost by taking another option than the first fits the budget, with all that was lost before.
    fn may_lose(&self, first: f64, other: f64) -> bool {
        let (first, other) = (first.clamp(0.0, 1.0), other.clamp(0.0, 1.0));
        let deviation = (self.variance + first * (1.0 - first)).sqrt();
        self.lost + first - other + CAUTION * deviation <= self.settings.loss * (self.worth + first)
    }

    /// An option that was never taken is as good as the first so far.
    fn level(&self, model: &Model) -> f64 {
        match (model.outcomes, self.options[0].outcomes) {
            (0, 0) => NEUTRAL,
            (0, outcomes) => (self.quality + 2.0 * NEUTRAL) / (outcomes as f64 + 2.0),
            _ => model.level,
        }
    }

    fn numbers(&self, embedding: &[f32]) -> Vec<f64> {
        let size = self.options[0].quality.len();
        let mut x: Vec<f64> = embedding.iter().take(size - 1).map(|value| f64::from(*value)).collect();
        x.resize(size - 1, 0.0);
        x.push(BIAS);
        x
    }
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;

    const DIMENSIONS: usize = 8;

    /// A question of one of two kinds: the second option does only the second kind, for a tenth of the cost.
    fn question(random: &mut Rng) -> (Vec<f32>, bool) {
        let second = random.bool();
        let mut embedding: Vec<f32> = (0..DIMENSIONS).map(|_| random.f32() - 0.5).collect();
        embedding[0] = if second { 2.0 } else { -2.0 };
        let length = embedding.iter().map(|value| value * value).sum::<f32>().sqrt();
        embedding.iter_mut().for_each(|value| *value /= length);
        (embedding, second)
    }

    fn play(router: &mut Router, requests: usize, seed: u64, gap: f64) -> Vec<(usize, bool, f64)> {
        let mut random = Rng::with_seed(seed);
        (0..requests)
            .map(|_| {
                let (embedding, second) = question(&mut random);
                let option = router.route(&embedding).option;
                let chance = if option == 0 || second { 0.8 } else { 0.8 - gap };
                let quality = f64::from(random.f64() < chance);
                router.observe(option, &embedding, quality, if option == 0 { 1.0 } else { 0.1 });
                (option, second, chance)
            })
            .collect()
    }

    #[test]
    fn what_is_as_good_for_less_is_found_for_the_kind_of_question_that_it_suits() {
        let mut router = Router::new(2, DIMENSIONS, RouterSettings::default());
        let played = play(&mut router, 6_000, 1, 0.7);
        let last = &played[4_000..];
        let cheap = |kind: bool| {
            let of_kind = || last.iter().filter(|(_, second, _)| *second == kind);
            of_kind().filter(|(option, _, _)| *option == 1).count() as f64 / of_kind().count() as f64
        };
        assert!(cheap(true) > 0.5 && cheap(false) < 0.05, "{} {}", cheap(true), cheap(false));
        assert!(router.outcomes()[1] > 1_000);
    }

    #[test]
    fn the_loss_stays_within_its_budget_whatever_the_other_option_is() {
        for seed in 0..20 {
            let mut router = Router::new(3, DIMENSIONS, RouterSettings { price: 0.5, loss: 0.02 });
            let played = play(&mut router, 3_000, seed, 0.8);
            let lost: f64 = played.iter().map(|(_, _, chance)| 0.8 - chance).sum();
            assert!(lost <= 0.03 * 0.8 * 3_000.0, "{seed}: {lost}");
        }
    }

    #[test]
    fn a_stored_router_goes_on_as_if_it_had_not_been() {
        let settings = RouterSettings::default();
        let mut router = Router::new(2, DIMENSIONS, settings);
        play(&mut router, 500, 3, 0.7);
        let bytes = router.to_bytes();
        let mut again = Router::from_bytes(2, DIMENSIONS, settings, &bytes).unwrap();
        assert_eq!(play(&mut again, 300, 4, 0.7), play(&mut router, 300, 4, 0.7));
        assert!(Router::from_bytes(3, DIMENSIONS, settings, &bytes).is_none());
        assert!(Router::from_bytes(2, DIMENSIONS + 1, settings, &bytes).is_none());
        assert!(Router::from_bytes(2, DIMENSIONS, settings, &bytes[..9]).is_none());
        let before = router.to_bytes();
        router.observe(1, &[f32::NAN; DIMENSIONS], 1.0, 1.0);
        router.observe(9, &[0.1; DIMENSIONS], 1.0, 1.0);
        assert_eq!(router.to_bytes(), before);
    }
}
