//! An answer as its template shows it: everything is cut, rounded and worded here, and only placed there.

use burnish_engine::Frontier;
use burnish_types::{
    Answer, ChunkId, Decision, Evidence, Judgement, Lifted, Money, Outcome, Plan, PromptPlan, Prompted,
    SelectiveKind, Stage, StoredDecision, Timestamp,
};
use serde::Serialize;

use crate::wire::rfc3339;

/// An answer with its decision and outcomes.
#[derive(Serialize)]
pub(super) struct AnswerView {
    id: String,
    at: String,
    query: String,
    /// Whether it came to its end.
    complete: bool,
    found: bool,
    segments: Vec<Segment>,
    degraded: Option<String>,
    /// Which passages seem to tell the model what to do, where any does.
    suspicious: Option<String>,
    prompt: Option<PromptView>,
    passages: Vec<PassageView>,
    policy: String,
    reason: String,
    answerer: String,
    candidates: Vec<CandidateView>,
    timings: Vec<TimingView>,
    tokens: Option<String>,
    cost: Option<String>,
    /// The last thumb that was given.
    thumb: Option<&'static str>,
    outcomes: Vec<OutcomeView>,
}

/// Words of the answer, or a marker that points at a chunk.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Segment {
    text: String,
    chunk: Option<u64>,
    title: Option<String>,
}

#[derive(Serialize)]
struct PassageView {
    chunk: u64,
    document: u64,
    title: String,
    location: String,
    /// The marker that cites it.
    marker: Option<u32>,
    pieces: Vec<Piece>,
    score: String,
    /// Of the best score, in percent.
    share: String,
    components: Vec<ComponentView>,
    /// Whether it was last said to hold the answer.
    correct: bool,
    /// Why feedback moved it, where it did.
    lifted: Option<String>,
}

/// Words of a passage, quoted by the answer or not.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Piece {
    text: String,
    marked: bool,
}

#[derive(Serialize)]
struct ComponentView {
    name: String,
    value: String,
    share: String,
}

#[derive(Serialize)]
struct CandidateView {
    plan: String,
    quality: String,
    deviation: String,
    outcomes: u64,
    latency: String,
    cost: String,
    propensity: String,
    chosen: bool,
    /// What it is beside the chosen one, where it is something.
    beside: Option<&'static str>,
}

#[derive(Serialize)]
struct TimingView {
    stage: &'static str,
    ms: String,
}

#[derive(Serialize)]
struct OutcomeView {
    said: String,
    at: String,
    comment: Option<String>,
}

impl AnswerView {
    pub(super) fn of(stored: &StoredDecision) -> Self {
        let StoredDecision { decision, answer, outcomes } = stored;
        let choice = decision.choice();
        let Frontier { cheaper, better, .. } = Frontier::of_decision(decision);
        let differing = differing(decision);
        let candidates = decision.candidates.iter().enumerate().map(|(place, candidate)| {
            let prediction = &candidate.prediction;
            CandidateView {
                plan: differing.iter().map(|part| part(&candidate.plan)).collect::<Vec<_>>().join(" · "),
                quality: format!("{:.2}", prediction.quality),
                deviation: format!("{:.2}", prediction.quality_deviation),
                outcomes: prediction.outcomes,
                latency: expected_latency(prediction.latency_ms),
                propensity: format!("{:.1} %", candidate.propensity * 100.0),
                cost: match prediction.cost {
                    Money::ZERO => "–".to_owned(),
                    cost => cost.to_string(),
                },
                chosen: place == decision.chosen,
                beside: match Some(place) {
                    place if place == cheaper => Some("next cheaper"),
                    place if place == better => Some("next better"),
                    _ => None,
                },
            }
        });
        let answer = answer.as_ref();
        Self {
            id: decision.id.to_string(),
            at: day_and_time(decision.at),
            query: decision.query.clone(),
            complete: answer.is_some(),
            found: answer.is_some_and(|answer| answer.found),
            segments: answer.map(segments).unwrap_or_default(),
            degraded: answer.and_then(|answer| answer.degraded.clone()),
            suspicious: answer.and_then(|answer| answer.prompted.as_ref()).and_then(suspicious),
            prompt: answer.and_then(|answer| answer.prompted.as_ref()).map(PromptView::from),
            passages: answer.map(|answer| passages(answer, outcomes)).unwrap_or_default(),
            policy: decision.policy.clone(),
            reason: match answer.and_then(spared) {
                Some(spared) => format!("{} {spared}", sentence(&decision.reason)),
                None => sentence(&decision.reason),
            },
            answerer: choice.map(|choice| choice.plan.answerer.name().to_owned()).unwrap_or_default(),
            candidates: candidates.collect(),
            timings: answer.map(timings).unwrap_or_default(),
            tokens: answer.and_then(tokens),
            cost: answer
                .and_then(|answer| answer.cost)
                .filter(|cost| *cost > Money::ZERO)
                .map(|cost| cost.to_string()),
            thumb: outcomes.iter().rev().find_map(|outcome| match outcome.judgement {
                Judgement::Thumb { up } => Some(if up { "up" } else { "down" }),
                _ => None,
            }),
            outcomes: outcomes.iter().map(outcome_view).collect(),
        }
    }
}

