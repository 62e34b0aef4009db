//! The vocabulary that every other crate speaks: documents, queries, plans, answers and outcomes,
//! and the traits at the seams between them. No I/O happens here.

mod answer;
mod batch;
mod clock;
mod document;
mod embed;
mod hash;
mod id;
mod index;
mod model;
mod money;
mod outcome;
mod period;
mod plan;
mod prompt;
mod purse;
mod query;
mod store;

pub use answer::{
    Answer, AnswerOrigin, Citation, Evidence, Lifted, SelectiveChoice, SelectiveKind, Span, Stage,
    StageTiming, Usage,
};
pub use batch::{BatchResult, BatchStanding, BatchState};
pub use clock::{Clock, SystemClock, Timestamp};
pub use document::{
    Chunk, ChunkDraft, Document, DocumentDraft, Format, Location, Metadata, MetadataValue, PageRange,
    RowRange,
};
pub use embed::{EmbedError, Embedder, Embedding, TokenEmbedder, TokenEmbeddings, cosine, dot};
pub use hash::fnv1a;
pub use id::{ChunkId, DocumentId, Generation, InvalidRequestId, RequestId};
pub use index::{Condition, Filter, Hit, IndexError, IndexedChunk, LexicalIndex, VectorIndex};
pub use model::{
    BoxFuture, BoxStream, EndpointFigures, LanguageModel, Message, ModelError, ModelEvent, ModelRequest,
    ModelStream, Price, Role, Spending,
};
pub use money::Money;
pub use outcome::{Judgement, Outcome};
pub use period::Period;
pub use plan::{
    Answerer, CacheChoice, CacheKind, Candidate, Decision, Parameters, Plan, Prediction, Sketch, Strategy,
};
pub use prompt::{AnswerFormat, Assignment, Characteristics, PromptPlan, Prompted};
pub use purse::{Purse, Reservation, SharedPurse};
pub use query::{Query, QueryFeatures, UserContext};
pub use store::{ChangeSet, LoggedOutcome, Recorded, Store, StoreError, StoredDecision, Totals};
