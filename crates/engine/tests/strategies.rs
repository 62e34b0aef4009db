//! Strategies that follow names, ask a language model or look at nothing, over a real store, real indexes and the
//! real client of language models against a server on loopback.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use burnish_engine::{
    AnswerEvent, Engine, EngineError, EngineSettings, IngestOptions, Parts, Pinned, Sampling,
};
use burnish_llm::ModelSettings;
use burnish_types::{Answer, Answerer, LanguageModel, Message, Query, Role, Strategy, SystemClock, Usage};
use futures_util::StreamExt;
use serde_json::{Value, json};

use common::WordVectors;

/// What the model says that it takes, whatever it is asked.
const USED: Usage = Usage { input_tokens: 40, cached_input_tokens: 0, output_tokens: 8 };

/// Passages of which the last ones can only be found through the first, among others about heights and rivers.
const LIBRARY: [(&str, &str); 7] = [
    (
        "Korvath Lantern",
        "The Korvath Lantern is a beacon that stands in Melbrook, and was built by Ada Quillfeather.",
    ),
    ("Melbrook", "Melbrook is a harbour of nine thousand people beside the Ostrel."),
    ("Ada Quillfeather", "Ada Quillfeather was an engineer who died during a journey to Thessaly."),
    ("Lighthouse", "A lighthouse is a tower whose lantern guides ships; most were built before electricity."),
    ("Population", "The population of a town is how many people live in the town."),
    ("Lantern making", "How to build a lantern: the frame that stands, the glass, the population of wicks."),
    ("Town planning", "Where towns stand and how a population grows is what planners of a town study."),
];

fn open(data: &Path, models: Vec<Arc<dyn LanguageModel>>) -> Arc<Engine> {
    let mut settings = EngineSettings::new(data.join("data"));
    settings.planner.policy = "conservative:0".to_owned();
    let parts = Parts { embedder: Arc::new(WordVectors), models, clock: Arc::new(SystemClock) };
    let engine = Engine::open(settings, parts).unwrap();
    let lines: Vec<String> = LIBRARY
        .iter()
        .enumerate()
        .map(|(id, (title, text))| json!({"_id": id.to_string(), "title": title, "text": text}).to_string())
        .collect();
    let file = data.join("library.jsonl");
    fs::write(&file, lines.join("\n")).unwrap();
    let report = engine.ingest(&[file], IngestOptions::default(), &|_| {}).unwrap();
    assert_eq!((report.documents as usize, report.refused.len()), (LIBRARY.len(), 0));
    engine
}

fn question(text: &str) -> Query {
    Query { top_k: 3, ..common::question(text) }
}

fn titles(engine: &Engine, query: &Query, strategy: &str) -> Vec<String> {
    let (evidence, _) = engine.probe(query, &Strategy::new(strategy)).unwrap();
    evidence.into_iter().map(|evidence| evidence.title).collect()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn pinned(strategy: &str) -> Pinned {
    Pinned { strategy: Some(Strategy::new(strategy)), ..Pinned::default() }
}

async fn answer(engine: &Arc<Engine>, query: Query, pinned: Pinned) -> Answer {
    let mut answering = engine.answer(query, pinned, Sampling::default()).await.unwrap();
    while let Some(event) = answering.events.next().await {
        if let AnswerEvent::Done(answer) = event.unwrap() {
            return *answer;
        }
    }
    unreachable!("the answer had no end")
}

/// A model on loopback that says the same words to everyone, and keeps what it was asked.
struct Model {
    model: Arc<dyn LanguageModel>,
    asked: Arc<Mutex<Vec<Value>>>,
}

impl Model {
    fn that_says(status: &'static str, words: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&asked);
        thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                let body = read_body(&mut connection);
                heard.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
                let delta =
                    json!({"choices": [{"index": 0, "delta": {"content": words}, "finish_reason": "stop"}]});
                let usage = json!({"choices": [], "usage": {
                    "prompt_tokens": USED.input_tokens, "completion_tokens": USED.output_tokens}});
                let head = format!(
                    "HTTP/1.1 {status}\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
                );
                let _ = connection.write_all(
                    format!("{head}data: {delta}\n\ndata: {usage}\n\ndata: [DONE]\n\n").as_bytes(),
                );
            }
        });
        let mut settings = ModelSettings::new("small", &url, "small");
        settings.retries.tries = 1;
        Self { model: Arc::new(burnish_llm::Model::new(&settings).unwrap()), asked }
    }

    /// The contents of the messages of the only request so far, which is forgotten.
    fn heard(&self) -> Vec<String> {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap());
        assert_eq!(asked.len(), 1, "{asked:?}");
        let messages = asked[0]["messages"].as_array().unwrap().clone();
        messages.iter().map(|message| message["content"].as_str().unwrap().to_owned()).collect()
    }
}

