//! What is learned: a fold over the outcome log, kept in memory, written down now and then.

use std::collections::BTreeSet;
use std::sync::Arc;

use burnish_learning::joint::{Effects, Known as Options};
use burnish_learning::learner::{DriftEvent, Learner};
use burnish_learning::policies::Ledger;
use burnish_learning::router::{Routed, Router};
use burnish_learning::selection::{self, LABEL_WEIGHT};
use burnish_learning::{FeatureVector, Memory, Recall, Settled, Testimony};
use burnish_types::{
    ChunkId, Embedder, Embedding, LoggedOutcome, Plan, PromptPlan, Query, Store, Strategy, Timestamp,
    UserContext,
};
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};

use crate::combinations::Combinations;
use crate::expenses::{Expense, Expenses, Use};
use crate::judged::{is_judgement, settled_before, settled_with};
use crate::prompts::{Prompts, is_of_prompt};
use crate::sketches::Sketches;
use crate::{EngineError, context, planner, plans, related};

/// Names the form of the snapshot; a state of another form is folded anew from the log.
const SNAPSHOT: &str = "learned-7";
const FOLD_STEP: usize = 1_000;
/// Outcomes after which a snapshot is written, which bounds the work of a start after a crash.
const SNAPSHOT_STEP: u64 = 500;
/// What a token of a prompt costs, beside one of an answer, as providers usually have it.
const READ_TOKENS: f64 = 0.25;
/// Drift events that are remembered.
const MOST_EVENTS: usize = 100;

/// What is learned, with the place in the log that it is folded up to.
pub(crate) struct Learned {
    half_life_days: Option<f64>,
    combinations: Arc<Combinations>,
    sketches: Arc<Sketches>,
    prompts: Arc<Prompts>,
    fold: RwLock<Fold>,
    expenses: Mutex<Expenses>,
}

/// What is known, as whoever decides looks at it.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) learner: &'a Learner,
    pub(crate) effects: &'a Effects,
    pub(crate) expenses: &'a Expenses,
}

/// What a fold means for the policy that decides.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Heard {
    /// What explored requests turned out to be worth, in summed quality.
    pub(crate) returned: f64,
    /// Whether there was a drift.
    pub(crate) drifted: bool,
}

/// What exploration had cost by the time of a snapshot, and the last decision that was counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) ledger: Option<Ledger>,
    pub(crate) last_decision: Option<String>,
}

/// What is written down.
#[derive(Serialize, Deserialize)]
struct Snapshot {
    learner: Vec<u8>,
    effects: Vec<u8>,
    /// Empty where there is none.
    router: Vec<u8>,
    memory: Vec<u8>,
    expenses: Expenses,
    events: Vec<DriftEvent>,
    account: Account,
}

/// What a process begins with.
struct Start {
    fold: Fold,
    account: Account,
    expenses: Expenses,
    /// What could be chosen from before, where that is not what can be now.
    before: Option<Options>,
}

impl Start {
    fn new(fold: Fold) -> Self {
        Self { fold, account: Account::default(), expenses: Expenses::default(), before: None }
    }
}

struct Fold {
    position: u64,
    written: u64,
    learner: Learner,
    effects: Effects,
    combinations: Arc<Combinations>,
    sketches: Arc<Sketches>,
    prompts: Arc<Prompts>,
    /// What tells which template a question gets, where there are several.
    router: Option<Router>,
    memory: Memory,
    /// Oldest first.
    events: Vec<DriftEvent>,
}

impl Fold {
    fn new(
        half_life_days: Option<f64>,
        combinations: &Arc<Combinations>,
        sketches: &Arc<Sketches>,
        prompts: &Arc<Prompts>,
        dimensions: usize,
    ) -> Self {
        let templates = prompts.template_count();
        let router = prompts.are_routed().then(|| Router::new(templates, dimensions, prompts.router()));
        Self {
            position: 0,
            written: 0,
            learner: Learner::new(selection::settings(half_life_days), selection::prior()),
            effects: Effects::new(combinations.space().clone(), Sketches::WIDTH, FeatureVector::LENGTH),
            combinations: Arc::clone(combinations),
            sketches: Arc::clone(sketches),
            prompts: Arc::clone(prompts),
            router,
            memory: Memory::default(),
            events: Vec::new(),
        }
    }

