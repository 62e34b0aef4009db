//! The pages of prompts: templates with their versions and what became of them, a prompt as a model would read it, experiments
//! as they went.

use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse, Redirect, Response};
use burnish_engine::{
    Action, Change, ChangeKind, Experiment, IntervalPoint, RenderRequest, TemplateStanding,
};
use burnish_learning::{Gap, TrialFinding};
use minijinja::context;
use serde::{Deserialize, Serialize};
use similar::{ChangeTag, TextDiff};

use super::answer::day_and_time;
use super::{PageError, view};
use crate::api::experiment_action;
use crate::app::App;
use crate::error::ApiError;
use crate::extract::Parameters;
use crate::question::Question;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 160.0;
/// The smallest difference that the height of a plot stands for, both ways.
const LEAST_SPAN: f64 = 0.1;
/// Findings that are shown, and how likely each has the right sign.
const SHOWN_INSIGHTS: usize = 12;
const SURE: f64 = 0.95;
/// Versions that are shown at once.
const SHOWN_VERSIONS: usize = 8;
/// Changes that are shown.
const SHOWN_CHANGES: usize = 30;

#[derive(Serialize)]
struct TemplateRow {
    id: String,
    purpose: String,
    applies_when: String,
    version: String,
    versions: usize,
    tokens: usize,
    pinned: bool,
    outcomes: u64,
    quality: String,
}

#[derive(Serialize)]
struct ExperimentRow {
    id: String,
    name: String,
    template: String,
    state: &'static str,
    frozen: bool,
    observations: u64,
    says: String,
}

#[derive(Serialize)]
struct ChangeRow {
    at: String,
    kind: &'static str,
    template: String,
    version: String,
    before: Option<String>,
    reason: String,
}

#[derive(Serialize)]
struct VersionRow {
    version: String,
    origin: &'static str,
    parents: Vec<String>,
    note: String,
    at: String,
    in_use: bool,
    outcomes: u64,
    quality: String,
    output_tokens: String,
    diff: Vec<DiffLine>,
}

#[derive(Serialize)]
struct DiffLine {
    sign: &'static str,
    text: String,
}

#[derive(Serialize)]
struct TallyLine {
    topic: String,
    operations: String,
    version: String,
    outcomes: u64,
    quality: String,
    output_tokens: String,
}

#[derive(Serialize)]
struct BlockView {
    kind: String,
    text: String,
}

#[derive(Serialize)]
struct CandidateRow {
    version: String,
    origin: &'static str,
    parents: Vec<String>,
    blocks: Vec<String>,
    tokens: String,
    outcomes: u64,
    share: String,
    quality: String,
    in_use: bool,
    proposed: Option<String>,
}

