//! The schema's versions, and the steps from each to the next.

use std::path::Path;

use burnish_types::StoreError;
use rusqlite::{Connection, TransactionBehavior};

use crate::fault::{Access, sqlite_error};

/// The `n`th step leads from version `n` to `n + 1`; version 0 is an empty file. A step that was released never changes.
const STEPS: &[&str] = &[
    include_str!("../migrations/1.sql"),
    include_str!("../migrations/2.sql"),
    include_str!("../migrations/3.sql"),
];

/// Brings the database at `file` to the newest version, or says that it is of a newer program.
pub(crate) fn migrate(connection: &mut Connection, file: &Path) -> Result<(), StoreError> {
    apply(connection, file, STEPS)
}

fn apply(connection: &mut Connection, file: &Path, steps: &[&str]) -> Result<(), StoreError> {
    let failed = |error: rusqlite::Error| sqlite_error(&error, file, Access::Write);
    let known = u32::try_from(steps.len()).unwrap_or(u32::MAX);
    while step(connection, steps).map_err(failed)? {}
    let found = version(connection).map_err(failed)?;
    match found > known {
        true => Err(StoreError::Newer { path: file.display().to_string(), found, known }),
        false => Ok(()),
    }
}

/// Takes the next step, where there is one. The version is read under the write lock, so that two processes
/// that open one database do not both take it.
fn step(connection: &mut Connection, steps: &[&str]) -> rusqlite::Result<bool> {
    let found = version(connection)?;
    if steps.len() <= found as usize {
        return Ok(false);
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = version(&transaction)?;
    let Some(sql) = steps.get(found as usize) else { return Ok(false) };
    transaction.execute_batch(sql)?;
    transaction.pragma_update(None, "user_version", found + 1)?;
    transaction.commit()?;
    Ok(true)
}

fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(connection: &Connection) -> Vec<String> {
        let mut statement =
            connection.prepare("SELECT name FROM pragma_table_info('note') ORDER BY cid").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    }

    const FIRST: &str = "CREATE TABLE note (text TEXT NOT NULL); INSERT INTO note VALUES ('kept');";
    const SECOND: &str = "ALTER TABLE note ADD COLUMN author TEXT NOT NULL DEFAULT 'nobody';";

    #[test]
    fn an_older_database_takes_the_steps_that_it_lacks_and_keeps_its_rows() {
        let mut connection = Connection::open_in_memory().unwrap();
        apply(&mut connection, Path::new("x.db"), &[FIRST]).unwrap();
        assert_eq!((version(&connection).unwrap(), columns(&connection)), (1, vec!["text".to_owned()]));
        for _ in 0..2 {
            apply(&mut connection, Path::new("x.db"), &[FIRST, SECOND]).unwrap();
            assert_eq!(version(&connection).unwrap(), 2);
            let row: (String, String) = connection
                .query_row("SELECT text, author FROM note", [], |row| Ok((row.get(0)?, row.get(1)?)))
                .unwrap();
            assert_eq!(row, ("kept".to_owned(), "nobody".to_owned()));
        }
    }

    #[test]
    fn a_newer_database_is_refused_by_name_and_version() {
        let mut connection = Connection::open_in_memory().unwrap();
        apply(&mut connection, Path::new("x.db"), &[FIRST, SECOND]).unwrap();
        let error = apply(&mut connection, Path::new("x.db"), &[FIRST]).unwrap_err();
        assert!(
            matches!(error, StoreError::Newer { found: 2, known: 1, ref path } if path == "x.db"),
            "{error}"
        );
    }

    #[test]
    fn a_step_that_fails_leaves_the_version_before_it() {
        let mut connection = Connection::open_in_memory().unwrap();
        let broken = "ALTER TABLE note ADD COLUMN author TEXT; SELECT * FROM nowhere;";
        apply(&mut connection, Path::new("x.db"), &[FIRST, broken]).unwrap_err();
        assert_eq!((version(&connection).unwrap(), columns(&connection)), (1, vec!["text".to_owned()]));
    }
}
