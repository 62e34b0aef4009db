//! Answers by quoting: the sentences of the passages that answer the question, each with its citation.
//! No model beyond the encoder, so it works with no key and no server.

use burnish_context::sentences;
use burnish_types::{Citation, Embedder, Evidence, RequestId, Span, dot};

use crate::EngineError;
use crate::prompt::{NOT_CONSULTED, NOT_FOUND};

/// Passages whose sentences are looked at.
const PASSAGES: usize = 5;
/// Sentences that are looked at in all; each costs the encoder some tenths of a millisecond.
const SENTENCES: usize = 60;
/// Sentences that are quoted at most.
const QUOTED: usize = 3;
/// Further sentences are quoted while their support is at least this share of the best one's.
const FURTHER_SHARE: f32 = 0.85;
/// How much the passage that a sentence stands in counts beside the sentence itself.
const PASSAGE_WEIGHT: f32 = 0.3;
/// Shorter ones are headings and fragments.
const SMALLEST_SENTENCE_WORDS: usize = 4;

/// An answer made of quotations.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Quotation {
    pub(crate) text: String,
    pub(crate) found: bool,
    pub(crate) citations: Vec<Citation>,
    pub(crate) strength: Strength,
}

/// How well the passages fit the question.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Strength {
    /// The support of the best sentence.
    pub(crate) best: f32,
    /// That of the best one that is not quoted.
    pub(crate) next: f32,
    /// The likeness of the best passage.
    pub(crate) passage: f32,
}

struct Sentence<'a> {
    passage: usize,
    span: Span,
    text: &'a str,
    support: f32,
}

/// Quotes the best sentences, or says that there is none with at least `smallest_support`.
pub(crate) fn quote(
    question: &str,
    evidence: &[Evidence],
    embedder: &dyn Embedder,
    smallest_support: f32,
) -> Result<Quotation, EngineError> {
    let mut sentences: Vec<Sentence<'_>> = evidence
        .iter()
        .enumerate()
        .take(PASSAGES)
        .flat_map(|(passage, evidence)| {
            spans(&evidence.text).map(move |span| Sentence {
                passage,
                span,
                text: &evidence.text[span.start..span.end],
                support: 0.0,
            })
        })
        .take(SENTENCES)
        .collect();
    let mut texts: Vec<&str> = vec![question];
    texts.extend(evidence.iter().take(PASSAGES).map(|evidence| evidence.text.as_str()));
    texts.extend(sentences.iter().map(|sentence| sentence.text));
    let embeddings = embedder.embed(&texts)?;
    let Some((asked, others)) = embeddings.split_first() else {
        return Ok(nothing());
    };
    let (passages, own) = others.split_at(evidence.len().min(PASSAGES));
    for (sentence, embedding) in sentences.iter_mut().zip(own) {
        let passage = passages.get(sentence.passage).map_or(0.0, |passage| dot(asked, passage));
        sentence.support = (1.0 - PASSAGE_WEIGHT) * dot(asked, embedding) + PASSAGE_WEIGHT * passage;
    }
    sentences.sort_by(|a, b| b.support.total_cmp(&a.support));
    let Some(best) = sentences.first().map(|sentence| sentence.support) else { return Ok(nothing()) };
    let mut chosen: Vec<&Sentence<'_>> =
        sentences.iter().take(QUOTED).filter(|sentence| sentence.support >= FURTHER_SHARE * best).collect();
    let strength = Strength {
        best,
        next: sentences.get(chosen.len()).map_or(0.0, |sentence| sentence.support),
        passage: passages.iter().map(|passage| dot(asked, passage)).fold(0.0, f32::max),
    };
    if best < smallest_support {
        return Ok(Quotation { strength, ..nothing() });
    }
    // As they stand in the documents, the best passage first.
    chosen.sort_by_key(|sentence| (sentence.passage, sentence.span.start));
    Ok(Quotation { strength, ..written(&chosen, evidence) })
}

/// What is said when no documents were looked at.
pub(crate) fn not_consulted() -> Quotation {
    unquoted(NOT_CONSULTED)
}

/// What is said when nothing else can be.
pub(crate) fn apology(request: RequestId) -> Quotation {
    unquoted(&format!(
        "I'm sorry, this question could not be answered just now; it has the request id {request}"
    ))
}

fn nothing() -> Quotation {
    unquoted(NOT_FOUND)
}

fn unquoted(sentence: &str) -> Quotation {
    said(format!("{sentence}."))
}

/// What is said without any passage.
pub(crate) fn said(text: String) -> Quotation {
    Quotation { text, found: false, citations: Vec::new(), strength: Strength::default() }
}

fn written(chosen: &[&Sentence<'_>], evidence: &[Evidence]) -> Quotation {
    let mut parts = Vec::new();
    let mut citations = Vec::new();
    for sentence in chosen {
        let Some(passage) = evidence.get(sentence.passage) else { continue };
        let marker = sentence.passage as u32 + 1;
        let text: Vec<&str> = sentence.text.split_whitespace().collect();
        parts.push(format!("{} [{marker}]", text.join(" ")));
        citations.push(Citation { marker, chunk: passage.chunk, quote: Some(sentence.span) });
    }
    Quotation { text: parts.join(" "), found: true, citations, strength: Strength::default() }
}

/// The sentences of a text, list marks left out.
fn spans(text: &str) -> impl Iterator<Item = Span> {
    sentences(text).filter_map(|range| {
        let piece = &text[range.clone()];
        let lead =
            piece.len() - piece.trim_start_matches(|c: char| c.is_whitespace() || "-*#>•".contains(c)).len();
        let trimmed = piece[lead..].trim_end();
        let words = trimmed.split_whitespace().count();
        let start = range.start + lead;
        let span = Span { start, end: start + trimmed.len() };
        (words >= SMALLEST_SENTENCE_WORDS).then_some(span)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(text: &str) -> Vec<&str> {
        spans(text).map(|span| &text[span.start..span.end]).collect()
    }

    #[test]
    fn sentences_end_where_a_reader_ends_them() {
        let cases: [(&str, &[&str]); 6] = [
            ("", &[]),
            ("Too short.", &[]),
            ("The first one ends. The second one, too.", &["The first one ends.", "The second one, too."]),
            (
                "It costs 3.5 units e.g. in winter. J. Doe et al. say so too!",
                &["It costs 3.5 units e.g. in winter.", "J. Doe et al. say so too!"],
            ),
            (
                "Here is a list\n- of several good words\n- and some more of them",
                &["Here is a list", "of several good words", "and some more of them"],
            ),
            ("Is it really so? yes it is so", &["Is it really so? yes it is so"]),
        ];
        for (text, expected) in cases {
            assert_eq!(found(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn spans_lie_in_order_on_character_boundaries(text in "\\PC{0,200}|([a-zé.!? \n-]{0,200})") {
            let mut last = 0;
            for span in spans(&text) {
                prop_assert!(last <= span.start && span.start < span.end && span.end <= text.len());
                prop_assert!(text.is_char_boundary(span.start) && text.is_char_boundary(span.end));
                last = span.end;
            }
        }
    }
}
