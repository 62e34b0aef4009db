//! Passages like others, over a real store and real indexes, with a small deterministic encoder in place of a model.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use burnish_engine::{
    Engine, EngineError, EngineSettings, IngestOptions, Parts, Pinned, Related, RelatedPassages, RelatedTo,
    Report,
};
use burnish_types::{
    ChunkId, Condition, DocumentId, Filter, Judgement, MetadataValue, Query, SystemClock, Timestamp,
    UserContext,
};
use tempfile::TempDir;

use common::WordVectors;

/// Key, kind and text of each document.
const LIBRARY: [(&str, &str, &str); 9] = [
    ("bridge-steel", "note", "The suspension bridge hangs from steel cables anchored behind granite towers."),
    ("bridge-copy", "note", "The suspension bridge hangs from steel cables, anchored behind granite towers!"),
    ("bridge-toll", "memo", "Drivers crossing the suspension bridge pay a toll below the granite towers."),
    ("bridge-paint", "note", "Painters renew the steel cables of the bridge every seventh summer."),
    ("bread-rye", "note", "Sourdough made with rye flour rises slowly before the baker heats the oven."),
    ("bread-oven", "memo", "The baker heats the oven overnight, then bakes sourdough loaves of rye flour."),
    ("bread-salt", "note", "Salt strengthens dough: the baker weighs flour and salt for sourdough."),
    ("stars-dwarf", "note", "White dwarf stars cool slowly since they fuse nothing anymore."),
    ("stars-giant", "memo", "Giant stars fuse helium after hydrogen, then cool into white dwarf stars."),
];

struct Library {
    engine: Arc<Engine>,
    runtime: tokio::runtime::Runtime,
    folder: TempDir,
}

impl Library {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.jsonl");
        let lines = LIBRARY.map(|(id, kind, text)| {
            format!(r#"{{"_id": "{id}", "title": "", "text": "{text}", "metadata": {{"kind": "{kind}"}}}}"#)
        });
        fs::write(&path, lines.join("\n")).unwrap();
        let engine = open(&folder.path().join("data"));
        let report = engine.ingest(&[path], IngestOptions::default(), &|_| {}).unwrap();
        assert_eq!((report.documents, report.refused.len()), (9, 0), "{:?}", report.refused);
        Self { engine, runtime: runtime(), folder }
    }

    fn reopened(self) -> Self {
        let Self { engine, runtime, folder } = self;
        drop(engine);
        let engine = open(&folder.path().join("data"));
        Self { engine, runtime, folder }
    }

    fn passage(&self, name: &str) -> (DocumentId, ChunkId) {
        let catalogue = self.engine.catalogue().unwrap();
        let found = catalogue.iter().find(|(key, ..)| key.ends_with(&format!("#{name}"))).unwrap();
        (found.1, found.2[0])
    }

    fn chunk(&self, name: &str) -> ChunkId {
        self.passage(name).1
    }

    fn related(&self, to: RelatedTo) -> RelatedPassages {
        self.ask(Related { top_k: 3, ..wanted(to) }).unwrap()
    }

    fn ask(&self, related: Related) -> Result<RelatedPassages, EngineError> {
        self.runtime.block_on(self.engine.related(related))
    }

    fn say(&self, of: &RelatedPassages, judgement: Judgement) {
        let report = Report::new(of.answered.decision.id, judgement);
        self.runtime.block_on(self.engine.feedback(report)).unwrap();
    }

    /// Searches as `user`, and says of `name` that it is what was looked for.
    fn confirm(&self, user: &str, question: &str, name: &str) {
        let query = Query { user: named(user), ..question_of(question) };
        let found = self.runtime.block_on(self.engine.search(query, Pinned::default())).unwrap();
        let judgement = Judgement::Passage { chunk: self.chunk(name), correct: true };
        self.runtime.block_on(self.engine.feedback(Report::new(found.decision.id, judgement))).unwrap();
    }
}

