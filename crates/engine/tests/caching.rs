//! Kept answers over a real store and real indexes: who is served one, and who is not.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use burnish_engine::{
    AnswerEvent, CacheSettings, Engine, EngineSettings, IngestEvent, IngestOptions, Parts, Pinned, Report,
    Sampling,
};
use burnish_types::{
    Answer, AnswerOrigin, BoxFuture, CacheKind, Decision, Judgement, LanguageModel, Message, ModelError,
    ModelEvent, ModelRequest, ModelStream, Query, Role, SystemClock, Timestamp,
};
use futures_util::{StreamExt, stream};
use proptest::prelude::*;

use common::{WordVectors, question};

/// Says something else each time.
#[derive(Default)]
struct Counting {
    asked: AtomicU32,
    broken: AtomicBool,
    /// What is behind its name.
    version: AtomicU32,
}

impl LanguageModel for Counting {
    fn name(&self) -> &str {
        "counting"
    }

    fn fingerprint(&self) -> String {
        format!("counting {}", self.version.load(Ordering::SeqCst))
    }

    fn stream(&self, _: ModelRequest) -> BoxFuture<'_, Result<ModelStream, ModelError>> {
        if self.broken.load(Ordering::SeqCst) {
            let (model, reason) = ("counting".to_owned(), "it is broken".to_owned());
            return Box::pin(async { Err(ModelError::Unreachable { model, reason }) });
        }
        let count = self.asked.fetch_add(1, Ordering::SeqCst);
        let finished = ModelEvent::Finished { reason: "stop".to_owned(), usage: None };
        let words = [Ok(ModelEvent::Text(format!("It is answer {count} [1]."))), Ok(finished)];
        Box::pin(async { Ok(Box::pin(stream::iter(words)) as ModelStream) })
    }
}

const SIMILAR: CacheSettings = CacheSettings {
    enabled: true,
    similar: true,
    delta: 0.01,
    max_bytes: 64 << 20,
    lifetime_ms: 24 * 3_600_000,
};

fn open(folder: &Path, cache: CacheSettings) -> (Arc<Engine>, Arc<Counting>) {
    let mut settings = EngineSettings::new(folder.join("data"));
    settings.cache = cache;
    let model = Arc::new(Counting::default());
    let models: Vec<Arc<dyn LanguageModel>> = vec![Arc::clone(&model) as Arc<dyn LanguageModel>];
    let parts = Parts { embedder: Arc::new(WordVectors), models, clock: Arc::new(SystemClock) };
    let engine = Engine::open(settings, parts).unwrap();
    let library = folder.join("library");
    fs::create_dir_all(&library).unwrap();
    for (name, text) in [
        ("caching.md", "Cached answers expire after thirty minutes of silence."),
        ("billing.md", "Invoices are sent on the first Monday of every month."),
    ] {
        fs::write(library.join(name), text).unwrap();
    }
    engine.ingest(&[library], IngestOptions::default(), &|_| {}).unwrap();
    (engine, model)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

async fn ask(engine: &Arc<Engine>, query: Query, pinned: Pinned, sampling: Sampling) -> (Decision, Answer) {
    let mut answering = engine.answer(query, pinned, sampling).await.unwrap();
    let mut text = String::new();
    while let Some(event) = answering.events.next().await {
        match event.unwrap() {
            AnswerEvent::Extra(_) => {}
            AnswerEvent::Text(piece) => text.push_str(&piece),
            AnswerEvent::Done(answer) => {
                assert_eq!(answer.text, text);
                return (answering.decision, *answer);
            }
        }
    }
    panic!("the answer had no end")
}

fn served(decision: &Decision) -> Option<CacheKind> {
    decision.cache.as_ref().filter(|choice| choice.served).map(|choice| choice.kind)
}

#[test]
fn the_same_question_is_answered_once() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, model) = open(folder.path(), SIMILAR);
    runtime().block_on(async {
        let ask =
            |pinned| ask(&engine, question("When do cached answers expire?"), pinned, Sampling::default());
        let (first, answer) = ask(Pinned::default()).await;
        assert_eq!((served(&first), answer.text.as_str()), (None, "It is answer 0 [1]."));
        let (second, again) = ask(Pinned::default()).await;
        assert_eq!(served(&second), Some(CacheKind::Exact));
        assert_eq!(
            (&again.text, &again.citations, &again.evidence),
            (&answer.text, &answer.citations, &answer.evidence)
        );
        assert_eq!(model.asked.load(Ordering::SeqCst), 1);
        let stored = engine.decision(second.id).await.unwrap().unwrap();
        assert_eq!(stored.decision, second, "the decision log tells what was served, and why");

        let (fresh, _) = ask(Pinned { fresh: true, ..Pinned::default() }).await;
        assert_eq!((served(&fresh), model.asked.load(Ordering::SeqCst)), (None, 2));

        engine.feedback(Report::new(second.id, Judgement::Thumb { up: false })).await.unwrap();
        let (after, _) = ask(Pinned::default()).await;
        assert_eq!(served(&after), None, "what somebody found wrong is not repeated");
        let standing = engine.cache();
        assert_eq!((standing.exact_hits, standing.entries), (1, 1));
    });
}

