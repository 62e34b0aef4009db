//! Cached answers: exact ones, and similar ones under a bound on how often they are wrong.
//!
//! [`Guarantee`] and [`Allowance`] compute and draw from coins that are handed in; they do no I/O and read no clock.

mod allowance;
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

pub use allowance::{Allowance, Draw, Drawn, Promise, Standing};
pub use answers::{Answers, Fresh, Kept, Key, Scope, Similar, StoredAnswer, compressed_size};
pub use evidence::{Conflict, agree, contradict, denies};
pub use guarantee::{Guarantee, Offer, Record, Ticket, Verdict, Why};
pub use question::Question;
