//! What was decided about prompts: which versions there are and are in use, and the experiments with them. It is written down
//! with each decision.

use std::collections::BTreeMap;
use std::sync::Arc;

use burnish_prompt::{Library, Template};
use burnish_types::{Store, Timestamp};
use serde::{Deserialize, Serialize};

use super::changes::{Change, ChangeKind, MOST_CHANGES};
use super::evolution::Evolution;
use super::experiments::{Experiment, ExperimentState, Running};
use crate::EngineError;

/// Its name in the store.
const NAME: &str = "prompts-1";
/// So many versions of a template are kept beside those that anything names.
const MOST_VERSIONS: usize = 60;

/// How a version came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// It comes with the program, or is a file.
    File,
    /// Somebody wrote it.
    Written,
    /// Of blocks of others.
    Recombined,
    /// With less in it.
    Shortened,
    /// With what helps with some questions.
    Specialised,
    /// Without what helps with some questions alone.
    Generalised,
    /// By a language model, from what went wrong.
    Rewritten,
}

impl Origin {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Written => "written",
            Self::Recombined => "recombined",
            Self::Shortened => "shortened",
            Self::Specialised => "specialised",
            Self::Generalised => "generalised",
            Self::Rewritten => "rewritten",
        }
    }
}

/// A version of a template.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VersionRecord {
    /// The template's id.
    pub template: String,
    /// The version, by its content.
    pub version: String,
    /// The whole file.
    pub text: String,
    /// How it came to be.
    pub origin: Origin,
    /// What it was made of, as versions.
    pub parents: Vec<String>,
    /// Why, in words.
    pub note: String,
    /// When it was first seen.
    pub at: Timestamp,
}

/// What is in use under an id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// The version in use.
    pub in_use: String,
    /// What the file says.
    pub from_file: String,
    /// Whether experiments leave it alone.
    pub pinned: bool,
    /// Whether its file is not there now. What was decided of it holds again when it is.
    #[serde(default)]
    pub is_absent: bool,
}

/// Everything that was decided.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Standing {
    /// The outcome of the log that the experiments have counted last.
    pub(super) position: u64,
    lines: BTreeMap<String, Line>,
    versions: BTreeMap<String, VersionRecord>,
    pub(super) experiments: Vec<Experiment>,
    /// The searches for better versions, by template.
    #[serde(default)]
    pub(super) evolutions: BTreeMap<String, Evolution>,
    experiments_so_far: u64,
    changes: Vec<Change>,
    changes_so_far: u64,
    /// Those of the versions, read once.
    #[serde(skip)]
    templates: BTreeMap<String, Arc<Template>>,
}

impl Standing {
    pub(super) fn read(store: &dyn Store) -> Result<Self, EngineError> {
        let Some(record) = store.register(NAME)? else { return Ok(Self::default()) };
        let mut standing: Self = serde_json::from_str(&record).map_err(|error| {
            EngineError::Internal(format!(
                "what was decided about prompts (`{NAME}` in the store) cannot be read: {error}; run the version of the \
                 program that wrote it, or restore a backup"
            ))
        })?;
        for record in standing.versions.values() {
            // A version that today's program does not take anymore can be looked at, but not used.
            match Template::parse(&record.text) {
                Ok(template) => {
                    standing.templates.insert(record.version.clone(), Arc::new(template));
                }
                Err(error) => {
                    tracing::warn!(version = record.version, %error, "a kept prompt cannot be used")
                }
            }
        }
        Ok(standing)
    }

    pub(super) fn write(&self, store: &dyn Store) -> Result<(), EngineError> {
        let record = serde_json::to_string(self).map_err(|error| {
            EngineError::Internal(format!("what was decided about prompts cannot be written: {error}"))
        })?;
        Ok(store.put_register(NAME, &record)?)
    }

    pub(super) fn lines(&self) -> impl Iterator<Item = (&str, &Line)> {
        self.lines.iter().filter(|(_, line)| !line.is_absent).map(|(id, line)| (id.as_str(), line))
    }

    pub(super) fn line(&self, id: &str) -> Result<&Line, EngineError> {
        self.lines.get(id).filter(|line| !line.is_absent).ok_or_else(|| EngineError::UnknownTemplate {
            name: id.to_owned(),
            known: self.lines().map(|(id, _)| id.to_owned()).collect(),
        })
    }

    pub(super) fn template(&self, version: &str) -> Option<Arc<Template>> {
        self.templates.get(version).cloned()
    }