/// What tells the candidates apart: the strategy, and every other part in which they are not all alike.
fn differing(decision: &Decision) -> Vec<fn(&Plan) -> String> {
    let others: [fn(&Plan) -> String; 3] = [
        |plan| format!("{} passages", plan.depth),
        |plan| format!("{:.0} % left out", 100.0 * plan.reduction),
        |plan| plan.answerer.name().to_owned(),
    ];
    let mut parts: Vec<fn(&Plan) -> String> = vec![|plan| plan.strategy.to_string()];
    parts.extend(others.into_iter().filter(|part| {
        let mut values = decision.candidates.iter().map(|candidate| part(&candidate.plan));
        let first = values.next();
        values.any(|value| Some(&value) != first.as_ref())
    }));
    parts
}

/// Cuts the text at those markers `[n]` that point at something.
fn segments(answer: &Answer) -> Vec<Segment> {
    let mut segments = Vec::new();
    let mut plain = String::new();
    let mut rest = answer.text.as_str();
    while let Some(open) = rest.find('[') {
        let (before, after) = rest.split_at(open);
        plain.push_str(before);
        let close = after.find(']');
        let marker = close.and_then(|close| after.get(1..close)?.parse::<u32>().ok());
        let cited = marker.and_then(|marker| answer.citations.iter().find(|cited| cited.marker == marker));
        let Some((close, cited)) = close.zip(cited) else {
            plain.push('[');
            rest = &after[1..];
            continue;
        };
        if !plain.is_empty() {
            segments.push(Segment { text: std::mem::take(&mut plain), chunk: None, title: None });
        }
        let title = answer.evidence.iter().find(|evidence| evidence.chunk == cited.chunk);
        segments.push(Segment {
            text: after[..=close].to_owned(),
            chunk: Some(cited.chunk.0),
            title: title.map(|evidence| evidence.title.clone()),
        });
        rest = &after[close + 1..];
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        segments.push(Segment { text: plain, chunk: None, title: None });
    }
    segments
}

fn passages(answer: &Answer, outcomes: &[Outcome]) -> Vec<PassageView> {
    let best = answer.evidence.iter().map(|evidence| evidence.score).fold(0.0, f32::max);
    let view = |evidence: &Evidence| {
        let components = evidence.components.iter().map(|(name, value)| {
            let all = answer.evidence.iter().flat_map(|evidence| &evidence.components);
            let most = all.filter(|other| other.0 == *name).map(|other| other.1).fold(0.0, f32::max);
            ComponentView { name: name.clone(), value: format!("{value:.3}"), share: share(*value, most) }
        });
        let cited = answer.citations.iter().find(|citation| citation.chunk == evidence.chunk);
        PassageView {
            chunk: evidence.chunk.0,
            document: evidence.document.0,
            title: evidence.title.clone(),
            location: below_title(&evidence.location.to_string(), &evidence.title),
            marker: cited.map(|citation| citation.marker),
            pieces: pieces(evidence, answer),
            score: format!("{:.3}", evidence.score),
            share: share(evidence.score, best),
            components: components.collect(),
            correct: said_to_hold(evidence.chunk, outcomes),
            lifted: evidence.lifted.as_ref().map(why_lifted),
        }
    };
    answer.evidence.iter().map(view).collect()
}

