//! Reading documents and chunks.

use burnish_types::{Chunk, ChunkId, Document, DocumentId, Generation, Timestamp, Totals};
use rusqlite::{Connection, Row, params};

use crate::fault::Fault;
use crate::record;

const CHUNK: &str = "SELECT c.id, c.document_id, d.key, d.title, c.ordinal, c.location, c.tokens, c.text
    FROM chunk c JOIN document d ON d.id = c.document_id";

const DOCUMENT: &str =
    "SELECT id, key, source, title, format, metadata, content_hash, chunks, stored_at FROM document";

/// The newest generation.
pub(crate) fn generation(connection: &Connection) -> Result<Generation, Fault> {
    let mut statement = connection.prepare_cached("SELECT value FROM meta WHERE key = 'generation'")?;
    Ok(Generation(statement.query_row([], |row| row.get(0))?))
}

/// The chunks with these ids, in their order, without those that are gone.
pub(crate) fn chunks(connection: &Connection, ids: &[ChunkId]) -> Result<Vec<Chunk>, Fault> {
    let mut statement = connection.prepare_cached(&format!("{CHUNK} WHERE c.id = ?1"))?;
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        found.extend(statement.query_and_then([id.0], chunk)?.next().transpose()?);
    }
    Ok(found)
}

/// The chunks of a document in reading order.
pub(crate) fn document_chunks(connection: &Connection, id: DocumentId) -> Result<Vec<Chunk>, Fault> {
    let sql = format!("{CHUNK} WHERE c.document_id = ?1 ORDER BY c.ordinal");
    connection.prepare_cached(&sql)?.query_and_then([id.0], chunk)?.collect()
}

/// The ids of all chunks, in ascending order.
pub(crate) fn chunk_ids(connection: &Connection) -> Result<Vec<ChunkId>, Fault> {
    // The index has all that is asked for; the table would be read with all its text.
    let mut statement = connection.prepare_cached("SELECT id FROM chunk INDEXED BY chunk_by_generation")?;
    let rows = statement.query_map([], |row| row.get(0).map(ChunkId))?;
    let mut ids = rows.collect::<Result<Vec<_>, _>>()?;
    ids.sort_unstable();
    Ok(ids)
}

/// One document.
pub(crate) fn document(connection: &Connection, id: DocumentId) -> Result<Option<Document>, Fault> {
    let mut statement = connection.prepare_cached(&format!("{DOCUMENT} WHERE id = ?1"))?;
    statement.query_and_then([id.0], document_row)?.next().transpose()
}

/// `limit` documents after `after`, by id.
pub(crate) fn documents(
    connection: &Connection,
    after: Option<DocumentId>,
    limit: usize,
) -> Result<Vec<Document>, Fault> {
    let mut statement =
        connection.prepare_cached(&format!("{DOCUMENT} WHERE id > ?1 ORDER BY id LIMIT ?2"))?;
    let bounds = params![after.unwrap_or_default().0, row_limit(limit)];
    statement.query_and_then(bounds, document_row)?.collect()
}

/// How much there is.
pub(crate) fn totals(connection: &Connection) -> Result<Totals, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT (SELECT count(*) FROM document), (SELECT count(*) FROM chunk),
                (SELECT count(*) FROM decision), (SELECT count(*) FROM outcome)",
    )?;
    Ok(statement.query_row([], |row| {
        Ok(Totals {
            documents: row.get(0)?,
            chunks: row.get(1)?,
            decisions: row.get(2)?,
            outcomes: row.get(3)?,
        })
    })?)
}

/// `limit` as SQLite counts rows.
pub(crate) fn row_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn chunk(row: &Row<'_>) -> Result<Chunk, Fault> {
    Ok(Chunk {
        id: ChunkId(row.get(0)?),
        document: DocumentId(row.get(1)?),
        document_key: row.get(2)?,
        title: row.get(3)?,
        ordinal: row.get(4)?,
        location: record::from_json("chunk's location", text(row, 5)?)?,
        tokens: row.get(6)?,
        text: row.get(7)?,
    })
}

fn document_row(row: &Row<'_>) -> Result<Document, Fault> {
    Ok(Document {
        id: DocumentId(row.get(0)?),
        key: row.get(1)?,
        source: row.get(2)?,
        title: row.get(3)?,
        format: record::format(text(row, 4)?)?,
        metadata: record::from_json("document's metadata", text(row, 5)?)?,
        content_hash: row.get(6)?,
        chunks: row.get(7)?,
        stored_at: Timestamp(row.get(8)?),
    })
}

/// A column of text, without a copy.
pub(crate) fn text<'a>(row: &'a Row<'_>, column: usize) -> Result<&'a str, Fault> {
    let value = row.get_ref(column)?;
    value.as_str().map_err(|error| Fault::Record { what: "column of text", reason: error.to_string() })
}

/// A column of text that may be empty.
pub(crate) fn optional_text<'a>(row: &'a Row<'_>, column: usize) -> Result<Option<&'a str>, Fault> {
    let value = row.get_ref(column)?;
    value
        .as_str_or_null()
        .map_err(|error| Fault::Record { what: "column of text", reason: error.to_string() })
}
