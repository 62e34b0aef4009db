//! The embedded engines: tantivy for words, usearch for vectors. Both follow the store by generation, and
//! both understand the same filters, since those are resolved in one place.

mod files;
mod lexical;
mod vector;

pub use files::replace_file;
pub use lexical::TantivyIndex;
pub use vector::{FilterResolver, UsearchIndex};
