//! Identifiers. Those of documents and chunks are given by the store, grow, and are never used twice; a chunk's names
//! the same heading and text for good.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! numeric_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

numeric_id!(
    /// A document in the store.
    DocumentId
);
numeric_id!(
    /// A chunk: the same number in the store, the lexical index and the vector index.
    ChunkId
);
numeric_id!(
    /// One committed change of the corpus. Both indexes are at the generation that they have applied last.
    Generation
);

/// The key of a request: it names the decision, the answer, and every outcome that comes later.
///
/// 128 bits, the upper 48 of them milliseconds since 1970, so that ids sort by time; written as 26
/// characters of Crockford's base 32 (the ULID form).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(u128);

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const ENCODED_LENGTH: usize = 26;

impl RequestId {
    /// Joins a time in milliseconds (its lower 48 bits) with 80 bits of `entropy`.
    pub fn from_parts(unix_millis: u64, entropy: u128) -> Self {
        let time = u128::from(unix_millis & 0xFFFF_FFFF_FFFF) << 80;
        Self(time | (entropy & ((1 << 80) - 1)))
    }

    /// Randomness of its own, so that a decision can be drawn again from its id alone.
    pub fn seed(self) -> u64 {
        self.0 as u64
    }

    /// Milliseconds since 1970 at which the request came.
    pub fn unix_millis(self) -> u64 {
        (self.0 >> 80) as u64
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for position in (0..ENCODED_LENGTH).rev() {
            let digit = (self.0 >> (5 * position)) as usize & 31;
            write!(f, "{}", ALPHABET[digit] as char)?;
        }
        Ok(())
    }
}

/// The text is not a request id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a request id: 26 characters of 0-9 and A-Z without I, L, O and U are expected")]
pub struct InvalidRequestId(String);

impl FromStr for RequestId {
    type Err = InvalidRequestId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidRequestId(text.chars().take(64).collect());
        if text.len() != ENCODED_LENGTH {
            return Err(invalid());
        }
        let mut value: u128 = 0;
        for byte in text.bytes() {
            let digit = ALPHABET.iter().position(|&letter| letter == byte.to_ascii_uppercase());
            let digit = digit.ok_or_else(invalid)? as u128;
            value = value.checked_mul(32).ok_or_else(invalid)? | digit;
        }
        Ok(Self(value))
    }
}

impl Serialize for RequestId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RequestId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_survive_text_and_sort_by_time() {
        for (millis, entropy) in [(0, 0), (1, u128::MAX), (0xFFFF_FFFF_FFFF, 7), (1_790_000_000_000, 1 << 79)]
        {
            let id = RequestId::from_parts(millis, entropy);
            assert_eq!(id.to_string().parse::<RequestId>().unwrap(), id);
            assert_eq!(id.unix_millis(), millis);
        }
        let earlier = RequestId::from_parts(1, u128::MAX);
        let later = RequestId::from_parts(2, 0);
        assert!(earlier < later && earlier.to_string() < later.to_string());
    }

    #[test]
    fn what_is_not_a_request_id_is_refused() {
        for text in [
            "",
            "abc",
            "ILOU0000000000000000000000",
            "ZZZZZZZZZZZZZZZZZZZZZZZZZZ",
            "é0000000000000000000000000",
        ] {
            assert!(text.parse::<RequestId>().is_err(), "{text}");
        }
    }
}
