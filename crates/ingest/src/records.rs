//! JSON Lines, and JSON files of one or many objects: each object is a document of its own.

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::ops::ControlFlow;

use burnish_types::{Metadata, MetadataValue};
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::fault::Fault;
use crate::limits::{Limits, check_memory};

/// Fields that hold a record's text, id and title, the first one that is there.
const TEXT_FIELDS: [&str; 4] = ["text", "content", "body", "contents"];
const ID_FIELDS: [&str; 3] = ["_id", "id", "element_id"];
const TITLE_FIELDS: [&str; 1] = ["title"];

/// Longer texts beside the record's own are content, and nobody filters by them.
const LONGEST_METADATA: usize = 1_000;

/// A file with more lines that can't be read is not a file of records.
const MOST_FAULTS: u64 = 1_000;

/// A value of a parsed object takes about this much memory.
const VALUE_BYTES: u64 = 64;

/// An object of a file of records.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    /// What names it within its file.
    pub(crate) id: String,
    /// Its title, often none.
    pub(crate) title: String,
    pub(crate) text: String,
    pub(crate) metadata: Metadata,
}

/// What is called with each record, or with the line of one that can't be read.
pub(crate) type Sink<'a> = dyn FnMut(u64, Result<Record, Fault>) -> ControlFlow<()> + 'a;

/// Reads one object a line, holding no more than a line at a time.
pub(crate) fn read_lines(input: &mut dyn Read, limits: &Limits, sink: &mut Sink<'_>) -> Result<(), Fault> {
    let mut input = BufReader::with_capacity(256 << 10, input);
    let mut line = Vec::new();
    let mut faults = 0;
    for number in 1.. {
        line.clear();
        let longest = limits.max_text_bytes.saturating_add(1);
        if input.by_ref().take(longest).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if line.len() as u64 >= longest {
            // What comes after can't be trusted to begin with a line, or to end at all.
            return Err(Fault::LineTooLong { line: number, limit: limits.max_text_bytes });
        }
        let text = line.strip_prefix(b"\xef\xbb\xbf").filter(|_| number == 1).unwrap_or(&line).trim_ascii();
        if text.is_empty() {
            continue;
        }
        let record = parse_line(text, number, limits);
        faults += u64::from(record.is_err());
        if sink(number, record).is_break() {
            break;
        }
        if faults > MOST_FAULTS {
            return Err(Fault::TooManyBadRecords(MOST_FAULTS));
        }
    }
    Ok(())
}

/// Reads an object, objects one after the other, or an array of objects.
pub(crate) fn read_json(text: &str, limits: &Limits, sink: &mut Sink<'_>) -> Result<(), Fault> {
    check_memory(text.as_bytes(), b",[{", VALUE_BYTES, limits)?;
    let mut elements = Elements { number: 0, stopped: false, sink };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let result = match text.trim_start().starts_with('[') {
        true => deserializer.deserialize_seq(&mut elements),
        false => deserializer.into_iter::<Value>().try_for_each(|value| elements.take(value?)),
    };
    match result {
        Err(error) if !elements.stopped => Err(Fault::malformed("JSON", error)),
        Ok(()) if elements.number == 0 => Err(Fault::Empty),
        _ => Ok(()),
    }
}

/// Hands each element of an array on, so that the array itself is never held.
struct Elements<'a, 'b> {
    number: u64,
    stopped: bool,
    sink: &'a mut Sink<'b>,
}

impl Elements<'_, '_> {
    fn take<E: serde::de::Error>(&mut self, value: Value) -> Result<(), E> {
        self.number += 1;
        let record = match value {
            Value::Object(object) => record(object, self.number),
            _ => Err(Fault::Record("is not a JSON object".to_owned())),
        };
        self.stopped = (self.sink)(self.number, record).is_break();
        match self.stopped {
            true => Err(E::custom("reading was stopped")),
            false => Ok(()),
        }
    }
}

impl<'de> Visitor<'de> for &mut Elements<'_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        while let Some(value) = sequence.next_element::<Value>()? {
            self.take(value)?;
        }
        Ok(())
    }
}

fn parse_line(line: &[u8], number: u64, limits: &Limits) -> Result<Record, Fault> {
    check_memory(line, b",[{", VALUE_BYTES, limits)?;
    match serde_json::from_slice(line) {
        Ok(Value::Object(object)) => record(object, number),
        Ok(_) => Err(Fault::Record("is not a JSON object".to_owned())),
        Err(error) => Err(Fault::Record(format!("is not valid JSON: {error}"))),
    }
}

fn record(mut object: Map<String, Value>, number: u64) -> Result<Record, Fault> {
    let id = take_field(&mut object, &ID_FIELDS).unwrap_or_else(|| number.to_string());
    let title = take_field(&mut object, &TITLE_FIELDS).unwrap_or_default();
    let own_text = take_field(&mut object, &TEXT_FIELDS);
    let metadata = metadata(&object);
    // A record without a text of its own is all of its fields, and one with nothing else is its title.
    let text = own_text.or_else(|| fields_text(&object)).unwrap_or_else(|| title.clone());
    match text.trim().is_empty() {
        true => Err(Fault::NoText),
        false => Ok(Record { id, title, text, metadata }),
    }
}

