//! Brings documents in: one thread reads and cuts, this one embeds, one stores and indexes. Bounded queues
//! between them keep the encoder busy and the memory small.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use burnish_ingest::{Read, Refusal, content_hash, discover, read_bytes, read_file};
use burnish_types::{DocumentDraft, DocumentId, Embedding};

use crate::{Engine, EngineError};

/// Tokens that are embedded, and then stored, in one step: enough to sort by length, and soon acknowledged.
const BATCH_TOKENS: usize = 16_384;
/// Documents that wait for the encoder at most.
const WAITING_DOCUMENTS: usize = 256;
/// Batches that wait for the store at most.
const WAITING_BATCHES: usize = 2;
/// What is stored can be found after this long at most.
const PUBLISH_EVERY: Duration = Duration::from_secs(5);

/// What to do beside adding.
#[derive(Clone, Copy, Debug, Default)]
pub struct IngestOptions {
    /// Whether documents below the given paths whose file is gone are removed.
    pub prune: bool,
}

/// A file or record that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The file, or `file:line` for a record.
    pub path: String,
    /// Why, and what to do.
    pub reason: String,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IngestReport {
    /// Documents that were added or replaced.
    pub documents: u64,
    /// Their chunks.
    pub chunks: u64,
    /// Documents that were there already.
    pub unchanged: u64,
    /// Documents that were dropped.
    pub removed: u64,
    /// What could not be read.
    pub refused: Vec<Refused>,
    /// How long it took.
    pub seconds: f64,
}

/// What happens meanwhile.
#[derive(Clone, Debug)]
pub enum IngestEvent<'a> {
    /// So many files will be looked at.
    Found {
        /// How many.
        files: usize,
    },
    /// A file has been read.
    Read {
        /// Its path.
        path: &'a str,
    },
    /// These documents are on disk for good.
    Stored {
        /// Their keys.
        keys: &'a [String],
        /// How many chunks they have.
        chunks: u64,
    },
    /// Something could not be read.
    Refused(&'a Refused),
}