/// Such as `Raised: 2 people found that it answers “…”.`
fn why_lifted(lifted: &Lifted) -> String {
    let people = |count: u32| if count == 1 { "1 person".to_owned() } else { format!("{count} people") };
    let (moved, count, verdict) = match lifted.by > 0.0 {
        true => ("Raised", lifted.confirmed_by, "found that it answers"),
        false if lifted.rejected_by == 0 => ("Lowered", lifted.passed_by, "passed it over for"),
        false => ("Lowered", lifted.rejected_by, "found that it does not answer"),
    };
    format!("{moved}: {} {verdict} “{}”.", people(count), lifted.question)
}

/// Cuts a passage into what the answer quotes and what it does not.
fn pieces(evidence: &Evidence, answer: &Answer) -> Vec<Piece> {
    let cited = answer.citations.iter().filter(|citation| citation.chunk == evidence.chunk);
    let mut quotes: Vec<_> = cited.filter_map(|citation| citation.quote).collect();
    quotes.sort_by_key(|span| span.start);
    let mut pieces = Vec::new();
    let mut done = 0;
    let mut push = |range: std::ops::Range<usize>, marked| {
        if let Some(text) = evidence.text.get(range).filter(|text| !text.is_empty()) {
            pieces.push(Piece { text: text.to_owned(), marked });
        }
    };
    for span in quotes {
        let start = span.start.max(done);
        if start < span.end && evidence.text.get(start..span.end).is_some() {
            push(done..start, false);
            push(start..span.end, true);
            done = span.end;
        }
    }
    push(done..evidence.text.len(), false);
    pieces
}

fn said_to_hold(chunk: ChunkId, outcomes: &[Outcome]) -> bool {
    let said = outcomes.iter().rev().find_map(|outcome| match outcome.judgement {
        Judgement::Passage { chunk: of, correct } if of == chunk => Some(correct),
        _ => None,
    });
    said.unwrap_or(false)
}

fn timings(answer: &Answer) -> Vec<TimingView> {
    let view = |timing: &burnish_types::StageTiming| TimingView {
        stage: match timing.stage {
            Stage::Embed => "Embedding",
            Stage::Plan => "Planning",
            Stage::Retrieve => "Retrieval",
            Stage::Generate => "Writing",
        },
        ms: milliseconds(timing.ms),
    };
    answer.timings.iter().map(view).collect()
}

fn tokens(answer: &Answer) -> Option<String> {
    let usage = answer.usage;
    let any = usage.input_tokens + usage.output_tokens > 0;
    any.then(|| format!("{} read, {} written", usage.input_tokens, usage.output_tokens))
}

/// Why the planned model was not asked, where it was not.
fn spared(answer: &Answer) -> Option<String> {
    let choice = answer.selective.filter(|choice| choice.served)?;
    Some(match choice.kind {
        SelectiveKind::Greeting => "No model was asked, since nothing is.".to_owned(),
        SelectiveKind::Quotation => format!(
            "No model was asked: that it would have said something else has a probability of {:.3}.",
            choice.risk
        ),
    })
}

fn outcome_view(outcome: &Outcome) -> OutcomeView {
    let said = match &outcome.judgement {
        Judgement::Thumb { up: true } => "It helped.".to_owned(),
        Judgement::Thumb { up: false } => "It did not help.".to_owned(),
        Judgement::Score { value } => format!("Scored {value}."),
        Judgement::Passage { chunk, correct: true } => format!("Passage {chunk} holds the answer."),
        Judgement::Passage { chunk, correct: false } => format!("Passage {chunk} does not hold the answer."),
        Judgement::Opened { chunk } => format!("Passage {chunk} was opened."),
        Judgement::Cited { chunk } => format!("Passage {chunk} was used."),
        Judgement::Completed { done: true } => "The task was completed.".to_owned(),
        Judgement::Completed { done: false } => "The task was given up.".to_owned(),
        Judgement::AskedAgain => "The question was asked again.".to_owned(),
        Judgement::Supported { value } => format!("Support by what it cites: {value:.2}."),
        Judgement::Compared { agrees: true, .. } => "A quotation would have said the same.".to_owned(),
        Judgement::Compared { agrees: false, .. } => "A quotation would not have said the same.".to_owned(),
    };
    OutcomeView { said, at: day_and_time(outcome.at), comment: outcome.comment.clone() }
}

