//! Questions that need no model, though one was planned: greetings, and those whose answer stands in the passages in
//! their own words.
//!
//! Whether a quotation says what the model would is learned by comparing both wherever the model answers, so its examples
//! cost nothing but the quoting, and the share of requests that are quoted wrongly stays within what was promised
//! ([`Allowance`]). A comparison is an outcome of the log, from which a later process learns again; the promise is each
//! process's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use burnish_cache::{Allowance, Draw, Promise, Standing};
use burnish_learning::{Logistic, feature_value};
use burnish_types::{
    Answer, Answerer, Decision, Evidence, Judgement, Outcome, Query, QueryFeatures, RequestId,
    SelectiveChoice, SelectiveKind, Store, Strategy,
};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::answering::Ending;
use crate::caching::{Pending, Prepared, right};
use crate::extractive::{self, Quotation};
use crate::pipeline::Retrieved;
use crate::support::{covers, mentioned};
use crate::tickets::Tickets;
use crate::{Answering, Engine, EngineError, Pinned, Sampling, SelectiveSettings, log, prompt};

const SIGNS: usize = 16;
/// What is known of a quotation before the model answers.
pub type Signs = [f64; SIGNS];

/// What is predicted as long as too little was compared.
const UNKNOWN: f64 = 0.9;
/// How much a comparison counts at most for having been unlikely.
const LARGEST_WEIGHT: f64 = 4.0;
/// The latest outcomes that a new process learns from.
const REMEMBERED: u64 = 20_000;
/// Comparisons that may be behind; an answer that comes then goes without.
const BEHIND: usize = 32;
/// Words that a greeting may have; of a text with more no further ones are looked at.
const GREETING_WORDS: usize = 4;

/// What greets or thanks, and what is said to it.
const GREETINGS: [(&str, &str); 6] = [
    (
        "hi|hello|hey|hi there|hello there|hey there|good morning|good afternoon|good evening|greetings",
        "Hello! What would you like to know from your documents?",
    ),
    (
        "thanks|thank you|thanks a lot|many thanks|thank you very much|thx|bye|goodbye",
        "You're welcome. Ask again whenever you like.",
    ),
    (
        "hallo|guten morgen|guten tag|guten abend|servus|moin",
        "Hallo! Was möchten Sie aus Ihren Dokumenten wissen?",
    ),
    ("danke|danke schön|vielen dank|tschüss", "Gern geschehen. Fragen Sie jederzeit wieder."),
    ("bonjour|salut|bonsoir|merci", "Bonjour ! Que voulez-vous savoir de vos documents ?"),
    ("hola|buenos días|buenas tardes|gracias", "¡Hola! ¿Qué quiere saber de sus documentos?"),
];

/// What is learned, and what may be served.
pub(crate) struct Selective {
    settings: SelectiveSettings,
    state: Mutex<State>,
    greetings: AtomicU64,
    behind: Arc<Semaphore>,
}

struct State {
    judge: QuotationJudge,
    tickets: Tickets<(Signs, Draw)>,
}

/// What a model's answer is to be compared with.
pub(crate) struct Comparison {
    question: String,
    /// How many passages were found for it; an answer that was given with others may bring more.
    passages: usize,
    /// The quotation that might have been served; none is made beforehand as long as too little is known to serve any.
    quoted: Option<Quoted>,
}

struct Quoted {
    quotation: Quotation,
    signs: Signs,
    draw: Draw,
}

/// What selective processing counts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SelectiveStanding {
    /// Greetings that were answered without a model.
    pub greetings: u64,
    /// What is promised of quotations, and how it is kept.
    pub quotations: Standing,
}

impl Selective {
    /// What an earlier process has learned is learned again from the log, whose last outcome is the `heard`th.
    pub(crate) fn from_log(
        settings: SelectiveSettings,
        store: &dyn Store,
        heard: u64,
    ) -> Result<Self, EngineError> {
        let mut judge = QuotationJudge::new(settings.delta);
        if settings.enabled {
            for logged in log::outcomes(store, heard.saturating_sub(REMEMBERED)) {
                if let Judgement::Compared { signs, agrees, weight } = logged?.outcome.judgement
                    && let Ok(signs) = Signs::try_from(signs)
                {
                    judge.model.learn(signs, agrees, weight);
                }
            }
        }
        let state = State { judge, tickets: Tickets::default() };
        Ok(Self {
            settings,
            state: Mutex::new(state),
            greetings: AtomicU64::new(0),
            behind: Arc::new(Semaphore::new(BEHIND)),
        })
    }