    /// The versions of a template, the newest first.
    pub(super) fn versions_of(&self, id: &str) -> Vec<&VersionRecord> {
        let mut versions: Vec<&VersionRecord> =
            self.versions.values().filter(|record| record.template == id).collect();
        versions.sort_by(|left, right| right.at.cmp(&left.at).then(left.version.cmp(&right.version)));
        versions
    }

    pub(super) fn version(&self, id: &str, version: &str) -> Result<&VersionRecord, EngineError> {
        self.line(id)?;
        let known = self.versions.get(version).filter(|record| record.template == id);
        known.ok_or_else(|| EngineError::UnknownVersion {
            template: id.to_owned(),
            version: version.to_owned(),
        })
    }

    /// The newest change first.
    pub(super) fn changes(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().rev()
    }

    pub(super) fn running(&self) -> Vec<Running> {
        let running = self
            .experiments
            .iter()
            .filter(|experiment| self.lines.get(&experiment.template).is_some_and(|line| !line.pinned));
        let mut running: Vec<Running> = running.filter_map(Experiment::running).collect();
        for evolution in self.evolutions.values() {
            let free = self.lines.get(&evolution.template).is_some_and(|line| !line.pinned)
                && running.iter().all(|other| !other.is_about(&evolution.template));
            running.extend(evolution.running().filter(|_| free));
        }
        running
    }

    /// Takes in what the files say now. A file that was edited is in use, whatever was before; a template that comes with the
    /// program and has changed with it is a draft where outcomes or people have chosen another version. Whether anything changed.
    pub(super) fn take_files(&mut self, files: &Library, at: Timestamp) -> bool {
        let mut changed = false;
        for template in files.templates() {
            let (id, version) = (template.id().to_owned(), template.version().to_owned());
            let Some(mut line) = self.lines.get(&id).cloned() else {
                changed = true;
                self.insert(template, Origin::File, Vec::new(), "as the file says".to_owned(), at);
                let line =
                    Line { in_use: version.clone(), from_file: version, pinned: false, is_absent: false };
                self.lines.insert(id, line);
                continue;
            };
            if line.from_file == version && !line.is_absent {
                continue;
            }
            changed = true;
            line.is_absent = false;
            if line.from_file == version {
                self.lines.insert(id, line);
                continue;
            }
            let was_chosen = line.in_use != line.from_file;
            line.from_file.clone_from(&version);
            self.insert(template, Origin::File, Vec::new(), "as the file says".to_owned(), at);
            if files.is_shipped(&id) && was_chosen {
                self.lines.insert(id.clone(), line);
                let reason =
                    "the program brings another version; the one in use was chosen and stays".to_owned();
                self.note(ChangeKind::Proposed, &id, &version, None, None, reason, at);
                continue;
            }
            let before = std::mem::replace(&mut line.in_use, version.clone());
            self.lines.insert(id.clone(), line);
            let reason = "the file was edited".to_owned();
            self.end_experiments_on(&id, &reason, at);
            self.note(ChangeKind::Edited, &id, &version, Some(before), None, reason, at);
        }
        let gone: Vec<String> =
            self.lines().map(|(id, _)| id.to_owned()).filter(|id| files.template(id).is_none()).collect();
        for id in gone {
            changed = true;
            self.end_experiments_on(&id, "the file is gone", at);
            if let Some(line) = self.lines.get_mut(&id) {
                line.is_absent = true;
            }
        }
        if changed {
            self.settle_searches(at);
            self.forget_versions();
        }
        changed
    }

    fn insert(
        &mut self,
        template: &Arc<Template>,
        origin: Origin,
        parents: Vec<String>,
        note: String,
        at: Timestamp,
    ) {
        let version = template.version().to_owned();
        self.templates.insert(version.clone(), Arc::clone(template));
        let record = VersionRecord {
            template: template.id().to_owned(),
            version: version.clone(),
            text: template.to_text(),
            origin,
            parents,
            note,
            at,
        };
        self.versions.entry(version).or_insert(record);
    }

    /// Adds a version as a draft; the one that it is, where it is known already.
    pub(super) fn draft(
        &mut self,
        template: Template,
        origin: Origin,
        parents: Vec<String>,
        note: &str,
        at: Timestamp,
    ) -> Result<String, EngineError> {
        self.line(template.id())?;
        let (id, version) = (template.id().to_owned(), template.version().to_owned());
        if self.versions.get(&version).is_none_or(|known| known.template != id) {
            self.insert(&Arc::new(template), origin, parents, note.to_owned(), at);
            self.note(ChangeKind::Drafted, &id, &version, None, None, note.to_owned(), at);
        }
        Ok(version)
    }

