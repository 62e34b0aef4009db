//! What can be combined.

use serde::{Deserialize, Serialize};

/// What stands between the options of a combination in words.
pub(crate) const SEPARATOR: &str = " · ";

/// One thing that is decided, with its options.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// What is decided, such as `model`.
    pub name: String,
    /// What it may be.
    pub options: Vec<String>,
    /// Where each option stands on a scale on which more usually does more, or less, by degrees, such as a depth or the
    /// logarithm of a price; empty where they have no order. What is learned of one option then tells of those beside it.
    pub scale: Vec<f64>,
    /// The numbers of a request that tell how well its options do, by their places; the first, which is always 1, is taken
    /// anyway.
    pub places: Vec<usize>,
    /// The place of the option that is taken as long as nothing speaks against it.
    pub baseline: u16,
}

/// An option of each part, by its place.
pub type Combination = Vec<u16>;

/// All combinations of the options of some parts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Space {
    parts: Vec<Part>,
}

impl Space {
    /// The space over `parts`; those without an option are left out.
    pub fn new(parts: Vec<Part>) -> Self {
        Self { parts: parts.into_iter().filter(|part| !part.options.is_empty()).collect() }
    }

    /// The parts.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// How many combinations there are.
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.options.len()).product()
    }

    /// Whether nothing is to be decided.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The combination at a place: the last part's options change fastest.
    pub fn at(&self, place: usize) -> Combination {
        let mut combination = vec![0; self.parts.len()];
        self.options_at(place).for_each(|(part, option)| combination[part] = option);
        combination
    }

    /// The option of each part at a place, the last part first, with the part's place.
    pub(crate) fn options_at(&self, mut place: usize) -> impl Iterator<Item = (usize, u16)> + '_ {
        self.parts.iter().enumerate().rev().map(move |(part, known)| {
            let option = place % known.options.len();
            place /= known.options.len();
            (part, option as u16)
        })
    }

    /// The place of a combination.
    pub fn place(&self, combination: &[u16]) -> usize {
        let steps = combination.iter().zip(&self.parts);
        steps.fold(0, |place, (option, part)| place * part.options.len() + usize::from(*option))
    }

    /// The combination with the same option of the first part, and the baseline of all others.
    pub fn plain(&self, first: u16) -> Combination {
        std::iter::once(first).chain(self.parts.iter().skip(1).map(|part| part.baseline)).collect()
    }

    /// Whether nothing is to be decided but the first part.
    pub fn has_one_part(&self) -> bool {
        self.parts.iter().skip(1).all(|part| part.options.len() == 1)
    }

    /// Whether there is such a combination.
    pub(crate) fn holds(&self, combination: &[u16]) -> bool {
        combination.len() == self.parts.len()
            && combination
                .iter()
                .zip(&self.parts)
                .all(|(option, part)| usize::from(*option) < part.options.len())
    }

    /// A combination in words, such as `hybrid · 5 passages · large`; what could not have been otherwise is not said.
    pub fn describe(&self, combination: &[u16]) -> String {
        let options = combination.iter().zip(&self.parts).enumerate();
        let options = options.filter(|(place, (_, part))| *place == 0 || part.options.len() > 1);
        let options = options.map(|(_, option)| option);
        let names = options.filter_map(|(option, part)| part.options.get(usize::from(*option)));
        names.map(String::as_str).collect::<Vec<_>>().join(SEPARATOR)
    }

    /// Hands the sum over each combination to `take`, in the order of places: of what its options are worth, and what each
    /// pair of them is.
    pub(crate) fn sums(&self, singles: &[Vec<f64>], pairs: &[Vec<f64>], mut take: impl FnMut(usize, f64)) {
        let mut chosen = Vec::with_capacity(self.parts.len());
        let mut place = 0;
        self.descend(singles, pairs, 0.0, &mut chosen, &mut |sum| {
            take(place, sum);
            place += 1;
        });
    }

    /// What a part adds depends on the parts before it alone, so that combinations with the same beginning share its sum.
    fn descend(
        &self,
        singles: &[Vec<f64>],
        pairs: &[Vec<f64>],
        sum: f64,
        chosen: &mut Vec<usize>,
        take: &mut impl FnMut(f64),
    ) {
        let depth = chosen.len();
        let Some(part) = self.parts.get(depth) else { return take(sum) };
        let options = part.options.len();
        // What each option adds to what was chosen before.
        let mut added = singles[depth].clone();
        for (before, option) in chosen.iter().enumerate() {
            let row = &pairs[pair(before, depth)][option * options..][..options];
            added.iter_mut().zip(row).for_each(|(added, pair)| *added += pair);
        }
        if depth + 1 == self.parts.len() {
            added.into_iter().for_each(|added| take(sum + added));
            return;
        }
        for (option, added) in added.into_iter().enumerate() {
            chosen.push(option);
            self.descend(singles, pairs, sum + added, chosen, take);
            chosen.pop();
        }
    }
}

/// The place of a pair of parts, the first before the second, among all pairs.
pub(crate) fn pair(first: usize, second: usize) -> usize {
    second * (second - 1) / 2 + first
}
