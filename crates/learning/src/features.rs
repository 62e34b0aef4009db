//! Features of a query that are known before anything is retrieved.
//!
//! | name | meaning |
//! |---|---|
//! | `words`, `characters` | length of the question |
//! | `wh_what` … `wh_why` | 1 when that question word stands among the first three words |
//! | `numbers`, `quotes`, `capitals` | words that hold a digit, quoted parts, capitalised words but the first |
//! | `code` | 1 when it looks like code: `::`, `()`, `_`, `{`, or a file name's ending |
//! | `idf_max`, `idf_mean` | of the words that are searched for; rare words favour `sparse` (Shtok 2012) |
//! | `turns` | messages said before |

use std::collections::BTreeMap;

use burnish_types::{Query, QueryFeatures};

/// The version of the definitions above; it changes whenever one of them does.
pub const FEATURES_VERSION: u32 = 1;

const QUESTION_WORDS: [&str; 8] = ["what", "which", "who", "when", "where", "how", "why", "is"];

/// The features of `query`, given the inverse document frequency of each of its analysed terms.
pub fn query_features(query: &Query, term_idf: &[(String, f32)]) -> QueryFeatures {
    let words: Vec<&str> = query.text.split_whitespace().collect();
    let mut values = BTreeMap::new();
    let mut put = |name: &str, value: f64| values.insert(name.to_owned(), value);
    put("words", words.len() as f64);
    put("characters", query.text.chars().count() as f64);
    for question_word in QUESTION_WORDS {
        let asked = words.iter().take(3).any(|word| word.eq_ignore_ascii_case(question_word));
        put(&format!("wh_{question_word}"), f64::from(asked));
    }
    put("numbers", words.iter().filter(|word| word.contains(|c: char| c.is_ascii_digit())).count() as f64);
    put("quotes", (query.text.matches('"').count() / 2) as f64);
    put("capitals", words.iter().skip(1).filter(|word| word.starts_with(char::is_uppercase)).count() as f64);
    put("code", f64::from(looks_like_code(&query.text)));
    let idf = || term_idf.iter().map(|(_, idf)| f64::from(*idf));
    put("idf_max", idf().fold(0.0, f64::max));
    put("idf_mean", if term_idf.is_empty() { 0.0 } else { idf().sum::<f64>() / term_idf.len() as f64 });
    put("turns", query.conversation.len() as f64);
    QueryFeatures { version: FEATURES_VERSION, values }
}

fn looks_like_code(text: &str) -> bool {
    ["::", "()", "{", "_", "->", ".rs", ".py", ".js", ".toml", ".json"].iter().any(|mark| text.contains(mark))
}

#[cfg(test)]
mod tests {
    use burnish_types::{Filter, UserContext};

    use super::*;

    fn features(text: &str) -> BTreeMap<String, f64> {
        let query = Query {
            text: text.to_owned(),
            conversation: Vec::new(),
            user: UserContext::default(),
            filter: Filter::default(),
            top_k: 10,
            target_quality: 0.8,
            budget: None,
        };
        query_features(&query, &[("cache".to_owned(), 2.0), ("ttl".to_owned(), 4.0)]).values
    }

    #[test]
    fn features_mean_what_their_table_says() {
        let cases = [
            ("How long is the TTL?", "words", 5.0),
            ("How long is the TTL?", "wh_how", 1.0),
            ("How long is the TTL?", "wh_why", 0.0),
            ("How long is the TTL?", "capitals", 1.0),
            ("raised by 20 % in Q3", "numbers", 2.0),
            ("who said \"no\" and \"yes\"", "quotes", 2.0),
            ("Vec::with_capacity", "code", 1.0),
            ("a plain question", "code", 0.0),
            ("anything", "idf_max", 4.0),
            ("anything", "idf_mean", 3.0),
        ];
        for (text, name, expected) in cases {
            assert_eq!(features(text)[name], expected, "{name} of {text:?}");
        }
    }
}
