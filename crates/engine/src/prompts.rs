//! Which prompt a model is sent: the templates in use, what a question asks of them, and how that becomes messages.

mod changes;
mod desk;
mod evolution;
mod examples;
mod experiments;
mod files;
mod optimize;
mod rendering;
mod shelf;
mod standing;
mod tallies;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use burnish_learning::router::{Routed, RouterSettings};
use burnish_learning::{History, Measured, QueryType, feature_value, query_features};
use burnish_prompt::{Asking, Library, Template, of_question, operations_for};
use burnish_types::{
    Characteristics, ChunkId, Decision, LexicalIndex, PromptPlan, Query, QueryFeatures, Store, Timestamp,
};
use parking_lot::{Mutex, RwLock};

pub use changes::{Change, ChangeKind};
pub use desk::{NewVersion, TemplateStanding};
pub use evolution::{CandidateStanding, Evolution, Finding, Insights, Proposed, Rewritten};
pub use experiments::{Action, Contender, Experiment, ExperimentState, IntervalPoint, NewExperiment, Sticky};
pub use files::check as check_prompts;
pub(crate) use optimize::is_of_prompt;
pub use optimize::{OptimizedPrompt, PromptRequest, VariationKind};
pub(crate) use rendering::Form;
pub use rendering::{Draft, RenderRequest, RenderedPrompt};
pub use standing::{Line, Origin, VersionRecord};
pub use tallies::{Tally, TallyRow};

use crate::combinations::each_once;
use crate::settings::PromptSettings;
use crate::{Engine, EngineError, PlannerSettings};
use examples::Examples;
use files::Files;
use shelf::Shelf;
use standing::Standing;
use tallies::{Heard, Tallies};

/// The option that takes the template made for questions of this kind.
pub(crate) const FITTING: &str = "fitting";
/// How often the files are looked at, at most.
const LOOK_SECONDS: u64 = 1;
/// Outcomes that are read at one time.
const FOLD_STEP: usize = 1_000;
/// Outcomes after which what experiments have counted is written down, which bounds the work of a start.
const WRITE_STEP: u64 = 100;

/// What is known of prompts, and what is in use.
pub(crate) struct Prompts {
    settings: PromptSettings,
    /// The templates and operations that are chosen from by what was learned.
    templates: Vec<String>,
    router: RouterSettings,
    operations: Vec<String>,
    /// What requests look at; replaced whenever anything changes.
    shelf: RwLock<Arc<Shelf>>,
    keeping: Mutex<Keeping>,
    tallies: Mutex<Tallies>,
    pub(crate) examples: Examples,
    /// Which stored passages seem to tell a model what to do.
    suspicions: Mutex<HashMap<ChunkId, bool>>,
    looked: Mutex<Instant>,
}

/// What is kept, and what it is made from.
struct Keeping {
    files: Files,
    standing: Standing,
    /// The outcome up to which what experiments have counted is written down.
    written: u64,
}

/// The prompts that a question may get.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Possible {
    /// The template with the operations that are not to be chosen, and about how many tokens its own words are; none where
    /// nothing is told to anybody.
    plain: Option<(PromptPlan, f64)>,
    /// The operations to choose from, with about how many tokens each adds, and whether the question asks for no other one in its
    /// slot.
    operations: Vec<(String, f64, bool)>,
    /// Why this template, where it was chosen by what was learned.
    pub(crate) why: Option<String>,
}

impl Possible {
    /// The prompt with some of the operations, and about how many tokens its own words are.
    pub(crate) fn prompt(&self, with: impl Fn(usize) -> bool) -> Option<(PromptPlan, f64)> {
        let (mut prompt, mut tokens) = self.plain.clone()?;
        for (place, (name, more, is_free)) in self.operations.iter().enumerate() {
            if with(place) && *is_free {
                prompt.operations.push(name.clone());
                tokens += more;
            }
        }
        Some((prompt, tokens))
    }
}

