//! What can be combined.

/// One thing that is decided, with its options.
#[derive(Clone, Debug, PartialEq)]
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
}

/// An option of each part, by its place.
pub type Combination = Vec<u16>;

/// All combinations of the options of some parts.
#[derive(Clone, Debug, PartialEq)]
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
    pub fn at(&self, mut place: usize) -> Combination {
        let mut combination = vec![0; self.parts.len()];
        for (option, part) in combination.iter_mut().zip(&self.parts).rev() {
            *option = (place % part.options.len()) as u16;
            place /= part.options.len();
        }
        combination
    }

    /// The place of a combination.
    pub fn place(&self, combination: &[u16]) -> usize {
        let steps = combination.iter().zip(&self.parts);
        steps.fold(0, |place, (option, part)| place * part.options.len() + usize::from(*option))
    }

    /// A combination in words, such as `hybrid · 5 · large`.
    pub fn describe(&self, combination: &[u16]) -> String {
        let options = combination.iter().zip(&self.parts);
        let names = options.filter_map(|(option, part)| part.options.get(usize::from(*option)));
        names.map(String::as_str).collect::<Vec<_>>().join(" · ")
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