    /// Learns from what somebody says of a quotation that was served in place of a model's answer.
    pub(crate) fn hear(&self, request: RequestId, judgement: &Judgement) {
        let Some(right) = right(judgement) else { return };
        let mut state = self.state.lock();
        if let Some((signs, draw)) = state.tickets.take(request) {
            state.judge.settle(signs, &draw, right);
        }
    }
}

/// Judges whether a quotation may be given in place of a model's answer.
#[derive(Clone, Debug)]
pub struct QuotationJudge {
    model: Logistic<SIGNS>,
    allowance: Allowance,
}

impl QuotationJudge {
    /// One that knows nothing yet, for a share of `delta` of all requests that may be wrong.
    pub fn new(delta: f64) -> Self {
        let promise = Promise { delta, ..Promise::default() };
        Self { model: Logistic::default(), allowance: Allowance::new(promise) }
    }

    /// Whether any may be given, given what is known.
    pub fn is_open(&self) -> bool {
        self.allowance.is_open()
    }

    fn risk(&self, signs: &Signs) -> f64 {
        self.model.probability(signs).map_or(UNKNOWN, |right| 1.0 - right)
    }

    /// Counts a request, and decides. `coin` is uniform in [0, 1) and known to nobody before.
    pub fn draw(&mut self, signs: &Signs, coin: f64) -> Draw {
        let risk = self.risk(signs);
        self.allowance.draw(risk, coin)
    }

    /// Learns whether a quotation that was drawn for is right. Returns how many comparisons this one stands for.
    pub fn settle(&mut self, signs: Signs, draw: &Draw, right: bool) -> f64 {
        self.allowance.settle(draw, right);
        let weight = (1.0 - draw.unseen()).max(LARGEST_WEIGHT.recip()).recip();
        self.model.learn(signs, right, weight);
        weight
    }

    /// Counts a request whose quotation could not have been given, and learns from it.
    pub fn learn(&mut self, signs: Signs, right: bool) {
        let risk = self.risk(&signs);
        self.allowance.count(risk);
        self.model.learn(signs, right, 1.0);
    }

    /// What was promised and kept so far.
    pub fn standing(&self) -> Standing {
        self.allowance.standing()
    }
}

impl Engine {
    /// What was answered without a model.
    pub fn selective(&self) -> SelectiveStanding {
        let greetings = self.selective.greetings.load(Ordering::Relaxed);
        SelectiveStanding { greetings, quotations: self.selective.state.lock().judge.standing() }
    }

