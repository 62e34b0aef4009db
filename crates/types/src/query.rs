//! What is asked, by whom, and what can be said of it before anything is retrieved.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Filter, Message, Money};

/// Who asks. Everything in it is optional, and may become a feature.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UserContext {
    /// Whose documents and learning these are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The person, in the caller's own terms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Anything else the caller knows: role, expertise, language.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}

/// A question with its circumstances.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Query {
    /// The question; never blank.
    pub text: String,
    /// What was said before it, oldest message first.
    pub conversation: Vec<Message>,
    /// Who asks.
    pub user: UserContext,
    /// Which documents may be looked at.
    pub filter: Filter,
    /// How many passages are wanted.
    pub top_k: usize,
    /// The quality that is good enough, in [0, 1].
    pub target_quality: f32,
    /// The most that the answer may cost.
    pub budget: Option<Money>,
    /// The longest that the answer should take, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_budget_ms: Option<f64>,
}

impl Query {
    /// Characters of the question and of what was said before it.
    pub fn chars(&self) -> usize {
        let said = self.conversation.iter().map(|message| message.content.chars().count());
        self.text.chars().count() + said.sum::<usize>()
    }
}

/// Named numbers that describe a query, with the version of their definition.
///
/// A decision keeps the features as they were, so that a later version never rewrites history.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QueryFeatures {
    /// The version of the definitions.
    pub version: u32,
    /// Name to value.
    pub values: BTreeMap<String, f64>,
}
