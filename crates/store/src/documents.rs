//! Writing documents: every write is one generation, and says what the indexes have to do about it.

use std::collections::{BTreeSet, HashMap};

use burnish_types::{
    ChangeSet, ChunkDraft, ChunkId, DocumentDraft, DocumentId, Embedding, Generation, IndexedChunk, Location,
    Metadata, MetadataValue, Timestamp,
};
use rusqlite::{Connection, OptionalExtension, params};

use crate::fault::Fault;
use crate::{lookup, record, sources};

/// A document that is to be stored, with one embedding a chunk.
pub(crate) type Embedded = (DocumentDraft, Vec<Embedding>);

/// Stores `documents`, each in place of the one with its key; where a key occurs twice, the later one.
pub(crate) fn put(
    connection: &Connection,
    documents: &[Embedded],
    at: Timestamp,
) -> Result<ChangeSet, Fault> {
    if documents.is_empty() {
        return unchanged(connection);
    }
    let mut write = Write::begin(connection)?;
    for (draft, embeddings) in latest(documents) {
        write.put(draft, embeddings, at)?;
    }
    write.finish()
}

/// Drops the documents with these ids, those that are there.
pub(crate) fn remove(connection: &Connection, ids: &[DocumentId]) -> Result<ChangeSet, Fault> {
    let mut known = Vec::with_capacity(ids.len());
    for &id in ids.iter().collect::<BTreeSet<_>>() {
        let mut statement = connection.prepare_cached("SELECT source FROM document WHERE id = ?1")?;
        let source: Option<String> = statement.query_row([id.0], |row| row.get(0)).optional()?;
        known.extend(source.map(|source| (id, source)));
    }
    if known.is_empty() {
        return unchanged(connection);
    }
    let mut write = Write::begin(connection)?;
    for (id, source) in known {
        write.remove(id, source)?;
    }
    write.finish()
}

/// The metadata that the indexes see: the document's own, and the fields that every document has.
pub(crate) fn indexed_metadata(own: &Metadata, format: &str, source: &str, key: &str) -> Metadata {
    let mut metadata = own.clone();
    for (field, value) in [("format", format), ("source", source), ("document", key)] {
        metadata.insert(field.to_owned(), MetadataValue::Text(value.to_owned()));
    }
    metadata
}

/// The last document of each key, in the order given.
fn latest(documents: &[Embedded]) -> impl Iterator<Item = &Embedded> {
    let last: HashMap<&str, usize> =
        documents.iter().enumerate().map(|(place, (draft, _))| (draft.key.as_str(), place)).collect();
    let is_last = move |place: usize, key: &str| last.get(key) == Some(&place);
    documents
        .iter()
        .enumerate()
        .filter(move |(place, (draft, _))| is_last(*place, &draft.key))
        .map(|(_, document)| document)
}

fn unchanged(connection: &Connection) -> Result<ChangeSet, Fault> {
    Ok(ChangeSet { generation: lookup::generation(connection)?, ..ChangeSet::default() })
}

/// Of the chunks of a new version, by their place in it, those that the version before had, with their embeddings.
type Kept = HashMap<usize, (ChunkId, Embedding)>;

/// What a chunk is found by, in single spaces. A heading has no line break, so the two can't be taken for each other.
fn identity(heading: &str, text: &str) -> String {
    let single = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("{}\n{}", single(heading), single(text))
}

/// One generation in the making.
struct Write<'a> {
    connection: &'a Connection,
    changes: ChangeSet,
    sources: BTreeSet<String>,
}

impl<'a> Write<'a> {
    fn begin(connection: &'a Connection) -> Result<Self, Fault> {
        let sql = "UPDATE meta SET value = value + 1 WHERE key = 'generation' RETURNING value";
        let generation = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        let changes = ChangeSet { generation: Generation(generation), ..ChangeSet::default() };
        Ok(Self { connection, changes, sources: BTreeSet::new() })
    }

    /// Takes the sources that were touched out of those that are wholly stored: should this be the last write
    /// before a crash, the source is read again instead of being taken for what it was.
    fn finish(self) -> Result<ChangeSet, Fault> {
        for source in &self.sources {
            sources::unfinish(self.connection, source)?;
        }
        Ok(self.changes)
    }

