//! Money as whole micro-units, so that sums are exact.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

/// An amount in millionths of a US dollar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Money {
    micros: u64,
}

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self { micros: 0 };

    /// An amount of `micros` millionths of a dollar.
    pub const fn from_micros(micros: u64) -> Self {
        Self { micros }
    }

    /// Whether it is nothing.
    pub const fn is_zero(&self) -> bool {
        self.micros == 0
    }

    /// The amount in millionths of a dollar.
    pub const fn micros(self) -> u64 {
        self.micros
    }

    /// What is left after `other`, nothing at least.
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self { micros: self.micros.saturating_sub(other.micros) }
    }

    /// What `tokens` cost at `self` for a million of them, rounded up.
    pub const fn for_tokens(self, tokens: u64) -> Self {
        let micros = (self.micros as u128 * tokens as u128).div_ceil(1_000_000);
        Self { micros: if micros > u64::MAX as u128 { u64::MAX } else { micros as u64 } }
    }

    /// How many tokens `amount` pays for at `self` for a million of them; without end where they are free.
    pub const fn tokens_for(self, amount: Self) -> u64 {
        if self.micros == 0 {
            return u64::MAX;
        }
        let tokens = amount.micros as u128 * 1_000_000 / self.micros as u128;
        if tokens > u64::MAX as u128 { u64::MAX } else { tokens as u64 }
    }
}

impl Add for Money {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { micros: self.micros.saturating_add(other.micros) }
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${}.{:06}", self.micros / 1_000_000, self.micros % 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_priced_upwards_and_exactly() {
        let price = Money::from_micros(150_000);
        for (tokens, micros) in [(0, 0), (1, 1), (1_000_000, 150_000), (10_000_001, 1_500_001)] {
            assert_eq!(price.for_tokens(tokens), Money::from_micros(micros));
        }
        assert_eq!(price.to_string(), "$0.150000");
        for (micros, tokens) in [(0, 0), (1, 6), (150_000, 1_000_000), (150_001, 1_000_006)] {
            let amount = Money::from_micros(micros);
            assert_eq!(price.tokens_for(amount), tokens);
            assert!(price.for_tokens(tokens) <= amount && price.for_tokens(tokens + 1) > amount);
        }
        assert_eq!(Money::ZERO.tokens_for(Money::ZERO), u64::MAX);
    }
}
