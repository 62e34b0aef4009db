//! What questions are about, in a few numbers, once there are enough passages to tell how they differ.

use std::sync::Arc;

use burnish_learning::{Directions, FeatureVector};
use burnish_types::{ChunkId, Sketch, Store, VectorIndex};
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};

use crate::{Engine, EngineError};

/// Names the snapshot, and its form.
const SNAPSHOT: &str = "directions-1";
/// Passages that are looked at.
const MOST_PASSAGES: usize = 2_000;

/// The directions along which questions are told apart. Once found they stay, so that what was learned of them holds.
pub(crate) struct Sketches {
    /// Whether there is anything that they could help to choose.
    wanted: bool,
    /// The encoder's name.
    model: String,
    directions: RwLock<Option<Arc<Directions>>>,
    finding: Mutex<()>,
}

#[derive(Serialize, Deserialize)]
struct Snapshot {
    model: String,
    directions: Directions,
}

impl Sketches {
    /// How many numbers a request has, with those of the sketch.
    pub(crate) const WIDTH: usize = FeatureVector::LENGTH + Directions::LENGTH;

    pub(crate) fn read(store: &dyn Store, model: &str, wanted: bool) -> Result<Self, EngineError> {
        let known = store.snapshot(SNAPSHOT)?;
        let known = known.and_then(|(_, bytes)| postcard::from_bytes::<Snapshot>(&bytes).ok());
        let known = known.filter(|snapshot| snapshot.model == model);
        let directions = RwLock::new(known.map(|snapshot| Arc::new(snapshot.directions)));
        Ok(Self { wanted, model: model.to_owned(), directions, finding: Mutex::default() })
    }

    /// Written again after all snapshots were dropped.
    pub(crate) fn write(&self, store: &dyn Store) -> Result<(), EngineError> {
        let Some(directions) = self.directions.read().clone() else { return Ok(()) };
        let snapshot = Snapshot { model: self.model.clone(), directions: Directions::clone(&directions) };
        let bytes = postcard::to_allocvec(&snapshot)
            .map_err(|error| EngineError::Internal(format!("directions cannot be written: {error}")))?;
        Ok(store.put_snapshot(SNAPSHOT, 0, &bytes)?)
    }

    /// What a question of this embedding is about.
    pub(crate) fn of(&self, embedding: &[f32]) -> Option<Sketch> {
        let directions = self.directions.read().clone().filter(|_| self.wanted)?;
        Some(Sketch { version: directions.version(), numbers: directions.sketch(embedding)? })
    }

    /// Whether a question's embedding is of use.
    pub(crate) fn are_known(&self) -> bool {
        self.wanted && self.directions.read().is_some()
    }

    /// All numbers of a request. A sketch along other directions says nothing.
    pub(crate) fn numbers(&self, x: &FeatureVector, sketch: Option<&Sketch>) -> Vec<f64> {
        let version = self.directions.read().as_ref().map(|directions| directions.version());
        let known = sketch.filter(|sketch| Some(sketch.version) == version);
        let mut numbers = x.to_vec();
        numbers.extend(known.iter().flat_map(|sketch| &sketch.numbers).map(|value| f64::from(*value)));
        numbers.resize(Self::WIDTH, 0.0);
        numbers
    }
}

impl Engine {
    /// Looks how the passages differ, where that is wanted and not known yet.
    pub(crate) fn find_directions(&self) -> Result<(), EngineError> {
        if !self.sketches.wanted {
            return Ok(());
        }
        // Of two who find them at one time the second waits, and finds them found.
        let _finding = self.sketches.finding.lock();
        if self.sketches.are_known() {
            return Ok(());
        }
        let ids = self.corpus.vectors.chunk_ids()?;
        let step = ids.len().div_ceil(MOST_PASSAGES).max(1);
        let some: Vec<ChunkId> = ids.into_iter().step_by(step).collect();
        let embeddings: Vec<_> = self.corpus.vectors.embeddings(&some)?.into_iter().flatten().collect();
        let Some(directions) = Directions::of(&embeddings, 0) else { return Ok(()) };
        *self.sketches.directions.write() = Some(Arc::new(directions));
        self.sketches.write(self.store.as_ref())
    }
}