    /// Answers without the planned model where it is not needed; else hands the passages on, with what the model's answer is
    /// to be compared with.
    pub(crate) async fn select(
        self: &Arc<Self>,
        query: &Query,
        pinned: &Pinned,
        sampling: &Sampling,
        mut retrieved: Retrieved,
        pending: Option<Box<Pending>>,
    ) -> Result<Prepared, EngineError> {
        if !self.may_select(query, pinned, sampling, &retrieved, pending.as_deref()) {
            return Ok(Prepared::Found(Box::new(retrieved), pending));
        }
        if let Some(reply) = greeting(&query.text) {
            self.selective.greetings.fetch_add(1, Ordering::Relaxed);
            let choice = SelectiveChoice {
                kind: SelectiveKind::Greeting,
                support: 1.0,
                risk: 0.0,
                propensity: 1.0,
                served: true,
            };
            retrieved.evidence.clear();
            let answering = self.spared(retrieved, extractive::said(reply.to_owned()), choice);
            return Ok(Prepared::Ready(Box::new(answering)));
        }
        let (question, passages) = (query.text.clone(), retrieved.evidence.len());
        // Whoever holds it learns just now, which may take a while.
        let open = self.selective.state.try_lock().is_some_and(|state| state.judge.is_open());
        if !open {
            retrieved.comparison = Some(Box::new(Comparison { question, passages, quoted: None }));
            return Ok(Prepared::Found(Box::new(retrieved), pending));
        }
        let (evidence, features) = (retrieved.evidence.clone(), retrieved.decision.features.clone());
        let id = retrieved.decision.id;
        let quoted = self.blocking(move |engine| {
            let quotation = engine.quotation(&question, &evidence)?;
            let signs = signs(&question, &features, &quotation);
            let mut state = engine.selective.state.lock();
            let draw = state.judge.draw(&signs, fastrand::f64());
            if draw.serves() {
                state.tickets.keep(id, (signs, draw));
            }
            drop(state);
            Ok((question, quotation, signs, draw))
        });
        let (question, quotation, signs, draw) = match quoted.await {
            Ok(quoted) => quoted,
            Err(error) => {
                tracing::warn!(%error, "asking the model, since nothing could be quoted");
                return Ok(Prepared::Found(Box::new(retrieved), pending));
            }
        };
        let served = draw.serves();
        let choice = SelectiveChoice {
            kind: SelectiveKind::Quotation,
            support: quotation.strength.best,
            risk: draw.risk(),
            propensity: draw.propensity(),
            served,
        };
        if served {
            return Ok(Prepared::Ready(Box::new(self.spared(retrieved, quotation, choice))));
        }
        retrieved.selective = Some(choice);
        let quoted = Some(Quoted { quotation, signs, draw });
        retrieved.comparison = Some(Box::new(Comparison { question, passages, quoted }));
        Ok(Prepared::Found(Box::new(retrieved), pending))
    }

    /// Whether nobody but the plan says that a model answers, and nothing that only a model can do is asked for.
    fn may_select(
        &self,
        query: &Query,
        pinned: &Pinned,
        sampling: &Sampling,
        retrieved: &Retrieved,
        pending: Option<&Pending>,
    ) -> bool {
        let Some(plan) = retrieved.decision.choice().map(|choice| &choice.plan) else { return false };
        self.selective.settings.enabled
            && pinned.answerer.is_none()
            && !pinned.fresh
            && matches!(plan.answerer, Answerer::Model(_))
            && self.consults_documents(&plan.strategy)
            // A follow-up says half of what it asks, and instructions are for a model.
            && query.conversation.is_empty()
            // A quotation is as long as it is.
            && sampling.max_tokens.is_none()
            && sampling.passthrough.is_empty()
            && sampling.verbatim.is_empty()
            && !retrieved.evidence.is_empty()
            // A kept answer waits for a fresh one of the model to be compared with.
            && !pending.is_some_and(Pending::compares)
    }

    pub(crate) fn quotation(&self, question: &str, evidence: &[Evidence]) -> Result<Quotation, EngineError> {
        extractive::quote(question, evidence, self.embedder.as_ref(), self.settings.answer.smallest_support)
    }

    /// What is known of a quotation from what `strategy` finds, and whether it says what one of `answers` says: for
    /// measuring.
    pub fn probe_quotation(
        &self,
        query: &Query,
        strategy: &Strategy,
        answers: &[&str],
    ) -> Result<(Signs, bool), EngineError> {
        let (features, _) = self.examine(query)?;
        let (evidence, _) = self.probe(query, strategy)?;
        let quotation = self.quotation(&query.text, &evidence)?;
        let says = |answer: &&str| covers(&quotation.text, answer, &query.text);
        let agrees = quotation.found && answers.iter().any(says);
        Ok((signs(&query.text, &features, &quotation), agrees))
    }

    /// Compares the model's answer with what could have been quoted, behind it.
    pub(crate) fn compare(self: &Arc<Self>, comparison: Comparison, decision: &Decision, answer: &Answer) {
        let whole = answer.finish_reason == "stop" && answer.degraded.is_none() && answer.origin.is_plan();
        if !whole || answer.text.is_empty() {
            return;
        }
        let Ok(place) = Arc::clone(&self.selective.behind).try_acquire_owned() else { return };
        let (engine, answer) = (Arc::clone(self), answer.clone());
        let (request, features) = (decision.id, decision.features.clone());
        tokio::task::spawn_blocking(move || {
            let _place = place;
            if let Err(error) = engine.compare_now(comparison, request, &features, &answer) {
                tracing::warn!(%error, "an answer was not compared with what could be quoted");
            }
        });
    }

