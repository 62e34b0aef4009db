//! Decisions, answers, outcomes and what learners keep of them.

use burnish_types::{LoggedOutcome, Outcome, RequestId, StoredDecision, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use crate::fault::Fault;
use crate::lookup::{optional_text, row_limit, text};
use crate::record;

/// An outcome that was checked and written as JSON before it was queued.
pub(crate) struct EncodedOutcome {
    request: RequestId,
    at: Timestamp,
    record: String,
}

/// Outcomes as they will be stored.
pub(crate) fn encode_outcomes(outcomes: &[Outcome]) -> Result<Vec<EncodedOutcome>, Fault> {
    let encode = |outcome: &Outcome| {
        let record = record::encode(outcome)?;
        Ok(EncodedOutcome { request: outcome.request, at: outcome.at, record })
    };
    outcomes.iter().map(encode).collect()
}

/// Records a decision. The first record of an id stands: outcomes and replays refer to it.
pub(crate) fn put_decision(
    connection: &Connection,
    id: RequestId,
    at: Timestamp,
    record: &str,
) -> Result<(), Fault> {
    connection
        .prepare_cached(
            "INSERT INTO decision (id, at, record) VALUES (?1, ?2, ?3) ON CONFLICT (id) DO NOTHING",
        )?
        .execute(params![id.to_string(), at.0, record])?;
    Ok(())
}

/// Records the answer of a request; a later one takes its place.
pub(crate) fn put_answer(connection: &Connection, request: RequestId, record: &str) -> Result<(), Fault> {
    known(connection, request)?;
    connection
        .prepare_cached("INSERT OR REPLACE INTO answer (request, record) VALUES (?1, ?2)")?
        .execute(params![request.to_string(), record])?;
    Ok(())
}

/// Records outcomes in their order.
pub(crate) fn put_outcomes(connection: &Connection, outcomes: &[EncodedOutcome]) -> Result<(), Fault> {
    for EncodedOutcome { request, at, record } in outcomes {
        known(connection, *request)?;
        connection
            .prepare_cached("INSERT INTO outcome (request, at, record) VALUES (?1, ?2, ?3)")?
            .execute(params![request.to_string(), at.0, record])?;
    }
    Ok(())
}

fn known(connection: &Connection, request: RequestId) -> Result<(), Fault> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM decision WHERE id = ?1")?;
    match statement.exists([request.to_string()])? {
        true => Ok(()),
        false => Err(Fault::UnknownRequest(request)),
    }
}

/// A decision as it is stored, so that the writing thread need not decode it.
pub(crate) struct EncodedDecision {
    decision: String,
    answer: Option<String>,
    outcomes: Vec<String>,
}

impl EncodedDecision {
    /// Reads the records.
    pub(crate) fn decode(&self) -> Result<StoredDecision, Fault> {
        Ok(StoredDecision {
            decision: record::decode(&self.decision)?,
            answer: self.answer.as_deref().map(record::decode).transpose()?,
            outcomes: self.outcomes.iter().map(|json| record::decode(json)).collect::<Result<_, _>>()?,
        })
    }
}

/// What is stored of a request.
pub(crate) fn decision(connection: &Connection, id: RequestId) -> Result<Option<EncodedDecision>, Fault> {
    let key = id.to_string();
    let mut statement = connection.prepare_cached(
        "SELECT d.record, a.record FROM decision d LEFT JOIN answer a ON a.request = d.id WHERE d.id = ?1",
    )?;
    let found = statement.query_row([&key], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let Some((decision, answer)) = found else { return Ok(None) };
    let mut statement =
        connection.prepare_cached("SELECT record FROM outcome WHERE request = ?1 ORDER BY position")?;
    let outcomes = statement.query_map([&key], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(Some(EncodedDecision { decision, answer, outcomes }))
}

/// `limit` outcomes after the `after`th, each with what was known when it came.
pub(crate) fn outcome_log(
    connection: &Connection,
    after: u64,
    limit: usize,
) -> Result<Vec<LoggedOutcome>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT o.position, o.record, d.record, a.record FROM outcome o JOIN decision d ON d.id = o.request
         LEFT JOIN answer a ON a.request = o.request WHERE o.position > ?1 ORDER BY o.position LIMIT ?2",
    )?;
    let mut before = connection.prepare_cached(
        "SELECT record FROM outcome WHERE request = ?1 AND position < ?2 ORDER BY position",
    )?;
    let rows = statement.query_and_then(params![after, row_limit(limit)], |row| {
        let position: u64 = row.get(0)?;
        let outcome: Outcome = record::decode(text(row, 1)?)?;
        let key = outcome.request.to_string();
        let earlier = before.query_and_then(params![key, position], |row| record::decode(text(row, 0)?))?;
        let earlier = earlier.collect::<Result<_, Fault>>()?;
        Ok(LoggedOutcome {
            position,
            decision: record::decode(text(row, 2)?)?,
            answer: optional_text(row, 3)?.map(record::decode).transpose()?,
            outcome,
            earlier,
        })
    })?;
    rows.collect()
}

