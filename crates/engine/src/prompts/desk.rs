//! What people do with prompts: look at them, write versions, put them into use, experiment.

use std::collections::BTreeMap;
use std::sync::Arc;

use burnish_prompt::{BlockKind, Operation, Template};

use super::changes::{Change, ChangeKind};
use super::evolution::{CandidateStanding, Evolution};
use super::experiments::{Action, Experiment, NewExperiment};
use super::standing::{Line, Origin, VersionRecord};
use super::tallies::TallyRow;
use crate::{Engine, EngineError};

/// A template with everything that is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct TemplateStanding {
    /// What is in use of it.
    pub line: Line,
    /// The template in use.
    pub template: Arc<Template>,
    /// All versions, the newest first.
    pub versions: Vec<VersionRecord>,
    /// What became of them.
    pub tallies: Vec<TallyRow>,
}

/// A version that somebody writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewVersion {
    /// The whole file.
    Text(String),
    /// Other words in some blocks of the version in use; none take a block out.
    Blocks(BTreeMap<BlockKind, String>),
}

impl Engine {
    /// All templates, by id.
    pub async fn templates(self: &Arc<Self>) -> Result<Vec<TemplateStanding>, EngineError> {
        self.blocking(|engine| {
            engine.prompts.look_at_files(engine.store.as_ref(), engine.clock.now());
            let ids: Vec<String> =
                engine.prompts.look(|standing, _| standing.lines().map(|(id, _)| id.to_owned()).collect());
            ids.iter().map(|id| engine.template_now(id)).collect()
        })
        .await
    }

    /// One of them.
    ///
    /// # Errors
    /// If there is none of this id.
    pub async fn template(self: &Arc<Self>, id: String) -> Result<TemplateStanding, EngineError> {
        self.blocking(move |engine| {
            engine.prompts.look_at_files(engine.store.as_ref(), engine.clock.now());
            engine.template_now(&id)
        })
        .await
    }

    fn template_now(&self, id: &str) -> Result<TemplateStanding, EngineError> {
        let template = self.prompts.in_use(id)?;
        let (line, versions) = self.prompts.look(|standing, _| {
            let versions = standing.versions_of(id).into_iter().cloned().collect::<Vec<_>>();
            Ok::<_, EngineError>((standing.line(id)?.clone(), versions))
        })?;
        let own = |row: &TallyRow| versions.iter().any(|known| known.version == row.version);
        let tallies = self.prompts.tallies().into_iter().filter(own).collect();
        Ok(TemplateStanding { line, template, versions, tallies })
    }

    /// The operations that adapt templates, by name.
    pub fn operations(&self) -> Vec<Arc<Operation>> {
        self.prompts.shelf().library().operations().cloned().collect()
    }

    /// What is wrong with the files as they are now, while what they said before is in use.
    pub fn prompt_errors(&self) -> Vec<String> {
        self.prompts.look(|_, files| files.errors.clone())
    }

    /// Adds a version of a template as a draft, which no request gets before an experiment or a person puts it into use. The
    /// version; the one that it is, where the same was written before.
    ///
    /// # Errors
    /// If there is no such template, or the version can't be used.
    pub async fn draft_version(
        self: &Arc<Self>,
        id: String,
        new: NewVersion,
        note: String,
    ) -> Result<String, EngineError> {
        self.blocking(move |engine| {
            let current = engine.prompts.in_use(&id)?;
            let template = match new {
                NewVersion::Text(text) => super::parse(&text)?,
                NewVersion::Blocks(changed) => current
                    .with(&changed, &current.front().version)
                    .map_err(|error| EngineError::InvalidTemplate(error.to_string()))?,
            };
            if template.id() != id {
                return Err(EngineError::InvalidTemplate(format!(
                    "it has the id `{}`: a version of `{id}` has that id",
                    template.id()
                )));
            }
            let (parents, at) = (vec![current.version().to_owned()], engine.clock.now());
            let note = if note.trim().is_empty() { "written by hand".to_owned() } else { note };
            engine.prompts.change(engine.store.as_ref(), at, |standing, _| {
                standing.draft(template, Origin::Written, parents, &note, at)
            })
        })
        .await
    }

    /// Puts a version into use; any earlier one, too, which takes a change back.
    ///
    /// # Errors
    /// If there is no such template or version.
    pub async fn use_version(
        self: &Arc<Self>,
        id: String,
        version: String,
        reason: String,
    ) -> Result<(), EngineError> {
        self.blocking(move |engine| {
            let at = engine.clock.now();
            let reason = if reason.trim().is_empty() { "by hand".to_owned() } else { reason };
            engine.prompts.change(engine.store.as_ref(), at, |standing, _| {
                standing.put_into_use(&id, &version, ChangeKind::Used, None, reason, at)
            })
        })
        .await
    }

