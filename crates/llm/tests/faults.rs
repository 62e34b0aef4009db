//! Thousands of requests against endpoints that fail in every way: all are answered, and each with the text that one
//! provider alone would have said. The full run is ignored, for it takes minutes:
//!
//!     cargo test --release -p burnish-llm --test faults -- --ignored --nocapture
#![expect(clippy::unwrap_used, reason = "a test says so by failing")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use burnish_llm::{EndpointSettings, Model, ModelSettings, SingleFlight};
use burnish_test_provider::{Asked, Faults, Knobs, Provider, say};
use burnish_types::{LanguageModel, Message, ModelEvent, ModelRequest, Role};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Handle, Runtime};

const ENDPOINTS: usize = 3;
const FAULTS: Faults = Faults { hang: 0.1, server_error: 0.1, rate_limit: 0.05, cut: 0.05, garbage: 0.02 };

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn knobs() -> Knobs {
    Knobs { seed: 11, first_token_ms: 5.0, token_ms: 1.0, faults: FAULTS, ..Knobs::default() }
}

async fn providers() -> Vec<Provider> {
    let started = (0..ENDPOINTS).map(|_| Provider::start(knobs()));
    futures_util::future::try_join_all(started).await.unwrap()
}

fn model(providers: &[Provider], first_token: Duration, tries: Option<u32>) -> Model {
    let mut settings = ModelSettings::new("one", "", "test-model");
    settings.endpoints =
        providers.iter().map(|provider| EndpointSettings::new(provider.base_url(), "test-model")).collect();
    settings.patience.first_token = first_token;
    settings.patience.idle = first_token;
    settings.retries.tries = tries.unwrap_or(settings.retries.tries);
    settings.single_flight = SingleFlight::No;
    Model::new(&settings).unwrap()
}

fn request(number: usize) -> ModelRequest {
    let message = |role, content: String| Message { role, content };
    ModelRequest {
        messages: vec![
            message(Role::System, "Be brief.".to_owned()),
            message(Role::User, format!("Question {number}?")),
        ],
        temperature: Some(0.0),
        // Half of the callers show the answer while it is written.
        whole: number % 2 == 1,
        ..ModelRequest::default()
    }
}

/// What one provider alone would say.
fn expected(request: &ModelRequest) -> String {
    let wire = json!({"messages": request.messages, "temperature": 0.0});
    say(&Asked::from_openai(&wire), knobs().seed, knobs().tokens, 0).text()
}

/// The text, if the answer came to its end.
async fn ask(model: &Model, request: ModelRequest) -> Result<String, String> {
    let mut events = model.stream(request).await.map_err(|error| error.to_string())?;
    let mut text = String::new();
    let mut finished = false;
    while let Some(event) = events.next().await {
        match event.map_err(|error| error.to_string())? {
            ModelEvent::Text(more) => text.push_str(&more),
            ModelEvent::Finished { .. } => finished = true,
            ModelEvent::Extra(_) | ModelEvent::Spent(_) => {}
        }
    }
    if finished { Ok(text) } else { Err(format!("no end after {text:?}")) }
}

/// Figures of a run.
fn faulty_run(requests: usize, first_token: Duration, tries: Option<u32>) -> Value {
    let at_once = 64;
    let runtime = runtime();
    let figures = runtime.block_on(async {
        let providers = providers().await;
        let before = Handle::current().metrics().num_alive_tasks();
        let model = Arc::new(model(&providers, first_token, tries));
        let (complete, wrong) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let started = Instant::now();
        let mut failures: Vec<String> = stream::iter(0..requests)
            .map(|number| {
                let (model, complete, wrong) = (Arc::clone(&model), &complete, &wrong);
                async move {
                    let request = request(number);
                    let expected = expected(&request);
                    // In a task of its own, so that a panic is seen as one.
                    let asked = tokio::spawn(async move { ask(&model, request).await }).await.unwrap();
                    match asked {
                        Ok(text) if text == expected => complete.fetch_add(1, Ordering::Relaxed),
                        Ok(_) => wrong.fetch_add(1, Ordering::Relaxed),
                        Err(reason) => return Some(reason),
                    };
                    None
                }
            })
            .buffer_unordered(at_once)
            .filter_map(|failure| async { failure })
            .collect()
            .await;
        let seconds = started.elapsed().as_secs_f64();
        failures.truncate(3);
        let figures = model.figures();
        let sum = |count: fn(&burnish_types::EndpointFigures) -> u64| figures.iter().map(count).sum::<u64>();
        let counts: Vec<Value> = providers.iter().map(|provider| json!(provider.counts())).collect();
        drop((model, providers));
        // Connections close once both of their ends are gone; whatever is left after seconds is a leak.
        let patience = Instant::now() + Duration::from_secs(5);
        while Handle::current().metrics().num_alive_tasks() > 0 && Instant::now() < patience {
            tokio::task::yield_now().await;
        }
        let left = Handle::current().metrics().num_alive_tasks();
        json!({
            "n": requests, "at_once": at_once, "seconds": seconds, "complete": complete.into_inner(),
            "wrong": wrong.into_inner(), "failures": failures, "tasks_before": before, "tasks_left": left,
            "sent": sum(|endpoint| endpoint.requests), "retries": sum(|endpoint| endpoint.retries),
            "in_flight": sum(|endpoint| endpoint.in_flight), "providers": counts,
        })
    });
    drop(runtime);
    figures
}

