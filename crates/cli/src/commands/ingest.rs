//! `burnish ingest`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use burnish_engine::{IngestEvent, IngestOptions, IngestReport};
use serde_json::json;

use super::Context;
use crate::{output, parts};

pub(crate) fn run(context: &Context, paths: &[PathBuf], prune: bool, verbose: bool) -> Result<()> {
    let engine = parts::engine(&context.config)?;
    let bar = output::bar(0, "files");
    let listener = |event: IngestEvent<'_>| match event {
        IngestEvent::Found { files } => bar.set_length(files as u64),
        IngestEvent::Read { .. } => bar.inc(1),
        IngestEvent::Stored { keys, chunks } => {
            bar.set_message(format!("{} documents, {chunks} chunks stored in the last step", keys.len()));
            if verbose {
                bar.suspend(|| keys.iter().for_each(|key| output::note(format!("stored {key}"))));
            }
        }
        IngestEvent::Refused(refused) => {
            bar.suspend(|| output::note(format!("refused {}: {}", refused.path, refused.reason)));
        }
    };
    let report = engine.ingest(paths, IngestOptions { prune }, &listener)?;
    bar.finish_and_clear();
    engine.close()?;
    if context.json {
        output::json(&as_json(&report))?;
    } else {
        output::say(format!(
            "{} documents ({} chunks) stored, {} unchanged, {} removed, {} refused, in {:.1} s",
            report.documents,
            report.chunks,
            report.unchanged,
            report.removed,
            report.refused.len(),
            report.seconds
        ))?;
    }
    // A folder may hold anything; a file that was named and can't be read is a failure.
    let named = report
        .refused
        .iter()
        .find(|refused| paths.iter().any(|path| path.display().to_string() == refused.path));
    match named {
        Some(refused) => bail!("{}: {}", refused.path, refused.reason),
        None => Ok(()),
    }
}

fn as_json(report: &IngestReport) -> serde_json::Value {
    let refused: Vec<_> = report
        .refused
        .iter()
        .map(|refused| json!({"path": refused.path, "reason": refused.reason}))
        .collect();
    json!({
        "documents": report.documents,
        "chunks": report.chunks,
        "unchanged": report.unchanged,
        "removed": report.removed,
        "refused": refused,
        "seconds": report.seconds,
    })
}
