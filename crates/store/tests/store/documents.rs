//! Documents, generations and what changed between them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use burnish_store::SqliteStore;
use burnish_types::{
    ChangeSet, ChunkId, DocumentId, Generation, IndexedChunk, Location, MetadataValue, Store, Timestamp,
};
use proptest::prelude::*;

use crate::fixtures::{document, open};

#[test]
fn documents_and_chunks_come_back_as_they_were() {
    let directory = tempfile::tempdir().unwrap();
    let given = document("a.md", "a.md", 1, 3);
    let changes = open(directory.path()).put_documents(vec![given.clone()], Timestamp(5)).unwrap();
    let store = open(directory.path());

    let documents = store.documents(None, 10).unwrap();
    let [stored] = documents.as_slice() else { panic!("{documents:?}") };
    let (draft, embeddings) = given;
    assert_eq!((&stored.key, &stored.source, &stored.title), (&draft.key, &draft.source, &draft.title));
    assert_eq!((stored.format, &stored.metadata), (draft.format, &draft.metadata));
    assert_eq!(
        (&stored.content_hash, stored.chunks, stored.stored_at),
        (&draft.content_hash, 3, Timestamp(5))
    );
    assert_eq!(store.document(stored.id).unwrap().as_ref(), Some(stored));

    let chunks = store.document_chunks(stored.id).unwrap();
    assert_eq!(chunks.len(), 3);
    for (ordinal, (chunk, expected)) in chunks.iter().zip(&draft.chunks).enumerate() {
        assert_eq!((chunk.document, chunk.ordinal as usize), (stored.id, ordinal));
        assert_eq!((&chunk.document_key, &chunk.title), (&draft.key, &draft.title));
        assert_eq!(
            (&chunk.text, &chunk.location, chunk.tokens),
            (&expected.text, &expected.location, expected.tokens)
        );
    }

    assert_eq!((changes.generation, changes.removed.len()), (Generation(1), 0));
    for ((indexed, chunk), embedding) in changes.added.iter().zip(&chunks).zip(&embeddings) {
        assert_eq!((indexed.id, &indexed.text, &indexed.embedding), (chunk.id, &chunk.text, embedding));
        for (field, value) in [("format", "markdown"), ("source", "a.md"), ("document", "a.md")] {
            assert_eq!(indexed.metadata[field], MetadataValue::Text(value.to_owned()));
        }
        assert_eq!(indexed.metadata["year"], MetadataValue::Number(2_026.5));
    }
}

#[test]
fn chunks_come_in_the_order_asked_without_those_that_are_gone() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let changes = store.put_documents(vec![document("a", "a", 1, 4)], Timestamp(1)).unwrap();
    let ids: Vec<_> = changes.added.iter().map(|chunk| chunk.id).collect();
    let asked = [ids[2], ChunkId(999), ids[0], ids[2]];
    let found: Vec<_> = store.chunks(&asked).unwrap().into_iter().map(|chunk| chunk.id).collect();
    assert_eq!(found, [ids[2], ids[0], ids[2]]);
}

#[test]
fn documents_are_listed_in_pages() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let batch = (0..5).map(|n| document(&format!("{n}"), "s", 1, 1)).collect();
    store.put_documents(batch, Timestamp(1)).unwrap();
    let (mut after, mut keys) = (None, Vec::new());
    loop {
        let page = store.documents(after, 2).unwrap();
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        keys.extend(page.into_iter().map(|document| document.key));
    }
    assert_eq!(keys, ["0", "1", "2", "3", "4"]);
    assert_eq!(store.documents(None, usize::MAX).unwrap().len(), 5);
}

