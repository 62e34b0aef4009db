//! `bench cache`: how long a look into a full cache takes, what an entry takes, and that the bound on bytes holds.

use std::time::Instant;

use anyhow::{Context as _, Result};
use burnish_cache::{
    Answers, Fresh, Guarantee, Key, Offer, Promise, Question, Record, Scope, compressed_size,
};
use burnish_types::RequestId;
use serde_json::json;

use super::Context;
use crate::output;

const DIMENSIONS: usize = 384;
/// Questions lie around so many centers, as those of one service do.
const CENTERS: usize = 2_000;
/// How far around them, beside a center of unit length.
const SPREAD: f32 = 0.9;
/// How far what is looked up lies from what is kept.
const NEAR: f32 = 0.3;
/// Similar questions that are judged.
const OFFERED: usize = 3;
/// Comparisons before anything is timed, so that the model is at work.
const COMPARED: usize = 512;
/// Passages that an answer rests on.
const CHUNKS: u64 = 5;
const ANSWER_BYTES: usize = 1_200;
const LIFETIME_MS: u64 = 3_600_000;
const WORDS: [&str; 20] = [
    "rotate", "key", "backup", "region", "invoice", "cluster", "latency", "upgrade", "token", "alert",
    "index", "quota", "policy", "replica", "schema", "export", "gateway", "license", "webhook", "archive",
];

struct Made {
    text: String,
    vector: Vec<f32>,
}

pub(crate) fn run(context: &Context, entries: usize, lookups: usize, seed: u64) -> Result<()> {
    let mut random = fastrand::Rng::with_seed(seed);
    let centers: Vec<Vec<f32>> = (0..CENTERS).map(|_| around(&[0.0; DIMENSIONS], 1.0, &mut random)).collect();
    let made: Vec<Made> = (0..entries)
        .map(|_| {
            let words: Vec<&str> = (0..9).map(|_| WORDS[random.usize(..WORDS.len())]).collect();
            let vector = around(&centers[random.usize(..CENTERS)], SPREAD, &mut random);
            Made { text: format!("How do I {}?", words.join(" ")), vector }
        })
        .collect();
    // The answers' letters are drawn, so that they are about as hard to compress as text is.
    let answer: Vec<u8> = (0..ANSWER_BYTES).map(|_| b'a' + random.u8(..16)).collect();

    let before = resident_bytes()?;
    let mut answers = Answers::new(u64::MAX >> 1, LIFETIME_MS);
    let started = Instant::now();
    fill(&mut answers, &made, 0, &answer);
    let keep_us = started.elapsed().as_secs_f64() * 1e6 / entries as f64;
    let compressed = compressed_size(&answer).context("an answer cannot be compressed")?;
    let beyond = (resident_bytes()?.saturating_sub(before) as f64) / entries as f64 - compressed as f64;

    let mut guarantee = Guarantee::new(Promise::default(), DIMENSIONS, seed);
    for _ in 0..COMPARED {
        let (kept, other) = (&made[random.usize(..entries)], &made[random.usize(..entries)]);
        let right = random.bool();
        let near = around(if right { &kept.vector } else { &other.vector }, NEAR, &mut random);
        let (kept, asked) = (Question::new(&kept.text, &kept.vector), Question::new(&kept.text, &near));
        let offer = Offer { question: &kept, record: Record::default() };
        if let Some(verdict) = guarantee.judge(&asked, &[offer], random.f64()) {
            guarantee.learn(verdict.into_ticket(), right);
        }
    }

    let (mut same, mut similar, mut found) = (Vec::new(), Vec::new(), 0);
    for _ in 0..lookups {
        let place = random.usize(..entries);
        let started = Instant::now();
        answers.same(&key(place), 0).context("an entry is gone")?;
        same.push(started.elapsed().as_secs_f64() * 1e6);

        let near = around(&made[place].vector, NEAR, &mut random);
        let coin = random.f64();
        let started = Instant::now();
        let asked = Question::new(&made[place].text, &near);
        let offered = answers.similar(&scope(), &asked, OFFERED, 0.6, 0);
        let offers: Vec<Offer<'_>> = offered
            .iter()
            .map(|similar| Offer { question: &similar.question, record: similar.record })
            .collect();
        let verdict = guarantee.judge(&asked, &offers, coin);
        let chosen = verdict.and_then(|verdict| offered.get(verdict.chosen)).map(|similar| similar.id);
        let kept = chosen.and_then(|id| answers.answer(id, 0));
        similar.push(started.elapsed().as_secs_f64() * 1e6);
        found += usize::from(kept.is_some_and(|kept| kept.text == made[place].text));
    }
    let [same, similar] = [same, similar].map(percentiles);

    drop(answers);
    let room = 32 << 20;
    let mut bounded = Answers::new(room, LIFETIME_MS);
    let mut most = 0;
    for (part, made) in made.chunks(1_000).enumerate() {
        fill(&mut bounded, made, part * 1_000, &answer);
        most = most.max(bounded.bytes());
    }
    if context.json {
        return output::json(&json!({
            "entries": entries, "lookups": lookups, "seed": seed,
            "exact_us": {"p50": same.0, "p99": same.1}, "similar_us": {"p50": similar.0, "p99": similar.1},
            "recall": found as f64 / lookups as f64, "keep_us": keep_us, "bytes_beyond_answer": beyond,
            "bound": {"bytes": room, "most": most, "entries": bounded.len()},
        }));
    }
    output::say(format!(
        "{entries} entries, {lookups} look-ups of each kind\n\
         the same question   {:.1} µs (p50), {:.1} µs (p99)\n\
         a similar question  {:.1} µs (p50), {:.1} µs (p99), without its embedding; {:.1} % found\n\
         an entry takes {beyond:.0} bytes beyond its answer, and {keep_us:.0} µs to keep\n\
         bound of {room} bytes: at most {most} were taken, by {} entries",
        same.0,
        same.1,
        similar.0,
        similar.1,
        100.0 * found as f64 / lookups as f64,
        bounded.len()
    ))
}

