//! Several questions at once: over one shared context where that can be, and never with another's answer.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use burnish_engine::{
    AnswerEvent, Ask, BatchQuestion, BatchVerdict, Batched, Engine, EngineError, EngineSettings,
    IngestOptions, Parts, Pinned, Sampling,
};
use burnish_types::{
    Answerer, BatchState, BoxFuture, LanguageModel, ModelError, ModelEvent, ModelRequest, ModelStream, Query,
    SystemClock, Usage,
};
use futures_util::{StreamExt, stream};
use serde_json::json;

use common::WordVectors;

/// What the model does with several questions.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    /// Answers each.
    Obedient,
    /// Leaves every second one out.
    Forgetful,
    /// Says something that can't be read.
    Garbled,
    /// Fails.
    Failing,
    /// Has no room for the first requests.
    Busy,
}

/// How many requests a [`Manner::Busy`] model has no room for.
const TURNED_AWAY: usize = 3;

/// Answers the question about a room with the passage that names it, as a careful model would, and keeps what it was asked.
struct Reader {
    manner: Manner,
    requests: Mutex<Vec<ModelRequest>>,
}

impl Reader {
    fn new(manner: Manner) -> Arc<Self> {
        Arc::new(Self { manner, requests: Mutex::default() })
    }

    /// The words of all prompts, and how many there were.
    fn asked(&self) -> (usize, usize) {
        let requests = self.requests.lock().unwrap();
        let messages = requests.iter().flat_map(|request| &request.messages);
        (messages.map(|message| message.content.split_whitespace().count()).sum(), requests.len())
    }
}

impl LanguageModel for Reader {
    fn name(&self) -> &str {
        "reader"
    }

    fn stream(&self, request: ModelRequest) -> BoxFuture<'_, Result<ModelStream, ModelError>> {
        let material = request.messages[0].content.clone();
        let asked = request.messages.last().unwrap().content.clone();
        let mut requests = self.requests.lock().unwrap();
        requests.push(request);
        if self.manner == Manner::Busy && requests.len() <= TURNED_AWAY {
            let (model, retry_after) = ("reader".to_owned(), Duration::from_millis(5));
            return Box::pin(async move { Err(ModelError::Busy { model, retry_after }) });
        }
        drop(requests);
        let answer = |question: &str| {
            let room = question.split("room ").nth(1).unwrap().trim_end_matches('?');
            let passage = material.split("\n\n").find(|passage| passage.contains(&format!("Room {room} ")));
            let (number, text) =
                passage.and_then(|passage| passage.split_once(']')).unwrap_or(("[0", "nothing"));
            format!("{} {number}]", text.trim())
        };
        let several = asked.starts_with("Question 1:");
        let text = match (several, self.manner) {
            (false, _) => answer(&asked),
            (true, Manner::Garbled) => "As a model I had rather not.".to_owned(),
            (true, Manner::Failing) => {
                let (model, reason) = ("reader".to_owned(), "away".to_owned());
                return Box::pin(async { Err(ModelError::Unreachable { model, reason }) });
            }
            (true, manner) => {
                let entries: Vec<_> = asked
                    .lines()
                    .enumerate()
                    .filter(|(place, _)| manner != Manner::Forgetful || place % 2 == 0)
                    .map(|(place, line)| json!({"question": place + 1, "answer": answer(line)}))
                    .collect();
                json!({"answers": entries}).to_string()
            }
        };
        let usage = Some(Usage { input_tokens: 1_000, cached_input_tokens: 0, output_tokens: 101 });
        let finished = ModelEvent::Finished { reason: "stop".to_owned(), usage };
        let events: ModelStream = Box::pin(stream::iter([Ok(ModelEvent::Text(text)), Ok(finished)]));
        Box::pin(async { Ok(events) })
    }
}

const ROOMS: usize = 24;

fn open(folder: &Path, model: Arc<Reader>) -> Arc<Engine> {
    open_gathering(folder, model, Duration::ZERO)
}

fn open_gathering(folder: &Path, model: Arc<Reader>, gather: Duration) -> Arc<Engine> {
    let library = folder.join("library");
    std::fs::create_dir_all(&library).unwrap();
    for room in 0..ROOMS {
        let words = ["amber", "birch", "cedar", "delta", "ember", "fjord"][room / 4];
        let text = format!(
            "Room {room} is the {words} room. It seats {} people, has a {words} door, and is booked by the {words} desk.",
            room + 3
        );
        std::fs::write(library.join(format!("room-{room}.txt")), text).unwrap();
    }
    let parts = Parts { embedder: Arc::new(WordVectors), models: vec![model], clock: Arc::new(SystemClock) };
    let mut settings = EngineSettings::new(folder.join("data"));
    settings.batch.gather = gather;
    let engine = Engine::open(settings, parts).unwrap();
    engine.ingest(&[library], IngestOptions::default(), &|_| {}).unwrap();
    engine
}

fn ask(room: usize) -> Ask {
    let query =
        Query { top_k: 6, ..common::question(&format!("How many people are seated in room {room}?")) };
    Ask { query, pinned: Pinned::default(), sampling: Sampling::default() }
}

