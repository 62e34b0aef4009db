//! One decision over strategy, depth, context and model: what is learned of it, rehearsed, routed and kept within a budget.
#![expect(clippy::unwrap_used, reason = "a test says so by failing")]

mod common;

use std::path::Path;
use std::sync::Arc;

use burnish_engine::{
    AnswerEvent, Engine, EngineError, EngineSettings, Frontier, IngestOptions, Parts, Pinned, Report,
    RouteRequest, Sampling,
};
use burnish_llm::{Model, ModelSettings};
use burnish_test_provider::{Knobs, Provider};
use burnish_types::{
    Answer, Answerer, Decision, Judgement, LanguageModel, Money, Prediction, Price, Query, SystemClock,
};
use futures_util::StreamExt;

use common::WordVectors;

const SMALL: &str = "small";
const LARGE: &str = "large";

/// A model of the test provider, with what a million of its tokens costs, in micro-units.
fn model(provider: &Provider, name: &str, micros: Option<u64>) -> Arc<dyn LanguageModel> {
    let mut settings = ModelSettings::new(name, provider.base_url(), "test-model");
    let price = |micros| {
        let million = Money::from_micros(micros);
        Price { input: million, cached_input: million, output: million }
    };
    settings.price = micros.map(price);
    Arc::new(Model::new(&settings).unwrap())
}

fn settings(folder: &Path) -> EngineSettings {
    let mut settings = EngineSettings::new(folder.join("data"));
    settings.answer.smallest_support = 0.1;
    settings.cache.enabled = false;
    settings.planner.strategies = vec!["sparse".to_owned(), "hybrid".to_owned()];
    settings.planner.policy = "thompson".to_owned();
    settings
}

fn open(settings: EngineSettings, models: Vec<Arc<dyn LanguageModel>>) -> Arc<Engine> {
    let parts = Parts { embedder: Arc::new(WordVectors), models, clock: Arc::new(SystemClock) };
    Engine::open(settings, parts).unwrap()
}

fn fill(engine: &Engine, folder: &Path) {
    let library = folder.join("library");
    std::fs::create_dir_all(&library).unwrap();
    for number in 0..12 {
        let text =
            format!("# Caching {number}\n\nCached answers of kind {number} expire after {number} minutes.\n");
        std::fs::write(library.join(format!("caching-{number}.md")), text).unwrap();
    }
    engine.ingest(&[library], IngestOptions::default(), &|_| {}).unwrap();
}

fn query(number: usize) -> Query {
    common::question(&format!("When do cached answers of kind {number} expire?"))
}

async fn ask(engine: &Arc<Engine>, query: Query, pinned: Pinned) -> (Decision, Answer) {
    let sampling = Sampling { whole: true, ..Sampling::default() };
    let mut answering = engine.answer(query, pinned, sampling).await.unwrap();
    let mut whole = None;
    while let Some(event) = answering.events.next().await {
        if let AnswerEvent::Done(answer) = event.unwrap() {
            whole = Some(*answer);
        }
    }
    (answering.decision, whole.unwrap())
}

fn answerer(decision: &Decision) -> String {
    match &decision.choice().unwrap().plan.answerer {
        Answerer::Model(name) => name.clone(),
        other => format!("{other:?}"),
    }
}

/// What is expected of the first candidate that `name` answers.
fn expected(decision: &Decision, name: &str) -> Prediction {
    let mut candidates = decision.candidates.iter();
    let of = candidates.find(|candidate| candidate.plan.answerer == Answerer::Model(name.to_owned()));
    of.unwrap().prediction
}

async fn judge(engine: &Arc<Engine>, decision: &Decision, value: f64) {
    engine.feedback(Report::new(decision.id, Judgement::Score { value })).await.unwrap();
}