/// Hears of what happens.
type Listener<'a> = &'a (dyn Fn(IngestEvent<'_>) + Sync);

/// What the reading thread hands on.
enum Item {
    Document(Box<DocumentDraft>),
    Refused(Refused),
    Unchanged(u64),
    Finished(Source),
}

/// A file that has been read to its end.
struct Source {
    path: String,
    content_hash: String,
    /// Documents that an earlier version of the file had, and this one has not.
    vanished: Vec<DocumentId>,
    /// A file with refused records is looked at again next time.
    complete: bool,
}

#[derive(Default)]
struct Batch {
    documents: Vec<DocumentDraft>,
    embeddings: Vec<Vec<Embedding>>,
    finished: Vec<Source>,
    tokens: usize,
}

impl Engine {
    /// Brings in files and folders. Blocks until all is stored, findable and checkpointed.
    pub fn ingest(
        &self,
        paths: &[PathBuf],
        options: IngestOptions,
        listener: Listener<'_>,
    ) -> Result<IngestReport, EngineError> {
        let started = Instant::now();
        // Keys are absolute, so that they mean one file wherever the program is started.
        let paths: Vec<PathBuf> =
            paths.iter().map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone())).collect();
        let discovery = discover(&paths);
        listener(IngestEvent::Found { files: discovery.files.len() });
        let mut report = self.run(listener, |items| {
            let refused = discovery.refused.iter().map(|refusal| Item::Refused(refused(refusal)));
            let _ = refused.into_iter().try_for_each(|item| items.send(item));
            for file in &discovery.files {
                if self.read_source(file, items, listener)?.is_break() {
                    break;
                }
            }
            Ok(())
        })?;
        if options.prune {
            report.removed += self.prune(&paths)?;
        }
        self.learned.forget_the_gone(self.store.as_ref())?;
        self.corpus.checkpoint()?;
        self.find_directions()?;
        report.seconds = started.elapsed().as_secs_f64();
        Ok(report)
    }

    /// Brings in one file that came over the wire, `name` standing for its path.
    pub async fn ingest_upload(
        self: &Arc<Self>,
        name: String,
        bytes: Vec<u8>,
    ) -> Result<IngestReport, EngineError> {
        self.blocking(move |engine| {
            let started = Instant::now();
            let mut report = engine.run(&|_| {}, |items| engine.read_upload(&name, &bytes, items))?;
            report.seconds = started.elapsed().as_secs_f64();
            Ok(report)
        })
        .await
    }

    fn run(
        &self,
        listener: Listener<'_>,
        read: impl FnOnce(&SyncSender<Item>) -> Result<(), EngineError> + Send,
    ) -> Result<IngestReport, EngineError> {
        self.corpus.check_room()?;
        let mut report = IngestReport::default();
        std::thread::scope(|scope| {
            let (items, waiting) = sync_channel(WAITING_DOCUMENTS);
            let (batches, embedded) = sync_channel(WAITING_BATCHES);
            let reader = scope.spawn(move || read(&items));
            let writer = scope.spawn(move || self.store_batches(&embedded, listener));
            let outcome = self.embed_batches(&waiting, &batches, listener, &mut report);
            drop((waiting, batches));
            let stored = joined(writer)?;
            joined(reader)?;
            outcome?;
            (report.documents, report.chunks, report.removed) = stored;
            Ok(report)
        })
    }

    /// Reads one file unless it is as it was, and hands its changed documents on.
    fn read_source(
        &self,
        path: &Path,
        items: &SyncSender<Item>,
        listener: Listener<'_>,
    ) -> Result<ControlFlow<()>, EngineError> {
        let name = path.display().to_string();
        let content = match content_hash(path) {
            Ok(hash) => hash,
            Err(refusal) => return Ok(send(items, Item::Refused(refused(&refusal)))),
        };
        if self.store.source_hash(&name)?.is_some_and(|known| known == content) {
            let unchanged = self.store.source_documents(&name)?.len() as u64;
            listener(IngestEvent::Read { path: &name });
            return Ok(send(items, Item::Unchanged(unchanged)));
        }
        let flow = self.read_changed(&name, content, items, |sink| {
            read_file(path, &self.settings.limits, &self.settings.chunking, &self.counter(), sink)
        })?;
        listener(IngestEvent::Read { path: &name });
        Ok(flow)
    }

    fn read_upload(&self, name: &str, bytes: &[u8], items: &SyncSender<Item>) -> Result<(), EngineError> {
        let content = blake3::hash(bytes).to_hex().to_string();
        if self.store.source_hash(name)?.is_some_and(|known| known == content) {
            let unchanged = self.store.source_documents(name)?.len() as u64;
            let _ = send(items, Item::Unchanged(unchanged));
            return Ok(());
        }
        let _ = self.read_changed(name, content, items, |sink| {
            read_bytes(name, bytes, &self.settings.limits, &self.settings.chunking, &self.counter(), sink)
        })?;
        Ok(())
    }

    /// Hands on those documents of a source that are not stored as they are now.
    fn read_changed(
        &self,
        source: &str,
        content_hash: String,
        items: &SyncSender<Item>,
        read: impl FnOnce(&mut dyn FnMut(Read) -> ControlFlow<()>) -> Result<(), Refusal>,
    ) -> Result<ControlFlow<()>, EngineError> {
        let stored = self.store.source_documents(source)?;
        let mut known: HashMap<String, (DocumentId, String)> =
            stored.into_iter().map(|(id, key, hash)| (key, (id, hash))).collect();
        let mut complete = true;
        let mut flow = ControlFlow::Continue(());
        let outcome = read(&mut |item| {
            flow = match item {
                Read::Document(document) => match known.remove(&document.key) {
                    Some((_, hash)) if hash == document.content_hash => send(items, Item::Unchanged(1)),
                    _ => send(items, Item::Document(Box::new(document))),
                },
                Read::Refused(refusal) => {
                    complete = false;
                    send(items, Item::Refused(refused(&refusal)))
                }
            };
            flow
        });
        if flow.is_break() {
            return Ok(flow);
        }
        Ok(match outcome {
            Ok(()) => {
                // A record that could not be read may be a newer version of one that is stored.
                let vanished =
                    if complete { known.into_values().map(|(id, _)| id).collect() } else { Vec::new() };
                send(
                    items,
                    Item::Finished(Source { path: source.to_owned(), content_hash, vanished, complete }),
                )
            }
            Err(refusal) => send(items, Item::Refused(refused(&refusal))),
        })
    }

    fn embed_batches(
        &self,
        waiting: &Receiver<Item>,
        batches: &SyncSender<Batch>,
        listener: Listener<'_>,
        report: &mut IngestReport,
    ) -> Result<(), EngineError> {
        let mut batch = Batch::default();
        for item in waiting {
            match item {
                Item::Document(document) => {
                    batch.tokens += document.chunks.iter().map(|chunk| chunk.tokens as usize).sum::<usize>();
                    batch.documents.push(*document);
                }
                Item::Finished(source) => batch.finished.push(source),
                Item::Unchanged(documents) => report.unchanged += documents,
                Item::Refused(refused) => {
                    listener(IngestEvent::Refused(&refused));
                    report.refused.push(refused);
                }
            }
            if batch.tokens >= BATCH_TOKENS
                && batches.send(self.embedded(std::mem::take(&mut batch))?).is_err()
            {
                return Ok(());
            }
        }
        // A failed writer says why itself.
        let _ = batches.send(self.embedded(batch)?);
        Ok(())
    }

    fn embedded(&self, mut batch: Batch) -> Result<Batch, EngineError> {
        let texts: Vec<String> = batch
            .documents
            .iter()
            .flat_map(|document| {
                document
                    .chunks
                    .iter()
                    .map(|chunk| format!("{}\n{}", chunk.location.heading(&document.title), chunk.text))
            })
            .collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let mut embeddings = self.embedder.embed(&texts)?.into_iter();
        batch.embeddings = batch
            .documents
            .iter()
            .map(|document| embeddings.by_ref().take(document.chunks.len()).collect())
            .collect();
        Ok(batch)
    }

    /// Stores what comes, and returns how many documents and chunks it was, and how many documents vanished.
    fn store_batches(
        &self,
        embedded: &Receiver<Batch>,
        listener: Listener<'_>,
    ) -> Result<(u64, u64, u64), EngineError> {
        let (mut documents, mut chunks, mut removed) = (0, 0, 0);
        let mut published = Instant::now();
        for batch in embedded {
            if !batch.documents.is_empty() {
                let keys: Vec<String> = batch.documents.iter().map(|document| document.key.clone()).collect();
                let added: u64 = batch.documents.iter().map(|document| document.chunks.len() as u64).sum();
                self.corpus
                    .put(batch.documents.into_iter().zip(batch.embeddings).collect(), self.clock.now())?;
                listener(IngestEvent::Stored { keys: &keys, chunks: added });
                documents += keys.len() as u64;
                chunks += added;
            }
            for source in batch.finished {
                if !source.vanished.is_empty() {
                    self.corpus.remove(&source.vanished)?;
                    removed += source.vanished.len() as u64;
                }
                if source.complete {
                    self.store.finish_source(&source.path, &source.content_hash, self.clock.now())?;
                }
            }
            if published.elapsed() >= PUBLISH_EVERY {
                self.corpus.publish()?;
                published = Instant::now();
            }
        }
        self.corpus.publish()?;
        Ok((documents, chunks, removed))
    }

    /// Drops the documents of files that were below `paths` and are gone.
    fn prune(&self, paths: &[PathBuf]) -> Result<u64, EngineError> {
        let mut gone = Vec::new();
        for source in self.store.sources()? {
            let path = Path::new(&source);
            // A root that is not there may be a disk that is not mounted.
            let below = paths.iter().any(|root| root.exists() && path.starts_with(root));
            let is_gone = matches!(path.try_exists(), Ok(false));
            if below && is_gone {
                gone.extend(self.store.source_documents(&source)?.into_iter().map(|(id, ..)| id));
            }
        }
        if !gone.is_empty() {
            self.corpus.remove(&gone)?;
        }
        Ok(gone.len() as u64)
    }

    fn counter(&self) -> impl Fn(&str) -> usize + Send + Sync + '_ {
        |text: &str| self.embedder.count_tokens(text)
    }
}

fn refused(refusal: &Refusal) -> Refused {
    Refused { path: refusal.path.clone(), reason: refusal.reason.clone() }
}

/// Breaks once nobody takes items any more.
fn send(items: &SyncSender<Item>, item: Item) -> ControlFlow<()> {
    match items.send(item) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    }
}

fn joined<T>(thread: std::thread::ScopedJoinHandle<'_, Result<T, EngineError>>) -> Result<T, EngineError> {
    thread
        .join()
        .unwrap_or_else(|_| Err(EngineError::Internal("a thread of the ingestion panicked".to_owned())))
}
