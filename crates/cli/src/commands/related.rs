//! `burnish related`, and `burnish eval related`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use burnish_engine::{Because, Engine, Related, RelatedPassages, RelatedTo};
use burnish_eval::bootstrap::MeanInterval;
use burnish_eval::dataset::Dataset;
use burnish_eval::related::{RelatedReport, evaluate_related};
use burnish_types::{ChunkId, DocumentId, UserContext};
use serde_json::{Value, json};

use super::Context;
use super::ask::{evidence_json, footer, parse_filter, passage, runtime};
use super::eval::{apart, bring_in};
use crate::{output, parts};

/// Documents that are read in one go.
const PAGE: usize = 1_000;

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("to").required(true).args(["document", "chunk", "user"]))]
pub(crate) struct RelatedArgs {
    /// Passages like those of this document: its number, its name, or an ending of its name that no other has.
    #[arg(long, value_name = "NAME")]
    document: Option<String>,
    /// Passages like this one.
    #[arg(long, value_name = "NUMBER")]
    chunk: Option<u64>,
    /// Passages like those that this person confirmed, used or opened.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Whose learning counts.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// How many passages.
    #[arg(long, short = 'k', default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=100))]
    top_k: u16,
    /// The most passages of one document; about a third of all, as long as there are others, where not said.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    per_document: Option<u16>,
    /// Only documents with this metadata, such as `format=pdf`; may be repeated.
    #[arg(long, value_name = "FIELD=VALUE")]
    filter: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct EvalRelatedArgs {
    /// The folder with corpus.jsonl, queries.jsonl and qrels.
    #[arg(long, value_name = "DIR")]
    dataset: PathBuf,
    /// Which judgements: qrels/SPLIT.tsv.
    #[arg(long, default_value = "test")]
    split: String,
    /// How many documents are asked for.
    #[arg(long, short = 'k', default_value_t = 10, value_name = "N")]
    top_k: usize,
    /// For the bootstrap.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

pub(crate) fn run(context: &Context, args: RelatedArgs) -> Result<()> {
    let engine = parts::engine(&context.config)?;
    let RelatedArgs { document, chunk, user, tenant, top_k, per_document, filter } = args;
    let runtime = runtime()?;
    let to = match (document, chunk) {
        (Some(name), _) => RelatedTo::Document(runtime.block_on(find_document(&engine, &name))?),
        (_, Some(chunk)) => RelatedTo::Chunk(ChunkId(chunk)),
        _ => RelatedTo::User,
    };
    let related = Related {
        to,
        user: UserContext { tenant, user, ..UserContext::default() },
        filter: parse_filter(&filter)?,
        top_k: usize::from(top_k),
        per_document: per_document.map(usize::from),
    };
    let found = runtime.block_on(engine.related(related))?;
    if context.json { output::json(&as_json(&found)) } else { print(&found) }
}

/// A number, a name, or the ending of one name alone.
async fn find_document(engine: &std::sync::Arc<Engine>, name: &str) -> Result<DocumentId> {
    if let Ok(number) = name.parse()
        && engine.document(DocumentId(number)).await?.is_some()
    {
        return Ok(DocumentId(number));
    }
    let (mut ending, mut after) = (Vec::new(), None);
    loop {
        let documents = engine.documents(after, PAGE).await?;
        let Some(last) = documents.last() else { break };
        after = Some(last.id);
        for document in documents {
            if document.key == name {
                return Ok(document.id);
            }
            if document.key.ends_with(name) {
                ending.push((document.id, document.key));
            }
        }
    }
    match ending.as_slice() {
        [(id, _)] => Ok(*id),
        [] => bail!("no document is called `{name}`, nor has it as its number or the end of its name"),
        [(_, one), (_, other), ..] => {
            bail!("{} documents end with `{name}`, such as `{one}` and `{other}`: say more", ending.len())
        }
    }
}

fn print(found: &RelatedPassages) -> Result<()> {
    let decision = &found.answered.decision;
    let evidence = &found.answered.answer.evidence;
    if evidence.is_empty() && decision.policy != "related" {
        return output::say(format!("{}.", decision.reason));
    }
    if evidence.is_empty() {
        return output::say("There is nothing like it.");
    }
    for (place, (evidence, because)) in evidence.iter().zip(&found.because).enumerate() {
        output::say(passage(place + 1, evidence))?;
        let Because { chunk, title, likeness, .. } = because;
        output::say(format!("    {likeness:.2} like passage {chunk} of {title}"))?;
    }
    output::say(footer(decision))
}

fn as_json(found: &RelatedPassages) -> Value {
    let decision = &found.answered.decision;
    let results = found.answered.answer.evidence.iter().zip(&found.because).map(|(evidence, because)| {
        let Because { chunk, document, title, likeness } = because;
        let mut result = evidence_json(evidence);
        result["because"] =
            json!({ "chunk": chunk, "document": document, "title": title, "likeness": likeness });
        result
    });
    json!({ "id": decision.id, "reason": decision.reason, "results": results.collect::<Vec<_>>() })
}

pub(crate) fn evaluate(context: &Context, args: &EvalRelatedArgs) -> Result<()> {
    let EvalRelatedArgs { dataset, split, top_k, seed } = args;
    let loaded = Dataset::load(dataset, split)?;
    let engine = parts::engine(&apart(context, dataset)?)?;
    bring_in(&engine, &loaded)?;
    let report = evaluate_related(&engine, &loaded, *top_k, *seed)?;
    engine.close()?;
    if context.json {
        let mut object = serde_json::to_value(&report)?;
        object["dataset"] = json!(loaded.name);
        object["split"] = json!(split);
        return output::json(&object);
    }
    let RelatedReport { n, queries, top_k, related, by_title, difference, mean_ms } = &report;
    output::say(format!(
        "{n} pairs of documents that answer one of {queries} questions together; found among the first {top_k}:"
    ))?;
    for (name, share) in [("related", related), ("by title", by_title), ("difference", difference)] {
        let shown = share
            .map(|MeanInterval { mean, ci95: [low, high], .. }| format!("{mean:.3} [{low:.3}, {high:.3}]"));
        output::say(format!("  {name:<11}{}", shown.unwrap_or_default()))?;
    }
    output::say(format!("{mean_ms:.1} ms a document"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::args::{Args, Command};

    #[test]
    fn exactly_one_start_is_named() {
        let parse = |line: &str| Args::try_parse_from(format!("burnish {line}").split(' '));
        let cases = [
            ("related --chunk 3", (None, Some(3), None), 10),
            ("related --document notes.md -k 5", (Some("notes.md"), None, None), 5),
            ("--json related --user ada --tenant acme --top-k 100", (None, None, Some("ada")), 100),
        ];
        for (line, expected, top_k) in cases {
            let Command::Related(args) = parse(line).unwrap().command else { panic!("{line}") };
            assert_eq!((args.document.as_deref(), args.chunk, args.user.as_deref()), expected, "{line}");
            assert_eq!(args.top_k, top_k, "{line}");
        }
        for line in [
            "related",
            "related --tenant acme",
            "related --chunk 3 --user ada",
            "related --chunk three",
            "related --document a --chunk 3",
            "related --chunk 3 --top-k 0",
            "related --chunk 3 --top-k 101",
            "related --chunk 3 --per-document 0",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
