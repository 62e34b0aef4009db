//! Databases that can't be made, opened or understood.

use std::fs;

use burnish_store::SqliteStore;
use burnish_types::{Store, StoreError, Timestamp};
use rusqlite::Connection;

use crate::fixtures::{document, open, request, resolve};

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "not a directory").unwrap();
    let below = file.join("data");
    let error = SqliteStore::open(&below).err().unwrap();
    assert!(
        matches!(&error, StoreError::ReadOnly { path, .. } if *path == below.display().to_string()),
        "{error}"
    );
}

#[test]
fn a_database_that_cannot_be_opened_is_named() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("burnish.db")).unwrap();
    let error = SqliteStore::open(directory.path()).err().unwrap();
    assert!(matches!(&error, StoreError::ReadOnly { path, .. } if path.ends_with("burnish.db")), "{error}");
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("burnish.db");
    let text = "a letter, and not a short one. ".repeat(100);
    fs::write(&file, &text).unwrap();
    let error = SqliteStore::open(directory.path()).err().unwrap();
    assert!(matches!(error, StoreError::Corrupt { what: "header", .. }), "{error}");
    assert_eq!(fs::read_to_string(file).unwrap(), text);
}

#[test]
fn a_database_of_a_newer_program_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let file = open(directory.path()).file().to_owned();
    let connection = Connection::open(&file).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let error = SqliteStore::open(directory.path()).err().unwrap();
    assert!(matches!(error, StoreError::Newer { found: 99, .. }), "{error}");
    let connection = Connection::open(&file).unwrap();
    let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 99);
}

#[test]
fn a_record_that_was_damaged_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let id = request(1);
    resolve(store.record_decision(crate::fixtures::decision(id)).durable).unwrap();
    let added = store.put_documents(vec![document("a", "a", 1, 1)], Timestamp(1)).unwrap().added;
    let connection = Connection::open(store.file()).unwrap();
    connection
        .execute_batch("UPDATE decision SET record = '{}'; UPDATE chunk SET location = '['; UPDATE embedding SET vector = x'00';")
        .unwrap();
    let errors = [
        (resolve(store.decision(id)).unwrap_err(), "a record of a decision in"),
        (store.chunks(&[added[0].id]).unwrap_err(), "a chunk's location in"),
        (store.changes(Default::default(), 10).unwrap_err(), "a vector in"),
    ];
    for (error, expected) in errors {
        assert!(
            matches!(error, StoreError::Corrupt { .. }) && error.to_string().contains(expected),
            "{error}"
        );
    }
}

#[test]
fn a_closed_store_is_one_file() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    store.put_documents(vec![document("a", "a", 1, 1)], Timestamp(1)).unwrap();
    assert_eq!(store.totals().unwrap().documents, 1);
    store.check().unwrap();
    drop(store);
    let files: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files, ["burnish.db"]);
}
