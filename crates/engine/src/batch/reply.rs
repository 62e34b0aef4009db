//! Reads one reply to several questions back into one answer each.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Deserializer, Value};

/// The key of the list of answers.
const ANSWERS: &str = "\"answers\"";

/// One answer of the list. Models write numbers as texts at times, which is let pass.
#[derive(Deserialize)]
struct Entry {
    question: Value,
    answer: String,
}

/// The answers by the number of their question, from 1 to `count`. Left out are those that are blank, that came twice in
/// different words, or that the reply broke off in: whoever asked these is answered alone.
pub(crate) fn answers(reply: &str, count: usize) -> BTreeMap<usize, String> {
    let mut found: BTreeMap<usize, String> = BTreeMap::new();
    let mut doubtful: Vec<usize> = Vec::new();
    for Entry { question, answer } in entries(reply) {
        let answer = answer.trim();
        let Some(number) = number(&question).filter(|number| (1..=count).contains(number)) else { continue };
        if answer.is_empty() {
            continue;
        }
        match found.insert(number, answer.to_owned()) {
            Some(before) if before != answer => doubtful.push(number),
            _ => {}
        }
    }
    doubtful.iter().for_each(|number| drop(found.remove(number)));
    found
}

/// The entries that are whole, up to the first one that is not. What stands around the list is passed over: words
/// before it, the marks of a code block, a missing end.
fn entries(reply: &str) -> Vec<Entry> {
    let list = match reply.find(ANSWERS) {
        Some(at) => &reply[at + ANSWERS.len()..],
        None => reply,
    };
    let Some(start) = list.find('[') else { return Vec::new() };
    let mut rest = &list[start + 1..];
    let mut found = Vec::new();
    loop {
        rest = rest.trim_start_matches(|c: char| c == ',' || c.is_whitespace());
        let mut values = Deserializer::from_str(rest).into_iter::<Value>();
        let Some(Ok(value)) = values.next() else { return found };
        rest = &rest[values.byte_offset()..];
        if let Ok(entry) = serde_json::from_value(value) {
            found.push(entry);
        }
    }
}

fn number(question: &Value) -> Option<usize> {
    match question {
        Value::Number(number) => number.as_u64().and_then(|number| usize::try_from(number).ok()),
        Value::String(text) => text.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_whole_is_read() {
        let cases: [(&str, &[(usize, &str)]); 12] = [
            (
                r#"{"answers": [{"question": 1, "answer": "a [1]"}, {"question": 2, "answer": "b"}]}"#,
                &[(1, "a [1]"), (2, "b")],
            ),
            ("Here:\n```json\n{\"answers\":[{\"question\":2,\"answer\":\"b\"}]}\n```", &[(2, "b")]),
            (
                r#"[{"question": "1", "answer": "a"}, {"question": "Q2", "answer": "b"}]"#,
                &[(1, "a"), (2, "b")],
            ),
            // Broken off: what came before stays.
            (r#"{"answers": [{"question": 1, "answer": "a"}, {"question": 2, "answ"#, &[(1, "a")]),
            // One entry that is none does not spoil the next.
            (r#"{"answers": [{"question": 1}, {"question": 2, "answer": "b"}]}"#, &[(2, "b")]),
            (r#"{"answers": [{"question": 3, "answer": "c"}, {"question": 0, "answer": "z"}]}"#, &[]),
            (r#"{"answers": [{"question": 1, "answer": "a"}, {"question": 1, "answer": "b"}]}"#, &[]),
            (r#"{"answers": [{"question": 1, "answer": "a"}, {"question": 1, "answer": "a"}]}"#, &[(1, "a")]),
            (r#"{"answers": [{"question": 1, "answer": "  "}]}"#, &[]),
            (r#"{"answers": []}"#, &[]),
            ("The first answer is a.", &[]),
            ("", &[]),
        ];
        for (reply, expected) in cases {
            let expected: BTreeMap<usize, String> =
                expected.iter().map(|(number, answer)| (*number, (*answer).to_owned())).collect();
            assert_eq!(answers(reply, 2), expected, "{reply}");
        }
    }

    proptest! {
        #[test]
        fn anything_can_be_read(reply in "\\PC{0,200}", count in 0usize..9) {
            prop_assert!(answers(&reply, count).keys().all(|number| (1..=count).contains(number)));
        }

        #[test]
        fn what_was_written_is_read_back_however_it_is_cut(texts in proptest::collection::vec("\\PC{1,40}", 1..9), cut: prop::sample::Index) {
            let entries: Vec<Value> = texts.iter().enumerate()
                .map(|(place, text)| serde_json::json!({"question": place + 1, "answer": text})).collect();
            let whole = serde_json::json!({"answers": entries}).to_string();
            let end = cut.index(whole.len() + 1);
            let part = answers(whole.get(..end).unwrap_or(&whole), texts.len());
            for (number, answer) in part {
                prop_assert_eq!(answer, texts[number - 1].trim());
            }
            let all = answers(&whole, texts.len());
            let expected = texts.iter().filter(|text| !text.trim().is_empty()).count();
            prop_assert_eq!(all.len(), expected);
        }
    }
}