#[derive(Serialize)]
struct ChallengerView {
    version: String,
    live: bool,
    note: String,
    reason: String,
    difference: String,
    interval: String,
    observations: u64,
    champion: String,
    challenger: String,
    gaps: Vec<(&'static str, String)>,
    /// Where 0 is.
    zero: f64,
    band: String,
    curve: String,
    course: Vec<CourseRow>,
}

#[derive(Serialize)]
struct CourseRow {
    at: String,
    observations: u64,
    difference: String,
    interval: String,
}

pub(super) async fn list(State(app): State<App>) -> Result<Html<String>, PageError> {
    let shown = async {
        let templates = app.engine.templates().await?;
        let rows: Vec<TemplateRow> = templates.iter().map(template_row).collect();
        let experiments: Vec<ExperimentRow> = app.engine.experiments().iter().map(experiment_row).collect();
        let changes: Vec<ChangeRow> = app
            .engine
            .prompt_changes()
            .iter()
            .filter(is_worth_a_line)
            .take(SHOWN_CHANGES)
            .map(change_row)
            .collect();
        let values = context! {
            here => "prompts", templates => view(&rows), experiments => view(&experiments), changes => view(&changes),
            errors => app.engine.prompt_errors(),
        };
        app.templates.render("prompts.html", values)
    };
    shown.await.map_err(|error| PageError { app: app.clone(), error })
}

/// A question that a prompt is shown for.
#[derive(Deserialize)]
pub(super) struct Tried {
    q: Option<String>,
    version: Option<String>,
}

pub(super) async fn one(
    State(app): State<App>,
    Path(id): Path<String>,
    Parameters(Tried { q, version }): Parameters<Tried>,
) -> Result<Html<String>, PageError> {
    let shown = async {
        let standing = app.engine.template(id.clone()).await?;
        let question = q.filter(|question| !question.trim().is_empty());
        let rendered = match &question {
            Some(question) => Some(render(&app, &id, question, version.clone()).await?),
            None => None,
        };
        let experiments: Vec<ExperimentRow> = app
            .engine
            .experiments()
            .iter()
            .filter(|experiment| experiment.template == id)
            .map(experiment_row)
            .collect();
        let blocks: Vec<BlockView> = standing
            .template
            .blocks()
            .iter()
            .map(|block| BlockView { kind: block.kind.to_string(), text: block.text.clone() })
            .collect();
        let (search, pool) = app.engine.evolution(id.clone()).await?.unzip();
        let in_use = standing.line.in_use.as_str();
        let pool: Vec<CandidateRow> =
            pool.into_iter().flatten().map(|known| candidate_row(known, in_use)).collect();
        let insights = app.engine.prompt_insights(Some(id.clone()), SURE).await?;
        let insights: Vec<String> =
            insights.insights.into_iter().take(SHOWN_INSIGHTS).map(|found| found.text).collect();
        let values = context! {
            pool => view(&pool), insights, search => search.as_ref().map(|search| context! {
                running => search.is_running, reason => search.reason.clone(), outcomes => search.outcomes(),
                share => format!("{:.0} %", 100.0 * search.share),
                experiment => search.trial.as_ref().map(|(_, experiment)| experiment.clone()),
            }),
            here => "prompts", template => view(&template_row(&standing)), blocks => view(&blocks),
            versions => view(&version_rows(&standing)), shown => SHOWN_VERSIONS, tallies => view(&tallies(&standing)),
            experiments => view(&experiments), question, version, rendered,
            max_query_chars => app.settings.max_query_chars,
        };
        app.templates.render("prompt.html", values)
    };
    shown.await.map_err(|error| PageError { app: app.clone(), error })
}

async fn render(
    app: &App,
    id: &str,
    question: &str,
    version: Option<String>,
) -> Result<minijinja::Value, ApiError> {
    let query = Question { text: question.to_owned(), param: "q", ..Question::default() }
        .into_query(&app.settings)?;
    let version = version.filter(|version| !version.is_empty());
    let request =
        RenderRequest { query, template: Some(id.to_owned()), version, operations: None, draft: None };
    let rendered = app.engine.render_prompt(request).await?;
    let blocks: Vec<BlockView> =
        rendered.blocks.into_iter().map(|(kind, text)| BlockView { kind, text }).collect();
    let known = &rendered.prompted.characteristics;
    Ok(context! {
        blocks => view(&blocks),
        operations => rendered.prompted.prompt.operations.join(", "),
        tokens => rendered.prompted.tokens,
        topics => known.topics.join(", "),
        suspicious => rendered.prompted.suspicious,
        characteristics => format!(
            "complexity {:.2}, density {:.2}, conflict {:.2}, age {:.2}, expertise {:.2}, length {:.2}",
            known.complexity, known.density, known.conflict, known.age, known.expertise, known.length,
        ),
    })
}

pub(super) async fn experiment(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Html<String>, PageError> {
    let shown = async {
        let found = app.engine.experiment(&id)?;
        let challengers: Vec<ChallengerView> = found.challengers.iter().map(challenger).collect();
        let values = context! {
            here => "prompts", width => WIDTH, height => HEIGHT, experiment => view(&experiment_row(&found)),
            champion => found.champion, share => format!("{:.0} %", 100.0 * found.share), reason => found.reason,
            started => found.started.map(day_and_time), ended => found.ended.map(day_and_time),
            challengers => view(&challengers),
        };
        app.templates.render("experiment.html", values)
    };
    shown.await.map_err(|error| PageError { app: app.clone(), error })
}

/// Does something with an experiment, and shows it again.
pub(super) async fn act(
    State(app): State<App>,
    Path((id, action)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let done = async {
        let action = match action.as_str() {
            "promote" => Action::Promote(None),
            named => experiment_action(named)
                .ok_or_else(|| ApiError::invalid("action", format!("there is nothing to `{named}`")))?,
        };
        app.engine.act_on_experiment(id.clone(), action).await?;
        Ok(Redirect::to(&format!("/experiments/{id}")).into_response())
    };
    done.await.map_err(|error| PageError { app: app.clone(), error })
}

/// Puts a version into use, and shows the template again.
pub(super) async fn put_into_use(
    State(app): State<App>,
    Path((id, version)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let done = async {
        app.engine.use_version(id.clone(), version, "on the page".to_owned()).await?;
        Ok(Redirect::to(&format!("/prompts/{id}")).into_response())
    };
    done.await.map_err(|error| PageError { app: app.clone(), error })
}

/// Pins a template, or lets it go, and shows it again.
pub(super) async fn pin(
    State(app): State<App>,
    Path((id, pinned)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let done = async {
        app.engine.pin_template(id.clone(), pinned == "on", "on the page".to_owned()).await?;
        Ok(Redirect::to(&format!("/prompts/{id}")).into_response())
    };
    done.await.map_err(|error| PageError { app: app.clone(), error })
}

/// Begins or ends the search for a better version, and shows the template again.
pub(super) async fn search(
    State(app): State<App>,
    Path((id, action)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let done = async {
        match action.as_str() {
            "start" => app.engine.evolve_template(id.clone()).await?,
            "stop" => app.engine.end_evolution(id.clone()).await?,
            other => return Err(ApiError::invalid("action", format!("there is nothing to `{other}`"))),
        };
        Ok(Redirect::to(&format!("/prompts/{id}")).into_response())
    };
    done.await.map_err(|error| PageError { app: app.clone(), error })
}

fn candidate_row(known: burnish_engine::CandidateStanding, in_use: &str) -> CandidateRow {
    let in_use = known.version == in_use;
    CandidateRow {
        version: known.version,
        origin: known.origin.name(),
        parents: known.parents,
        blocks: known.blocks.into_iter().map(|(slot, option)| format!("{slot}: {option}")).collect(),
        tokens: format!("{:.0}", known.tokens),
        outcomes: known.outcomes,
        share: format!("{:.0} %", 100.0 * known.share),
        quality: format!("{:.2} ± {:.2}", known.quality, known.deviation),
        in_use,
        proposed: known.proposed.map(|proposed| {
            let (points, sure) = (100.0 * proposed.gain, 100.0 * proposed.certainty);
            format!("{points:+.1} points, and better at all with {sure:.0} % certainty")
        }),
    }
}

fn template_row(standing: &TemplateStanding) -> TemplateRow {
    let front = standing.template.front();
    let own = standing.tallies.iter().filter(|row| row.version == standing.line.in_use);
    let (outcomes, quality) = mean(own.map(|row| (row.tally.outcomes, row.tally.quality())));
    TemplateRow {
        id: front.id.clone(),
        purpose: front.purpose.clone(),
        applies_when: front.applies_when.join(", ").replace('_', " "),
        version: standing.line.in_use.clone(),
        versions: standing.versions.len(),
        tokens: standing.template.tokens(),
        pinned: standing.line.pinned,
        outcomes,
        quality,
    }
}

fn mean(parts: impl Iterator<Item = (u64, f64)>) -> (u64, String) {
    let (count, sum) = parts
        .fold((0, 0.0), |(count, sum), (outcomes, mean)| (count + outcomes, sum + mean * outcomes as f64));
    (count, if count == 0 { String::new() } else { format!("{:.2}", sum / count as f64) })
}

fn version_rows(standing: &TemplateStanding) -> Vec<VersionRow> {
    let used = standing.versions.iter().find(|record| record.version == standing.line.in_use);
    let used = used.map(|record| record.text.as_str()).unwrap_or_default();
    let row = |record: &burnish_engine::VersionRecord| {
        let own = || standing.tallies.iter().filter(|row| row.version == record.version);
        let (outcomes, quality) = mean(own().map(|row| (row.tally.outcomes, row.tally.quality())));
        let (_, output_tokens) = mean(own().map(|row| (row.tally.outcomes, row.tally.output_tokens())));
        VersionRow {
            version: record.version.clone(),
            origin: record.origin.name(),
            parents: record.parents.clone(),
            note: record.note.clone(),
            at: day_and_time(record.at),
            in_use: record.version == standing.line.in_use,
            outcomes,
            quality,
            output_tokens,
            diff: diff(used, &record.text),
        }
    };
    let mut rows: Vec<VersionRow> = standing.versions.iter().map(row).collect();
    // What is in use first, and then what people or outcomes know something of.
    rows.sort_by_key(|row| {
        (!row.in_use, row.outcomes == 0 && row.origin != "written" && row.origin != "file")
    });
    rows
}

/// What differs, line by line, with the lines around it.
fn diff(before: &str, after: &str) -> Vec<DiffLine> {
    let differences = TextDiff::from_lines(before, after);
    let groups = differences.grouped_ops(1);
    let lines = groups.iter().flatten().flat_map(|operation| differences.iter_changes(operation));
    let line = |change: similar::Change<&str>| DiffLine {
        sign: match change.tag() {
            ChangeTag::Delete => "−",
            ChangeTag::Insert => "+",
            ChangeTag::Equal => " ",
        },
        text: change.value().trim_end().to_owned(),
    };
    lines.map(line).collect()
}

fn tallies(standing: &TemplateStanding) -> Vec<TallyLine> {
    let line = |row: &burnish_engine::TallyRow| TallyLine {
        topic: row.topic.replace('_', " "),
        operations: row.operations.join(", "),
        version: row.version.clone(),
        outcomes: row.tally.outcomes,
        quality: format!("{:.2}", row.tally.quality()),
        output_tokens: format!("{:.0}", row.tally.output_tokens()),
    };
    standing.tallies.iter().map(line).collect()
}

fn experiment_row(experiment: &Experiment) -> ExperimentRow {
    let found: Vec<TrialFinding> = experiment.challengers.iter().map(|known| known.finding()).collect();
    let best = found.iter().max_by(|left, right| left.difference.total_cmp(&right.difference));
    ExperimentRow {
        id: experiment.id.clone(),
        name: experiment.name.clone(),
        template: experiment.template.clone(),
        state: experiment.state.name(),
        frozen: experiment.is_frozen,
        observations: found.iter().map(|found| found.observations).max().unwrap_or_default(),
        says: match best {
            Some(best) if best.observations > 0 => {
                format!("{} ({})", points(best.difference), interval(best.interval))
            }
            _ => String::new(),
        },
    }
}

/// Drafts are many, and listed with their templates.
fn is_worth_a_line(change: &&Change) -> bool {
    change.kind != ChangeKind::Drafted
}

fn change_row(change: &Change) -> ChangeRow {
    ChangeRow {
        at: day_and_time(change.at),
        kind: change.kind.name(),
        template: change.template.clone(),
        version: change.version.clone(),
        before: change.before.clone().filter(|before| *before != change.version),
        reason: change.reason.clone(),
    }
}

fn challenger(known: &burnish_engine::Contender) -> ChallengerView {
    let found = known.finding();
    let course = &known.course;
    let span = course
        .iter()
        .flat_map(|point| [point.difference, point.interval[0], point.interval[1]])
        .fold(LEAST_SPAN, |span, value| span.max(value.abs()));
    let last = course.last().map_or(1, |point| point.observations.max(1)) as f64;
    let x = |point: &IntervalPoint| WIDTH * point.observations as f64 / last;
    let y = |value: f64| HEIGHT * (0.5 - 0.5 * value / span);
    let at = |point: &IntervalPoint, value: f64| format!("{:.1},{:.1}", x(point), y(value));
    let upper = course.iter().map(|point| at(point, point.interval[1]));
    let lower = course.iter().rev().map(|point| at(point, point.interval[0]));
    let gap = |name, gap: Option<Gap>, digits: usize| {
        let gap = gap?;
        let [low, high] = gap.interval;
        Some((name, format!("{:+.digits$} ({low:+.digits$} to {high:+.digits$})", gap.difference)))
    };
    let gaps = [
        gap("Cost, US dollars", found.cost_usd, 6),
        gap("Latency, ms", found.latency_ms, 0),
        gap("Tokens written", found.output_tokens, 0),
    ];
    let served = |arm: burnish_learning::ArmFinding| match arm.quality {
        Some(quality) => format!("{quality:.2} over {}", arm.served),
        None => "none yet".to_owned(),
    };
    ChallengerView {
        version: known.version.clone(),
        live: known.is_live,
        note: known.note.clone(),
        difference: points(found.difference),
        interval: interval(found.interval),
        observations: found.observations,
        champion: served(found.champion),
        challenger: served(found.challenger),
        reason: found.reason,
        gaps: gaps.into_iter().flatten().collect(),
        zero: y(0.0),
        band: upper.chain(lower).collect::<Vec<_>>().join(" "),
        curve: course.iter().map(|point| at(point, point.difference)).collect::<Vec<_>>().join(" "),
        course: course
            .iter()
            .rev()
            .map(|point| CourseRow {
                at: day_and_time(point.at),
                observations: point.observations,
                difference: points(point.difference),
                interval: interval(point.interval),
            })
            .collect(),
    }
}

fn points(difference: f64) -> String {
    format!("{:+.1} points", 100.0 * difference)
}

fn interval([low, high]: [f64; 2]) -> String {
    format!("{:+.1} to {:+.1}", 100.0 * low, 100.0 * high)
}