#[test]
fn a_source_counts_as_stored_until_one_of_its_documents_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let finish = |hash| store.finish_source("s", hash, Timestamp(1)).unwrap();
    let hash = || store.source_hash("s").unwrap();

    store.put_documents(vec![document("s#1", "s", 1, 1), document("s#2", "s", 1, 1)], Timestamp(1)).unwrap();
    assert_eq!((hash(), store.sources().unwrap()), (None, vec!["s".to_owned()]));
    finish("h1");
    store.put_documents(vec![document("t", "t", 1, 1)], Timestamp(1)).unwrap();
    assert_eq!(hash().as_deref(), Some("h1"));

    store.put_documents(vec![document("s#1", "s", 2, 1)], Timestamp(1)).unwrap();
    assert_eq!(hash(), None);
    finish("h2");
    let moved = document("s#1", "elsewhere", 3, 1);
    store.put_documents(vec![moved], Timestamp(1)).unwrap();
    assert_eq!(hash(), None);
    finish("h3");

    let rest = store.source_documents("s").unwrap();
    let [(id, key, content_hash)] = rest.as_slice() else { panic!("{rest:?}") };
    assert_eq!((key.as_str(), content_hash.as_str()), ("s#2", "1"));
    store.remove_documents(&[*id]).unwrap();
    assert_eq!((hash(), store.sources().unwrap()), (None, vec!["elsewhere".to_owned(), "t".to_owned()]));
}

#[test]
fn what_cannot_be_stored_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let mut uneven = document("uneven", "s", 1, 2);
    uneven.1.pop();
    let mut not_a_number = document("nan", "s", 1, 1);
    not_a_number.0.metadata.insert("share".to_owned(), MetadataValue::Number(f64::NAN));
    for (bad, expected) in [(uneven, "2 chunks and 1 embeddings"), (not_a_number, "document's metadata")] {
        let error = store.put_documents(vec![document("good", "s", 1, 1), bad], Timestamp(1)).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!((store.totals().unwrap().documents, store.generation().unwrap()), (0, Generation(0)));
    }
}

#[test]
fn forgotten_removals_are_no_longer_told() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let first = store.put_documents(vec![document("a", "a", 1, 2)], Timestamp(1)).unwrap();
    let second = store.put_documents(vec![document("a", "a", 2, 1)], Timestamp(1)).unwrap();
    let third = store.put_documents(vec![document("a", "a", 3, 1)], Timestamp(1)).unwrap();
    store.forget_removals(second.generation).unwrap();
    let changes = store.changes(first.generation, 100).unwrap();
    assert_eq!(changes, ChangeSet { generation: third.generation, ..third });
}

#[test]
fn readers_see_what_was_committed_while_others_write() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let written = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                while !written.load(Ordering::Relaxed) {
                    let documents = store.documents(None, 10).unwrap();
                    let versions: BTreeSet<_> =
                        documents.iter().map(|document| &document.content_hash).collect();
                    assert!(versions.len() <= 1, "{versions:?}");
                }
            });
        }
        for version in 1..=40 {
            let batch = vec![document("a", "s", version, 3), document("b", "s", version, 3)];
            store.put_documents(batch, Timestamp(version)).unwrap();
        }
        written.store(true, Ordering::Relaxed);
    });
    assert_eq!(store.document(DocumentId(1)).unwrap().unwrap().content_hash, "40");
}

