//! Figures for Prometheus.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use burnish_engine::{CacheStanding, SelectiveStanding};
use burnish_types::{EndpointFigures, Prediction, Strategy, Totals};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::runtime::Handle;

use crate::app::App;

/// Upper bounds in seconds: a search is there in milliseconds, a long answer in a minute.
const BUCKETS: [f64; 12] = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 20.0, 60.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    route: String,
    method: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByStrategy {
    strategy: String,
}

/// An endpoint of a language model, in the terms of OpenTelemetry's conventions.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByEndpoint {
    gen_ai_request_model: String,
    server_address: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByError {
    gen_ai_request_model: String,
    server_address: String,
    error_type: &'static str,
}

type Seconds = Family<Route, Histogram, fn() -> Histogram>;
type Quality = Family<ByStrategy, Gauge<f64, AtomicU64>>;

/// What is counted, and the registry that writes it.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Answered, Counter>,
    seconds: Seconds,
    documents: Gauge,
    chunks: Gauge,
    decisions: Gauge,
    outcomes: Gauge,
    quality: Quality,
    model: ModelFigures,
    cache: Cache,
    selective: Selective,
    process: Process,
}

/// What the process takes of the system, in the terms of Prometheus' client libraries, and of its runtime.
#[derive(Default)]
struct Process {
    resident_memory: Gauge,
    open_files: Gauge,
    tasks: Gauge,
}

impl Process {
    fn register(&self, registry: &mut Registry) {
        registry.sub_registry_with_prefix("burnish").register(
            "tasks",
            "Asynchronous tasks that are alive",
            self.tasks.clone(),
        );
        let process = registry.sub_registry_with_prefix("process");
        let help = "Resident memory in bytes; 0 where the system does not tell";
        process.register("resident_memory_bytes", help, self.resident_memory.clone());
        process.register(
            "open_fds",
            "Open files and sockets; 0 where the system does not tell",
            self.open_files.clone(),
        );
    }

    fn look(&self) {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = resident.and_then(|line| line.split_whitespace().next()?.parse::<i64>().ok());
        self.resident_memory.set(kibibytes.unwrap_or(0) * 1_024);
        let open = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        self.open_files.set(i64::try_from(open).unwrap_or(i64::MAX));
        let tasks = Handle::try_current().map_or(0, |runtime| runtime.metrics().num_alive_tasks());
        self.tasks.set(i64::try_from(tasks).unwrap_or(i64::MAX));
    }
}

/// What is seen of the endpoints of language models; counted there, and copied here when it is asked for.
#[derive(Default)]
struct ModelFigures {
    requests: Family<ByEndpoint, Counter>,
    retries: Family<ByEndpoint, Counter>,
    hedges: Family<ByEndpoint, Counter>,
    errors: Family<ByError, Counter>,
    breaker: Family<ByEndpoint, Gauge>,
    in_flight: Family<ByEndpoint, Gauge>,
    first_token: Family<ByEndpoint, Gauge<f64, AtomicU64>>,
}

impl ModelFigures {
    fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("gen_ai_client");
        registry.register("requests", "Requests sent to an endpoint", self.requests.clone());
        registry.register("retries", "Those sent since others failed", self.retries.clone());
        registry.register("hedges", "Those sent since another was slow", self.hedges.clone());
        registry.register("errors", "What went wrong, by kind", self.errors.clone());
        registry.register("breaker", "0: in use, 1: on trial, 2: left alone", self.breaker.clone());
        registry.register("in_flight", "Requests under way", self.in_flight.clone());
        registry.register(
            "time_to_first_token_seconds",
            "Moving average of the time until the first words",
            self.first_token.clone(),
        );
    }

    fn take(&self, figures: &EndpointFigures) {
        let label = ByEndpoint {
            gen_ai_request_model: figures.model.clone(),
            server_address: figures.endpoint.clone(),
        };
        let whole = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        raise(&self.requests.get_or_create(&label), figures.requests);
        raise(&self.retries.get_or_create(&label), figures.retries);
        raise(&self.hedges.get_or_create(&label), figures.hedges);
        for &(error_type, count) in &figures.errors {
            let ByEndpoint { gen_ai_request_model, server_address } = label.clone();
            raise(
                &self.errors.get_or_create(&ByError { gen_ai_request_model, server_address, error_type }),
                count,
            );
        }
        self.breaker.get_or_create(&label).set(figures.breaker.into());
        self.in_flight.get_or_create(&label).set(whole(figures.in_flight));
        if let Some(seconds) = figures.first_token_seconds {
            self.first_token.get_or_create(&label).set(seconds);
        }
    }
}

/// Brings a counter to what was counted elsewhere; it never falls.
fn raise(counter: &Counter, count: u64) {
    counter.inner().fetch_max(count, Ordering::Relaxed);
}

/// What the cache serves and keeps.
#[derive(Default)]
struct Cache {
    lookups: Gauge,
    exact_hits: Gauge,
    similar_hits: Gauge,
    explored: Gauge,
    wrong_bound: Gauge<f64, AtomicU64>,
    entries: Gauge,
    bytes: Gauge,
}

