//! One function a command.

mod ask;
mod bench;
mod bench_cache;
mod bench_decide;
mod bench_prompt;
mod bench_search;
mod bench_serve;
mod bench_soak;
mod eval;
mod eval_adaptive;
mod eval_batch;
mod eval_cache;
mod eval_clicks;
mod eval_context;
mod eval_joint;
mod eval_offpolicy;
mod eval_outcomes;
mod eval_promotion;
mod eval_prompts;
mod eval_selective;
mod ingest;
mod learn;
mod learn_log;
mod load;
mod programs;
mod prompts;
mod related;
mod replay;
mod serve;

use anyhow::{Result, bail};
use burnish_eval::open_bandit::Propensities;
use serde_json::json;

use crate::args::{Adaptive, Args, Bench, Command, ConfigCommand, Eval};
use crate::config::{self, Config, Overrides};
use crate::{output, parts};

pub(crate) use bench_serve::BenchServeArgs;
pub(crate) use bench_soak::BenchSoakArgs;
pub(crate) use eval_batch::EvalBatchArgs;
pub(crate) use eval_cache::EvalCacheArgs;
pub(crate) use eval_clicks::ClicksArgs;
pub(crate) use eval_context::EvalContextArgs;
pub(crate) use eval_joint::EvalJointArgs;
pub(crate) use eval_outcomes::{ChoiceArgs, DriftArgs};
pub(crate) use eval_prompts::EvalPrompts;
pub(crate) use eval_selective::EvalSelectiveArgs;
pub(crate) use prompts::{ExperimentsArgs, PromptsArgs};
pub(crate) use related::{EvalRelatedArgs, RelatedArgs};

/// What every command is given.
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) json: bool,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let Args { data, config: file, json, command } = args;
    if let Command::Config(ConfigCommand::Default) = command {
        return if json { default_settings_as_json() } else { output::stream(config::DEFAULT) };
    }
    let listen = match &command {
        Command::Serve { listen } => listen.clone(),
        _ => None,
    };
    let config = config::load(file.as_deref(), Overrides { data, listen })?;
    let context = Context { config, json };
    match command {
        Command::Ingest { paths, prune, verbose } => ingest::run(&context, &paths, prune, verbose),
        Command::Search { query, strategy, top_k, filter } => {
            ask::search(&context, &query, strategy, usize::from(top_k), &filter)
        }
        Command::Ask { query, strategy, model, top_k } => {
            ask::run(&context, &query, strategy, model, top_k.map(usize::from))
        }
        Command::Related(args) => related::run(&context, args),
        Command::Prompts(args) => prompts::prompts(&context, args),
        Command::Experiments(args) => prompts::experiments(&context, args),
        Command::Serve { .. } => serve::run(&context),
        Command::Check => check(&context),
        Command::Eval(Eval::Retrieval { dataset, split, strategy, conditions, top_k, run, table, seed }) => {
            let request = eval::Request { dataset, split, strategy, conditions, top_k, run, table, seed };
            eval::retrieval(&context, &request)
        }
        Command::Eval(Eval::Adaptive(Adaptive {
            dataset,
            split,
            strategy,
            learn_split,
            rankings,
            policy,
            seeds,
            seed,
        })) => {
            let request = eval_adaptive::Request {
                datasets: dataset,
                splits: split,
                strategies: strategy,
                learn_split,
                rankings,
                policy,
                seeds,
                seed,
            };
            eval_adaptive::run(&context, &request)
        }
        Command::Eval(Eval::Batch(args)) => eval_batch::run(&context, &args),
        Command::Eval(Eval::Context(args)) => eval_context::run(&context, &args),
        Command::Eval(Eval::Joint(args)) => eval_joint::run(&context, &args),
        Command::Eval(Eval::Selective(args)) => eval_selective::run(&context, &args),
        Command::Eval(Eval::Clicks(args)) => eval_clicks::run(&context, &args),
        Command::Replay(request) => replay::run(&context, &request),
        Command::Eval(Eval::Cache(args)) => eval_cache::run(&context, &args),
        Command::Eval(Eval::Related(args)) => related::evaluate(&context, &args),
        Command::Learn(command) => learn::run(&context, command),
        Command::Eval(Eval::Choice(args)) => eval_outcomes::choice(&context, args),
        Command::Eval(Eval::Drift(args)) => eval_outcomes::drift(&context, args),
        Command::Eval(Eval::Offpolicy { log, target, as_logged, seed }) => {
            let propensities = if as_logged { Propensities::Logged } else { Propensities::Mean };
            eval_offpolicy::run(&context, &log, &target, propensities, seed)
        }
        Command::Eval(Eval::Prompts(command)) => eval_prompts::run(&context, command),
        Command::Eval(Eval::Promotion(promotion)) => eval_promotion::run(&context, &promotion.simulation()),
        Command::Bench(Bench::Embed { passages, peer, rounds }) => {
            bench::embed(&context, passages, peer.as_deref(), rounds)
        }
        Command::Bench(Bench::Decide { outcomes, seed }) => bench_decide::run(&context, outcomes, seed),
        Command::Bench(Bench::Prompt { seed }) => bench_prompt::run(&context, seed),
        Command::Bench(Bench::Cache { entries, lookups, seed }) => {
            bench_cache::run(&context, entries, lookups, seed)
        }
        Command::Bench(Bench::Ingest { paths }) => bench::ingest(&context, &paths),
        Command::Bench(Bench::Search { chunks, queries, seed }) => {
            bench_search::run(&context, chunks, queries, seed)
        }
        Command::Bench(Bench::Soak(args)) => bench_soak::run(&context, &args),
        Command::Bench(Bench::Serve(args)) => bench_serve::run(&context, &args),
        Command::Config(_) => check_settings(&context),
    }
}

fn default_settings_as_json() -> Result<()> {
    let defaults: toml::Table = toml::from_str(config::DEFAULT)?;
    output::json(&serde_json::to_value(defaults)?)
}

fn check_settings(context: &Context) -> Result<()> {
    let config = &context.config;
    // Loading is part of the check: a folder that is no model is a wrong setting.
    let embedder = parts::fitting_embedder(config)?;
    parts::models(&config.models)?;
    let models: Vec<&str> = config.models.iter().map(|model| model.name.as_str()).collect();
    if context.json {
        return output::json(&json!({
            "ok": true, "data": config.engine.data, "listen": config.listen, "embedding_model": embedder.model(), "models": models,
        }));
    }
    output::say(format!(
        "The settings make sense.\n  data       {}\n  listen     {}\n  embedding  {}\n  models     {}",
        config.engine.data.display(),
        config.listen,
        embedder.model(),
        if models.is_empty() {
            "none: answers are quoted from the documents".to_owned()
        } else {
            models.join(", ")
        },
    ))
}

fn check(context: &Context) -> Result<()> {
    let engine = parts::engine(&context.config)?;
    let agreement = engine.agreement()?;
    if context.json {
        output::json(&json!({
            "agree": agreement.holds(), "chunks": agreement.chunks,
            "missing": agreement.missing.len(), "surplus": agreement.surplus.len(),
        }))?;
    }
    if !agreement.holds() {
        bail!(
            "the indexes lack {} chunks of the store and hold {} that it has not: remove the folders `lexical` and \
             `vectors` in `{}`, which are built anew from the store",
            agreement.missing.len(),
            agreement.surplus.len(),
            context.config.engine.data.display()
        );
    }
    if context.json {
        Ok(())
    } else {
        output::say(format!("Store and indexes agree on {} chunks.", agreement.chunks))
    }
}