fn answer_all(engine: &Arc<Engine>, asks: Vec<Ask>) -> Vec<Result<Batched, EngineError>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(engine.answer_batch(asks))
}

/// Whether the answer is that of its own question, cited by its own evidence.
fn is_right(room: usize, batched: &Batched) -> bool {
    let answer = &batched.answer;
    let [citation] = answer.citations.as_slice() else { return false };
    let cited = &answer.evidence[citation.marker as usize - 1];
    batched.decision.query.ends_with(&format!("room {room}?"))
        && answer.text.contains(&format!("Room {room} is"))
        && citation.chunk == cited.chunk
        && cited.text.contains(&format!("Room {room} is"))
}

#[test]
fn every_answer_is_at_its_own_question_whatever_the_model_does() {
    for manner in [Manner::Obedient, Manner::Forgetful, Manner::Garbled, Manner::Failing] {
        let folder = tempfile::tempdir().unwrap();
        let reader = Reader::new(manner);
        let engine = open(folder.path(), Arc::clone(&reader));
        let results = answer_all(&engine, (0..ROOMS).map(ask).collect());
        assert_eq!(results.len(), ROOMS);
        let results: Vec<Batched> = results.into_iter().map(Result::unwrap).collect();
        let wrong: Vec<usize> = (0..ROOMS).filter(|room| !is_right(*room, &results[*room])).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
        let together = results.iter().filter(|batched| batched.together > 1).count();
        let (_, requests) = reader.asked();
        match manner {
            Manner::Obedient => assert!(together == ROOMS && requests <= ROOMS / 4, "{together} {requests}"),
            Manner::Forgetful => assert!((ROOMS / 3..ROOMS).contains(&together), "{together}"),
            Manner::Garbled | Manner::Failing | Manner::Busy => assert_eq!(together, 0),
        }
    }
}

#[test]
fn a_shared_context_takes_fewer_words_than_the_questions_take_alone() {
    let folder = tempfile::tempdir().unwrap();
    let reader = Reader::new(Manner::Obedient);
    let engine = open(folder.path(), Arc::clone(&reader));
    let asks: Vec<Ask> = (0..ROOMS).map(ask).collect();
    for ask in &asks {
        assert!(answer_all(&engine, vec![ask.clone()])[0].is_ok());
    }
    let (alone, _) = reader.asked();
    answer_all(&engine, asks);
    let together = reader.asked().0 - alone;
    assert!(together as f64 <= 0.6 * alone as f64, "{together} of {alone}");
}

#[test]
fn what_a_reply_cost_is_shared_out_to_the_last_token() {
    let folder = tempfile::tempdir().unwrap();
    let reader = Reader::new(Manner::Obedient);
    let engine = open(folder.path(), Arc::clone(&reader));
    let results = answer_all(&engine, (0..7).map(ask).collect());
    let usages = results.iter().map(|result| result.as_ref().unwrap().answer.usage);
    let (read, written) = usages
        .fold((0, 0), |(read, written), usage| (read + usage.input_tokens, written + usage.output_tokens));
    let (_, requests) = reader.asked();
    assert_eq!((read, written), (1_000 * requests as u64, 101 * requests as u64));
}

#[test]
fn tenants_and_filters_never_share_a_context_and_a_bad_question_fails_alone() {
    let folder = tempfile::tempdir().unwrap();
    let reader = Reader::new(Manner::Obedient);
    let engine = open(folder.path(), Arc::clone(&reader));
    let mut asks: Vec<Ask> = (0..8).map(ask).collect();
    for (place, ask) in asks.iter_mut().enumerate() {
        ask.query.user.tenant = (place % 2 == 0).then(|| "acme".to_owned());
    }
    asks[3].query.text = "  ".to_owned();
    asks[5].pinned.answerer = Some(Answerer::Extractive);
    let results = answer_all(&engine, asks);
    assert!(matches!(results[3], Err(EngineError::InvalidQuery(_))));
    let together: Vec<usize> =
        results.iter().map(|result| result.as_ref().map_or(0, |batched| batched.together)).collect();
    assert_eq!(together, [4, 2, 4, 0, 4, 1, 4, 2]);
    let requests = reader.requests.lock().unwrap();
    let mixed = requests.iter().any(|request| {
        let asked = &request.messages[1].content;
        asked.contains("room 0?") && asked.contains("room 1?")
    });
    assert!(!mixed && requests.len() == 2);
}