#[test]
fn what_somebody_finds_wrong_is_not_served_again_even_after_the_end_of_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let query = || question("When do cached answers expire?");
    let asked = |engine: &Arc<Engine>| {
        runtime().block_on(ask(engine, query(), Pinned::default(), Sampling::default())).0
    };
    let first = {
        let (engine, _) = open(folder.path(), SIMILAR);
        let first = asked(&engine);
        // The answer is in the file from here on.
        engine.close().unwrap();
        first
    };
    {
        let (engine, _) = open(folder.path(), SIMILAR);
        assert_eq!(served(&asked(&engine)), Some(CacheKind::Exact));
        let wrong = Report::new(first.id, Judgement::Thumb { up: false });
        runtime().block_on(engine.feedback(wrong)).unwrap();
        assert_eq!(engine.cache().entries, 0);
    }
    let (engine, _) = open(folder.path(), SIMILAR);
    assert_eq!((engine.cache().entries, served(&asked(&engine))), (0, None));
}

#[test]
fn a_model_that_changes_under_its_name_is_asked_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, model) = open(folder.path(), SIMILAR);
    runtime().block_on(async {
        for (version, expected) in [(0, None), (1, None), (0, Some(CacheKind::Exact))] {
            model.version.store(version, Ordering::SeqCst);
            let query = question("When do cached answers expire?");
            let (decision, _) = ask(&engine, query, Pinned::default(), Sampling::default()).await;
            assert_eq!(served(&decision), expected, "version {version}");
        }
    });
}

#[test]
fn answers_outlive_the_process_and_damage_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("data/cache.bin");
    let served_again = |close: bool| {
        let (engine, _) = open(folder.path(), SIMILAR);
        let query = question("When do cached answers expire?");
        let (decision, _) = runtime().block_on(ask(&engine, query, Pinned::default(), Sampling::default()));
        if close {
            engine.close().unwrap();
        }
        served(&decision)
    };
    assert_eq!(served_again(true), None);
    assert_eq!(served_again(false), Some(CacheKind::Exact));
    let mut bytes = fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&file, bytes).unwrap();
    assert_eq!(served_again(false), None);
    assert!(!file.exists() && file.with_extension("damaged").exists());
}

#[test]
fn a_similar_answer_stands_in_for_a_model_that_is_away() {
    for similar in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let (engine, model) = open(folder.path(), CacheSettings { similar, ..SIMILAR });
        runtime().block_on(async {
            let ask =
                |text: &'static str| ask(&engine, question(text), Pinned::default(), Sampling::default());
            let (first, answer) = ask("When do cached answers expire?").await;
            model.broken.store(true, Ordering::SeqCst);
            // Its question is embedded once it was answered.
            let (decision, instead) = loop {
                let (decision, instead) = ask("So when do cached answers expire?").await;
                if instead.origin == AnswerOrigin::StandIn {
                    break (decision, instead);
                }
            };
            assert_eq!((served(&decision), &instead.text), (None, &answer.text));
            let reason = instead.degraded.unwrap();
            assert!(
                reason.contains("`counting`") && reason.contains("When do cached answers expire?"),
                "{reason}"
            );
            for id in [first.id, decision.id] {
                engine.feedback(Report::new(id, Judgement::Score { value: 0.9 })).await.unwrap();
            }
            let judged = engine.judged_decisions(Timestamp(0), Timestamp(u64::MAX)).unwrap();
            let judged: Vec<_> = judged.iter().filter(|(_, settled)| settled.trust > 0.5).collect();
            assert_eq!(
                judged.len(),
                1,
                "what stood in says nothing of how the question was planned: {judged:?}"
            );
            let (_, quoted) = ask("When do cached answers not expire?").await;
            assert!(quoted.degraded.is_some() && quoted.text != answer.text, "{quoted:?}");
        });
    }
}

#[test]
fn quotations_are_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, _) = open(folder.path(), SIMILAR);
    runtime().block_on(async {
        for _ in 0..2 {
            let pinned = Pinned { answerer: Some(burnish_types::Answerer::Extractive), ..Pinned::default() };
            let (decision, _) =
                ask(&engine, question("When do cached answers expire?"), pinned, Sampling::default()).await;
            assert_eq!(served(&decision), None);
        }
    });
    assert_eq!(engine.cache().lookups, 0);
}

