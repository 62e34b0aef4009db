//! Documents, decisions, answers and outcomes to write.

use std::collections::BTreeMap;
use std::path::Path;

use burnish_store::SqliteStore;
use burnish_types::{
    Answer, AnswerOrigin, Answerer, BoxFuture, Candidate, ChunkDraft, ChunkId, Citation, Decision,
    DocumentDraft, DocumentId, Embedding, Evidence, Format, Judgement, Location, Metadata, MetadataValue,
    Money, Outcome, PageRange, Plan, Prediction, QueryFeatures, RequestId, RowRange, Span, Stage,
    StageTiming, Strategy, Timestamp, Usage, UserContext,
};

pub(crate) fn open(directory: &Path) -> SqliteStore {
    SqliteStore::open(directory).unwrap()
}

pub(crate) fn resolve<T>(future: BoxFuture<'static, T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// A document of `chunks` chunks, whose texts and hash tell its `version`.
pub(crate) fn document(
    key: &str,
    source: &str,
    version: u64,
    chunks: usize,
) -> (DocumentDraft, Vec<Embedding>) {
    let metadata = Metadata::from([
        ("year".to_owned(), MetadataValue::Number(2_026.5)),
        ("draft".to_owned(), MetadataValue::Bool(version % 2 == 1)),
        ("format".to_owned(), MetadataValue::Text("the document's own, which gives way".to_owned())),
    ]);
    let chunk = |ordinal: usize| ChunkDraft {
        text: format!("{key}, version {version}, part {ordinal}: größer ≠ 'quoted' \u{1F600}"),
        location: location(ordinal),
        tokens: 7 + ordinal as u32,
    };
    let draft = DocumentDraft {
        key: key.to_owned(),
        source: source.to_owned(),
        title: format!("On {key}"),
        format: Format::Markdown,
        metadata,
        content_hash: version.to_string(),
        chunks: (0..chunks).map(chunk).collect(),
    };
    let embeddings = (0..chunks).map(|ordinal| vec![0.5, -0.25, version as f32, ordinal as f32]).collect();
    (draft, embeddings)
}

fn location(ordinal: usize) -> Location {
    match ordinal % 3 {
        0 => Location::default(),
        1 => Location { pages: Some(PageRange { first: 1, last: 2 }), ..Location::default() },
        _ => Location {
            headings: vec!["One".to_owned(), "Two".to_owned()],
            rows: Some(RowRange { first: 1, last: 20 }),
            ..Location::default()
        },
    }
}

pub(crate) fn request(number: u64) -> RequestId {
    RequestId::from_parts(1_790_000_000_000 + number, u128::from(number) << 40)
}

pub(crate) fn decision(id: RequestId) -> Decision {
    let plan = Plan {
        strategy: Strategy::new("hybrid"),
        depth: 50,
        context_tokens: 2_000,
        reduction: 0.0,
        answerer: Answerer::Model("small".to_owned()),
        parameters: None,
        prompt: None,
    };
    let prediction = Prediction {
        quality: 0.1 + 0.2,
        quality_deviation: 0.1,
        added: 0.0,
        latency_ms: 12.5,
        cost: Money::ZERO,
        outcomes: 9,
    };
    let other = Candidate {
        plan: Plan { strategy: Strategy::new("sparse"), answerer: Answerer::Extractive, ..plan.clone() },
        prediction,
        propensity: 0.05,
    };
    Decision {
        id,
        at: Timestamp(id.unix_millis()),
        query: "what's “hybrid”?".to_owned(),
        user: UserContext {
            tenant: Some("acme".to_owned()),
            user: None,
            attributes: BTreeMap::from([("role".to_owned(), "nurse".to_owned())]),
        },
        features: QueryFeatures { version: 1, values: BTreeMap::from([("words".to_owned(), 1.0 / 3.0)]) },
        sketch: None,
        policy: "fixed(hybrid), exploration 0.05".to_owned(),
        candidates: vec![Candidate { plan, prediction, propensity: 0.95 }, other],
        chosen: 0,
        reason: "the baseline".to_owned(),
        charge: 0.0,
        cache: None,
        experiment: None,
    }
}

pub(crate) fn answer(at: u64) -> Answer {
    let evidence = Evidence {
        chunk: ChunkId(7),
        document: DocumentId(3),
        document_key: "notes.md".to_owned(),
        title: "Notes".to_owned(),
        location: location(1),
        text: "Hybrid search joins two lists.".to_owned(),
        score: 0.1,
        components: vec![("bm25".to_owned(), 11.3), ("cosine".to_owned(), 0.7)],
        lifted: None,
    };
    Answer {
        text: "It joins two lists [1].".to_owned(),
        found: true,
        citations: vec![Citation { marker: 1, chunk: ChunkId(7), quote: Some(Span { start: 0, end: 6 }) }],
        evidence: vec![evidence],
        usage: Usage { input_tokens: 120, cached_input_tokens: 0, output_tokens: 9 },
        cost: Some(Money::from_micros(17)),
        spent: Vec::new(),
        timings: vec![StageTiming { stage: Stage::Retrieve, ms: 4.2 }],
        degraded: None,
        finish_reason: "stop".to_owned(),
        origin: AnswerOrigin::Plan,
        selective: None,
        prompted: None,
        at: Timestamp(at),
    }
}

pub(crate) fn outcome(request: RequestId, judgement: Judgement) -> Outcome {
    let comment = Some("line one\nline two".to_owned());
    Outcome { request, at: Timestamp(request.unix_millis() + 5), judgement, comment, user: None }
}

pub(crate) fn thumb(request: RequestId) -> Outcome {
    outcome(request, Judgement::Thumb { up: true })
}
