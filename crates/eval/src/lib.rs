//! What says how good retrieval is: test collections in BEIR's layout, trec_eval's measures, seeded
//! bootstrap intervals, and TREC runs and qrels, so that others' tools can check the figures.

pub mod bootstrap;
pub mod dataset;
mod error;
pub mod measures;
pub mod promotion;
pub mod retrieval;
pub mod trec;

pub use error::EvalError;
