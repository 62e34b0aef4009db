//! `burnish learn`, and `burnish learn classifier`, whose questions come from files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use burnish_eval::classification::classification;
use burnish_eval::questions::{LabelledQuestion, read_questions};
use burnish_learning::{LabelledInputs, QueryType, QueryTypeModel, TypeInputs, TypeLabel, text_features};
use burnish_types::{Filter, Query, UserContext};
use serde_json::{Map, Value, json};

use super::{Context, learn_log};
use crate::args::{Learn, LearnPart};
use crate::output;

pub(crate) fn run(context: &Context, command: Learn) -> Result<()> {
    match command.part {
        None => learn_log::everything(context, &command.span),
        Some(LearnPart::Patterns(span)) => learn_log::patterns(context, &span),
        Some(LearnPart::Challenger { demote: true, .. }) => learn_log::demote(context),
        Some(LearnPart::Challenger { span, demote: false }) => learn_log::challenger(context, &span),
        Some(LearnPart::Classifier { questions, test, without, out, seed }) => {
            classifier(context, &Request { questions, test, without, out, seed })
        }
    }
}

/// What `learn classifier` was asked.
struct Request {
    questions: Vec<PathBuf>,
    test: Vec<PathBuf>,
    without: Option<String>,
    out: Option<PathBuf>,
    seed: u64,
}

/// A question ready for the models.
struct Example {
    source: String,
    part: Part,
    /// As it was asked, and as it would be typed in haste: in lower case, without marks at its end. Training sees
    /// both, so that capitals and question marks do not stand for where a question was collected.
    forms: [TypeInputs; 2],
    several: Option<bool>,
    query_type: Option<QueryType>,
}

#[derive(Clone, Copy, PartialEq)]
enum Part {
    Train,
    Dev,
    Test,
}

fn classifier(context: &Context, request: &Request) -> Result<()> {
    let mut examples = Vec::new();
    for path in &request.questions {
        examples.extend(load(path, request.seed)?);
    }
    let left_out = |example: &Example| request.without.as_ref() == Some(&example.source);
    if let Some(source) = request.without.as_ref().filter(|_| !examples.iter().any(left_out)) {
        bail!("no question is from the source `{source}`: `source` names it in the files");
    }
    let training: Vec<LabelledInputs> = examples
        .iter()
        .filter(|example| example.part == Part::Train && !left_out(example))
        .flat_map(labelled)
        .collect();
    if training.is_empty() {
        bail!("there is no question to train on: {} were read", examples.len());
    }
    output::note(format!("training on {} forms of {} questions", training.len(), training.len() / 2));
    let model = QueryTypeModel::train(&training, request.seed);

    let mut report = Map::new();
    let of = |part: Part| examples.iter().filter(move |example| example.part == part && !left_out(example));
    add(&mut report, "dev", &model, &of(Part::Dev).collect::<Vec<_>>());
    let held_out: Vec<&Example> = of(Part::Test).collect();
    add(&mut report, "test", &model, &held_out);
    if let Some(source) = &request.without {
        let strangers: Vec<&Example> = examples.iter().filter(|example| left_out(example)).collect();
        let classes: Vec<Option<bool>> = strangers.iter().map(|example| example.several).collect();
        let others = held_out.iter().copied().filter(|example| !classes.contains(&example.several));
        add(
            &mut report,
            &format!("{source}, never trained on"),
            &model,
            &strangers.iter().copied().chain(others).collect::<Vec<_>>(),
        );
    }
    for path in &request.test {
        let questions = load(path, request.seed)?;
        add(&mut report, &path.display().to_string(), &model, &questions.iter().collect::<Vec<_>>());
    }
    if let Some(path) = &request.out {
        let mut text = serde_json::to_string_pretty(&model)?;
        text.push('\n');
        fs::write(path, text)
            .with_context(|| format!("cannot write the coefficients to `{}`", path.display()))?;
    }
    let questions = training.len() / 2;
    if context.json {
        return output::json(
            &json!({ "n": questions, "seed": request.seed, "without": request.without, "measured": report }),
        );
    }
    print(questions, &report)
}

fn load(path: &Path, seed: u64) -> Result<Vec<Example>> {
    read_questions(path)?.into_iter().map(|question| example(question, seed)).collect()
}

