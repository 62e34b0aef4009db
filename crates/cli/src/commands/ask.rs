//! `burnish search` and `burnish ask`.

use anyhow::{Context as _, Result};
use burnish_engine::{AnswerEvent, Pinned, Sampling};
use burnish_types::{
    Answer, Answerer, Condition, Decision, Evidence, Filter, MetadataValue, Query, Strategy, UserContext,
};
use futures_util::StreamExt;
use serde_json::{Value, json};

use super::Context;
use crate::{output, parts};

/// Passages of an answer where their number is not said.
const PASSAGES: usize = 8;
/// How much of a passage a person is shown.
const SHOWN_CHARACTERS: usize = 240;

pub(crate) fn search(
    context: &Context,
    query: &str,
    strategy: Option<String>,
    top_k: usize,
    filter: &[String],
) -> Result<()> {
    let engine = parts::engine(&context.config)?;
    let query = Query { filter: parse_filter(filter)?, ..question(query, top_k) };
    let pinned = Pinned { strategy: strategy.map(Strategy::new), ..Pinned::default() };
    let answered = runtime()?.block_on(engine.search(query, pinned))?;
    let (decision, answer) = (&answered.decision, &answered.answer);
    if context.json {
        return output::json(&json!({
            "id": decision.id,
            "strategy": strategy_of(decision),
            "reason": decision.reason,
            "results": answer.evidence.iter().map(evidence_json).collect::<Vec<_>>(),
        }));
    }
    let consulted = decision.choice().is_none_or(|choice| engine.consults_documents(&choice.plan.strategy));
    if !consulted {
        return output::say(format!("No documents were consulted.\n{}", footer(decision)));
    }
    if answer.evidence.is_empty() {
        return output::say("Nothing was found. `burnish ingest PATH…` brings documents in.");
    }
    for (place, evidence) in answer.evidence.iter().enumerate() {
        output::say(passage(place + 1, evidence))?;
    }
    output::say(footer(decision))
}

pub(crate) fn run(
    context: &Context,
    query: &str,
    strategy: Option<String>,
    model: Option<String>,
    depth: Option<usize>,
) -> Result<()> {
    let engine = parts::engine(&context.config)?;
    let answerer = model
        .map(|name| if name == Answerer::EXTRACTIVE { Answerer::Extractive } else { Answerer::Model(name) });
    let pinned = Pinned { strategy: strategy.map(Strategy::new), answerer, depth, fresh: false };
    let (decision, answer) = runtime()?.block_on(async {
        let sampling = Sampling { whole: context.json, ..Sampling::default() };
        let mut answering =
            engine.answer(question(query, depth.unwrap_or(PASSAGES)), pinned, sampling).await?;
        let mut whole = None;
        while let Some(event) = answering.events.next().await {
            match event? {
                AnswerEvent::Text(text) if !context.json => output::stream(&text)?,
                AnswerEvent::Text(_) | AnswerEvent::Extra(_) => {}
                AnswerEvent::Done(answer) => whole = Some(*answer),
            }
        }
        anyhow::Ok((answering.decision, whole.context("the answer broke off")?))
    })?;
    if context.json {
        return output::json(&answer_json(&decision, &answer));
    }
    output::say("")?;
    for citation in &answer.citations {
        if let Some(evidence) = answer.evidence.iter().find(|evidence| evidence.chunk == citation.chunk) {
            output::say(format!("  [{}] {}", citation.marker, source(evidence)))?;
        }
    }
    if let Some(degraded) = &answer.degraded {
        output::note(degraded);
    }
    output::say(footer(&decision))
}

pub(super) fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?)
}

fn question(text: &str, top_k: usize) -> Query {
    Query {
        text: text.to_owned(),
        conversation: Vec::new(),
        user: UserContext::default(),
        filter: Filter::default(),
        top_k,
        target_quality: 0.8,
        budget: None,
        latency_budget_ms: None,
    }
}

/// `field=value`; a value that reads as a number or as a truth value is one.
pub(super) fn parse_filter(conditions: &[String]) -> Result<Filter> {
    let parse = |condition: &String| {
        let (field, value) = condition
            .split_once('=')
            .with_context(|| format!("--filter `{condition}`: FIELD=VALUE is expected"))?;
        let value = match (value.parse::<f64>(), value.parse::<bool>()) {
            (Ok(number), _) => MetadataValue::Number(number),
            (_, Ok(flag)) => MetadataValue::Bool(flag),
            _ => MetadataValue::Text(value.to_owned()),
        };
        Ok(Condition::Equals(field.to_owned(), value))
    };
    Ok(Filter { all: conditions.iter().map(parse).collect::<Result<_>>()? })
}

fn strategy_of(decision: &Decision) -> Option<&str> {
    decision.choice().map(|candidate| candidate.plan.strategy.as_str())
}

fn source(evidence: &Evidence) -> String {
    let place = evidence.location.to_string();
    let comma = if place.is_empty() { "" } else { ", " };
    format!("{}{comma}{place} ({})", evidence.title, evidence.document_key)
}

pub(super) fn passage(number: usize, evidence: &Evidence) -> String {
    let text: Vec<&str> = evidence.text.split_whitespace().collect();
    let text = text.join(" ");
    let shown: String = text.chars().take(SHOWN_CHARACTERS).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    format!("{number:>2}. {:.3}  {}\n    {shown}{more}", evidence.score, source(evidence))
}

pub(super) fn footer(decision: &Decision) -> String {
    let strategy = strategy_of(decision).unwrap_or_default();
    // Most reasons begin with it.
    let reason = decision.reason.strip_prefix(&format!("{strategy}: ")).unwrap_or(&decision.reason);
    format!("\n{strategy}: {reason} · {}", decision.id)
}

pub(super) fn evidence_json(evidence: &Evidence) -> Value {
    json!({
        "chunk": evidence.chunk,
        "document": evidence.document,
        "document_key": evidence.document_key,
        "title": evidence.title,
        "location": evidence.location,
        "text": evidence.text,
        "score": evidence.score,
        "lifted": evidence.lifted,
        "components": evidence.components.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
    })
}

fn answer_json(decision: &Decision, answer: &Answer) -> Value {
    json!({
        "id": decision.id,
        "strategy": strategy_of(decision),
        "reason": decision.reason,
        "answer": answer.text,
        "found": answer.found,
        "citations": answer.citations,
        "evidence": answer.evidence.iter().map(evidence_json).collect::<Vec<_>>(),
        "usage": answer.usage,
        "timings": answer.timings,
        "degraded": answer.degraded,
    })
}