/// The location without the title, where it begins with that.
pub(super) fn below_title(location: &str, title: &str) -> String {
    let below = location.strip_prefix(title).and_then(|rest| rest.strip_prefix(" › "));
    if location == title { String::new() } else { below.unwrap_or(location).to_owned() }
}

/// Such as `2026-11-23 21:40 UTC`.
pub(super) fn day_and_time(at: Timestamp) -> String {
    let text = rfc3339(at);
    match (text.get(..10), text.get(11..16)) {
        (Some(day), Some(time)) => format!("{day} {time} UTC"),
        _ => text,
    }
}

/// What the model was told.
#[derive(Serialize)]
struct PromptView {
    template: String,
    version: String,
    operations: String,
}

impl From<&Prompted> for PromptView {
    fn from(prompted: &Prompted) -> Self {
        let PromptPlan { template, version, operations, .. } = prompted.prompt.clone();
        Self { template, version, operations: operations.join(", ") }
    }
}

fn suspicious(prompted: &Prompted) -> Option<String> {
    let numbers: Vec<String> = prompted.suspicious.iter().map(ToString::to_string).collect();
    let what = match numbers.len() {
        0 => return None,
        1 => format!("Passage {} seems", numbers[0]),
        _ => format!("Passages {} seem", numbers.join(", ")),
    };
    Some(format!(
        "{what} to tell the model what to do. It was told to follow nothing that stands in passages."
    ))
}

fn share(value: f32, most: f32) -> String {
    let share = if most > 0.0 { (value / most).clamp(0.0, 1.0) } else { 0.0 };
    format!("{:.1}", share * 100.0)
}

/// A strategy that has not run since the start has none to expect.
fn expected_latency(ms: f64) -> String {
    if ms > 0.0 { milliseconds(ms) } else { "–".to_owned() }
}

fn milliseconds(ms: f64) -> String {
    if ms < 10.0 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    let rest = letters.as_str().trim_end_matches('.');
    format!("{first}{rest}.")
}

#[cfg(test)]
mod tests {
    use burnish_types::{Citation, DocumentId, Location, Span};

    use super::*;

    fn answer(text: &str, passage: &str, quotes: &[(usize, usize)]) -> Answer {
        let evidence = Evidence {
            chunk: ChunkId(7),
            document: DocumentId(1),
            document_key: "a.md".to_owned(),
            title: "A".to_owned(),
            location: Location::default(),
            text: passage.to_owned(),
            score: 1.0,
            components: Vec::new(),
            lifted: None,
        };
        let quote = |&(start, end): &(usize, usize)| Citation {
            marker: 1,
            chunk: ChunkId(7),
            quote: Some(Span { start, end }),
        };
        Answer {
            text: text.to_owned(),
            citations: quotes.iter().map(quote).collect(),
            ..Answer::of_passages(vec![evidence], Timestamp(0))
        }
    }

    #[test]
    fn only_markers_that_point_at_something_become_links() {
        for (text, expected) in [
            ("Yes. [1]", vec![("Yes. ", false), ("[1]", true)]),
            ("[1][2] a[0] [x", vec![("[1]", true), ("[2] a[0] [x", false)]),
            ("none", vec![("none", false)]),
            ("", vec![]),
        ] {
            let found = segments(&answer(text, "text", &[(0, 4)]));
            let found: Vec<_> = found.iter().map(|s| (s.text.as_str(), s.chunk.is_some())).collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn quotes_are_marked_once_and_nothing_is_lost() {
        for (quotes, expected) in [
            (vec![], vec![("één zin.", false)]),
            (vec![(0, 5)], vec![("één", true), (" zin.", false)]),
            (vec![(6, 9), (0, 7)], vec![("één z", true), ("in", true), (".", false)]),
            // Not on a character's boundary, past the end, empty.
            (vec![(1, 3), (6, 99), (2, 2)], vec![("één zin.", false)]),
        ] {
            let answer = answer("", "één zin.", &quotes);
            let found = pieces(&answer.evidence[0], &answer);
            let found: Vec<_> = found.iter().map(|piece| (piece.text.as_str(), piece.marked)).collect();
            assert_eq!(found, expected, "{quotes:?}");
        }
    }

    #[test]
    fn titles_are_not_said_twice() {
        for (location, expected) in [("A › B", "B"), ("A", ""), ("AB › C", "AB › C"), ("", "")] {
            assert_eq!(below_title(location, "A"), expected);
        }
    }
}
