//! Cached answers: exact ones, and similar ones under a bound on how often they are wrong.
//!
//! [`Guarantee`] computes and draws from coins that are handed in; it does no I/O and reads no clock.

mod answers;
mod evidence;
mod guarantee;
mod ledger;
mod model;
mod nearest;
mod network;
mod pacing;
mod question;
mod wording;

pub use answers::{Answers, Fresh, Kept, Key, Scope, Similar, StoredAnswer, compressed_size};
pub use evidence::{Conflict, agree, contradict};
pub use guarantee::{Guarantee, Offer, Promise, Record, Standing, Ticket, Verdict, Why};
pub use question::Question;
