//! Both engines through their traits: what they find, what filters let through, what survives.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use burnish_index::{TantivyIndex, UsearchIndex};
use burnish_types::{
    ChunkId, Condition, DocumentId, Embedding, Filter, Generation, IndexError, IndexedChunk, LexicalIndex,
    Metadata, MetadataValue, VectorIndex, dot,
};
use proptest::prelude::*;

const DIMENSIONS: usize = 16;

fn vector(seed: u64) -> Embedding {
    let raw: Vec<f32> =
        (0..DIMENSIONS as u64).map(|i| ((seed * (i + 3) * 31 + i * 17 + 1) as f32).sin()).collect();
    let norm = dot(&raw, &raw).sqrt();
    raw.iter().map(|value| value / norm).collect()
}

fn chunk(id: u64, text: &str) -> IndexedChunk {
    let metadata = Metadata::from([
        (
            "format".to_owned(),
            MetadataValue::Text(if id.is_multiple_of(2) { "pdf" } else { "html" }.to_owned()),
        ),
        ("year".to_owned(), MetadataValue::Number(2000.0 + id as f64)),
        ("a.b".to_owned(), MetadataValue::Text("dotted".to_owned())),
        ("draft".to_owned(), MetadataValue::Bool(id.is_multiple_of(3))),
    ]);
    IndexedChunk {
        id: ChunkId(id),
        document: DocumentId(id),
        heading: format!("Title {id}"),
        text: text.to_owned(),
        metadata,
        embedding: vector(id),
    }
}

fn lexical(directory: &Path) -> Arc<TantivyIndex> {
    Arc::new(TantivyIndex::open(&directory.join("lexical")).unwrap())
}

fn vectors(directory: &Path, lexical: &Arc<TantivyIndex>) -> UsearchIndex {
    let filters = Arc::clone(lexical);
    let resolve = Arc::new(move |filter: &Filter| filters.matching(filter));
    UsearchIndex::open(&directory.join("vectors"), DIMENSIONS, resolve).unwrap()
}

fn ids(hits: Vec<burnish_types::Hit>) -> Vec<u64> {
    hits.into_iter().map(|hit| hit.chunk.0).collect()
}

fn set(hits: Vec<burnish_types::Hit>) -> BTreeSet<u64> {
    ids(hits).into_iter().collect()
}

fn only(conditions: Vec<Condition>) -> Filter {
    Filter { all: conditions }
}

#[test]
fn words_are_stemmed_folded_and_never_syntax() {
    let directory = tempfile::tempdir().unwrap();
    let index = lexical(directory.path());
    index
        .apply(
            &[chunk(1, "Caching answers safely"), chunk(2, "The café opens"), chunk(3, "C++ and more")],
            &[],
        )
        .unwrap();
    assert!(
        index.search("caching", &Filter::default(), 10).unwrap().is_empty(),
        "nothing is seen before a commit"
    );
    index.commit(Generation(1)).unwrap();
    let cases: [(&str, &[u64]); 8] = [
        ("cached answer", &[1]),
        ("CAFE", &[2]),
        ("title:1 AND (caching", &[1, 2, 3]),
        ("\"", &[]),
        ("", &[]),
        ("the of and", &[]),
        ("title 3", &[3, 1, 2]),
        ("nowhere", &[]),
    ];
    for (query, expected) in cases {
        let found = ids(index.search(query, &Filter::default(), 10).unwrap());
        let (found, expected): (BTreeSet<_>, BTreeSet<_>) =
            (found.into_iter().collect(), expected.iter().copied().collect());
        assert_eq!(found, expected, "{query:?}");
    }
    assert_eq!(ids(index.search("title 3", &Filter::default(), 1).unwrap()), [3]);
    let idf = index.term_idf("caching titles").unwrap();
    assert!(idf[0].1 > idf[1].1, "a rare word weighs more: {idf:?}");
}