/// Removes the first of `names` that holds something, and returns it as text.
fn take_field(object: &mut Map<String, Value>, names: &[&str]) -> Option<String> {
    let (name, text) = names.iter().find_map(|name| Some((*name, plain_text(object.get(*name)?)?)))?;
    object.remove(name);
    Some(text)
}

/// A scalar, or an array of them one a line, as text; `None` where it is blank.
fn plain_text(value: &Value) -> Option<String> {
    let text = match value {
        Value::Array(values) => values.iter().filter_map(scalar_text).collect::<Vec<_>>().join("\n"),
        value => scalar_text(value)?,
    };
    (!text.trim().is_empty()).then_some(text)
}

fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn fields_text(object: &Map<String, Value>) -> Option<String> {
    let fields = object.iter().filter_map(|(name, value)| Some(format!("{name}: {}", plain_text(value)?)));
    Some(fields.collect::<Vec<_>>().join("; ")).filter(|text| !text.is_empty())
}

/// The scalar fields, and those of a field `metadata`.
fn metadata(object: &Map<String, Value>) -> Metadata {
    let nested = object.get("metadata").and_then(Value::as_object).into_iter().flatten();
    let scalar = |value: &Value| match value {
        Value::Bool(value) => Some(MetadataValue::Bool(*value)),
        Value::Number(number) => number.as_f64().map(MetadataValue::Number),
        Value::String(text) if !text.is_empty() && text.len() <= LONGEST_METADATA => {
            Some(MetadataValue::Text(text.clone()))
        }
        _ => None,
    };
    nested.chain(object).filter_map(|(name, value)| Some((name.clone(), scalar(value)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(source: &[u8], limits: &Limits) -> (Vec<String>, Result<(), String>) {
        let mut found = Vec::new();
        let result = read_lines(&mut &*source, limits, &mut |line, record| {
            found.push(match record {
                Ok(record) => format!("{line} {} [{}] {}", record.id, record.title, record.text),
                Err(fault) => format!("{line} {fault}"),
            });
            ControlFlow::Continue(())
        });
        (found, result.map_err(|fault| fault.to_string()))
    }

    #[test]
    fn good_lines_go_on_after_bad_ones() {
        let source = b"\xef\xbb\xbf{\"_id\":\"a\",\"title\":\"T\",\"text\":\"One\"}\n\nnonsense\n[1]\n{\"sku\":7,\"name\":\"Can\"}\n\
            {\"title\":\"Bare\",\"text\":\"\"}\n{\"text\":null}";
        let (found, result) = lines(source, &Limits::default());
        assert_eq!(result, Ok(()));
        assert_eq!(
            found,
            [
                "1 a [T] One",
                "3 this record is not valid JSON: expected ident at line 1 column 2",
                "4 this record is not a JSON object",
                "5 5 [] name: Can; sku: 7",
                "6 6 [Bare] Bare",
                "7 holds no text",
            ]
        );
    }

    #[test]
    fn lines_are_bounded() {
        let limits = Limits { max_text_bytes: 20, ..Limits::default() };
        let (found, result) = lines(b"{\"text\":\"a\"}\n{\"text\":\"aaaaaaaaaaaaaaaaaaaaaaa\"}\n", &limits);
        assert_eq!(found.len(), 1);
        assert!(result.unwrap_err().starts_with("line 2 is longer than 20 bytes"));
        let (found, result) = lines(&b"x\n".repeat(5_000), &Limits::default());
        assert_eq!(found.len(), 1_001);
        assert!(result.is_err());
    }

    #[test]
    fn metadata_is_what_is_scalar() {
        let line =
            br#"{"id":3,"text":"x","year":2026,"open":true,"tags":["a"],"metadata":{"lang":"en","deep":{}}}"#;
        let record = parse_line(line, 1, &Limits::default()).unwrap();
        let found: Vec<_> = record.metadata.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!((record.id.as_str(), found.join(" ").as_str()), ("3", "lang=en open=true year=2026"));
    }

    #[test]
    fn json_files_hold_one_or_many_objects() {
        let cases: [(&str, Result<&[&str], &str>); 5] = [
            ("[{\"text\":\"a\"},{\"text\":\"b\"}]", Ok(&["a", "b"])),
            ("{\n\"text\":\"a\"}", Ok(&["a"])),
            ("{\"text\":\"a\"}\n{\"text\":\n\"b\"}", Ok(&["a", "b"])),
            ("[1]", Ok(&["!"])),
            ("[{\"text\":\"a\"},", Err("is not a valid JSON file")),
        ];
        for (source, expected) in cases {
            let mut found = Vec::new();
            let result = read_json(source, &Limits::default(), &mut |_, record| {
                found.push(record.map_or_else(|_| "!".to_owned(), |record| record.text));
                ControlFlow::Continue(())
            });
            match expected {
                Ok(texts) => assert_eq!(found, texts, "{source}"),
                Err(reason) => assert!(result.unwrap_err().to_string().starts_with(reason), "{source}"),
            }
        }
    }

    #[test]
    fn reading_stops_when_told() {
        for source in ["[{\"text\":\"a\"},{\"text\":\"b\"}]", "{\"text\":\"a\"} {\"text\":\"b\"}"] {
            let mut count = 0;
            let stop = &mut |_, _| {
                count += 1;
                ControlFlow::Break(())
            };
            read_json(source, &Limits::default(), stop).unwrap();
            assert_eq!(count, 1);
        }
    }
}