/// What is answered without a model.
#[derive(Default)]
struct Selective {
    greetings: Gauge,
    requests: Gauge,
    served: Gauge,
    explored: Gauge,
    wrong_bound: Gauge<f64, AtomicU64>,
}

impl Default for Metrics {
    fn default() -> Self {
        let seconds: Seconds = Family::new_with_constructor(|| Histogram::new(BUCKETS));
        let mut metrics = Self {
            registry: Registry::default(),
            requests: Family::default(),
            seconds,
            documents: Gauge::default(),
            chunks: Gauge::default(),
            decisions: Gauge::default(),
            outcomes: Gauge::default(),
            quality: Quality::default(),
            model: ModelFigures::default(),
            cache: Cache::default(),
            selective: Selective::default(),
            process: Process::default(),
        };
        metrics.process.register(&mut metrics.registry);
        let registry = metrics.registry.sub_registry_with_prefix("burnish");
        registry.register("http_requests", "Requests by route, method and status", metrics.requests.clone());
        registry.register(
            "http_request_seconds",
            "Time until an answer began to be sent",
            metrics.seconds.clone(),
        );
        registry.register("documents", "Documents in the store", metrics.documents.clone());
        registry.register("chunks", "Chunks in the store", metrics.chunks.clone());
        registry.register("decisions", "Decisions in the log", metrics.decisions.clone());
        registry.register("outcomes", "Outcomes in the log", metrics.outcomes.clone());
        registry.register("strategy_quality", "Expected quality by strategy", metrics.quality.clone());
        metrics.model.register(registry);
        let cache = &metrics.cache;
        for (name, help, gauge) in [
            ("cache_lookups", "Requests that a kept answer could have served", &cache.lookups),
            ("cache_exact_hits", "The same request again, served from the cache", &cache.exact_hits),
            ("cache_similar_hits", "Similar requests, served from the cache", &cache.similar_hits),
            ("cache_explored", "Similar requests, answered freshly to compare", &cache.explored),
            ("cache_entries", "Answers that are kept", &cache.entries),
            ("cache_bytes", "What the kept answers take", &cache.bytes),
        ] {
            registry.register(name, help, gauge.clone());
        }
        let help = "Upper bound on the wrong answers to similar requests, 95 % confidence";
        registry.register("cache_wrong_bound", help, cache.wrong_bound.clone());
        let selective = &metrics.selective;
        for (name, help, gauge) in [
            ("selective_greetings", "Greetings, answered without a model", &selective.greetings),
            ("selective_requests", "Requests whose model a quotation could have spared", &selective.requests),
            ("selective_quoted", "Requests answered by quotation in place of a model", &selective.served),
            (
                "selective_explored",
                "Likely quotations, compared with the model's answer",
                &selective.explored,
            ),
        ] {
            registry.register(name, help, gauge.clone());
        }
        let help = "Upper bound on the wrong quotations in place of a model, 95 % confidence";
        registry.register("selective_wrong_bound", help, selective.wrong_bound.clone());
        metrics
    }
}

impl Metrics {
    /// Everything, in the text form of OpenMetrics.
    pub(crate) fn encode(
        &self,
        totals: Totals,
        learned: &[(Strategy, Prediction)],
        endpoints: &[EndpointFigures],
        cache: &CacheStanding,
        selective: &SelectiveStanding,
    ) -> String {
        for (gauge, value) in [
            (&self.documents, totals.documents),
            (&self.chunks, totals.chunks),
            (&self.decisions, totals.decisions),
            (&self.outcomes, totals.outcomes),
            (&self.cache.lookups, cache.lookups),
            (&self.cache.exact_hits, cache.exact_hits),
            (&self.cache.similar_hits, cache.similar.served),
            (&self.cache.explored, cache.similar.explored),
            (&self.cache.entries, cache.entries),
            (&self.cache.bytes, cache.bytes),
            (&self.selective.greetings, selective.greetings),
            (&self.selective.requests, selective.quotations.requests),
            (&self.selective.served, selective.quotations.served),
            (&self.selective.explored, selective.quotations.explored),
        ] {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
        self.cache.wrong_bound.set(cache.similar.wrong_bound);
        self.selective.wrong_bound.set(selective.quotations.wrong_bound);
        for (strategy, prediction) in learned {
            let label = ByStrategy { strategy: strategy.to_string() };
            self.quality.get_or_create(&label).set(prediction.quality);
        }
        endpoints.iter().for_each(|endpoint| self.model.take(endpoint));
        self.process.look();
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// Counts what passes through, by the route's pattern, so that ids make no series of their own.
pub(crate) async fn count(
    State(app): State<App>,
    path: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let route = path.map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let method = request.method().to_string();
    let response = next.run(request).await;
    let status = response.status().as_u16();
    app.metrics.requests.get_or_create(&Answered { route: route.clone(), method, status }).inc();
    app.metrics.seconds.get_or_create(&Route { route }).observe(started.elapsed().as_secs_f64());
    response
}
