//! Notices that an option does not do any more what it did.

use serde::{Deserialize, Serialize};

/// Outcomes of an option that are looked at, the latest ones.
const WINDOW: usize = 40;
/// Fewer say nothing.
const LEAST: usize = 8;
/// How many standard deviations the sum of the latest errors must lie from 0. Of so many looks nearly none does by chance.
const ALARM: f64 = 4.0;

/// The latest errors of each option.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Change {
    errors: Vec<Vec<Vec<f64>>>,
}

impl Change {
    pub(crate) fn new(options: impl Iterator<Item = usize>) -> Self {
        Self { errors: options.map(|options| vec![Vec::new(); options]).collect() }
    }

    /// Takes an error in deviations in, and says which options of the combination have changed: of those whose latest errors
    /// add up to more than chance would, the one that speaks most for it.
    pub(crate) fn observe(&mut self, combination: &[u16], error: f64) -> Option<(usize, u16)> {
        let mut alarm: Option<(f64, usize, u16)> = None;
        for (part, option) in combination.iter().enumerate() {
            let Some(errors) = self.errors.get_mut(part).and_then(|part| part.get_mut(usize::from(*option)))
            else {
                continue;
            };
            if errors.len() == WINDOW {
                errors.remove(0);
            }
            errors.push(error);
            let (mut sum, mut worst) = (0.0, 0.0_f64);
            for (count, error) in errors.iter().rev().enumerate() {
                sum += error;
                if count + 1 >= LEAST {
                    worst = worst.max(f64::abs(sum) / ((count + 1) as f64).sqrt());
                }
            }
            if worst > ALARM && alarm.is_none_or(|(most, ..)| worst > most) {
                alarm = Some((worst, part, *option));
            }
        }
        let (_, part, option) = alarm?;
        // What every option of a combination has seen belongs to the one that changed.
        for part in &mut self.errors {
            part.iter_mut().for_each(Vec::clear);
        }
        Some((part, option))
    }
}