fn fill(answers: &mut Answers, made: &[Made], first: usize, answer: &[u8]) {
    for (place, Made { text, vector }) in (first..).zip(made) {
        let question = Question::new(text, vector);
        let chunk = (place as u64) % 50_000;
        let chunks: Vec<u64> = (chunk..chunk + CHUNKS).collect();
        let fresh = Fresh {
            request: RequestId::from_parts(0, place as u128),
            key: key(place),
            similar: Some((scope(), &question)),
            text,
            answer,
            chunks: &chunks,
            generation: 0,
        };
        answers.keep(&fresh, 0);
    }
}

fn key(place: usize) -> Key {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&(place as u64).to_le_bytes());
    Key(bytes)
}

fn scope() -> Scope {
    Scope([7; 32])
}

/// A vector of unit length near `center`.
fn around(center: &[f32], spread: f32, random: &mut fastrand::Rng) -> Vec<f32> {
    // A sum of a few uniform draws is round enough.
    let mut noise: Vec<f32> =
        center.iter().map(|_| (0..4).map(|_| random.f32() - 0.5).sum::<f32>()).collect();
    let scale = spread / length(&noise);
    noise.iter_mut().zip(center).for_each(|(noise, center)| *noise = center + scale * *noise);
    let scale = length(&noise).recip();
    noise.iter().map(|value| value * scale).collect()
}

fn length(vector: &[f32]) -> f32 {
    vector.iter().map(|value| value * value).sum::<f32>().sqrt().max(f32::MIN_POSITIVE)
}

/// The median and the 99th percentile.
fn percentiles(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values.get((values.len() as f64 * share) as usize).copied().unwrap_or_default();
    (at(0.5), at(0.99))
}

/// What this process has in memory.
fn resident_bytes() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("/proc/self/status cannot be read")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("there is no VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse().context("VmRSS is no number")?;
    Ok(kib << 10)
}
