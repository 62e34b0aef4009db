//! `bench decide`: how long it takes from a question's words and lists to a plan with trees in use, and that history does
//! not slow it.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use burnish_learning::learner::Learner;
use burnish_learning::selection::{self, LABEL_WEIGHT, Offer, Selection, Wish};
use burnish_learning::trees::{BoostedTrees, TrainingRow, TreeSettings};
use burnish_learning::{FeatureVector, list_features, policies, query_features};
use burnish_types::{ChunkId, Filter, Hit, Query, Timestamp, UserContext};
use serde_json::json;

use super::Context;
use crate::output;

/// Decisions that are timed for each length of history.
const DECISIONS: usize = 20_000;
/// Outcomes that trees are trained from.
const TREE_ROWS: usize = 2_000;
/// Words that questions are made of; a third of them are names, so that all kinds of features are at work.
const WORDS: [&str; 18] = [
    "which", "Atlas", "bridge", "older", "than", "Borealis", "report", "was", "written", "by", "the",
    "director", "Corvus", "in", "1984", "and", "how", "many",
];

pub(crate) fn run(context: &Context, outcomes: u64, seed: u64) -> Result<()> {
    let planner = &context.config.engine.planner;
    let mut random = fastrand::Rng::with_seed(seed);
    let offers: Vec<Offer<'_>> = planner
        .strategies
        .iter()
        .map(|strategy| Offer {
            strategy,
            latency_ms: selection::believed_latency_ms(strategy),
            cost_usd: 0.0,
        })
        .collect();
    let bar = output::bar(outcomes, "outcomes");
    let mut learner = Learner::new(selection::settings(planner.half_life_days), selection::prior());
    let trees = Arc::new(trees(&offers, &mut random, seed).context("no trees could be trained")?);
    let mut measured = Vec::new();
    let mut learned = 0;
    for history in [outcomes / 100, outcomes] {
        while learned < history {
            let x = seen(&asked(&mut random), &mut random);
            let offer = &offers[random.usize(..offers.len())];
            let quality = f64::from(u8::from(random.f64() < 0.7));
            learner.observe(offer.strategy, x.as_slice(), quality, LABEL_WEIGHT, Timestamp(learned * 1_000));
            learned += 1;
            bar.inc(1);
        }
        let policy = policies::parse(&planner.policy)?;
        let mut selection = Selection::new(policy, planner.baseline.clone());
        selection.correct_by(Some(Arc::clone(&trees)));
        let mut micros: Vec<f64> = (0..DECISIONS)
            .map(|_| {
                let query = asked(&mut random);
                let seed = random.u64(..);
                let started = Instant::now();
                let x = seen(&query, &mut random);
                let wish = Wish { target_quality: Some(0.8), ..Wish::default() };
                let selected = selection.decide(&learner, &offers, x.as_slice(), wish, seed);
                let micros = started.elapsed().as_secs_f64() * 1e6;
                selected.map(|_| micros)
            })
            .collect::<Option<_>>()
            .context("there is no strategy to choose from")?;
        micros.sort_by(f64::total_cmp);
        measured.push((history, micros[DECISIONS / 2], micros[DECISIONS * 99 / 100]));
    }
    bar.finish_and_clear();
    let [(_, p50_short, _), (_, p50_long, _)] = measured.as_slice() else { return Ok(()) };
    let ratio = p50_long / p50_short;
    if context.json {
        let rows: Vec<_> = measured
            .iter()
            .map(|(history, p50, p99)| json!({"outcomes": history, "p50_us": p50, "p99_us": p99}))
            .collect();
        return output::json(
            &json!({"decisions": DECISIONS, "trees": trees.trees(), "history": rows, "p50_ratio": ratio}),
        );
    }
    for (history, p50, p99) in &measured {
        output::say(format!(
            "{history:>9} outcomes: {p50:.0} µs (p50), {p99:.0} µs (p99) from words to plan, with {} trees",
            trees.trees()
        ))?;
    }
    output::say(format!("a hundred times the history takes {ratio:.2} times as long"))
}

/// As many trees as there may be, for they are the dearest; their corrections are those of chance.
fn trees(offers: &[Offer<'_>], random: &mut fastrand::Rng, seed: u64) -> Option<BoostedTrees> {
    let row = |_| TrainingRow {
        arm: offers[random.usize(..offers.len())].strategy.to_owned(),
        x: seen(&asked(random), random).to_vec(),
        quality: random.f64(),
        expected: 0.5,
        weight: 1.0,
    };
    let rows: Vec<TrainingRow> = (0..TREE_ROWS).map(row).collect();
    BoostedTrees::fit(&rows, TreeSettings { held_out: 0.0, ..TreeSettings::default() }, seed)
}

fn asked(random: &mut fastrand::Rng) -> Query {
    let words: Vec<&str> = (0..random.usize(4..24)).map(|_| WORDS[random.usize(..WORDS.len())]).collect();
    Query {
        text: words.join(" "),
        conversation: Vec::new(),
        user: UserContext::default(),
        filter: Filter::default(),
        top_k: 10,
        target_quality: 0.8,
        budget: None,
        latency_budget_ms: None,
    }
}

/// Everything that a decision sees of a question, with lists as the indexes would give them.
fn seen(query: &Query, random: &mut fastrand::Rng) -> FeatureVector {
    let idf: Vec<(String, f32)> =
        query.text.split(' ').map(|word| (word.to_owned(), 1.0 + 6.0 * random.f32())).collect();
    let mut list = |best: f32| -> Vec<Hit> {
        let hit =
            |rank: u32| Hit { chunk: ChunkId(random.u64(..300)), score: best / (1.0 + rank as f32).sqrt() };
        (0..100).map(hit).collect()
    };
    let (lexical, dense) = (list(20.0), list(0.8));
    let mut features = query_features(query, &idf);
    list_features(&mut features, &lexical, &dense, 0.2 * random.f32());
    FeatureVector::new(&features)
}
