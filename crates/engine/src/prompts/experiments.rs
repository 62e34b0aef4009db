//! Experiments: challengers that get a share of a template's requests until it is known whether they are better.

use std::collections::BTreeSet;

use burnish_learning::{Arm, History, Measured, Trial, TrialFinding, TrialSettings, TrialVerdict};
use burnish_types::{Assignment, Decision, Timestamp, fnv1a};
use serde::{Deserialize, Serialize};

use super::changes::ChangeKind;
use super::standing::Standing;
use crate::EngineError;

/// Observations between two points of an experiment's course.
const STEP: u64 = 10;
/// So many points are kept; where there are more, every second one goes.
const MOST_POINTS: usize = 120;
/// The most challengers of one experiment.
const MOST_CHALLENGERS: usize = 8;
/// Experiments that are remembered: those that have ended, and drafts.
const MOST_ENDED: usize = 100;
const MOST_DRAFTS: usize = 50;
/// Users that one experiment counts, one outcome each.
const MOST_USERS: usize = 20_000;

/// Where an experiment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExperimentState {
    /// It was put down and has not begun.
    Draft,
    /// Requests are assigned.
    Running,
    /// A challenger has taken the champion's place.
    Promoted,
    /// It ended otherwise.
    Retired,
}

impl ExperimentState {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Running => "running",
            Self::Promoted => "promoted",
            Self::Retired => "retired",
        }
    }
}

/// What is assigned to an arm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sticky {
    /// Each request by itself.
    #[default]
    Request,
    /// Each user, with all of that user's requests.
    User,
}

/// An experiment that is to be put down.
#[derive(Clone, Debug, PartialEq)]
pub struct NewExperiment {
    /// What people call it.
    pub name: String,
    /// The template whose version in use is the champion.
    pub template: String,
    /// The versions that challenge it.
    pub challengers: Vec<String>,
    /// The share of the requests that challengers get together, in (0, 1).
    pub share: f64,
    /// What is assigned.
    pub sticky: Sticky,
    /// Only questions of one of these topics take part; none means all.
    pub topics: Vec<String>,
    /// Whether a better challenger takes the champion's place by itself.
    pub promotes_itself: bool,
    /// A challenger whose answers cost more than this many times the champion's is not promoted by itself.
    pub most_cost: f64,
    /// What it is to show.
    pub trial: TrialSettings,
}

/// What is done with an experiment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Begin.
    Start,
    /// Assign no requests for now.
    Freeze,
    /// Go on.
    Resume,
    /// End it and keep the champion.
    Stop,
    /// End it and put this challenger into use; the only one where none is named.
    Promote(Option<String>),
}

/// What was known at one time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct IntervalPoint {
    /// When.
    pub at: Timestamp,
    /// Outcomes so far.
    pub observations: u64,
    /// The challenger's mean quality less the champion's.
    pub difference: f64,
    /// What holds the truth.
    pub interval: [f64; 2],
}

/// A version that challenges the champion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contender {
    /// The version.
    pub version: String,
    /// Whether it still gets requests.
    pub is_live: bool,
    /// Why not, where it does not, and what evidence asks somebody to decide.
    pub note: String,
    /// What was known as outcomes came.
    pub course: Vec<IntervalPoint>,
    trial: Trial,
}

impl Contender {
    /// What was found so far.
    pub fn finding(&self) -> TrialFinding {
        self.trial.finding()
    }
}

/// Challengers beside a champion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Experiment {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// The template.
    pub template: String,
    /// The version that it is compared with.
    pub champion: String,
    /// What it is compared with.
    pub challengers: Vec<Contender>,
    /// The share of the requests that challengers get together.
    pub share: f64,
    /// What is assigned.
    pub sticky: Sticky,
    /// Only questions of one of these topics take part; none means all.
    pub topics: Vec<String>,
    /// Whether a better challenger takes the champion's place by itself.
    pub promotes_itself: bool,
    /// A challenger whose answers cost more than this many times the champion's is not promoted by itself.
    pub most_cost: f64,
    /// Where it stands.
    pub state: ExperimentState,
    /// Whether it is not given any requests for now.
    pub is_frozen: bool,
    /// When it was put down.
    pub created: Timestamp,
    /// When it began.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Why it ended.
    pub reason: String,
    /// Hashes of the users whose outcomes were counted, where users are assigned.
    users: BTreeSet<u64>,
}

