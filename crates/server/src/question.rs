//! Turns what a request says into a query that the engine takes.

use burnish_types::{Message, Money, Query};

use crate::error::{ApiError, Code};
use crate::settings::ServerSettings;
use crate::wire::{Filter, User};

/// Passages where none are asked for by number.
pub(crate) const DEFAULT_TOP_K: usize = 10;
/// The most passages that can be asked for.
pub(crate) const MAX_TOP_K: usize = 1_000;
/// More than that nobody means.
const MOST: f64 = 1e12;
/// The quality that is good enough where none is named.
const DEFAULT_TARGET_QUALITY: f32 = 0.8;

/// A question as it came, with the names under which its parts stood in the request.
#[derive(Default)]
pub(crate) struct Question {
    pub(crate) text: String,
    /// What stood for the question in the request.
    pub(crate) param: &'static str,
    pub(crate) conversation: Vec<Message>,
    pub(crate) options: Options,
    /// What the options stood under, such as `burnish.`; empty for the top.
    pub(crate) prefix: &'static str,
}

/// What may be said beside the question.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) top_k: Option<usize>,
    pub(crate) filter: Option<Filter>,
    pub(crate) user: Option<User>,
    pub(crate) target_quality: Option<f32>,
    /// In US dollars.
    pub(crate) budget_usd: Option<f64>,
    pub(crate) latency_budget_ms: Option<f64>,
}

impl Question {
    /// The query, or what is wrong with it.
    pub(crate) fn into_query(self, settings: &ServerSettings) -> Result<Query, ApiError> {
        let Self { text, param, conversation, options, prefix } = self;
        if text.trim().is_empty() {
            return Err(ApiError::new(Code::EmptyQuery, "the question is empty: ask something").at(param));
        }
        let (length, limit) = (text.chars().count(), settings.max_query_chars);
        if length > limit {
            let message = format!("the question has {length} characters: at most {limit} are taken");
            return Err(ApiError::new(Code::QueryTooLong, message).at(param));
        }
        let top_k = options.top_k.unwrap_or(DEFAULT_TOP_K);
        if !(1..=MAX_TOP_K).contains(&top_k) {
            let message = format!("`top_k` lies between 1 and {MAX_TOP_K}; {top_k} does not");
            return Err(ApiError::invalid(format!("{prefix}top_k"), message));
        }
        let target_quality = options.target_quality.unwrap_or(DEFAULT_TARGET_QUALITY);
        if !(0.0..=1.0).contains(&target_quality) {
            let message = format!("`target_quality` lies between 0 and 1; {target_quality} does not");
            return Err(ApiError::invalid(format!("{prefix}target_quality"), message));
        }
        let amount = |name: &str, amount: Option<f64>, unit: &str| match amount {
            Some(amount) if !(0.0..=MOST).contains(&amount) => {
                let message = format!("`{name}` is an amount of {unit}, 0 at least; {amount} is not");
                Err(ApiError::invalid(format!("{prefix}{name}"), message))
            }
            amount => Ok(amount),
        };
        let budget = amount("budget_usd", options.budget_usd, "US dollars")?;
        let latency_budget_ms = amount("latency_budget_ms", options.latency_budget_ms, "milliseconds")?;
        let budget = budget.map(|usd| Money::from_micros((usd * 1e6).floor() as u64));
        let filter = options.filter.unwrap_or_default().into_inside(&format!("{prefix}filter"))?;
        let user = options.user.unwrap_or_default().into();
        Ok(Query { text, conversation, user, filter, top_k, target_quality, budget, latency_budget_ms })
    }
}
