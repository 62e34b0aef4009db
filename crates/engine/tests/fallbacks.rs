//! What is answered when a model, its budget or retrieval fails: always something, and what it is not is said.
#![expect(clippy::unwrap_used, reason = "a test says so by failing")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use burnish_engine::{
    AnswerEvent, Engine, EngineError, EngineSettings, IngestOptions, Parts, Pinned, Sampling,
};
use burnish_llm::{Budget, Cap, Model, ModelSettings};
use burnish_test_provider::{Faults, Knobs, Provider};
use burnish_types::{
    Answer, AnswerOrigin, EmbedError, Embedder, Embedding, LanguageModel, Money, Period, Price, Query,
    Strategy, SystemClock,
};
use futures_util::StreamExt;

use common::{DIMENSIONS, WordVectors};

const QUESTION: &str = "When do cached answers expire?";

/// Counts words, and fails when told to.
struct Fickle {
    fails: Arc<AtomicBool>,
}

impl Embedder for Fickle {
    fn model(&self) -> &str {
        WordVectors.model()
    }

    fn dimensions(&self) -> usize {
        DIMENSIONS
    }

    fn max_tokens(&self) -> usize {
        WordVectors.max_tokens()
    }

    fn count_tokens(&self, text: &str) -> usize {
        WordVectors.count_tokens(text)
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(EmbedError::Remote { endpoint: "http://gone".to_owned(), reason: "gone".to_owned() });
        }
        WordVectors.embed(texts)
    }
}

fn open(folder: &Path, models: Vec<Arc<dyn LanguageModel>>) -> (Arc<Engine>, Arc<AtomicBool>) {
    let fails = Arc::new(AtomicBool::new(false));
    let embedder = Arc::new(Fickle { fails: Arc::clone(&fails) });
    let mut settings = EngineSettings::new(folder.join("data"));
    settings.answer.smallest_support = 0.1;
    // What is asked again is to be answered again.
    settings.cache.enabled = false;
    let engine = Engine::open(settings, Parts { embedder, models, clock: Arc::new(SystemClock) }).unwrap();
    let library = folder.join("library");
    std::fs::create_dir_all(&library).unwrap();
    for number in 0..5 {
        let text = format!(
            "# Caching {number}\n\nCached answers of kind {number} expire after {number} minutes of silence.\n"
        );
        std::fs::write(library.join(format!("caching-{number}.md")), text).unwrap();
    }
    engine.ingest(&[library], IngestOptions::default(), &|_| {}).unwrap();
    (engine, fails)
}

fn query() -> Query {
    common::question(QUESTION)
}

async fn ask(engine: &Arc<Engine>, strategy: &str, whole: bool) -> Result<Answer, EngineError> {
    let pinned = Pinned { strategy: Some(Strategy::new(strategy)), ..Pinned::default() };
    let sampling = Sampling { whole, ..Sampling::default() };
    let mut answering = engine.answer(query(), pinned, sampling).await?;
    let mut whole = None;
    while let Some(event) = answering.events.next().await {
        if let AnswerEvent::Done(answer) = event? {
            whole = Some(*answer);
        }
    }
    Ok(whole.unwrap())
}

fn settings(provider: &Provider) -> ModelSettings {
    let mut settings = ModelSettings::new("one", provider.base_url(), "test-model");
    settings.retries.tries = 2;
    let micros = Money::from_micros(1_000_000);
    settings.price = Some(Price { input: micros, cached_input: micros, output: micros });
    settings
}