/// Versions with the probabilities with which requests get them, which add up to 1; those of a version are to be added.
pub(super) type Arms = Vec<(String, f64)>;

/// What requests need of an experiment, or a search, that runs.
#[derive(Clone, Debug)]
pub(super) struct Running {
    id: String,
    template: String,
    champion: String,
    arms: Arms,
    sticky: Sticky,
    topics: Vec<String>,
}

impl Running {
    pub(super) fn is_about(&self, template: &str) -> bool {
        self.template == template
    }

    /// Of requests, whatever they are about.
    pub(super) fn new(id: String, template: String, champion: String, arms: Arms) -> Self {
        Self { id, template, champion, arms, sticky: Sticky::Request, topics: Vec::new() }
    }

    /// The versions that challenge the champion.
    pub(super) fn challengers(&self) -> impl Iterator<Item = &str> {
        self.arms.iter().map(|(version, _)| version.as_str()).filter(|version| *version != self.champion)
    }

    /// Assigns a request whose plan has the champion, where it takes part. The probability is of the version that it gets.
    pub(super) fn assign(&self, decision: &Decision, topics: &[String]) -> Option<Assignment> {
        let prompt = decision.choice()?.plan.prompt.as_ref()?;
        let concerns = self.topics.is_empty() || self.topics.iter().any(|topic| topics.contains(topic));
        if prompt.template != self.template || prompt.version != self.champion || !concerns {
            return None;
        }
        let mut left = self.lot(decision);
        let drawn = self.arms.iter().find(|(_, share)| {
            left -= share;
            left < 0.0
        });
        // The shares may add up to a little less than 1.
        let (version, _) = drawn.or(self.arms.last())?;
        Some(Assignment {
            experiment: self.id.clone(),
            version: version.clone(),
            challenger: *version != self.champion,
            propensity: self.probability(version),
            champion: self.probability(&self.champion),
        })
    }

    fn probability(&self, version: &str) -> f64 {
        self.arms.iter().filter(|(known, _)| known == version).map(|(_, share)| share).sum()
    }

    /// Uniform in [0, 1): of the request or, where that is asked for and known, of the user, another one in each experiment.
    fn lot(&self, decision: &Decision) -> f64 {
        let user = user_of(decision).filter(|_| self.sticky == Sticky::User);
        let who = user.map_or_else(|| decision.id.to_string(), |user| user.to_string());
        let hash = fnv1a(format!("{} {who}", self.id).as_bytes());
        // The last letters of similar names must move all of it.
        fastrand::Rng::with_seed(hash).f64()
    }
}

impl Experiment {
    /// Whether it has not ended.
    pub fn is_open(&self) -> bool {
        matches!(self.state, ExperimentState::Draft | ExperimentState::Running)
    }

    /// Whether it is about this version.
    pub fn names(&self, version: &str) -> bool {
        self.champion == version || self.challengers.iter().any(|known| known.version == version)
    }

    pub(super) fn running(&self) -> Option<Running> {
        let live = || self.challengers.iter().filter(|challenger| challenger.is_live);
        let runs = self.state == ExperimentState::Running && !self.is_frozen && live().next().is_some();
        runs.then(|| {
            // A challenger's share is the same as long as it runs, so that what was drawn before means the same, and users stay
            // where they are; that of one that is dropped goes to the champion.
            let each = self.each();
            let challengers = self.challengers.iter().map(|challenger| match challenger.is_live {
                true => (challenger.version.clone(), each),
                false => (self.champion.clone(), each),
            });
            Running {
                sticky: self.sticky,
                topics: self.topics.clone(),
                ..Running::new(
                    self.id.clone(),
                    self.template.clone(),
                    self.champion.clone(),
                    challengers.chain([(self.champion.clone(), 1.0 - self.share)]).collect(),
                )
            }
        })
    }

    /// The probability with which each challenger is drawn.
    fn each(&self) -> f64 {
        self.share / self.challengers.len().max(1) as f64
    }

    pub(super) fn end(&mut self, state: ExperimentState, reason: String, at: Timestamp) {
        (self.state, self.reason, self.ended, self.is_frozen) = (state, reason, Some(at), false);
    }

