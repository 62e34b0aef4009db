//! How a language model is to write where the caller does not say: as precisely, and at most as long, as the kind of
//! question asks for. How long answers to each kind turn out corrects what is expected of them, within bounds.

use burnish_learning::{QueryType, feature_value};
use burnish_types::{Parameters, QueryFeatures, Store};
use parking_lot::Mutex;

use crate::{EngineError, ParameterSettings};

/// Names the form in which lengths are kept.
const SNAPSHOT: &str = "lengths-1";
/// The share of answers that the tracked length is to hold.
const SHARE: f64 = 0.95;
/// By how much one answer moves that, as a share of it.
const STEP: f64 = 0.1;
/// An answer may be so many times as long.
const ROOM: f64 = 2.0;
/// A cut answer counts as so many times its length, for nobody knows how long it would have been.
const CUT: f64 = 2.0;
/// A kind that is less sure than so says nothing.
const SURE: f64 = 0.35;

const KINDS: usize = QueryType::ALL.len();

/// What is known of the lengths of answers.
pub(crate) struct Lengths {
    settings: ParameterSettings,
    /// The tokens that nearly all answers to each kind stay within; the last one is for what is of no kind.
    within: Mutex<[f64; KINDS + 1]>,
}

impl Lengths {
    /// As they were written down last.
    pub(crate) fn read(settings: ParameterSettings, store: &dyn Store) -> Result<Self, EngineError> {
        let known = store.snapshot(SNAPSHOT)?.and_then(|(_, bytes)| postcard::from_bytes(&bytes).ok());
        Ok(Self { settings, within: Mutex::new(known.unwrap_or_else(expected)) })
    }

    pub(crate) fn write(&self, store: &dyn Store) -> Result<(), EngineError> {
        if !self.settings.enabled {
            return Ok(());
        }
        let bytes = postcard::to_allocvec(&*self.within.lock()).map_err(|error| {
            EngineError::Internal(format!("the lengths of answers cannot be written: {error}"))
        })?;
        Ok(store.put_snapshot(SNAPSHOT, 0, &bytes)?)
    }

    /// What fits the question; nothing where that is not wanted.
    pub(crate) fn parameters(&self, features: &QueryFeatures) -> Option<Parameters> {
        if !self.settings.enabled {
            return None;
        }
        let kind = kind(features);
        let [least, most] = self.settings.max_tokens;
        let room = (ROOM * self.within.lock()[kind.map_or(KINDS, |kind| kind as usize)]).ceil();
        let temperature = temperature(kind, features).min(self.settings.max_temperature);
        Some(Parameters { max_tokens: (room as u32).clamp(least, most), temperature })
    }

    /// Takes note of how many tokens an answer has, and why it ends.
    pub(crate) fn observe(&self, features: &QueryFeatures, tokens: u64, finish_reason: &str) {
        if !self.settings.enabled || tokens == 0 {
            return;
        }
        let length = if finish_reason == "length" { CUT * tokens as f64 } else { tokens as f64 };
        let mut within = self.within.lock();
        let within = &mut within[kind(features).map_or(KINDS, |kind| kind as usize)];
        // Stochastic approximation of a quantile (Robbins & Monro 1951), on a scale of ratios.
        let towards = if length > *within { SHARE } else { SHARE - 1.0 };
        *within = (*within * (STEP * towards).exp()).clamp(1.0, f64::from(u32::MAX));
    }
}

/// Tokens of a long answer to each kind of question, before any was seen.
fn expected() -> [f64; KINDS + 1] {
    let mut within = [500.0; KINDS + 1];
    for kind in QueryType::ALL {
        within[kind as usize] = match kind {
            QueryType::Factoid | QueryType::Lookup | QueryType::MultiHop => 250.0,
            QueryType::Definition => 350.0,
            QueryType::Comparison | QueryType::Conversation => 500.0,
            QueryType::Procedure | QueryType::Aggregation => 800.0,
        };
    }
    within
}

/// The likeliest kind, where it is likely enough.
fn kind(features: &QueryFeatures) -> Option<QueryType> {
    let likely = |kind: &QueryType| feature_value(features, &format!("type_{}", kind.name()));
    let best = QueryType::ALL.into_iter().max_by(|one, other| likely(one).total_cmp(&likely(other)))?;
    (likely(&best) >= SURE).then_some(best)
}

/// Facts have one answer; advice and talk have many.
fn temperature(kind: Option<QueryType>, features: &QueryFeatures) -> f32 {
    let asks_to_write =
        feature_value(features, "imperative") > 0.0 && feature_value(features, "wh_none") > 0.0;
    match kind {
        Some(QueryType::Conversation) => 0.7,
        Some(QueryType::Procedure) => 0.3,
        None if asks_to_write => 0.7,
        None => 0.3,
        Some(_) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use burnish_learning::query_features;
    use burnish_types::{Filter, Query, UserContext};

    use super::*;

    const SETTINGS: ParameterSettings =
        ParameterSettings { enabled: true, max_tokens: [64, 2_000], max_temperature: 0.5 };

    fn features(text: &str) -> QueryFeatures {
        let query = Query {
            text: text.to_owned(),
            conversation: Vec::new(),
            user: UserContext::default(),
            filter: Filter::default(),
            top_k: 5,
            target_quality: 0.8,
            budget: None,
            latency_budget_ms: None,
        };
        query_features(&query, &[])
    }

    fn lengths(settings: ParameterSettings) -> Lengths {
        Lengths { settings, within: Mutex::new(expected()) }
    }

    #[test]
    fn facts_are_short_and_precise_and_nothing_is_said_unasked() {
        let lengths = lengths(SETTINGS);
        let fact = lengths.parameters(&features("Who wrote Faust?")).unwrap();
        let steps = lengths.parameters(&features("How do I rotate the key of the backup server?")).unwrap();
        assert!(fact.max_tokens < steps.max_tokens && fact.temperature == 0.0, "{fact:?} {steps:?}");
        assert!(steps.temperature <= SETTINGS.max_temperature);
        let off = ParameterSettings { enabled: false, ..SETTINGS };
        assert_eq!(self::lengths(off).parameters(&features("Who wrote Faust?")), None);
    }

    #[test]
    fn lengths_follow_the_answers_within_bounds() {
        let (lengths, fact) = (lengths(SETTINGS), features("Who wrote Faust?"));
        let other = lengths.parameters(&features("How do I rotate the key of the backup server?"));
        for _ in 0..2_000 {
            lengths.observe(&fact, 100, "stop");
        }
        let most = lengths.parameters(&fact).unwrap().max_tokens;
        assert!((170..=240).contains(&most), "{most}");
        // Cut at every length: there is no end to it but the bound.
        for _ in 0..200 {
            let most = lengths.parameters(&fact).unwrap().max_tokens;
            lengths.observe(&fact, most.into(), "length");
        }
        assert_eq!(lengths.parameters(&fact).unwrap().max_tokens, 2_000);
        for _ in 0..2_000 {
            lengths.observe(&fact, 1, "stop");
        }
        assert_eq!(lengths.parameters(&fact).unwrap().max_tokens, 64);
        assert_eq!(lengths.parameters(&features("How do I rotate the key of the backup server?")), other);
    }
}