    /// Drops the oldest versions that nothing names and no person wrote, where a template has too many. To be called when a change
    /// is complete: what is on its way into a search or an experiment is not named yet.
    pub(super) fn forget_versions(&mut self) {
        let named = |record: &VersionRecord| {
            let version = record.version.as_str();
            matches!(record.origin, Origin::Written | Origin::Rewritten)
                || self.lines.values().any(|line| line.in_use == version || line.from_file == version)
                || self.evolutions.values().any(|evolution| evolution.names(version))
                || self.experiments.iter().any(|experiment| experiment.is_open() && experiment.names(version))
                || self.changes.iter().any(|change| change.before.as_deref() == Some(version))
        };
        let surplus = |id: &String| {
            self.versions_of(id).into_iter().filter(|record| !named(record)).skip(MOST_VERSIONS)
        };
        let old: Vec<String> =
            self.lines.keys().flat_map(surplus).map(|record| record.version.clone()).collect();
        for version in old {
            self.versions.remove(&version);
            self.templates.remove(&version);
        }
    }

    /// Whether a version can be put into use.
    pub(super) fn usable(&self, id: &str, version: &str) -> Result<(), EngineError> {
        self.version(id, version)?;
        match self.template(version) {
            Some(_) => Ok(()),
            None => Err(EngineError::InvalidTemplate(format!(
                "the version `{version}` of `{id}` cannot be used by this program: write it anew"
            ))),
        }
    }

    /// Puts a version into use. What runs against the one before it has nothing to compare with anymore, and ends.
    pub(super) fn put_into_use(
        &mut self,
        id: &str,
        version: &str,
        kind: ChangeKind,
        experiment: Option<&str>,
        reason: String,
        at: Timestamp,
    ) -> Result<(), EngineError> {
        self.usable(id, version)?;
        let line = self.lines.get_mut(id).ok_or_else(|| EngineError::Internal("no line".to_owned()))?;
        let before = std::mem::replace(&mut line.in_use, version.to_owned());
        if before != version {
            self.end_experiments_on(id, "another version is in use", at);
        }
        self.note(kind, id, version, Some(before), experiment.map(str::to_owned), reason, at);
        Ok(())
    }

    /// Pins a template to the version in use, or lets it go.
    pub(super) fn pin(
        &mut self,
        id: &str,
        pinned: bool,
        reason: &str,
        at: Timestamp,
    ) -> Result<(), EngineError> {
        self.line(id)?;
        let Some(line) = self.lines.get_mut(id) else { return Ok(()) };
        line.pinned = pinned;
        let version = line.in_use.clone();
        let kind = if pinned { ChangeKind::Pinned } else { ChangeKind::Unpinned };
        self.note(kind, id, &version, None, None, reason.to_owned(), at);
        Ok(())
    }

    pub(super) fn next_experiment(&mut self) -> String {
        self.experiments_so_far += 1;
        format!("e{}", self.experiments_so_far)
    }

    fn end_experiments_on(&mut self, id: &str, reason: &str, at: Timestamp) {
        let mut ended = Vec::new();
        for experiment in self.experiments.iter_mut().filter(|experiment| experiment.template == id) {
            if experiment.state == ExperimentState::Running {
                experiment.end(ExperimentState::Retired, reason.to_owned(), at);
                ended.push((experiment.id.clone(), experiment.champion.clone()));
            }
        }
        for (experiment, champion) in ended {
            self.note(ChangeKind::Retired, id, &champion, None, Some(experiment), reason.to_owned(), at);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "they are the parts of a change")]
    pub(super) fn note(
        &mut self,
        kind: ChangeKind,
        template: &str,
        version: &str,
        before: Option<String>,
        experiment: Option<String>,
        reason: String,
        at: Timestamp,
    ) {
        self.changes_so_far += 1;
        let (number, template, version) = (self.changes_so_far, template.to_owned(), version.to_owned());
        match kind {
            // A search makes many.
            ChangeKind::Drafted => tracing::debug!(template, version, reason, "a version was drafted"),
            _ => tracing::info!(kind = kind.name(), template, version, reason, "a prompt has changed"),
        }
        self.changes.push(Change { number, at, kind, template, version, before, experiment, reason });
        // Drafts are many, and say least.
        if self.changes.len() > MOST_CHANGES {
            let draft = self.changes.iter().position(|change| change.kind == ChangeKind::Drafted);
            self.changes.remove(draft.unwrap_or_default());
        }
    }
}
