//! How retrieved text is put before a language model: as material to read, whatever stands in it. No model is asked here.

mod passages;

pub use passages::{delimited, undelimited};
