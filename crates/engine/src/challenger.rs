//! Boosted trees as a challenger of what is learned: trained from the log, promoted where the log shows that they are
//! for the better, watched from then on, and dropped where they are not any more.
//!
//! Each attempt to promote is a test. However often one is made, the probability that trees ever take over which are not
//! for the better stays within [`LEVEL`]: the `k`th attempt is given the share `6 / (π k)²` of it, and another one is made
//! only once the log has grown.

use std::collections::BTreeMap;
use std::f64::consts::PI;
use std::sync::Arc;

use burnish_learning::selection::HOLDBACK;
use burnish_learning::trees::{BoostedTrees, Challenge, ChallengeRow, ChallengeSettings, challenge, train};
use burnish_learning::{Arm, Comparison, ComparisonSettings, FeatureVector, Verdict};
use burnish_types::{Candidate, LoggedOutcome, Store, Timestamp, fnv1a};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::judged::{is_judgement, settled_before, settled_with};
use crate::planner::PINNED;
use crate::{Engine, EngineError, FoundPatterns, log, related};

/// Names the snapshot, and its form.
const SNAPSHOT: &str = "challenger";
const VERSION: u32 = 1;
/// The probability that trees are ever promoted, or dropped by the comparison, wrongly.
const LEVEL: f64 = 0.01;
/// The log has to grow by this factor before trees are tried again.
const GROWTH: f64 = 1.2;
/// Outcomes that trees are trained from, the latest ones.
const MOST_OUTCOMES: u64 = 50_000;
/// The state of the comparison is written down after so many outcomes.
const WRITTEN_STEP: u64 = 500;
/// A comparison that has shown nothing against the trees is begun anew after so many observations.
const HORIZON: u64 = 2_000;
const MOST_EVENTS: usize = 50;

/// What trees were, or would be, trained from: it is enough to train them again.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// The outcome of the log up to which they are trained.
    pub position: u64,
    /// Only decisions from this time on.
    pub from: Timestamp,
    /// Only decisions before this time.
    pub to: Timestamp,
    /// For folds and trees.
    pub seed: u64,
}

/// What became of trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChallengerChange {
    /// They took over.
    Promoted,
    /// The log does not show that they are for the better.
    Refused,
    /// They were for the worse, or outcomes have changed.
    Dropped,
    /// Somebody wanted them gone.
    Demoted,
}

/// Something that happened to trees.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChallengerEvent {
    /// When.
    pub at: Timestamp,
    /// What.
    pub change: ChallengerChange,
    /// What they were trained from.
    pub training: Training,
    /// Why, in words.
    pub reason: String,
}

/// Where trees stand.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChallengerStanding {
    /// Since when trees are in use, with what was found before they were, and the size of what watches them.
    pub in_use: Option<(Timestamp, Challenge)>,
    /// What the comparison of live outcomes says of playing without them: the difference in quality, its interval, and
    /// the outcomes that it rests on.
    pub watched: Option<(f64, [f64; 2], u64)>,
    /// What happened, oldest first.
    pub events: Vec<ChallengerEvent>,
}

/// What a try has come to.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// What it was made from.
    pub training: Training,
    /// What was found; nothing where the log has not grown enough since the last attempt.
    pub found: Option<Challenge>,
    /// Whether trees took over.
    pub promoted: bool,
    /// Why, or why not, in words.
    pub reason: String,
}

/// What is written down.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Record {
    version: u32,
    attempts: u32,
    /// Judged decisions of the last attempt, and from when on they were.
    judged: usize,
    from: Timestamp,
    in_use: Option<InUse>,
    /// Oldest first.
    events: Vec<ChallengerEvent>,
}

#[derive(Clone, Serialize, Deserialize)]
struct InUse {
    at: Timestamp,
    training: Training,
    /// The version of the numbers that the trees look at.
    vector: u32,
    trees: BoostedTrees,
    found: Challenge,
    /// Of live outcomes, with what is played without trees as the challenger.
    comparison: Comparison,
    /// Comparisons before it.
    rounds: i32,
    /// The outcome up to which it has come.
    position: u64,
    written: u64,
}

