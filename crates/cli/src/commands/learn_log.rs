//! `burnish learn` over the data directory's own log: patterns, and trees as a challenger.

use std::fmt::Write as _;

use anyhow::Result;
use burnish_engine::{Attempt, Engine, FoundPatterns};
use burnish_types::Timestamp;
use serde_json::{Value, json};

use super::Context;
use super::replay::span;
use crate::args::Span;
use crate::{output, parts};

/// Both parts.
pub(crate) fn everything(context: &Context, request: &Span) -> Result<()> {
    let engine = parts::engine(&context.config)?;
    let found = find(&engine, request)?;
    let attempt = attempt(&engine, request)?;
    engine.close()?;
    if context.json {
        return output::json(&json!({ "patterns": found, "challenger": described(&attempt) }));
    }
    say_patterns(&found)?;
    say_attempt(&attempt)
}

pub(crate) fn patterns(context: &Context, request: &Span) -> Result<()> {
    let engine = parts::engine(&context.config)?;
    let found = find(&engine, request)?;
    if context.json { output::json(&serde_json::to_value(&found)?) } else { say_patterns(&found) }
}

pub(crate) fn challenger(context: &Context, request: &Span) -> Result<()> {
    let engine = parts::engine(&context.config)?;
    let attempt = attempt(&engine, request)?;
    engine.close()?;
    if context.json { output::json(&described(&attempt)) } else { say_attempt(&attempt) }
}

pub(crate) fn demote(context: &Context) -> Result<()> {
    let engine = parts::engine(&context.config)?;
    let demoted = engine.demote()?;
    engine.close()?;
    if context.json {
        return output::json(&json!({ "demoted": demoted }));
    }
    output::say(if demoted { "The trees are out of use." } else { "No trees are in use." })
}

fn find(engine: &Engine, request: &Span) -> Result<FoundPatterns> {
    let [from, to] = span(request.from.as_deref(), request.to.as_deref())?;
    let bar = output::bar(0, "questions");
    let progress = |done: usize, of: usize| {
        bar.set_length(of as u64);
        bar.set_position(done as u64);
    };
    let found = engine.find_patterns(from, to, request.seed, &progress)?;
    bar.finish_and_clear();
    Ok(found)
}

fn attempt(engine: &Engine, request: &Span) -> Result<Attempt> {
    let [from, to] = span(request.from.as_deref(), request.to.as_deref())?;
    output::note("training trees, and comparing them with what is learned");
    Ok(engine.challenge(from, to, request.seed)?)
}

fn described(attempt: &Attempt) -> Value {
    let Attempt { training, found, promoted, reason } = attempt;
    json!({ "promoted": promoted, "reason": reason, "training": training, "found": found })
}

fn say_patterns(found: &FoundPatterns) -> Result<()> {
    let patterns = &found.patterns;
    let mut text = format!(
        "{} judged decisions on {} questions, {} of which could have gone another way",
        patterns.n, patterns.questions, patterns.free
    );
    if found.pinned > 0 {
        let _ = write!(text, "; {} more were pinned, and left out", found.pinned);
    }
    output::say(text)?;
    if patterns.free * 10 < patterns.n {
        output::say(
            "Hardly anything was left to chance, so strategies can hardly be compared: a policy that explores, such as \
             `epsilon:0.05`, would tell more.",
        )?;
    }
    output::say(format!(
        "{} comparisons on one half of the questions, {} of them checked on the other half; at most one in twenty of what \
         follows is expected to be wrong.",
        patterns.looked_at, patterns.asked
    ))?;
    if patterns.found.is_empty() {
        output::say("Nothing holds for one part of the questions and not for the others.")?;
    }
    for pattern in &patterns.found {
        output::say(format!("- {}", pattern.words))?;
    }
    if !patterns.topics.is_empty() {
        output::say(format!("\n{:<44}{:<14}{:>9}{:>8}", "topic", "strategy", "quality", "n"))?;
    }
    for row in &patterns.topics {
        let topic: String = row.topic.chars().take(42).collect();
        output::say(format!("{topic:<44}{:<14}{:>9.3}{:>8}", row.strategy, row.quality, row.n))?;
    }
    Ok(())
}

fn say_attempt(attempt: &Attempt) -> Result<()> {
    let verdict = match (attempt.promoted, attempt.found.is_some()) {
        (true, _) => "Trees correct what is learned from now on",
        (false, true) => "Trees do not take over",
        (false, false) => "Trees",
    };
    output::say(format!("\n{verdict}: {}.", attempt.reason))?;
    let Timestamp(from) = attempt.training.from;
    if from > 0 {
        output::say(
            "Only decisions since outcomes last changed, or from the time named, were learned from.",
        )?;
    }
    Ok(())
}
