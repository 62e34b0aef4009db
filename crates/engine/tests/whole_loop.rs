//! The whole loop over a real store and real indexes, with a small deterministic encoder in place of a model.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burnish_engine::{
    AnswerEvent, Answering, Engine, EngineError, EngineSettings, IngestOptions, IngestReport, Parts, Pinned,
    Report, Sampling,
};
use burnish_index::{TantivyIndex, UsearchIndex};
use burnish_types::{
    Answer, Answerer, BoxFuture, ChunkId, Condition, DocumentId, Embedder, Filter, IndexedChunk, Judgement,
    LanguageModel, LexicalIndex, Metadata, MetadataValue, ModelError, ModelEvent, ModelRequest, ModelStream,
    Query, RequestId, Strategy, SystemClock, Usage, UserContext, VectorIndex,
};
use futures_util::{StreamExt, stream};

use common::{DIMENSIONS, WordVectors, question};

/// Says what it was told to, or fails as it was told to.
struct Scripted {
    words: Vec<Result<ModelEvent, &'static str>>,
}

impl LanguageModel for Scripted {
    fn name(&self) -> &str {
        "scripted"
    }

    fn stream(&self, request: ModelRequest) -> BoxFuture<'_, Result<ModelStream, ModelError>> {
        assert!(request.messages[0].content.contains("[1]"), "the passages are numbered");
        let failed = |reason: &str| ModelError::Unreachable {
            model: "scripted".to_owned(),
            reason: reason.to_owned(),
        };
        let words: Vec<_> = self.words.iter().cloned().map(|word| word.map_err(failed)).collect();
        Box::pin(async { Ok(Box::pin(stream::iter(words)) as ModelStream) })
    }
}

fn open(data: &Path, models: Vec<Arc<dyn LanguageModel>>) -> Arc<Engine> {
    let mut settings = EngineSettings::new(data);
    settings.planner.policy = "conservative:0".to_owned();
    settings.answer.smallest_support = 0.3;
    let parts = Parts { embedder: Arc::new(WordVectors), models, clock: Arc::new(SystemClock) };
    Engine::open(settings, parts).unwrap()
}

fn ingest(engine: &Engine, paths: &[PathBuf]) -> IngestReport {
    engine.ingest(paths, IngestOptions::default(), &|_| {}).unwrap()
}

fn write_library(folder: &Path) -> PathBuf {
    let library = folder.join("library");
    fs::create_dir_all(&library).unwrap();
    fs::write(
        library.join("caching.md"),
        "# Caching\n\nAnswers are remembered here.\n\n## Expiry\n\nCached answers expire after thirty minutes of silence. \
         An expired answer is never served again to anybody.\n",
    )
    .unwrap();
    fs::write(library.join("billing.txt"), "Invoices are sent on the first Monday of every month by post.")
        .unwrap();
    fs::write(library.join("rooms.csv"), "room,floor\nAtlas,third\nBorealis,fourth\n").unwrap();
    library
}