    /// Whether an outcome is of somebody whose outcomes are not counted yet. Where users are assigned, all requests of one say as
    /// much as one.
    fn counts(&mut self, who: Option<u64>) -> bool {
        match who.filter(|_| self.sticky == Sticky::User) {
            Some(_) if self.users.len() >= MOST_USERS => false,
            Some(who) => self.users.insert(who),
            None => true,
        }
    }

    /// Counts an outcome of a request that took part, of that user, where one was named.
    fn observe(&mut self, assignment: &Assignment, who: Option<u64>, measured: &Measured, at: Timestamp) {
        if !self.counts(who) {
            return;
        }
        let each = self.each();
        for challenger in &mut self.challengers {
            let own = assignment.challenger && challenger.version == assignment.version;
            if assignment.challenger && !own || !challenger.is_live {
                continue;
            }
            // What counts is the choice between these two, whatever others there were.
            let (arm, propensity) = match own {
                true => {
                    (Arm::Challenger, assignment.propensity / (assignment.propensity + assignment.champion))
                }
                false => (Arm::Champion, each / (each + assignment.champion)),
            };
            if let Err(error) = challenger.trial.observe(arm, measured, propensity) {
                tracing::warn!(experiment = self.id, %error, "an outcome does not count");
                continue;
            }
            let found = challenger.trial.finding();
            let last = challenger.course.last().map_or(0, |point| point.observations);
            if found.observations >= last + STEP || found.verdict != TrialVerdict::Undecided {
                let TrialFinding { observations, difference, interval, .. } = found;
                challenger.course.push(IntervalPoint { at, observations, difference, interval });
                if challenger.course.len() > MOST_POINTS {
                    let mut place = 0;
                    challenger.course.retain(|_| {
                        place += 1;
                        place % 2 == 0
                    });
                }
            }
        }
    }
}

/// Who asked, as a number; none where nobody is named.
pub(super) fn user_of(decision: &Decision) -> Option<u64> {
    let user = decision.user.user.as_deref()?;
    Some(fnv1a(format!("{:?} {user}", decision.user.tenant).as_bytes()))
}

impl Standing {
    pub(super) fn experiment(&self, id: &str) -> Result<&Experiment, EngineError> {
        let known = self.experiments.iter().find(|experiment| experiment.id == id);
        known.ok_or_else(|| EngineError::UnknownExperiment(id.to_owned()))
    }

    fn experiment_mut(&mut self, id: &str) -> Result<&mut Experiment, EngineError> {
        let known = self.experiments.iter_mut().find(|experiment| experiment.id == id);
        known.ok_or_else(|| EngineError::UnknownExperiment(id.to_owned()))
    }

    /// Puts an experiment down.
    pub(super) fn create(&mut self, new: NewExperiment, at: Timestamp) -> Result<String, EngineError> {
        let line = self.line(&new.template)?.clone();
        let refuse = |reason: String| Err(EngineError::InvalidExperiment(reason));
        if !(new.share > 0.0 && new.share < 1.0) {
            return refuse(format!("the share of the challengers is {}: it lies between 0 and 1", new.share));
        }
        if new.challengers.is_empty() || new.challengers.len() > MOST_CHALLENGERS {
            return refuse(format!("name one to {MOST_CHALLENGERS} versions that challenge the one in use"));
        }
        if new.most_cost.is_nan() || new.most_cost <= 0.0 {
            return refuse(format!(
                "`most_cost` is {}: it is how many times the champion's cost, above 0",
                new.most_cost
            ));
        }
        if let Some(topic) = new.topics.iter().find(|topic| !burnish_prompt::TOPICS.contains(&topic.as_str()))
        {
            return refuse(format!(
                "no question is of the topic `{topic}`; there are {}",
                burnish_prompt::TOPICS.join(", ")
            ));
        }
        let mut challengers: Vec<Contender> = Vec::new();
        for version in &new.challengers {
            self.version(&new.template, version)?;
            if *version == line.in_use || challengers.iter().any(|known| known.version == *version) {
                return refuse(format!("the version `{version}` cannot challenge itself: name others"));
            }
            challengers.push(Contender {
                version: version.clone(),
                is_live: true,
                note: String::new(),
                course: Vec::new(),
                trial: Trial::new(new.trial),
            });
        }
        let id = self.next_experiment();
        self.experiments.push(Experiment {
            id: id.clone(),
            name: if new.name.trim().is_empty() { id.clone() } else { new.name },
            template: new.template,
            champion: line.in_use,
            challengers,
            share: new.share,
            sticky: new.sticky,
            topics: new.topics,
            promotes_itself: new.promotes_itself,
            most_cost: new.most_cost,
            state: ExperimentState::Draft,
            is_frozen: false,
            created: at,
            started: None,
            ended: None,
            reason: String::new(),
            users: BTreeSet::new(),
        });
        self.forget_experiments(|experiment| !experiment.is_open(), MOST_ENDED);
        self.forget_experiments(|experiment| experiment.state == ExperimentState::Draft, MOST_DRAFTS);
        Ok(id)
    }

