//! Questions that are answered in the background, and how far that is.

use burnish_types::{BatchResult, BatchStanding, BatchState, RequestId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::fault::Fault;
use crate::lookup::row_limit;

const STANDING: &str = "SELECT b.id, b.at, b.questions, b.state,
    (SELECT count(*) FROM batch_result r WHERE r.batch = b.id AND NOT r.failed),
    (SELECT count(*) FROM batch_result r WHERE r.batch = b.id AND r.failed) FROM batch b";

/// Keeps a batch; one of the same id stands.
pub(crate) fn put(
    connection: &Connection,
    id: RequestId,
    at: Timestamp,
    questions: usize,
    record: &str,
) -> Result<(), Fault> {
    connection
        .prepare_cached(
            "INSERT INTO batch (id, at, questions, state, record) VALUES (?1, ?2, ?3, 'open', ?4)
             ON CONFLICT (id) DO NOTHING",
        )?
        .execute(params![id.to_string(), at.0, row_limit(questions), record])?;
    Ok(())
}

/// Keeps what became of one question. The first result stands.
pub(crate) fn put_result(connection: &Connection, id: RequestId, result: &BatchResult) -> Result<(), Fault> {
    connection
        .prepare_cached(
            "INSERT INTO batch_result (batch, place, failed, record) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (batch, place) DO NOTHING",
        )?
        .execute(params![id.to_string(), row_limit(result.place), result.failed, result.record])?;
    Ok(())
}

/// Ends a batch that is open, and says whether it was.
pub(crate) fn end(connection: &Connection, id: RequestId, state: BatchState) -> Result<bool, Fault> {
    let changed = connection
        .prepare_cached("UPDATE batch SET state = ?2 WHERE id = ?1 AND state = 'open'")?
        .execute(params![id.to_string(), state.name()])?;
    Ok(changed > 0)
}

/// What a batch asks, as it was put.
pub(crate) fn record(connection: &Connection, id: RequestId) -> Result<Option<String>, Fault> {
    let mut statement = connection.prepare_cached("SELECT record FROM batch WHERE id = ?1")?;
    Ok(statement.query_row([id.to_string()], |row| row.get(0)).optional()?)
}

/// How far a batch is.
pub(crate) fn standing(connection: &Connection, id: RequestId) -> Result<Option<BatchStanding>, Fault> {
    let mut statement = connection.prepare_cached(&format!("{STANDING} WHERE b.id = ?1"))?;
    statement.query_and_then([id.to_string()], read)?.next().transpose()
}

/// The latest batches, the newest first.
pub(crate) fn latest(connection: &Connection, limit: usize) -> Result<Vec<BatchStanding>, Fault> {
    let mut statement = connection.prepare_cached(&format!("{STANDING} ORDER BY b.id DESC LIMIT ?1"))?;
    statement.query_and_then([row_limit(limit)], read)?.collect()
}

/// The batches that are not ended, the oldest first.
pub(crate) fn open(connection: &Connection) -> Result<Vec<RequestId>, Fault> {
    let mut statement = connection.prepare_cached("SELECT id FROM batch WHERE state = 'open' ORDER BY id")?;
    statement.query_and_then([], |row| id(row, 0))?.collect()
}

/// Results by the place of their question, `limit` of them from the place `from` on.
pub(crate) fn results(
    connection: &Connection,
    id: RequestId,
    from: usize,
    limit: usize,
) -> Result<Vec<BatchResult>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT place, failed, record FROM batch_result WHERE batch = ?1 AND place >= ?2 ORDER BY place LIMIT ?3",
    )?;
    let rows = statement.query_map(params![id.to_string(), row_limit(from), row_limit(limit)], |row| {
        Ok(BatchResult { place: row.get::<_, i64>(0)? as usize, failed: row.get(1)?, record: row.get(2)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn read(row: &Row<'_>) -> Result<BatchStanding, Fault> {
    let count = |column| -> Result<usize, Fault> { Ok(row.get::<_, i64>(column)? as usize) };
    let state: String = row.get(3)?;
    let state = BatchState::ALL.into_iter().find(|known| known.name() == state);
    Ok(BatchStanding {
        id: id(row, 0)?,
        at: Timestamp(row.get(1)?),
        questions: count(2)?,
        state: state.ok_or_else(|| Fault::Invalid("the state of a batch is none".to_owned()))?,
        answered: count(4)?,
        failed: count(5)?,
    })
}

fn id(row: &Row<'_>, column: usize) -> Result<RequestId, Fault> {
    let text: String = row.get(column)?;
    text.parse().map_err(|error: burnish_types::InvalidRequestId| Fault::Invalid(error.to_string()))
}
