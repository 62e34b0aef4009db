//! What says how good retrieval is: test collections in BEIR's layout, trec_eval's measures, seeded
//! bootstrap intervals, and TREC runs and qrels, so that others' tools can check the figures.

pub mod adaptive;
pub mod bootstrap;
pub mod classification;
pub mod dataset;
mod error;
pub mod measures;
pub mod questions;
pub mod retrieval;
pub mod trec;

pub use error::EvalError;