impl Prompts {
    /// Reads the files, and goes on from what was decided before.
    pub(crate) fn open(
        settings: PromptSettings,
        planner: &PlannerSettings,
        store: &dyn Store,
        now: Timestamp,
    ) -> Result<Self, EngineError> {
        let files = Files::read(settings.directory.as_deref())?;
        check_named(&planner.templates, &planner.operations, &files.library)?;
        let mut standing = Standing::read(store)?;
        if standing.take_files(&files.library, now) {
            standing.write(store)?;
        }
        let shelf = Shelf::new(&files.library, &standing, &settings);
        let templates = match planner.templates.as_slice() {
            [] => vec![FITTING.to_owned()],
            named => each_once(named.iter().cloned()),
        };
        Ok(Self {
            templates,
            router: planner.router,
            operations: each_once(planner.operations.iter().cloned()),
            shelf: RwLock::new(Arc::new(shelf)),
            keeping: Mutex::new(Keeping { files, written: standing.position, standing }),
            tallies: Mutex::new(Tallies::read(store)?),
            examples: Examples::read(store, settings.examples)?,
            suspicions: Mutex::default(),
            looked: Mutex::new(Instant::now()),
            settings,
        })
    }

    /// How many templates are chosen from, the one first that is used until evidence speaks against it.
    pub(crate) fn template_count(&self) -> usize {
        self.templates.len()
    }

    /// The place among them of the one that a plan has.
    pub(crate) fn place_of(&self, prompt: &PromptPlan) -> Option<usize> {
        let option = if prompt.by_rule { FITTING } else { &prompt.template };
        self.templates.iter().position(|known| known == option)
    }

    /// The names of the operations to choose from.
    pub(crate) fn operations(&self) -> &[String] {
        &self.operations
    }

    /// What is in use.
    pub(crate) fn shelf(&self) -> Arc<Shelf> {
        Arc::clone(&self.shelf.read())
    }

    /// Takes changed files in, where some time has passed since they were last looked at. Files that are wrong change nothing.
    pub(crate) fn look_at_files(&self, store: &dyn Store, now: Timestamp) {
        {
            let mut looked = self.looked.lock();
            if self.settings.directory.is_none() || looked.elapsed().as_secs() < LOOK_SECONDS {
                return;
            }
            *looked = Instant::now();
        }
        // Whoever counts outcomes meanwhile is not waited for: the next request looks.
        let Some(mut keeping) = self.keeping.try_lock() else { return };
        let named = |library: &Library| {
            check_named(&self.templates, &self.operations, library).err().map(|error| error.to_string())
        };
        if !keeping.files.look_again(named) {
            return;
        }
        let Keeping { files, standing, .. } = &mut *keeping;
        if standing.take_files(&files.library, now)
            && let Err(error) = standing.write(store)
        {
            tracing::error!(%error, "what was decided about prompts cannot be written");
        }
        self.replace(&keeping);
    }

    /// What a question is like, as far as its words and whoever asks say.
    pub(crate) fn characteristics(&self, query: &Query, features: &QueryFeatures) -> Characteristics {
        let kind = QueryType::ALL
            .into_iter()
            .map(|kind| (kind, feature_value(features, &format!("type_{kind}"))))
            .max_by(|left, right| left.1.total_cmp(&right.1));
        of_question(&Asking {
            question: &query.text,
            attributes: &query.user.attributes,
            complexity: feature_value(features, "complexity"),
            kind: &kind.map(|(kind, _)| kind.to_string()).unwrap_or_default(),
        })
    }

    /// How they are chosen.
    pub(crate) fn router(&self) -> RouterSettings {
        self.router
    }

    /// Whether templates are chosen by what was learned.
    pub(crate) fn are_routed(&self) -> bool {
        self.templates.len() > 1
    }

