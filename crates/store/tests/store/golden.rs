//! Databases of every version so far are opened, migrated and read whole.

use std::fs;
use std::path::{Path, PathBuf};

use burnish_types::{
    BatchResult, ChunkId, DocumentId, Generation, Judgement, Outcome, Store, StoredDecision, Timestamp,
    Totals,
};
use rusqlite::Connection;

use crate::fixtures::{answer, decision, document, open, outcome, request, resolve, thumb};

const CURRENT: u32 = 3;

fn golden(version: u32) -> PathBuf {
    PathBuf::from(format!("tests/golden/v{version}.db.sql"))
}

fn outcomes() -> Vec<Outcome> {
    let (first, second) = (request(1), request(2));
    vec![
        thumb(first),
        outcome(second, Judgement::Score { value: 0.25 }),
        outcome(first, Judgement::Passage { chunk: ChunkId(3), correct: true }),
    ]
}

/// Writes the rows that every golden file holds.
fn fill(store: &dyn Store) {
    let batch = vec![
        document("a.md", "a.md", 1, 3),
        document("b.jsonl#1", "b.jsonl", 1, 2),
        document("c", "c", 1, 1),
    ];
    store.put_documents(batch, Timestamp(100)).unwrap();
    store.put_documents(vec![document("b.jsonl#1", "b.jsonl", 2, 3)], Timestamp(200)).unwrap();
    store.remove_documents(&[DocumentId(3)]).unwrap();
    store.finish_source("a.md", "hash of a", Timestamp(300)).unwrap();
    for id in [request(1), request(2)] {
        resolve(store.record_decision(decision(id)).durable).unwrap();
    }
    resolve(store.record_answer(request(1), answer(7))).unwrap();
    resolve(store.record_outcomes(outcomes())).unwrap();
    store.put_snapshot("mean", 2, &[1, 2, 3]).unwrap();
    resolve(store.put_batch(request(3), Timestamp(400), 2, "[1, 2]".to_owned())).unwrap();
    resolve(store.put_batch_result(request(3), batch_result())).unwrap();
    store.put_register("prompts", "{\"kept\": true}").unwrap();
}

fn batch_result() -> BatchResult {
    BatchResult { place: 1, failed: true, record: "\"no\"".to_owned() }
}

/// Reads all of them, as far as a database of `version` holds them.
fn check(store: &dyn Store, version: u32) {
    let totals = Totals { documents: 2, chunks: 6, decisions: 2, outcomes: 3 };
    assert_eq!((store.totals().unwrap(), store.generation().unwrap()), (totals, Generation(3)));
    for (id, (draft, embeddings), at) in
        [(1, document("a.md", "a.md", 1, 3), 100), (2, document("b.jsonl#1", "b.jsonl", 2, 3), 200)]
    {
        let stored = store.document(DocumentId(id)).unwrap().unwrap();
        assert_eq!((stored.key, stored.source, stored.title), (draft.key, draft.source, draft.title));
        assert_eq!((stored.format, stored.metadata), (draft.format, draft.metadata));
        assert_eq!((stored.content_hash, stored.stored_at), (draft.content_hash, Timestamp(at)));
        let chunks = store.document_chunks(DocumentId(id)).unwrap();
        assert_eq!(chunks.len(), draft.chunks.len());
        for (chunk, expected) in chunks.iter().zip(draft.chunks) {
            assert_eq!(
                (&chunk.text, &chunk.location, chunk.tokens),
                (&expected.text, &expected.location, expected.tokens)
            );
        }
        let changes = store.changes(Generation(0), 100).unwrap();
        let stored = changes.added.into_iter().filter(|chunk| chunk.document == DocumentId(id));
        assert_eq!(stored.map(|chunk| chunk.embedding).collect::<Vec<_>>(), embeddings);
    }
    let removed = store.changes(Generation(1), 100).unwrap().removed;
    assert_eq!(removed, [4, 5, 6].map(ChunkId));
    assert_eq!(store.source_hash("a.md").unwrap().as_deref(), Some("hash of a"));
    assert_eq!(store.sources().unwrap(), ["a.md", "b.jsonl"]);

    let outcomes = outcomes();
    let log = store.outcome_log(0, 100).unwrap().into_iter();
    let log: Vec<_> = log.map(|logged| (logged.position, logged.outcome, logged.decision)).collect();
    let expected = outcomes.iter().cloned().zip(1..).map(|(outcome, place)| {
        let decision = decision(outcome.request);
        (place, outcome, decision)
    });
    assert_eq!(log, expected.collect::<Vec<_>>());
    let expected = StoredDecision {
        decision: decision(request(1)),
        answer: Some(answer(7)),
        outcomes: vec![outcomes[0].clone(), outcomes[2].clone()],
    };
    assert_eq!(resolve(store.decision(request(1))).unwrap(), Some(expected));
    assert_eq!(store.snapshot("mean").unwrap(), Some((2, vec![1, 2, 3])));
    if version >= 2 {
        assert_eq!(store.open_batches().unwrap(), [request(3)]);
        assert_eq!(store.batch_record(request(3)).unwrap().as_deref(), Some("[1, 2]"));
        assert_eq!(store.batch_results(request(3), 0, 9).unwrap(), [batch_result()]);
        let standing = store.batch_standing(request(3)).unwrap().unwrap();
        assert_eq!((standing.at, standing.questions, standing.failed), (Timestamp(400), 2, 1));
    }
    let kept = (version >= 3).then(|| "{\"kept\": true}".to_owned());
    assert_eq!(store.register("prompts").unwrap(), kept);
}

