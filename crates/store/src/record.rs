//! How values are written into columns: JSON records with a version, plain JSON, and vectors as bytes.

use serde::de::value::{Error as NameError, StrDeserializer};
use serde::de::{DeserializeOwned, IntoDeserializer};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use burnish_types::{Answer, Decision, Embedding, Format, Outcome};

use crate::fault::Fault;

/// The version that records are written with. When a shape changes, it grows, and [`decode`] learns to read the
/// versions before it.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Written<'a, T> {
    v: u32,
    record: &'a T,
}

#[derive(Deserialize)]
struct Read<'a> {
    v: u32,
    #[serde(borrow)]
    record: &'a RawValue,
}

/// What is kept with a version of its own.
pub(crate) trait Record: Serialize + DeserializeOwned {
    /// What it is called in errors.
    const NAME: &'static str;
}

impl Record for Decision {
    const NAME: &'static str = "record of a decision";
}

impl Record for Answer {
    const NAME: &'static str = "record of an answer";
}

impl Record for Outcome {
    const NAME: &'static str = "record of an outcome";
}

/// `record` with its version, as JSON.
///
/// Fails where it could not be read back: JSON has no infinities and no NaN, and a log that can't be folded again
/// is worse than a record refused.
pub(crate) fn encode<T: Record>(record: &T) -> Result<String, Fault> {
    let json = to_json(T::NAME, &Written { v: VERSION, record })?;
    decode::<T>(&json).map_err(unreadable)?;
    Ok(json)
}

/// The record in `json`, of whatever version.
pub(crate) fn decode<T: Record>(json: &str) -> Result<T, Fault> {
    let read: Read<'_> = from_json(T::NAME, json)?;
    match read.v {
        1 => from_json(T::NAME, read.record.get()),
        other => {
            let reason = format!("its version is {other}, {VERSION} is the last known");
            Err(Fault::Record { what: T::NAME, reason })
        }
    }
}

/// `value` as JSON without a version, for columns that are versioned with the schema.
/// Fails where it could not be read back.
pub(crate) fn encode_column<T: Serialize + DeserializeOwned>(
    what: &'static str,
    value: &T,
) -> Result<String, Fault> {
    let json = to_json(what, value)?;
    from_json::<T>(what, &json).map_err(unreadable)?;
    Ok(json)
}

fn unreadable(fault: Fault) -> Fault {
    match fault {
        Fault::Record { what, reason } => Fault::Invalid(format!(
            "a {what} was refused, since it could not be read back ({reason}): are all its figures finite?"
        )),
        other => other,
    }
}

/// The value in a column of JSON.
pub(crate) fn from_json<'a, T: Deserialize<'a>>(what: &'static str, json: &'a str) -> Result<T, Fault> {
    serde_json::from_str(json).map_err(|error| Fault::Record { what, reason: error.to_string() })
}

fn to_json<T: Serialize>(what: &'static str, value: &T) -> Result<String, Fault> {
    serde_json::to_string(value).map_err(|error| Fault::Record { what, reason: error.to_string() })
}

/// The format called `name`.
pub(crate) fn format(name: &str) -> Result<Format, Fault> {
    let deserializer: StrDeserializer<'_, NameError> = name.into_deserializer();
    Format::deserialize(deserializer)
        .map_err(|error| Fault::Record { what: "document", reason: error.to_string() })
}

/// A vector as little-endian bytes.
pub(crate) fn vector_bytes(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The vector in `bytes`.
pub(crate) fn vector(bytes: &[u8]) -> Result<Embedding, Fault> {
    match bytes.as_chunks::<4>() {
        (values, []) => Ok(values.iter().map(|&value| f32::from_le_bytes(value)).collect()),
        _ => Err(Fault::Record {
            what: "vector",
            reason: format!("{} bytes are no 32-bit floats", bytes.len()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use burnish_types::{Judgement, MetadataValue, Money, Prediction};
    use proptest::prelude::*;

    use super::*;

    impl Record for Prediction {
        const NAME: &'static str = "prediction";
    }

    impl Record for Judgement {
        const NAME: &'static str = "judgement";
    }

    fn prediction(quality: f64) -> Prediction {
        Prediction {
            quality,
            quality_deviation: 0.1,
            added: 0.0,
            latency_ms: 3.0,
            cost: Money::ZERO,
            outcomes: 7,
        }
    }

    proptest! {
        #[test]
        fn finite_figures_come_back_bit_for_bit(quality in proptest::num::f64::NORMAL | proptest::num::f64::ZERO) {
            let json = encode(&prediction(quality)).unwrap();
            let read: Prediction = decode(&json).unwrap();
            prop_assert_eq!(read.quality.to_bits(), quality.to_bits());
        }

        #[test]
        fn vectors_come_back_bit_for_bit(bits in proptest::collection::vec(any::<u32>(), 0..40)) {
            let values: Vec<f32> = bits.iter().copied().map(f32::from_bits).collect();
            let read = vector(&vector_bytes(&values)).unwrap();
            prop_assert_eq!(read.iter().map(|value| value.to_bits()).collect::<Vec<_>>(), bits);
        }
    }

    #[test]
    fn what_could_not_be_read_back_is_refused() {
        for quality in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let Err(Fault::Invalid(reason)) = encode(&prediction(quality)) else {
                panic!("{quality} was written")
            };
            assert!(reason.starts_with("a prediction was refused"), "{reason}");
        }
        assert!(encode_column("metadata", &MetadataValue::Number(f64::NAN)).is_err());
    }

    #[test]
    fn records_of_unknown_versions_and_shapes_are_named() {
        let cases = [
            (r#"{"v":2,"record":{"kind":"thumb","up":true}}"#, "its version is 2, 1 is the last known"),
            (r#"{"v":1,"record":{"kind":"nod"}}"#, "unknown variant `nod`"),
            ("{", "EOF while parsing"),
        ];
        for (json, expected) in cases {
            let Err(Fault::Record { what: "judgement", reason }) = decode::<Judgement>(json) else {
                panic!("{json} was read");
            };
            assert!(reason.contains(expected), "{reason}");
        }
        assert!(vector(&[0, 0, 0]).is_err());
        assert!(format("doc").is_err());
    }

    #[test]
    fn every_format_is_found_by_its_name() {
        use Format::{Csv, Docx, Html, JsonLines, Markdown, Pdf, Text};
        for each in [Text, Markdown, Html, Pdf, Docx, Csv, JsonLines] {
            assert_eq!(format(each.name()).unwrap(), each);
        }
    }
}
