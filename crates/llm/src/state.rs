//! What is remembered of endpoints, and what is decided from it: breakers, latencies, budgets of retries and of money.
//! Nothing here waits, reads a clock or draws a number: the time and the lots are handed in.

pub(crate) mod breaker;
pub(crate) mod budget;
pub(crate) mod choice;
pub(crate) mod latency;
pub(crate) mod retry;
