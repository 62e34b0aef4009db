//! What the tests of the engine share.

use burnish_types::{EmbedError, Embedder, Embedding, Filter, Query, UserContext};

/// A question that nobody in particular asks, of everything that there is.
pub(crate) fn question(text: &str) -> Query {
    Query {
        text: text.to_owned(),
        conversation: Vec::new(),
        user: UserContext::default(),
        filter: Filter::default(),
        top_k: 5,
        target_quality: 0.8,
        budget: None,
        latency_budget_ms: None,
    }
}

/// How long the vectors of [`WordVectors`] are.
pub(crate) const DIMENSIONS: usize = 64;

/// Adds a hashed vector for each word: texts that share words are near each other.
pub(crate) struct WordVectors;

impl Embedder for WordVectors {
    fn model(&self) -> &str {
        "word-vectors"
    }

    fn dimensions(&self) -> usize {
        DIMENSIONS
    }

    fn max_tokens(&self) -> usize {
        256
    }

    fn count_tokens(&self, text: &str) -> usize {
        text.split_whitespace().count()
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError> {
        Ok(texts.iter().map(|text| vector(text)).collect())
    }
}

fn vector(text: &str) -> Embedding {
    let mut sum = vec![0.001f32; DIMENSIONS];
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| word.len() > 3) {
        let seed = word.to_lowercase().bytes().fold(7u64, |hash, byte| hash * 31 + u64::from(byte));
        let mut random = fastrand::Rng::with_seed(seed);
        sum.iter_mut().for_each(|value| *value += random.f32() - 0.5);
    }
    let norm = sum.iter().map(|value| value * value).sum::<f32>().sqrt();
    sum.iter().map(|value| value / norm).collect()
}
