//! What finding passages and asking models takes, as running means.

use std::collections::BTreeMap;

use burnish_learning::selection;
use burnish_types::{Money, PromptPlan, Strategy};
use serde::{Deserialize, Serialize};

/// A request's expense counts as much as this share of all before it, so that the mean follows the machine.
const STEP: f64 = 0.05;
/// What a model is taken to need before it was asked.
const BELIEVED: Use = Use { latency_ms: 2_000.0, input_ratio: 1.0, output_tokens: 250.0 };
/// So many times as much as was expected of a prompt is another thing than a prompt.
const MOST_RATIO: f64 = 20.0;
/// So many prompts are told apart.
const MOST_PROMPTS: usize = 1_000;

/// What each strategy and each model takes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Expenses {
    strategies: BTreeMap<Strategy, Expense>,
    models: BTreeMap<String, Use>,
    /// How long answers to a prompt are, beside those to all prompts, by template and operations.
    #[serde(default)]
    prompts: BTreeMap<String, f64>,
}

/// What something takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Expense {
    pub(crate) latency_ms: f64,
    /// Of the language models that are asked; infinite where money is counted and no price is known.
    pub(crate) cost_usd: f64,
}

impl Expense {
    pub(crate) fn new(latency_ms: f64, cost: Money) -> Self {
        Self { latency_ms, cost_usd: cost.micros() as f64 / 1e6 }
    }

    /// In whole micro-units, rounded up; nothing where that is not known.
    pub(crate) fn cost(&self) -> Money {
        let known = self.cost_usd.is_finite();
        Money::from_micros(if known { (self.cost_usd * 1e6).ceil() as u64 } else { 0 })
    }
}

/// What an answer of a model takes. Prices are not among it, so that a change of them counts at once.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Use {
    pub(crate) latency_ms: f64,
    /// Tokens of the prompt, against those that were expected.
    pub(crate) input_ratio: f64,
    pub(crate) output_tokens: f64,
}

impl Expenses {
    pub(crate) fn of(&self, strategy: &Strategy) -> Expense {
        let believed = || Expense::new(selection::believed_latency_ms(strategy.as_str()), Money::ZERO);
        self.strategies.get(strategy).copied().unwrap_or_else(believed)
    }

    pub(crate) fn of_model(&self, name: &str) -> Use {
        self.models.get(name).copied().unwrap_or(BELIEVED)
    }

    /// How long answers to a prompt are, beside those to all.
    pub(crate) fn of_prompt(&self, prompt: &PromptPlan) -> f64 {
        self.prompts.get(&key(prompt)).copied().unwrap_or(1.0)
    }

    /// Takes in how long an answer of a model to a prompt was. To be asked before that moves the model's own mean.
    pub(crate) fn observe_prompt(&mut self, prompt: &PromptPlan, model: &str, output_tokens: f64) {
        let ratio = output_tokens / self.of_model(model).output_tokens.max(1.0);
        if !ratio.is_finite()
            || self.prompts.len() >= MOST_PROMPTS && !self.prompts.contains_key(&key(prompt))
        {
            return;
        }
        let mean = self.prompts.entry(key(prompt)).or_insert(1.0);
        *mean += STEP * (ratio.clamp(MOST_RATIO.recip(), MOST_RATIO) - *mean);
    }

    pub(crate) fn observe(&mut self, strategy: &Strategy, expense: Expense) {
        let mean = self.strategies.entry(strategy.clone()).or_insert(expense);
        mean.latency_ms += STEP * (expense.latency_ms - mean.latency_ms);
        mean.cost_usd += STEP * (expense.cost_usd - mean.cost_usd);
    }

    pub(crate) fn observe_model(&mut self, name: &str, used: Use) {
        if ![used.latency_ms, used.input_ratio, used.output_tokens].iter().all(|value| value.is_finite()) {
            return;
        }
        let used = Use { input_ratio: used.input_ratio.clamp(MOST_RATIO.recip(), MOST_RATIO), ..used };
        let mean = self.models.entry(name.to_owned()).or_insert(used);
        mean.latency_ms += STEP * (used.latency_ms - mean.latency_ms);
        mean.input_ratio += STEP * (used.input_ratio - mean.input_ratio);
        mean.output_tokens += STEP * (used.output_tokens - mean.output_tokens);
    }
}

/// What prompts are told apart by: what they ask for, and not in which words.
fn key(prompt: &PromptPlan) -> String {
    std::iter::once(prompt.template.as_str())
        .chain(prompt.operations.iter().map(String::as_str))
        .collect::<Vec<_>>()
        .join("+")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_follow_what_is_seen_and_what_is_no_figure_changes_nothing() {
        let mut expenses = Expenses::default();
        let hybrid = Strategy::new("hybrid");
        assert_eq!(expenses.of_model("m"), BELIEVED);
        let used = |ms, ratio| Use { latency_ms: ms, input_ratio: ratio, output_tokens: 100.0 };
        expenses.observe_model("m", used(f64::NAN, 1.0));
        assert_eq!(expenses.of_model("m"), BELIEVED);
        for _ in 0..300 {
            expenses.observe_model("m", used(500.0, 1e9));
            expenses.observe(&hybrid, Expense::new(7.0, Money::from_micros(30)));
        }
        assert_eq!(expenses.of_model("m"), used(500.0, MOST_RATIO));
        assert!((expenses.of(&hybrid).cost_usd - 0.00003).abs() < 1e-9);
        let unknown = Expense { cost_usd: f64::INFINITY, ..Expense::default() };
        assert_eq!((unknown.cost(), expenses.of(&hybrid).cost()), (Money::ZERO, Money::from_micros(30)));
    }
}
