//! How well an answer is supported by the passages that it cites: the signal that is there when nobody says anything.

use std::collections::BTreeSet;

use burnish_cache::denies;
use burnish_types::Answer;

/// Shorter words are mostly those that every text has.
const SMALLEST_WORD: usize = 4;
/// A quotation that holds this share of an answer's telling words says the same.
const COVERED: f64 = 0.8;

/// The share of the answer's telling words (numbers, and words of four letters or more) that stand in the passages it
/// cites, in [0, 1]; 0 for an answer that cites nothing. `None` where there is no answer to speak of: passages alone,
/// or an answer that says that the documents hold none.
pub(crate) fn support(answer: &Answer) -> Option<f64> {
    if answer.text.is_empty() || !answer.found {
        return None;
    }
    let cited: Vec<_> = answer.citations.iter().map(|citation| citation.chunk).collect();
    let evidence = answer.evidence.iter().filter(|evidence| cited.contains(&evidence.chunk));
    let known: BTreeSet<String> = evidence
        .flat_map(|evidence| telling_words(&evidence.title).chain(telling_words(&evidence.text)))
        .collect();
    let said: Vec<String> = telling_words(&answer.text).collect();
    if said.is_empty() {
        return None;
    }
    Some(said.iter().filter(|word| known.contains(*word)).count() as f64 / said.len() as f64)
}

/// Whether a `quotation` says what an `answer` to `question` says, as far as words can tell: nearly all telling words of the
/// answer that are not the question's own, every number among them, and whether it is denied. A doubt counts as no.
pub(crate) fn covers(quotation: &str, answer: &str, question: &str) -> bool {
    let asked: BTreeSet<String> = telling_words(question).collect();
    let said: BTreeSet<String> = telling_words(answer).filter(|word| !asked.contains(word)).collect();
    let quoted: BTreeSet<String> = telling_words(quotation).collect();
    let is_number = |word: &&String| word.contains(|c: char| c.is_ascii_digit());
    let covered = said.iter().filter(|word| quoted.contains(*word)).count();
    !said.is_empty()
        && covered as f64 >= COVERED * said.len() as f64
        && said.iter().filter(is_number).all(|number| quoted.contains(number))
        && denies(quotation) == denies(answer)
}

/// The share of the question's telling words that stand in a `text`, in [0, 1]; 1 for a question that has none.
pub(crate) fn mentioned(question: &str, text: &str) -> f64 {
    let asked: BTreeSet<String> = telling_words(question).collect();
    let known: BTreeSet<String> = telling_words(text).collect();
    if asked.is_empty() {
        return 1.0;
    }
    asked.iter().filter(|word| known.contains(*word)).count() as f64 / asked.len() as f64
}

/// Markers such as `[1]` are no words of the answer.
fn telling_words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| c.is_whitespace() || c == '[')
        .filter(|part| !part.contains(']'))
        .flat_map(|part| part.split(|c: char| !c.is_alphanumeric()))
        .filter(|word| word.chars().count() >= SMALLEST_WORD || word.contains(|c: char| c.is_ascii_digit()))
        .map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use burnish_types::{ChunkId, Citation, DocumentId, Evidence, Location, Timestamp};

    use super::*;

    fn answer(text: &str, found: bool, cited: &[u64]) -> Answer {
        let evidence = |(chunk, text): (u64, &str)| Evidence {
            chunk: ChunkId(chunk),
            document: DocumentId(1),
            document_key: "k".to_owned(),
            title: "Cache".to_owned(),
            location: Location::default(),
            text: text.to_owned(),
            score: 1.0,
            components: Vec::new(),
            lifted: None,
        };
        let cite = |chunk: &u64| Citation { marker: 1, chunk: ChunkId(*chunk), quote: None };
        let passages = [(1, "Answers expire after 30 minutes."), (2, "Bridges are long.")];
        Answer {
            text: text.to_owned(),
            found,
            citations: cited.iter().map(cite).collect(),
            ..Answer::of_passages(passages.map(evidence).to_vec(), Timestamp(1))
        }
    }

    #[test]
    fn what_is_cited_supports_what_is_said() {
        let cases = [
            ("Answers expire after 30 minutes [1].", true, &[1][..], Some(1.0)),
            ("Answers expire after 45 minutes [1].", true, &[1], Some(0.8)),
            ("Answers expire after 30 minutes [1].", true, &[2], Some(0.0)),
            ("Answers expire after 30 minutes.", true, &[], Some(0.0)),
            ("I don't find that.", false, &[], None),
            ("", true, &[], None),
            ("No. [1]", true, &[1], None),
        ];
        for (text, found, cited, expected) in cases {
            assert_eq!(support(&answer(text, found, cited)), expected, "{text} citing {cited:?}");
        }
    }

    #[test]
    fn a_quotation_says_the_same_where_it_holds_what_the_answer_adds_to_the_question() {
        let question = "When do cached answers expire?";
        let quotation = "Answers that are cached expire after 30 minutes of silence [1]";
        let cases = [
            ("Cached answers expire after 30 minutes [1].", true),
            ("After 30 minutes.", true),
            ("After 45 minutes.", false),
            ("They do not expire after 30 minutes of silence.", false),
            ("After 30 minutes, unless somebody renews them beforehand.", false),
            ("Cached answers expire.", false),
            ("", false),
        ];
        for (answer, expected) in cases {
            assert_eq!(covers(quotation, answer, question), expected, "{answer}");
        }
        assert_eq!(mentioned(question, quotation), 0.75);
        assert_eq!(mentioned("Why?", quotation), 1.0);
    }
}
