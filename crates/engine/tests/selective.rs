//! Questions that are answered without the planned model: which, how often wrongly, and how that is told.
#![expect(clippy::unwrap_used, reason = "a test says so by failing")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use burnish_engine::{AnswerEvent, Engine, EngineSettings, IngestOptions, Parts, Pinned, Report, Sampling};
use burnish_types::{
    Answer, AnswerOrigin, Answerer, BoxFuture, Decision, Judgement, LanguageModel, Message, ModelError,
    ModelEvent, ModelRequest, ModelStream, Query, Role, SelectiveKind, SystemClock, Usage,
};
use futures_util::{StreamExt, stream};

use common::{WordVectors, question};

/// Says what the first passage says of ports, and something of its own of anything else.
#[derive(Default)]
struct Knower {
    asked: AtomicUsize,
}

impl LanguageModel for Knower {
    fn name(&self) -> &str {
        "knower"
    }

    fn stream(&self, request: ModelRequest) -> BoxFuture<'_, Result<ModelStream, ModelError>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let asked = request.messages.last().map(|message| message.content.clone()).unwrap_or_default();
        let shown = request.messages.first().map(|message| message.content.clone()).unwrap_or_default();
        let sentence = shown.split("<passage 1>\n[1]").nth(1).and_then(|passage| passage.split('\n').nth(1));
        let text = match asked.contains("port") {
            true => format!("{} [1]", sentence.unwrap_or_default()),
            false => "Fourteen committees have to approve that beforehand [1].".to_owned(),
        };
        let usage = Some(Usage { input_tokens: 90, cached_input_tokens: 0, output_tokens: 9 });
        let finished = ModelEvent::Finished { reason: "stop".to_owned(), usage };
        let events: ModelStream = Box::pin(stream::iter([Ok(ModelEvent::Text(text)), Ok(finished)]));
        Box::pin(async { Ok(events) })
    }
}

const DELTA: f64 = 0.1;
const THINGS: [&str; 8] =
    ["gateway", "scheduler", "collector", "dashboard", "indexer", "registry", "mailer", "archive"];

fn open(folder: &Path, enabled: bool) -> (Arc<Engine>, Arc<Knower>) {
    let knower = Arc::new(Knower::default());
    let mut settings = EngineSettings::new(folder.join("data"));
    settings.answer.smallest_support = 0.1;
    // What is asked again is to be answered again.
    settings.cache.enabled = false;
    settings.planner.strategies = vec!["sparse".to_owned()];
    settings.selective.enabled = enabled;
    settings.selective.delta = DELTA;
    let models: Vec<Arc<dyn LanguageModel>> = vec![knower.clone()];
    let parts = Parts { embedder: Arc::new(WordVectors), models, clock: Arc::new(SystemClock) };
    let engine = Engine::open(settings, parts).unwrap();
    let library = folder.join("library");
    std::fs::create_dir_all(&library).unwrap();
    for (place, thing) in THINGS.iter().enumerate() {
        let text = format!(
            "# The {thing}\n\nThe {thing} listens on port {} of every machine.\n\nChanges of the {thing} want approval.\n",
            9_000 + place
        );
        std::fs::write(library.join(format!("{thing}.md")), text).unwrap();
    }
    engine.ingest(&[library], IngestOptions::default(), &|_| {}).unwrap();
    (engine, knower)
}

async fn ask(engine: &Arc<Engine>, query: Query, pinned: Pinned) -> (Decision, Answer) {
    let mut answering = engine.answer(query, pinned, Sampling::default()).await.unwrap();
    let (mut whole, mut told) = (None, String::new());
    while let Some(event) = answering.events.next().await {
        match event.unwrap() {
            AnswerEvent::Text(text) => told.push_str(&text),
            AnswerEvent::Extra(_) => {}
            AnswerEvent::Done(answer) => whole = Some(*answer),
        }
    }
    let answer = whole.unwrap();
    assert_eq!(told, answer.text);
    (answering.decision, answer)
}

fn asked(number: usize) -> Query {
    let thing = THINGS[number / 2 % THINGS.len()];
    question(&match number % 2 {
        0 => format!("Which port of every machine does the {thing} listen on?"),
        _ => format!("How many committees approve what the {thing} does?"),
    })
}