async fn whole(mut answering: Answering) -> (String, Result<Answer, EngineError>) {
    let mut text = String::new();
    while let Some(event) = answering.events.next().await {
        match event {
            Ok(AnswerEvent::Text(piece)) => text.push_str(&piece),
            Ok(AnswerEvent::Extra(_)) => {}
            Ok(AnswerEvent::Done(answer)) => return (text, Ok(*answer)),
            Err(error) => return (text, Err(error)),
        }
    }
    panic!("the answer had no end after {text:?}")
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[test]
fn a_question_is_answered_judged_and_learned_from() {
    let folder = tempfile::tempdir().unwrap();
    let library = write_library(folder.path());
    let data = folder.path().join("data");
    let judged = {
        let engine = open(&data, Vec::new());
        let report = ingest(&engine, std::slice::from_ref(&library));
        assert_eq!((report.documents, report.refused.len()), (3, 0));
        runtime().block_on(async {
            let answering = engine
                .answer(question("When do cached answers expire?"), Pinned::default(), Sampling::default())
                .await
                .unwrap();
            let id = answering.decision.id;
            let (text, answer) = whole(answering).await;
            let answer = answer.unwrap();
            assert_eq!(text, answer.text);
            assert!(text.contains("expire after thirty minutes"), "{text}");
            let citation = &answer.citations[0];
            let evidence = answer.evidence.iter().find(|evidence| evidence.chunk == citation.chunk).unwrap();
            assert!(evidence.document_key.ends_with("caching.md"));
            assert_eq!(evidence.location.headings, ["Expiry"]);

            engine
                .feedback(Report {
                    comment: Some("just so".to_owned()),
                    ..Report::new(id, Judgement::Thumb { up: true })
                })
                .await
                .unwrap();
            engine
                .feedback(Report::new(id, Judgement::Passage { chunk: citation.chunk, correct: true }))
                .await
                .unwrap();
            let stored = engine.decision(id).await.unwrap().unwrap();
            // Beside the two reports, the engine's own on how well the answer is supported.
            assert_eq!(stored.outcomes.len(), 3);
            assert_eq!(stored.answer.unwrap().text, text);
            let total: f64 = stored.decision.candidates.iter().map(|candidate| candidate.propensity).sum();
            assert!((total - 1.0).abs() < 1e-9);

            let elsewhere = engine
                .answer(
                    question("Which whales sing underwater symphonies?"),
                    Pinned::default(),
                    Sampling::default(),
                )
                .await
                .unwrap();
            let (text, answer) = whole(elsewhere).await;
            assert!(!answer.unwrap().found && text.starts_with("I don't find that"), "{text}");
        });
        engine.learned()
    };
    // The process ended without closing: everything is folded again from the log.
    let engine = open(&data, Vec::new());
    let again: Vec<_> = engine
        .learned()
        .into_iter()
        .map(|(strategy, learned)| (strategy, learned.quality, learned.outcomes))
        .collect();
    let before: Vec<_> =
        judged.into_iter().map(|(strategy, learned)| (strategy, learned.quality, learned.outcomes)).collect();
    assert_eq!(again, before);
    let outcomes =
        |learned: &[(Strategy, f64, u64)]| learned.iter().map(|(.., outcomes)| outcomes).sum::<u64>();
    assert_eq!(outcomes(&again), 1, "all reports on a request are one outcome");
    engine.close().unwrap();
    drop(engine);
    let reopened = open(&data, Vec::new());
    assert_eq!(
        reopened.learned().iter().map(|(_, learned)| learned.outcomes).sum::<u64>(),
        1,
        "from the snapshot"
    );
}

#[test]
fn files_are_skipped_replaced_and_pruned() {
    let folder = tempfile::tempdir().unwrap();
    let library = write_library(folder.path());
    let engine = open(&folder.path().join("data"), Vec::new());
    let all = std::slice::from_ref(&library);
    ingest(&engine, all);
    let again = ingest(&engine, all);
    assert_eq!((again.documents, again.unchanged), (0, 3));

    fs::write(
        library.join("billing.txt"),
        "Invoices are sent by carrier pigeon on Fridays, weather permitting.",
    )
    .unwrap();
    fs::remove_file(library.join("rooms.csv")).unwrap();
    fs::write(library.join("broken.pdf"), b"%PDF-1.7 and nothing more").unwrap();
    let report = engine.ingest(all, IngestOptions { prune: true }, &|_| {}).unwrap();
    assert_eq!((report.documents, report.unchanged, report.removed), (1, 1, 1));
    assert_eq!(report.refused.len(), 1);
    assert!(report.refused[0].path.ends_with("broken.pdf"), "{:?}", report.refused);

    let find = |text: &str| {
        let answered = runtime().block_on(engine.search(question(text), Pinned::default())).unwrap();
        answered.answer.evidence.iter().map(|evidence| evidence.text.clone()).collect::<Vec<_>>().join("\n")
    };
    assert!(find("carrier pigeon").contains("pigeon"));
    assert!(!find("invoices Monday month post").contains("Monday"), "the old text is gone");
    assert!(!find("Borealis fourth floor").contains("Borealis"), "the pruned file is gone");
    assert!(engine.agreement().unwrap().holds());
}

#[test]
fn indexes_that_are_lost_are_built_anew() {
    let folder = tempfile::tempdir().unwrap();
    let library = write_library(folder.path());
    let data = folder.path().join("data");
    ingest(&open(&data, Vec::new()), &[library]);
    for lost in [&["lexical"][..], &["vectors"], &["lexical", "vectors"]] {
        lost.iter().for_each(|name| fs::remove_dir_all(data.join(name)).unwrap());
        let engine = open(&data, Vec::new());
        let agreement = engine.agreement().unwrap();
        assert!(agreement.holds() && agreement.chunks > 0, "{lost:?}: {agreement:?}");
        let answered =
            runtime().block_on(engine.search(question("cached answers expire"), Pinned::default())).unwrap();
        assert!(answered.answer.evidence[0].document_key.ends_with("caching.md"));
    }
}

/// The files below `folder`.
fn files_of(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.flat_map(|path| if path.is_dir() { files_of(&path) } else { vec![path] });
    files.collect()
}

fn copy(from: &Path, to: &Path) {
    for file in files_of(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&file, &target).unwrap();
    }
}

