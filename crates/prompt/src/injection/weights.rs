//! The weights that were learned, as `weights.txt` has them: `kind name [name] weight`, one a line.

use std::ops::Range;
use std::sync::LazyLock;

use super::features::{Feature, TOPICS, scale, visit};
use super::lexicon::{ByKey, LEXICON, key};
use super::reading::Reading;

/// The weights that are compiled in.
pub(super) static WEIGHTS: LazyLock<Weights> = LazyLock::new(|| Weights::parse(include_str!("weights.txt")));

/// Weights of a logistic regression.
pub(super) struct Weights {
    bias: f32,
    /// The probability above which a window is suspicious.
    pub(super) threshold: f64,
    words: ByKey<f32>,
    opening: Vec<f32>,
    about: Vec<f32>,
    /// The weight of two topics stands at the first times `TOPICS` plus the second.
    together: Vec<f32>,
    near: Vec<f32>,
    acts: Vec<f32>,
}

/// Where the weight of a topic stands, or of two.
fn slot<'a>(weights: &'a mut [f32], first: &str, second: Option<&str>) -> Option<&'a mut f32> {
    let place = |name: &str| LEXICON.names.iter().position(|known| known == name);
    let first = place(first)?;
    let slot = match second {
        Some(second) => first * TOPICS + place(second)?,
        None => first,
    };
    weights.get_mut(slot)
}

impl Weights {
    /// Lines that cannot be read weigh nothing.
    pub(super) fn parse(text: &str) -> Self {
        let none = |count: usize| vec![0.0; count];
        let mut weights = Self {
            bias: 0.0,
            threshold: 0.5,
            words: ByKey::default(),
            opening: none(TOPICS),
            about: none(TOPICS),
            together: none(TOPICS * TOPICS),
            near: none(TOPICS * TOPICS),
            acts: none(TOPICS * TOPICS),
        };
        for line in text.lines() {
            let Some((name, weight)) = line.rsplit_once(' ') else { continue };
            let Ok(weight) = weight.parse::<f32>() else { continue };
            let slot = match name.split(' ').collect::<Vec<_>>()[..] {
                ["bias"] => Some(&mut weights.bias),
                ["threshold"] => {
                    weights.threshold = f64::from(weight);
                    None
                }
                ["words", words] => Some(weights.words.entry(key(words)).or_default()),
                ["opening", only] => slot(&mut weights.opening, only, None),
                ["about", only] => slot(&mut weights.about, only, None),
                ["acts", first, second] => slot(&mut weights.acts, first, Some(second)),
                ["together", first, second] => slot(&mut weights.together, first, Some(second)),
                ["near", first, second] => slot(&mut weights.near, first, Some(second)),
                _ => None,
            };
            if let Some(slot) = slot {
                *slot = weight;
            }
        }
        weights
    }

    /// How much a feature speaks for an instruction.
    fn weight(&self, feature: Feature) -> f32 {
        let of = |weights: &[f32], place: usize| weights.get(place).copied().unwrap_or_default();
        match feature {
            Feature::Words { key, .. } => self.words.get(&key).copied().unwrap_or_default(),
            Feature::Opening(topic) => of(&self.opening, topic),
            Feature::About(topic) => of(&self.about, topic),
            Feature::Together(first, second) => of(&self.together, first * TOPICS + second),
            Feature::Acts(first, second) => of(&self.acts, first * TOPICS + second),
            Feature::Near(first, second) => of(&self.near, first * TOPICS + second),
        }
    }

    /// The probability that a window of sentences instructs the model, from 0 to 1.
    pub(super) fn probability(&self, reading: &Reading, window: &Range<usize>) -> f64 {
        let (mut sum, mut count) = (0.0, 0.0);
        visit(reading, window, |feature| {
            sum += self.weight(feature);
            count += 1.0;
        });
        1.0 / (1.0 + f64::from(-(self.bias + sum * scale(count))).exp())
    }
}
