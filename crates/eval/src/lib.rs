//! What says how good retrieval is: test collections in BEIR's layout, trec_eval's measures, seeded
//! bootstrap intervals, and TREC runs and qrels, so that others' tools can check the figures.

pub mod adaptive;
pub mod batch;
pub mod bootstrap;
pub mod cache;
pub mod choice;
pub mod classification;
pub mod context;
pub mod dataset;
pub mod drift;
mod error;
pub mod joint;
pub mod measures;
pub mod offline;
pub mod open_bandit;
pub mod outcome_table;
pub mod promotion;
pub mod prompt_credit;
pub mod prompt_search;
pub mod prompt_trials;
pub mod questions;
pub mod related;
pub mod replay;
pub mod retrieval;
pub mod routing;
pub mod selective;
pub mod stream;
pub mod trec;

pub use error::EvalError;
