//! What can be set, validated by whoever reads the configuration.

use std::path::PathBuf;
use std::time::Duration;

use burnish_ingest::{Chunking, Limits};
use burnish_learning::router::RouterSettings;
use burnish_prompt::Thresholds;
use burnish_types::{Money, Period};

/// Settings of the loop.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// Where everything is kept.
    pub data: PathBuf,
    /// How plans are chosen.
    pub planner: PlannerSettings,
    /// How answers are written.
    pub answer: AnswerSettings,
    /// How several questions are answered at once.
    pub batch: BatchSettings,
    /// Which answers are kept.
    pub cache: CacheSettings,
    /// Which questions are answered without a model.
    pub selective: SelectiveSettings,
    /// What may be spent, and for whom.
    pub budgets: Vec<BudgetSettings>,
    /// What models are told.
    pub prompts: PromptSettings,
    /// How documents are cut.
    pub chunking: Chunking,
    /// What a file may cost to read.
    pub limits: Limits,
}

impl EngineSettings {
    /// The defaults over `data`.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            planner: PlannerSettings::default(),
            answer: AnswerSettings::default(),
            batch: BatchSettings::default(),
            cache: CacheSettings::default(),
            selective: SelectiveSettings::default(),
            budgets: Vec::new(),
            prompts: PromptSettings::default(),
            chunking: Chunking::default(),
            limits: Limits::default(),
        }
    }
}

/// How plans are chosen.
#[derive(Clone, Debug)]
pub struct PlannerSettings {
    /// The strategies that are chosen from; one that lacks something, such as a language model, is passed over.
    pub strategies: Vec<String>,
    /// The strategy that is taken as long as no outcome speaks against it; `None` takes, for each question, what is
    /// believed to be best before any outcome.
    pub baseline: Option<String>,
    /// The models that are chosen from, the one first that answers until evidence speaks against it; `extractive` stands for
    /// quotation, and `A > B` for a cascade: the model A is asked, and B where A's answer does not do. None means all that are
    /// configured.
    pub models: Vec<String>,
    /// The numbers of passages that are chosen from, where the caller does not say, the one first that is taken until evidence
    /// speaks against it. None means as many as the caller asks for.
    pub depths: Vec<usize>,
    /// The shares of the evidence that are left out, to choose from, in the same way. None means
    /// [`AnswerSettings::context_reduction`].
    pub reductions: Vec<f64>,
    /// The templates that are chosen from by what a question is about, the one first that is used until evidence speaks against
    /// it; `fitting` stands for the one made for questions of the kind. None means that.
    pub templates: Vec<String>,
    /// How templates are chosen.
    pub router: RouterSettings,
    /// The operations on prompts that are chosen from: without each, until evidence speaks for it.
    pub operations: Vec<String>,
    /// The policy, such as `conservative:0.001`.
    pub policy: String,
    /// After this many days an outcome counts half; `None` for ever the same.
    pub half_life_days: Option<f64>,
}

impl Default for PlannerSettings {
    fn default() -> Self {
        Self {
            strategies: ["hybrid", "sparse", "dense", "rrf", "expanded", "decomposed", "reranked"]
                .map(str::to_owned)
                .to_vec(),
            baseline: None,
            models: Vec::new(),
            depths: Vec::new(),
            reductions: Vec::new(),
            templates: Vec::new(),
            router: RouterSettings::default(),
            operations: Vec::new(),
            policy: "conservative:0.001".to_owned(),
            half_life_days: None,
        }
    }
}

/// What models are told.
#[derive(Clone, Debug, PartialEq)]
pub struct PromptSettings {
    /// A directory of templates and operations beside those that come with the program.
    pub directory: Option<PathBuf>,
    /// Whether the prompt is adapted to the question: by its template and by operations.
    pub adapt: bool,
    /// How many confirmed answers to similar questions a model is shown.
    pub examples: usize,
    /// From where on a characteristic asks for an operation.
    pub thresholds: Thresholds,
    /// The complexity, in [0, 1], above which a more detailed variation of a prompt is worth trying.
    pub detail_above: f64,
    /// How prompts improve by themselves.
    pub evolution: EvolutionSettings,
}

impl Default for PromptSettings {
    fn default() -> Self {
        Self {
            directory: None,
            adapt: true,
            examples: 0,
            thresholds: Thresholds::default(),
            detail_above: 0.5,
            evolution: EvolutionSettings::default(),
        }
    }
}