#[test]
fn a_damaged_lexical_index_is_built_anew() {
    let folder = tempfile::tempdir().unwrap();
    let library = write_library(folder.path());
    let whole = folder.path().join("whole");
    let chunks = {
        let engine = open(&whole, Vec::new());
        ingest(&engine, &[library]);
        engine.close().unwrap();
        engine.agreement().unwrap().chunks
    };
    let files = files_of(&whole.join("lexical"));
    let names = files.iter().map(|file| file.strip_prefix(&whole).unwrap());
    let names: Vec<_> = names.filter(|name| !name.to_string_lossy().ends_with(".lock")).collect();
    assert!(names.len() > 5, "{names:?}");
    for name in names {
        for damage in ["cut", "one bit"] {
            let data = tempfile::tempdir().unwrap();
            copy(&whole, data.path());
            let mut bytes = fs::read(data.path().join(name)).unwrap();
            let middle = bytes.len() / 2;
            match damage {
                "cut" => bytes.truncate(middle),
                _ => bytes[middle] ^= 4,
            }
            fs::write(data.path().join(name), bytes).unwrap();
            let engine = open(data.path(), Vec::new());
            let agreement = engine.agreement().unwrap();
            assert!(agreement.holds() && agreement.chunks == chunks, "{name:?} {damage}: {agreement:?}");
            let (evidence, _) =
                engine.probe(&question("cached answers expire"), &Strategy::new("sparse")).unwrap();
            assert!(evidence[0].document_key.ends_with("caching.md"), "{name:?} {damage}");
        }
    }
}

#[test]
fn an_index_that_differs_from_the_store_is_built_anew() {
    let folder = tempfile::tempdir().unwrap();
    let library = write_library(folder.path());
    let data = folder.path().join("data");
    {
        let engine = open(&data, Vec::new());
        ingest(&engine, &[library]);
        engine.close().unwrap();
    }
    let surplus = IndexedChunk {
        id: ChunkId(999),
        document: DocumentId(999),
        heading: String::new(),
        text: "cached answers expire never".to_owned(),
        metadata: Metadata::default(),
        embedding: WordVectors.embed(&["cached answers expire never"]).unwrap().remove(0),
    };
    let (surplus, missing) = ([surplus], [ChunkId(1), ChunkId(2)]);
    let changes: [(&[IndexedChunk], &[ChunkId]); 2] = [(&surplus, &[]), (&[], &missing)];
    for (added, removed) in changes {
        for engine_name in ["lexical", "vectors"] {
            let lexical = Arc::new(TantivyIndex::open(&data.join("lexical")).unwrap());
            if engine_name == "lexical" {
                lexical.apply(added, removed).unwrap();
                lexical.commit(lexical.generation()).unwrap();
            } else {
                let resolve = Arc::new(move |filter: &Filter| lexical.matching(filter));
                let vectors = UsearchIndex::open(&data.join("vectors"), DIMENSIONS, resolve).unwrap();
                vectors.apply(added, removed).unwrap();
                vectors.commit(vectors.generation()).unwrap();
            }
            let engine = open(&data, Vec::new());
            let agreement = engine.agreement().unwrap();
            assert!(agreement.holds() && agreement.chunks > 2, "{engine_name}: {agreement:?}");
            for strategy in ["sparse", "dense"] {
                let asked = question("cached answers expire");
                let (evidence, _) = engine.probe(&asked, &Strategy::new(strategy)).unwrap();
                assert!(evidence[0].document_key.ends_with("caching.md"), "{strategy}: {evidence:?}");
            }
        }
    }
}

