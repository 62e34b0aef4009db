//! The parts that several answers of the API share, as they go over the wire. Converted by hand at the door, so
//! that the inside can change without a client noticing.

mod decision;
mod filter;
mod prompt;
mod user;

use burnish_types as inside;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use utoipa::ToSchema;

pub(crate) use decision::{Considered, Decision, Outcome, Planned, Prediction, Selective, Timing};
pub(crate) use filter::Filter;
pub(crate) use prompt::{Assignment, Prompt, PromptMessage, Prompted};
pub(crate) use user::User;

/// Where in its document a passage lies.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Location {
    /// In words, such as `page 3, Caching › Keys`; empty where nothing is known.
    label: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pages: Option<Range>,
    /// The headings above it, outermost first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    headings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<Range>,
}

/// From the first to the last, both included, counted from 1.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(crate) struct Range {
    first: u64,
    last: u64,
}

impl From<&inside::Location> for Location {
    fn from(location: &inside::Location) -> Self {
        let pages = location.pages.map(|pages| Range { first: pages.first.into(), last: pages.last.into() });
        Self {
            label: location.to_string(),
            pages,
            headings: location.headings.clone(),
            rows: location.rows.map(|rows| Range { first: rows.first, last: rows.last }),
        }
    }
}

/// A passage that was found.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Passage {
    pub(crate) chunk: u64,
    pub(crate) document: u64,
    /// What names the document for its users.
    pub(crate) document_key: String,
    pub(crate) title: String,
    pub(crate) location: Location,
    pub(crate) text: String,
    /// What it was ranked by; the higher, the better.
    pub(crate) score: f32,
    /// The scores that went into it.
    pub(crate) components: Vec<Component>,
    /// Why feedback on earlier questions moved it, where it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lifted: Option<Lifted>,
}

/// Why feedback moved a passage.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Lifted {
    /// How far its score rose, or fell.
    pub(crate) by: f32,
    /// The remembered question that is most like this one.
    pub(crate) question: String,
    /// How like, in [0, 1].
    pub(crate) likeness: f32,
    /// How many people found that the passage answers it.
    pub(crate) confirmed_by: u32,
    /// How many found that it does not.
    pub(crate) rejected_by: u32,
    /// How many passed it over on the way to another passage, and said nothing else of it.
    pub(crate) passed_by: u32,
}

impl From<&inside::Lifted> for Lifted {
    fn from(lifted: &inside::Lifted) -> Self {
        let inside::Lifted { by, question, likeness, confirmed_by, rejected_by, passed_by } = lifted.clone();
        Self { by, question, likeness, confirmed_by, rejected_by, passed_by }
    }
}

/// A score that went into another one.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Component {
    /// Such as `bm25` or `cosine`.
    pub(crate) name: String,
    pub(crate) value: f32,
}

impl From<&inside::Evidence> for Passage {
    fn from(evidence: &inside::Evidence) -> Self {
        let components = evidence.components.iter();
        Self {
            chunk: evidence.chunk.0,
            document: evidence.document.0,
            document_key: evidence.document_key.clone(),
            title: evidence.title.clone(),
            location: Location::from(&evidence.location),
            text: evidence.text.clone(),
            score: evidence.score,
            components: components
                .map(|(name, value)| Component { name: name.clone(), value: *value })
                .collect(),
            lifted: evidence.lifted.as_ref().map(Lifted::from),
        }
    }
}

/// What a marker `[n]` in the text points at.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Citation {
    marker: u32,
    chunk: u64,
    document: u64,
    title: String,
    location: Location,
    /// The words of the passage that the answer rests on, where it quotes.
    quote: Option<String>,
}

/// The citations of `answer` whose passage is among its evidence.
pub(crate) fn citations(answer: &inside::Answer) -> Vec<Citation> {
    let cite = |citation: &inside::Citation| {
        let evidence = answer.evidence.iter().find(|evidence| evidence.chunk == citation.chunk)?;
        let quote = citation.quote.and_then(|span| evidence.text.get(span.start..span.end));
        Some(Citation {
            marker: citation.marker,
            chunk: citation.chunk.0,
            document: evidence.document.0,
            title: evidence.title.clone(),
            location: Location::from(&evidence.location),
            quote: quote.map(str::to_owned),
        })
    };
    answer.citations.iter().filter_map(cite).collect()
}

/// A point in time, in the form of RFC 3339.
pub(crate) fn rfc3339(at: inside::Timestamp) -> String {
    let nanos = i128::from(at.0) * 1_000_000;
    let time = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok();
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default()
}

/// An amount in dollars, for people and plots; the inside counts in whole micro-units.
pub(crate) fn dollars(amount: inside::Money) -> f64 {
    amount.micros() as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_rfc_3339() {
        for (millis, expected) in
            [(0, "1970-01-01T00:00:00Z"), (1_790_000_000_123, "2026-09-21T14:13:20.123Z"), (u64::MAX, "")]
        {
            assert_eq!(rfc3339(inside::Timestamp(millis)), expected);
        }
    }
}
