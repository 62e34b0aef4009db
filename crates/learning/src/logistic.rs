//! Logistic regression over a few figures, from the latest examples.

use std::collections::VecDeque;

use crate::predictor::matrix::{Matrix, dot};

/// The latest examples are kept.
const MEMORY: usize = 4_096;
/// Before that many nothing is predicted.
const LEAST: usize = 64;
/// The weights are found anew after so many examples, or this share of all that are kept, whichever is more.
const PERIOD: usize = 16;
const PERIOD_SHARE: usize = 16;
/// The ridge penalty in examples; figures count as brought to zero mean and unit deviation.
const RIDGE: f64 = 2.0;
/// Newton steps; the loss is convex, and they stop when nothing moves.
const STEPS: usize = 12;
const STILL: f64 = 1e-6;

/// Predicts a probability from `N` figures.
#[derive(Clone, Debug)]
pub struct Logistic<const N: usize> {
    examples: VecDeque<([f64; N], bool, f64)>,
    /// Examples since the weights were found.
    fresh: usize,
    fitted: Option<Fitted<N>>,
}

#[derive(Clone, Debug)]
struct Fitted<const N: usize> {
    means: [f64; N],
    widths: [f64; N],
    /// A weight a figure, and the bias.
    weights: Vec<f64>,
}

impl<const N: usize> Default for Logistic<N> {
    fn default() -> Self {
        Self { examples: VecDeque::new(), fresh: 0, fitted: None }
    }
}

impl<const N: usize> Logistic<N> {
    /// The probability of `true`; nothing as long as too little is known.
    pub fn probability(&self, figures: &[f64; N]) -> Option<f64> {
        let fitted = self.fitted.as_ref()?;
        Some(sigmoid(dot(&fitted.inputs(figures), &fitted.weights)))
    }

    /// Takes an example in, of which so much `weight` is that of those like it which are never seen.
    pub fn learn(&mut self, figures: [f64; N], truth: bool, weight: f64) {
        if figures.iter().any(|figure| !figure.is_finite()) || !weight.is_finite() {
            return;
        }
        if self.examples.len() == MEMORY {
            self.examples.pop_front();
        }
        self.examples.push_back((figures, truth, weight));
        self.fresh += 1;
        let known = self.examples.len();
        if known >= LEAST && (self.fitted.is_none() || self.fresh >= PERIOD.max(known / PERIOD_SHARE)) {
            self.fresh = 0;
            self.fit();
        }
    }

    fn fit(&mut self) {
        let count = self.examples.len() as f64;
        let mean = |of: &dyn Fn(&[f64; N]) -> f64| {
            self.examples.iter().map(|(figures, ..)| of(figures)).sum::<f64>() / count
        };
        let means: [f64; N] = std::array::from_fn(|place| mean(&|figures| figures[place]));
        let widths = std::array::from_fn(|place| {
            mean(&|figures| (figures[place] - means[place]).powi(2)).sqrt().max(1e-6)
        });
        let weights = match &self.fitted {
            Some(fitted) => fitted.weights.clone(),
            None => vec![0.0; N + 1],
        };
        let mut fitted = Fitted { means, widths, weights };
        let rows: Vec<(Vec<f64>, f64, f64)> = self
            .examples
            .iter()
            .map(|(figures, truth, weight)| (fitted.inputs(figures), f64::from(u8::from(*truth)), *weight))
            .collect();
        for _ in 0..STEPS {
            // Not positive definite only where figures are beyond all measure: what was known stays.
            let Some(step) = newton(&fitted.weights, &rows) else { return };
            fitted.weights.iter_mut().zip(&step).for_each(|(weight, step)| *weight -= step.clamp(-2.0, 2.0));
            if step.iter().all(|step| step.abs() < STILL) {
                break;
            }
        }
        self.fitted = Some(fitted);
    }
}

impl<const N: usize> Fitted<N> {
    /// At unit scale, and a 1 for the bias.
    fn inputs(&self, figures: &[f64; N]) -> Vec<f64> {
        let scaled = figures.iter().zip(&self.means).zip(&self.widths);
        scaled.map(|((figure, mean), width)| (figure - mean) / width).chain([1.0]).collect()
    }
}

fn newton(weights: &[f64], rows: &[(Vec<f64>, f64, f64)]) -> Option<Vec<f64>> {
    let mut diagonal = vec![RIDGE; weights.len()];
    let mut gradient: Vec<f64> = weights.iter().map(|weight| RIDGE * weight).collect();
    if let (Some(ridge), Some(slope)) = (diagonal.last_mut(), gradient.last_mut()) {
        (*ridge, *slope) = (1e-6, 0.0);
    }
    let mut hessian = Matrix::diagonal(&diagonal);
    for (inputs, truth, weight) in rows {
        let probability = sigmoid(dot(inputs, weights));
        hessian.add_outer(inputs, weight * (probability * (1.0 - probability)).max(1e-9));
        let error = weight * (probability - truth);
        gradient.iter_mut().zip(inputs).for_each(|(slope, input)| *slope += error * input);
    }
    Some(hessian.inverse()?.times(&gradient))
}

fn sigmoid(score: f64) -> f64 {
    (1.0 + (-score).exp()).recip()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn probabilities_come_to_be_those_of_the_world() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut model = Logistic::<3>::default();
        let truth = |figures: &[f64; 3]| sigmoid(3.0 * figures[0] - 2.0 * figures[1] - 1.0);
        let mut draw = || [0.0; 3].map(|_| random.f64() * 10.0 - 5.0);
        let figures: Vec<[f64; 3]> = (0..6_000).map(|_| draw()).collect();
        for (place, figures) in figures.iter().enumerate() {
            assert_eq!(model.probability(figures).is_some(), place >= LEAST);
            let coin = fastrand::Rng::with_seed(place as u64).f64();
            model.learn(*figures, coin < truth(figures), 1.0);
        }
        let far = figures.iter().map(|figures| {
            let found = model.probability(figures).unwrap_or_default();
            (found - truth(figures)).abs()
        });
        let mean = far.sum::<f64>() / figures.len() as f64;
        assert!(mean < 0.02, "{mean}");
    }

    proptest! {
        #[test]
        fn whatever_it_learns_it_says_a_probability(
            examples in proptest::collection::vec((proptest::array::uniform2(-1e9f64..1e9), any::<bool>(), 0.1f64..9.0), 64..90),
        ) {
            let mut model = Logistic::<2>::default();
            for (figures, truth, weight) in &examples {
                model.learn(*figures, *truth, *weight);
            }
            model.learn([f64::NAN, 0.0], true, 1.0);
            for (figures, ..) in &examples {
                let said = model.probability(figures);
                prop_assert!(said.is_none_or(|said| (0.0..=1.0).contains(&said)), "{said:?}");
            }
        }
    }
}
