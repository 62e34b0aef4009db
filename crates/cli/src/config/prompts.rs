//! The settings of prompts.

use std::path::PathBuf;

use anyhow::{Result, bail};
use burnish_engine::{EvolutionSettings, PromptSettings, check_prompts};
use burnish_prompt::Thresholds;
use serde::Deserialize;

use super::within;

/// As they were written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPrompts {
    directory: PathBuf,
    adapt: bool,
    examples: usize,
    complexity: f64,
    density: f64,
    conflict: f64,
    age: f64,
    expert: f64,
    novice: f64,
    detailed: f64,
    brief: f64,
    detail_above: f64,
    search_share: f64,
    length_price: f64,
    confidence: f64,
    pool: usize,
}

/// The most examples of one prompt.
const MOST_EXAMPLES: usize = 10;

pub(super) fn validate(raw: RawPrompts) -> Result<PromptSettings> {
    let shares = [
        ("complexity", raw.complexity),
        ("density", raw.density),
        ("conflict", raw.conflict),
        ("age", raw.age),
        ("expert", raw.expert),
        ("novice", raw.novice),
        ("detailed", raw.detailed),
        ("brief", raw.brief),
        ("detail_above", raw.detail_above),
    ];
    for (name, value) in shares {
        within(&format!("prompts.{name}"), value, 0.0, 1.0)?;
    }
    if raw.novice > raw.expert {
        bail!("prompts.novice: {} is more than prompts.expert, {}", raw.novice, raw.expert);
    }
    if raw.brief > raw.detailed {
        bail!("prompts.brief: {} is more than prompts.detailed, {}", raw.brief, raw.detailed);
    }
    within("prompts.examples", raw.examples as f64, 0.0, MOST_EXAMPLES as f64)?;
    within("prompts.search_share", raw.search_share, 0.01, 0.99)?;
    within("prompts.length_price", raw.length_price, 0.0, 10.0)?;
    within("prompts.confidence", raw.confidence, 0.5, 0.9999)?;
    within("prompts.pool", raw.pool as f64, 2.0, 32.0)?;
    let directory = Some(raw.directory).filter(|directory| !directory.as_os_str().is_empty());
    if let Some(directory) = &directory {
        let errors = check_prompts(directory);
        if !errors.is_empty() {
            bail!("prompts.directory: `{}`: {}", directory.display(), errors.join("\n"));
        }
    }
    Ok(PromptSettings {
        directory,
        adapt: raw.adapt,
        examples: raw.examples,
        thresholds: Thresholds {
            complexity: raw.complexity,
            density: raw.density,
            conflict: raw.conflict,
            age: raw.age,
            expert: raw.expert,
            novice: raw.novice,
            detailed: raw.detailed,
            brief: raw.brief,
        },
        detail_above: raw.detail_above,
        evolution: EvolutionSettings {
            share: raw.search_share,
            length_price: raw.length_price,
            confidence: raw.confidence,
            pool: raw.pool,
        },
    })
}