    fn put(&mut self, draft: &DocumentDraft, embeddings: &[Embedding], at: Timestamp) -> Result<(), Fault> {
        let (chunks, vectors) = (draft.chunks.len(), embeddings.len());
        if chunks != vectors {
            return Err(Fault::Invalid(format!(
                "`{}` came with {chunks} chunks and {vectors} embeddings",
                draft.key
            )));
        }
        let mut statement =
            self.connection.prepare_cached("SELECT id, source, title FROM document WHERE key = ?1")?;
        let old: Option<(u64, String, String)> = statement
            .query_row([&draft.key], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        let mut kept = Kept::default();
        if let Some((id, source, title)) = old {
            kept = self.kept(DocumentId(id), &title, draft)?;
            self.drop_chunks(DocumentId(id), &kept)?;
            self.sources.insert(source);
        }
        self.sources.insert(draft.source.clone());
        let id = self.upsert(draft, at)?;
        let metadata = indexed_metadata(&draft.metadata, draft.format.name(), &draft.source, &draft.key);
        for (ordinal, (chunk, embedding)) in draft.chunks.iter().zip(embeddings).enumerate() {
            let (known, embedding) = match kept.get(&ordinal) {
                Some((known, vector)) => (Some(*known), vector),
                None => (None, embedding),
            };
            let chunk_id = self.insert_chunk(known, id, ordinal, chunk, embedding)?;
            self.changes.added.push(IndexedChunk {
                id: chunk_id,
                document: id,
                heading: chunk.location.heading(&draft.title),
                text: chunk.text.clone(),
                metadata: metadata.clone(),
                embedding: embedding.clone(),
            });
        }
        Ok(())
    }

    /// The chunks of a document that its new version has, too: what they are found by, heading and text, is the same
    /// but for white space. They keep their ids, so that what was said of them is still said of them, and their
    /// embeddings, so that an index has nothing to do but for their metadata. Of equal ones the first is the first.
    fn kept(&self, document: DocumentId, title: &str, draft: &DocumentDraft) -> Result<Kept, Fault> {
        let mut statement = self.connection.prepare_cached(
            "SELECT c.id, c.location, c.text, e.vector FROM chunk c JOIN embedding e ON e.chunk_id = c.id
             WHERE c.document_id = ?1 ORDER BY c.ordinal DESC",
        )?;
        let mut known: HashMap<String, Vec<(ChunkId, Embedding)>> = HashMap::new();
        let mut rows = statement.query([document.0])?;
        while let Some(row) = rows.next()? {
            let location: Location = record::from_json("chunk's location", lookup::text(row, 1)?)?;
            let identity = identity(&location.heading(title), lookup::text(row, 2)?);
            let vector = record::vector(row.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?)?;
            known.entry(identity).or_default().push((ChunkId(row.get(0)?), vector));
        }
        let mut kept = Kept::default();
        for (ordinal, chunk) in draft.chunks.iter().enumerate() {
            let identity = identity(&chunk.location.heading(&draft.title), &chunk.text);
            kept.extend(known.get_mut(&identity).and_then(Vec::pop).map(|chunk| (ordinal, chunk)));
        }
        Ok(kept)
    }

    fn remove(&mut self, id: DocumentId, source: String) -> Result<(), Fault> {
        self.drop_chunks(id, &Kept::default())?;
        self.connection.prepare_cached("DELETE FROM document WHERE id = ?1")?.execute([id.0])?;
        self.sources.insert(source);
        Ok(())
    }

    /// A document keeps its id when it is replaced.
    fn upsert(&self, draft: &DocumentDraft, at: Timestamp) -> Result<DocumentId, Fault> {
        let mut statement = self.connection.prepare_cached(
            "INSERT INTO document (key, source, title, format, metadata, content_hash, chunks, stored_at, generation)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT (key) DO UPDATE SET source = excluded.source, title = excluded.title,
                 format = excluded.format, metadata = excluded.metadata, content_hash = excluded.content_hash,
                 chunks = excluded.chunks, stored_at = excluded.stored_at, generation = excluded.generation
             RETURNING id",
        )?;
        let row = params![
            draft.key,
            draft.source,
            draft.title,
            draft.format.name(),
            record::encode_column("document's metadata", &draft.metadata)?,
            draft.content_hash,
            draft.chunks.len(),
            at.0,
            self.changes.generation.0,
        ];
        Ok(DocumentId(statement.query_row(row, |row| row.get(0))?))
    }

    /// `known` is the id of a chunk that is kept.
    fn insert_chunk(
        &self,
        known: Option<ChunkId>,
        document: DocumentId,
        ordinal: usize,
        chunk: &ChunkDraft,
        embedding: &[f32],
    ) -> Result<ChunkId, Fault> {
        let mut statement = self.connection.prepare_cached(
            "INSERT INTO chunk (id, document_id, ordinal, location, tokens, generation, text)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) RETURNING id",
        )?;
        let location = record::encode_column("chunk's location", &chunk.location)?;
        let generation = self.changes.generation.0;
        let known = known.map(|id| id.0);
        let row = params![known, document.0, ordinal, location, chunk.tokens, generation, chunk.text];
        let id: u64 = statement.query_row(row, |row| row.get(0))?;
        self.connection
            .prepare_cached("INSERT INTO embedding (chunk_id, vector) VALUES (?1, ?2)")?
            .execute(params![id, record::vector_bytes(embedding)])?;
        Ok(ChunkId(id))
    }

    /// Drops the chunks of a document. Those that are kept come back at once, and are not told as removed.
    fn drop_chunks(&mut self, document: DocumentId, kept: &Kept) -> Result<(), Fault> {
        let kept: BTreeSet<u64> = kept.values().map(|(id, _)| id.0).collect();
        let mut statement =
            self.connection.prepare_cached("SELECT id FROM chunk WHERE document_id = ?1 ORDER BY id")?;
        let ids: Vec<u64> = statement.query_map([document.0], |row| row.get(0))?.collect::<Result<_, _>>()?;
        for &id in &ids {
            self.connection.prepare_cached("DELETE FROM embedding WHERE chunk_id = ?1")?.execute([id])?;
            self.connection.prepare_cached("DELETE FROM chunk WHERE id = ?1")?.execute([id])?;
            if kept.contains(&id) {
                continue;
            }
            self.connection
                .prepare_cached("INSERT INTO removed_chunk (chunk_id, generation) VALUES (?1, ?2)")?
                .execute([id, self.changes.generation.0])?;
            self.changes.removed.push(ChunkId(id));
        }
        Ok(())
    }
}