    /// Pins a template to the version in use, so that no experiment concerns or changes it, or lets it go.
    ///
    /// # Errors
    /// If there is no such template.
    pub async fn pin_template(
        self: &Arc<Self>,
        id: String,
        pinned: bool,
        reason: String,
    ) -> Result<(), EngineError> {
        self.blocking(move |engine| {
            let at = engine.clock.now();
            let reason = if reason.trim().is_empty() { "by hand".to_owned() } else { reason };
            engine
                .prompts
                .change(engine.store.as_ref(), at, |standing, _| standing.pin(&id, pinned, &reason, at))
        })
        .await
    }

    /// All experiments, the newest first.
    pub fn experiments(&self) -> Vec<Experiment> {
        self.prompts.look(|standing, _| standing.experiments.iter().rev().cloned().collect())
    }

    /// One of them.
    ///
    /// # Errors
    /// If there is none of this id.
    pub fn experiment(&self, id: &str) -> Result<Experiment, EngineError> {
        self.prompts.look(|standing, _| standing.experiment(id).cloned())
    }

    /// Puts an experiment down as a draft, and starts it where that is asked for.
    ///
    /// # Errors
    /// If there is no such template or version, a figure makes no sense, or it can't be started; nothing is put down then.
    pub async fn create_experiment(
        self: &Arc<Self>,
        new: NewExperiment,
        starts: bool,
    ) -> Result<Experiment, EngineError> {
        self.blocking(move |engine| {
            let at = engine.clock.now();
            let champion = engine.prompts.in_use(&new.template)?;
            let history = engine.prompts.history_of(champion.version());
            engine.prompts.change(engine.store.as_ref(), at, |standing, _| {
                let id = standing.create(new, at)?;
                if starts {
                    standing.act(&id, Action::Start, "by hand", history, at)?;
                }
                standing.experiment(&id).cloned()
            })
        })
        .await
    }

    /// Does something with an experiment.
    ///
    /// # Errors
    /// If there is no such experiment, or that can't be done with it now.
    pub async fn act_on_experiment(
        self: &Arc<Self>,
        id: String,
        action: Action,
    ) -> Result<Experiment, EngineError> {
        self.blocking(move |engine| {
            let at = engine.clock.now();
            let champion =
                engine.experiment(&id).map(|known| known.template).and_then(|id| engine.prompts.in_use(&id));
            let history = champion.ok().and_then(|champion| engine.prompts.history_of(champion.version()));
            engine.prompts.change(engine.store.as_ref(), at, |standing, _| {
                standing.act(&id, action, "by hand", history, at)?;
                standing.experiment(&id).cloned()
            })
        })
        .await
    }

    /// Begins to search for a better version of a template: its blocks are tried in other combinations on a share of its requests,
    /// what is better is confirmed by an experiment, and put into use by that.
    ///
    /// # Errors
    /// If there is no such template, it is pinned, or it is searched for already.
    pub async fn evolve_template(self: &Arc<Self>, id: String) -> Result<(), EngineError> {
        self.blocking(move |engine| {
            let at = engine.clock.now();
            let settings = engine.settings.prompts.evolution;
            engine.prompts.change(engine.store.as_ref(), at, |standing, _| {
                let library = engine.prompts.shelf();
                standing.evolve(&id, library.library(), &settings, at)
            })
        })
        .await
    }

    /// Ends the search for a better version of a template; an experiment that it has begun goes on.
    ///
    /// # Errors
    /// If none is searched for.
    pub async fn end_evolution(self: &Arc<Self>, id: String) -> Result<(), EngineError> {
        self.blocking(move |engine| {
            let at = engine.clock.now();
            engine.prompts.change(engine.store.as_ref(), at, |standing, _| {
                standing.end_evolution(&id, "stopped by hand", at)
            })
        })
        .await
    }

    /// The search for a better version of a template, where there is or was one, with its pool.
    ///
    /// # Errors
    /// If there is no such template.
    pub async fn evolution(
        self: &Arc<Self>,
        id: String,
    ) -> Result<Option<(Evolution, Vec<CandidateStanding>)>, EngineError> {
        self.blocking(move |engine| {
            let (evolution, in_use) = engine.prompts.look(|standing, _| {
                let in_use = standing.line(&id)?.in_use.clone();
                Ok::<_, EngineError>((standing.evolution(&id).cloned(), in_use))
            })?;
            Ok(evolution.map(|evolution| {
                let pool = evolution.pool(&in_use);
                (evolution, pool)
            }))
        })
        .await
    }

    /// What was changed about prompts, the newest change first.
    pub fn prompt_changes(&self) -> Vec<Change> {
        self.prompts.look(|standing, _| standing.changes().cloned().collect())
    }
}