#[test]
fn what_a_new_version_has_in_common_with_the_last_keeps_its_id() {
    type Version<'a> = (&'a str, &'a [&'a str]);
    // The new version, and for each of its chunks the place in the old one of the chunk that it is.
    let old: Version<'_> = ("Title", &["one", "two", "two", "three"]);
    let cases: &[(Version<'_>, &[Option<usize>])] = &[
        (old, &[Some(0), Some(1), Some(2), Some(3)]),
        (("Title", &["one", "two, edited", "three"]), &[Some(0), None, Some(3)]),
        (("Title", &["new", "three", "  one\n"]), &[None, Some(3), Some(0)]),
        (("Title", &["two", "two", "two"]), &[Some(1), Some(2), None]),
        (("Title", &["One"]), &[None]),
        (("Other title", old.1), &[None; 4]),
        (("Title", &[]), &[]),
    ];
    let draft = |(title, texts): Version<'_>, version: u64| {
        let (mut draft, embeddings) = document("a", "s", version, texts.len());
        draft.title = title.to_owned();
        for (chunk, text) in draft.chunks.iter_mut().zip(texts) {
            chunk.text = (*text).to_owned();
            // Where it stands has no part in what it is.
            chunk.location = Location { headings: Vec::new(), ..chunk.location.clone() };
        }
        (draft, embeddings)
    };
    for (new, expected) in cases {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path());
        let first = store.put_documents(vec![draft(old, 1)], Timestamp(1)).unwrap();
        let second = store.put_documents(vec![draft(*new, 2)], Timestamp(2)).unwrap();
        let place = |id: ChunkId| first.added.iter().position(|chunk| chunk.id == id);
        let found: Vec<Option<usize>> = second.added.iter().map(|chunk| place(chunk.id)).collect();
        assert_eq!(found, *expected, "{new:?}");
        for chunk in &second.added {
            match place(chunk.id) {
                Some(place) => assert_eq!(chunk.embedding, first.added[place].embedding),
                None => assert!(chunk.id > first.added[3].id, "an id was used twice"),
            }
        }
        let gone = (0..4).filter(|place| !expected.contains(&Some(*place)));
        let gone: Vec<ChunkId> = gone.map(|place| first.added[place].id).collect();
        assert_eq!(second.removed, gone, "{new:?}");
        let stored = store.document_chunks(DocumentId(1)).unwrap();
        let texts: Vec<&str> = stored.iter().map(|chunk| chunk.text.as_str()).collect();
        assert_eq!(texts, new.1, "in the new order");
        assert_eq!(store.changes(first.generation, 100).unwrap().removed, second.removed);
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// Documents as (key, source, chunks, how many of them say nothing of their version).
    Put(Vec<(u8, u8, usize, usize)>),
    /// Places in the list of documents, or beyond.
    Remove(Vec<usize>),
}

fn step() -> impl Strategy<Value = Step> {
    let documents = proptest::collection::vec((0..6u8, 0..3u8, 0..4usize, 0..4usize), 0..4);
    let places = proptest::collection::vec(0..8usize, 0..3);
    prop_oneof![3 => documents.prop_map(Step::Put), 1 => places.prop_map(Step::Remove)]
}

/// What an index holds that follows the store.
type Index = BTreeMap<ChunkId, IndexedChunk>;

fn follow(index: &mut Index, changes: &ChangeSet) {
    index.extend(changes.added.iter().map(|chunk| (chunk.id, chunk.clone())));
    changes.removed.iter().for_each(|id| drop(index.remove(id)));
}

/// The store beside the simplest thing that behaves like it.
struct Model {
    store: SqliteStore,
    /// Key to source, version and number of chunks.
    documents: BTreeMap<String, (String, u64, usize)>,
    /// The index as it was at each generation, the first being 0.
    history: Vec<Index>,
    /// The generation in which each chunk last came.
    came: BTreeMap<ChunkId, usize>,
    newest_chunk: ChunkId,
    version: u64,
}

impl Model {
    fn take(&mut self, step: &Step) {
        let changes = match step {
            Step::Put(documents) => self.put(documents),
            Step::Remove(places) => self.remove(places),
        };
        for chunk in &changes.added {
            let known = self.history.last().unwrap().get(&chunk.id);
            match known {
                Some(known) => {
                    let same = |chunk: &IndexedChunk| {
                        (chunk.document, chunk.heading.clone(), chunk.text.clone(), chunk.embedding.clone())
                    };
                    assert_eq!(same(chunk), same(known), "what an id names never changes");
                }
                None => assert!(chunk.id > self.newest_chunk, "an id was used twice"),
            }
            self.came.insert(chunk.id, changes.generation.0 as usize);
        }
        self.newest_chunk =
            changes.added.iter().map(|chunk| chunk.id).max().max(Some(self.newest_chunk)).unwrap();
        let mut index = self.history.last().unwrap().clone();
        follow(&mut index, &changes);
        match changes.generation.0 as usize {
            same if same + 1 == self.history.len() => assert_eq!(Some(&index), self.history.last()),
            next => {
                assert_eq!(next, self.history.len());
                self.history.push(index);
            }
        }
    }

