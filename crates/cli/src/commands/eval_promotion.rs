//! `burnish eval promotion`.

use anyhow::{Result, bail};
use burnish_eval::promotion::{Case, Simulation, simulate};
use serde_json::json;

use super::Context;
use crate::output;

pub(crate) fn run(context: &Context, simulation: &Simulation) -> Result<()> {
    let Simulation { runs, effect, base, settings, seed } = simulation;
    if *runs == 0 {
        bail!("--runs 0 asks for nothing: give at least 1");
    }
    if !(*effect > 0.0 && base - effect >= 0.0 && base + effect <= 1.0) {
        bail!(
            "with --base {base} the effect {effect} leaves [0, 1]: give one above 0 that fits on both sides"
        );
    }
    if !(settings.retire_below >= settings.promote_above + 0.001 && settings.retire_below + base <= 1.0) {
        bail!("--minimal-effect {} is not between 0.001 and 1 − {base}", settings.retire_below);
    }
    for (name, level) in [("level", settings.level), ("retire-level", settings.retire_level)] {
        if !(level > 0.0 && level <= 0.5) {
            bail!("--{name} {level} is not above 0 and at most 0.5");
        }
    }
    let cases = simulate(simulation);
    if context.json {
        return output::json(&json!({
            "n": runs, "effect": effect, "base": base, "seed": seed, "settings": settings, "cases": cases,
        }));
    }
    output::say(format!("{runs} runs a case, champion's mean quality {base}, {settings:?}"))?;
    output::say(format!(
        "{:<10}{:<11}{:>8}{:>10}{:>9}{:>9}{:>8}{:>8}{:>9}{:>9}{:>7}",
        "design",
        "quality",
        "effect",
        "promoted",
        "horizon",
        "covered",
        "median",
        "p95",
        "power",
        "fixed n",
        "ratio"
    ))?;
    cases.iter().try_for_each(|case| output::say(line(case)))
}

fn line(case: &Case) -> String {
    let fixed = case.fixed.map_or_else(
        || format!("{:>9}{:>9}{:>7}", "–", "–", "–"),
        |fixed| format!("{:>9.3}{:>9}{:>7.2}", fixed.power, fixed.observations, fixed.ratio),
    );
    format!(
        "{:<10}{:<11}{:>8.3}{:>10.4}{:>9.4}{:>9.4}{:>8}{:>8}{fixed}",
        format!("{:?}", case.design).to_lowercase(),
        format!("{:?}", case.quality).to_lowercase(),
        case.effect,
        case.promoted,
        case.at_horizon,
        case.covered,
        case.median,
        case.p95,
    )
}
