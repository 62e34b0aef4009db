//! Sources: the files that documents come from, and whether all of a file is stored.

use burnish_types::{DocumentId, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use crate::fault::Fault;

/// The content hash that `source` had when all of it was last stored.
pub(crate) fn hash(connection: &Connection, source: &str) -> Result<Option<String>, Fault> {
    let mut statement = connection.prepare_cached("SELECT content_hash FROM source WHERE path = ?1")?;
    Ok(statement.query_row([source], |row| row.get(0)).optional()?)
}

/// Id, key and content hash of each document of `source`, in the order of their ids.
pub(crate) fn documents(
    connection: &Connection,
    source: &str,
) -> Result<Vec<(DocumentId, String, String)>, Fault> {
    let sql = "SELECT id, key, content_hash FROM document WHERE source = ?1 ORDER BY id";
    let mut statement = connection.prepare_cached(sql)?;
    let rows =
        statement.query_map([source], |row| Ok((DocumentId(row.get(0)?), row.get(1)?, row.get(2)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Every source that was stored, wholly or in part.
pub(crate) fn all(connection: &Connection) -> Result<Vec<String>, Fault> {
    let mut statement =
        connection.prepare_cached("SELECT path FROM source UNION SELECT source FROM document")?;
    let rows = statement.query_map([], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Notes that all of `source` is stored.
pub(crate) fn finish(connection: &Connection, source: &str, hash: &str, at: Timestamp) -> Result<(), Fault> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO source (path, content_hash, stored_at) VALUES (?1, ?2, ?3)")?
        .execute(params![source, hash, at.0])?;
    Ok(())
}

/// Notes that `source` is not wholly stored.
pub(crate) fn unfinish(connection: &Connection, source: &str) -> Result<(), Fault> {
    connection.prepare_cached("DELETE FROM source WHERE path = ?1")?.execute([source])?;
    Ok(())
}