/// Waits until what comes behind the answers has come.
async fn settled(engine: &Arc<Engine>, requests: u64) {
    let waiting = async {
        while engine.selective().quotations.requests < requests {
            tokio::time::sleep(Duration::from_millis(4)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap();
}

/// Returns which of the requests were spared, and how many of those wrongly.
async fn stream_of(engine: &Arc<Engine>, requests: usize) -> (Vec<Decision>, usize) {
    let (mut spared, mut wrong) = (Vec::new(), 0);
    let before = engine.selective().quotations.requests;
    for number in 0..requests {
        let (decision, answer) = ask(engine, asked(number), Pinned::default()).await;
        if answer.origin == AnswerOrigin::Spared {
            let choice = answer.selective.unwrap();
            assert!(choice.served && choice.kind == SelectiveKind::Quotation && choice.propensity > 0.0);
            assert!(
                answer.usage == Usage::default() && answer.degraded.is_none() && !answer.citations.is_empty()
            );
            wrong += number % 2;
            spared.push(decision);
        }
        settled(engine, before + number as u64 + 1).await;
    }
    (spared, wrong)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_quotations_say_as_well_comes_to_be_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, knower) = open(folder.path(), true);
    let (spared, wrong) = stream_of(&engine, 900).await;
    let standing = engine.selective().quotations;
    assert_eq!(standing.served, spared.len() as u64);
    assert!(spared.len() > 100 && (wrong as f64) <= standing.wrong_bound, "{standing:?}, {wrong} wrong");
    assert!(standing.wrong_bound <= DELTA * 900.0, "{standing:?}");
    assert_eq!(knower.asked.load(Ordering::Relaxed), 900 - spared.len());

    // What nobody but a model may answer, and what nobody leaves to the plan, is never spared.
    let pinned = Pinned { answerer: Some(Answerer::Model("knower".to_owned())), ..Pinned::default() };
    let fresh = Pinned { fresh: true, ..Pinned::default() };
    let said = Message { role: Role::User, content: "Speak of ports.".to_owned() };
    let followed = Query { conversation: vec![said], ..asked(0) };
    for (query, pinned) in [(asked(0), pinned), (asked(0), fresh), (followed, Pinned::default())] {
        for _ in 0..8 {
            let (_, answer) = ask(&engine, query.clone(), pinned.clone()).await;
            assert!(answer.origin == AnswerOrigin::Plan && answer.selective.is_none(), "{answer:?}");
        }
    }

    // A report on a quotation that was served counts against what may be wrong, and not for the plan.
    let down =
        |decision: &Decision| engine.feedback(Report::new(decision.id, Judgement::Thumb { up: false }));
    down(&spared[0]).await.unwrap();
    let before = engine.learned();
    for decision in &spared[1..] {
        down(decision).await.unwrap();
    }
    let reported = engine.selective().quotations;
    assert!(reported.wrong_bound >= spared.len() as f64, "{reported:?}");
    assert_eq!(engine.learned(), before);
    let (spared, _) = stream_of(&engine, 100).await;
    assert!(spared.is_empty());
    engine.close().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn comparisons_are_learned_again_by_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, _) = open(folder.path(), true);
    stream_of(&engine, 200).await;
    engine.close().unwrap();
    drop(engine);
    let (engine, _) = open(folder.path(), true);
    // The promise is made anew, and needs its time; what quotations are worth is known.
    stream_of(&engine, 256).await;
    let mut risks = [Vec::new(), Vec::new()];
    for number in 0..40 {
        let (_, answer) = ask(&engine, asked(number), Pinned::default()).await;
        risks[number % 2].extend(answer.selective.map(|choice| choice.risk));
    }
    assert!(!risks[0].is_empty() && !risks[1].is_empty());
    assert!(risks[0].iter().all(|risk| *risk < 0.2) && risks[1].iter().all(|risk| *risk > 0.8), "{risks:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn greetings_need_no_model_where_that_is_wanted() {
    for enabled in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let (engine, knower) = open(folder.path(), enabled);
        let (decision, answer) = ask(&engine, question("Good morning, gateway!"), Pinned::default()).await;
        assert_eq!((answer.origin, knower.asked.load(Ordering::Relaxed)), (AnswerOrigin::Plan, 1));
        assert!(engine.decision(decision.id).await.unwrap().is_some());
        let greeted = ask(&engine, question("Thank you!"), Pinned::default()).await.1;
        assert_eq!(greeted.origin == AnswerOrigin::Spared, enabled && greeted.selective.is_some());
        assert_eq!(engine.selective().greetings, u64::from(greeted.selective.is_some()));
    }
}
