//! Nearest neighbours by cosine: a usearch graph, exact scans where a filter leaves little to scan.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burnish_types::{
    ChunkId, Embedding, Filter, Generation, Hit, IndexError, IndexedChunk, VectorIndex, dot,
};
use parking_lot::{Mutex, RwLock};
use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};
use usearch::{Index, IndexOptions, MetricKind, ScalarKind};

use crate::files;

/// Neighbours kept a node (Malkov & Yashunin 2018, M).
const CONNECTIVITY: usize = 16;
/// Candidates looked at while a node is linked (efConstruction).
const EXPANSION_ADD: usize = 128;
/// Candidates looked at while searching (ef); grows with the limit.
const EXPANSION_SEARCH: usize = 96;
/// Up to this many allowed chunks, comparing all of them is faster than walking the graph, and exact.
const EXACT_SCAN_LIMIT: u64 = 16_384;
/// Searches and the writer each hold one of usearch's thread slots while they run.
const THREAD_SLOTS: usize = 640;
const SMALLEST_CAPACITY: usize = 1_024;
/// The graph is built anew at a commit when this share of its nodes is dead.
const DEAD_SHARE: f64 = 0.25;
const CURRENT: &str = "current.json";

/// Tells which chunks pass a filter.
pub type FilterResolver = Arc<dyn Fn(&Filter) -> Result<Arc<RoaringTreemap>, IndexError> + Send + Sync>;

/// The vector engine on usearch, in one directory.
///
/// Each commit writes a whole graph beside the old one and then swings `current.json` over to it, so that a
/// crash at any instant leaves one of the two.
pub struct UsearchIndex {
    directory: PathBuf,
    dimensions: usize,
    resolve: FilterResolver,
    graph: RwLock<Graph>,
    /// Held by whoever changes the graph: concurrent additions can leave nodes unreachable.
    writer: Mutex<Generation>,
}

/// A graph whose nodes are never taken out: searches walk through the dead ones and pass them over. Taking
/// them out would give their slots to new nodes, and leave others without a path to them.
struct Graph {
    index: Index,
    live: RoaringTreemap,
    /// Live chunks that no reader sees yet.
    unpublished: RoaringTreemap,
    /// Chunks that were removed since the graph was built.
    dead: RoaringTreemap,
}

impl Graph {
    /// Whether every node may be found.
    fn is_clean(&self) -> bool {
        self.dead.is_empty() && self.unpublished.is_empty()
    }

    fn shows(&self, id: u64) -> bool {
        self.live.contains(id) && !self.unpublished.contains(id)
    }
}

/// What `current.json` says.
#[derive(Serialize, Deserialize)]
struct Current {
    generation: Generation,
    dimensions: usize,
    folder: String,
}

impl UsearchIndex {
    /// Opens the index of vectors of `dimensions` in `directory`, or makes an empty one. A graph that can't
    /// be read is set aside and an empty one takes its place: the store repairs it.
    pub fn open(directory: &Path, dimensions: usize, resolve: FilterResolver) -> Result<Self, IndexError> {
        let failed = |reason: &dyn std::fmt::Display| failure(directory, reason);
        fs::create_dir_all(directory).map_err(|error| failed(&error))?;
        let (generation, graph) = match read_current(directory) {
            Some(current) if current.dimensions != dimensions => {
                return Err(IndexError::Dimensions { expected: current.dimensions, found: dimensions });
            }
            Some(current) => match load(directory, &current) {
                Ok(graph) => (current.generation, graph),
                Err(_) => (Generation(0), empty(dimensions).map_err(|error| failed(&error))?),
            },
            None => (Generation(0), empty(dimensions).map_err(|error| failed(&error))?),
        };
        Ok(Self {
            directory: directory.to_owned(),
            dimensions,
            resolve,
            graph: RwLock::new(graph),
            writer: Mutex::new(generation),
        })
    }

    /// Drops every chunk, as though none had ever been applied; for good with the next commit.
    ///
    /// # Errors
    /// If there is no memory for an empty graph.
    pub fn clear(&self) -> Result<(), IndexError> {
        let mut committed = self.writer.lock();
        *self.graph.write() = empty(self.dimensions).map_err(|error| self.failed(&error))?;
        *committed = Generation(0);
        Ok(())
    }

    fn failed(&self, reason: &dyn std::fmt::Display) -> IndexError {
        failure(&self.directory, reason)
    }

    fn check(&self, vector: &[f32]) -> Result<(), IndexError> {
        if vector.len() == self.dimensions {
            Ok(())
        } else {
            Err(IndexError::Dimensions { expected: self.dimensions, found: vector.len() })
        }
    }

    fn make_room(&self, more: usize) -> Result<(), IndexError> {
        let mut graph = self.graph.write();
        grow(&mut graph.index, more).map_err(|error| self.failed(&error))
    }