    /// The prompts that a question of these characteristics may get, with the template that was chosen for it; the first one, where
    /// none was.
    pub(crate) fn possible(&self, known: &Characteristics, routed: Option<&Routed>) -> Possible {
        let shelf = self.shelf();
        let library = shelf.library();
        let asked = self.asked_for(known, library);
        let place = routed.map_or(0, |routed| routed.option);
        let plain = self.templates.get(place).and_then(|option| {
            let by_rule = option == FITTING;
            let id = match by_rule && self.settings.adapt {
                true => library.fitting(&known.topics),
                false if by_rule => burnish_prompt::DEFAULT,
                false => option,
            };
            let template = library.template(id)?;
            let tokens = library.prompt(template, &asked).tokens() as f64;
            let (template, version) = (id.to_owned(), template.version().to_owned());
            Some((PromptPlan { template, version, operations: asked.clone(), by_rule }, tokens))
        });
        let why = routed.map(|routed| {
            let others = self
                .templates
                .iter()
                .zip(&routed.qualities)
                .filter(|(name, _)| **name != self.templates[place]);
            let others: Vec<String> =
                others.map(|(name, quality)| format!("{:.2} of `{name}`", quality.clamp(0.0, 1.0))).collect();
            let quality = routed.qualities.get(place).copied().unwrap_or_default().clamp(0.0, 1.0);
            let held = if routed.is_held { ", and no more may be lost by trying another one" } else { "" };
            format!(
                "template `{}`: {quality:.2} expected, beside {}{held}",
                self.templates[place],
                others.join(", ")
            )
        });
        let operations = self.operations.iter().map(|name| {
            let operation = library.operation(name);
            let tokens = operation.map_or(0, |operation| operation.tokens());
            let taken = asked
                .iter()
                .filter_map(|name| library.operation(name))
                .any(|asked| operation.is_some_and(|operation| operation.slot == asked.slot));
            (name.clone(), tokens as f64, !taken)
        });
        Possible { plain, operations: operations.collect(), why }
    }

    /// The operations that the characteristics ask for and that are not to be chosen by what was learned.
    fn asked_for(&self, known: &Characteristics, library: &Library) -> Vec<String> {
        if !self.settings.adapt {
            return Vec::new();
        }
        let mut asked = operations_for(known, &self.settings.thresholds, self.settings.examples > 0);
        asked.retain(|name| !self.operations.contains(name) && library.operation(name).is_some());
        asked
    }

    fn replace(&self, keeping: &Keeping) {
        *self.shelf.write() = Arc::new(Shelf::new(&keeping.files.library, &keeping.standing, &self.settings));
    }

    /// Changes what was decided, writes it down, and has requests see it. Nothing has changed where it fails.
    fn change<T>(
        &self,
        store: &dyn Store,
        now: Timestamp,
        change: impl FnOnce(&mut Standing, &Library) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let mut keeping = self.keeping.lock();
        let Keeping { files, standing, written } = &mut *keeping;
        let mut changed = standing.clone();
        let done = change(&mut changed, &files.library)?;
        changed.settle_searches(now);
        changed.forget_versions();
        changed.write(store)?;
        *written = changed.position;
        *standing = changed;
        self.replace(&keeping);
        Ok(done)
    }

    /// Assigns a request that was decided on to an arm of an experiment, where one concerns it.
    pub(crate) fn assign(&self, decision: &mut Decision, topics: &[String]) {
        let shelf = self.shelf();
        let assigned = shelf.running().iter().find_map(|running| running.assign(decision, topics));
        let Some(assignment) = assigned else { return };
        let chosen = decision.chosen;
        let plan = decision.candidates.get_mut(chosen).and_then(|choice| choice.plan.prompt.as_mut());
        if let Some(prompt) = plan {
            prompt.version.clone_from(&assignment.version);
            decision.experiment = Some(assignment);
        }
    }