#[test]
fn what_cannot_be_asked_is_an_error_that_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(&folder.path().join("data"), Vec::new());
    runtime().block_on(async {
        let strategy = |name: &str| Pinned { strategy: Some(Strategy::new(name)), ..Pinned::default() };
        let model = Pinned { answerer: Some(Answerer::Model("gpt".to_owned())), ..Pinned::default() };
        let search = |text: &'static str, pinned| engine.search(question(text), pinned);
        assert!(matches!(search(" \n", Pinned::default()).await, Err(EngineError::InvalidQuery(_))));
        assert!(matches!(search("x", strategy("magic")).await, Err(EngineError::UnknownStrategy { name, .. }) if name == "magic"));
        // The encoder of this test has no token embeddings.
        assert!(matches!(search("x", strategy("reranked")).await, Err(EngineError::UnusableStrategy { .. })));
        let answered = engine.answer(question("x"), model, Sampling::default()).await;
        assert!(matches!(answered.err(), Some(EngineError::UnknownModel { .. })));
        let nobody = RequestId::from_parts(1, 1);
        let thumb = Judgement::Thumb { up: true };
        assert!(matches!(engine.feedback(Report::new(nobody, thumb)).await, Err(EngineError::UnknownRequest(id)) if id == nobody));
        let found = search("anything", Pinned::default()).await.unwrap();
        let id = found.decision.id;
        assert!(found.answer.evidence.is_empty());
        for value in [-0.1, 1.1, f64::NAN] {
            let outcome = engine.feedback(Report::new(id, Judgement::Score { value })).await;
            assert!(matches!(outcome, Err(EngineError::InvalidFeedback(_))), "{value}");
        }
        let passage = Judgement::Passage { chunk: ChunkId(99), correct: true };
        assert!(matches!(engine.feedback(Report::new(id, passage)).await, Err(EngineError::UnknownChunk { .. })));
    });
}

#[test]
fn a_data_directory_belongs_to_one_process_and_one_encoder() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let first = open(&data, Vec::new());
    let parts =
        || Parts { embedder: Arc::new(WordVectors), models: Vec::new(), clock: Arc::new(SystemClock) };
    let second = Engine::open(EngineSettings::new(&data), parts()).err().unwrap().to_string();
    assert!(second.contains("in use by another burnish"), "{second}");
    drop(first);
    fs::write(data.join("encoding.json"), r#"{"embedding_model":"another","dimensions":3}"#).unwrap();
    let other = Engine::open(EngineSettings::new(&data), parts()).err().unwrap().to_string();
    assert!(other.contains("embedded with `another`"), "{other}");
    // Root may write anywhere, but not below a file.
    let below = data.join("encoding.json").join("data");
    let unwritable = Engine::open(EngineSettings::new(below), parts()).err().unwrap().to_string();
    assert!(unwritable.contains("cannot be made"), "{unwritable}");
}

#[test]
fn filters_hold_for_every_strategy() {
    let folder = tempfile::tempdir().unwrap();
    let library = write_library(folder.path());
    let engine = open(&folder.path().join("data"), Vec::new());
    ingest(&engine, &[library]);
    let only = Condition::Equals("format".to_owned(), MetadataValue::Text("csv".to_owned()));
    for strategy in engine.strategies() {
        if !engine.consults_documents(&strategy) {
            continue;
        }
        let query =
            Query { filter: Filter { all: vec![only.clone()] }, ..question("cached answers room Atlas") };
        let (evidence, _) = engine.probe(&query, &strategy).unwrap();
        assert!(
            !evidence.is_empty() && evidence.iter().all(|found| found.document_key.ends_with("rooms.csv")),
            "{strategy}"
        );
    }
}

