//! The best combination by what is expected, or as things may be.

use serde::{Deserialize, Serialize};

use super::{Credit, Draw};

/// So many combinations are looked at one by one; beyond, one slot is changed after the other.
const EXACT: usize = 20_000;
const STARTS: usize = 12;

/// What is looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Goal {
    /// The label of the requests; `None` for all as they were met.
    pub context: Option<u16>,
    /// How much quality a token of the prompt has to bring.
    pub length_price: f64,
}

/// A combination and what speaks for it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Best {
    /// The place of the option of each slot.
    pub options: Vec<u16>,
    /// Quality less what its length costs.
    pub value: f64,
    /// Whether all combinations were looked at.
    pub exact: bool,
}

/// What each block and pair is worth for one goal.
struct Worth {
    singles: Vec<Vec<f64>>,
    /// By the second slot and then the first; a row is an option of the second.
    pairs: Vec<Vec<Vec<f64>>>,
    base: f64,
}

impl Credit {
    /// The best combination by what is expected or, with a draw, as things may be; the first of equals.
    /// `allowed` says of a slot and option whether it may be used; where no option of a slot may, all may.
    pub fn best(&self, goal: Goal, draw: Option<&Draw>, allowed: &dyn Fn(usize, u16) -> bool) -> Best {
        let worth = self.worth(goal, draw);
        let choices: Vec<Vec<u16>> = (self.slots.iter().enumerate())
            .map(|(slot, known)| {
                let all = 0..known.options.len() as u16;
                let some: Vec<u16> = all.clone().filter(|option| allowed(slot, *option)).collect();
                if some.is_empty() { all.collect() } else { some }
            })
            .collect();
        let combinations =
            choices.iter().try_fold(1usize, |product, options| product.checked_mul(options.len()));
        let exact = combinations.is_some_and(|combinations| combinations <= EXACT);
        let (options, value) = if exact { worth.exact(&choices) } else { worth.ascent(&choices) };
        Best { options, value, exact }
    }

    fn worth(&self, goal: Goal, draw: Option<&Draw>) -> Worth {
        let (layout, known) = (&self.layout, self.quality.known_mean());
        let of = |place: usize| draw.map_or_else(|| known(place), |draw| draw.coefficients[place]);
        let shares: Vec<(u16, f64)> =
            match goal.context.filter(|context| usize::from(*context) < self.met.len()) {
                Some(context) => vec![(context, 1.0)],
                None => self.met.iter().enumerate().map(|(place, share)| (place as u16, *share)).collect(),
            };
        let single = |slot: usize, option: u16, tokens: f64| {
            let of_contexts = shares.iter().filter_map(|(context, share)| {
                layout.context_block(*context, slot, option).map(|place| share * of(place))
            });
            of(layout.block(slot, option)) + of_contexts.sum::<f64>() - goal.length_price * tokens
        };
        let singles = (self.slots.iter().enumerate())
            .map(|(slot, known)| {
                let options = known.options.iter().enumerate();
                options.map(|(option, block)| single(slot, option as u16, block.tokens)).collect()
            })
            .collect();
        let count = |slot: usize| self.slots[slot].options.len() as u16;
        let pairs = (0..self.slots.len())
            .map(|second| {
                (0..second)
                    .map(|first| {
                        (0..count(second))
                            .flat_map(|other| (0..count(first)).map(move |one| (one, other)))
                            .map(|(one, other)| of(layout.pair((first, one), (second, other))))
                            .collect()
                    })
                    .collect()
            })
            .collect();
        let of_contexts = shares.iter().map(|(context, share)| share * of(1 + usize::from(*context)));
        let contexts = if self.contexts.len() > 1 { of_contexts.sum() } else { 0.0 };
        Worth { singles, pairs, base: self.quality.level() + of(0) + contexts }
    }
}

impl Worth {
    /// What an option adds to those of the slots before it.
    fn added(&self, before: &[u16], option: u16) -> f64 {
        let slot = before.len();
        let pairs = before.iter().enumerate().map(|(first, one)| self.pair(first, *one, slot, option));
        self.singles[slot][usize::from(option)] + pairs.sum::<f64>()
    }

    fn pair(&self, first: usize, one: u16, second: usize, other: u16) -> f64 {
        let options = self.singles[first].len();
        self.pairs[second][first][usize::from(other) * options + usize::from(one)]
    }

    fn exact(&self, choices: &[Vec<u16>]) -> (Vec<u16>, f64) {
        let (mut before, mut best) = (Vec::with_capacity(choices.len()), (Vec::new(), f64::NEG_INFINITY));
        self.visit(choices, &mut before, self.base, &mut best);
        best
    }

    fn visit(&self, choices: &[Vec<u16>], before: &mut Vec<u16>, value: f64, best: &mut (Vec<u16>, f64)) {
        let Some(options) = choices.get(before.len()) else {
            if value > best.1 {
                *best = (before.clone(), value);
            }
            return;
        };
        for option in options {
            let value = value + self.added(before, *option);
            before.push(*option);
            self.visit(choices, before, value, best);
            before.pop();
        }
    }

    /// From several starts, changes the slot that gains most until none gains.
    fn ascent(&self, choices: &[Vec<u16>]) -> (Vec<u16>, f64) {
        let mut best = (Vec::new(), f64::NEG_INFINITY);
        for start in 0..STARTS {
            // The first start is what is best block by block; the others are spread over all options.
            let mut options: Vec<u16> = (choices.iter().enumerate())
                .map(|(slot, choices)| match start {
                    0 => self.best_single(slot, choices),
                    _ => choices[(start * (2 * slot + 3) + slot) % choices.len()],
                })
                .collect();
            let mut value = self.of(&options);
            while let Some((slot, option, better)) = self.best_change(choices, &mut options, value) {
                options[slot] = option;
                value = better;
            }
            if value > best.1 {
                best = (options, value);
            }
        }
        best
    }

    fn best_change(
        &self,
        choices: &[Vec<u16>],
        options: &mut [u16],
        value: f64,
    ) -> Option<(usize, u16, f64)> {
        let mut best: Option<(usize, u16, f64)> = None;
        for (slot, choices) in choices.iter().enumerate() {
            let before = options[slot];
            for option in choices {
                options[slot] = *option;
                let tried = self.of(options);
                if tried > best.map_or(value + 1e-12, |best| best.2) {
                    best = Some((slot, *option, tried));
                }
            }
            options[slot] = before;
        }
        best
    }

    fn best_single(&self, slot: usize, choices: &[u16]) -> u16 {
        let worth = |option: &u16| self.singles[slot][usize::from(*option)];
        choices.iter().copied().max_by(|one, other| worth(one).total_cmp(&worth(other))).unwrap_or_default()
    }

    fn of(&self, options: &[u16]) -> f64 {
        let added = |slot: usize| self.added(&options[..slot], options[slot]);
        self.base + (0..options.len()).map(added).sum::<f64>()
    }
}
