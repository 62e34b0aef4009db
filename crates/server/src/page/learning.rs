//! The learning page: plots that are drawn here, each with the table that it is drawn from.

use axum::extract::State;
use axum::response::Html;
use burnish_engine::{Bucket, Mean, Standing};
use burnish_learning::joint::OptionStanding;
use burnish_learning::patterns::Figure;
use minijinja::context;
use serde::Serialize;

use super::answer::day_and_time;
use super::{PageError, view};
use crate::api::{SMALLEST_SAMPLE, change_name};
use crate::app::App;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 160.0;

/// A point of the plot of quality, in the units of the drawing.
#[derive(Serialize)]
struct Point {
    x: f64,
    y: f64,
    /// The ends of its interval.
    top: f64,
    bottom: f64,
}

/// A piece of a stacked bar.
#[derive(Serialize)]
struct Piece {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    /// Which strategy, by its place in the legend.
    colour: usize,
}

#[derive(Serialize)]
struct Row {
    from: String,
    decisions: usize,
    quality: String,
    taken: String,
}

#[derive(Serialize)]
struct SegmentRow {
    kind: String,
    strategy: String,
    quality: String,
    n: usize,
    ms: String,
}

#[derive(Serialize)]
struct OptionRow {
    part: String,
    option: String,
    added: String,
    outcomes: u64,
    is_new: bool,
}

#[derive(Serialize)]
struct FixedRow {
    strategy: String,
    value: String,
    regret: String,
    covered: String,
    trusted: bool,
    left: f64,
    right: f64,
    middle: f64,
}

#[derive(Serialize)]
struct ExpectedRow {
    strategy: String,
    quality: String,
    ms: String,
    outcomes: u64,
}

#[derive(Serialize)]
struct PatternRow {
    words: String,
    /// The difference, from −1 to 1 over the width of the drawing, and the ends of its interval.
    middle: f64,
    left: f64,
    right: f64,
}

#[derive(Serialize)]
struct TopicRow {
    topic: String,
    strategy: String,
    quality: String,
}

#[derive(Serialize)]
struct TreesRow {
    at: String,
    change: &'static str,
    reason: String,
}

#[derive(Serialize)]
struct DriftRow {
    strategy: String,
    at: String,
    shift: String,
}

pub(super) async fn learning(State(app): State<App>) -> Result<Html<String>, PageError> {
    let shown = async {
        let standing = app.engine.standing().await?;
        let strategies = strategies(&standing);
        let spent = standing.ledger.map(|ledger| {
            let share = if ledger.expected > 0.0 { ledger.spent() / ledger.expected } else { 0.0 };
            context! {
                requests => ledger.requests, explored => ledger.explored,
                spent => format!("{:.2}", ledger.spent()), expected => format!("{:.1}", ledger.expected),
                share => format!("{:.2} %", 100.0 * share),
            }
        });
        let values = context! {
            here => "learning", width => WIDTH, height => HEIGHT, policy => standing.policy.clone(),
            decisions => standing.decisions, judged => standing.judged,
            quality => standing.mean_quality.as_ref().map(with_margin),
            points => view(&points(&standing.series)), pieces => view(&pieces(&standing.series, &strategies)),
            strategies, rows => view(&rows(&standing.series)), segments => view(&segments(&standing)), options => view(&options(&standing)),
            fixed => view(&fixed(&standing)), mean_at => standing.mean_quality.map(|mean| WIDTH * mean.mean),
            patterns => view(&patterns(&standing)), topics => view(&topics(&standing)),
            looked => standing.patterns.as_ref().map(|found| context! {
                at => day_and_time(found.at), n => found.patterns.n, questions => found.patterns.questions,
                free => found.patterns.free, looked_at => found.patterns.looked_at,
            }),
            trees => view(&trees(&standing)), trees_since => standing.challenger.in_use.as_ref().map(|(at, _)| day_and_time(*at)),
            trees_watched => standing.challenger.watched.map(watched),
            expected => view(&expected(&standing)), drift => view(&drift(&standing)), exploration => spent,
            questions => standing.memory.0, votes => standing.memory.1,
        };
        app.templates.render("learning.html", values)
    };
    shown.await.map_err(|error| PageError { app: app.clone(), error })
}

/// Every strategy that was taken, in a fixed order.
fn strategies(standing: &Standing) -> Vec<String> {
    let mut names: Vec<String> =
        standing.series.iter().flat_map(|bucket| bucket.taken.keys().map(ToString::to_string)).collect();
    names.sort();
    names.dedup();
    names
}

fn points(series: &[Bucket]) -> Vec<Point> {
    let step = WIDTH / series.len().max(1) as f64;
    let height = |quality: f64| HEIGHT * (1.0 - quality.clamp(0.0, 1.0));
    let point = |(place, bucket): (usize, &Bucket)| {
        let Mean { mean, margin, .. } = bucket.quality?;
        let x = step * (place as f64 + 0.5);
        Some(Point { x, y: height(mean), top: height(mean + margin), bottom: height(mean - margin) })
    };
    series.iter().enumerate().filter_map(point).collect()
}