fn model(settings: &ModelSettings) -> Vec<Arc<dyn LanguageModel>> {
    vec![Arc::new(Model::new(settings).unwrap())]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prompts_that_are_too_long_are_halved_until_they_fit() {
    let folder = tempfile::tempdir().unwrap();
    let provider = Provider::start(Knobs::default()).await.unwrap();
    let (engine, _) = open(folder.path(), model(&settings(&provider)));
    let whole = ask(&engine, "sparse", true).await.unwrap();
    assert_eq!((whole.degraded.clone(), whole.evidence.len()), (None, 5));
    assert_eq!(whole.cost, Some(Money::from_micros(whole.usage.input_tokens + whole.usage.output_tokens)));
    // As long as the instructions and a passage or two, but not five.
    let most = whole.usage.input_tokens - 20;
    provider.turn(Knobs { context_tokens: Some(most), ..Knobs::default() });
    let shorter = ask(&engine, "sparse", false).await.unwrap();
    let degraded = shorter.degraded.clone().unwrap();
    assert!(degraded.contains("too long") && degraded.contains("tokens that were found"), "{degraded}");
    assert!(shorter.found && shorter.evidence.len() == 5, "{shorter:?}");
    assert!(shorter.usage.input_tokens <= most);
    provider.turn(Knobs { context_tokens: Some(10), ..Knobs::default() });
    let quoted = ask(&engine, "sparse", false).await.unwrap();
    assert!(quoted.degraded.unwrap().contains("too long") && quoted.text.contains("expire"));
    assert_eq!((quoted.usage, quoted.cost), (Default::default(), Some(Money::ZERO)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retrieval_falls_back_to_what_still_works() {
    let folder = tempfile::tempdir().unwrap();
    let provider = Provider::start(Knobs::default()).await.unwrap();
    let (engine, fails) = open(folder.path(), model(&settings(&provider)));
    fails.store(true, Ordering::Relaxed);
    let answer = ask(&engine, "hybrid", false).await.unwrap();
    assert_eq!(
        (answer.degraded.as_deref(), answer.evidence.len()),
        (Some("`hybrid` failed; passages were found by `sparse`"), 5)
    );
    let planned = engine.answer(query(), Pinned::default(), Sampling::default()).await.unwrap();
    assert_eq!(planned.evidence.len(), 5, "without a first look, too");
    // Neither model nor encoder: nothing is left but to apologise, and to say by which id it can be looked up.
    let broken = Knobs { faults: Faults { server_error: 1.0, ..Faults::default() }, ..Knobs::default() };
    provider.turn(broken);
    let answering = engine.answer(query(), Pinned::default(), Sampling::default()).await.unwrap();
    let id = answering.decision.id.to_string();
    let events: Vec<_> = answering.events.collect().await;
    let Some(Ok(AnswerEvent::Done(answer))) = events.last() else { panic!("{events:?}") };
    assert!(answer.text.contains(&id) && !answer.found, "{}", answer.text);
    assert!(answer.degraded.as_ref().unwrap().contains("nothing could be quoted"), "{:?}", answer.degraded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn budgets_hold_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let provider = Provider::start(Knobs::default()).await.unwrap();
    let mut settings = settings(&provider);
    settings.budgets = vec![Budget { cap: Cap::Requests(2), period: Period::Month }];
    for asked in 1..=3 {
        let (engine, _) = open(folder.path(), model(&settings));
        let answer = ask(&engine, "sparse", true).await.unwrap();
        let over = answer.degraded.is_some_and(|degraded| degraded.contains("budget"));
        assert_eq!(over, asked == 3, "request {asked}");
        engine.close().unwrap();
    }
    assert_eq!(provider.counts().requests, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_model_is_named_where_it_answers() {
    let folder = tempfile::tempdir().unwrap();
    let broken = Knobs { faults: Faults { server_error: 1.0, ..Faults::default() }, ..Knobs::default() };
    let (first, second) =
        (Provider::start(broken).await.unwrap(), Provider::start(Knobs::default()).await.unwrap());
    let planned = ModelSettings { fallbacks: vec!["two".to_owned()], ..settings(&first) };
    let instead = ModelSettings { name: "two".to_owned(), price: None, ..settings(&second) };
    let models = Model::all(&[planned, instead]).unwrap().into_iter();
    let (engine, _) =
        open(folder.path(), models.map(|model| Arc::new(model) as Arc<dyn LanguageModel>).collect());
    for whole in [false, true] {
        let answer = ask(&engine, "sparse", whole).await.unwrap();
        assert_eq!(answer.degraded.as_deref(), Some("the model `one` did not answer, and `two` did"));
        assert_eq!(answer.cost, None, "no price of it is known");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_in_vain_is_paid_for_told_and_counted_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let garbage = Knobs { faults: Faults { garbage: 1.0, ..Faults::default() }, ..Knobs::default() };
    let provider = Provider::start(garbage).await.unwrap();
    let mut settings = settings(&provider);
    settings.budgets = vec![Budget { cap: Cap::Requests(3), period: Period::Month }];
    {
        let (engine, _) = open(folder.path(), model(&settings));
        let quoted = ask(&engine, "sparse", true).await.unwrap();
        assert!(quoted.degraded.is_some() && quoted.cost > Some(Money::ZERO), "{quoted:?}");
        assert_eq!(quoted.spent.len(), 2, "both tries are told");
        engine.close().unwrap();
    }
    provider.turn(Knobs { faults: Faults { cut: 1.0, ..Faults::default() }, ..Knobs::default() });
    {
        let (engine, _) = open(folder.path(), model(&settings));
        let mut answering = engine.answer(query(), Pinned::default(), Sampling::default()).await.unwrap();
        let mut text = String::new();
        let error = loop {
            match answering.events.next().await.unwrap() {
                Ok(AnswerEvent::Text(more)) => text.push_str(&more),
                Ok(event) => panic!("{event:?}"),
                Err(error) => break error,
            }
        };
        let stored = engine.decision(answering.decision.id).await.unwrap().unwrap().answer.unwrap();
        assert_eq!((stored.origin, &stored.text), (AnswerOrigin::Broken, &text));
        assert_eq!((stored.spent.len(), stored.degraded), (1, Some(error.to_string())));
        engine.close().unwrap();
    }
    provider.turn(Knobs::default());
    let (engine, _) = open(folder.path(), model(&settings));
    let over = ask(&engine, "sparse", true).await.unwrap();
    assert!(over.degraded.is_some_and(|degraded| degraded.contains("budget")));
    assert_eq!(provider.counts().requests, 3);
}