fn read_body(connection: &mut TcpStream) -> Vec<u8> {
    let mut request = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let read = connection.read(&mut buffer).unwrap();
        request.extend_from_slice(&buffer[..read]);
        let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok())
            .unwrap_or(0);
        if read == 0 || request.len() >= end + 4 + length {
            return request.split_off(end + 4);
        }
    }
}

#[test]
fn names_lead_from_one_passage_to_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path(), Vec::new());
    let query = question("At which water is the beacon called Korvath Lantern?");
    let direct = titles(&engine, &query, "hybrid");
    assert_eq!(direct[0], "Korvath Lantern");
    assert!(!direct.contains(&"Melbrook".to_owned()), "else nothing is shown here: {direct:?}");
    let mut followed = titles(&engine, &query, "decomposed");
    assert_eq!(followed[0], "Korvath Lantern");
    followed.sort();
    assert_eq!(followed, ["Ada Quillfeather", "Korvath Lantern", "Melbrook"]);
    // Without a name to follow it is `hybrid`.
    let plain = question("how does a population grow?");
    assert_eq!(titles(&engine, &plain, "decomposed"), titles(&engine, &plain, "hybrid"));
}

#[test]
fn every_strategy_keeps_its_bounds_and_its_order() {
    let folder = tempfile::tempdir().unwrap();
    let model = Model::that_says("200 OK", "the Ostrel at Melbrook");
    let engine = open(folder.path(), vec![model.model]);
    let texts = ["Who built the Korvath Lantern?", "ostrel", "Ada Quillfeather and Melbrook", "¿?", "灯台"];
    for strategy in engine.strategies() {
        for text in texts {
            for top_k in [1, 4, 50] {
                let (found, _) = engine.probe(&Query { top_k, ..question(text) }, &strategy).unwrap();
                let mut chunks: Vec<_> = found.iter().map(|evidence| evidence.chunk).collect();
                let descending = found.windows(2).all(|pair| pair[0].score >= pair[1].score);
                assert!(found.len() <= top_k && descending, "{strategy} {text:?} {top_k}");
                chunks.sort_unstable();
                chunks.dedup();
                assert_eq!(chunks.len(), found.len(), "{strategy} {text:?} {top_k}");
            }
        }
    }
}

#[test]
fn expansion_finds_what_goes_with_the_best_passages() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path(), Vec::new());
    let query = Query { top_k: 7, ..question("guides ships") };
    let words: Vec<String> = titles(&engine, &query, "sparse");
    assert_eq!(words, ["Lighthouse"], "only one passage has these words");
    let (evidence, _) = engine.probe(&query, &Strategy::new("expanded")).unwrap();
    assert_eq!(evidence[0].title, "Lighthouse");
    let has_words = |title: &str| {
        evidence.iter().any(|e| e.title == title && e.components.iter().any(|(name, _)| name == "bm25"))
    };
    assert!(has_words("Lantern making"), "`lantern` and `built` came from the first passage");
}

#[test]
fn nothing_is_consulted_where_nothing_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let model = Model::that_says("200 OK", "Hello to you, too.");
    let engine = open(folder.path(), vec![Arc::clone(&model.model)]);
    runtime().block_on(async {
        let found = engine.search(question("Hello!"), pinned("none")).await.unwrap();
        assert_eq!((found.answer.evidence.len(), found.answer.found), (0, false));

        let extractive = Pinned { answerer: Some(Answerer::Extractive), ..pinned("none") };
        let quoted = answer(&engine, question("Hello!"), extractive).await;
        assert_eq!((quoted.text.as_str(), quoted.found), ("No documents were consulted.", false));
        assert_eq!(quoted.degraded, None);

        let written = answer(&engine, question("Hello!"), pinned("none")).await;
        assert_eq!((written.text.as_str(), written.found), ("Hello to you, too.", false));
    });
    let heard = model.heard();
    assert!(heard[0].starts_with("No documents were consulted") && !heard[0].contains("[1]"), "{heard:?}");
    assert_eq!(heard[1], "Hello!");
}

#[test]
fn a_model_writes_what_is_searched_for() {
    let folder = tempfile::tempdir().unwrap();
    let model = Model::that_says("200 OK", "Ada Quillfeather died during a journey.");
    let engine = open(folder.path(), vec![Arc::clone(&model.model)]);
    let query = question("how does a population grow?");
    let ada = "Ada Quillfeather".to_owned();
    assert!(!titles(&engine, &query, "hybrid").contains(&ada), "else nothing is shown here");
    for strategy in ["hyde", "rewritten"] {
        assert!(titles(&engine, &query, strategy).contains(&ada), "{strategy}");
        let heard = model.heard();
        assert!(heard[1].ends_with("how does a population grow?"), "{heard:?}");
    }
    let said = Message { role: Role::User, content: "Tell me of the Korvath Lantern.".to_owned() };
    let follow_up = Query { conversation: vec![said], ..query };
    assert_eq!(titles(&engine, &follow_up, "rewritten")[0], ada);
    assert!(model.heard()[1].starts_with("User: Tell me of the Korvath Lantern.\n"));
    // From async code, as the server asks.
    let found = runtime().block_on(engine.search(follow_up.clone(), pinned("rewritten"))).unwrap();
    assert_eq!((&found.answer.evidence[0].title, found.answer.degraded), (&ada, None));
    assert_eq!(found.answer.usage, USED);
    // Two calls, one for the words to search with and one for the answer.
    let twice = Usage {
        input_tokens: 2 * USED.input_tokens,
        cached_input_tokens: 0,
        output_tokens: 2 * USED.output_tokens,
    };
    let written = runtime().block_on(answer(&engine, follow_up, pinned("rewritten")));
    assert_eq!(written.usage, twice);
}