#[test]
fn questions_that_come_at_one_time_wait_for_each_other_unless_somebody_watches() {
    for manner in [Manner::Obedient, Manner::Garbled] {
        let folder = tempfile::tempdir().unwrap();
        let reader = Reader::new(manner);
        let engine = open_gathering(folder.path(), Arc::clone(&reader), Duration::from_millis(150));
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let answered = |room: usize, whole: bool| {
            let engine = Arc::clone(&engine);
            runtime.spawn(async move {
                let Ask { query, pinned, .. } = ask(room);
                let sampling = Sampling { whole, ..Sampling::default() };
                let mut answering = engine.answer(query, pinned, sampling).await.unwrap();
                let mut text = String::new();
                loop {
                    match answering.events.next().await.unwrap().unwrap() {
                        AnswerEvent::Text(more) => text.push_str(&more),
                        AnswerEvent::Extra(_) => {}
                        AnswerEvent::Done(answer) => {
                            assert_eq!(answer.text, text);
                            return Batched { decision: answering.decision, answer: *answer, together: 1 };
                        }
                    }
                }
            })
        };
        let watched = answered(ROOMS - 1, false);
        let asked: Vec<_> = (0..8).map(|room| answered(room, true)).collect();
        assert!(is_right(ROOMS - 1, &runtime.block_on(watched).unwrap()));
        let alone = reader.asked().1;
        for (room, answer) in asked.into_iter().enumerate() {
            assert!(is_right(room, &runtime.block_on(answer).unwrap()), "room {room}");
        }
        let requests = reader.asked().1 - alone;
        match manner {
            Manner::Obedient => assert!(requests <= 4, "{requests} requests for 8 questions"),
            _ => assert!(requests > 8, "each is asked again alone"),
        }
    }
}

fn describe(error: EngineError) -> (String, String) {
    ("failed".to_owned(), error.to_string())
}

#[test]
fn a_batch_in_the_background_comes_again_where_there_was_no_room() {
    let folder = tempfile::tempdir().unwrap();
    let reader = Reader::new(Manner::Busy);
    let engine = open(folder.path(), Arc::clone(&reader));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let question = |room| BatchQuestion { custom_id: None, model: "reader".to_owned(), ask: ask(room) };
    let standing = runtime.block_on(async {
        let id = engine.start_batch((0..4).map(question).collect(), describe).await.unwrap().id;
        loop {
            let standing = engine.batch(id).await.unwrap().unwrap();
            if standing.state != BatchState::Open {
                return standing;
            }
            tokio::task::yield_now().await;
        }
    });
    assert_eq!((standing.answered, standing.failed), (4, 0));
    assert!(reader.asked().1 > TURNED_AWAY);
}

#[test]
fn a_batch_goes_on_after_the_end_of_the_process_and_asks_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let runtime =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut questions: Vec<BatchQuestion> = (0..90)
        .map(|room| BatchQuestion {
            custom_id: Some(room.to_string()),
            model: "reader".to_owned(),
            ask: ask(room % ROOMS),
        })
        .collect();
    questions[7].ask.query.text = " ".to_owned();
    let id = {
        let engine = open(folder.path(), Reader::new(Manner::Obedient));
        let first = runtime();
        let standing = first.block_on(engine.start_batch(questions, describe)).unwrap();
        first.block_on(async {
            while engine.batch(standing.id).await.unwrap().unwrap().answered == 0 {
                tokio::task::yield_now().await;
            }
        });
        // As at the end of a process: what runs is dropped where it stands.
        first.shutdown_background();
        standing.id
    };
    let second = runtime();
    let reader = Reader::new(Manner::Obedient);
    let engine = loop {
        // The store is free once the last task of the first process is gone.
        let settings = EngineSettings::new(folder.path().join("data"));
        let models: Vec<Arc<dyn LanguageModel>> = vec![reader.clone()];
        let parts = Parts { embedder: Arc::new(WordVectors), models, clock: Arc::new(SystemClock) };
        if let Ok(engine) = Engine::open(settings, parts) {
            break engine;
        }
        std::thread::yield_now();
    };
    let before = second.block_on(engine.batch(id)).unwrap().unwrap();
    assert_eq!(before.state, BatchState::Open);
    second.block_on(async {
        assert_eq!(engine.resume_batches(describe).unwrap(), 1);
        while engine.batch(id).await.unwrap().unwrap().state == BatchState::Open {
            tokio::task::yield_now().await;
        }
    });
    let standing = second.block_on(engine.batch(id)).unwrap().unwrap();
    assert_eq!((standing.state, standing.answered, standing.failed), (BatchState::Completed, 89, 1));
    let asked: usize = reader
        .requests
        .lock()
        .unwrap()
        .iter()
        .map(|request| request.messages[1].content.lines().count())
        .sum();
    assert!(asked <= 90 - before.answered - before.failed, "{asked} after {before:?}");
    let results = second.block_on(engine.batch_results(id, 0, 100)).unwrap();
    for (place, question, verdict) in results {
        assert_eq!(question.custom_id, Some(place.to_string()));
        match verdict {
            BatchVerdict::Answered { request, .. } => {
                let stored = second.block_on(engine.decision(request)).unwrap().unwrap();
                let batched =
                    Batched { decision: stored.decision, answer: stored.answer.unwrap(), together: 1 };
                assert!(is_right(place % ROOMS, &batched), "{place}: {batched:?}");
            }
            BatchVerdict::Failed { message, .. } => {
                assert!(place == 7 && message.contains("empty"), "{message}")
            }
        }
    }
}
