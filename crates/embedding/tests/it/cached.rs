//! What the cache remembers and what it lets through.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use burnish_embedding::CachedEmbedder;
use burnish_types::{EmbedError, Embedder, Embedding};

/// Embeds a text as its length and counts how often it does so.
#[derive(Default)]
struct Counting {
    texts: AtomicUsize,
}

impl Embedder for &Counting {
    fn model(&self) -> &str {
        "counting"
    }

    fn dimensions(&self) -> usize {
        1
    }

    fn max_tokens(&self) -> usize {
        100
    }

    fn count_tokens(&self, text: &str) -> usize {
        text.len()
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError> {
        self.texts.fetch_add(texts.len(), Ordering::Relaxed);
        if texts.contains(&"bad") {
            return Err(EmbedError::Compute("bad".to_owned()));
        }
        Ok(texts.iter().map(|text| vec![text.len() as f32]).collect())
    }
}

#[test]
fn only_single_short_texts_are_remembered() {
    let (short, long) = ("x".repeat(512), "x".repeat(513));
    for (texts, computed) in [
        (vec![""], 1),
        (vec!["query"], 1),
        (vec![short.as_str()], 1),
        (vec![long.as_str()], 3),
        (vec!["one", "two"], 6),
        (vec![], 0),
    ] {
        let inner = Counting::default();
        let cached = CachedEmbedder::new(&inner, 10);
        let expected: Vec<Embedding> = texts.iter().map(|text| vec![text.len() as f32]).collect();
        for _ in 0..3 {
            assert_eq!(cached.embed(&texts).unwrap(), expected);
        }
        assert_eq!(inner.texts.load(Ordering::Relaxed), computed, "{texts:?}");
    }
}

#[test]
fn memory_is_bounded_and_errors_are_not_remembered() {
    let inner = Counting::default();
    let cached = CachedEmbedder::new(&inner, 10);
    let texts: Vec<String> = (0..1000).map(|i| i.to_string()).collect();
    for _ in 0..2 {
        for text in &texts {
            cached.embed(&[text]).unwrap();
        }
    }
    assert!(inner.texts.load(Ordering::Relaxed) >= 1980);
    let before = inner.texts.load(Ordering::Relaxed);
    for _ in 0..2 {
        assert!(cached.embed(&["bad"]).is_err());
    }
    assert_eq!(inner.texts.load(Ordering::Relaxed), before + 2);
}

#[test]
fn a_text_that_many_want_is_computed_once() {
    let inner = Counting::default();
    let cached = CachedEmbedder::new(&inner, 10);
    let start = Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                start.wait();
                assert_eq!(cached.embed(&["query"]).unwrap(), [[5.0]]);
            });
        }
    });
    assert_eq!(inner.texts.load(Ordering::Relaxed), 1);
    assert_eq!(
        (cached.model(), cached.dimensions(), cached.max_tokens(), cached.count_tokens("abc")),
        ("counting", 1, 100, 3)
    );
}
