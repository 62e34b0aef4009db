//! What a try is paid from: the purse of whoever asks, beside the model's own budgets.

use burnish_types::{Money, Price, Reservation, SharedPurse};

/// A purse that can't pay for an answer of so many tokens pays for none.
const SHORTEST_ANSWER: u32 = 16;

/// What a try costs at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Costs {
    /// For each million tokens.
    pub(crate) price: Price,
    /// More tokens than the prompt has.
    pub(crate) input_tokens: u64,
    /// The most tokens that the answer may have.
    pub(crate) output_tokens: u32,
}

impl Costs {
    /// With an answer of its full length.
    pub(crate) fn most(&self) -> Money {
        self.with_answer(self.output_tokens)
    }

    fn with_answer(&self, tokens: u32) -> Money {
        let Price { input, cached_input, output } = self.price;
        input.max(cached_input).for_tokens(self.input_tokens) + output.for_tokens(tokens.into())
    }

    /// How long an answer `amount` pays for, of the full length at most.
    fn answer_for(&self, amount: Money) -> u32 {
        let tokens = self.price.output.tokens_for(amount.saturating_sub(self.with_answer(0)));
        u32::try_from(tokens).unwrap_or(u32::MAX).min(self.output_tokens)
    }
}

/// What a purse has set aside for one try.
#[derive(Debug)]
pub(crate) struct Payment {
    purse: SharedPurse,
    reservation: Reservation,
    /// The most tokens of an answer that it pays for.
    pub(crate) output_tokens: u32,
}

impl Payment {
    /// Sets aside what a try costs at most; where the purse has less and the answer may be `shortened`, what there is.
    ///
    /// # Errors
    /// Which budget does not allow it.
    pub(crate) fn reserve(purse: &SharedPurse, costs: Costs, shortened: bool) -> Result<Self, String> {
        let shortest = if shortened { SHORTEST_ANSWER.min(costs.output_tokens) } else { costs.output_tokens };
        let reservation = purse.reserve(costs.with_answer(shortest), costs.most())?;
        let output_tokens = costs.answer_for(reservation.most);
        Ok(Self { purse: purse.clone(), reservation, output_tokens })
    }

    /// What is set aside.
    pub(crate) fn most(&self) -> Money {
        self.reservation.most
    }

    /// Pays what the try did cost, or all that was set aside where only the provider knows that.
    pub(crate) fn settle(&self, cost: Option<Money>) {
        self.purse.settle(self.reservation, cost.unwrap_or(self.reservation.most));
    }
}

#[cfg(test)]
mod tests {
    use burnish_types::Usage;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nothing_costs_more_than_was_set_aside(
            prices in (0_u64..3_000_000, 0_u64..3_000_000, 0_u64..3_000_000),
            tokens in (0_u64..5_000, 0_u32..5_000),
            used in (0_u64..5_000, 0_u64..5_000, 0_u64..5_000),
        ) {
            let (input, cached_input, output) = prices;
            let [input, cached_input, output] = [input, cached_input, output].map(Money::from_micros);
            let costs = Costs {
                price: Price { input, cached_input, output },
                input_tokens: tokens.0,
                output_tokens: tokens.1,
            };
            let usage = Usage {
                input_tokens: used.0.min(tokens.0),
                cached_input_tokens: used.1,
                output_tokens: used.2.min(tokens.1.into()),
            };
            prop_assert!(costs.price.of(usage) <= costs.most());
        }
    }

    #[test]
    fn an_answer_is_as_long_as_its_payment() {
        let micros = Money::from_micros;
        let price =
            Price { input: micros(1_000_000), cached_input: micros(2_000_000), output: micros(300_000) };
        let costs = Costs { price, input_tokens: 100, output_tokens: 1_000 };
        assert_eq!(costs.most(), micros(500));
        for (amount, tokens) in [(199, 0), (200, 0), (201, 3), (203, 10), (500, 1_000), (9_000, 1_000)] {
            assert_eq!(costs.answer_for(micros(amount)), tokens, "{amount}");
            assert!(tokens == 0 || costs.with_answer(tokens) <= micros(amount));
        }
        let free = Costs { price: Price { output: Money::ZERO, ..price }, ..costs };
        assert_eq!(free.answer_for(Money::ZERO), 1_000);
    }
}
