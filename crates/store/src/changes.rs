//! What changed between two generations, for an index that is behind.

use burnish_types::{ChangeSet, ChunkId, DocumentId, Generation, IndexedChunk, Location, Metadata};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::documents::indexed_metadata;
use crate::fault::Fault;
use crate::{lookup, record};

/// Whole generations after `since`, as many as hold at most `limit` changes, but at least one.
pub(crate) fn since(connection: &Connection, since: Generation, limit: usize) -> Result<ChangeSet, Fault> {
    let until = boundary(connection, since, limit.max(1))?;
    Ok(ChangeSet {
        generation: until,
        added: added(connection, since, until)?,
        removed: removed(connection, since, until)?,
    })
}

/// Forgets the removals up to `generation`.
pub(crate) fn forget_removals(connection: &Connection, generation: Generation) -> Result<(), Fault> {
    connection.prepare_cached("DELETE FROM removed_chunk WHERE generation <= ?1")?.execute([generation.0])?;
    Ok(())
}

/// The last generation such that there are at most `limit` changes from `since`, or the first one that has any.
fn boundary(connection: &Connection, since: Generation, limit: usize) -> Result<Generation, Fault> {
    let newest = lookup::generation(connection)?;
    let Some(beyond) = generation_of_change(connection, since, limit)? else { return Ok(newest) };
    match generation_of_change(connection, since, 0)? {
        Some(first) if first < beyond => Ok(Generation(beyond.0 - 1)),
        _ => Ok(beyond),
    }
}

/// The generation of the `place`th change after `since`, from 0. SQLite merges the two indexes, and reads no more
/// of them than it passes over.
fn generation_of_change(
    connection: &Connection,
    since: Generation,
    place: usize,
) -> Result<Option<Generation>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT generation FROM chunk WHERE generation > ?1
         UNION ALL SELECT generation FROM removed_chunk WHERE generation > ?1
         ORDER BY generation LIMIT 1 OFFSET ?2",
    )?;
    let found =
        statement.query_row(params![since.0, lookup::row_limit(place)], |row| row.get(0)).optional()?;
    Ok(found.map(Generation))
}

fn added(connection: &Connection, since: Generation, until: Generation) -> Result<Vec<IndexedChunk>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT c.id, c.document_id, d.title, c.text, e.vector, d.metadata, d.format, d.source, d.key, c.location
         FROM chunk c JOIN document d ON d.id = c.document_id JOIN embedding e ON e.chunk_id = c.id
         WHERE c.generation > ?1 AND c.generation <= ?2 ORDER BY c.generation, c.id",
    )?;
    let mut rows = statement.query([since.0, until.0])?;
    let mut found: Vec<IndexedChunk> = Vec::new();
    while let Some(row) = rows.next()? {
        let document = DocumentId(row.get(1)?);
        // The chunks of a document come one after the other.
        let metadata = match found.last() {
            Some(last) if last.document == document => last.metadata.clone(),
            _ => metadata(row)?,
        };
        let embedding = record::vector(row.get_ref(4)?.as_blob().map_err(rusqlite::Error::from)?)?;
        let location: Location = record::from_json("chunk's location", lookup::text(row, 9)?)?;
        let heading = location.heading(lookup::text(row, 2)?);
        let (id, text) = (ChunkId(row.get(0)?), row.get(3)?);
        found.push(IndexedChunk { id, document, heading, text, metadata, embedding });
    }
    Ok(found)
}

fn metadata(row: &Row<'_>) -> Result<Metadata, Fault> {
    let own: Metadata = record::from_json("document's metadata", lookup::text(row, 5)?)?;
    Ok(indexed_metadata(&own, lookup::text(row, 6)?, lookup::text(row, 7)?, lookup::text(row, 8)?))
}

fn removed(connection: &Connection, since: Generation, until: Generation) -> Result<Vec<ChunkId>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT chunk_id FROM removed_chunk WHERE generation > ?1 AND generation <= ?2
         ORDER BY generation, chunk_id",
    )?;
    let rows = statement.query_map([since.0, until.0], |row| row.get(0).map(ChunkId))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
