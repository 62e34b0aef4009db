//! The words of a passage: those that tell most about it, and all of them, to know its like.

use std::collections::BTreeMap;

use burnish_types::{LexicalIndex, dot, fnv1a};

use crate::RetrievalError;
use crate::names::raw_words;

/// More of a passage is not looked at.
const MOST_WORDS: usize = 2_000;
/// Two passages whose embeddings are this near, and of whose words this share is common, say the same.
const DUPLICATE_COSINE: f32 = 0.95;
const DUPLICATE_SHARE: f32 = 0.8;

/// The `count` words of `text` whose frequency in it times their inverse document frequency is highest, in the order in
/// which they first stand there.
///
/// # Errors
/// If the index fails.
pub fn telling_words(lexical: &dyn LexicalIndex, text: &str, count: usize) -> Result<String, RetrievalError> {
    let mut frequency: BTreeMap<String, (usize, f32)> = BTreeMap::new();
    for (place, word) in raw_words(text).take(MOST_WORDS).enumerate() {
        frequency.entry(word.to_lowercase()).or_insert((place, 0.0)).1 += 1.0;
    }
    let mut weighed = Vec::with_capacity(frequency.len());
    for (word, (place, frequency)) in frequency {
        // A stop word has no term.
        let idf = lexical.term_idf(&word)?.iter().map(|(_, idf)| *idf).fold(0.0, f32::max);
        if idf > 0.0 {
            weighed.push((frequency * idf, place, word));
        }
    }
    weighed.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    weighed.truncate(count);
    weighed.sort_by_key(|(_, place, _)| *place);
    let words: Vec<String> = weighed.into_iter().map(|(_, _, word)| word).collect();
    Ok(words.join(" "))
}

/// What tells whether two passages say the same: their embeddings and their words.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fingerprint {
    /// Of unit length.
    embedding: Vec<f32>,
    /// Hashes of distinct words, in order.
    words: Vec<u64>,
}

impl Fingerprint {
    /// That of a passage with this embedding.
    pub fn new(text: &str, embedding: &[f32]) -> Self {
        let hashes = raw_words(text).take(MOST_WORDS).map(|word| fnv1a(word.to_lowercase().as_bytes()));
        let mut words: Vec<u64> = hashes.collect();
        words.sort_unstable();
        words.dedup();
        Self { embedding: embedding.to_vec(), words }
    }

    /// The embedding.
    pub fn embedding(&self) -> &[f32] {
        &self.embedding
    }

    /// The cosine of the embeddings.
    pub fn likeness(&self, other: &Self) -> f32 {
        dot(&self.embedding, &other.embedding)
    }

    /// Whether both say the same in nearly the same words.
    pub fn repeats(&self, other: &Self) -> bool {
        self.likeness(other) >= DUPLICATE_COSINE && self.share(other) >= DUPLICATE_SHARE
    }

    /// The Jaccard index of the words.
    fn share(&self, other: &Self) -> f32 {
        let common = self.words.iter().filter(|word| other.words.binary_search(word).is_ok()).count();
        let all = self.words.len() + other.words.len() - common;
        if all > 0 { common as f32 / all as f32 } else { 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use burnish_types::{ChunkId, Filter, Generation, Hit, IndexError, IndexedChunk};

    use super::*;

    /// Knows how rare a word is by its length; `the` is a stop word.
    struct ByLength;

    impl LexicalIndex for ByLength {
        fn generation(&self) -> Generation {
            Generation(0)
        }

        fn apply(&self, _: &[IndexedChunk], _: &[ChunkId]) -> Result<(), IndexError> {
            Ok(())
        }

        fn commit(&self, _: Generation) -> Result<(), IndexError> {
            Ok(())
        }

        fn search(&self, _: &str, _: &Filter, _: usize) -> Result<Vec<Hit>, IndexError> {
            Ok(Vec::new())
        }

        fn term_idf(&self, query: &str) -> Result<Vec<(String, f32)>, IndexError> {
            let terms = query.split(' ').filter(|word| *word != "the");
            Ok(terms.map(|word| (word.to_owned(), word.len() as f32)).collect())
        }

        fn count(&self) -> Result<u64, IndexError> {
            Ok(0)
        }

        fn chunk_ids(&self) -> Result<Vec<ChunkId>, IndexError> {
            Ok(Vec::new())
        }
    }

    #[test]
    fn rare_and_frequent_words_tell_most() {
        let cases = [
            ("", 3, ""),
            ("the the the the the", 3, ""),
            ("The cat, the catamaran; a cat: CAT!", 1, "cat"),
            ("The cat, the catamaran; a cat", 2, "cat catamaran"),
            ("one two three four", 9, "one two three four"),
        ];
        for (text, count, expected) in cases {
            assert_eq!(telling_words(&ByLength, text, count).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn repetitions_are_near_and_in_the_same_words() {
        let passage = |text: &str, embedding: [f32; 2]| Fingerprint::new(text, &embedding);
        let one = passage("Green tea is brewed at eighty degrees.", [1.0, 0.0]);
        let cases = [
            (passage("green tea is brewed, at EIGHTY degrees", [1.0, 0.0]), true),
            (passage("green tea is brewed, at EIGHTY degrees", [0.9, 0.43]), false),
            (passage("black tea is brewed at hundred degrees", [1.0, 0.0]), false),
        ];
        for (other, expected) in cases {
            assert_eq!((one.repeats(&other), other.repeats(&one)), (expected, expected), "{other:?}");
        }
    }
}