    /// Folds in the outcomes that came since the last time, and does what they decide of experiments.
    pub(crate) fn catch_up(&self, store: &dyn Store) -> Result<(), EngineError> {
        self.tallies.lock().catch_up(store)?;
        let mut keeping = self.keeping.lock();
        let mut changed = false;
        loop {
            let log = store.outcome_log(keeping.standing.position, FOLD_STEP)?;
            let Some(last) = log.last().map(|logged| logged.position) else { break };
            for heard in log.iter().filter_map(Heard::of) {
                // What the model was not told says nothing of it: a version may have gone while the request was under way.
                let assignment = heard.decision.experiment.as_ref();
                let Some(assignment) = assignment.filter(|known| known.version == heard.prompt.version)
                else {
                    continue;
                };
                let took = heard.judged.took;
                let measured = Measured {
                    quality: heard.judged.quality,
                    // The planner's own expectation may be off by as much as a variant is harmful.
                    expected: None,
                    cost_usd: heard.cost_usd,
                    latency_ms: took.map(|took| took.latency_ms),
                    output_tokens: took.map(|took| took.output_tokens),
                };
                let who = experiments::user_of(heard.decision);
                changed |= keeping.standing.hear(assignment, who, &measured, heard.at);
                let history = |version: &str| self.history_of(version);
                changed |=
                    keeping.standing.hear_search(assignment, heard.topics, &measured, &history, heard.at);
                if changed {
                    keeping.standing.settle_searches(heard.at);
                }
            }
            keeping.standing.position = last;
        }
        if changed {
            keeping.standing.forget_versions();
        }
        if changed || keeping.standing.position >= keeping.written + WRITE_STEP {
            keeping.standing.write(store)?;
            keeping.written = keeping.standing.position;
        }
        if changed {
            self.replace(&keeping);
        }
        Ok(())
    }

    /// Writes what was counted, so that the next start has less to do.
    pub(crate) fn write(&self, store: &dyn Store) -> Result<(), EngineError> {
        self.tallies.lock().write(store)?;
        self.examples.write(store)?;
        self.keeping.lock().standing.write(store)
    }

    /// Lets go of what may rest on what was taken out of the log, and folds it anew.
    pub(crate) fn fold_anew(&self, store: &dyn Store) -> Result<(), EngineError> {
        let mut anew = Tallies::default();
        anew.catch_up(store)?;
        // At once, so that nothing of before is read after a crash.
        anew.write(store)?;
        *self.tallies.lock() = anew;
        self.examples.forget(store)
    }

    /// What became of a version so far, whoever asked.
    fn history_of(&self, version: &str) -> Option<History> {
        let rows = self.tallies();
        let own = rows.iter().filter(|row| row.version == version).map(|row| row.tally);
        let (outcomes, quality) = own.fold((0, 0.0), |(outcomes, quality), tally| {
            (outcomes + tally.outcomes, quality + tally.quality() * tally.outcomes as f64)
        });
        let outcomes = outcomes as f64;
        (outcomes > 0.0).then(|| History { quality: (quality / outcomes).clamp(0.0, 1.0), outcomes })
    }

    pub(crate) fn tallies(&self) -> Vec<tallies::TallyRow> {
        self.tallies.lock().rows()
    }

    fn wants_examples(&self) -> bool {
        self.settings.examples > 0
    }

    /// What the evidence asks for beside what the question does, and is not to be chosen by what was learned.
    fn asked_of_evidence(&self, known: &Characteristics, examples: bool) -> Vec<String> {
        let mut asked = self.asked_for(known, self.shelf().library());
        asked.retain(|name| {
            // The rest was decided with the plan.
            matches!(name.as_str(), "organise" | "json") || name == "examples" && examples
        });
        asked
    }

    /// The template that is used where nothing was planned.
    fn plain(&self, shelf: &Shelf) -> PromptPlan {
        let version =
            shelf.library().template(burnish_prompt::DEFAULT).map(|template| template.version().to_owned());
        PromptPlan {
            template: burnish_prompt::DEFAULT.to_owned(),
            version: version.unwrap_or_default(),
            operations: Vec::new(),
            by_rule: true,
        }
    }