    /// Drops the oldest experiment of a kind of which there are too many.
    fn forget_experiments(&mut self, kind: impl Fn(&Experiment) -> bool, most: usize) {
        let count = self.experiments.iter().filter(|experiment| kind(experiment)).count();
        let oldest = self.experiments.iter().position(|experiment| kind(experiment) && count > most);
        oldest.map(|oldest| self.experiments.remove(oldest));
    }

    /// Does something with an experiment.
    pub(super) fn act(
        &mut self,
        id: &str,
        action: Action,
        why: &str,
        history: Option<History>,
        at: Timestamp,
    ) -> Result<(), EngineError> {
        let experiment = self.experiment(id)?.clone();
        let line = self.line(&experiment.template)?.clone();
        let (template, champion) = (experiment.template.clone(), experiment.champion.clone());
        let refuse = |reason: String| Err(EngineError::InvalidExperiment(reason));
        let state = experiment.state.name();
        let runs = experiment.state == ExperimentState::Running;
        let kind = match action {
            Action::Start => {
                if experiment.state != ExperimentState::Draft {
                    return refuse(format!("the experiment `{id}` is {state}: only a draft can be started"));
                }
                if line.pinned {
                    return refuse(format!(
                        "`{template}` is pinned: let it go before it is experimented with"
                    ));
                }
                let other = self
                    .experiments
                    .iter()
                    .find(|other| other.template == template && other.state == ExperimentState::Running);
                if let Some(other) = other {
                    return refuse(format!(
                        "the experiment `{}` runs on `{template}` already: stop it first, or wait for its end",
                        other.id
                    ));
                }
                let experiment = self.experiment_mut(id)?;
                experiment.state = ExperimentState::Running;
                experiment.started = Some(at);
                // What is known of the champion tells harm sooner.
                for challenger in &mut experiment.challengers {
                    let mut settings = challenger.trial.settings();
                    settings.guard.history = history;
                    challenger.trial = Trial::new(settings);
                }
                // What is in use may have changed since it was put down.
                experiment.champion.clone_from(&line.in_use);
                experiment.challengers.retain(|challenger| challenger.version != line.in_use);
                if experiment.challengers.is_empty() {
                    return refuse(format!(
                        "what challenges `{template}` is in use already: put down another experiment"
                    ));
                }
                ChangeKind::Started
            }
            Action::Freeze | Action::Resume if !runs => {
                return refuse(format!(
                    "the experiment `{id}` is {state}: only one that runs can be frozen and resumed"
                ));
            }
            Action::Freeze => {
                self.experiment_mut(id)?.is_frozen = true;
                ChangeKind::Frozen
            }
            Action::Resume => {
                self.experiment_mut(id)?.is_frozen = false;
                ChangeKind::Resumed
            }
            Action::Stop | Action::Promote(_) if !experiment.is_open() => {
                return refuse(format!("the experiment `{id}` is {state} already"));
            }
            Action::Stop => {
                self.experiment_mut(id)?.end(ExperimentState::Retired, "stopped by hand".to_owned(), at);
                ChangeKind::Retired
            }
            Action::Promote(version) => {
                let version = match (version, experiment.challengers.as_slice()) {
                    (Some(version), known) if known.iter().any(|known| known.version == version) => version,
                    (None, [only]) => only.version.clone(),
                    (Some(version), _) => return refuse(format!("`{version}` does not take part in `{id}`")),
                    (None, _) => return refuse(format!("`{id}` has several challengers: say which one")),
                };
                return self.promote(id, &version, "promoted by hand".to_owned(), at);
            }
        };
        self.note(kind, &template, &champion, None, Some(id.to_owned()), why.to_owned(), at);
        Ok(())
    }

