//! What words are about: the topics of `lexicon.txt`, found by whole words, beginnings of words and pairs of words.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::LazyLock;

/// A set of topics, a bit each.
pub(super) type Topics = u64;

/// Tables by keys that are hashes already.
pub(super) type ByKey<T> = HashMap<u64, T, BuildHasherDefault<KeyHasher>>;

/// Topics that come from how text is set out, besides those of the words in it.
pub(super) const FORMS: [&str; 17] = [
    "in_comment",
    "in_code_comment",
    "in_cell",
    "in_quotes",
    "in_tag",
    "in_field",
    "after_hiding",
    "after_end",
    "of_speaker",
    "numbered_source",
    "asks",
    "shouts",
    "disguised",
    "web_address",
    "fills_address",
    "image",
    "addressed",
];

/// The lexicon that is compiled in.
pub(super) static LEXICON: LazyLock<Lexicon> = LazyLock::new(|| Lexicon::parse(include_str!("lexicon.txt")));

/// Names of topics, and which words and beginnings of words belong to them.
pub(super) struct Lexicon {
    /// The names, in the order of the bits.
    pub(super) names: Vec<String>,
    whole: ByKey<Topics>,
    beginnings: ByKey<Topics>,
}

impl Lexicon {
    fn parse(text: &str) -> Self {
        let mut names: Vec<String> = FORMS.map(str::to_owned).to_vec();
        let (mut whole, mut beginnings) = (ByKey::default(), ByKey::default());
        for line in text.lines() {
            let Some((name, words)) = line.split_once(": ").filter(|_| !line.starts_with("==")) else {
                continue;
            };
            let place = names.iter().position(|known| known == name).unwrap_or_else(|| {
                names.push(name.to_owned());
                names.len() - 1
            });
            for word in words.split_whitespace() {
                let (table, word) = match word.strip_suffix('*') {
                    Some(beginning) => (&mut beginnings, beginning),
                    None => (&mut whole, word),
                };
                *table.entry(key(word)).or_default() |= bit(place);
            }
        }
        Self { names, whole, beginnings }
    }

    /// What a word is about.
    pub(super) fn word(&self, word: &str) -> Topics {
        let mut topics = self.whole.get(&key(word)).copied().unwrap_or_default();
        let mut so_far = Key::default();
        for byte in word.bytes().take(24) {
            so_far.add(byte);
            topics |= self.beginnings.get(&so_far.0).copied().unwrap_or_default();
        }
        topics
    }

    /// What two words in a row are about together.
    pub(super) fn pair(&self, first: &str, second: &str) -> Topics {
        let mut both = Key::default();
        both.add_all(first);
        both.add(b'_');
        both.add_all(second);
        self.whole.get(&both.0).copied().unwrap_or_default()
    }

    /// The bit of a topic by its name; none where there is no such topic.
    pub(super) fn topic(&self, name: &str) -> Topics {
        self.names.iter().position(|known| known == name).map_or(0, bit)
    }
}

fn bit(place: usize) -> Topics {
    // A lexicon of more than 64 topics would be cut; a test sees to it that it isn't.
    u32::try_from(place).ok().and_then(|place| 1_u64.checked_shl(place)).unwrap_or_default()
}

/// A hash of words, built byte by byte (FNV-1a), the same on every machine.
#[derive(Clone, Copy)]
pub(super) struct Key(pub(super) u64);

impl Default for Key {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Key {
    pub(super) fn add(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }

    pub(super) fn add_all(&mut self, text: &str) {
        text.bytes().for_each(|byte| self.add(byte));
    }
}

/// The key of a word, or of words with `_` between them.
pub(super) fn key(text: &str) -> u64 {
    let mut key = Key::default();
    key.add_all(text);
    key.0
}

/// Takes a key for its own hash.
#[derive(Default)]
pub(super) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, key: u64) {
        // The table takes its bits from both ends, and FNV's low ones are the weaker.
        self.0 = key ^ key.rotate_left(32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_topics() {
        assert!(LEXICON.names.len() <= 64, "{} topics", LEXICON.names.len());
        for (word, topic) in [
            ("ignore", "drop"),
            ("ignoring", "drop"),
            ("vergiss", "drop"),
            ("instructions", "instruction"),
            ("anweisungen", "instruction"),
            ("assistant", "machine"),
            ("respuesta", "answer"),
        ] {
            assert_ne!(LEXICON.word(word) & LEXICON.topic(topic), 0, "{word} is not about {topic}");
        }
        assert_eq!(LEXICON.word("table"), 0);
        assert_ne!(LEXICON.pair("no", "matter") & LEXICON.topic("absolute"), 0);
        assert_eq!(LEXICON.topic("nonsense"), 0);
    }
}
