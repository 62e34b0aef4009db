//! The loop itself: a query becomes a plan, the plan an answer, and outcomes become better plans.

mod answering;
mod batch;
mod budgets;
mod caching;
mod cascade;
mod challenger;
mod combinations;
mod context;
mod corpus;
mod error;
mod expenses;
mod extractive;
mod feedback;
mod frontier;
mod history;
mod ingestion;
mod judged;
mod learned;
mod library;
mod log;
mod parameters;
mod patterns;
mod pipeline;
mod planner;
mod plans;
mod prompt;
mod prompts;
mod related;
mod selective;
mod settings;
mod sketches;
mod spending;
mod support;
mod tickets;
mod writing;

use std::sync::Arc;

use burnish_retrieval::{Means, Registry, Writer};
use burnish_store::SqliteStore;
use burnish_types::{
    Answerer, Clock, Embedder, EndpointFigures, LanguageModel, Prediction, Query, SharedPurse, Store,
    Strategy,
};
use parking_lot::Mutex;

pub use answering::{AnswerEvent, Answering, Sampling};
pub use batch::{Ask, BatchQuestion, BatchVerdict, Batched, DescribeError};
pub use budgets::Budgets;
pub use caching::CacheStanding;
pub use cascade::cascade_of;
pub use challenger::{Attempt, ChallengerChange, ChallengerEvent, ChallengerStanding, Training};
pub use context::{Brought, ContextRequest, Contradiction, SmallerContext, SmallerPassage};
pub use corpus::Agreement;
pub use error::EngineError;
pub use feedback::Report;
pub use frontier::Frontier;
pub use history::{Bucket, FixedValue, Mean, Segment, Standing};
pub use ingestion::{IngestEvent, IngestOptions, IngestReport, Refused};
pub use patterns::FoundPatterns;
pub use pipeline::Answered;
pub use planner::Pinned;
pub use planner::{PINNED, check_policy, strategy_names};
pub use plans::RouteRequest;
pub use prompts::{
    Action, CandidateStanding, Change, ChangeKind, Contender, Draft, Evolution, Experiment, ExperimentState,
    Finding, Insights, IntervalPoint, Line, NewExperiment, NewVersion, OptimizedPrompt, Origin,
    PromptRequest, Proposed, RenderRequest, RenderedPrompt, Rewritten, Sticky, Tally, TallyRow,
    TemplateStanding, VariationKind, VersionRecord, check_prompts, check_templates,
};
pub use related::{Because, Related, RelatedPassages, RelatedTo};
pub use selective::{QuotationJudge, SelectiveStanding, Signs};
pub use settings::{
    AnswerSettings, BatchSettings, BudgetSettings, CacheSettings, ContextOrder, EngineSettings,
    EvolutionSettings, ParameterSettings, PlannerSettings, PromptSettings, SelectiveSettings, Who,
};

use batch::Gathering;
use caching::Caching;
use challenger::Challenger;
use corpus::Corpus;
use learned::Learned;
use parameters::Lengths;
use planner::Planner;
use prompts::Prompts;
use selective::Selective;
use sketches::Sketches;
use writing::{Metered, ModelWriter};

