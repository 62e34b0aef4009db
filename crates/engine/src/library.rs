//! Looking at what was ingested, and dropping it.

use std::sync::Arc;

use burnish_types::{Chunk, ChunkId, Document, DocumentId, Embedding, Totals};

use crate::{Agreement, Engine, EngineError};

/// Documents that are read in one go.
const CATALOGUE_PAGE: usize = 1_000;

impl Engine {
    /// Documents by id, `limit` after `after`.
    pub async fn documents(
        self: &Arc<Self>,
        after: Option<DocumentId>,
        limit: usize,
    ) -> Result<Vec<Document>, EngineError> {
        self.blocking(move |engine| Ok(engine.store.documents(after, limit)?)).await
    }

    /// A document with its chunks in reading order.
    pub async fn document(
        self: &Arc<Self>,
        id: DocumentId,
    ) -> Result<Option<(Document, Vec<Chunk>)>, EngineError> {
        self.blocking(move |engine| match engine.store.document(id)? {
            Some(document) => Ok(Some((document, engine.store.document_chunks(id)?))),
            None => Ok(None),
        })
        .await
    }

    /// One chunk.
    pub async fn chunk(self: &Arc<Self>, id: ChunkId) -> Result<Option<Chunk>, EngineError> {
        self.blocking(move |engine| Ok(engine.store.chunks(&[id])?.pop())).await
    }

    /// Drops documents for good, and returns how many of them there were.
    pub async fn delete_documents(self: &Arc<Self>, ids: Vec<DocumentId>) -> Result<u64, EngineError> {
        self.blocking(move |engine| {
            let mut there = Vec::new();
            for id in ids {
                if engine.store.document(id)?.is_some() {
                    there.push(id);
                }
            }
            if !there.is_empty() {
                engine.corpus.remove(&there)?;
                engine.learned.forget_the_gone(engine.store.as_ref())?;
            }
            Ok(there.len() as u64)
        })
        .await
    }

    /// One unit-length vector a text.
    pub async fn embed(self: &Arc<Self>, texts: Vec<String>) -> Result<Vec<Embedding>, EngineError> {
        self.blocking(move |engine| {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            Ok(engine.embedder.embed(&texts)?)
        })
        .await
    }

    /// How much there is.
    pub async fn totals(self: &Arc<Self>) -> Result<Totals, EngineError> {
        self.blocking(|engine| Ok(engine.store.totals()?)).await
    }

    /// The key, the number and the passages of every document, for measuring.
    pub fn catalogue(&self) -> Result<Vec<(String, DocumentId, Vec<ChunkId>)>, EngineError> {
        let mut catalogue = Vec::new();
        let mut after = None;
        loop {
            let documents = self.store.documents(after, CATALOGUE_PAGE)?;
            let Some(last) = documents.last() else { return Ok(catalogue) };
            after = Some(last.id);
            for document in documents {
                let chunks = self.store.document_chunks(document.id)?.into_iter().map(|chunk| chunk.id);
                catalogue.push((document.key, document.id, chunks.collect()));
            }
        }
    }

    /// Whether requests can be served now.
    pub async fn ready(self: &Arc<Self>) -> Result<(), EngineError> {
        self.blocking(|engine| Ok(engine.store.check()?)).await
    }

    /// Compares the store and both indexes chunk by chunk.
    pub fn agreement(&self) -> Result<Agreement, EngineError> {
        self.corpus.agreement()
    }
}
