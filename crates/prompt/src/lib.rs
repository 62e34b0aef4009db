//! Prompts: typed blocks in templates, the operations that adapt them to a question, what a question is like as far as that
//! decides it, and retrieved text put before a model as material to read, whatever stands in it. No model is asked here, and no
//! file is read.

mod block;
mod characteristics;
mod composition;
mod injection;
mod library;
mod operation;
mod passages;
mod template;

pub use block::BlockKind;
pub use characteristics::{Asking, Source, Thresholds, of_evidence, of_question, operations_for};
pub use composition::{Prompt, RenderError, Rendered};
pub use injection::{Suspicion, suspicion};
pub use library::{DEFAULT, Library, LibraryError, OPERATIONS_FILE, SHIPPED, SHIPPED_OPERATIONS};
pub use operation::{Example, Operation, OperationError, Slot};
pub use passages::{delimited, escaped, undelimited};
pub use template::{Block, Front, Inputs, MOST_TOKENS, TOPICS, Template, TemplateError, tokens_of};