/// `limit` decisions after the one with the id `after`, each with what became of it.
pub(crate) fn decision_log(
    connection: &Connection,
    after: Option<RequestId>,
    limit: usize,
) -> Result<Vec<StoredDecision>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT d.id, d.record, a.record FROM decision d LEFT JOIN answer a ON a.request = d.id
         WHERE d.id > ?1 ORDER BY d.id LIMIT ?2",
    )?;
    let mut outcomes =
        connection.prepare_cached("SELECT record FROM outcome WHERE request = ?1 ORDER BY position")?;
    let after = after.map(|id| id.to_string()).unwrap_or_default();
    let rows = statement.query_and_then(params![after, row_limit(limit)], |row| {
        let found = outcomes.query_and_then([text(row, 0)?], |row| record::decode(text(row, 0)?))?;
        Ok(StoredDecision {
            decision: record::decode(text(row, 1)?)?,
            answer: optional_text(row, 2)?.map(record::decode).transpose()?,
            outcomes: found.collect::<Result<_, Fault>>()?,
        })
    })?;
    rows.collect()
}

/// Drops what `user` of `tenant` reported.
pub(crate) fn forget_user(connection: &Connection, tenant: Option<&str>, user: &str) -> Result<u64, Fault> {
    let dropped = connection
        .prepare_cached(
            "DELETE FROM outcome WHERE position IN (
                 SELECT o.position FROM outcome o JOIN decision d ON d.id = o.request
                 WHERE coalesce(o.record ->> '$.record.user', d.record ->> '$.record.user.user') = ?1
                   AND d.record ->> '$.record.user.tenant' IS ?2)",
        )?
        .execute(params![user, tenant])?;
    // The snapshots hold what was learned from them.
    connection.prepare_cached("DELETE FROM snapshot")?.execute([])?;
    Ok(dropped as u64)
}

/// Keeps what was decided about `name`.
pub(crate) fn put_register(connection: &Connection, name: &str, record: &str) -> Result<(), Fault> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO register (name, record) VALUES (?1, ?2)")?
        .execute(params![name, record])?;
    Ok(())
}

/// What was decided last about `name`.
pub(crate) fn register(connection: &Connection, name: &str) -> Result<Option<String>, Fault> {
    let mut statement = connection.prepare_cached("SELECT record FROM register WHERE name = ?1")?;
    Ok(statement.query_row([name], |row| row.get(0)).optional()?)
}

/// Keeps a learner's state in place of its last one.
pub(crate) fn put_snapshot(
    connection: &Connection,
    learner: &str,
    position: u64,
    state: &[u8],
) -> Result<(), Fault> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO snapshot (learner, position, state) VALUES (?1, ?2, ?3)")?
        .execute(params![learner, position, state])?;
    Ok(())
}

/// A learner's last state, and after which outcome it was taken.
pub(crate) fn snapshot(connection: &Connection, learner: &str) -> Result<Option<(u64, Vec<u8>)>, Fault> {
    let mut statement =
        connection.prepare_cached("SELECT position, state FROM snapshot WHERE learner = ?1")?;
    Ok(statement.query_row([learner], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
}
