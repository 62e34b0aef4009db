//! What requests may cost for tenants, users and by themselves, with the whole engine and the test provider.
#![expect(clippy::unwrap_used, reason = "a test says so by failing")]

mod common;

use std::path::Path;
use std::sync::Arc;

use burnish_engine::{
    AnswerEvent, Ask, BudgetSettings, Budgets, Engine, EngineSettings, IngestOptions, Parts, Pinned,
    Sampling, Who,
};
use burnish_llm::{Model, ModelSettings};
use burnish_test_provider::{Counts, Faults, Knobs, Provider};
use burnish_types::{
    Answer, Clock, LanguageModel, Message, ModelError, ModelEvent, ModelRequest, Money, Period, Price, Query,
    Role, Strategy, SystemClock, Usage, UserContext,
};
use futures_util::StreamExt;
use futures_util::future::join_all;

use common::WordVectors;

const REQUESTS: usize = 1_000;

fn price() -> Price {
    Price {
        input: Money::from_micros(1_000_000),
        cached_input: Money::from_micros(500_000),
        output: Money::from_micros(4_000_000),
    }
}

fn settings(provider: &Provider) -> ModelSettings {
    let mut settings = ModelSettings::new("one", provider.base_url(), "test-model");
    settings.price = Some(price());
    settings.limits.concurrent = REQUESTS;
    settings.limits.output_tokens = 100;
    settings
}

fn of(tenant: &str) -> UserContext {
    UserContext { tenant: Some(tenant.to_owned()), ..UserContext::default() }
}

fn budget(who: Who, micros: u64) -> BudgetSettings {
    // One that does not end while the tests run, but for those who run them at the turn of a month.
    BudgetSettings { who, most: Money::from_micros(micros), period: Period::Month }
}

fn open(folder: &Path, provider: &Provider, budgets: &[BudgetSettings]) -> Arc<Engine> {
    let mut settings = EngineSettings::new(folder.join("data"));
    settings.budgets = budgets.to_vec();
    settings.cache.enabled = false;
    settings.answer.smallest_support = 0.1;
    let models: Vec<Arc<dyn LanguageModel>> = vec![Arc::new(Model::new(&self::settings(provider)).unwrap())];
    let parts = Parts { embedder: Arc::new(WordVectors), models, clock: Arc::new(SystemClock) };
    let engine = Engine::open(settings, parts).unwrap();
    let library = folder.join("library");
    std::fs::create_dir_all(&library).unwrap();
    for number in 0..3 {
        let text = format!("Answers of kind {number} expire after {number} minutes of silence.");
        std::fs::write(library.join(format!("{number}.txt")), text).unwrap();
    }
    engine.ingest(&[library], IngestOptions::default(), &|_| {}).unwrap();
    engine
}

fn query(user: UserContext, number: usize) -> Query {
    Query { user, ..common::question(&format!("When do answers of kind {number} expire?")) }
}

async fn ask(engine: &Arc<Engine>, query: Query, strategy: &str) -> Answer {
    let pinned = Pinned { strategy: Some(Strategy::new(strategy)), ..Pinned::default() };
    let mut answering = engine.answer(query, pinned, Sampling::default()).await.unwrap();
    loop {
        if let AnswerEvent::Done(answer) = answering.events.next().await.unwrap().unwrap() {
            return *answer;
        }
    }
}

fn spent(answers: &[Answer]) -> Money {
    answers.iter().flat_map(|answer| &answer.spent).filter_map(|spent| spent.cost).sum()
}

fn left(engine: &Engine, user: &UserContext) -> Money {
    engine.budgets().left(user, SystemClock.now()).unwrap()
}

fn bill(counts: &Counts) -> Money {
    let Counts { prompt_tokens, answer_tokens, .. } = *counts;
    price().of(Usage { input_tokens: prompt_tokens, cached_input_tokens: 0, output_tokens: answer_tokens })
}

/// A thousand requests at one time, of which half are of a tenant that can pay for a few.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_requests_at_one_time_do_not_overstep_a_tenants_budget() {
    let folder = tempfile::tempdir().unwrap();
    let provider = Provider::start(Knobs { token_ms: 0.2, ..Knobs::default() }).await.unwrap();
    let cap = Money::from_micros(30_000);
    let everyone = Money::from_micros(10_000_000);
    let budgets =
        [budget(Who::Tenant("acme".to_owned()), cap.micros()), budget(Who::Everyone, everyone.micros())];
    let engine = open(folder.path(), &provider, &budgets);
    let asked = (0..REQUESTS).map(|number| {
        let engine = Arc::clone(&engine);
        let tenant = if number % 2 == 0 { "acme" } else { "other" };
        tokio::spawn(async move { (tenant, ask(&engine, query(of(tenant), number), "sparse").await) })
    });
    let all: Vec<(&str, Answer)> = join_all(asked).await.into_iter().map(Result::unwrap).collect();
    let of_tenant = |name: &str| -> Vec<Answer> {
        all.iter().filter(|(tenant, _)| *tenant == name).map(|(_, answer)| answer.clone()).collect()
    };
    let (mut acme, other) = (of_tenant("acme"), of_tenant("other"));
    let quoted = |answers: &[Answer]| answers.iter().filter(|answer| answer.degraded.is_some()).count();
    assert!(spent(&acme) <= cap, "{} of {cap}", spent(&acme));
    assert!(quoted(&acme) > 100 && quoted(&other) == 0, "{} and {}", quoted(&acme), quoted(&other));
    // To the last millionth, what is left is what the answers do not say.
    assert_eq!(left(&engine, &of("acme")), cap.saturating_sub(spent(&acme)));
    // Of those that were turned away, some could have been paid once the others were: what is left is for later ones.
    loop {
        acme.push(ask(&engine, query(of("acme"), acme.len()), "sparse").await);
        if acme.last().is_some_and(|answer| answer.spent.is_empty()) {
            break;
        }
    }
    assert!(left(&engine, &of("acme")).micros() * 20 < cap.micros());
    assert_eq!(left(&engine, &of("acme")), cap.saturating_sub(spent(&acme)));
    let all = [acme.clone(), other].concat();
    assert_eq!(left(&engine, &of("other")), everyone.saturating_sub(spent(&all)));
    assert!(bill(&provider.counts()) <= spent(&all), "the provider's own bill");
    engine.close().unwrap();
    drop(engine);
    // A later process counts the same.
    let engine = open(folder.path(), &provider, &budgets);
    assert_eq!(left(&engine, &of("acme")), cap.saturating_sub(spent(&acme)));
    assert_eq!(left(&engine, &of("other")), everyone.saturating_sub(spent(&all)));
}