#[test]
fn filters_mean_the_same_to_both_engines() {
    let directory = tempfile::tempdir().unwrap();
    let lexical = lexical(directory.path());
    let vectors = vectors(directory.path(), &lexical);
    let chunks: Vec<_> = (1..=12).map(|id| chunk(id, "the same words everywhere")).collect();
    lexical.apply(&chunks, &[]).unwrap();
    vectors.apply(&chunks, &[]).unwrap();
    lexical.commit(Generation(1)).unwrap();
    vectors.publish();
    let text = |value: &str| MetadataValue::Text(value.to_owned());
    let field = |name: &str| name.to_owned();
    let cases: [(Filter, &[u64]); 8] = [
        (
            only(vec![
                Condition::Equals(field("a.b"), text("dotted")),
                Condition::Equals(field("year"), MetadataValue::Number(2005.0)),
            ]),
            &[5],
        ),
        (only(vec![Condition::Equals(field("format"), text("pdf"))]), &[2, 4, 6, 8, 10, 12]),
        (only(vec![Condition::Equals(field("year"), MetadataValue::Number(2003.0))]), &[3]),
        (only(vec![Condition::Between(field("year"), 2010.5, 2012.0)]), &[11, 12]),
        (only(vec![Condition::Equals(field("draft"), MetadataValue::Bool(true))]), &[3, 6, 9, 12]),
        (
            only(vec![
                Condition::AnyOf(field("format"), vec![text("html"), text("docx")]),
                Condition::Between(field("year"), 2000.0, 2004.0),
            ]),
            &[1, 3],
        ),
        (only(vec![Condition::Equals(field("nowhere"), text("x"))]), &[]),
        (only(vec![Condition::Equals(field("format"), text("PDF"))]), &[]),
    ];
    for (filter, expected) in cases {
        let expected: BTreeSet<u64> = expected.iter().copied().collect();
        assert_eq!(set(lexical.search("words", &filter, 50).unwrap()), expected, "lexical {filter:?}");
        assert_eq!(set(vectors.search(&vector(1), &filter, 50).unwrap()), expected, "vector {filter:?}");
    }
}

#[test]
fn what_was_not_committed_is_gone_and_the_generation_says_so() {
    let directory = tempfile::tempdir().unwrap();
    {
        let lexical = lexical(directory.path());
        let vectors = vectors(directory.path(), &lexical);
        for (generation, id) in [(1, 1), (2, 2)] {
            lexical.apply(&[chunk(id, "word")], &[]).unwrap();
            vectors.apply(&[chunk(id, "word")], &[]).unwrap();
            if generation == 1 {
                lexical.commit(Generation(1)).unwrap();
                vectors.commit(Generation(1)).unwrap();
            }
        }
    }
    let lexical = lexical(directory.path());
    let vectors = vectors(directory.path(), &lexical);
    assert_eq!((lexical.generation(), vectors.generation()), (Generation(1), Generation(1)));
    assert_eq!(lexical.chunk_ids().unwrap(), [ChunkId(1)]);
    assert_eq!(vectors.chunk_ids().unwrap(), [ChunkId(1)]);
    assert_eq!(vectors.embeddings(&[ChunkId(2), ChunkId(1)]).unwrap(), [None, Some(vector(1))]);
}

#[test]
fn a_damaged_graph_is_set_aside() {
    let directory = tempfile::tempdir().unwrap();
    let words = lexical(directory.path());
    {
        let index = vectors(directory.path(), &words);
        index.apply(&[chunk(1, "word")], &[]).unwrap();
        index.commit(Generation(7)).unwrap();
    }
    std::fs::write(directory.path().join("vectors/generation-7/graph"), b"not a graph").unwrap();
    let index = vectors(directory.path(), &words);
    assert_eq!((index.generation(), index.count().unwrap()), (Generation(0), 0));
}

