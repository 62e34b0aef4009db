//! What became of prompts, by version and topic: a fold over the outcome log.

use std::collections::BTreeMap;

use burnish_learning::Settled;
use burnish_types::{Decision, LoggedOutcome, PromptPlan, Store, Timestamp};
use serde::{Deserialize, Serialize};

use super::FOLD_STEP;
use super::optimize::is_of_prompt;
use crate::EngineError;
use crate::judged::{is_judgement, settled_before, settled_with};

/// Sums over requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Requests that were judged.
    pub outcomes: u64,
    quality: f64,
    /// Those of which it is known what they took.
    measured: u64,
    output_tokens: f64,
    input_tokens: f64,
    latency_ms: f64,
}

impl Tally {
    /// Mean quality, in [0, 1].
    pub fn quality(&self) -> f64 {
        mean(self.quality, self.outcomes)
    }

    /// Whether it is known of any what they took.
    pub fn is_measured(&self) -> bool {
        self.measured > 0
    }

    /// Mean tokens of answers.
    pub fn output_tokens(&self) -> f64 {
        mean(self.output_tokens, self.measured)
    }

    /// Mean tokens of prompts.
    pub fn input_tokens(&self) -> f64 {
        mean(self.input_tokens, self.measured)
    }

    /// Mean time until the end of the answer, in milliseconds.
    pub fn latency_ms(&self) -> f64 {
        mean(self.latency_ms, self.measured)
    }

    fn add(&mut self, judged: &Judged) {
        self.outcomes += 1;
        self.quality += judged.quality;
        if let Some(took) = judged.took {
            self.measured += 1;
            self.output_tokens += took.output_tokens;
            self.input_tokens += took.input_tokens;
            self.latency_ms += took.latency_ms;
        }
    }
}

fn mean(sum: f64, count: u64) -> f64 {
    if count == 0 { 0.0 } else { sum / count as f64 }
}

/// What was measured of one judged request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judged {
    pub(super) quality: f64,
    /// What it took, where a model was asked here.
    pub(super) took: Option<Took>,
}

/// What an answer took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Took {
    pub(super) output_tokens: f64,
    pub(super) input_tokens: f64,
    pub(super) latency_ms: f64,
}

/// What became of one version for questions of one topic.
#[derive(Clone, Debug, PartialEq)]
pub struct TallyRow {
    /// The version.
    pub version: String,
    /// The topic.
    pub topic: String,
    /// The operations that adapted it, by name.
    pub operations: Vec<String>,
    /// The sums.
    pub tally: Tally,
}

/// The form of the snapshot.
const SNAPSHOT: &str = "prompt-tallies-1";
/// So many kinds are told apart.
const MOST_KINDS: usize = 5_000;
/// What is trusted less is waited upon to be said more clearly: a thumb is trusted more, that somebody looked at a passage less.
const LEAST_TRUST: f64 = 0.3;
/// Outcomes after which the sums are written down.
const STEP: u64 = 500;

/// What requests have in common that are counted together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Kind {
    version: String,
    topic: String,
    operations: Vec<String>,
}

/// The sums by kind, with the place in the log that they are folded up to.
#[derive(Debug, Default)]
pub(super) struct Tallies {
    position: u64,
    written: u64,
    kinds: BTreeMap<Kind, Tally>,
}

impl Tallies {
    pub(super) fn read(store: &dyn Store) -> Result<Self, EngineError> {
        let known = store.snapshot(SNAPSHOT)?;
        let known = known.and_then(|(position, bytes)| Some((position, postcard::from_bytes(&bytes).ok()?)));
        let (position, kinds): (u64, Vec<(Kind, Tally)>) = known.unwrap_or_default();
        Ok(Self { position, written: position, kinds: kinds.into_iter().collect() })
    }

    pub(super) fn write(&mut self, store: &dyn Store) -> Result<(), EngineError> {
        let kinds: Vec<(&Kind, &Tally)> = self.kinds.iter().collect();
        let bytes = postcard::to_allocvec(&kinds)
            .map_err(|error| EngineError::Internal(format!("tallies cannot be written: {error}")))?;
        store.put_snapshot(SNAPSHOT, self.position, &bytes)?;
        self.written = self.position;
        Ok(())
    }