/// How prompts improve by themselves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EvolutionSettings {
    /// The share of a template's requests that its search gets, in (0, 1).
    pub share: f64,
    /// What a thousand tokens of a prompt are taken to be worth in quality.
    pub length_price: f64,
    /// How likely something must be better, in (0, 1), to be confirmed by an experiment, and put into use after that.
    pub confidence: f64,
    /// The most prompts that are tried at one time.
    pub pool: usize,
}

impl Default for EvolutionSettings {
    fn default() -> Self {
        Self { share: 0.3, length_price: 0.02, confidence: 0.95, pool: 8 }
    }
}

/// How answers are written.
#[derive(Clone, Debug)]
pub struct AnswerSettings {
    /// Tokens of evidence that the answerer is given at most.
    pub context_tokens: u32,
    /// The share of the evidence that is not shown to a model where nothing that the question asks for is lost by it, in [0, 1).
    pub context_reduction: f64,
    /// In which order a model is shown the passages.
    pub order: ContextOrder,
    /// Support below which the extractive answerer says that it finds nothing, in [0, 1].
    pub smallest_support: f32,
    /// What language models are told where the caller does not say.
    pub parameters: ParameterSettings,
}

impl Default for AnswerSettings {
    fn default() -> Self {
        Self {
            context_tokens: 1_600,
            context_reduction: 0.0,
            order: ContextOrder::Rank,
            smallest_support: 0.32,
            parameters: ParameterSettings::default(),
        }
    }
}

/// In which order passages are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContextOrder {
    /// Best first.
    Rank,
    /// The best ones at the beginning and at the end, since models overlook what is in the middle of much.
    Edges,
}

impl ContextOrder {
    /// The names that settings use.
    pub const NAMES: [(&'static str, Self); 2] = [("rank", Self::Rank), ("edges", Self::Edges)];
}

/// How language models are told to write where the caller does not say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ParameterSettings {
    /// Whether they are told anything.
    pub enabled: bool,
    /// The least and the most tokens that an answer may be given.
    pub max_tokens: [u32; 2],
    /// The highest temperature.
    pub max_temperature: f32,
}

impl Default for ParameterSettings {
    fn default() -> Self {
        Self { enabled: false, max_tokens: [512, 4_096], max_temperature: 0.7 }
    }
}

/// How several questions are answered at once.
#[derive(Clone, Debug)]
pub struct BatchSettings {
    /// The most questions that a model is asked at once; 1 asks each alone.
    pub size: usize,
    /// The most tokens of a shared context, as a share in (0, 1] of what its questions would take alone.
    pub kept_context: f64,
    /// Requests to models that are under way at one time.
    pub parallel: usize,
    /// How long a question that is asked alone waits for others; zero lets none wait.
    pub gather: Duration,
}

impl Default for BatchSettings {
    fn default() -> Self {
        Self { size: 8, kept_context: 0.5, parallel: 4, gather: Duration::ZERO }
    }
}

/// Which answers of language models are kept, and served again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CacheSettings {
    /// Whether any is.
    pub enabled: bool,
    /// Whether answers to similar questions are served, too.
    pub similar: bool,
    /// The share of all requests that may be answered wrongly by those, in (0, 1).
    pub delta: f64,
    /// What the answers may take together.
    pub max_bytes: u64,
    /// How long one is served.
    pub lifetime_ms: u64,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self { enabled: true, similar: false, delta: 0.01, max_bytes: 64 << 20, lifetime_ms: 24 * 3_600_000 }
    }
}

/// Which questions are answered without a model, though one is there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SelectiveSettings {
    /// Whether any is.
    pub enabled: bool,
    /// The share of all requests that may be answered otherwise than the model would, in (0, 1).
    pub delta: f64,
}

impl Default for SelectiveSettings {
    fn default() -> Self {
        Self { enabled: false, delta: 0.02 }
    }
}

/// What may be spent for whom in each period. Models without a price are asked nothing while there is one that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetSettings {
    /// Whose requests count.
    pub who: Who,
    /// The most that they may cost together.
    pub most: Money,
    /// In which time.
    pub period: Period,
}

/// Whose requests a budget counts. Requests that name no tenant, or no user, count as those of one more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// All requests together.
    Everyone,
    /// Those of each tenant by themselves.
    EachTenant,
    /// Those of each user of each tenant by themselves.
    EachUser,
    /// Those of this tenant.
    Tenant(String),
    /// Those of the user of this name, of each tenant that has one by themselves.
    User(String),
}