    fn compare_now(
        &self,
        comparison: Comparison,
        request: RequestId,
        features: &QueryFeatures,
        answer: &Answer,
    ) -> Result<(), EngineError> {
        let Comparison { question, passages, quoted } = comparison;
        let (quotation, signs, draw) = match quoted {
            Some(Quoted { quotation, signs, draw }) => (quotation, signs, Some(draw)),
            None => {
                let found = answer.evidence.get(..passages).unwrap_or(&answer.evidence);
                let quotation = self.quotation(&question, found)?;
                let signs = signs(&question, features, &quotation);
                (quotation, signs, None)
            }
        };
        let agrees = says_the_same(&quotation, answer, &question);
        let weight = {
            let judge = &mut self.selective.state.lock().judge;
            match &draw {
                Some(draw) => judge.settle(signs, draw, agrees),
                None => {
                    judge.learn(signs, agrees);
                    1.0
                }
            }
        };
        let judgement = Judgement::Compared { signs: signs.to_vec(), agrees, weight };
        let outcome = Outcome { request, at: self.clock.now(), judgement, comment: None, user: None };
        drop(self.store.record_outcomes(vec![outcome]));
        Ok(())
    }

    /// What is answered without the planned model, under its decision.
    fn spared(
        self: &Arc<Self>,
        mut retrieved: Retrieved,
        quotation: Quotation,
        choice: SelectiveChoice,
    ) -> Answering {
        retrieved.selective = Some(choice);
        let (decision, evidence) = (retrieved.decision.clone(), retrieved.evidence.clone());
        let events = Ending::new(self, retrieved, None).spared(quotation);
        Answering { decision, evidence, events }
    }
}

/// Whether a quotation tells whoever asked what the model told.
fn says_the_same(quotation: &Quotation, answer: &Answer, question: &str) -> bool {
    if answer.found && quotation.found {
        covers(&quotation.text, &prompt::without_markers(&answer.text), question)
    } else {
        answer.found == quotation.found
    }
}

fn signs(question: &str, features: &QueryFeatures, quotation: &Quotation) -> Signs {
    let value = |name: &str| feature_value(features, name);
    let strength = quotation.strength;
    let (best, next) = (f64::from(strength.best), f64::from(strength.next));
    let words = |text: &str| (text.split_whitespace().count() as f64).ln_1p();
    let has_number = quotation.text.split('[').any(|part| {
        let said = part.split_once(']').map_or(part, |(_, said)| said);
        said.contains(|c: char| c.is_ascii_digit())
    });
    let asks_number =
        value("wh_when") > 0.0 || question.to_lowercase().contains("how m") || question.contains("year");
    let flag = |value: bool| f64::from(u8::from(value));
    [
        best,
        best * best,
        best - next,
        f64::from(strength.passage),
        flag(quotation.found),
        quotation.citations.len() as f64,
        mentioned(question, &quotation.text),
        words(&quotation.text),
        words(question),
        value("complexity"),
        value("dense_margin"),
        value("lexical_margin"),
        value("yes_no"),
        flag(asks_number),
        flag(asks_number && has_number),
        value("capitals").ln_1p(),
    ]
}

/// What is said to a text that only greets or thanks.
fn greeting(text: &str) -> Option<&'static str> {
    let words: Vec<String> = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .take(GREETING_WORDS + 1)
        .collect();
    let said = words.join(" ");
    GREETINGS.iter().find(|(words, _)| words.split('|').any(|word| word == said)).map(|(_, reply)| *reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_asks_nothing_is_a_greeting() {
        for (text, expected) in [
            ("Hello!", true),
            ("  thank you very much. ", true),
            ("Guten Tag", true),
            ("¡Buenos días!", true),
            ("hello, when do answers expire?", false),
            ("what does hello mean", false),
            ("", false),
            ("?", false),
        ] {
            assert_eq!(greeting(text).is_some(), expected, "{text}");
        }
    }
}
