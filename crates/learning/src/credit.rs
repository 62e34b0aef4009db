//! Which part of a prompt deserves the credit: quality as the sum of what its blocks, pairs of them, and the kind of
//! request add, believed as far as outcomes bear it out.

mod best;
mod insights;
mod regression;

use serde::{Deserialize, Serialize};

pub use best::{Best, Goal};
pub use insights::{Effect, Insight};
use regression::{Layout, Regression};

/// Before the first outcome, the variance of a quality around what is expected of it, and its mean.
const NOISE: f64 = 0.2;
const LEVEL: f64 = 0.5;

/// A place in a prompt and the texts that may stand there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slot {
    /// What it is called, such as `format`.
    pub name: String,
    /// The texts to choose from, at least one.
    pub options: Vec<Block>,
    /// The place of the option that the others are compared with.
    pub reference: u16,
}

/// One text of a slot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Block {
    /// What it is called.
    pub name: String,
    /// How long it is; 0 for none.
    pub tokens: f64,
}

/// What came of one answer, or of several with the same blocks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The place of the option of each slot.
    pub options: Vec<u16>,
    /// The place of the label of the request, among those that the model is fitted with.
    pub context: u16,
    /// In [0, 1].
    pub quality: f64,
    /// How many answers it counts as.
    pub weight: f64,
    /// Tokens that were generated.
    pub output_tokens: Option<f64>,
}

/// A Bayesian linear regression of quality, and of generated tokens, on blocks, pairs of blocks of different slots, and
/// kind of request by block.
///
/// The coefficients of each of these groups are believed to be normal around 0 with one deviation, chosen from a small
/// grid by the likelihood of what was seen (empirical Bayes), so that pairs are believed in where they matter and not
/// elsewhere. Everything else is closed-form. A coefficient of which nothing was seen keeps its prior.
#[derive(Clone, Debug)]
pub struct Credit {
    slots: Vec<Slot>,
    contexts: Vec<String>,
    layout: Layout,
    quality: Regression,
    output_tokens: Option<Regression>,
    /// How often each option was used, and each label seen, with one more so that none is nothing.
    used: Vec<Vec<f64>>,
    met: Vec<f64>,
}

/// What is expected, and the deviation of what is not known of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// The posterior's mean.
    pub mean: f64,
    /// The posterior's standard deviation; chance in single outcomes is not in it.
    pub deviation: f64,
}

/// One way that things may be, as likely as it is by what is known.
#[derive(Clone, Debug)]
pub struct Draw {
    coefficients: Vec<f64>,
}

impl Credit {
    /// Fits the model. Rows whose options, label, quality or weight cannot be are left out. Without contexts, all
    /// requests are alike.
    pub fn fit(slots: &[Slot], contexts: &[String], rows: &[Row]) -> Self {
        let layout = Layout::new(slots.iter().map(|slot| slot.options.len()).collect(), contexts.len());
        let usable = |row: &&Row| {
            layout.holds(&row.options, row.context)
                && (0.0..=1.0).contains(&row.quality)
                && row.weight > 0.0
                && row.weight.is_finite()
        };
        let rows: Vec<&Row> = rows.iter().filter(usable).collect();
        let mut used: Vec<Vec<f64>> = slots.iter().map(|slot| vec![1.0; slot.options.len()]).collect();
        let mut met = vec![1.0; contexts.len().max(1)];
        for row in &rows {
            for (used, option) in used.iter_mut().zip(&row.options) {
                used[usize::from(*option)] += row.weight;
            }
            met[usize::from(row.context)] += row.weight;
        }
        used.iter_mut().chain([&mut met]).for_each(|shares| normalise(shares));
        let quality = rows.iter().map(|row| (row.options.as_slice(), row.context, row.quality, row.weight));
        let quality = Regression::fit(&layout, quality.collect(), LEVEL, NOISE, true);
        let tokens: Vec<_> = rows
            .iter()
            .filter_map(|row| Some((row, row.output_tokens.filter(|tokens| tokens.is_finite())?)))
            .map(|(row, tokens)| (row.options.as_slice(), row.context, tokens, row.weight))
            .collect();
        let output_tokens = (tokens.len() > 1).then(|| {
            let weight: f64 = tokens.iter().map(|(.., weight)| weight).sum();
            let mean = tokens.iter().map(|(.., tokens, weight)| tokens * weight).sum::<f64>() / weight;
            let squares = tokens.iter().map(|(.., tokens, weight)| weight * (tokens - mean).powi(2));
            Regression::fit(&layout, tokens.clone(), mean, (squares.sum::<f64>() / weight).max(1.0), false)
        });
        Self { slots: slots.to_vec(), contexts: contexts.to_vec(), layout, quality, output_tokens, used, met }
    }