#[test]
fn vectors_of_another_length_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let words = lexical(directory.path());
    let index = vectors(directory.path(), &words);
    let short = IndexedChunk { embedding: vec![1.0], ..chunk(1, "word") };
    assert!(matches!(
        index.apply(&[short], &[]),
        Err(IndexError::Dimensions { expected: DIMENSIONS, found: 1 })
    ));
    assert!(matches!(index.search(&[1.0], &Filter::default(), 1), Err(IndexError::Dimensions { .. })));
    assert_eq!(index.count().unwrap(), 0);
}

#[test]
fn readers_and_the_writer_do_not_wait_for_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let words = lexical(directory.path());
    let index = vectors(directory.path(), &words);
    index.apply(&(1..=500).map(|id| chunk(id, "word")).collect::<Vec<_>>(), &[]).unwrap();
    index.publish();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for id in 501..=1_500 {
                index.apply(&[chunk(id, "word")], &[ChunkId(id - 500)]).unwrap();
                index.publish();
            }
        });
        while !writer.is_finished() {
            let hits = index.search(&vector(1_200), &Filter::default(), 10).unwrap();
            assert!(hits.windows(2).all(|pair| pair[0].score >= pair[1].score - 1e-6));
        }
    });
    assert_eq!(index.count().unwrap(), 500);
    // Every node can still be reached, before and after the graph is built anew.
    for round in 0..2 {
        let lost: Vec<u64> = (1_001..=1_500)
            .filter(|&id| ids(index.search(&vector(id), &Filter::default(), 1).unwrap()) != [id])
            .collect();
        assert_eq!(lost, [0; 0], "round {round}");
        index.commit(Generation(1)).unwrap();
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put(u64),
    Remove(u64),
    Commit,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1u64..40).prop_map(Step::Put),
        3 => (1u64..40).prop_map(Step::Remove),
        2 => Just(Step::Commit),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn both_engines_hold_what_a_set_would(steps in prop::collection::vec(step(), 1..40)) {
        let directory = tempfile::tempdir().unwrap();
        let mut words = lexical(directory.path());
        let mut index = vectors(directory.path(), &words);
        let mut live: BTreeSet<u64> = BTreeSet::new();
        let mut removed: BTreeSet<u64> = BTreeSet::new();
        let mut committed = live.clone();
        let mut generation = 0;
        for step in steps {
            match step {
                // The store never uses an id twice.
                Step::Put(id) if removed.contains(&id) => {}
                Step::Put(id) => {
                    words.apply(&[chunk(id, "word")], &[]).unwrap();
                    index.apply(&[chunk(id, "word")], &[]).unwrap();
                    live.insert(id);
                }
                Step::Remove(id) => {
                    words.apply(&[], &[ChunkId(id)]).unwrap();
                    index.apply(&[], &[ChunkId(id)]).unwrap();
                    live.remove(&id);
                    removed.insert(id);
                }
                Step::Commit => {
                    generation += 1;
                    words.commit(Generation(generation)).unwrap();
                    index.publish();
                    index.commit(Generation(generation)).unwrap();
                    committed = live.clone();
                    let expected: Vec<ChunkId> = live.iter().copied().map(ChunkId).collect();
                    prop_assert_eq!(words.chunk_ids().unwrap(), expected.clone());
                    prop_assert_eq!(index.chunk_ids().unwrap(), expected);
                    prop_assert_eq!(set(words.search("word", &Filter::default(), 100).unwrap()), live.clone());
                    prop_assert_eq!(set(index.search(&vector(3), &Filter::default(), 100).unwrap()), live.clone());
                }
                Step::Reopen => {
                    drop((words, index));
                    words = lexical(directory.path());
                    index = vectors(directory.path(), &words);
                    live = committed.clone();
                    let expected: Vec<ChunkId> = live.iter().copied().map(ChunkId).collect();
                    prop_assert_eq!(words.chunk_ids().unwrap(), expected.clone());
                    prop_assert_eq!(index.chunk_ids().unwrap(), expected);
                }
            }
        }
    }
}
