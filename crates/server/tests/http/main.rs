//! The API and the page over a real port, with a real client, before a real engine in a directory of its own.

#![expect(clippy::unwrap_used, clippy::panic, reason = "functions that tests call are tests too")]

mod answers;
mod bad_input;
mod batch;
mod context;
mod corpus;
mod description;
mod harness;
mod learning;
mod page;
mod planning;
mod prompts;
mod related;
mod serving;