    /// The last snapshot in place of this, which is new; the same where there is none, or there are other things to choose from
    /// now.
    fn read(self, store: &dyn Store, half_life_days: Option<f64>) -> Result<Start, EngineError> {
        let snapshot = store
            .snapshot(SNAPSHOT)?
            .and_then(|(position, bytes)| Some((position, postcard::from_bytes::<Snapshot>(&bytes).ok()?)));
        let Some((position, snapshot)) = snapshot else { return Ok(Start::new(self)) };
        let Snapshot { learner, effects, router, memory, events, expenses, account } = snapshot;
        let known = || {
            let settings = selection::settings(half_life_days);
            let space = self.combinations.space().clone();
            Some((
                Learner::from_bytes(settings, selection::prior(), &learner)?,
                Effects::from_bytes(space, Sketches::WIDTH, FeatureVector::LENGTH, &effects)?,
                Memory::from_bytes(&memory)?,
                match &self.router {
                    Some(new) => Some(new.restored(&router)?),
                    None => None,
                },
            ))
        };
        Ok(match known() {
            Some((learner, effects, memory, router)) => {
                let fold =
                    Self { position, written: position, learner, effects, memory, router, events, ..self };
                Start { account, expenses, ..Start::new(fold) }
            }
            // What things take is measured, and not in the log; decisions are counted anew.
            None => Start { expenses, before: Effects::known_of(&effects), ..Start::new(self) },
        })
    }

    /// Folds in everything of the log that is not in yet.
    fn catch_up(&mut self, store: &dyn Store, embedder: &dyn Embedder) -> Result<Heard, EngineError> {
        let mut heard = Heard::default();
        loop {
            let log = store.outcome_log(self.position, FOLD_STEP)?;
            if log.is_empty() {
                return Ok(heard);
            }
            let questions = Questions::embedded(&log, embedder, |logged| self.is_routed(logged).is_some())?;
            for (logged, embedding) in log.iter().zip(questions.0) {
                self.learn(logged, &mut heard);
                if let (Some(routed), Some(embedding)) = (self.is_routed(logged), &embedding) {
                    self.learn_routing(routed, logged, embedding);
                }
                if let Some(embedding) = embedding.filter(|_| Questions::concerns(logged)) {
                    self.memory.observe(&Shown::of(logged).testimony(logged), &embedding);
                }
                self.position = logged.position;
            }
        }
    }

    /// What all reports on the request say together takes the place of what they said before.
    fn learn(&mut self, logged: &LoggedOutcome, heard: &mut Heard) {
        // What is found related says nothing of how questions are best answered.
        let chosen = planner::was_chosen(&logged.decision);
        let Some(choice) = logged.decision.choice() else { return };
        let (before, after) = (settled_before(logged), settled_with(logged));
        if before == after {
            return;
        }
        if logged.decision.charge > 0.0 {
            // Whatever prompt was tried beside: what exploring was worth is known now.
            let quality = |settled: &Option<Settled>| settled.as_ref().map_or(0.0, |settled| settled.quality);
            heard.returned += quality(&after) - quality(&before);
        }
        if !chosen {
            return;
        }
        let arm = choice.plan.strategy.as_str();
        let x = FeatureVector::new(&logged.decision.features);
        // Operations that the model was told, and not those that were planned for one that was not asked.
        let told =
            logged.answer.as_ref().map(|answer| answer.prompted.as_ref().map(|told| told.prompt.clone()));
        let plan = Plan { prompt: told.unwrap_or(choice.plan.prompt.clone()), ..choice.plan.clone() };
        let combination = self.combinations.of(&plan);
        let space = self.combinations.space();
        let is_plain = combination.as_ref().is_none_or(|taken| *taken == space.plain(taken[0]));
        let at = logged.decision.at;
        // What its other parts were expected to add is not the strategy's own.
        let added = choice.prediction.added;
        if let Some(Settled { quality, trust }) = before {
            self.learner.take_back(arm, x.as_slice(), quality - added, trust * LABEL_WEIGHT, at);
        }
        // One request is one outcome to the tests for change: the first word on it that says something.
        let is_first = after.as_ref().is_some_and(is_judgement) && !before.as_ref().is_some_and(is_judgement);
        if let Some(Settled { quality, trust }) = after {
            let (alone, weight) = (quality - added, trust * LABEL_WEIGHT);
            if is_first && is_plain {
                let event = self.learner.observe(arm, x.as_slice(), alone, weight, at);
                event.into_iter().for_each(|event| self.take_note(event, heard));
            } else {
                self.learner.revise(arm, x.as_slice(), alone, weight, at);
            }
        }
        let settled = [before, after];
        if let Some(combination) = combination {
            let numbers = self.sketches.numbers(&x, logged.decision.sketch.as_ref());
            self.learn_effects(&combination, &numbers, settled, at, is_first, heard);
        }
    }

