//! The crate from outside: real files, a real socket, and an encoder written down a second time to compare with.

#![expect(clippy::unwrap_used, clippy::panic, reason = "what serves tests may fail like tests")]

mod cached;
mod encoder;
mod loading;
mod naive;
mod reference;
mod remote;
mod tiny;
