//! The command line.

use std::path::PathBuf;

use burnish_eval::promotion::Simulation;
use burnish_learning::ComparisonSettings;
use clap::{Parser, Subcommand};

use crate::commands::{
    BenchServeArgs, BenchSoakArgs, ChoiceArgs, ClicksArgs, DriftArgs, EvalBatchArgs, EvalCacheArgs,
    EvalContextArgs, EvalJointArgs, EvalPrompts, EvalRelatedArgs, EvalSelectiveArgs, ExperimentsArgs,
    PromptsArgs, RelatedArgs,
};

/// An adaptive RAG engine: answers from your documents, and learns from every outcome.
#[derive(Debug, Parser)]
#[command(name = "burnish", version, about)]
pub(crate) struct Args {
    /// The data directory.
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// The settings file; without it `burnish.toml`, where there is one.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print one JSON object on stdout.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Bring in files and folders: text, Markdown, HTML, PDF, DOCX, CSV, JSON Lines.
    Ingest {
        /// Files and folders.
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
        /// Remove documents below these paths whose file is gone.
        #[arg(long)]
        prune: bool,
        /// Name each document once it is on disk for good.
        #[arg(long, short)]
        verbose: bool,
    },
    /// Find passages.
    Search {
        /// What to look for.
        query: String,
        /// The strategy; without it the planner decides.
        #[arg(long, short, value_name = "NAME")]
        strategy: Option<String>,
        /// How many passages.
        #[arg(long, short = 'k', default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
        top_k: u16,
        /// Only documents with this metadata, such as `format=pdf`; may be repeated.
        #[arg(long, value_name = "FIELD=VALUE")]
        filter: Vec<String>,
    },
    /// Answer a question from the documents.
    Ask {
        /// The question.
        query: String,
        /// The strategy; without it the planner decides.
        #[arg(long, short, value_name = "NAME")]
        strategy: Option<String>,
        /// Who answers: a configured model's name, or `extractive`.
        #[arg(long, short, value_name = "NAME")]
        model: Option<String>,
        /// How many passages; without it 8, or what the planner chooses.
        #[arg(long, short = 'k', value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
        top_k: Option<u16>,
    },
    /// Find passages like a passage or a document, or like what a person found good.
    Related(RelatedArgs),
    /// What language models are told: look at templates, check and write them, put versions into use.
    Prompts(PromptsArgs),
    /// Try versions of templates on a share of the requests of a running server.
    Experiments(ExperimentsArgs),
    /// Serve the page and the HTTP API.
    Serve {
        /// The address to listen on.
        #[arg(long, value_name = "ADDRESS:PORT")]
        listen: Option<String>,
    },
    /// Compare the store and both indexes, chunk by chunk.
    Check,
    /// What another policy would have been worth, estimated from the log of this one.
    Replay(Replay),
    /// Measure quality on data with known answers.
    #[command(subcommand)]
    Eval(Eval),
    /// Learn from the log as a whole: patterns, and trees that take over where the log shows that they are better.
    Learn(Learn),
    /// Measure speed and memory.
    #[command(subcommand)]
    Bench(Bench),
    /// Print or check the settings.
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Replay {
    /// The policy, such as `thompson` or `fixed:sparse`.
    #[arg(long, value_name = "NAME")]
    pub(crate) policy: String,
    /// Decisions from this time on, such as 2026-11-01 or 2026-11-01T12:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Decisions before this time.
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
    /// For the policy, the folds and the bootstrap.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Eval {
    /// Rankings against the relevance judgements of a BEIR set.
    Retrieval {
        /// The folder with corpus.jsonl, queries.jsonl and qrels.
        #[arg(long, value_name = "DIR")]
        dataset: PathBuf,
        /// Which judgements: qrels/SPLIT.tsv.
        #[arg(long, default_value = "test")]
        split: String,
        /// Strategies, separated by commas; without it all that consult documents. The others are compared with
        /// the first one, query by query.
        #[arg(long, short, value_delimiter = ',', value_name = "NAME,…")]
        strategy: Vec<String>,
        /// Only queries with this metadata, such as `hops=multi`; may be repeated.
        #[arg(long = "where", value_name = "FIELD=VALUE")]
        conditions: Vec<String>,
        /// How deep the rankings are.
        #[arg(long, short = 'k', default_value_t = 100, value_name = "N")]
        top_k: usize,
        /// Write the rankings as TREC runs; with several strategies, `-NAME` is put before the ending.
        #[arg(long, value_name = "FILE")]
        run: Option<PathBuf>,
        /// Write what each strategy reached for each query, as a table of outcomes (nDCG@10, milliseconds).
        #[arg(long, value_name = "FILE")]
        table: Option<PathBuf>,
        /// For the bootstrap.
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
    /// Whether documents that answer a question together are found from one another.
    Related(EvalRelatedArgs),
    /// What asking questions together saves, and what it loses, of a simulated model.
    Batch(EvalBatchArgs),
    /// What the semantic cache serves of pairs of questions, and how much of it wrongly.
    Cache(EvalCacheArgs),
    /// What of the answers is still there once the evidence is made smaller.
    Context(EvalContextArgs),
    /// Which questions would be answered without a model, and how many of them wrongly.
    Selective(EvalSelectiveArgs),
    /// What learning gains on a stream of queries whose judgements become outcomes.
    Adaptive(Adaptive),
    /// What opened passages teach where people look at the places of a list unevenly.
    Clicks(ClicksArgs),
    /// A policy over recorded outcomes: quality and cost, online from zero.
    Choice(ChoiceArgs),
    /// The joint planner over a world that is composed of recorded outcomes.
    Joint(EvalJointArgs),
    /// A policy over recorded outcomes of which two arms swap their quality at mid-stream.
    Drift(DriftArgs),
    /// Simulated comparisons of a challenger with a champion, against a test that looks once.
    Promotion(Promotion),
    /// Experiments with prompts, credit to their blocks, and searches for better ones, on simulated outcomes.
    #[command(subcommand)]
    Prompts(EvalPrompts),
    /// A policy's click rate from another policy's log, in the files of the Open Bandit data set.
    Offpolicy {
        /// The folder of the log to estimate from, such as random/men.
        #[arg(long, value_name = "DIR")]
        log: PathBuf,
        /// The folder of the target's own log, such as bts/men: how it chooses, and how it did.
        #[arg(long, value_name = "DIR")]
        target: PathBuf,
        /// Weigh each row by the propensity logged with it, not by its policy's mean over the whole log.
        #[arg(long)]
        as_logged: bool,
        /// For the bootstrap and the folds.
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Adaptive {
    /// A folder with corpus.jsonl, queries.jsonl and qrels; may be repeated.
    #[arg(long, required = true, value_name = "DIR")]
    pub(crate) dataset: Vec<PathBuf>,
    /// The judgements that the queries come from; without it all splits.
    #[arg(long, value_name = "SPLIT")]
    pub(crate) split: Vec<String>,
    /// The strategies to choose from, separated by commas; without it all.
    #[arg(long, short, value_delimiter = ',', value_name = "NAME,…")]
    pub(crate) strategy: Vec<String>,
    /// Learn from the outcomes of this split, and test on `--split`, instead of running a stream.
    #[arg(long, value_name = "SPLIT")]
    pub(crate) learn_split: Option<String>,
    /// Keep what every strategy found in this folder, a file a data set, and take it from there once it exists.
    #[arg(long, value_name = "DIR")]
    pub(crate) rankings: Option<PathBuf>,
    /// The policy; without it the one that is set.
    #[arg(long, value_name = "NAME")]
    pub(crate) policy: Option<String>,
    /// How many orders of the stream are run.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seeds: u64,
    /// For the order of the stream and the bootstrap.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
}

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Learn {
    #[command(flatten)]
    pub(crate) span: Span,
    #[command(subcommand)]
    pub(crate) part: Option<LearnPart>,
}

/// Which part of the log is learned from.
#[derive(Debug, clap::Args)]
pub(crate) struct Span {
    /// Decisions from this time on, such as 2026-11-01 or 2026-11-01T12:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Decisions before this time.
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
    /// For halves, folds, topics and trees.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LearnPart {
    /// Find which questions are answered badly and which strategy wins for which, and nothing else.
    Patterns(Span),
    /// Train trees from the log and promote them if it shows that they are better, and nothing else.
    Challenger {
        #[command(flatten)]
        span: Span,
        /// Take the trees that are in use out of use instead.
        #[arg(long, conflicts_with_all = ["from", "to", "seed"])]
        demote: bool,
    },
    /// Train what tells a query's type and complexity from labelled questions, and measure it on held-out ones.
    Classifier {
        /// JSON Lines, or .gz: `question` or `text`, with `hops` (single or multi) or `type`, and `source`.
        #[arg(long, required = true, value_delimiter = ',', value_name = "FILE,…")]
        questions: Vec<PathBuf>,
        /// More questions, which are only measured on.
        #[arg(long, value_delimiter = ',', value_name = "FILE,…")]
        test: Vec<PathBuf>,
        /// Train without this source, and measure on it beside the other class of the held-out part.
        #[arg(long, value_name = "SOURCE")]
        without: Option<String>,
        /// Write the coefficients.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// For the split, and the order of training.
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Promotion {
    /// How often each case is run.
    #[arg(long, default_value_t = 1_000)]
    runs: u64,
    /// How much better or worse the challenger is.
    #[arg(long, default_value_t = 0.05)]
    effect: f64,
    /// The champion's mean quality.
    #[arg(long, default_value_t = 0.7)]
    base: f64,
    /// The largest probability of promoting one that is not better.
    #[arg(long, default_value_t = ComparisonSettings::default().level)]
    level: f64,
    /// The largest probability of retiring as too little better one that is better by the minimal effect.
    #[arg(long, default_value_t = ComparisonSettings::default().retire_level)]
    retire_level: f64,
    /// The smallest effect of interest.
    #[arg(long, default_value_t = ComparisonSettings::default().retire_below)]
    minimal_effect: f64,
    /// Observations after which an undecided challenger is retired.
    #[arg(long, default_value_t = ComparisonSettings::default().horizon)]
    horizon: u64,
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

impl Promotion {
    pub(crate) fn simulation(&self) -> Simulation {
        Simulation {
            runs: self.runs,
            effect: self.effect,
            base: self.base,
            settings: ComparisonSettings {
                level: self.level,
                retire_level: self.retire_level,
                retire_below: self.minimal_effect,
                horizon: self.horizon,
                ..ComparisonSettings::default()
            },
            seed: self.seed,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// The encoder, on passages of 128 tokens and on one short question.
    Embed {
        /// How many passages.
        #[arg(long, default_value_t = 256)]
        passages: usize,
        /// A program to compare with, given the model's folder and a file of passages, one JSON string a line;
        /// it prints an object with `texts_per_second` and `query_ms`.
        #[arg(long, value_name = "COMMAND")]
        peer: Option<String>,
        /// How often both are run in turn.
        #[arg(long, default_value_t = 3)]
        rounds: usize,
    },
    /// Hybrid search over HTTP against the bare engines.
    Search {
        /// How many chunks.
        #[arg(long, default_value_t = 100_000)]
        chunks: usize,
        /// How many questions.
        #[arg(long, default_value_t = 500)]
        queries: usize,
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
    /// The server in front of a model: what it adds, and how many requests it can take.
    Serve(BenchServeArgs),
    /// The server for a long time in front of endpoints with faults: whether anything grows.
    Soak(BenchSoakArgs),
    /// From a question's words to a plan, after a short and a long history of outcomes.
    Decide {
        /// How long the long history is; the short one is a hundredth of it.
        #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(100..))]
        outcomes: u64,
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
    /// A prompt: telling what the question is like, rendering, and looking a passage over.
    Prompt {
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
    /// A full cache of answers: the time of a look-up, what an entry takes, and the bound on bytes.
    Cache {
        /// How many answers are kept.
        #[arg(long, default_value_t = 100_000, value_parser = positive)]
        entries: usize,
        /// How many questions are looked up.
        #[arg(long, default_value_t = 5_000, value_parser = positive)]
        lookups: usize,
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
    /// Ingestion of a file or folder against embedding its chunks alone.
    Ingest {
        /// Files and folders.
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print the defaults, commented.
    Default,
    /// Say whether the settings make sense.
    Check,
}

fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&count| count > 0).ok_or_else(|| "give a whole number above 0".to_owned())
}