impl Record {
    /// What was written down; with a warning, nothing where that can't be read or does not fit.
    fn read(store: &dyn Store) -> Result<Self, EngineError> {
        let nothing = || Self { version: VERSION, ..Self::default() };
        let Some((_, bytes)) = store.snapshot(SNAPSHOT)? else { return Ok(nothing()) };
        let mut record = match serde_json::from_slice::<Self>(&bytes) {
            Ok(record) if record.version == VERSION => record,
            Ok(record) => {
                tracing::warn!(
                    version = record.version,
                    "the record of boosted trees is of another version: they are not used"
                );
                return Ok(nothing());
            }
            Err(error) => {
                tracing::warn!(%error, "the record of boosted trees cannot be read: they are not used");
                return Ok(nothing());
            }
        };
        let fits = |used: &InUse| {
            used.vector == FeatureVector::VERSION && used.trees.features() == FeatureVector::LENGTH
        };
        if record.in_use.as_ref().is_some_and(|used| !fits(used)) {
            tracing::warn!("boosted trees were trained on other features than today's: they are not used");
            record.in_use = None;
        }
        Ok(record)
    }

    fn write(&self, store: &dyn Store) -> Result<(), EngineError> {
        let bytes = serde_json::to_vec(self)
            .map_err(|error| EngineError::Internal(format!("the trees cannot be written: {error}")))?;
        let position = self.in_use.as_ref().map_or(0, |used| used.position);
        Ok(store.put_snapshot(SNAPSHOT, position, &bytes)?)
    }

    fn note(&mut self, at: Timestamp, change: ChallengerChange, training: Training, reason: String) {
        tracing::info!(?change, %reason, "boosted trees");
        self.events.push(ChallengerEvent { at, change, training, reason });
        let surplus = self.events.len().saturating_sub(MOST_EVENTS);
        self.events.drain(..surplus);
    }

    fn trees(&self) -> Option<Arc<BoostedTrees>> {
        self.in_use.as_ref().map(|used| Arc::new(used.trees.clone()))
    }
}

/// Trees in use, if any, and what happened to those before.
pub(crate) struct Challenger(Mutex<Record>);

impl Challenger {
    pub(crate) fn read(store: &dyn Store) -> Result<Self, EngineError> {
        Ok(Self(Mutex::new(Record::read(store)?)))
    }

    pub(crate) fn trees(&self) -> Option<Arc<BoostedTrees>> {
        self.0.lock().trees()
    }

    pub(crate) fn standing(&self) -> ChallengerStanding {
        let record = self.0.lock();
        let watched = |used: &InUse| {
            let finding = used.comparison.finding();
            (finding.difference, finding.interval, finding.observations)
        };
        ChallengerStanding {
            in_use: record.in_use.as_ref().map(|used| (used.at, used.found.clone())),
            watched: record.in_use.as_ref().map(watched),
            events: record.events.clone(),
        }
    }
}

impl Engine {
    /// Trains trees from the outcomes of the decisions between two times, the first included, and lets them correct what
    /// is learned from now on if the log shows that they are for the better. What came before outcomes last changed is
    /// not looked at.
    pub fn challenge(&self, from: Timestamp, to: Timestamp, seed: u64) -> Result<Attempt, EngineError> {
        let taken_back = *self.taken_back.lock();
        let changed = self.learned.drift_events().last().map(|event| event.at);
        let from = from.max(changed.unwrap_or_default());
        let training = Training { position: self.learned.position(), from, to, seed };
        let rows = self.challenge_rows(training)?;
        let attempts = {
            let mut record = self.challenger.0.lock();
            let needed = (GROWTH * record.judged as f64).ceil() as usize;
            // After a change of outcomes there are other decisions to learn from, and fewer.
            if record.attempts > 0 && record.from == training.from && rows.len() < needed {
                let reason = format!(
                    "not tried: the last attempt had {} judged decisions, and the next one is made from {needed} on; \
                     there are {}",
                    record.judged,
                    rows.len()
                );
                return Ok(Attempt { training, found: None, promoted: false, reason });
            }
            record.attempts += 1;
            (record.judged, record.from) = (rows.len(), training.from);
            // An attempt that is cut short has been made all the same.
            record.write(self.store.as_ref())?;
            record.attempts
        };
        // Seconds of work, during which feedback goes on being heard.
        let share = 6.0 / (PI * f64::from(attempts)).powi(2);
        let settings = self.challenge_settings(LEVEL * share, seed);
        let found = challenge(&rows, &settings);
        let trees = train(&rows, &settings).filter(|trees| found.better && trees.trees() > 0);
        let now = self.taken_back.lock();
        if *now != taken_back {
            return Err(EngineError::TakenBack);
        }
        let mut record = self.challenger.0.lock();
        let reason = reason(&found);
        let at = self.clock.now();
        let promoted = trees.is_some();
        if let Some(trees) = trees {
            record.in_use = Some(InUse {
                at,
                training,
                vector: FeatureVector::VERSION,
                trees,
                found: found.clone(),
                comparison: comparison(0),
                rounds: 0,
                position: training.position,
                written: training.position,
            });
            record.note(at, ChallengerChange::Promoted, training, reason.clone());
            self.planner.correct_by(record.trees());
        } else {
            record.note(at, ChallengerChange::Refused, training, reason.clone());
        }
        record.write(self.store.as_ref())?;
        Ok(Attempt { training, found: Some(found), promoted, reason })
    }