    fn learn_effects(
        &mut self,
        combination: &[u16],
        x: &[f64],
        [before, after]: [Option<Settled>; 2],
        at: Timestamp,
        is_first: bool,
        heard: &mut Heard,
    ) {
        if self.combinations.space().has_one_part() {
            return;
        }
        let outcome = |Settled { quality, trust }: Settled| (quality, trust);
        let (before, after) = (before.map(outcome), after.map(outcome));
        let (quality, weight) = match (before, after) {
            (Some(before), None) => {
                self.effects.take_back(combination, x, before, at);
                return;
            }
            (Some(before), Some(after)) if !is_first => {
                return self.effects.revise(combination, x, [before, after], at);
            }
            (None, Some((quality, weight))) if !is_first => {
                return self.effects.hint(combination, x, quality, weight);
            }
            // What said next to nothing before gives way to the first word that says something.
            (before, Some(after)) => {
                before.map(|before| self.effects.take_back(combination, x, before, at));
                after
            }
            (None, None) => return,
        };
        if let Some((part, option)) = self.effects.observe(combination, x, quality, weight, at) {
            let part = &self.combinations.space().parts()[part];
            let option = part.options.get(usize::from(option)).map(String::as_str).unwrap_or_default();
            tracing::info!(part = %part.name, option, "outcomes have changed: trying it anew");
            heard.drifted = true;
        }
    }

    /// The template's place, where a report is the first that says something of an answer by one that might have been another.
    fn is_routed(&self, logged: &LoggedOutcome) -> Option<usize> {
        self.router.as_ref()?;
        let prompted = logged.answer.as_ref()?.prompted.as_ref()?;
        let place = self.prompts.place_of(&prompted.prompt)?;
        let first = |settled: Option<Settled>| settled.as_ref().is_some_and(is_judgement);
        let counts = planner::was_chosen(&logged.decision)
            && first(settled_with(logged))
            && !first(settled_before(logged));
        counts.then_some(place)
    }

    fn learn_routing(&mut self, template: usize, logged: &LoggedOutcome, embedding: &[f32]) {
        let (Some(router), Some(answer), Some(settled)) =
            (&mut self.router, &logged.answer, settled_with(logged))
        else {
            return;
        };
        let own = answer.prompted.as_ref().map_or(0.0, |prompted| f64::from(prompted.tokens));
        let tokens = answer.usage.output_tokens as f64 + READ_TOKENS * own;
        router.observe(template, embedding, settled.quality, tokens);
    }

    fn take_note(&mut self, event: DriftEvent, heard: &mut Heard) {
        tracing::info!(strategy = %event.arm, shift = event.shift, "outcomes have changed: learning anew");
        heard.drifted = true;
        self.events.push(event);
        let surplus = self.events.len().saturating_sub(MOST_EVENTS);
        self.events.drain(..surplus);
    }

    /// Drops what speaks of chunks that are not there anymore.
    fn forget_the_gone(&mut self, store: &dyn Store) -> Result<(), EngineError> {
        if self.memory.chunks().is_empty() {
            return Ok(());
        }
        let there: BTreeSet<ChunkId> = store.chunk_ids()?.into_iter().collect();
        self.memory.forget_passages(|chunk| !there.contains(&chunk));
        Ok(())
    }

