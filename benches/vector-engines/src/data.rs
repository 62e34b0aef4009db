//! The vectors, queries and exact answers that every engine is measured against.
//!
//! Unit vectors of a mixture of clusters whose radii differ, like the topics of a text corpus; queries come from the
//! same mixture. Everything follows from one seed.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Components of a vector; that of all-MiniLM-L6-v2.
pub const DIMENSIONS: usize = 384;
/// Results asked for and judged.
pub const TOP: usize = 10;
const CLUSTERS: usize = 1000;

/// Which ids a search may return. Buckets are independent of the clusters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Allowed {
    All,
    Tenth,
    Hundredth,
}

impl Allowed {
    pub const EVERY: [Self; 3] = [Self::All, Self::Tenth, Self::Hundredth];

    pub fn contains(self, id: u64) -> bool {
        match self {
            Self::All => true,
            Self::Tenth => bucket(id).is_multiple_of(10),
            Self::Hundredth => bucket(id) == 0,
        }
    }

    pub fn label(self) -> &'static str {
        match self {
            Self::All => "plain",
            Self::Tenth => "filter 10 %",
            Self::Hundredth => "filter 1 %",
        }
    }
}

/// The bucket 0..100 that an id falls into, which the filters select by.
pub fn bucket(id: u64) -> u64 {
    Random(id).next() % 100
}

/// SplitMix64 (Steele, Lea & Flood 2014).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn uniform(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 24) as f32
    }

    /// A direction drawn uniformly from the sphere (normalised Gaussians by Box and Muller).
    fn direction(&mut self) -> Vec<f32> {
        let gaussian = |random: &mut Self| {
            let radius = (-2.0 * (1.0 - random.uniform()).ln()).sqrt();
            radius * (std::f32::consts::TAU * random.uniform()).cos()
        };
        normalised((0..DIMENSIONS).map(|_| gaussian(self)).collect())
    }
}

fn normalised(mut vector: Vec<f32>) -> Vec<f32> {
    let norm = dot(&vector, &vector).sqrt();
    vector.iter_mut().for_each(|x| *x /= norm);
    vector
}

/// Eight sums side by side, so that the compiler can use vector registers.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    for (x, y) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        for lane in 0..8 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums.iter().sum()
}

/// Vectors, one after another.
pub struct Vectors(pub Vec<f32>);

impl Vectors {
    pub fn len(&self) -> usize {
        self.0.len() / DIMENSIONS
    }

    pub fn get(&self, index: usize) -> &[f32] {
        &self.0[index * DIMENSIONS..(index + 1) * DIMENSIONS]
    }

    pub fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self(bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()))
    }

    fn write(&self, path: &Path) -> Result<()> {
        let bytes: Vec<u8> = self.0.iter().flat_map(|x| x.to_le_bytes()).collect();
        fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Writes `base`, `queries` and `truth` under `dir`.
pub fn generate(dir: &Path, count: usize, queries: usize, seed: u64) -> Result<()> {
    let mut random = Random(seed);
    let centres: Vec<Vec<f32>> = (0..CLUSTERS).map(|_| random.direction()).collect();
    let mut draw = |count: usize| {
        let mut all = Vec::with_capacity(count * DIMENSIONS);
        for _ in 0..count {
            let centre = &centres[random.next() as usize % CLUSTERS];
            let radius = 0.3 + 0.6 * random.uniform();
            let offset = random.direction();
            all.extend(normalised(centre.iter().zip(&offset).map(|(c, o)| c + radius * o).collect()));
        }
        Vectors(all)
    };
    let (base, asked) = (draw(count), draw(queries));
    base.write(&dir.join("base"))?;
    asked.write(&dir.join("queries"))?;
    let truth: Vec<u8> = exact_answers(&base, &asked).iter().flat_map(|id| id.to_le_bytes()).collect();
    fs::write(dir.join("truth"), truth).context("cannot write the exact answers")
}

/// For each query, for each of [`Allowed::EVERY`], the [`TOP`] best ids by brute force on two threads.
fn exact_answers(base: &Vectors, queries: &Vectors) -> Vec<u32> {
    let answer = |query: usize| {
        let mut scored: Vec<(f32, u32)> =
            (0..base.len()).map(|id| (dot(base.get(id), queries.get(query)), id as u32)).collect();
        scored.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        let best = |allowed: Allowed| {
            let ids = scored.iter().map(|s| s.1).filter(move |id| allowed.contains(u64::from(*id)));
            ids.take(TOP).collect::<Vec<_>>()
        };
        Allowed::EVERY.into_iter().flat_map(best).collect::<Vec<u32>>()
    };
    let half = queries.len() / 2;
    std::thread::scope(|scope| {
        let first = scope.spawn(|| (0..half).flat_map(answer).collect::<Vec<_>>());
        let second: Vec<u32> = (half..queries.len()).flat_map(answer).collect();
        let mut all = first.join().unwrap_or_default();
        all.extend(second);
        all
    })
}

/// The exact answers, as [`generate`] wrote them.
pub struct Truth(Vec<u32>);

impl Truth {
    pub fn read(dir: &Path) -> Result<Self> {
        let bytes = fs::read(dir.join("truth")).context("cannot read the exact answers")?;
        Ok(Self(bytes.as_chunks().0.iter().map(|b| u32::from_le_bytes(*b)).collect()))
    }

    /// The share of the exact answers that `found` has.
    pub fn recall(&self, query: usize, allowed: Allowed, found: &[u64]) -> f64 {
        let at = (query * Allowed::EVERY.len() + allowed as usize) * TOP;
        let hits = self.0[at..at + TOP].iter().filter(|id| found.contains(&u64::from(**id))).count();
        hits as f64 / TOP as f64
    }
}
