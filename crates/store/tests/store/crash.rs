//! A process that is killed while it writes has lost nothing that it was told is stored.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use burnish_store::SqliteStore;
use burnish_types::{Generation, Store, Timestamp};
use rusqlite::Connection;

use crate::fixtures::{answer, decision, document, open, request, resolve, thumb};

const DIRECTORY: &str = "BURNISH_STORE_CRASH_DIRECTORY";
const ROUND: &str = "BURNISH_STORE_CRASH_ROUND";
const ROUNDS: u64 = 10;

/// What the child was told is stored.
#[derive(Default)]
struct Acknowledged {
    /// Key to the last version.
    documents: BTreeMap<String, u64>,
    removed: Vec<String>,
    sources: Vec<(String, String)>,
    /// Numbers of requests with an answer and an outcome.
    requests: Vec<u64>,
    /// Numbers of requests of this round with a decision that was written, though perhaps not synced.
    decisions: Vec<u64>,
}

#[test]
fn whatever_was_acknowledged_survives_kill_9() {
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = Acknowledged::default();
    let mut decisions = 0;
    for round in 0..ROUNDS {
        let child = start(directory.path(), round);
        // Five threads write meanwhile, so the instant is a different one each time.
        read_and_kill(child, 5 + 17 * round, &mut acknowledged);
        check(directory.path(), &acknowledged);
        decisions += acknowledged.decisions.drain(..).len();
    }
    assert!(acknowledged.requests.len() > 10 && acknowledged.documents.len() > 10 && decisions > 10);
}

fn start(directory: &Path, round: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::writes_until_it_is_killed", "--include-ignored", "--nocapture"])
        .env(DIRECTORY, directory)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Kills the child after `lines` durable acknowledgements, and then reads what it said up to its end.
fn read_and_kill(mut child: Child, lines: u64, acknowledged: &mut Acknowledged) {
    let mut seen = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        seen += u64::from(note(&line.unwrap(), acknowledged));
        if seen == lines {
            child.kill().unwrap();
        }
    }
    assert!(!child.wait().unwrap().success());
}

fn note(line: &str, acknowledged: &mut Acknowledged) -> bool {
    // The test harness writes without a newline before the child's first line.
    let Some((_, said)) = line.split_once("stored ") else { return false };
    match *said.split(' ').collect::<Vec<_>>() {
        ["document", key, version, "."] => {
            acknowledged.documents.insert(key.to_owned(), version.parse().unwrap());
        }
        ["removed", key, "."] => acknowledged.removed.push(key.to_owned()),
        ["source", path, hash, "."] => acknowledged.sources.push((path.to_owned(), hash.to_owned())),
        ["decision", number, "."] => {
            acknowledged.decisions.push(number.parse().unwrap());
            // There are many more of these than of all others.
            return false;
        }
        ["request", number, "."] => acknowledged.requests.push(number.parse().unwrap()),
        // Cut off by the kill.
        _ => return false,
    }
    true
}

fn check(directory: &Path, acknowledged: &Acknowledged) {
    let store = open(directory);
    let stored = store.documents(None, usize::MAX).unwrap();
    let stored: BTreeMap<_, _> = stored
        .iter()
        .map(|document| (document.key.as_str(), document.content_hash.parse::<u64>().unwrap()))
        .collect();
    for (key, version) in &acknowledged.documents {
        assert!(stored.get(key.as_str()).is_some_and(|found| found >= version), "{key} {version}");
    }
    assert!(acknowledged.removed.iter().all(|key| !stored.contains_key(key.as_str())));
    for (path, hash) in &acknowledged.sources {
        assert_eq!(store.source_hash(path).unwrap().as_ref(), Some(hash));
    }
    for &number in &acknowledged.requests {
        let found = resolve(store.decision(request(number))).unwrap().unwrap();
        assert_eq!((found.answer, found.outcomes.len()), (Some(answer(number)), 1), "{number}");
    }
    for &number in &acknowledged.decisions {
        let found = resolve(store.decision(request(number))).unwrap();
        assert_eq!(found.map(|found| found.decision), Some(decision(request(number))), "{number}");
    }
    let changes = store.changes(Generation(0), usize::MAX).unwrap();
    let mut added: Vec<_> = changes.added.iter().map(|chunk| chunk.id).collect();
    added.sort_unstable();
    assert_eq!(store.chunk_ids().unwrap(), added);

    let connection = Connection::open(store.file()).unwrap();
    let verdict: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
    assert!(!connection.prepare("PRAGMA foreign_key_check").unwrap().exists([]).unwrap());
}

#[test]
#[ignore = "the child process of the test above"]
fn writes_until_it_is_killed() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let round: u64 = std::env::var(ROUND).unwrap().parse().unwrap();
    let store = open(Path::new(&directory));
    thread::scope(|scope| {
        let store = &store;
        scope.spawn(move || write_documents(store, round));
        for lane in 0..3 {
            scope.spawn(move || write_requests(store, (round * 4 + lane) * 1_000_000));
        }
        scope.spawn(move || write_decisions(store, (round * 4 + 3) * 1_000_000));
    });
}

fn write_documents(store: &SqliteStore, round: u64) {
    for n in 1.. {
        let keys = [format!("shared-{}", n % 3), format!("own-{round}-{n}"), format!("brief-{round}-{n}")];
        let version = round * 1_000_000 + n;
        let batch = keys.iter().map(|key| document(key, key, version, 2)).collect();
        let changes = store.put_documents(batch, Timestamp(n)).unwrap();
        // Not the last one: it may be gone again when the kill comes before that is said.
        keys[..2].iter().for_each(|key| say(&format!("document {key} {version}")));
        store.finish_source(&keys[1], "whole", Timestamp(n)).unwrap();
        say(&format!("source {} whole", keys[1]));
        store.remove_documents(&[changes.added[4].document]).unwrap();
        say(&format!("removed {}", keys[2]));
    }
}

fn write_requests(store: &SqliteStore, first: u64) {
    for number in first.. {
        let id = request(number);
        let recorded = [
            store.record_decision(decision(id)).durable,
            store.record_answer(id, answer(number)),
            store.record_outcomes(vec![thumb(id)]),
        ];
        recorded.into_iter().for_each(|future| resolve(future).unwrap());
        say(&format!("request {number}"));
    }
}

/// Waits for no disk, as a search does.
fn write_decisions(store: &SqliteStore, first: u64) {
    for number in first.. {
        resolve(store.record_decision(decision(request(number))).written).unwrap();
        say(&format!("decision {number}"));
    }
}

/// One line in one write, so that none is cut by another.
fn say(what: &str) {
    std::io::stdout().lock().write_all(format!("stored {what} .\n").as_bytes()).unwrap();
}