fn example(question: LabelledQuestion, seed: u64) -> Result<Example> {
    let query_type = match question.query_type.as_deref() {
        None => None,
        Some(name) => Some(QueryType::from_name(name).with_context(|| {
            let names: Vec<&str> = QueryType::ALL.into_iter().map(QueryType::name).collect();
            format!("`{name}` is no type of a query: there are {}", names.join(", "))
        })?),
    };
    let hasty = question.text.to_lowercase();
    let hasty = hasty.trim_end_matches(|sign: char| !sign.is_alphanumeric());
    Ok(Example {
        source: question.source,
        part: part(&question.text, seed),
        forms: [inputs(&question.text), inputs(hasty)],
        several: question.several.or(query_type.and_then(QueryType::needs_several)),
        query_type,
    })
}

fn inputs(text: &str) -> TypeInputs {
    TypeInputs::new(&text_features(&Query {
        text: text.to_owned(),
        conversation: Vec::new(),
        user: UserContext::default(),
        filter: Filter::default(),
        top_k: 10,
        target_quality: 0.8,
        budget: None,
        latency_budget_ms: None,
    }))
}

/// 70, 15 and 15 of 100 questions, by a hash of the letters and digits, so that the same question asked twice never
/// lies on both sides.
fn part(text: &str, seed: u64) -> Part {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for sign in text.chars().filter(|sign| sign.is_alphanumeric()).flat_map(char::to_lowercase) {
        hash = (hash ^ u64::from(u32::from(sign))).wrapping_mul(0x0100_0000_01b3);
    }
    // The last letters reach the high bits only after another round (splitmix64's last steps).
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    match (hash ^ (hash >> 31)) % 100 {
        0..70 => Part::Train,
        70..85 => Part::Dev,
        _ => Part::Test,
    }
}

fn labelled(example: &Example) -> Vec<LabelledInputs> {
    let label = example.query_type.map(TypeLabel::Type).or(example.several.map(TypeLabel::Several));
    label.map_or_else(Vec::new, |label| example.forms.map(|inputs| (inputs, label)).to_vec())
}

/// Adds the figures of `examples` in both forms, as `name` and `name, in haste`.
fn add(report: &mut Map<String, Value>, name: &str, model: &QueryTypeModel, examples: &[&Example]) {
    for (form, name) in [name.to_owned(), format!("{name}, in haste")].into_iter().enumerate() {
        let mut figures = Map::new();
        let several: Vec<(f64, bool)> = examples
            .iter()
            .filter_map(|example| Some((model.predict(&example.forms[form]).complexity, example.several?)))
            .collect();
        if let Some(found) = classification(&several) {
            figures.insert("complexity".to_owned(), json!(found));
        }
        let right: Vec<bool> = examples
            .iter()
            .filter_map(|example| {
                Some(model.predict(&example.forms[form]).likeliest() == example.query_type?)
            })
            .collect();
        if !right.is_empty() {
            let share = right.iter().filter(|right| **right).count() as f64 / right.len() as f64;
            figures.insert("type".to_owned(), json!({ "n": right.len(), "accuracy": share }));
        }
        report.insert(name, Value::Object(figures));
    }
}

fn print(questions: usize, report: &Map<String, Value>) -> Result<()> {
    output::say(format!("trained on {questions} questions"))?;
    output::say(format!(
        "{:<44}{:>8}{:>10}{:>10}{:>8}{:>8}",
        "complexity", "n", "several", "accuracy", "AUC", "ECE"
    ))?;
    let figure = |figures: &Value, name: &str| {
        figures[name].as_f64().map_or("-".to_owned(), |value| format!("{value:.3}"))
    };
    for (name, figures) in report {
        let (complexity, query_type) = (&figures["complexity"], &figures["type"]);
        if complexity.is_object() {
            output::say(format!(
                "{name:<44}{:>8}{:>10}{:>10}{:>8}{:>8}",
                complexity["n"].as_u64().unwrap_or_default(),
                figure(complexity, "positive"),
                figure(complexity, "accuracy"),
                figure(complexity, "auc"),
                figure(complexity, "ece"),
            ))?;
        }
        if query_type.is_object() {
            output::say(format!(
                "{:<44}{:>8}{:>10}{:>10}",
                format!("{name}: type"),
                query_type["n"].as_u64().unwrap_or_default(),
                "",
                figure(query_type, "accuracy")
            ))?;
        }
    }
    Ok(())
}