#[test]
fn nothing_is_served_from_a_document_that_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, _) = open(folder.path(), SIMILAR);
    runtime().block_on(async {
        let gone = Arc::new(AtomicBool::new(false));
        let askers: Vec<_> = (0..4)
            .map(|asker| {
                let (engine, gone) = (Arc::clone(&engine), Arc::clone(&gone));
                tokio::spawn(async move {
                    let mut hits = 0;
                    for round in 0..60 {
                        // Read before the question is asked: only then must the answer be free of it.
                        let was_gone = gone.load(Ordering::SeqCst);
                        let text = format!("When do cached answers expire, {}?", (asker + round) % 3);
                        let (decision, answer) =
                            ask(&engine, question(&text), Pinned::default(), Sampling::default()).await;
                        hits += u32::from(served(&decision).is_some());
                        let rests = answer
                            .evidence
                            .iter()
                            .any(|passage| passage.document_key.ends_with("caching.md"));
                        assert!(!(was_gone && rests), "{decision:?}");
                    }
                    hits
                })
            })
            .collect();
        let (_, answer) =
            ask(&engine, question("When do cached answers expire?"), Pinned::default(), Sampling::default())
                .await;
        let passage =
            answer.evidence.iter().find(|passage| passage.document_key.ends_with("caching.md")).unwrap();
        engine.delete_documents(vec![passage.document]).await.unwrap();
        gone.store(true, Ordering::SeqCst);
        let mut hits = 0;
        for asker in askers {
            hits += asker.await.unwrap();
        }
        assert!(hits > 0, "nothing was ever served");
        let (decision, _) =
            ask(&engine, question("When do cached answers expire?"), Pinned::default(), Sampling::default())
                .await;
        assert_eq!(served(&decision), None);
    });
}

#[test]
fn an_answer_from_before_a_document_could_be_found_is_not_served_after() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, _) = open(folder.path(), SIMILAR);
    let runtime = runtime();
    let asked = || {
        let query = question("When do cached answers expire?");
        runtime.block_on(ask(&engine, query, Pinned::default(), Sampling::default())).0
    };
    let more = folder.path().join("more.md");
    fs::write(&more, "Cached answers of the archive expire after a year.").unwrap();
    let while_stored = AtomicU32::new(0);
    engine
        .ingest(&[more], IngestOptions::default(), &|event| {
            // The store has the document, and nobody finds it yet.
            if matches!(event, IngestEvent::Stored { .. }) {
                assert_eq!(served(&asked()), None);
                while_stored.fetch_add(1, Ordering::SeqCst);
            }
        })
        .unwrap();
    assert_eq!(while_stored.load(Ordering::SeqCst), 1);
    assert_eq!(served(&asked()), None, "the new document may say otherwise");
    assert_eq!(served(&asked()), Some(CacheKind::Exact));
}

/// What makes two requests different requests.
#[derive(Clone, Debug, PartialEq)]
struct Circumstances {
    tenant: u8,
    tokens: Option<u32>,
    earlier: u8,
    strategy: bool,
}

fn circumstances() -> impl Strategy<Value = Circumstances> {
    (0_u8..3, prop::option::of(50_u32..52), 0_u8..3, any::<bool>())
        .prop_map(|(tenant, tokens, earlier, strategy)| Circumstances { tenant, tokens, earlier, strategy })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn answers_stay_with_tenant_parameters_and_conversation(asked in prop::collection::vec(circumstances(), 2..24)) {
        let folder = tempfile::tempdir().unwrap();
        let (engine, _) = open(folder.path(), SIMILAR);
        runtime().block_on(async {
            let mut known: Vec<(Circumstances, String)> = Vec::new();
            for circumstances in asked {
                let mut query = question("When do cached answers expire?");
                query.user.tenant = Some(format!("tenant {}", circumstances.tenant));
                if circumstances.earlier > 0 {
                    let content = format!("I ask about topic {}.", circumstances.earlier);
                    query.conversation.push(Message { role: Role::User, content });
                }
                let strategy = circumstances.strategy.then(|| burnish_types::Strategy::new("sparse"));
                let pinned = Pinned { strategy, ..Pinned::default() };
                let sampling = Sampling { max_tokens: circumstances.tokens, ..Sampling::default() };
                let (decision, answer) = ask(&engine, query, pinned, sampling).await;
                let earlier = known.iter().find(|(other, _)| *other == circumstances).map(|(_, text)| text.clone());
                match (served(&decision), earlier) {
                    (Some(_), earlier) => assert_eq!(earlier.as_ref(), Some(&answer.text)),
                    (None, earlier) => {
                        assert_eq!(earlier, None);
                        known.push((circumstances, answer.text));
                    }
                }
            }
        });
    }
}