/// The same with faults and without the engine: what counts is the provider's bill.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_do_not_overstep_a_tenants_budget() {
    let faults = Faults { server_error: 0.2, cut: 0.1, garbage: 0.05, ..Faults::default() };
    let provider =
        Provider::start(Knobs { seed: 3, faults, token_ms: 0.2, ..Knobs::default() }).await.unwrap();
    let model = Arc::new(Model::new(&settings(&provider)).unwrap());
    let cap = Money::from_micros(60_000);
    let budgets = Budgets::new(vec![budget(Who::EachTenant, cap.micros())]);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let asked = (0..REQUESTS).map(|number| {
        let messages = vec![Message { role: Role::User, content: format!("Question {number}?") }];
        let purse = budgets.purse(&of("acme"), None, &clock);
        let request = ModelRequest { messages, purse, ..ModelRequest::default() };
        let model = Arc::clone(&model);
        tokio::spawn(async move {
            let events = model.stream(request).await?.collect::<Vec<_>>().await;
            events.into_iter().collect::<Result<Vec<ModelEvent>, ModelError>>()
        })
    });
    let all: Vec<_> = join_all(asked).await.into_iter().map(Result::unwrap).collect();
    let over = all.iter().filter(|one| matches!(one, Err(ModelError::OverBudget { .. }))).count();
    let answered = all.iter().filter(|one| one.is_ok()).count();
    assert!(over > 100 && answered > 20, "{over} over, {answered} answered");
    let told: Money = all
        .iter()
        .flatten()
        .flatten()
        .filter_map(|event| match event {
            ModelEvent::Spent(spending) => spending.cost,
            _ => None,
        })
        .sum();
    let bill = bill(&provider.counts());
    let taken = cap.saturating_sub(budgets.left(&of("acme"), clock.now()).unwrap());
    assert!(
        told <= taken && bill <= taken && taken <= cap,
        "{told} told, {bill} billed, {taken} taken of {cap}"
    );
}

/// All that is asked of models for a request counts: words to search with, and what was in vain.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_costs_no_more_than_it_may() {
    let folder = tempfile::tempdir().unwrap();
    let provider = Provider::start(Knobs::default()).await.unwrap();
    let engine = open(folder.path(), &provider, &[]);
    let mut requests = 0;
    for (micros, asked) in [(0, 0), (100, 0), (700, 1), (100_000, 2)] {
        let budget = Money::from_micros(micros);
        let answer = ask(&engine, Query { budget: Some(budget), ..query(of("acme"), 1) }, "hyde").await;
        assert_eq!(provider.counts().requests - requests, asked, "{budget}: {answer:?}");
        requests += asked;
        assert_eq!(answer.spent.len() as u64, asked);
        assert!(answer.cost.unwrap() <= budget && answer.cost == Some(spent(std::slice::from_ref(&answer))));
        let degraded = answer.degraded.unwrap_or_default();
        assert_eq!(degraded.contains("a budget is used up"), asked < 2, "{degraded}");
        assert_eq!(degraded.contains("passages were found by `hybrid`"), asked == 0, "{degraded}");
        assert!(!answer.text.is_empty());
    }
}

/// Who pays is the same for all that are asked together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everyone_pays_for_their_own_questions_of_a_batch() {
    let folder = tempfile::tempdir().unwrap();
    let provider = Provider::start(Knobs::default()).await.unwrap();
    let cap = Money::from_micros(1_000_000);
    let engine = open(folder.path(), &provider, &[budget(Who::EachUser, cap.micros())]);
    let user = |name: &str| UserContext { user: Some(name.to_owned()), ..of("acme") };
    let names = ["ann", "bob", "ann", "bob", "ann", "cid", "cid"];
    let asks = names.iter().enumerate().map(|(number, name)| Ask {
        // The last one has a budget of its own, which is not for others to spend.
        query: Query { budget: (number == 6).then_some(cap), ..query(user(name), number) },
        pinned: Pinned::default(),
        sampling: Sampling::default(),
    });
    let answered: Vec<Answer> =
        engine.answer_batch(asks.collect()).await.into_iter().map(|one| one.unwrap().answer).collect();
    // The provider's words can't be read as several answers, so that each question is asked alone in the end.
    assert_eq!(provider.counts().requests, 9, "two for several at once, and seven for one");
    for name in ["ann", "bob", "cid"] {
        let own = names.iter().zip(&answered).filter(|(asked, _)| **asked == name);
        let own: Vec<Answer> = own.map(|(_, answer)| answer.clone()).collect();
        assert!(spent(&own) > Money::ZERO);
        assert_eq!(left(&engine, &user(name)), cap.saturating_sub(spent(&own)), "{name}");
    }
}
