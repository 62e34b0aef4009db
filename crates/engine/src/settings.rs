//! What can be set, validated by whoever reads the configuration.

use std::path::PathBuf;

use burnish_ingest::{Chunking, Limits};

/// Settings of the loop.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// Where everything is kept.
    pub data: PathBuf,
    /// How plans are chosen.
    pub planner: PlannerSettings,
    /// How answers are written.
    pub answer: AnswerSettings,
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
            chunking: Chunking::default(),
            limits: Limits::default(),
        }
    }
}

/// How plans are chosen.
#[derive(Clone, Debug)]
pub struct PlannerSettings {
    /// The strategy that is taken unless another one is explored or pinned.
    pub prefer: String,
    /// The strategies that may be explored.
    pub explore: Vec<String>,
    /// The largest share of requests that explore, in [0, 0.5].
    pub explore_share: f64,
}

impl Default for PlannerSettings {
    fn default() -> Self {
        Self {
            prefer: "hybrid".to_owned(),
            explore: ["sparse", "dense", "rrf", "reranked"].map(str::to_owned).to_vec(),
            explore_share: 0.05,
        }
    }
}

/// How answers are written.
#[derive(Clone, Debug)]
pub struct AnswerSettings {
    /// Tokens of evidence that the answerer is given at most.
    pub context_tokens: u32,
    /// Support below which the extractive answerer says that it finds nothing, in [0, 1].
    pub smallest_support: f32,
}

impl Default for AnswerSettings {
    fn default() -> Self {
        Self { context_tokens: 1_600, smallest_support: 0.32 }
    }
}
