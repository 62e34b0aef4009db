//! What can be measured between a question and a passage by their words alone.

use std::collections::HashMap;

/// The words of a text: lower case, split where neither letter nor digit stands.
pub(crate) fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

/// A question's words with the weight of each, and its neighbouring pairs.
pub(crate) struct QueryWords {
    weights: HashMap<String, f32>,
    pairs: Vec<(String, String)>,
}

impl QueryWords {
    /// `weight_of` gives a word's weight, such as its idf; 0 leaves it out.
    pub(crate) fn new(query: &str, weight_of: impl Fn(&str) -> f32) -> Self {
        let all: Vec<String> = words(query).collect();
        let weights: HashMap<String, f32> = all
            .iter()
            .map(|word| (word.clone(), weight_of(word)))
            .filter(|(_, weight)| *weight > 0.0)
            .collect();
        let pairs = all
            .windows(2)
            .filter(|pair| pair.iter().any(|word| weights.contains_key(word)))
            .map(|pair| (pair[0].clone(), pair[1].clone()))
            .collect();
        Self { weights, pairs }
    }

    /// The share of the question's weight whose words stand in `passage`, in [0, 1].
    pub(crate) fn coverage(&self, passage: &[String]) -> f32 {
        let total: f32 = self.weights.values().sum();
        if total <= 0.0 {
            return 0.0;
        }
        let found: f32 =
            self.weights.iter().filter(|(word, _)| passage.contains(word)).map(|(_, weight)| weight).sum();
        found / total
    }

    /// The share of the question's neighbouring words that are neighbours in `passage`, in [0, 1].
    pub(crate) fn adjacency(&self, passage: &[String]) -> f32 {
        if self.pairs.is_empty() {
            return 0.0;
        }
        let stands = |(first, second): &&(String, String)| {
            passage.windows(2).any(|pair| &pair[0] == first && &pair[1] == second)
        };
        self.pairs.iter().filter(stands).count() as f32 / self.pairs.len() as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coverage_and_adjacency_are_shares() {
        let query = QueryWords::new("red apple pie", |word| if word == "pie" { 2.0 } else { 1.0 });
        let cases =
            [("", 0.0, 0.0), ("A Pie", 0.5, 0.0), ("a red-apple", 0.5, 0.5), ("Red apple pie!", 1.0, 1.0)];
        for (passage, coverage, adjacency) in cases {
            let passage: Vec<String> = words(passage).collect();
            assert_eq!(query.coverage(&passage), coverage);
            assert_eq!(query.adjacency(&passage), adjacency);
        }
    }
}