const HOPS: &str =
    "Where was the engineer going who built the beacon that stands in the harbour beside the river Ostrel?";

#[test]
fn a_model_splits_questions_of_several_hops_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let parts = "1. Which beacon stands in Melbrook?\n2. Who built #1?\n3. How did the engineer #2 die?";
    let model = Model::that_says("200 OK", parts);
    let engine = open(folder.path(), vec![Arc::clone(&model.model)]);
    let alone = tempfile::tempdir().unwrap();
    let without = open(alone.path(), Vec::new());
    let ada = "Ada Quillfeather".to_owned();
    assert!(!titles(&without, &question(HOPS), "decomposed").contains(&ada), "else nothing is shown here");
    let found = titles(&engine, &question(HOPS), "decomposed");
    assert!(found.contains(&ada), "{found:?}");
    assert_eq!(model.heard()[1], HOPS);

    let found = runtime().block_on(engine.search(question(HOPS), pinned("decomposed"))).unwrap();
    assert_eq!((found.answer.usage, found.answer.degraded), (USED, None));
    // Nothing is paid for a question of one hop, nor by a strategy that asks nobody.
    let simple = question("What is Melbrook?");
    for (query, strategy) in [(&simple, "decomposed"), (&question(HOPS), "hybrid")] {
        let found = runtime().block_on(engine.search(query.clone(), pinned(strategy))).unwrap();
        assert_eq!(found.answer.usage, Usage::default(), "{strategy}");
    }
    assert_eq!(model.heard().len(), 2, "of the one search above");
}

#[test]
fn a_model_that_fails_is_done_without() {
    let folder = tempfile::tempdir().unwrap();
    let model = Model::that_says("500 Internal Server Error", "");
    let engine = open(folder.path(), vec![Arc::clone(&model.model)]);
    let query = question("Where does the Korvath Lantern stand?");
    for strategy in ["hyde", "rewritten"] {
        let found = runtime().block_on(engine.search(query.clone(), pinned(strategy))).unwrap();
        assert_eq!(found.answer.evidence[0].title, "Korvath Lantern");
        let degraded = found.answer.degraded.unwrap();
        assert!(degraded.contains(strategy) && degraded.contains("`hybrid`"), "{degraded}");
        // Whoever measures wants to know.
        let error = engine.probe(&query, &Strategy::new(strategy)).unwrap_err();
        assert!(error.to_string().contains("in vain"), "{error}");
    }
    // What manages without a model goes on without it.
    let found = runtime().block_on(engine.search(question(HOPS), pinned("decomposed"))).unwrap();
    let alone = tempfile::tempdir().unwrap();
    let expected = titles(&open(alone.path(), Vec::new()), &question(HOPS), "decomposed");
    let found_titles: Vec<String> =
        found.answer.evidence.iter().map(|evidence| evidence.title.clone()).collect();
    assert_eq!((found_titles, found.answer.usage), (expected, Usage::default()));
    let degraded = found.answer.degraded.unwrap();
    assert!(degraded.contains("`decomposed`") && degraded.ends_with("without it"), "{degraded}");
}

#[test]
fn what_needs_a_model_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path(), Vec::new());
    let offered: Vec<String> = engine.strategies().iter().map(Strategy::to_string).collect();
    assert_eq!(offered, ["none", "sparse", "dense", "hybrid", "rrf", "expanded", "decomposed"]);
    for (strategy, expected) in [
        ("hyde", "`hyde` asks a language model, and none is configured: add one under `[[models]]`"),
        ("rewritten", "`rewritten` asks a language model, and none is configured"),
        ("reranked", "the embedding model `word-vectors` has no token embeddings"),
    ] {
        let error = runtime().block_on(engine.search(question("why?"), pinned(strategy))).unwrap_err();
        assert!(matches!(error, EngineError::UnusableStrategy { .. }), "{error:?}");
        assert!(error.to_string().contains(expected), "{error}");
    }
    let model = Model::that_says("200 OK", "words");
    let other = tempfile::tempdir().unwrap();
    let equipped = open(other.path(), vec![model.model]);
    let more: Vec<String> = equipped.strategies().iter().map(Strategy::to_string).collect();
    assert_eq!(more[offered.len()..], ["rewritten", "hyde"]);
}
