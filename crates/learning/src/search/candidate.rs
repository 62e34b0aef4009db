//! Candidates, where they come from, what became of them, and their outcomes in few numbers.

use serde::{Deserialize, Serialize};

use crate::credit::Row;

/// A combination of blocks that requests may be served with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Never used twice in one search.
    pub id: u64,
    /// The place of the option of each slot.
    pub options: Vec<u16>,
    /// The candidates that it was made from; they may be gone.
    pub parents: Vec<u64>,
    /// How it was made.
    pub born: Born,
    /// The label that it was made for; `None` for all.
    pub context: Option<u16>,
    /// Outcomes of its own.
    pub outcomes: u64,
}

/// How a candidate was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Born {
    /// It was there at the beginning.
    Founder,
    /// From blocks of others, as credit would have them.
    Recombined,
    /// From another by a shorter block where credit says that it costs nothing.
    Shortened,
    /// As credit would have it for one kind of request.
    Specialised,
    /// From one that was made for one kind of request, as credit would have it for all.
    Generalised,
    /// With a text that was added to a slot.
    Rewritten,
}

/// What happened to the pool.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A candidate came.
    Added(Candidate),
    /// A candidate went.
    Dropped {
        /// Its id.
        candidate: u64,
        /// Why, in words.
        reason: String,
    },
}

/// All outcomes of one combination for one label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Cell {
    options: Vec<u16>,
    context: u16,
    count: f64,
    quality: f64,
    squares: f64,
    counted: f64,
    tokens: f64,
}

impl Cell {
    pub(super) fn new(row: &Row) -> Self {
        let (options, context) = (row.options.clone(), row.context);
        Self { options, context, count: 0.0, quality: 0.0, squares: 0.0, counted: 0.0, tokens: 0.0 }
    }

    pub(super) fn is_of(&self, row: &Row) -> bool {
        self.context == row.context && self.options == row.options
    }

    pub(super) fn observe(&mut self, row: &Row) {
        self.count += row.weight;
        self.quality += row.weight * row.quality;
        self.squares += row.weight * row.quality * row.quality;
        if let Some(tokens) = row.output_tokens {
            self.counted += row.weight;
            self.tokens += row.weight * tokens;
        }
    }

    /// Two outcomes with the same count, mean and squares: for a regression the same as all of them.
    pub(super) fn rows(&self) -> [Row; 2] {
        let mean = self.quality / self.count;
        // With these shares both lie in [0, 1] if the qualities did, and are 1 and 0 if those were.
        let deviation = (self.squares / self.count - mean * mean).max(0.0).sqrt();
        let odds = if mean > 0.0 && mean < 1.0 { ((1.0 - mean) / mean).sqrt() } else { 1.0 };
        let row = |quality: f64, share: f64| Row {
            options: self.options.clone(),
            context: self.context,
            quality: quality.clamp(0.0, 1.0),
            weight: self.count * share,
            output_tokens: (self.counted > 0.0).then(|| self.tokens / self.counted),
        };
        let above = 1.0 / (1.0 + odds * odds);
        [row(mean + deviation * odds, above), row(mean - deviation / odds, 1.0 - above)]
    }
}
