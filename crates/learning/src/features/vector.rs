//! Features as a fixed vector of scaled numbers, which linear policies learn on.

use burnish_types::QueryFeatures;

use super::feature_value;

/// 33 numbers within [-3, 3], the first always 1.
///
/// Each is `(shape(value) - centre) / scale` of one feature, clipped, where the scale is fixed and documented:
/// the vector of a query never depends on other queries, so states learned at different times add up. A feature
/// that is missing stands at its neutral value; those of stage two are then exactly 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FeatureVector([f64; FeatureVector::LENGTH]);

#[derive(Clone, Copy)]
enum Shape {
    /// As it is.
    Plain,
    /// `ln(1 + x)`, for counts and lengths.
    Log,
    /// `max(0, 1 - x / 0.08)²`, for a margin: 1 where there is none, 0 from where there is no doubt.
    Doubt,
}

use Shape::{Doubt, Log, Plain};

/// A margin of the fused ranking from which its first place is not in doubt (`docs/measurements.md`).
const SURE_MARGIN: f64 = 0.08;

/// Name, shape, centre and scale, after the bias. The centre is of the shaped value. Those of idf and of the lists are
/// about the mean and the deviation over questions of SciFact and BeerQA.
const SCALES: [(&str, Shape, f64, f64); FeatureVector::LENGTH - 1] = [
    ("words", Log, 2.3, 0.6),
    ("entities", Log, 0.7, 0.5),
    ("numbers", Log, 0.0, 0.7),
    ("quotes", Log, 0.0, 0.7),
    ("code", Plain, 0.0, 1.0),
    ("identifiers", Log, 0.0, 0.7),
    ("wh_none", Plain, 0.0, 1.0),
    ("yes_no", Plain, 0.0, 1.0),
    ("nesting", Log, 0.0, 0.7),
    ("idf_max", Plain, 7.5, 1.5),
    ("idf_mean", Plain, 3.5, 0.8),
    ("idf_deviation", Plain, 2.3, 0.6),
    ("turns", Log, 0.0, 1.0),
    ("open_pronouns", Log, 0.0, 0.7),
    ("english", Plain, 0.5, 0.5),
    ("expertise", Plain, 0.5, 0.25),
    ("type_definition", Plain, 0.125, 0.3),
    ("type_comparison", Plain, 0.125, 0.3),
    ("type_procedure", Plain, 0.125, 0.3),
    ("type_aggregation", Plain, 0.125, 0.3),
    ("type_lookup", Plain, 0.125, 0.3),
    ("type_conversation", Plain, 0.125, 0.3),
    ("complexity", Plain, 0.25, 0.25),
    ("lists", Plain, 0.0, 1.0),
    ("lexical_margin", Plain, 0.25, 0.2),
    ("lexical_nqc", Plain, 0.09, 0.04),
    ("dense_top", Plain, 0.6, 0.15),
    ("dense_margin", Plain, 0.1, 0.1),
    ("dense_nqc", Plain, 0.065, 0.02),
    ("overlap_10", Plain, 0.4, 0.2),
    ("top_cross_rank", Plain, 0.4, 0.4),
    ("fused_margin", Doubt, 0.0, 1.0),
];

impl FeatureVector {
    /// How many numbers there are.
    pub const LENGTH: usize = 33;

    /// The version of the list and of its scales; what was learned under another one does not fit.
    pub const VERSION: u32 = 1;

    /// What each number is of; the first is the bias.
    pub const NAMES: [&'static str; Self::LENGTH] = names();

    /// The vector of `features`, whatever their version.
    pub fn new(features: &QueryFeatures) -> Self {
        let mut numbers = [1.0; Self::LENGTH];
        for (number, (name, shape, centre, scale)) in numbers.iter_mut().skip(1).zip(SCALES) {
            let value = feature_value(features, name);
            let shaped = match shape {
                Plain => value,
                Log => value.max(0.0).ln_1p(),
                Doubt => (1.0 - value.max(0.0) / SURE_MARGIN).max(0.0).powi(2),
            };
            *number = ((shaped - centre) / scale).clamp(-3.0, 3.0);
        }
        Self(numbers)
    }

    /// The numbers, in the order of [`Self::NAMES`].
    pub fn as_slice(&self) -> &[f64] {
        &self.0
    }

    /// The numbers in a vector of their own.
    pub fn to_vec(&self) -> Vec<f64> {
        self.0.to_vec()
    }
}

const fn names() -> [&'static str; FeatureVector::LENGTH] {
    let mut names = ["bias"; FeatureVector::LENGTH];
    let mut place = 1;
    while place < FeatureVector::LENGTH {
        names[place] = SCALES[place - 1].0;
        place += 1;
    }
    names
}
