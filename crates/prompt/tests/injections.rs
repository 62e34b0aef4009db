//! A hundred attempts at injection in documents.

use burnish_prompt::{delimited, undelimited};
use serde_json::Value;

#[test]
fn every_attempt_reaches_the_model_inside_its_delimiters() {
    let text = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap();
        value["text"].as_str().unwrap().to_owned()
    };
    let texts: Vec<String> = include_str!("injections.jsonl").lines().map(text).collect();
    assert_eq!(texts.len(), 100);
    for some in texts.chunks(10) {
        let passages: Vec<String> =
            some.iter().enumerate().map(|(place, text)| delimited(place + 1, text, text)).collect();
        let (inside, outside) = undelimited(&format!("Read.\n\n{}", passages.join("\n\n"))).unwrap();
        assert_eq!((inside.len(), outside.trim_end()), (some.len(), "Read."));
        for (inside, text) in inside.iter().zip(some) {
            // All of the text is there, but for what was escaped.
            assert!(inside.replace("&lt;", "<").contains(text.as_str()), "{inside}");
            assert!(!inside.contains("<|"), "{inside}");
        }
    }
}