    /// A graph without dead nodes, when there are enough of them to be worth it.
    fn rebuild(&self) -> Result<(), IndexError> {
        let graph = self.graph.read();
        let (live, dead) = (graph.live.len(), graph.dead.len());
        if (dead as f64) < DEAD_SHARE * (live + dead) as f64 || dead == 0 {
            return Ok(());
        }
        let mut fresh = empty(self.dimensions).map_err(|error| self.failed(&error))?;
        grow(&mut fresh.index, graph.live.len() as usize).map_err(|error| self.failed(&error))?;
        let mut vector = vec![0.0; self.dimensions];
        for id in &graph.live {
            graph.index.get(id, &mut vector).map_err(|error| self.failed(&error))?;
            fresh.index.add(id, &vector).map_err(|error| self.failed(&error))?;
        }
        fresh.live = graph.live.clone();
        fresh.unpublished = graph.unpublished.clone();
        drop(graph);
        *self.graph.write() = fresh;
        Ok(())
    }
}

impl VectorIndex for UsearchIndex {
    fn generation(&self) -> Generation {
        *self.writer.lock()
    }

    fn apply(&self, added: &[IndexedChunk], removed: &[ChunkId]) -> Result<(), IndexError> {
        for chunk in added {
            self.check(&chunk.embedding)?;
        }
        let _writer = self.writer.lock();
        // A chunk never changes, so one that is there already is as it should be.
        let fresh: Vec<&IndexedChunk> = {
            let graph = self.graph.read();
            added
                .iter()
                .filter(|chunk| !graph.live.contains(chunk.id.0) && !graph.dead.contains(chunk.id.0))
                .collect()
        };
        self.make_room(fresh.len())?;
        // Hidden before they are there, so that no search meets one in between.
        self.graph.write().unpublished.extend(fresh.iter().map(|chunk| chunk.id.0));
        let outcome = {
            let graph = self.graph.read();
            fresh.iter().enumerate().try_for_each(|(done, chunk)| {
                graph.index.add(chunk.id.0, &chunk.embedding).map_err(|error| (done, error.to_string()))
            })
        };
        if let Err((done, reason)) = outcome {
            // What is in the graph already is not added again when this is tried again.
            self.graph.write().dead.extend(fresh[..done].iter().map(|chunk| chunk.id.0));
            return Err(self.failed(&reason));
        }
        let mut graph = self.graph.write();
        for chunk in added {
            graph.live.insert(chunk.id.0);
            graph.dead.remove(chunk.id.0);
        }
        for id in removed {
            graph.unpublished.remove(id.0);
            if graph.live.remove(id.0) {
                graph.dead.insert(id.0);
            }
        }
        Ok(())
    }

    fn publish(&self) {
        self.graph.write().unpublished.clear();
    }

    fn commit(&self, generation: Generation) -> Result<(), IndexError> {
        let mut committed = self.writer.lock();
        self.rebuild()?;
        let folder = format!("generation-{generation}");
        save(&self.directory, &folder, generation, self.dimensions, &self.graph.read())
            .map_err(|reason| self.failed(&reason))?;
        *committed = generation;
        Ok(())
    }

    fn search(&self, query: &[f32], filter: &Filter, limit: usize) -> Result<Vec<Hit>, IndexError> {
        self.check(query)?;
        let allowed = if filter.is_empty() { None } else { Some((self.resolve)(filter)?) };
        let graph = self.graph.read();
        if limit == 0 || graph.live.is_empty() {
            return Ok(Vec::new());
        }
        let scanned = match &allowed {
            Some(allowed) if allowed.len() <= EXACT_SCAN_LIMIT => Some(scan(&graph, query, allowed, limit)),
            _ => None,
        };
        if let Some(hits) = scanned {
            return hits.map_err(|reason| self.failed(&reason));
        }
        let matches = match &allowed {
            Some(allowed) => {
                graph.index.filtered_search(query, limit, |id| allowed.contains(id) && graph.shows(id))
            }
            None if graph.is_clean() => graph.index.search(query, limit),
            None => graph.index.filtered_search(query, limit, |id| graph.shows(id)),
        };
        let matches = matches.map_err(|error| self.failed(&error))?;
        let hits = matches.keys.iter().zip(&matches.distances);
        Ok(hits
            .take(limit)
            .map(|(&id, &distance)| Hit { chunk: ChunkId(id), score: 1.0 - distance })
            .collect())
    }

    fn embeddings(&self, chunks: &[ChunkId]) -> Result<Vec<Option<Embedding>>, IndexError> {
        let graph = self.graph.read();
        let read = |chunk: &ChunkId| {
            if !graph.live.contains(chunk.0) {
                return Ok(None);
            }
            let mut vector = vec![0.0; self.dimensions];
            graph.index.get(chunk.0, &mut vector).map_err(|error| self.failed(&error))?;
            Ok(Some(vector))
        };
        chunks.iter().map(read).collect()
    }

    fn count(&self) -> Result<u64, IndexError> {
        let graph = self.graph.read();
        Ok((&graph.live - &graph.unpublished).len())
    }

    fn chunk_ids(&self) -> Result<Vec<ChunkId>, IndexError> {
        let graph = self.graph.read();
        Ok((&graph.live - &graph.unpublished).iter().map(ChunkId).collect())
    }
}

