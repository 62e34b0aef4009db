//! Files and folders of text, Markdown, HTML, PDF, DOCX, CSV and JSON Lines to documents, cut into chunks that know
//! where they lie. Nothing here embeds, stores or reaches a network.
//!
//! A file goes `discover → sniff → read → outline → chunks`: every format is read into the same outline of sections
//! and blocks, and one chunker cuts that. Files of records (JSON Lines) are streamed, so that their size is
//! bound by the disk alone.

mod chunk;
mod decode;
mod delimited;
mod discover;
mod docx;
mod fault;
mod grid;
mod html;
mod input;
mod isolate;
mod limits;
mod markdown;
mod outline;
mod pages;
mod pdf;
mod read;
mod records;
mod sentence;
mod sniff;
mod table;
mod text;
mod title;
mod units;

pub use discover::{Discovery, content_hash, discover};
pub use fault::Refusal;
pub use isolate::{PARSE_PDF, run_isolated_parser};
pub use limits::{Chunking, Limits, TokenCounter};
pub use read::{Read, read_bytes, read_file};
