//! `bench prompt`: how long it takes to tell what a question is like, to render a prompt, and to look a passage over.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Result, anyhow};
use burnish_prompt::{Asking, Inputs, Library, delimited, of_question, suspicion};
use serde_json::json;

use super::Context;
use crate::output;

/// How often each is timed.
const TIMES: usize = 5_000;
/// Passages of a prompt, and words of each.
const PASSAGES: usize = 8;
const WORDS: usize = 110;
const QUESTION: &str = "How often is the key of the vault rotated, step by step, and by whom?";
/// Operations that a question may ask for, all at once.
const OPERATIONS: [&str; 6] = ["scaffold", "organise", "simplify", "steps", "detailed", "restate"];
/// What passages are made of.
const SOME: [&str; 12] =
    ["the", "vault", "key", "is", "rotated", "every", "ninety", "days", "by", "two", "officers", "together."];

pub(crate) fn run(context: &Context, seed: u64) -> Result<()> {
    let library = Library::new(&[]).map_err(|errors| anyhow!("the shipped prompts: {errors:?}"))?;
    let mut random = fastrand::Rng::with_seed(seed);
    let texts: Vec<String> = (0..PASSAGES)
        .map(|_| (0..WORDS).map(|_| SOME[random.usize(..SOME.len())]).collect::<Vec<_>>().join(" "))
        .collect();
    let attributes = std::collections::BTreeMap::new();
    let asking = Asking { question: QUESTION, attributes: &attributes, complexity: 0.4, kind: "procedure" };
    let names = OPERATIONS.map(str::to_owned);
    let template =
        library.template("procedure").ok_or_else(|| anyhow!("there is no template `procedure`"))?;
    let passages = || {
        let shown =
            texts.iter().enumerate().map(|(place, text)| delimited(place + 1, "Handbook, Keys", text));
        shown.collect::<Vec<_>>().join("\n\n")
    };
    let shown = passages();
    let inputs = Inputs { question: QUESTION, passages: &shown, ..Inputs::default() };
    let prompt = library.prompt(template, &names);
    let told = prompt.render(&inputs)?;
    let figures = [
        ("question", timed(|| drop(black_box(of_question(&asking))))),
        ("delimit", timed(|| drop(black_box(passages())))),
        ("adapt", timed(|| drop(black_box(library.prompt(template, &names))))),
        ("render", timed(|| drop(black_box(prompt.render(&inputs))))),
        (
            "suspicion",
            timed(|| {
                black_box(suspicion(&texts[0]));
            }),
        ),
    ];
    if context.json {
        let figures =
            figures.map(|(name, [median, p99])| (name.to_owned(), json!({"p50_us": median, "p99_us": p99})));
        let figures: serde_json::Map<_, _> = figures.into_iter().collect();
        return output::json(&json!({"characters": told.system.len(), "n": TIMES, "figures": figures}));
    }
    output::say(format!(
        "a prompt of {} characters with {PASSAGES} passages and {} operations; {TIMES} times each",
        told.system.len(),
        OPERATIONS.len()
    ))?;
    let said = [
        "what the question is like",
        "passages between delimiters",
        "operations applied",
        "rendered",
        "one passage looked over",
    ];
    figures.iter().zip(said).try_for_each(|((_, [median, p99]), said)| {
        output::say(format!("{said:<28} {median:>8.1} µs (p50) {p99:>8.1} µs (p99)"))
    })
}

/// Median and 99th percentile in microseconds.
fn timed(mut work: impl FnMut()) -> [f64; 2] {
    let mut micros: Vec<f64> = (0..TIMES)
        .map(|_| {
            let started = Instant::now();
            work();
            started.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    micros.sort_unstable_by(f64::total_cmp);
    [micros[TIMES / 2], micros[TIMES * 99 / 100]]
}