#[test]
fn databases_of_every_version_are_read_and_written_on() {
    for version in 1..=CURRENT {
        let directory = tempfile::tempdir().unwrap();
        let connection = Connection::open(directory.path().join("burnish.db")).unwrap();
        connection.execute_batch(&fs::read_to_string(golden(version)).unwrap()).unwrap();
        drop(connection);

        let store = open(directory.path());
        check(&store, version);
        let added = store.put_documents(vec![document("new", "new", 1, 1)], Timestamp(1)).unwrap().added;
        assert!(added[0].document > DocumentId(3) && added[0].id > ChunkId(9), "an id was used twice");
        let found: u32 = Connection::open(store.file())
            .unwrap()
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .unwrap();
        assert_eq!(found, CURRENT);
    }
}

#[test]
fn the_golden_file_of_this_version_is_what_this_code_writes() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    fill(&store);
    check(&store, CURRENT);
    let file = store.file().to_owned();
    drop(store);
    let dump = dump(&file);
    if std::env::var_os("BURNISH_BLESS").is_some() {
        fs::write(golden(CURRENT), &dump).unwrap();
    }
    let golden = fs::read_to_string(golden(CURRENT)).unwrap();
    assert!(
        dump == golden,
        "the schema or the records changed: add a step to the schema, a golden file, and a version"
    );
}

/// A database as SQL.
fn dump(file: &Path) -> String {
    let connection = Connection::open(file).unwrap();
    let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    let mut lines = vec![format!("PRAGMA user_version = {version};"), "BEGIN;".to_owned()];
    let (tables, indexes): (Vec<_>, Vec<_>) = rows(
        &connection,
        "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name != 'sqlite_sequence' ORDER BY rowid",
    )
    .into_iter()
    .partition(|row| row[0] == "table");
    lines.extend(tables.iter().map(|row| format!("{};", row[2])));
    lines.extend(tables.iter().flat_map(|row| inserts(&connection, &row[1])));
    // The rows above have made some of these already.
    lines.push("DELETE FROM sqlite_sequence;".to_owned());
    lines.extend(inserts(&connection, "sqlite_sequence"));
    lines.extend(indexes.iter().map(|row| format!("{};", row[2])));
    lines.push("COMMIT;\n".to_owned());
    lines.join("\n")
}

fn inserts(connection: &Connection, table: &str) -> Vec<String> {
    let columns = rows(connection, &format!("SELECT name FROM pragma_table_info('{table}')")).concat();
    let values: Vec<_> = columns.iter().map(|column| format!("quote({column})")).collect();
    let values = rows(connection, &format!("SELECT {} FROM {table} ORDER BY 1", values.join(", ")));
    let insert = |row: Vec<String>| format!("INSERT INTO {table} VALUES ({});", row.join(", "));
    values.into_iter().map(insert).collect()
}

fn rows(connection: &Connection, sql: &str) -> Vec<Vec<String>> {
    let mut statement = connection.prepare(sql).unwrap();
    let width = statement.column_count();
    let row = |row: &rusqlite::Row<'_>| (0..width).map(|column| row.get(column)).collect();
    statement.query_map([], row).unwrap().collect::<Result<_, _>>().unwrap()
}
