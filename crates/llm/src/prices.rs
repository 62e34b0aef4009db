//! What tokens cost: list prices of a few well-known models, as examples with their date. Settings win over them, and
//! what neither knows has no price.

use std::collections::BTreeMap;

use burnish_types::Price;
use serde::Deserialize;

#[derive(Deserialize)]
struct Table {
    models: BTreeMap<String, Price>,
}

fn table() -> Option<Table> {
    serde_json::from_str(include_str!("prices.json")).ok()
}

/// The list price of a model by its provider's name, that of a gateway's `provider/` before it left out.
#[must_use]
pub fn known_price(model: &str) -> Option<Price> {
    let name = model.rsplit('/').next().unwrap_or(model);
    table()?.models.get(name).copied()
}

#[cfg(test)]
mod tests {
    use burnish_types::{Money, Usage};

    use super::*;

    #[test]
    fn the_table_can_be_read_and_prices_are_exact() {
        let models = table().unwrap().models;
        assert!(models.len() >= 8 && models.values().all(|price| price.cached_input <= price.input));
        let price = known_price("openai/gpt-4o-mini").unwrap();
        let usage = Usage { input_tokens: 1_001, cached_input_tokens: 1, output_tokens: 10 };
        // 1,000 × 0.15 + 1 × 0.075, rounded up, + 10 × 0.6 micro-dollars.
        assert_eq!(price.of(usage), Money::from_micros(150 + 1 + 6));
        assert_eq!(known_price("nobody-knows-this"), None);
    }
}