    fn write(&mut self, store: &dyn Store, account: Account, expenses: Expenses) -> Result<(), EngineError> {
        let snapshot = Snapshot {
            learner: self.learner.to_bytes(),
            effects: self.effects.to_bytes(),
            router: self.router.as_ref().map(Router::to_bytes).unwrap_or_default(),
            memory: self.memory.to_bytes(),
            expenses,
            events: self.events.clone(),
            account,
        };
        let bytes = postcard::to_allocvec(&snapshot)
            .map_err(|error| EngineError::Internal(format!("what was learned cannot be written: {error}")))?;
        store.put_snapshot(SNAPSHOT, self.position, &bytes)?;
        self.written = self.position;
        Ok(())
    }
}

/// The embeddings of those questions of a part of the log that need one, in the order of the log, made in one go.
struct Questions(Vec<Option<Embedding>>);

impl Questions {
    fn embedded(
        log: &[LoggedOutcome],
        embedder: &dyn Embedder,
        also: impl Fn(&LoggedOutcome) -> bool,
    ) -> Result<Self, EngineError> {
        let needed: Vec<bool> = log.iter().map(|logged| Self::concerns(logged) || also(logged)).collect();
        let concerned = log.iter().zip(&needed).filter(|(_, needed)| **needed);
        let texts: Vec<&str> = concerned.map(|(logged, _)| logged.decision.query.as_str()).collect();
        let mut embeddings = embedder.embed(&texts)?.into_iter();
        Ok(Self(needed.into_iter().map(|needed| if needed { embeddings.next() } else { None }).collect()))
    }

    /// What was brought was chosen by somebody else, and says nothing of how passages are found.
    fn concerns(logged: &LoggedOutcome) -> bool {
        let brought = context::is_of_context(&logged.decision)
            || plans::is_of_route(&logged.decision)
            || is_of_prompt(&logged.decision);
        !brought && Shown::of(logged).testimony(logged).concerns_passages()
    }
}

/// The passages of an answer, by their ids.
struct Shown {
    shown: Vec<ChunkId>,
    /// The score of each beside the best one.
    standing: Vec<f32>,
    cited: Vec<ChunkId>,
}

impl Shown {
    fn of(logged: &LoggedOutcome) -> Self {
        let evidence = logged.answer.iter().flat_map(|answer| &answer.evidence);
        let citations = logged.answer.iter().flat_map(|answer| &answer.citations);
        let best = evidence.clone().map(|evidence| evidence.score).fold(0.0, f32::max);
        let standing = |score: f32| if best > 0.0 { score / best } else { 1.0 };
        Self {
            shown: evidence.clone().map(|evidence| evidence.chunk).collect(),
            standing: evidence.map(|evidence| standing(evidence.score)).collect(),
            cited: citations.map(|citation| citation.chunk).collect(),
        }
    }

    fn testimony<'a>(&'a self, logged: &'a LoggedOutcome) -> Testimony<'a> {
        let UserContext { tenant, user, .. } = &logged.decision.user;
        Testimony {
            request: logged.decision.id,
            tenant: tenant.as_deref(),
            reporter: logged.outcome.user.as_deref().or(user.as_deref()),
            start: related::start_of(&logged.decision),
            question: &logged.decision.query,
            at: logged.outcome.at,
            judgement: &logged.outcome.judgement,
            shown: &self.shown,
            standing: &self.standing,
            cited: &self.cited,
        }
    }
}

impl Learned {
    /// The last snapshot, and the log from there on; the whole log where there is none.
    pub(crate) fn from_log(
        store: &dyn Store,
        embedder: &dyn Embedder,
        half_life_days: Option<f64>,
        combinations: Arc<Combinations>,
        sketches: Arc<Sketches>,
        prompts: Arc<Prompts>,
    ) -> Result<(Self, Account, Heard), EngineError> {
        let new = Fold::new(half_life_days, &combinations, &sketches, &prompts, embedder.dimensions());
        let Start { mut fold, account, expenses, before } = new.read(store, half_life_days)?;
        let mut heard = fold.catch_up(store, embedder)?;
        // What can be chosen now and could not be before is as good a reason to explore as a drift.
        heard.drifted |= before.is_some_and(|before| fold.effects.welcome(&before));
        fold.forget_the_gone(store)?;
        let (fold, expenses) = (RwLock::new(fold), Mutex::new(expenses));
        Ok((Self { half_life_days, combinations, sketches, prompts, fold, expenses }, account, heard))
    }