fn open(data: &Path) -> Arc<Engine> {
    let mut settings = EngineSettings::new(data);
    settings.planner.policy = "conservative:0".to_owned();
    let parts = Parts { embedder: Arc::new(WordVectors), models: Vec::new(), clock: Arc::new(SystemClock) };
    Engine::open(settings, parts).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn named(user: &str) -> UserContext {
    UserContext { user: Some(user.to_owned()), ..UserContext::default() }
}

fn wanted(to: RelatedTo) -> Related {
    Related { to, user: UserContext::default(), filter: Filter::default(), top_k: 5, per_document: None }
}

fn question_of(text: &str) -> Query {
    Query { top_k: 3, ..common::question(text) }
}

/// The names of the documents found, in order.
fn names(found: &RelatedPassages) -> Vec<&str> {
    let keys = found.answered.answer.evidence.iter().map(|evidence| evidence.document_key.as_str());
    keys.map(|key| key.rsplit('#').next().unwrap()).collect()
}

#[test]
fn a_passage_has_its_like_and_never_itself_again() {
    let library = Library::new();
    let (document, chunk) = library.passage("bridge-steel");
    for to in [RelatedTo::Chunk(chunk), RelatedTo::Document(document)] {
        let found = library.related(to);
        let mut two = names(&found)[..2].to_vec();
        two.sort_unstable();
        assert_eq!(two, ["bridge-paint", "bridge-toll"], "{to:?}: neither itself nor its copy");
        assert!(!names(&found).contains(&"bridge-copy") && !names(&found).contains(&"bridge-steel"));
        assert_eq!(found.because.len(), found.answered.answer.evidence.len());
        assert!(found.because.iter().all(|because| because.chunk == chunk && because.document == document));
        assert!(found.because[0].likeness > found.because[2].likeness);

        let decision = &found.answered.decision;
        let stored = library.runtime.block_on(library.engine.decision(decision.id)).unwrap().unwrap();
        assert_eq!(&stored.decision, decision);
        assert_eq!(stored.answer.unwrap().evidence, found.answered.answer.evidence);
        let choice = decision.choice().unwrap();
        assert_eq!((choice.plan.strategy.as_str(), choice.propensity), ("related", 1.0));
        assert_eq!(decision.policy, "related");
        assert!(decision.query.contains("anchored behind granite towers."), "{}", decision.query);
    }
    let unrecorded = library.engine.probe_related(&wanted(RelatedTo::Chunk(chunk))).unwrap();
    let id = unrecorded.answered.decision.id;
    assert!(library.runtime.block_on(library.engine.decision(id)).unwrap().is_none());
}

#[test]
fn filters_and_quotas_hold() {
    let library = Library::new();
    let to = RelatedTo::Chunk(library.chunk("bridge-steel"));
    let memo = Condition::Equals("kind".to_owned(), MetadataValue::Text("memo".to_owned()));
    let found = library.ask(Related { filter: Filter { all: vec![memo] }, ..wanted(to) }).unwrap();
    let mut found = names(&found);
    assert_eq!(found[0], "bridge-toll");
    found.sort_unstable();
    assert_eq!(found, ["bread-oven", "bridge-toll", "stars-giant"]);

    let stops = ["harbour", "castle", "market", "airport", "stadium", "hospital", "forest", "theatre"];
    let text =
        stops.map(|stop| format!("# The {stop} line\n\nTrains reach the {stop}, {stop} and {stop}.\n\n"));
    let path = library.folder.path().join("trains.md");
    fs::write(&path, text.concat()).unwrap();
    library.engine.ingest(&[path], IngestOptions::default(), &|_| {}).unwrap();
    let catalogue = library.engine.catalogue().unwrap();
    let (_, trains, chunks) = catalogue.iter().find(|(key, ..)| key.ends_with("trains.md")).unwrap();
    assert!(chunks.len() > 6, "the parts are passages of their own");
    let of_trains = |per_document: Option<usize>| {
        let related = Related { top_k: 6, per_document, ..wanted(RelatedTo::Chunk(chunks[0])) };
        let found = library.ask(related).unwrap();
        let evidence = found.answered.answer.evidence;
        evidence.iter().filter(|passage| passage.document == *trains).count()
    };
    assert_eq!((of_trains(None), of_trains(Some(1)), of_trains(Some(4))), (2, 1, 4));
    let all = library.ask(Related { top_k: 20, ..wanted(RelatedTo::Document(*trains)) }).unwrap();
    assert!(all.answered.answer.evidence.iter().all(|passage| passage.document != *trains));
}

#[test]
fn feedback_on_what_is_related_moves_that_and_no_answers() {
    let library = Library::new();
    let steel = RelatedTo::Chunk(library.chunk("bridge-steel"));
    let before = library.related(steel);
    assert!(!names(&before)[..2].contains(&"stars-dwarf"));
    let judgement = |correct| Judgement::Passage { chunk: library.chunk("stars-dwarf"), correct };
    library.say(&before, judgement(true));
    let toll = before.answered.answer.evidence.iter().find(|found| found.document_key.ends_with("toll"));
    library.say(&before, Judgement::Passage { chunk: toll.unwrap().chunk, correct: false });
    // A question in the words of the passage is none that the verdict answers.
    let words = "The suspension bridge hangs from steel cables anchored behind granite towers.";
    let search = |library: &Library| {
        let found = library.runtime.block_on(library.engine.search(question_of(words), Pinned::default()));
        found.unwrap().answer.evidence
    };
    let check = |library: &Library| {
        let after = library.related(steel);
        assert_eq!(names(&after)[0], "stars-dwarf");
        assert!(!names(&after)[..2].contains(&"bridge-toll"), "{:?}", names(&after));
        let why = after.answered.answer.evidence[0].lifted.clone().unwrap();
        assert_eq!((why.confirmed_by, why.rejected_by), (1, 0));
        assert!(why.question.contains("suspension bridge"), "{why:?}");
        // Its copy profits, another matter does not.
        let copy = library.related(RelatedTo::Chunk(library.chunk("bridge-copy")));
        assert!(copy.answered.answer.evidence.iter().any(|found| found.lifted.is_some()));
        let bread = library.related(RelatedTo::Chunk(library.chunk("bread-rye")));
        assert!(bread.answered.answer.evidence.iter().all(|found| found.lifted.is_none()));
        assert!(search(library).iter().all(|found| found.lifted.is_none()), "answers are not moved");
        let foreign = Related {
            user: UserContext { tenant: Some("acme".to_owned()), ..UserContext::default() },
            ..wanted(steel)
        };
        assert!(!names(&library.ask(foreign).unwrap())[..1].contains(&"stars-dwarf"), "another tenant's");
    };
    check(&library);
    let library = library.reopened();
    check(&library);
    // Nothing of it is said of the strategies that answer questions.
    let standing = library.runtime.block_on(library.engine.standing()).unwrap();
    assert_eq!((standing.decisions, standing.judged), (2, 0), "the searches alone");
    assert!(library.engine.learned().iter().all(|(_, expected)| expected.outcomes == 0));
    assert!(library.engine.judged_decisions(Timestamp(0), Timestamp(u64::MAX)).unwrap().is_empty());
}

#[test]
fn people_are_offered_what_is_like_what_they_liked() {
    let library = Library::new();
    let ada = |top_k: usize| Related { user: named("ada"), top_k, ..wanted(RelatedTo::User) };
    let nothing = library.ask(ada(4)).unwrap();
    assert!(names(&nothing).is_empty() && !nothing.answered.answer.found);
    assert!(nothing.answered.decision.reason.contains("nothing is known of `ada`"));
    assert!(matches!(library.ask(wanted(RelatedTo::User)), Err(EngineError::InvalidQuery(_))));

    library.confirm("ada", "How do suspension bridges hang?", "bridge-steel");
    library.confirm("ada", "When does the baker heat the oven?", "bread-oven");
    library.confirm("bob", "How do dwarf stars cool?", "stars-dwarf");
    let found = library.ask(ada(4)).unwrap();
    let mut four = names(&found);
    assert_eq!(found.answered.decision.reason, "passages like the 2 that `ada` confirmed, used or opened");
    for (name, because) in four.iter().zip(&found.because) {
        let liked = if name.starts_with("bridge") { "bridge-steel" } else { "bread-oven" };
        assert_eq!(because.chunk, library.chunk(liked), "{name}");
    }
    four.sort_unstable();
    assert_eq!(four, ["bread-rye", "bread-salt", "bridge-paint", "bridge-toll"], "both interests, no copy");

    // What was offered and opened is liked, what was refused is not offered again.
    let of = |name: &str| library.chunk(name);
    library.say(&found, Judgement::Opened { chunk: of("bread-salt") });
    library.say(&found, Judgement::Passage { chunk: of("bridge-toll"), correct: false });
    let again = library.ask(ada(9)).unwrap();
    assert!(again.answered.decision.reason.contains("the 3 that"), "{}", again.answered.decision.reason);
    for seen in ["bridge-steel", "bread-oven", "bread-salt", "bridge-toll"] {
        assert!(!names(&again).contains(&seen), "{seen} in {:?}", names(&again));
    }
    // Nobody else is moved by it.
    let bob = library.ask(Related { user: named("bob"), ..wanted(RelatedTo::User) }).unwrap();
    assert_eq!(names(&bob)[0], "stars-giant");
    assert!(bob.answered.answer.evidence.iter().all(|found| found.lifted.is_none()));
    let words = "for ada, from what was confirmed, used and opened";
    let search = library.runtime.block_on(library.engine.search(question_of(words), Pinned::default()));
    assert!(search.unwrap().answer.evidence.iter().all(|found| found.lifted.is_none()));

    library.runtime.block_on(library.engine.forget_user(None, "ada".to_owned())).unwrap();
    assert!(names(&library.ask(ada(4)).unwrap()).is_empty());
}

#[test]
fn what_is_not_there_has_nothing_like_it() {
    let library = Library::new();
    let nowhere = |to| library.ask(wanted(to)).err().unwrap().to_string();
    assert_eq!(nowhere(RelatedTo::Chunk(ChunkId(999))), "no passage has the id `999`");
    assert_eq!(nowhere(RelatedTo::Document(DocumentId(999))), "no document has the id `999`");
    let to = RelatedTo::Chunk(library.chunk("bread-rye"));
    for related in [Related { top_k: 0, ..wanted(to) }, Related { per_document: Some(0), ..wanted(to) }] {
        assert!(matches!(library.ask(related), Err(EngineError::InvalidQuery(_))));
    }
}
