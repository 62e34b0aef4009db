//! `/v1/documents` and `/v1/chunks`: what was ingested, uploads, removal.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{FromRequest, Multipart, Path, Request, State};
use axum::http::StatusCode;
use burnish_engine::IngestReport;
use burnish_types as inside;
use burnish_types::{ChunkId, DocumentId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{not_there, numeric_id};
use crate::app::App;
use crate::error::{ApiError, Code, ErrorBody};
use crate::extract::{Parameters, expect_type, too_large};
use crate::wire::{Location, rfc3339};

const DEFAULT_PAGE: usize = 50;
const MAX_PAGE: usize = 1_000;
const MAX_NAME_CHARS: usize = 255;

/// A document.
#[derive(Serialize, ToSchema)]
pub(crate) struct Document {
    id: u64,
    /// What names it for its users.
    key: String,
    /// The file it came from.
    source: String,
    title: String,
    /// `text`, `markdown`, `html`, `pdf`, `docx`, `csv` or `jsonlines`.
    format: &'static str,
    /// What filters can look at.
    #[schema(value_type = Object)]
    metadata: BTreeMap<String, inside::MetadataValue>,
    /// How many chunks it has.
    chunks: u32,
    /// In the form of RFC 3339.
    stored_at: String,
}

impl From<inside::Document> for Document {
    fn from(document: inside::Document) -> Self {
        Self {
            id: document.id.0,
            key: document.key,
            source: document.source,
            title: document.title,
            format: document.format.name(),
            metadata: document.metadata,
            chunks: document.chunks,
            stored_at: rfc3339(document.stored_at),
        }
    }
}

/// A piece of a document.
#[derive(Serialize, ToSchema)]
pub(crate) struct Chunk {
    id: u64,
    document: u64,
    document_key: String,
    title: String,
    /// Its place in the document, from 0.
    ordinal: u32,
    text: String,
    location: Location,
    /// Its length in tokens of the embedding model.
    tokens: u32,
}

impl From<inside::Chunk> for Chunk {
    fn from(chunk: inside::Chunk) -> Self {
        Self {
            id: chunk.id.0,
            document: chunk.document.0,
            document_key: chunk.document_key,
            title: chunk.title,
            ordinal: chunk.ordinal,
            text: chunk.text,
            location: Location::from(&chunk.location),
            tokens: chunk.tokens,
        }
    }
}

/// Which documents to list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// List those after this id; `next` of the last answer.
    after: Option<u64>,
    /// From 1 to 1000; 50 where not said.
    limit: Option<usize>,
}

/// Documents in the order of their ids.
#[derive(Serialize, ToSchema)]
pub(crate) struct DocumentList {
    documents: Vec<Document>,
    /// What to ask for `after`; missing at the end.
    next: Option<u64>,
}

/// A document with its chunks in reading order.
#[derive(Serialize, ToSchema)]
pub(crate) struct DocumentResponse {
    #[serde(flatten)]
    document: Document,
    content: Vec<Chunk>,
}

/// What was removed.
#[derive(Serialize, ToSchema)]
pub(crate) struct Deleted {
    id: u64,
    deleted: bool,
}

/// Files of one upload, in fields of any name.
#[derive(ToSchema)]
pub(crate) struct Upload {
    #[expect(dead_code, reason = "describes the form; the fields are read one by one")]
    #[schema(value_type = Vec<String>, format = Binary)]
    file: Vec<String>,
}

/// What became of an upload.
#[derive(Default, Serialize, ToSchema)]
pub(crate) struct UploadResponse {
    /// Documents that were added or replaced.
    documents: u64,
    chunks: u64,
    /// Documents that were there already.
    unchanged: u64,
    /// Documents that a new version of a file has no more.
    removed: u64,
    refused: Vec<Refused>,
    seconds: f64,
}

/// A file or record that could not be read.
#[derive(Serialize, ToSchema)]
pub(crate) struct Refused {
    path: String,
    /// Why, and what to do.
    reason: String,
}

impl UploadResponse {
    fn add(&mut self, report: IngestReport) {
        self.documents += report.documents;
        self.chunks += report.chunks;
        self.unchanged += report.unchanged;
        self.removed += report.removed;
        self.seconds += report.seconds;
        let refused = report.refused.into_iter();
        self.refused.extend(refused.map(|refused| Refused { path: refused.path, reason: refused.reason }));
    }
}

/// Lists what was ingested.
#[utoipa::path(
    get, path = "/v1/documents", tag = "burnish", params(Page),
    responses((status = 200, body = DocumentList), (status = 400, body = ErrorBody))
)]
pub(super) async fn list(
    State(app): State<App>,
    Parameters(Page { after, limit }): Parameters<Page>,
) -> Result<Json<DocumentList>, ApiError> {
    let limit = limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        let message = format!("`limit` lies between 1 and {MAX_PAGE}; {limit} does not");
        return Err(ApiError::invalid("limit", message));
    }
    let (documents, next) = page(&app, after, limit).await?;
    Ok(Json(DocumentList { documents: documents.into_iter().map(Document::from).collect(), next }))
}