    /// The slots that it was fitted with.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The labels that it was fitted with.
    pub fn contexts(&self) -> &[String] {
        &self.contexts
    }

    /// The quality that a combination is expected to have for requests with that label, or over all of them as they
    /// were met, with the deviation of what is not known. `None` for options or labels that there are not.
    pub fn estimate(&self, options: &[u16], context: Option<u16>) -> Option<Estimate> {
        let row = self.row(options, context)?;
        Some(Estimate { mean: self.quality.mean(&row), deviation: self.quality.variance(&row).sqrt() })
    }

    /// The tokens that a combination is expected to have generated; `None` also where no counts are known.
    pub fn output_tokens(&self, options: &[u16], context: Option<u16>) -> Option<Estimate> {
        let row = self.row(options, context)?;
        let tokens = self.output_tokens.as_ref()?;
        Some(Estimate { mean: tokens.mean(&row), deviation: tokens.variance(&row).sqrt() })
    }

    /// By how much the quality of `one` is expected to exceed that of `other`, and how uncertain that is.
    pub fn difference(&self, one: &[u16], other: &[u16], context: Option<u16>) -> Option<Estimate> {
        let mut row = self.row(one, context)?;
        row.extend(self.row(other, context)?.into_iter().map(|(place, value)| (place, -value)));
        let row = regression::gathered(row);
        Some(Estimate { mean: self.quality.mean(&row), deviation: self.quality.variance(&row).sqrt() })
    }

    /// Draws all coefficients at once from what is known of them.
    pub fn draw(&self, random: &mut fastrand::Rng) -> Draw {
        Draw { coefficients: self.quality.draw(random) }
    }

    /// The quality of a combination by what is expected or, with a draw, as things may be.
    pub fn quality(&self, draw: Option<&Draw>, options: &[u16], context: Option<u16>) -> Option<f64> {
        let row = self.row(options, context)?;
        Some(match draw {
            None => self.quality.mean(&row),
            Some(draw) => {
                let sum = row.iter().map(|(place, value)| value * draw.coefficients[*place]).sum::<f64>();
                self.quality.level() + sum
            }
        })
    }

    /// The tokens of a combination's blocks.
    pub fn length(&self, options: &[u16]) -> f64 {
        length(&self.slots, options)
    }

    /// How large the coefficients of blocks, of pairs, and of kinds of request by block are believed to be.
    pub fn scales(&self) -> [f64; 3] {
        self.quality.scales()
    }

    fn row(&self, options: &[u16], context: Option<u16>) -> Option<Vec<(usize, f64)>> {
        if !self.layout.holds(options, context.unwrap_or_default()) {
            return None;
        }
        Some(match context {
            Some(context) => self.layout.row(options, &[(context, 1.0)]),
            None => {
                let shares: Vec<(u16, f64)> =
                    self.met.iter().enumerate().map(|(place, share)| (place as u16, *share)).collect();
                self.layout.row(options, &shares)
            }
        })
    }
}

/// The tokens of the blocks of a combination.
pub fn length(slots: &[Slot], options: &[u16]) -> f64 {
    let blocks =
        slots.iter().zip(options).filter_map(|(slot, option)| slot.options.get(usize::from(*option)));
    blocks.map(|block| block.tokens).sum()
}

fn normalise(shares: &mut [f64]) {
    let sum: f64 = shares.iter().sum();
    shares.iter_mut().for_each(|share| *share /= sum);
}

#[cfg(test)]
mod tests;
