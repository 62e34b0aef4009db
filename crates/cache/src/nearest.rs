//! The nearest of many embeddings, a byte a dimension: cells that split as they fill, of which the nearest are scanned.
//!
//! Entries come and go all the time, which graphs of neighbours bear badly; a cell gives a place up in one step.

use std::cmp::Ordering;
use std::collections::HashMap;

use crate::question::{Packed, dot};

/// A cell that holds more than this splits in two.
const CELL: usize = 384;
/// Embeddings that a search looks at, about; fewer than that are all looked at.
const SCANNED: usize = 1_024;
/// The first look at an entry takes in this part of its coordinates, which are all about equally telling; the best of
/// these looks are then compared in full.
const GLANCE: usize = 4;
/// But in so many at least.
const SMALLEST_GLANCE: usize = 64;
/// How many entries are compared in full for each that is wanted.
const SHORTLIST: usize = 8;
/// Rounds of the clustering that splits a cell.
const ROUNDS: usize = 4;

/// Cells that are put in order at a time.
const RANKED: usize = 16;

/// The nearer of two cells comes first.
fn nearer(one: &(f32, usize), other: &(f32, usize)) -> Ordering {
    other.0.total_cmp(&one.0).then(one.1.cmp(&other.1))
}

#[derive(Clone, Debug, Default)]
struct Cell {
    center: Packed,
    ids: Vec<u64>,
    scales: Vec<f32>,
    values: Vec<i8>,
}

impl Cell {
    fn push(&mut self, id: u64, vector: &Packed) {
        self.ids.push(id);
        self.scales.push(vector.scale);
        self.values.extend_from_slice(&vector.values);
    }

    /// Takes the entry at `place` out; the last one takes its place.
    fn take(&mut self, place: usize, dimensions: usize) -> Packed {
        self.ids.swap_remove(place);
        let scale = self.scales.swap_remove(place);
        let last = self.values.len() - dimensions;
        let values = self.values[place * dimensions..][..dimensions].into();
        self.values.copy_within(last.., place * dimensions);
        self.values.truncate(last);
        Packed { values, scale }
    }

    fn vector(&self, place: usize, dimensions: usize) -> Packed {
        Packed { values: self.values[place * dimensions..][..dimensions].into(), scale: self.scales[place] }
    }
}

/// The so many of the largest score, the largest first.
struct Best<T> {
    count: usize,
    values: Vec<(f32, T)>,
}

impl<T> Best<T> {
    fn new(count: usize) -> Self {
        Self { count, values: Vec::with_capacity(count + 1) }
    }

    fn offer(&mut self, score: f32, value: T) {
        if self.values.len() < self.count || self.values.last().is_some_and(|last| score > last.0) {
            let place = self.values.partition_point(|other| other.0 >= score);
            self.values.insert(place, (score, value));
            self.values.truncate(self.count);
        }
    }
}

/// Embeddings of one length by the ids of their entries.
#[derive(Clone, Debug)]
pub(crate) struct Nearest {
    dimensions: usize,
    cells: Vec<Cell>,
    /// The cell of each entry, and its place there.
    places: HashMap<u64, (u32, u32)>,
}

