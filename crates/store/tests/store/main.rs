//! The store through its public face: what is written is read again, after whatever happens in between.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

mod crash;
mod disk;
mod documents;
mod fixtures;
mod golden;
mod requests;