    fn put(&mut self, documents: &[(u8, u8, usize, usize)]) -> ChangeSet {
        let mut drafts = Vec::new();
        for &(key, source, chunks, lasting) in documents {
            self.version += 1;
            let (key, source) = (format!("k{key}"), format!("s{source}"));
            let mut draft = document(&key, &source, self.version, chunks);
            for (part, chunk) in draft.0.chunks.iter_mut().take(lasting).enumerate() {
                chunk.text = format!("{key}, part {part}");
            }
            drafts.push(draft);
            self.documents.insert(key, (source, self.version, chunks));
        }
        self.store.put_documents(drafts, Timestamp(1)).unwrap()
    }

    fn remove(&mut self, places: &[usize]) -> ChangeSet {
        let documents = self.store.documents(None, 100).unwrap();
        let mut ids = vec![DocumentId(u64::from(u32::MAX))];
        for document in places.iter().filter_map(|&place| documents.get(place)) {
            self.documents.remove(&document.key);
            ids.push(document.id);
        }
        self.store.remove_documents(&ids).unwrap()
    }

    fn check_contents(&self) {
        let stored = self.store.documents(None, 100).unwrap();
        let version = |text: &str| text.parse::<u64>().unwrap();
        let stored: BTreeMap<_, _> = stored
            .into_iter()
            .map(|document| {
                (document.key, (document.source, version(&document.content_hash), document.chunks as usize))
            })
            .collect();
        assert_eq!(stored, self.documents);
        let index = self.history.last().unwrap();
        assert_eq!(self.store.chunk_ids().unwrap(), index.keys().copied().collect::<Vec<_>>());
        let totals = self.store.totals().unwrap();
        assert_eq!((totals.documents as usize, totals.chunks as usize), (self.documents.len(), index.len()));
    }

    /// An index that was left at `since` comes to the newest state in pages of about `limit`.
    fn check_changes(&self, since: usize, limit: usize) {
        let newest = Generation(self.history.len() as u64 - 1);
        let since = since % self.history.len();
        let mut index = self.history[since].clone();
        let mut at = Generation(since as u64);
        loop {
            let changes = self.store.changes(at, limit).unwrap();
            let size = changes.added.len() + changes.removed.len();
            if size == 0 {
                assert_eq!(changes.generation, newest);
                break;
            }
            assert!(changes.generation > at);
            assert!(
                size <= limit.max(1) || self.generations(&changes) == 1,
                "{size} changes for a limit of {limit}"
            );
            follow(&mut index, &changes);
            at = changes.generation;
        }
        assert_eq!(&index, self.history.last().unwrap());
    }

    /// How many generations `changes` is made of, by when each of its chunks came or went.
    fn generations(&self, changes: &ChangeSet) -> usize {
        let gone = |id: &ChunkId| self.history.iter().rposition(|index| index.contains_key(id)).unwrap() + 1;
        let added = changes.added.iter().map(|chunk| self.came[&chunk.id]);
        let removed = changes.removed.iter().map(gone);
        added.chain(removed).collect::<BTreeSet<_>>().len()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_index_that_follows_the_changes_ends_where_the_store_is(
        steps in proptest::collection::vec(step(), 1..16),
        probes in proptest::collection::vec((0..16usize, 0..12usize), 4),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let mut model = Model {
            store: open(directory.path()),
            documents: BTreeMap::new(),
            history: vec![Index::new()],
            came: BTreeMap::new(),
            newest_chunk: ChunkId(0),
            version: 0,
        };
        for step in &steps {
            model.take(step);
        }
        model.check_contents();
        for (since, limit) in probes {
            model.check_changes(since, limit);
        }
    }
}

#[test]
fn the_document_ids_of_removed_documents_are_not_used_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let put = |key: &str| {
        store.put_documents(vec![document(key, "s", 1, 1)], Timestamp(1)).unwrap().added[0].clone()
    };
    let first = put("a");
    store.remove_documents(&[first.document]).unwrap();
    let second = put("a");
    assert!(second.document > first.document && second.id > first.id);
    assert_eq!(store.document(first.document).unwrap(), None);
}