    /// The trees that this training gives today.
    pub fn train_again(&self, training: Training) -> Result<Option<BoostedTrees>, EngineError> {
        Ok(train(&self.challenge_rows(training)?, &self.challenge_settings(LEVEL, training.seed)))
    }

    /// Takes the trees out of use. `false` where none are.
    pub fn demote(&self) -> Result<bool, EngineError> {
        let mut record = self.challenger.0.lock();
        self.drop_trees(&mut record, ChallengerChange::Demoted, "taken out of use by hand".to_owned())
    }

    /// Looks for patterns in the whole log, and lets trees try.
    pub async fn learn_from_log(
        self: &Arc<Self>,
        seed: u64,
    ) -> Result<(FoundPatterns, Attempt), EngineError> {
        self.blocking(move |engine| {
            let (from, to) = (Timestamp(0), Timestamp(u64::MAX));
            let found = engine.find_patterns(from, to, seed, &|_, _| {})?;
            Ok((found, engine.challenge(from, to, seed)?))
        })
        .await
    }

    /// As [`Self::demote`], off the async threads.
    pub async fn demote_trees(self: &Arc<Self>) -> Result<bool, EngineError> {
        self.blocking(Self::demote).await
    }

    /// The trees were trained from reports that were taken back.
    pub(crate) fn forget_trees(&self) -> Result<(), EngineError> {
        let reason = "reports that they were trained from were taken back";
        let mut record = self.challenger.0.lock();
        self.drop_trees(&mut record, ChallengerChange::Dropped, reason.to_owned())?;
        // The record went with all snapshots; what happened is still known.
        record.write(self.store.as_ref())
    }

    /// Hears what came of the decisions that trees change, and drops them where that speaks against them.
    pub(crate) fn watch_trees(&self) -> Result<(), EngineError> {
        let mut record = self.challenger.0.lock();
        let Some(used) = record.in_use.as_mut() else { return Ok(()) };
        let changed = self.learned.drift_events().iter().any(|event| event.at > used.at);
        let against = used.hear(self.store.as_ref())?;
        let changed = || changed.then(|| "outcomes have changed since they were trained".to_owned());
        if let Some(reason) = against.or_else(changed) {
            return self.drop_trees(&mut record, ChallengerChange::Dropped, reason).map(|_| ());
        }
        if used.position < used.written + WRITTEN_STEP {
            return Ok(());
        }
        used.written = used.position;
        record.write(self.store.as_ref())
    }

    /// Writes down how far the trees were watched.
    pub(crate) fn close_trees(&self) -> Result<(), EngineError> {
        let record = self.challenger.0.lock();
        if record.in_use.is_some() { record.write(self.store.as_ref()) } else { Ok(()) }
    }

    fn drop_trees(
        &self,
        record: &mut Record,
        change: ChallengerChange,
        reason: String,
    ) -> Result<bool, EngineError> {
        let Some(used) = record.in_use.take() else { return Ok(false) };
        record.note(self.clock.now(), change, used.training, reason);
        self.planner.correct_by(None);
        record.write(self.store.as_ref())?;
        Ok(true)
    }

    fn challenge_settings(&self, level: f64, seed: u64) -> ChallengeSettings {
        let planner = &self.settings.planner;
        let (baseline, half_life_days) = (planner.baseline.clone(), planner.half_life_days);
        ChallengeSettings { baseline, half_life_days, level, seed }
    }