#[test]
fn models_answer_degrade_and_break_off() {
    let text = |words: &str| Ok(ModelEvent::Text(words.to_owned()));
    let usage = Usage { input_tokens: 30, output_tokens: 4, ..Usage::default() };
    let end = Ok(ModelEvent::Finished { reason: "length".to_owned(), usage: Some(usage) });
    let folder = tempfile::tempdir().unwrap();
    let library = write_library(folder.path());
    let answer = |words: Vec<Result<ModelEvent, &'static str>>| {
        let engine = open(&folder.path().join("data"), vec![Arc::new(Scripted { words })]);
        ingest(&engine, std::slice::from_ref(&library));
        runtime().block_on(async {
            let asked = question("When do cached answers expire?");
            let answering = engine.answer(asked, Pinned::default(), Sampling::default()).await.unwrap();
            whole(answering).await
        })
    };
    let (words, whole) = answer(vec![text("After thirty "), text("minutes [1]."), end]);
    let whole = whole.unwrap();
    assert_eq!(words, "After thirty minutes [1].");
    assert_eq!((whole.citations.len(), whole.usage, whole.finish_reason.as_str()), (1, usage, "length"));
    assert_eq!((whole.found, whole.degraded), (true, None));

    let (words, whole) = answer(vec![Err("nobody there")]);
    assert!(words.contains("thirty minutes") && whole.unwrap().degraded.unwrap().contains("scripted"));

    let (words, whole) = answer(vec![text("After "), Err("cut")]);
    assert_eq!(words, "After ");
    assert!(matches!(whole, Err(EngineError::Model(_))));

    let (_, whole) = answer(vec![text("I don't find that in your documents.")]);
    assert!(!whole.unwrap().found);
}

#[test]
fn what_people_confirmed_rises_until_it_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let library = write_library(folder.path());
    let data = folder.path().join("data");
    let engine = open(&data, Vec::new());
    ingest(&engine, std::slice::from_ref(&library));
    let asked_by = |user: &str, tenant: Option<&str>, text: &str| Query {
        user: UserContext {
            user: Some(user.to_owned()),
            tenant: tenant.map(str::to_owned),
            ..UserContext::default()
        },
        ..question(text)
    };
    let search = |engine: &Arc<Engine>, query: Query| {
        runtime().block_on(engine.search(query, Pinned::default())).unwrap()
    };
    let place = |evidence: &[burnish_types::Evidence], ending: &str| {
        evidence.iter().position(|passage| passage.document_key.ends_with(ending))
    };
    let text = "When do cached answers expire in the office?";
    let again = "When do cached answers expire in this office?";
    let before = search(&engine, asked_by("ada", None, text));
    assert_ne!(place(&before.answer.evidence, "rooms.csv"), Some(0));
    let rooms = engine.probe(&question("room floor Atlas"), &Strategy::new("sparse")).unwrap().0[0].chunk;
    let judgement = Judgement::Passage { chunk: rooms, correct: true };
    let report = Report::new(before.decision.id, judgement);
    runtime().block_on(engine.feedback(report.clone())).unwrap();
    let foreign = Report { tenant: Some("acme".to_owned()), ..report };
    let refused = runtime().block_on(engine.feedback(foreign));
    assert!(matches!(refused, Err(EngineError::UnknownRequest(_))), "{refused:?}");

    let lifted = |engine: &Arc<Engine>, query: Query| {
        let evidence = search(engine, query).answer.evidence;
        evidence.into_iter().find(|passage| passage.chunk == rooms).and_then(|passage| passage.lifted)
    };
    let after = search(&engine, asked_by("bob", None, again)).answer.evidence;
    assert_eq!(place(&after, "rooms.csv"), Some(0), "{after:?}");
    let why = after[0].lifted.clone().unwrap();
    assert_eq!((why.confirmed_by, why.rejected_by), (1, 0));
    assert_eq!(why.question, text.to_lowercase());
    assert_eq!(lifted(&engine, asked_by("bob", Some("acme"), again)), None, "another tenant's");
    assert_eq!(lifted(&engine, question("Invoices by post")), None, "another matter");
    let elsewhere = Condition::Equals("format".to_owned(), MetadataValue::Text("text".to_owned()));
    let filtered = Query { filter: Filter { all: vec![elsewhere] }, ..asked_by("bob", None, again) };
    assert!(search(&engine, filtered).answer.evidence.iter().all(|found| found.chunk != rooms));
    drop(engine);

    let engine = open(&data, Vec::new());
    assert_eq!(lifted(&engine, asked_by("bob", None, again)), Some(why), "folded again from the log");
    assert_eq!(runtime().block_on(engine.forget_user(None, "ada".to_owned())).unwrap(), 1);
    assert_eq!(lifted(&engine, asked_by("bob", None, again)), None, "forgotten with its reporter");

    let report = Report {
        user: Some("bob".to_owned()),
        ..Report::new(before.decision.id, Judgement::Passage { chunk: rooms, correct: true })
    };
    runtime().block_on(engine.feedback(report)).unwrap();
    assert!(lifted(&engine, asked_by("bob", None, again)).is_some());
    fs::remove_file(library.join("rooms.csv")).unwrap();
    engine.ingest(&[library], IngestOptions { prune: true }, &|_| {}).unwrap();
    assert_eq!(lifted(&engine, asked_by("bob", None, again)), None, "gone with its document");
}