/// What the engine is put together from, so that tests and other set-ups can bring their own.
pub struct Parts {
    /// The encoder.
    pub embedder: Arc<dyn Embedder>,
    /// Language models that may answer, the preferred one first; none means extractive answers.
    pub models: Vec<Arc<dyn LanguageModel>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// The loop over one data directory. All methods may be called concurrently.
pub struct Engine {
    store: Arc<dyn Store>,
    corpus: Corpus,
    caching: Arc<Caching>,
    gathering: Gathering,
    lengths: Lengths,
    selective: Selective,
    embedder: Arc<dyn Embedder>,
    models: Vec<Arc<dyn LanguageModel>>,
    writer: Option<ModelWriter>,
    budgets: Budgets,
    clock: Arc<dyn Clock>,
    registry: Registry,
    planner: Planner,
    learned: Learned,
    prompts: Arc<Prompts>,
    sketches: Arc<Sketches>,
    challenger: Challenger,
    /// How often reports were taken back. Held while that is done, and while what was learned from the log is put down, so
    /// that nothing comes back with it.
    taken_back: Mutex<u64>,
    settings: EngineSettings,
    /// Whose turn it is to answer in the background.
    background: tokio::sync::Semaphore,
}

impl Engine {
    /// Opens the data directory, repairs whatever a crash left behind, and folds the outcome log.
    pub fn open(settings: EngineSettings, parts: Parts) -> Result<Arc<Self>, EngineError> {
        let Parts { embedder, mut models, clock } = parts;
        cascade::add(&mut models, &settings.planner.models)?;
        let claim = corpus::claim(&settings.data)?;
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&settings.data)?);
        let caching = Arc::new(Caching::new(&settings, embedder.dimensions()));
        let corpus =
            Corpus::open(&settings.data, claim, Arc::clone(&store), embedder.as_ref(), Arc::clone(&caching))?;
        caching.load(store.as_ref())?;
        let registry = Registry::default();
        let writer = models.first().map(|model| ModelWriter::new(Arc::clone(model)));
        let metered = writer.as_ref().map(|writer| Metered::new(writer, None));
        let means = Means {
            embedder: embedder.as_ref(),
            writer: metered.as_ref().map(|writer| writer as &dyn Writer),
        };
        let reduction = settings.answer.context_reduction;
        let prompts =
            Prompts::open(settings.prompts.clone(), &settings.planner, store.as_ref(), clock.now())?;
        let prompts = Arc::new(prompts);
        let operations = prompts.operations();
        let planner = Planner::new(&settings.planner, reduction, &registry, means, &models, operations)?;
        let wanted = planner.combinations().answerers().len() > 1 || !prompts.operations().is_empty();
        let sketches = Arc::new(Sketches::read(store.as_ref(), embedder.model(), wanted)?);
        let (learned, account, heard) = Learned::from_log(
            store.as_ref(),
            embedder.as_ref(),
            settings.planner.half_life_days,
            Arc::clone(planner.combinations()),
            Arc::clone(&sketches),
            Arc::clone(&prompts),
        )?;
        planner.resume(account, store.as_ref())?;
        planner.hear(heard);
        let budgets = Budgets::new(settings.budgets.clone());
        spending::count(store.as_ref(), &models, &budgets, clock.now())?;
        let challenger = Challenger::read(store.as_ref())?;
        planner.correct_by(challenger.trees());
        let lengths = Lengths::read(settings.answer.parameters, store.as_ref())?;
        let selective = Selective::from_log(settings.selective, store.as_ref(), learned.position())?;
        let engine = Arc::new(Self {
            store,
            corpus,
            caching,
            gathering: Gathering::new(settings.batch.gather),
            lengths,
            selective,
            embedder,
            models,
            writer,
            budgets,
            clock,
            registry,
            planner,
            learned,
            prompts,
            sketches,
            challenger,
            taken_back: Mutex::new(0),
            settings,
            background: tokio::sync::Semaphore::new(1),
        });
        // Outcomes may have come, or changed, since the trees were last looked at.
        engine.watch_trees()?;
        engine.prompts.catch_up(engine.store.as_ref())?;
        engine.prompts.examples.catch_up(engine.store.as_ref(), engine.embedder.as_ref())?;
        engine.find_directions()?;
        Ok(engine)
    }

    /// The strategies that work with this encoder and these models, the cheapest first.
    pub fn strategies(&self) -> Vec<Strategy> {
        self.planner.strategies().to_vec()
    }

    /// The strategy called `name`.
    ///
    /// # Errors
    /// If there is none, or it lacks something that the settings could give.
    pub fn strategy(&self, name: &str) -> Result<Strategy, EngineError> {
        self.planner.find(name)
    }

    /// Whether the strategy looks at any document.
    pub fn consults_documents(&self, strategy: &Strategy) -> bool {
        self.registry.get(strategy.as_str()).is_none_or(|retriever| retriever.consults_documents())
    }

    /// The language models that may answer, the preferred one first.
    pub fn models(&self) -> Vec<String> {
        self.models.iter().map(|model| model.name().to_owned()).collect()
    }

    /// The language model of an answerer that is one.
    pub(crate) fn model_of(&self, answerer: &Answerer) -> Option<&Arc<dyn LanguageModel>> {
        let Answerer::Model(name) = answerer else { return None };
        self.models.iter().find(|model| model.name() == name)
    }

    /// What may be spent, and what is left of it.
    pub fn budgets(&self) -> &Budgets {
        &self.budgets
    }

    /// What a request is paid from; none where nobody counts.
    pub(crate) fn purse(&self, query: &Query) -> Option<SharedPurse> {
        self.budgets.purse(&query.user, query.budget, &self.clock)
    }

    /// What has been seen of the endpoints of all language models.
    pub fn endpoints(&self) -> Vec<EndpointFigures> {
        self.models.iter().flat_map(|model| model.figures()).collect()
    }

    /// Names the encoder.
    pub fn embedding_model(&self) -> &str {
        self.embedder.model()
    }

    /// How many of the encoder's tokens `text` has.
    pub fn count_tokens(&self, text: &str) -> usize {
        self.embedder.count_tokens(text)
    }

    /// What is expected of each strategy today.
    pub fn learned(&self) -> Vec<(Strategy, Prediction)> {
        self.planner
            .strategies()
            .iter()
            .map(|strategy| (strategy.clone(), self.planner.expected(strategy, &self.learned)))
            .collect()
    }

    /// Writes what would otherwise be repaired at the next start. Losing it loses nothing.
    pub fn close(&self) -> Result<(), EngineError> {
        self.corpus.checkpoint()?;
        self.close_trees()?;
        self.save_cache()?;
        self.lengths.write(self.store.as_ref())?;
        self.prompts.write(self.store.as_ref())?;
        self.learned.snapshot(self.store.as_ref(), self.planner.account())
    }

    /// Runs `work`, which may block, off the async threads.
    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        let engine = Arc::clone(self);
        tokio::task::spawn_blocking(move || work(&engine))
            .await
            .map_err(|error| EngineError::Internal(format!("a task was cut short: {error}")))?
    }
}
