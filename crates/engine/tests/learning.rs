//! What is learned from the whole log at once: patterns, and trees that take over, are watched, and go again.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use burnish_engine::{ChallengerChange, Engine, EngineSettings, IngestOptions, Parts, Pinned, Report};
use burnish_learning::patterns::Claim;
use burnish_learning::query_features;
use burnish_store::SqliteStore;
use burnish_types::{
    Answerer, Candidate, Clock, Decision, EmbedError, Embedder, Embedding, Filter, Judgement, Money, Outcome,
    Plan, Prediction, Query, RequestId, Store, Strategy, Timestamp, UserContext,
};
use tokio::runtime::Runtime;

const STRATEGIES: [&str; 3] = ["hybrid", "sparse", "dense"];
const START: u64 = 1_790_000_000_000;
const SUBJECTS: [&str; 2] = ["invoices", "holidays"];

/// A vector by subject, and a little of each question's own.
struct SubjectVectors;

impl Embedder for SubjectVectors {
    fn model(&self) -> &str {
        "subject-vectors"
    }

    fn dimensions(&self) -> usize {
        8
    }

    fn max_tokens(&self) -> usize {
        256
    }

    fn count_tokens(&self, text: &str) -> usize {
        text.split_whitespace().count()
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError> {
        let vector = |text: &&str| {
            let seed = text.bytes().fold(7, |hash, byte| hash * 31 % 1_000_003 + u64::from(byte));
            let mut random = fastrand::Rng::with_seed(seed);
            let mut vector: Vec<f32> = (0..8).map(|_| 0.2 * (random.f32() - 0.5)).collect();
            vector[usize::from(text.contains(SUBJECTS[1]))] += 1.0;
            let norm = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
            vector.into_iter().map(|value| value / norm).collect()
        };
        Ok(texts.iter().map(vector).collect())
    }
}

#[derive(Clone)]
struct SetClock(Arc<AtomicU64>);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

fn open(data: &Path, clock: &SetClock) -> Arc<Engine> {
    let mut settings = EngineSettings::new(data);
    settings.planner.policy = "conservative:0".to_owned();
    settings.planner.strategies = STRATEGIES.map(str::to_owned).to_vec();
    let parts =
        Parts { embedder: Arc::new(SubjectVectors), models: Vec::new(), clock: Arc::new(clock.clone()) };
    Engine::open(settings, parts).unwrap()
}

fn question(text: String) -> Query {
    Query {
        text,
        conversation: Vec::new(),
        user: UserContext::default(),
        filter: Filter::default(),
        top_k: 3,
        target_quality: 1.0,
        budget: None,
        latency_budget_ms: None,
    }
}

/// A question of so many words.
fn asked(number: u64, words: usize) -> Query {
    let subject = SUBJECTS[number as usize % 2];
    question(format!("{subject} number {number} {}", "and more ".repeat(words / 2)).trim().to_owned())
}

fn middling(words: usize) -> bool {
    (8..18).contains(&words)
}

fn decision(number: u64, query: &Query, policy: &str, propensities: [f64; 3], chosen: usize) -> Decision {
    let candidate = |(name, propensity): (&str, f64)| Candidate {
        plan: Plan {
            strategy: Strategy::new(name),
            depth: 3,
            context_tokens: 100,
            reduction: 0.0,
            answerer: Answerer::Passages,
            parameters: None,
            prompt: None,
        },
        prediction: Prediction {
            quality: 0.5,
            quality_deviation: 0.1,
            added: 0.0,
            latency_ms: 5.0,
            cost: Money::ZERO,
            outcomes: 0,
        },
        propensity,
    };
    let at = START + number * 1_000;
    Decision {
        id: RequestId::from_parts(at, u128::from(number)),
        at: Timestamp(at),
        query: query.text.clone(),
        user: query.user.clone(),
        features: query_features(query, &[]),
        sketch: None,
        policy: policy.to_owned(),
        candidates: STRATEGIES.into_iter().zip(propensities).map(candidate).collect(),
        chosen,
        reason: String::new(),
        charge: 0.0,
        cache: None,
        experiment: None,
    }
}

fn report(decision: &Decision, judgement: Judgement) -> Outcome {
    Outcome { request: decision.id, at: decision.at, judgement, comment: None, user: None }
}

/// `count` requests from the `first` on, each of a strategy by chance, judged 0 or 1. For questions of a middling
/// length `sparse` is better by `gain`, for others worse; on holidays everything is worse by `loss`.
fn write_log(data: &Path, first: u64, count: u64, gain: f64, loss: f64) {
    let store = SqliteStore::open(data).unwrap();
    let mut random = fastrand::Rng::with_seed(first);
    let mut outcomes = Vec::new();
    for number in first..first + count {
        let words = random.usize(2..28);
        let query = asked(number, words);
        let chosen = random.usize(..3);
        let signed = if middling(words + 3) { gain } else { -gain };
        let expected =
            0.55 + if chosen == 1 { signed } else { 0.0 } - if number % 2 == 1 { loss } else { 0.0 };
        let decision = decision(number, &query, "epsilon:0.66", [1.0 / 3.0; 3], chosen);
        outcomes.push(report(&decision, Judgement::Score { value: f64::from(random.f64() < expected) }));
        drop(store.record_decision(decision));
    }
    runtime().block_on(store.record_outcomes(outcomes)).unwrap();
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn clock() -> SetClock {
    SetClock(Arc::new(AtomicU64::new(START + 10_000_000)))
}

const ALWAYS: (Timestamp, Timestamp) = (Timestamp(0), Timestamp(u64::MAX));

/// How often the strategies are chosen for questions of a middling length, with the decisions.
fn played(engine: &Arc<Engine>, clock: &SetClock, count: u64) -> Vec<Decision> {
    let runtime = runtime();
    (0..count)
        .map(|number| {
            clock.0.fetch_add(1_000, Ordering::Relaxed);
            let query = asked(1_000_000 + number, 10);
            runtime.block_on(engine.search(query, Pinned::default())).unwrap().decision
        })
        .collect()
}

#[test]
fn trees_that_see_more_take_over_survive_a_restart_and_go_when_outcomes_swap() {
    let folder = tempfile::tempdir().unwrap();
    let (data, clock) = (folder.path().join("data"), clock());
    write_log(&data, 0, 900, 0.4, 0.0);
    let engine = open(&data, &clock);
    let library = folder.path().join("library.txt");
    std::fs::write(&library, "Invoices are paid within thirty days. Holidays are asked for by the month.")
        .unwrap();
    engine.ingest(&[library], IngestOptions::default(), &|_| {}).unwrap();
    let before = played(&engine, &clock, 1).remove(0);
    assert!(!before.reason.contains("trees") && before.policy == "conservative:0", "{}", before.reason);

    let attempt = engine.challenge(ALWAYS.0, ALWAYS.1, 5).unwrap();
    let found = attempt.found.clone().unwrap();
    assert!(attempt.promoted && found.better && found.gain > 0.1, "{attempt:?}");
    assert_eq!(found.n, 900);
    let trees = engine.train_again(attempt.training).unwrap().unwrap();
    assert_eq!(engine.train_again(attempt.training).unwrap().as_ref(), Some(&trees));
    assert!(engine.challenge(ALWAYS.0, ALWAYS.1, 5).unwrap().found.is_none(), "the log has not grown");

    let changed = |engine: &Arc<Engine>| {
        let decisions = played(engine, &clock, 30);
        for decision in &decisions {
            let sum: f64 = decision.candidates.iter().map(|candidate| candidate.propensity).sum();
            assert!((sum - 1.0).abs() < 1e-9);
        }
        decisions.into_iter().find(|decision| decision.choice().unwrap().propensity == 0.9).unwrap()
    };
    let decision = changed(&engine);
    assert_eq!(decision.choice().unwrap().plan.strategy.as_str(), "sparse");
    assert!(decision.reason.contains("boosted trees move"), "{}", decision.reason);
    assert_eq!(decision.policy, "trees:0.1");
    engine.close().unwrap();
    drop(engine);
    let engine = open(&data, &clock);
    let decision = changed(&engine);
    assert_eq!(decision.policy, "trees:0.1");
    // What is reported on such a decision is heard by what watches the trees.
    let report = Report::new(decision.id, Judgement::Score { value: 1.0 });
    runtime().block_on(engine.feedback(report)).unwrap();
    let standing = runtime().block_on(engine.standing()).unwrap();
    assert_eq!(standing.challenger.watched.map(|(.., observed)| observed), Some(1));
    assert!(standing.challenger.in_use.is_some());
    drop(engine);

    write_swapped(&data, clock.now().0, 200);
    let engine = open(&data, &clock);
    let standing = runtime().block_on(engine.standing()).unwrap().challenger;
    let last = standing.events.last().unwrap();
    assert!(standing.in_use.is_none() && last.change == ChallengerChange::Dropped, "{standing:?}");
    assert!(last.reason.contains("better without them"), "{last:?}");
    assert!(played(&engine, &clock, 5).iter().all(|decision| decision.policy == "conservative:0"));
}

/// `count` decisions that trees change, now for the worse.
fn write_swapped(data: &Path, now: u64, count: u64) {
    let store = SqliteStore::open(data).unwrap();
    let mut random = fastrand::Rng::with_seed(9);
    let mut outcomes = Vec::new();
    for number in 0..count {
        let without = random.f64() < 0.4;
        let chosen = usize::from(!without);
        let after = (now - START) / 1_000 + 1 + number;
        let decision = decision(after, &asked(number, 10), "trees:0.4", [0.4, 0.6, 0.0], chosen);
        let expected = if without { 0.6 } else { 0.35 };
        outcomes.push(report(&decision, Judgement::Score { value: f64::from(random.f64() < expected) }));
        drop(store.record_decision(decision));
    }
    runtime().block_on(store.record_outcomes(outcomes)).unwrap();
}

#[test]
fn where_there_is_nothing_to_see_nothing_takes_over_and_nothing_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let (data, clock) = (folder.path().join("data"), clock());
    write_log(&data, 0, 400, 0.0, 0.0);
    let engine = open(&data, &clock);
    let attempt = engine.challenge(ALWAYS.0, ALWAYS.1, 1).unwrap();
    assert!(!attempt.promoted && attempt.found.is_some(), "{attempt:?}");
    assert!(!engine.demote().unwrap());
    let events = runtime().block_on(engine.standing()).unwrap().challenger.events;
    assert_eq!(events.iter().map(|event| event.change).collect::<Vec<_>>(), [ChallengerChange::Refused]);
    let found = engine.find_patterns(ALWAYS.0, ALWAYS.1, 1, &|_, _| {}).unwrap();
    assert!(found.patterns.found.is_empty(), "{:?}", found.patterns.found);
    assert_eq!((found.patterns.n, found.patterns.free), (400, 400));
}

#[test]
fn patterns_are_kept_trees_are_taken_out_by_hand_and_a_damaged_record_is_survived() {
    let folder = tempfile::tempdir().unwrap();
    let (data, clock) = (folder.path().join("data"), clock());
    write_log(&data, 0, 900, 0.4, 0.3);
    let engine = open(&data, &clock);
    let found = engine.find_patterns(ALWAYS.0, ALWAYS.1, 1, &|_, _| {}).unwrap();
    let poor =
        found.patterns.found.iter().find(|found| found.cut == "topic" && found.claim == Claim::Quality);
    assert!(
        poor.is_some_and(|poor| poor.words.contains("holidays") || poor.words.contains("invoices")),
        "{found:?}"
    );
    assert!(!found.patterns.topics.is_empty());
    assert!(engine.challenge(ALWAYS.0, ALWAYS.1, 1).unwrap().promoted);
    assert!(engine.demote().unwrap());
    drop(engine);

    let engine = open(&data, &clock);
    let standing = runtime().block_on(engine.standing()).unwrap();
    assert_eq!(standing.patterns, Some(found));
    assert!(standing.challenger.in_use.is_none());
    let changes = standing.challenger.events.iter().map(|event| event.change);
    assert_eq!(changes.collect::<Vec<_>>(), [ChallengerChange::Promoted, ChallengerChange::Demoted]);
    drop(engine);

    for damaged in
        [&b"{"[..], br#"{"version":99,"attempts":1,"judged":1,"from":0,"in_use":null,"events":[]}"#]
    {
        SqliteStore::open(&data).unwrap().put_snapshot("challenger", 1, damaged).unwrap();
        let engine = open(&data, &clock);
        let standing = runtime().block_on(engine.standing()).unwrap().challenger;
        assert_eq!(standing, Default::default());
    }
}

#[test]
fn a_report_without_a_name_is_the_askers_own_wherever_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let (data, clock) = (folder.path().join("data"), clock());
    let mut query = asked(1, 4);
    query.user.user = Some("ada".to_owned());
    let decision = decision(1, &query, "epsilon:0.66", [1.0 / 3.0; 3], 0);
    let unnamed = report(&decision, Judgement::Thumb { up: true });
    let named = Outcome { user: Some("ada".to_owned()), ..report(&decision, Judgement::Thumb { up: false }) };
    let store = SqliteStore::open(&data).unwrap();
    drop(store.record_decision(decision));
    runtime().block_on(store.record_outcomes(vec![unnamed, named])).unwrap();
    drop(store);
    clock.0.store(START + 5_000, Ordering::Relaxed);
    let engine = open(&data, &clock);
    // The last word of a person counts, so the thumb is down.
    let judged = engine.judged_decisions(ALWAYS.0, ALWAYS.1).unwrap();
    assert_eq!(judged.iter().map(|(_, settled)| settled.quality).collect::<Vec<_>>(), [0.0]);
    let standing = runtime().block_on(engine.standing()).unwrap();
    assert_eq!(standing.mean_quality.map(|mean| (mean.mean, mean.n)), Some((0.0, 1)));
    assert!(standing.mean_quality.unwrap().margin > 1.0);
    let fixed = standing.fixed.iter().map(|value| (value.estimate.n, value.of)).collect::<Vec<_>>();
    assert_eq!(fixed, [(1, 1)]);
}