#[test]
fn what_was_confirmed_outlives_an_edit_elsewhere_in_its_document() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("handbook.md"));
    let write = |title: &str, keys: &str, wages: &str| {
        fs::write(&file, format!("# {title}\n\n## Keys\n\n{keys}\n\n## Wages\n\n{wages}\n")).unwrap();
    };
    let keys = "The porter keeps the spare keys of every room in a grey box.";
    let wages = "Wages are paid on the last working day of a month.";
    write("Handbook", keys, wages);
    let engine = open(&data, Vec::new());
    assert!(ingest(&engine, std::slice::from_ref(&file)).chunks > 1);
    let asked = question("Whom do I ask about a locked door?");
    let search =
        |engine: &Arc<Engine>| runtime().block_on(engine.search(asked.clone(), Pinned::default())).unwrap();
    let found = search(&engine);
    let about_keys = found.answer.evidence.iter().find(|passage| passage.text.contains("porter")).unwrap();
    let judgement = Judgement::Passage { chunk: about_keys.chunk, correct: true };
    runtime().block_on(engine.feedback(Report::new(found.decision.id, judgement))).unwrap();
    let lifted = |engine: &Arc<Engine>| {
        let evidence = search(engine).answer.evidence;
        let passage = evidence.into_iter().find(|passage| passage.text.contains("porter")).unwrap();
        (passage.chunk, passage.lifted.map(|lifted| lifted.confirmed_by))
    };
    let confirmed = (about_keys.chunk, Some(1));
    assert_eq!(lifted(&engine), confirmed);

    write("Handbook", keys, "Wages are paid twice a month.");
    assert_eq!(ingest(&engine, std::slice::from_ref(&file)).documents, 1);
    assert_eq!(lifted(&engine), confirmed, "unchanged in an edited document");
    assert!(engine.agreement().unwrap().holds());
    // Nothing of the last state is left: what is known comes from the log and the store.
    drop(engine);
    fs::remove_dir_all(data.join("lexical")).unwrap();
    fs::remove_dir_all(data.join("vectors")).unwrap();
    let engine = open(&data, Vec::new());
    assert_eq!(runtime().block_on(engine.forget_user(None, "nobody".to_owned())).unwrap(), 0);
    assert_eq!(lifted(&engine), confirmed, "folded again");

    write("Handbook", "The porter keeps no keys.", wages);
    ingest(&engine, std::slice::from_ref(&file));
    let (chunk, confirmed_by) = lifted(&engine);
    assert_eq!((chunk == about_keys.chunk, confirmed_by), (false, None), "another text is another passage");
}

#[test]
fn reports_without_end_are_refused_at_some_point() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(&folder.path().join("data"), Vec::new());
    runtime().block_on(async {
        let id = engine.search(question("anything"), Pinned::default()).await.unwrap().decision.id;
        let mut taken = 0;
        let refusal = loop {
            match engine.feedback(Report::new(id, Judgement::Thumb { up: true })).await {
                Ok(_) => taken += 1,
                Err(error) => break error,
            }
        };
        assert!(taken >= 100 && matches!(refusal, EngineError::InvalidFeedback(_)), "{taken}: {refusal}");
    });
}