fn pieces(series: &[Bucket], strategies: &[String]) -> Vec<Piece> {
    let step = WIDTH / series.len().max(1) as f64;
    let mut pieces = Vec::new();
    for (place, bucket) in series.iter().enumerate() {
        let mut y = 0.0;
        for (strategy, count) in &bucket.taken {
            let height = HEIGHT * *count as f64 / bucket.decisions.max(1) as f64;
            let colour = strategies.iter().position(|name| *name == strategy.as_str()).unwrap_or(0) % 8;
            pieces.push(Piece { x: step * place as f64, y, width: (step - 1.0).max(1.0), height, colour });
            y += height;
        }
    }
    pieces
}

fn rows(series: &[Bucket]) -> Vec<Row> {
    let row = |bucket: &Bucket| {
        let taken: Vec<String> =
            bucket.taken.iter().map(|(strategy, count)| format!("{strategy} {count}")).collect();
        Row {
            from: day_and_time(bucket.from),
            decisions: bucket.decisions,
            quality: bucket.quality.as_ref().map(with_margin).unwrap_or_default(),
            taken: taken.join(", "),
        }
    };
    series.iter().map(row).collect()
}

fn options(standing: &Standing) -> Vec<OptionRow> {
    let row = |known: &OptionStanding| OptionRow {
        part: known.part.clone(),
        option: known.option.clone(),
        added: match (known.added == 0.0, known.deviation == 0.0) {
            (true, true) => "the first choice".to_owned(),
            _ => format!("{:+.2} ± {:.2}", known.added, known.deviation),
        },
        outcomes: known.outcomes,
        is_new: known.is_new,
    };
    standing.options.iter().map(row).collect()
}

fn segments(standing: &Standing) -> Vec<SegmentRow> {
    let row = |segment: &burnish_engine::Segment| SegmentRow {
        kind: format!("{}: {}", segment.cut, segment.kind.replace('_', " ")),
        strategy: segment.strategy.to_string(),
        quality: with_margin(&segment.quality),
        n: segment.quality.n,
        ms: format!("{:.1} ms", segment.latency_ms),
    };
    standing.segments.iter().map(row).collect()
}

fn fixed(standing: &Standing) -> Vec<FixedRow> {
    let row = |fixed: &burnish_engine::FixedValue| {
        let estimate = &fixed.estimate;
        FixedRow {
            strategy: fixed.strategy.to_string(),
            value: format!("{:.2} ({:.2} to {:.2})", estimate.value, estimate.low, estimate.high),
            regret: format!("{:+.2}", estimate.value - fixed.reached),
            covered: format!("{} of {}", estimate.n, fixed.of),
            trusted: estimate.effective_sample_size >= SMALLEST_SAMPLE,
            left: along(estimate.low),
            right: along(estimate.high),
            middle: along(estimate.value),
        }
    };
    standing.fixed.iter().map(row).collect()
}

fn along(quality: f64) -> f64 {
    WIDTH * quality.clamp(0.0, 1.0)
}

fn patterns(standing: &Standing) -> Vec<PatternRow> {
    let found = standing.patterns.iter().flat_map(|found| &found.patterns.found);
    let row = |pattern: &burnish_learning::patterns::Pattern| {
        let Figure { value, interval: [low, high], .. } = pattern.difference;
        let place = |difference: f64| along(f64::midpoint(difference, 1.0));
        // What the figures stand beside is code in the words as well.
        let words = pattern.words.replace('`', "");
        PatternRow { words, middle: place(value), left: place(low), right: place(high) }
    };
    found.map(row).collect()
}

fn topics(standing: &Standing) -> Vec<TopicRow> {
    let found = standing.patterns.iter().flat_map(|found| &found.patterns.topics);
    let row = |row: &burnish_learning::patterns::TopicRow| TopicRow {
        topic: row.topic.clone(),
        strategy: row.strategy.clone(),
        quality: format!("{:.2} (n = {})", row.quality, row.n),
    };
    found.map(row).collect()
}

fn trees(standing: &Standing) -> Vec<TreesRow> {
    let row = |event: &burnish_engine::ChallengerEvent| TreesRow {
        at: day_and_time(event.at),
        change: change_name(event.change),
        reason: event.reason.clone(),
    };
    standing.challenger.events.iter().rev().map(row).collect()
}

fn watched((difference, [low, high], outcomes): (f64, [f64; 2], u64)) -> String {
    match outcomes {
        0 => "No outcome of a decision that they change has come yet.".to_owned(),
        outcomes => format!(
            "Without them such decisions would be worth {difference:+.2} ({low:+.2} to {high:+.2}, {outcomes} outcomes)."
        ),
    }
}

fn expected(standing: &Standing) -> Vec<ExpectedRow> {
    let row = |(strategy, prediction): &(burnish_types::Strategy, burnish_types::Prediction)| ExpectedRow {
        strategy: strategy.to_string(),
        quality: format!("{:.2} ± {:.2}", prediction.quality, prediction.quality_deviation),
        ms: format!("{:.1} ms", prediction.latency_ms),
        outcomes: prediction.outcomes,
    };
    standing.expected.iter().map(row).collect()
}

fn drift(standing: &Standing) -> Vec<DriftRow> {
    let row = |event: &burnish_learning::learner::DriftEvent| DriftRow {
        strategy: event.arm.clone(),
        at: day_and_time(event.at),
        shift: format!("{:+.2}", event.shift),
    };
    standing.drift.iter().rev().map(row).collect()
}

fn with_margin(mean: &Mean) -> String {
    format!("{:.2} ± {:.2} (n = {})", mean.mean, mean.margin, mean.n)
}