impl Nearest {
    pub(crate) fn new(dimensions: usize) -> Self {
        Self { dimensions: dimensions.max(1), cells: Vec::new(), places: HashMap::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Takes an entry in. Embeddings of another length are passed over.
    pub(crate) fn insert(&mut self, id: u64, vector: &Packed) {
        if vector.values.len() != self.dimensions || self.places.contains_key(&id) {
            return;
        }
        let nearest = self.compared(vector).min_by(nearer).map(|(_, cell)| cell);
        let cell = nearest.unwrap_or_else(|| {
            self.cells.push(Cell { center: vector.clone(), ..Cell::default() });
            self.cells.len() - 1
        });
        self.push(cell, id, vector);
        if self.cells[cell].ids.len() > CELL {
            self.split(cell);
        }
    }

    pub(crate) fn remove(&mut self, id: u64) -> Option<Packed> {
        let (cell, place) = self.places.remove(&id)?;
        let vector = self.cells[cell as usize].take(place as usize, self.dimensions);
        if let Some(moved) = self.cells[cell as usize].ids.get(place as usize) {
            self.places.insert(*moved, (cell, place));
        }
        Some(vector)
    }

    pub(crate) fn get(&self, id: u64) -> Option<Packed> {
        let (cell, place) = self.places.get(&id)?;
        Some(self.cells[*cell as usize].vector(*place as usize, self.dimensions))
    }

    /// The `count` entries of the largest cosine, the largest first, as far as the nearest cells have them.
    pub(crate) fn search(&self, vector: &Packed, count: usize) -> Vec<(f32, u64)> {
        let asked = vector.wide();
        let glance = self.dimensions.div_ceil(GLANCE).max(SMALLEST_GLANCE).min(self.dimensions);
        let mut short = Best::new(count * SHORTLIST);
        let mut scanned = 0;
        let mut cells: Vec<(f32, usize)> = self.compared(vector).collect();
        let mut ranked = 0;
        for turn in 0..cells.len() {
            if scanned >= SCANNED {
                break;
            }
            // Few are looked at, so only as many are put in order as that takes.
            if turn == ranked {
                let rest = &mut cells[turn..];
                let few = RANKED.min(rest.len());
                if few < rest.len() {
                    rest.select_nth_unstable_by(few, nearer);
                }
                rest[..few].sort_unstable_by(nearer);
                ranked += few;
            }
            let place = cells[turn].1;
            let cell = &self.cells[place];
            scanned += cell.ids.len();
            let rows = cell.values.chunks_exact(self.dimensions).zip(&cell.scales);
            for (at, (row, scale)) in rows.enumerate() {
                short.offer(dot(&asked[..glance], &row[..glance]) as f32 * scale, (place, at));
            }
        }
        let mut found = Best::new(count);
        for (_, (place, at)) in short.values {
            let cell = &self.cells[place];
            let row = &cell.values[at * self.dimensions..][..self.dimensions];
            found.offer(dot(&asked, row) as f32 * vector.scale * cell.scales[at], cell.ids[at]);
        }
        found.values
    }

    /// The cells that are not empty, each with the cosine of its centre.
    fn compared(&self, vector: &Packed) -> impl Iterator<Item = (f32, usize)> {
        let asked = vector.wide();
        let filled = self.cells.iter().enumerate().filter(|(_, cell)| !cell.ids.is_empty());
        filled.map(move |(place, cell)| (dot(&asked, &cell.center.values) as f32 * cell.center.scale, place))
    }

    fn push(&mut self, cell: usize, id: u64, vector: &Packed) {
        self.places.insert(id, (cell as u32, self.cells[cell].ids.len() as u32));
        self.cells[cell].push(id, vector);
    }

    /// Splits a cell in two around two of its entries (spherical 2-means).
    fn split(&mut self, cell: usize) {
        let full = std::mem::take(&mut self.cells[cell]);
        let entries: Vec<(u64, Packed)> = full
            .ids
            .iter()
            .enumerate()
            .map(|(place, id)| (*id, full.vector(place, self.dimensions)))
            .collect();
        let farthest = |from: &Packed| {
            entries
                .iter()
                .map(|(_, vector)| vector)
                .min_by(|a, b| a.dot(from).total_cmp(&b.dot(from)))
                .cloned()
        };
        let (Some(one), Some(other)) =
            (farthest(&full.center), farthest(&full.center).and_then(|one| farthest(&one)))
        else {
            self.cells[cell] = full;
            return;
        };
        let mut centers = [one, other];
        let mut sides: Vec<bool> = Vec::new();
        for _ in 0..ROUNDS {
            sides =
                entries.iter().map(|(_, vector)| vector.dot(&centers[1]) > vector.dot(&centers[0])).collect();
            centers = [false, true].map(|side| {
                let mut sum = vec![0.0; self.dimensions];
                for ((_, vector), _) in entries.iter().zip(&sides).filter(|(_, at)| **at == side) {
                    for (sum, value) in sum.iter_mut().zip(&vector.values) {
                        *sum += f32::from(*value) * vector.scale;
                    }
                }
                let length = sum.iter().map(|value| value * value).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
                sum.iter_mut().for_each(|value| *value /= length);
                Packed::new(&sum)
            });
        }
        // Entries that can't be told apart are halved, so that no cell grows without bound.
        if sides.iter().all(|side| *side == sides[0]) {
            sides.iter_mut().enumerate().for_each(|(place, side)| *side = place % 2 == 1);
            centers = [full.center.clone(), full.center];
        }
        let [left, right] = centers;
        let fresh = self.cells.len();
        self.cells[cell] = Cell { center: left, ..Cell::default() };
        self.cells.push(Cell { center: right, ..Cell::default() });
        for ((id, vector), side) in entries.iter().zip(sides) {
            self.push(if side { fresh } else { cell }, *id, vector);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIMENSIONS: usize = 24;

    fn vector(random: &mut fastrand::Rng, near: Option<&[f32]>) -> Vec<f32> {
        let mut vector: Vec<f32> = (0..DIMENSIONS).map(|_| random.f32() - 0.5).collect();
        if let Some(near) = near {
            vector.iter_mut().zip(near).for_each(|(value, near)| *value = near + 0.1 * *value);
        }
        let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
        vector.iter().map(|value| value / length).collect()
    }

    #[test]
    fn what_is_near_is_found_while_entries_come_and_go() {
        let mut random = fastrand::Rng::with_seed(5);
        let mut nearest = Nearest::new(DIMENSIONS);
        let mut kept: Vec<(u64, Vec<f32>)> = Vec::new();
        for id in 0..6_000 {
            let fresh = vector(&mut random, None);
            nearest.insert(id, &Packed::new(&fresh));
            kept.push((id, fresh));
            if id % 3 == 2 {
                let (gone, _) = kept.swap_remove(random.usize(..kept.len()));
                assert!(nearest.remove(gone).is_some());
                assert!(nearest.get(gone).is_none());
            }
        }
        assert_eq!(nearest.places.len(), kept.len());
        let found = kept.iter().take(400).filter(|(id, own)| {
            let asked = Packed::new(&vector(&mut random, Some(own)));
            nearest.search(&asked, 2).first().is_some_and(|(_, first)| first == id)
        });
        let found = found.count();
        assert!(found >= 380, "{found} of 400 were found");
        for (id, _) in kept {
            assert!(nearest.remove(id).is_some());
        }
        assert!(nearest.is_empty() && nearest.search(&Packed::new(&[0.1; DIMENSIONS]), 3).is_empty());
    }

    #[test]
    fn equal_embeddings_split_too() {
        let mut nearest = Nearest::new(4);
        for id in 0..2_000 {
            nearest.insert(id, &Packed::new(&[0.5; 4]));
        }
        assert!(nearest.cells.iter().all(|cell| cell.ids.len() <= CELL));
    }
}
