//! `replay`: another policy over the store's own log.

use anyhow::{Result, anyhow};
use burnish_eval::replay::{ReplayReport, replay};
use burnish_types::Timestamp;
use time::format_description::well_known::Rfc3339;
use time::{Date, OffsetDateTime, macros::format_description};

use super::Context;
use crate::args::Replay;
use crate::{output, parts};

pub(crate) fn run(context: &Context, request: &Replay) -> Result<()> {
    let [from, to] = span(request.from.as_deref(), request.to.as_deref())?;
    burnish_engine::check_policy(&request.policy)?;
    let engine = parts::engine(&context.config)?;
    let log = engine.judged_decisions(from, to)?;
    let baseline = context.config.engine.planner.baseline.as_deref();
    let report = replay(&log, &request.policy, baseline, request.seed)?;
    if context.json {
        return output::json(&serde_json::to_value(&report)?);
    }
    print(&report)
}

fn print(report: &ReplayReport) -> Result<()> {
    let ReplayReport { n, left_out, policy, logged, estimates, shares } = report;
    output::say(format!(
        "{n} judged decisions; {left_out} more were pinned, and tell nothing of other choices"
    ))?;
    let Some(logged) = logged else {
        return output::say("There is nothing to replay yet: ask, and say whether it helped.");
    };
    output::say(format!("{:<8}{:.3} [{:.3}, {:.3}]", "logged", logged.mean, logged.ci95[0], logged.ci95[1]))?;
    for (name, value) in estimates {
        let [low, high] = value.ci95;
        output::say(format!(
            "{name:<8}{:.3} [{low:.3}, {high:.3}]  {policy}, as {:.0} decisions of its own would tell",
            value.value, value.ess
        ))?;
    }
    let shares: Vec<String> = shares
        .iter()
        .filter(|(_, share)| **share >= 0.005)
        .map(|(name, share)| format!("{name} {:.0} %", 100.0 * share))
        .collect();
    output::say(format!("shares: {}", shares.join(", ")))
}

/// From when to when, without limits where none are named.
pub(crate) fn span(from: Option<&str>, to: Option<&str>) -> Result<[Timestamp; 2]> {
    let from = from.map_or(Ok(Timestamp(0)), instant)?;
    let to = to.map_or(Ok(Timestamp(u64::MAX)), instant)?;
    Ok([from, to])
}

/// A day, or a time in the form of RFC 3339.
fn instant(text: &str) -> Result<Timestamp> {
    let day = || {
        Date::parse(text, format_description!("[year]-[month]-[day]")).map(|day| day.midnight().assume_utc())
    };
    let time = OffsetDateTime::parse(text, &Rfc3339).or_else(|_| day());
    let time = time.map_err(|_| anyhow!("`{text}` is no time: write 2026-11-01 or 2026-11-01T12:00:00Z"))?;
    Ok(Timestamp(u64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(0)))
}