fn failure(directory: &Path, reason: &dyn std::fmt::Display) -> IndexError {
    IndexError::Engine { engine: "vector", path: directory.display().to_string(), reason: reason.to_string() }
}

fn new_index(dimensions: usize) -> Result<Index, String> {
    let options = IndexOptions {
        dimensions,
        metric: MetricKind::IP,
        quantization: ScalarKind::F32,
        connectivity: CONNECTIVITY,
        expansion_add: EXPANSION_ADD,
        expansion_search: EXPANSION_SEARCH,
        multi: false,
    };
    Index::new(&options).map_err(|error| error.to_string())
}

fn empty(dimensions: usize) -> Result<Graph, String> {
    let mut index = new_index(dimensions)?;
    grow(&mut index, SMALLEST_CAPACITY)?;
    Ok(Graph {
        index,
        live: RoaringTreemap::new(),
        unpublished: RoaringTreemap::new(),
        dead: RoaringTreemap::new(),
    })
}

/// Needs the index for itself, for the room is moved.
fn grow(index: &mut Index, more: usize) -> Result<(), String> {
    let wanted = index.size() + more;
    if wanted <= index.capacity() {
        return Ok(());
    }
    // A quarter more than needed: doubling would leave up to half of a large index unused.
    let capacity = (wanted + wanted / 4).max(SMALLEST_CAPACITY);
    index.reserve_capacity_and_threads(capacity, THREAD_SLOTS).map_err(|error| error.to_string())
}

fn scan(graph: &Graph, query: &[f32], allowed: &RoaringTreemap, limit: usize) -> Result<Vec<Hit>, String> {
    let mut vector = vec![0.0; query.len()];
    let mut hits = Vec::with_capacity(allowed.len() as usize);
    for id in allowed.iter().filter(|id| graph.shows(*id)) {
        let found = graph.index.get(id, &mut vector).map_err(|error| error.to_string())?;
        if found > 0 {
            hits.push(Hit { chunk: ChunkId(id), score: dot(query, &vector) });
        }
    }
    hits.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.chunk.cmp(&b.chunk)));
    hits.truncate(limit);
    Ok(hits)
}

fn read_current(directory: &Path) -> Option<Current> {
    serde_json::from_slice(&fs::read(directory.join(CURRENT)).ok()?).ok()
}

fn load(directory: &Path, current: &Current) -> Result<Graph, String> {
    let folder = directory.join(&current.folder);
    let index = new_index(current.dimensions)?;
    index.load(&folder.join("graph").display().to_string()).map_err(|error| error.to_string())?;
    index.change_expansion_add(EXPANSION_ADD);
    index.change_expansion_search(EXPANSION_SEARCH);
    let live = read_ids(&folder.join("live"))?;
    let dead = read_ids(&folder.join("dead"))?;
    if index.size() as u64 != live.len() + dead.len() {
        return Err(format!(
            "the graph holds {} vectors where {} are listed",
            index.size(),
            live.len() + dead.len()
        ));
    }
    let capacity = index.size().max(SMALLEST_CAPACITY);
    index.reserve_capacity_and_threads(capacity, THREAD_SLOTS).map_err(|error| error.to_string())?;
    Ok(Graph { index, live, unpublished: RoaringTreemap::new(), dead })
}

fn read_ids(path: &Path) -> Result<RoaringTreemap, String> {
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    RoaringTreemap::deserialize_from(bytes.as_slice()).map_err(|error| error.to_string())
}

fn write_ids(path: &Path, ids: &RoaringTreemap) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    ids.serialize_into(&mut bytes)?;
    files::replace_file(path, &bytes)
}

fn save(
    directory: &Path,
    folder: &str,
    generation: Generation,
    dimensions: usize,
    graph: &Graph,
) -> Result<(), String> {
    let target = directory.join(folder);
    let text = |error: std::io::Error| error.to_string();
    fs::create_dir_all(&target).map_err(text)?;
    let vectors = target.join("graph");
    let outcome = (|| {
        graph.index.save(&vectors.display().to_string()).map_err(|error| error.to_string())?;
        fs::File::open(&vectors).and_then(|file| file.sync_all()).map_err(text)?;
        write_ids(&target.join("live"), &graph.live).map_err(text)?;
        write_ids(&target.join("dead"), &graph.dead).map_err(text)?;
        let current = Current { generation, dimensions, folder: folder.to_owned() };
        let current = serde_json::to_vec(&current).map_err(|error| error.to_string())?;
        files::replace_file(&directory.join(CURRENT), &current).map_err(text)
    })();
    if outcome.is_err() && read_current(directory).is_none_or(|current| current.folder != folder) {
        let _ = fs::remove_dir_all(&target);
    }
    outcome?;
    drop_others(directory, folder);
    Ok(())
}

/// What is not current is of an earlier commit or of one that was cut short.
fn drop_others(directory: &Path, keep: &str) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name != keep && name.to_string_lossy().starts_with("generation-") {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