    /// Folds in what came since, and writes a snapshot where much came.
    pub(crate) fn catch_up(
        &self,
        store: &dyn Store,
        embedder: &dyn Embedder,
        account: impl FnOnce() -> Account,
    ) -> Result<Heard, EngineError> {
        let mut fold = self.fold.write();
        let heard = fold.catch_up(store, embedder)?;
        if fold.position >= fold.written + SNAPSHOT_STEP {
            fold.write(store, account(), self.expenses())?;
        }
        Ok(heard)
    }

    /// Folds the whole log anew, after something was taken out of it.
    pub(crate) fn fold_anew(&self, store: &dyn Store, embedder: &dyn Embedder) -> Result<(), EngineError> {
        // Held meanwhile, so that nothing is folded into a state that is about to go.
        let mut fold = self.fold.write();
        let mut anew = Fold::new(
            self.half_life_days,
            &self.combinations,
            &self.sketches,
            &self.prompts,
            embedder.dimensions(),
        );
        anew.catch_up(store, embedder)?;
        anew.effects.welcome(&fold.effects.known());
        anew.forget_the_gone(store)?;
        *fold = anew;
        Ok(())
    }

    pub(crate) fn snapshot(&self, store: &dyn Store, account: Account) -> Result<(), EngineError> {
        self.fold.write().write(store, account, self.expenses())
    }

    pub(crate) fn forget_the_gone(&self, store: &dyn Store) -> Result<(), EngineError> {
        self.fold.write().forget_the_gone(store)
    }

    /// Whether feedback could move anything for whoever asks.
    pub(crate) fn remembers(&self, user: &UserContext) -> bool {
        self.fold.read().memory.knows(user.tenant.as_deref())
    }

    /// What feedback says of `query`.
    pub(crate) fn recall(&self, query: &Query, embedding: &[f32]) -> Recall {
        self.fold.read().memory.recall(query.user.tenant.as_deref(), &query.text, embedding)
    }

    /// Looks into the memory of feedback.
    pub(crate) fn memory<T>(&self, look: impl FnOnce(&Memory) -> T) -> T {
        look(&self.fold.read().memory)
    }

    /// Questions and votes that feedback has left.
    pub(crate) fn memory_size(&self) -> (usize, usize) {
        self.fold.read().memory.size()
    }

    /// The outcome of the log that is folded in last.
    pub(crate) fn position(&self) -> u64 {
        self.fold.read().position
    }

    /// When outcomes changed, oldest first.
    pub(crate) fn drift_events(&self) -> Vec<DriftEvent> {
        self.fold.read().events.clone()
    }

    /// The template for a question of this embedding, where there are several.
    pub(crate) fn route(&self, embedding: &[f32]) -> Option<Routed> {
        self.fold.read().router.as_ref().map(|router| router.route(embedding))
    }

    /// Hands what was learned to `look`.
    pub(crate) fn with<T>(&self, look: impl FnOnce(Known<'_>) -> T) -> T {
        let expenses = self.expenses();
        let fold = self.fold.read();
        look(Known { learner: &fold.learner, effects: &fold.effects, expenses: &expenses })
    }

    pub(crate) fn expenses(&self) -> Expenses {
        self.expenses.lock().clone()
    }

    pub(crate) fn observe_expense(&self, strategy: &Strategy, expense: Expense) {
        self.expenses.lock().observe(strategy, expense);
    }

    pub(crate) fn observe_prompt(&self, prompt: &PromptPlan, model: &str, output_tokens: f64) {
        self.expenses.lock().observe_prompt(prompt, model, output_tokens);
    }

    pub(crate) fn observe_use(&self, model: &str, used: Use) {
        self.expenses.lock().observe_model(model, used);
    }
}
