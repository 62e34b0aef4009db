//! The documents page, and a document with its passages.

use axum::extract::{Path, State};
use axum::response::Html;
use burnish_engine::{Related, RelatedTo};
use burnish_types::{Chunk, Document, DocumentId, Evidence, Filter, UserContext};
use minijinja::context;
use serde::{Deserialize, Serialize};

use super::answer::{below_title, day_and_time};
use super::{PageError, totals_view, view};
use crate::api::{document, documents_page};
use crate::app::App;
use crate::error::ApiError;
use crate::extract::Parameters;
use crate::wire::rfc3339;

const PAGE: usize = 50;
/// Documents that are named as related.
const RELATED: usize = 5;

#[derive(Serialize)]
struct DocumentView {
    id: u64,
    title: String,
    key: String,
    format: &'static str,
    chunks: u32,
    stored: String,
    stored_at: String,
    metadata: Vec<Field>,
}

#[derive(Serialize)]
struct Field {
    name: String,
    value: String,
}

impl From<Document> for DocumentView {
    fn from(document: Document) -> Self {
        let metadata = document.metadata.into_iter();
        Self {
            id: document.id.0,
            title: document.title,
            key: document.key,
            format: document.format.name(),
            chunks: document.chunks,
            stored: day_and_time(document.stored_at),
            stored_at: rfc3339(document.stored_at),
            metadata: metadata.map(|(name, value)| Field { name, value: value.to_string() }).collect(),
        }
    }
}

#[derive(Serialize)]
struct ChunkView {
    id: u64,
    location: String,
    tokens: u32,
    text: String,
}

impl From<Chunk> for ChunkView {
    fn from(chunk: Chunk) -> Self {
        let location = below_title(&chunk.location.to_string(), &chunk.title);
        Self { id: chunk.id.0, location, tokens: chunk.tokens, text: chunk.text }
    }
}

/// A document that is like the one shown, by the passage that is most like it.
#[derive(Serialize)]
struct RelatedView {
    document: u64,
    chunk: u64,
    title: String,
    location: String,
}

impl From<Evidence> for RelatedView {
    fn from(found: Evidence) -> Self {
        Self {
            document: found.document.0,
            chunk: found.chunk.0,
            location: below_title(&found.location.to_string(), &found.title),
            title: found.title,
        }
    }
}

/// Other documents like this one. The page is worth showing without them.
async fn related(app: &App, document: DocumentId) -> Vec<RelatedView> {
    let wanted = Related {
        to: RelatedTo::Document(document),
        user: UserContext::default(),
        filter: Filter::default(),
        top_k: RELATED,
        per_document: Some(1),
    };
    match app.engine.related_unrecorded(wanted).await {
        Ok(found) => found.answered.answer.evidence.into_iter().map(RelatedView::from).collect(),
        Err(error) => {
            tracing::warn!(%error, %document, "documents like one cannot be found");
            Vec::new()
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Place {
    after: Option<u64>,
}

pub(super) async fn list(
    State(app): State<App>,
    place: Result<Parameters<Place>, ApiError>,
) -> Result<Html<String>, PageError> {
    let shown = async {
        let Parameters(Place { after }) = place?;
        let (documents, next) = documents_page(&app, after, PAGE).await?;
        let totals = totals_view(app.engine.totals().await?);
        let documents: Vec<_> = documents.into_iter().map(DocumentView::from).collect();
        app.templates.render(
            "documents.html",
            context! { here => "documents", documents => view(&documents), after, next, totals },
        )
    };
    shown.await.map_err(|error| PageError { app: app.clone(), error })
}

pub(super) async fn one(State(app): State<App>, Path(id): Path<String>) -> Result<Html<String>, PageError> {
    let shown = async {
        let (found, chunks) = document(&app, &id).await?;
        let chunks: Vec<_> = chunks.into_iter().map(ChunkView::from).collect();
        let related = related(&app, found.id).await;
        let document = DocumentView::from(found);
        app.templates.render(
            "document.html",
            context! {
                here => "documents", document => view(&document), related => view(&related), chunks => view(&chunks),
            },
        )
    };
    shown.await.map_err(|error| PageError { app: app.clone(), error })
}