fn check(figures: &Value) {
    let count = |name: &str| figures[name].as_u64().unwrap();
    assert_eq!(count("wrong"), 0, "{figures}");
    assert!(count("complete") as f64 >= 0.999 * count("n") as f64, "{figures}");
    assert_eq!((count("tasks_left"), count("in_flight")), (0, 0), "{figures}");
}

#[test]
fn faults_of_every_kind_are_borne() {
    // Of so few requests none may be unlucky, since one would be too many.
    let figures = faulty_run(400, Duration::from_millis(250), Some(20));
    check(&figures);
    let hung: u64 = (0..ENDPOINTS).map(|place| figures["providers"][place]["hung"].as_u64().unwrap()).sum();
    assert!(hung > 0, "{figures}");
}

#[test]
#[ignore = "a measurement of a minute"]
fn ten_thousand_requests_are_answered() {
    let figures = faulty_run(10_000, Duration::from_millis(1_000), None);
    println!("{figures:#}");
    check(&figures);
}

/// How an endpoint's death and its return show in its share of the requests.
fn death(faults: Faults, pause: Duration) -> Value {
    runtime().block_on(async {
        let providers = providers().await;
        // Quick answers, so that a share is one of many.
        let quick = Knobs { faults, token_ms: 0.0, ..knobs() };
        let turn = |dead: bool| providers[0].turn(Knobs { dead, ..quick.clone() });
        providers.iter().for_each(|provider| provider.turn(quick.clone()));
        let model = Arc::new(model(&providers, Duration::from_millis(500), None));
        let sent = || model.figures().iter().map(|endpoint| endpoint.requests).collect::<Vec<_>>();
        let share = |before: &[u64], after: &[u64]| {
            let more: Vec<u64> = after.iter().zip(before).map(|(after, before)| after - before).collect();
            let all: u64 = more.iter().sum();
            (more[0] as f64 / all as f64, all)
        };
        let stop = Arc::new(AtomicUsize::new(0));
        let failures = Arc::new(AtomicUsize::new(0));
        let load: Vec<_> = (0..16)
            .map(|worker| {
                let (model, stop, failures) = (Arc::clone(&model), Arc::clone(&stop), Arc::clone(&failures));
                tokio::spawn(async move {
                    let mut number = worker;
                    while stop.load(Ordering::Relaxed) == 0 {
                        if ask(&model, request(number)).await.is_err() {
                            failures.fetch_add(1, Ordering::Relaxed);
                        }
                        number += 16;
                    }
                })
            })
            .collect();
        let watch = async |time: Duration| {
            let before = sent();
            tokio::time::sleep(time).await;
            share(&before, &sent())
        };
        let (healthy, _) = watch(pause).await;
        turn(true);
        tokio::time::sleep(Duration::from_secs(2)).await;
        let (dead, while_dead) = watch(pause * 2).await;
        turn(false);
        let mut back = None;
        let recovered = Instant::now();
        while recovered.elapsed() < Duration::from_secs(5) {
            if watch(Duration::from_millis(250)).await.0 > 0.2 {
                back = Some(recovered.elapsed().as_secs_f64());
                break;
            }
        }
        let (after, _) = watch(pause).await;
        stop.store(1, Ordering::Relaxed);
        for worker in load {
            worker.await.unwrap();
        }
        json!({
            "sent": sent().iter().sum::<u64>(), "failures": failures.load(Ordering::Relaxed),
            "share_before": healthy, "share_dead": dead, "sent_while_dead": while_dead, "back_after_seconds": back, "share_after": after,
        })
    })
}

#[test]
fn a_dead_endpoint_is_left_alone_and_taken_back() {
    let figures = death(Faults::default(), Duration::from_millis(700));
    assert!(figures["share_dead"].as_f64().unwrap() < 0.01, "{figures}");
    assert!(figures["back_after_seconds"].is_f64(), "{figures}");
    assert_eq!(figures["failures"], 0, "{figures}");
}

#[test]
#[ignore = "a measurement of half a minute"]
fn death_among_faults() {
    for faults in [Faults::default(), FAULTS] {
        let figures = death(faults, Duration::from_secs(5));
        println!("{figures:#}");
        assert!(figures["share_dead"].as_f64().unwrap() < 0.01, "{figures}");
        assert!(figures["back_after_seconds"].is_f64(), "{figures}");
    }
}
