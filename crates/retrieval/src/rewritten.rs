//! `rewritten`: a language model turns the question, with the conversation before it, into words to search for
//! (Ma et al. 2023, "Query Rewriting for Retrieval-Augmented Large Language Models").

use burnish_types::{Message, Role};

use crate::hybrid::{blend, fused};
use crate::writing::{write, writer};
use crate::{Means, Request, RetrievalError, Retriever, Scored, Sources};

const NAME: &str = "rewritten";
const INSTRUCTIONS: &str = "Rewrite the last question as one query for a search engine that knows nothing of the \
conversation: replace what refers back by what it refers to, spell out abbreviations, keep names and numbers as they \
are, and leave politeness out. Write the query alone, in the question's language.";
const MAX_TOKENS: u32 = 80;
/// Messages of the conversation that the model is shown, the last ones, each cut to this many characters.
const SHOWN_MESSAGES: usize = 6;
const SHOWN_CHARACTERS: usize = 1_000;

pub(crate) struct Rewritten;

impl Retriever for Rewritten {
    fn name(&self) -> &'static str {
        NAME
    }

    fn works_with(&self, means: Means<'_>) -> Result<(), RetrievalError> {
        writer(means, NAME).map(|_| ())
    }

    fn retrieve(&self, sources: Sources<'_>, request: Request<'_>) -> Result<Vec<Scored>, RetrievalError> {
        let writer = writer(sources.means(), NAME)?;
        let asked = transcript(request.conversation, request.query);
        let query = write(writer, NAME, INSTRUCTIONS, asked, MAX_TOKENS)?;
        let written = sources.embedder.embed(&[&query])?.pop().unwrap_or_default();
        if !request.conversation.is_empty() {
            // Alone the question may be about nothing.
            return fused(sources, request, &query, &written);
        }
        let both = format!("{} {query}", request.query);
        let embedding = blend([(request.embedding, 1.0), (&written[..], 1.0)], request.embedding);
        fused(sources, request, &both, &embedding)
    }
}

/// The end of the conversation with the question below it.
fn transcript(conversation: &[Message], question: &str) -> String {
    let spoken = conversation.iter().filter(|message| message.role != Role::System);
    let spoken: Vec<&Message> = spoken.collect();
    let mut text = String::new();
    for message in &spoken[spoken.len().saturating_sub(SHOWN_MESSAGES)..] {
        let speaker = if message.role == Role::User { "User" } else { "Assistant" };
        let content: String = message.content.chars().take(SHOWN_CHARACTERS).collect();
        text.push_str(&format!("{speaker}: {content}\n"));
    }
    format!("{text}Last question: {question}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transcript_has_the_end_of_the_conversation() {
        let message = |role, content: String| Message { role, content };
        let mut conversation = vec![message(Role::System, "Be brief.".to_owned())];
        conversation
            .extend((0..8).map(|i| {
                message(if i % 2 == 0 { Role::User } else { Role::Assistant }, format!("turn {i}"))
            }));
        let text = transcript(&conversation, "and its height?");
        assert!(text.starts_with("User: turn 2\nAssistant: turn 3\n"), "{text}");
        assert!(text.ends_with("Assistant: turn 7\nLast question: and its height?"), "{text}");
        assert_eq!(transcript(&[], "why?"), "Last question: why?");
        let long = transcript(&[message(Role::User, "é".repeat(5_000))], "?");
        assert!(long.chars().count() < SHOWN_CHARACTERS + 40);
    }
}
