//! What the client takes beside the provider's own time. Ignored, for it is a measurement:
//!
//!     cargo test --release -p burnish-llm --test overhead -- --ignored --nocapture

use std::future::Future;
use std::time::Instant;

use burnish_llm::{EndpointSettings, Model, ModelSettings, SingleFlight};
use burnish_test_provider::{Knobs, Provider};
use burnish_types::{LanguageModel, Message, ModelEvent, ModelRequest, Role};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::runtime::Builder;

const REQUESTS: usize = 10_000;
const ROUNDS: usize = 3;

/// Milliseconds of each request, and requests a second.
async fn measure<F: Future<Output = ()>>(at_once: usize, ask: impl Fn() -> F) -> (Vec<f64>, f64) {
    let started = Instant::now();
    let mut times: Vec<f64> = stream::iter(0..REQUESTS)
        .map(|_| async {
            let began = Instant::now();
            ask().await;
            began.elapsed().as_secs_f64() * 1_000.0
        })
        .buffer_unordered(at_once)
        .collect()
        .await;
    let rate = REQUESTS as f64 / started.elapsed().as_secs_f64();
    times.sort_unstable_by(f64::total_cmp);
    (times, rate)
}

fn figures((times, rate): &(Vec<f64>, f64)) -> Value {
    let at = |share: f64| times[((times.len() as f64 * share) as usize).min(times.len() - 1)];
    json!({"p50_ms": at(0.5), "p99_ms": at(0.99), "requests_per_second": rate})
}

#[test]
#[ignore = "a measurement of a minute"]
fn what_the_client_takes() {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let provider = Provider::start(Knobs { tokens: (32, 32), ..Knobs::default() }).await.unwrap();
        let mut settings = ModelSettings::new("one", "", "test-model");
        settings.endpoints = vec![EndpointSettings::new(provider.base_url(), "test-model"); 2];
        settings.single_flight = SingleFlight::No;
        let model = Model::new(&settings).unwrap();
        let messages = vec![Message { role: Role::User, content: "How long are answers kept?".to_owned() }];
        let request = ModelRequest { messages, temperature: Some(0.0), ..ModelRequest::default() };
        let body = json!({
            "model": "test-model", "messages": request.messages, "temperature": 0.0, "stream": true,
            "stream_options": {"include_usage": true},
        });
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("{}/chat/completions", provider.base_url());
        for at_once in [1, 32] {
            for round in 0..ROUNDS {
                let plain = measure(at_once, || async {
                    let response = client.post(&url).json(&body).send().await.unwrap();
                    assert!(response.text().await.unwrap().ends_with("[DONE]\n\n"));
                })
                .await;
                let through = measure(at_once, || async {
                    let mut events = model.stream(request.clone()).await.unwrap();
                    let mut finished = false;
                    while let Some(event) = events.next().await {
                        finished |= matches!(event.unwrap(), ModelEvent::Finished { .. });
                    }
                    assert!(finished);
                })
                .await;
                let [plain, through] = [plain, through].map(|measured| figures(&measured));
                println!("{}", json!({"at_once": at_once, "round": round, "n": REQUESTS, "plain": plain, "through": through}));
            }
        }
    });
}