/// One page of documents, and what the page after it begins behind.
pub(crate) async fn page(
    app: &App,
    after: Option<u64>,
    limit: usize,
) -> Result<(Vec<inside::Document>, Option<u64>), ApiError> {
    let mut documents = app.engine.documents(after.map(DocumentId), limit + 1).await?;
    let more = documents.len() > limit;
    documents.truncate(limit);
    let next = documents.last().filter(|_| more).map(|document| document.id.0);
    Ok((documents, next))
}

/// A document with its chunks.
#[utoipa::path(
    get, path = "/v1/documents/{id}", tag = "burnish", params(("id" = u64, Path)),
    responses((status = 200, body = DocumentResponse), (status = 404, body = ErrorBody))
)]
pub(super) async fn retrieve(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<DocumentResponse>, ApiError> {
    let (document, chunks) = document(&app, &id).await?;
    Ok(Json(DocumentResponse {
        document: Document::from(document),
        content: chunks.into_iter().map(Chunk::from).collect(),
    }))
}

/// The document with this id, and its chunks.
pub(crate) async fn document(
    app: &App,
    id: &str,
) -> Result<(inside::Document, Vec<inside::Chunk>), ApiError> {
    let found = app.engine.document(DocumentId(numeric_id(id, "document")?)).await?;
    found.ok_or_else(|| not_there("document", id))
}

/// Removes a document for good.
#[utoipa::path(
    delete, path = "/v1/documents/{id}", tag = "burnish", params(("id" = u64, Path)),
    responses((status = 200, body = Deleted), (status = 404, body = ErrorBody))
)]
pub(super) async fn delete(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<Deleted>, ApiError> {
    let number = numeric_id(&id, "document")?;
    match app.engine.delete_documents(vec![DocumentId(number)]).await? {
        0 => Err(not_there("document", &id)),
        _ => Ok(Json(Deleted { id: number, deleted: true })),
    }
}

/// One chunk.
#[utoipa::path(
    get, path = "/v1/chunks/{id}", tag = "burnish", params(("id" = u64, Path)),
    responses((status = 200, body = Chunk), (status = 404, body = ErrorBody))
)]
pub(super) async fn chunk(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Chunk>, ApiError> {
    let found = app.engine.chunk(ChunkId(numeric_id(&id, "chunk")?)).await?;
    found.map(|chunk| Json(Chunk::from(chunk))).ok_or_else(|| not_there("chunk", &id))
}

/// Takes files in, each under its own name; a file of the same name is replaced. What can't be read is refused
/// with its reason, and the rest goes on.
#[utoipa::path(
    post, path = "/v1/documents", tag = "burnish",
    request_body(content = Upload, content_type = "multipart/form-data"),
    responses(
        (status = 200, body = UploadResponse, description = "On disk for good, and findable"),
        (status = 400, body = ErrorBody, description = "The form can't be read, or holds no file"),
        (status = 413, body = ErrorBody, description = "The upload is too long")
    )
)]
pub(super) async fn upload(
    State(app): State<App>,
    request: Request,
) -> Result<Json<UploadResponse>, ApiError> {
    expect_type(request.headers(), "multipart/form-data", |essence| essence == "multipart/form-data")?;
    let mut form = Multipart::from_request(request, &())
        .await
        .map_err(|rejection| ApiError::new(Code::InvalidValue, rejection.body_text()))?;
    let mut response = UploadResponse::default();
    let mut files = 0;
    while let Some(field) = form.next_field().await.map_err(unreadable)? {
        let name = file_name(&field)?;
        let bytes = field.bytes().await.map_err(unreadable)?;
        response.add(app.engine.ingest_upload(name, bytes.into()).await?);
        files += 1;
    }
    if files == 0 {
        return Err(ApiError::invalid("file", "the form holds no file"));
    }
    Ok(Json(response))
}

/// The last part of the name that the client gave, since folders of its machine mean nothing here.
fn file_name(field: &Field<'_>) -> Result<String, ApiError> {
    let given = field.file_name().unwrap_or_default();
    let name = given.rsplit(['/', '\\']).next().unwrap_or_default().trim();
    let usable = !matches!(name, "" | "." | "..")
        && !name.chars().any(char::is_control)
        && name.chars().count() <= MAX_NAME_CHARS;
    if usable {
        return Ok(name.to_owned());
    }
    let message = format!(
        "each file needs a name of at most {MAX_NAME_CHARS} characters, none of them a control character"
    );
    Err(ApiError::invalid(field.name().unwrap_or("file"), message))
}

fn unreadable(error: MultipartError) -> ApiError {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return too_large();
    }
    ApiError::new(Code::InvalidValue, format!("the form cannot be read: {}", error.body_text()))
}