/// Asks `count` times, judges by `quality`, and returns how often each of the last half was answered by `name`.
async fn learn(engine: &Arc<Engine>, count: usize, name: &str, quality: impl Fn(&Decision) -> f64) -> f64 {
    let mut taken = 0;
    for number in 0..count {
        let (decision, _) = ask(engine, query(number % 12), Pinned::default()).await;
        let total: f64 = decision.candidates.iter().map(|candidate| candidate.propensity).sum();
        assert!((total - 1.0).abs() < 1e-9, "{decision:?}");
        taken += usize::from(number >= count / 2 && answerer(&decision) == name);
        judge(engine, &decision, quality(&decision)).await;
    }
    taken as f64 / (count - count / 2) as f64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_model_that_is_worth_its_price_is_learned_and_a_new_one_is_tried() {
    let folder = tempfile::tempdir().unwrap();
    let provider = Provider::start(Knobs::default()).await.unwrap();
    let both = || vec![model(&provider, SMALL, Some(100_000)), model(&provider, LARGE, Some(5_000_000))];
    let engine = open(settings(folder.path()), both());
    fill(&engine, folder.path());
    let by_model = |decision: &Decision| match answerer(decision).as_str() {
        SMALL => 0.1,
        LARGE => 0.95,
        _ => 1.0,
    };
    let share = learn(&engine, 120, LARGE, by_model).await;
    assert!(share > 0.8, "{share}");
    let planned = engine.plan(query(1), Pinned::default()).await.unwrap();
    let [small, large] = [SMALL, LARGE].map(|name| expected(&planned, name));
    assert!(large.quality > small.quality + 0.3 && large.cost > small.cost, "{small:?} {large:?}");
    // What the large model adds is not counted to the strategy.
    assert!((large.added - small.added - (large.quality - small.quality)).abs() < 0.2, "{small:?} {large:?}");
    let frontier = Frontier::of_decision(&planned);
    let qualities = frontier.front.iter().map(|place| planned.candidates[*place].prediction.quality);
    assert!(frontier.front.len() > 1 && qualities.is_sorted(), "{frontier:?}");
    engine.close().unwrap();
    drop(engine);

    // The snapshot knows the same, and so does the log, where there is one more thing to choose.
    let engine = open(settings(folder.path()), both());
    let again = engine.plan(query(1), Pinned::default()).await.unwrap();
    assert!((expected(&again, LARGE).quality - large.quality).abs() < 0.02, "{again:?}");
    drop(engine);
    let with_new = [both(), vec![model(&provider, "new", Some(200_000))]].concat();
    let engine = open(settings(folder.path()), with_new);
    let third = engine.plan(query(1), Pinned::default()).await.unwrap();
    assert!((expected(&third, LARGE).quality - large.quality).abs() < 0.02, "{third:?}");
    let mut tried = 0;
    for number in 0..20 {
        let (decision, _) = ask(&engine, query(number % 12), Pinned::default()).await;
        tried += usize::from(decision.reason.contains("new, and tried in place of"));
        judge(&engine, &decision, by_model(&decision)).await;
    }
    assert!(tried > 0);
    let share = learn(&engine, 120, "new", by_model).await;
    assert!(share > 0.8, "{share}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn depth_and_context_are_chosen_with_the_rest_unless_the_caller_says() {
    let folder = tempfile::tempdir().unwrap();
    let provider = Provider::start(Knobs::default()).await.unwrap();
    let mut settings = settings(folder.path());
    settings.planner.depths = vec![2, 6];
    settings.planner.reductions = vec![0.0, 0.5];
    let engine = open(settings, vec![model(&provider, SMALL, Some(1_000_000))]);
    fill(&engine, folder.path());
    let deep = |decision: &Decision| {
        let plan = &decision.choice().unwrap().plan;
        if plan.depth == 6 { 0.9 } else { 0.2 }
    };
    learn(&engine, 60, SMALL, deep).await;
    let mut deep = 0;
    for number in 0..12 {
        let (decision, answer) = ask(&engine, query(number), Pinned::default()).await;
        let plan = &decision.choice().unwrap().plan;
        assert_eq!(answer.evidence.len(), plan.depth);
        deep += usize::from(plan.depth == 6);
    }
    assert!(deep >= 9, "{deep}");
    let pinned = Pinned { depth: Some(3), ..Pinned::default() };
    let (decision, answer) = ask(&engine, query(1), pinned).await;
    assert!(decision.candidates.iter().all(|candidate| candidate.plan.depth == 3));
    assert_eq!(answer.evidence.len(), 3);
    let found = engine.search(Query { top_k: 4, ..query(1) }, Pinned::default()).await.unwrap();
    assert_eq!(found.answer.evidence.len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nothing_fits_is_quoted_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let provider = Provider::start(Knobs::default()).await.unwrap();
    let models = vec![model(&provider, SMALL, Some(1_000_000)), model(&provider, LARGE, None)];
    let engine = open(settings(folder.path()), models);
    fill(&engine, folder.path());
    for (budget, expected) in [(0, "fit the budget"), (1, "fit the budget"), (900_000, "")] {
        let query = Query { budget: Some(Money::from_micros(budget)), ..query(3) };
        let (decision, answer) = ask(&engine, query, Pinned::default()).await;
        let written = answerer(&decision);
        assert_eq!(written, if expected.is_empty() { SMALL } else { "Extractive" });
        assert!(decision.reason.contains(expected), "{}", decision.reason);
        assert!(answer.found && answer.cost.unwrap().micros() <= budget, "{answer:?}");
        // What has no price is not asked where money counts.
        assert!(answer.spent.iter().all(|spending| spending.model == SMALL));
    }
    let pinned = Pinned { answerer: Some(Answerer::Model(LARGE.to_owned())), ..Pinned::default() };
    let query = Query { budget: Some(Money::from_micros(900_000)), ..query(3) };
    let (decision, _) = ask(&engine, query, pinned).await;
    assert!(decision.reason.contains("no model has a known price"), "{}", decision.reason);
    let hasty = Query { latency_budget_ms: Some(0.001), ..self::query(3) };
    let planned = engine.plan(hasty, Pinned::default()).await.unwrap();
    assert!(planned.reason.contains("nothing is expected to fit"), "{}", planned.reason);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rehearsal_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let provider = Provider::start(Knobs::default()).await.unwrap();
    let mut settings = settings(folder.path());
    settings.planner.policy = "conservative:0.5".to_owned();
    let engine = open(settings, vec![model(&provider, SMALL, None), model(&provider, LARGE, None)]);
    fill(&engine, folder.path());
    ask(&engine, query(1), Pinned::default()).await;
    let before = engine.standing().await.unwrap();
    for number in 0..20 {
        let decision = engine.plan(query(number), Pinned::default()).await.unwrap();
        assert!(engine.decision(decision.id).await.unwrap().is_none());
    }
    let after = engine.standing().await.unwrap();
    assert_eq!((after.ledger, after.decisions), (before.ledger, before.decisions));
    assert_eq!(provider.counts().requests, 1);
    let nobody = Pinned { answerer: Some(Answerer::Model("nobody".to_owned())), ..Pinned::default() };
    assert!(matches!(engine.plan(query(1), nobody).await, Err(EngineError::UnknownModel { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_with_their_own_pipeline_are_told_whom_to_ask_and_teach_it() {
    let folder = tempfile::tempdir().unwrap();
    let provider = Provider::start(Knobs::default()).await.unwrap();
    let models = vec![model(&provider, SMALL, Some(100_000)), model(&provider, LARGE, Some(5_000_000))];
    let engine = open(settings(folder.path()), models);
    let request =
        |number: usize| RouteRequest { query: query(number), input_tokens: Some(2_000), models: Vec::new() };
    let mut large = 0;
    for number in 0..80 {
        let decision = engine.route(request(number)).await.unwrap();
        let name = answerer(&decision);
        large += usize::from(number >= 40 && name == LARGE);
        judge(&engine, &decision, if name == LARGE { 0.95 } else { 0.1 }).await;
    }
    assert!(large > 30, "{large}");
    assert_eq!(provider.counts().requests, 0);
    // It is the same knowledge: what answers best there is expected to answer best here.
    let planned = engine.plan(query(1), Pinned::default()).await.unwrap();
    assert!(expected(&planned, LARGE).quality > expected(&planned, SMALL).quality + 0.2, "{planned:?}");
    assert!(engine.standing().await.unwrap().series.iter().all(|bucket| bucket.taken.is_empty()));
    let only = RouteRequest { models: vec![SMALL.to_owned()], ..request(1) };
    let decision = engine.route(only).await.unwrap();
    assert_eq!((answerer(&decision).as_str(), decision.candidates.len()), (SMALL, 1));
    assert!((decision.candidates[0].prediction.cost.micros() as i64 - 225).abs() <= 5, "{decision:?}");
    let nobody = RouteRequest { models: vec!["nobody".to_owned()], ..request(1) };
    assert!(matches!(engine.route(nobody).await, Err(EngineError::UnknownModel { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn which_model_answers_best_may_hang_on_what_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let provider = Provider::start(Knobs::default()).await.unwrap();
    let models = vec![model(&provider, SMALL, Some(100_000)), model(&provider, LARGE, Some(5_000_000))];
    let engine = open(settings(folder.path()), models);
    let library = folder.path().join("library");
    std::fs::create_dir_all(&library).unwrap();
    let subjects = ["invoices payment ledger", "holidays vacation calendar"];
    for number in 0..120 {
        let text = format!("# Note {number}\n\nAbout {} there are {number} rules.\n", subjects[number % 2]);
        std::fs::write(library.join(format!("note-{number}.md")), text).unwrap();
    }
    engine.ingest(&[library], IngestOptions::default(), &|_| {}).unwrap();
    let request = |number: usize| {
        let text = format!("Which {} rules are there for case {number}?", subjects[number % 2]);
        RouteRequest { query: common::question(&text), input_tokens: None, models: Vec::new() }
    };
    for number in 0..200 {
        let decision = engine.route(request(number)).await.unwrap();
        assert!(decision.sketch.is_some());
        // The small model knows nothing of holidays, and the large one nothing of invoices.
        let good = (answerer(&decision) == SMALL) == number.is_multiple_of(2);
        judge(&engine, &decision, if good { 0.95 } else { 0.2 }).await;
    }
    for (number, best, other) in [(300, SMALL, LARGE), (301, LARGE, SMALL)] {
        let decision = engine.route(request(number)).await.unwrap();
        let better = expected(&decision, best).quality - expected(&decision, other).quality;
        assert!(better > 0.2, "{number}: {better} {decision:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cascade_is_a_model_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let provider = Provider::start(Knobs::default()).await.unwrap();
    let models = || vec![model(&provider, SMALL, Some(100_000)), model(&provider, LARGE, Some(5_000_000))];
    let mut settings = settings(folder.path());
    settings.planner.models = vec!["small > large".to_owned(), LARGE.to_owned()];
    let engine = open(settings.clone(), models());
    fill(&engine, folder.path());
    let pinned = Pinned { answerer: Some(Answerer::Model("small > large".to_owned())), ..Pinned::default() };
    let (decision, answer) = ask(&engine, query(1), pinned.clone()).await;
    assert_eq!((answerer(&decision).as_str(), answer.degraded.clone()), ("small > large", None));
    assert_eq!(answer.spent.iter().map(|spending| spending.model.as_str()).collect::<Vec<_>>(), [SMALL]);
    let planned = engine.plan(query(1), Pinned::default()).await.unwrap();
    let (cascade, large) = (expected(&planned, "small > large").cost, expected(&planned, LARGE).cost);
    assert!(Money::ZERO < cascade && cascade < large, "{cascade} {large}");
    // Not a penny more than a request may cost, whoever is asked for it.
    let query = Query { budget: Some(Money::from_micros(700)), ..query(2) };
    let (_, answer) = ask(&engine, query, pinned).await;
    assert!(answer.cost.unwrap().micros() <= 700, "{answer:?}");
    drop(engine);
    settings.planner.models = vec!["small > nobody".to_owned()];
    let parts = Parts { embedder: Arc::new(WordVectors), models: models(), clock: Arc::new(SystemClock) };
    assert!(matches!(Engine::open(settings, parts), Err(EngineError::UnknownModel { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_exploration_has_cost_is_the_same_with_more_to_choose_from() {
    let folder = tempfile::tempdir().unwrap();
    let provider = Provider::start(Knobs::default()).await.unwrap();
    let both = || vec![model(&provider, SMALL, None), model(&provider, LARGE, None)];
    let mut settings = settings(folder.path());
    settings.planner.policy = "conservative:0.3".to_owned();
    let engine = open(settings.clone(), both());
    fill(&engine, folder.path());
    learn(&engine, 60, LARGE, |_| 0.7).await;
    let before = engine.standing().await.unwrap().ledger.unwrap();
    assert!(before.explored > 3 && before.returned > 2.0, "{before:?}");
    engine.close().unwrap();
    drop(engine);
    let more = [both(), vec![model(&provider, "new", None)]].concat();
    let after = open(settings, more).standing().await.unwrap().ledger.unwrap();
    assert_eq!((after.requests, after.explored), (before.requests, before.explored));
    for (one, other) in [
        (after.expected, before.expected),
        (after.charged, before.charged),
        (after.returned, before.returned),
    ] {
        assert!((one - other).abs() < 1e-6, "{after:?} {before:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_model_without_a_price_leaves_the_cheapest_strategy_the_cheapest() {
    let folder = tempfile::tempdir().unwrap();
    let provider = Provider::start(Knobs::default()).await.unwrap();
    let engine = open(settings(folder.path()), vec![model(&provider, SMALL, None)]);
    fill(&engine, folder.path());
    learn(&engine, 200, SMALL, |_| 0.95).await;
    engine.close().unwrap();
    drop(engine);
    let mut settings = settings(folder.path());
    settings.planner.policy = "epsilon:0".to_owned();
    let engine = open(settings.clone(), vec![model(&provider, SMALL, None)]);
    let planned = engine.plan(query(1), Pinned::default()).await.unwrap();
    let sure = planned.candidates.iter().filter(|candidate| {
        let Prediction { quality, quality_deviation, .. } = candidate.prediction;
        quality - 1.645 * quality_deviation >= 0.8
    });
    let cheapest = sure.map(|candidate| candidate.prediction.latency_ms).reduce(f64::min).unwrap();
    assert_eq!(planned.choice().unwrap().prediction.latency_ms, cheapest, "{planned:?}");
    assert!(planned.reason.contains("the cheapest whose quality is sure"), "{}", planned.reason);
    settings.planner.policy = "fixed:hybrid".to_owned();
    drop(engine);
    let two = vec![model(&provider, SMALL, None), model(&provider, LARGE, None)];
    let engine = open(settings, two);
    for number in 0..5 {
        let planned = engine.plan(query(number), Pinned::default()).await.unwrap();
        assert_eq!(planned.choice().unwrap().plan.strategy.as_str(), "hybrid");
        assert!(planned.reason.contains("fixed"), "{}", planned.reason);
    }
}
