//! `burnish eval offpolicy`.

use std::path::Path;

use anyhow::Result;
use burnish_eval::open_bandit::{BanditLog, OffPolicyReport, Propensities, evaluate};
use serde_json::{Map, Value, json};

use super::Context;
use crate::output;

pub(crate) fn run(
    context: &Context,
    log: &Path,
    target: &Path,
    propensities: Propensities,
    seed: u64,
) -> Result<()> {
    let report = evaluate(&BanditLog::load(log)?, &BanditLog::load(target)?, propensities, seed)?;
    match context.json {
        true => output::json(&as_json(&report)),
        false => print(&report),
    }
}

fn as_json(report: &OffPolicyReport) -> Value {
    let estimators: Map<String, Value> = report
        .estimators()
        .into_iter()
        .map(|(name, estimate)| {
            let value = json!({
                "estimate": estimate.value, "ci95": [estimate.low, estimate.high],
                "ess": estimate.effective_sample_size, "largest_weight": estimate.largest_weight,
                "holds_target_mean": estimate.holds(report.target.mean),
            });
            (name.to_owned(), value)
        })
        .collect();
    json!({ "n": report.n, "estimators": estimators, "target": report.target })
}

fn print(report: &OffPolicyReport) -> Result<()> {
    let target = report.target;
    output::say(format!(
        "n = {}, effective {:.0}, largest weight {:.1}",
        report.n, report.ips.effective_sample_size, report.ips.largest_weight
    ))?;
    output::say(format!("{:<8}{:>10}{:>22}  holds the target's mean", "", "estimate", "ci95"))?;
    for (name, estimate) in report.estimators() {
        let interval = format!("[{:.5}, {:.5}]", estimate.low, estimate.high);
        let holds = if estimate.holds(target.mean) { "yes" } else { "no" };
        output::say(format!("{name:<8}{:>10.5}{interval:>22}  {holds}", estimate.value))?;
    }
    let interval = format!("[{:.5}, {:.5}]", target.ci95[0], target.ci95[1]);
    output::say(format!(
        "{:<8}{:>10.5}{interval:>22}  of {} rows of its own",
        "target", target.mean, target.n
    ))
}