    /// The judged decisions of a training, in the order of time.
    fn challenge_rows(&self, training: Training) -> Result<Vec<ChallengeRow>, EngineError> {
        let mut rows = BTreeMap::new();
        let after = training.position.saturating_sub(MOST_OUTCOMES);
        for logged in log::outcomes(self.store.as_ref(), after) {
            let logged = logged?;
            if logged.position > training.position {
                break;
            }
            if !(training.from..training.to).contains(&logged.decision.at) {
                continue;
            }
            // A later report on a request takes the place of what was settled before it.
            match row(&logged) {
                Some(row) => rows.insert(logged.decision.id, row),
                None => rows.remove(&logged.decision.id),
            };
        }
        Ok(rows.into_values().collect())
    }
}

impl InUse {
    /// Takes in what came since; says why the trees should go, where they should.
    fn hear(&mut self, store: &dyn Store) -> Result<Option<String>, EngineError> {
        for logged in log::outcomes(store, self.position) {
            let logged = logged?;
            self.position = logged.position;
            let Some((arm, quality, propensity)) = self.observation(&logged) else { continue };
            // What is out of range was refused when it was reported.
            match self.comparison.observe(arm, quality, propensity) {
                Ok(Verdict::Promote) => return Ok(Some(self.against())),
                Ok(Verdict::Retire) => {
                    self.rounds += 1;
                    self.comparison = comparison(self.rounds);
                }
                Ok(Verdict::Undecided) | Err(_) => {}
            }
        }
        Ok(None)
    }

    fn against(&self) -> String {
        let finding = self.comparison.finding();
        format!(
            "decisions that they change are better without them by {:.3} (at least {:.3}, after {} outcomes)",
            finding.difference, finding.interval[0], finding.observations
        )
    }

    /// What a report says of the comparison: who served the request, how well, and how likely it was to be served
    /// without trees. The first word on a request counts.
    fn observation(&self, logged: &LoggedOutcome) -> Option<(Arm, f64, f64)> {
        let decision = &logged.decision;
        if decision.at < self.at || decision.policy.split(':').next() != Some(HOLDBACK) {
            return None;
        }
        if settled_before(logged).as_ref().is_some_and(is_judgement) {
            return None;
        }
        let quality = settled_with(logged).filter(is_judgement)?.quality;
        let propensity = decision.choice()?.propensity;
        // Fewer go without trees than with them.
        Some(match propensity < 0.5 {
            true => (Arm::Challenger, quality, propensity),
            false => (Arm::Champion, quality, 1.0 - propensity),
        })
    }
}

fn comparison(rounds: i32) -> Comparison {
    let level = LEVEL / 2.0 * 0.5f64.powi(rounds.min(20));
    Comparison::new(ComparisonSettings { level, horizon: HORIZON, ..ComparisonSettings::default() })
}

fn row(logged: &LoggedOutcome) -> Option<ChallengeRow> {
    let decision = &logged.decision;
    let choice = decision.choice().filter(|_| related::is_of_question(decision))?;
    let settled = settled_with(logged).filter(is_judgement)?;
    let question = decision.query.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>().join(" ");
    let (strategies, chosen) = decision.strategies();
    let option = |(candidate, propensity): (&Candidate, f64)| {
        (candidate.plan.strategy.to_string(), candidate.prediction.latency_ms, propensity)
    };
    Some(ChallengeRow {
        question: fnv1a(question.as_bytes()),
        at: decision.at,
        x: FeatureVector::new(&decision.features),
        options: strategies.into_iter().map(option).collect(),
        chosen,
        drawn: decision.policy != PINNED,
        quality: settled.quality - choice.prediction.added,
        trust: settled.trust,
    })
}

fn reason(found: &Challenge) -> String {
    let Challenge { n, differing, covered, questions, gain, interval: [low, high], level, better, .. } =
        found;
    if *covered == 0 {
        return format!(
            "trees from {n} judged decisions would change {differing} decisions, and the log can tell of none of them: \
             nothing else could have been chosen there"
        );
    }
    format!(
        "trees from {n} judged decisions would change {differing}; on the {covered} of these that could have gone either \
         way ({questions} questions) they change quality by {gain:+.3} [{low:+.3}, {high:+.3}], {}",
        match better {
            true => format!("for the better, with a chance of error of at most {:.2} %", 100.0 * level),
            false => "which does not show that they are for the better".to_owned(),
        }
    )
}