    /// The template in use under an id.
    fn in_use(&self, id: &str) -> Result<Arc<Template>, EngineError> {
        let shelf = self.shelf();
        let unknown = || EngineError::UnknownTemplate {
            name: id.to_owned(),
            known: shelf.library().templates().map(|template| template.id().to_owned()).collect(),
        };
        shelf.library().template(id).cloned().ok_or_else(unknown)
    }

    /// The templates of versions, where they are known.
    fn templates_of(&self, versions: &[TallyRow]) -> Vec<Option<Arc<Template>>> {
        self.look(|standing, _| versions.iter().map(|row| standing.template(&row.version)).collect())
    }

    /// A version of a template, whether it is in use or not.
    fn version(&self, id: &str, version: &str) -> Result<Arc<Template>, EngineError> {
        self.look(|standing, _| {
            standing.version(id, version)?;
            standing.template(version).ok_or_else(|| {
                EngineError::InvalidTemplate(format!(
                    "the version `{version}` of `{id}` cannot be used by this program"
                ))
            })
        })
    }

    /// The versions that are being tried under an id.
    fn challengers_of(&self, id: &str) -> Vec<String> {
        let shelf = self.shelf();
        let running = shelf.running().iter().filter(|running| running.is_about(id));
        running.flat_map(|running| running.challengers().map(str::to_owned).collect::<Vec<_>>()).collect()
    }

    fn check_operations(&self, named: &[String]) -> Result<(), EngineError> {
        let shelf = self.shelf();
        let library = shelf.library();
        match named.iter().find(|name| library.operation(name).is_none()) {
            Some(name) => Err(EngineError::UnknownOperation {
                name: name.clone(),
                known: library.operations().map(|operation| operation.name.clone()).collect(),
            }),
            None => Ok(()),
        }
    }

    /// Hands what was decided to `look`.
    fn look<T>(&self, look: impl FnOnce(&Standing, &Files) -> T) -> T {
        let keeping = self.keeping.lock();
        look(&keeping.standing, &keeping.files)
    }
}

impl Engine {
    /// What a question is like, before anything is looked at.
    fn features_of(&self, query: &Query) -> Result<QueryFeatures, EngineError> {
        Ok(query_features(query, &self.corpus.lexical.term_idf(&query.text)?))
    }
}

/// Says what is wrong with the names of templates and operations to choose from.
///
/// # Errors
/// If there is no such template or operation, or the files of the directory can't be used.
pub fn check_templates(
    templates: &[String],
    operations: &[String],
    directory: Option<&std::path::Path>,
) -> Result<(), EngineError> {
    check_named(templates, operations, &Files::read(directory)?.library)
}

fn check_named(templates: &[String], operations: &[String], library: &Library) -> Result<(), EngineError> {
    if let Some(name) = templates.iter().find(|name| *name != FITTING && library.template(name).is_none()) {
        let known: Vec<&str> = library.templates().map(|template| template.id()).collect();
        return Err(EngineError::InvalidSetting(format!(
            "planner.templates: there is no template `{name}`; there are {FITTING}, {}",
            known.join(", ")
        )));
    }
    if let Some(name) = operations.iter().find(|name| library.operation(name).is_none()) {
        let known: Vec<&str> = library.operations().map(|operation| operation.name.as_str()).collect();
        return Err(EngineError::InvalidSetting(format!(
            "planner.operations: there is no operation `{name}`; there are {}",
            known.join(", ")
        )));
    }
    Ok(())
}

/// The template of a text, or what is wrong with it.
fn parse(text: &str) -> Result<Template, EngineError> {
    Template::parse(text).map_err(|error| EngineError::InvalidTemplate(error.to_string()))
}