    /// Whether an experiment has found a version not to be better.
    pub(super) fn was_dropped(&self, version: &str) -> bool {
        let challengers = self.experiments.iter().flat_map(|experiment| &experiment.challengers);
        challengers.into_iter().any(|known| known.version == version && !known.is_live)
    }

    fn promote(&mut self, id: &str, version: &str, reason: String, at: Timestamp) -> Result<(), EngineError> {
        let template = self.experiment(id)?.template.clone();
        self.usable(&template, version)?;
        self.experiment_mut(id)?.end(ExperimentState::Promoted, reason.clone(), at);
        self.put_into_use(&template, version, ChangeKind::Promoted, Some(id), reason, at)
    }

    /// Counts an outcome, and does what it decides. Whether that changed what requests get.
    pub(super) fn hear(
        &mut self,
        assignment: &Assignment,
        who: Option<u64>,
        measured: &Measured,
        at: Timestamp,
    ) -> bool {
        let Ok(experiment) = self.experiment_mut(&assignment.experiment) else { return false };
        if experiment.state != ExperimentState::Running {
            return false;
        }
        experiment.observe(assignment, who, measured, at);
        let mut changed = false;
        for place in 0..experiment.challengers.len() {
            changed |= self.settle(&assignment.experiment, place, at);
        }
        changed
    }

    /// Does what is decided of a challenger. Whether that changed what requests get.
    fn settle(&mut self, id: &str, place: usize, at: Timestamp) -> bool {
        let Ok(experiment) = self.experiment_mut(id) else { return false };
        if experiment.state != ExperimentState::Running {
            return false;
        }
        let template = experiment.template.clone();
        let (is_frozen, most_cost) = (experiment.is_frozen, experiment.most_cost);
        let promotes_itself = experiment.promotes_itself;
        let is_pinned = self.line(&template).is_ok_and(|line| line.pinned);
        // Outcomes of requests from before still come; what is frozen or pinned is for people to change.
        let promotes_itself = promotes_itself && !is_frozen && !is_pinned;
        let Ok(experiment) = self.experiment_mut(id) else { return false };
        let Some(challenger) = experiment.challengers.get_mut(place).filter(|known| known.is_live) else {
            return false;
        };
        let found = challenger.trial.finding();
        let version = challenger.version.clone();
        let named = Some(id.to_owned());
        match found.verdict {
            TrialVerdict::Undecided => false,
            TrialVerdict::Promote => {
                let dearer = too_dear(&found, most_cost);
                if promotes_itself && dearer.is_none() {
                    return self.promote(id, &version, found.reason, at).is_ok();
                }
                if challenger.note.is_empty() {
                    let reason = format!("{}{}", found.reason, dearer.unwrap_or_default());
                    challenger.note.clone_from(&reason);
                    self.note(ChangeKind::Proposed, &template, &version, None, named, reason, at);
                }
                false
            }
            TrialVerdict::Retire | TrialVerdict::Stopped => {
                challenger.is_live = false;
                challenger.note.clone_from(&found.reason);
                let over = experiment.challengers.iter().all(|challenger| !challenger.is_live);
                if over {
                    experiment.end(ExperimentState::Retired, found.reason.clone(), at);
                }
                let stopped = found.verdict == TrialVerdict::Stopped;
                let kind = if stopped { ChangeKind::Stopped } else { ChangeKind::Retired };
                self.note(kind, &template, &version, None, named, found.reason, at);
                true
            }
        }
    }
}

/// Why a better challenger is not promoted by itself, where it costs too much.
fn too_dear(found: &TrialFinding, most: f64) -> Option<String> {
    let (champion, challenger) = (found.champion.cost_usd?, found.challenger.cost_usd?);
    (challenger > most * champion).then(|| {
        format!(
            "; not promoted by itself, since an answer costs ${challenger:.6} instead of ${champion:.6}, more than {most} times as much"
        )
    })
}