    /// Folds in what came since.
    pub(super) fn catch_up(&mut self, store: &dyn Store) -> Result<(), EngineError> {
        loop {
            let log = store.outcome_log(self.position, FOLD_STEP)?;
            let Some(last) = log.last().map(|logged| logged.position) else { break };
            log.iter().filter_map(Heard::of).for_each(|heard| self.count(&heard));
            self.position = last;
        }
        if self.position >= self.written + STEP {
            self.write(store)?;
        }
        Ok(())
    }

    fn count(&mut self, heard: &Heard<'_>) {
        let (prompt, topics) = (heard.prompt, heard.topics);
        let kind = Kind {
            version: prompt.version.clone(),
            topic: topics.first().cloned().unwrap_or_default(),
            operations: prompt.operations.clone(),
        };
        if self.kinds.len() >= MOST_KINDS && !self.kinds.contains_key(&kind) {
            // The one that says least makes room.
            let least =
                self.kinds.iter().min_by_key(|(_, tally)| tally.outcomes).map(|(kind, _)| kind.clone());
            least.map(|least| self.kinds.remove(&least));
        }
        self.kinds.entry(kind).or_default().add(&heard.judged);
    }

    pub(super) fn rows(&self) -> Vec<TallyRow> {
        let row = |(kind, tally): (&Kind, &Tally)| TallyRow {
            version: kind.version.clone(),
            topic: kind.topic.clone(),
            operations: kind.operations.clone(),
            tally: *tally,
        };
        self.kinds.iter().map(row).collect()
    }
}

/// The first clear judgement of a request that had a prompt, with what it took.
pub(super) struct Heard<'a> {
    pub(super) prompt: &'a PromptPlan,
    pub(super) topics: &'a [String],
    pub(super) decision: &'a Decision,
    pub(super) judged: Judged,
    pub(super) cost_usd: Option<f64>,
    pub(super) at: Timestamp,
}

impl<'a> Heard<'a> {
    /// What a report says, where it is the first that is a judgement: later ones move what is learned elsewhere, but not what
    /// was counted here.
    pub(super) fn of(logged: &'a LoggedOutcome) -> Option<Self> {
        let prompted = logged.answer.as_ref().and_then(|answer| answer.prompted.as_ref());
        let planned = logged.decision.choice()?.plan.prompt.as_ref()?;
        // Where no model was told anything, as where a quotation took its place, nothing is heard of the prompt.
        // A version for which the model could not answer is judged by what came in its place.
        let by_itself = is_of_prompt(&logged.decision);
        let failed = logged.decision.experiment.is_some()
            && logged.answer.as_ref().is_some_and(|answer| answer.degraded.is_some());
        let prompt = prompted.map(|prompted| &prompted.prompt).or(failed.then_some(planned))?;
        let topics = prompted.map_or(&[][..], |prompted| &prompted.characteristics.topics);
        let before = settled_before(logged);
        let after = settled_with(logged)?;
        let counts = |settled: &Settled| is_judgement(settled) && settled.trust >= LEAST_TRUST;
        if !counts(&after) || before.as_ref().is_some_and(counts) {
            return None;
        }
        let answer = logged.answer.as_ref();
        let usage = answer.map(|answer| answer.usage).unwrap_or_default();
        let latency_ms = answer.map_or(0.0, |answer| answer.timings.iter().map(|timing| timing.ms).sum());
        Some(Self {
            prompt,
            topics,
            decision: &logged.decision,
            judged: Judged {
                quality: after.quality,
                took: (!by_itself).then_some(Took {
                    output_tokens: usage.output_tokens as f64,
                    input_tokens: usage.input_tokens as f64,
                    latency_ms,
                }),
            },
            cost_usd: answer
                .and_then(|answer| answer.cost)
                .filter(|_| !by_itself)
                .map(|cost| cost.micros() as f64 / 1e6),
            at: logged.outcome.at,
        })
    }
}
