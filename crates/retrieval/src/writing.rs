//! What strategies ask a language model for.

use burnish_types::{Message, Role};

use crate::{Means, RetrievalError, Writer};

/// The most of a model's words that is searched for, in characters.
const LONGEST_CHARACTERS: usize = 2_000;

/// The model, or what to do where there is none.
pub(crate) fn writer<'a>(means: Means<'a>, strategy: &'static str) -> Result<&'a dyn Writer, RetrievalError> {
    means.writer.ok_or(RetrievalError::NoModel { strategy })
}

/// What the model makes of the question under `instructions`: its words in one line, never blank.
pub(crate) fn write(
    writer: &dyn Writer,
    strategy: &'static str,
    instructions: &str,
    question: String,
    max_tokens: u32,
) -> Result<String, RetrievalError> {
    let system = Message { role: Role::System, content: instructions.to_owned() };
    let user = Message { role: Role::User, content: question };
    let unwritten = |reason| RetrievalError::Unwritten { strategy, reason };
    let written = writer.write(vec![system, user], max_tokens).map_err(unwritten)?;
    // What a reasoning model thought is none of its answer.
    let answer = written.rsplit_once("</think>").map_or(written.as_str(), |(_, answer)| answer);
    let words: Vec<&str> = answer.split_whitespace().collect();
    let line: String = words.join(" ").chars().take(LONGEST_CHARACTERS).collect();
    match line.trim_matches(['"', '“', '”']).trim() {
        "" => Err(unwritten("it said nothing".to_owned())),
        text => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Says(Result<&'static str, &'static str>);

    impl Writer for Says {
        fn write(&self, messages: Vec<Message>, _max_tokens: u32) -> Result<String, String> {
            assert_eq!((messages[0].role, messages[1].content.as_str()), (Role::System, "why?"));
            self.0.map(str::to_owned).map_err(str::to_owned)
        }
    }

    #[test]
    fn words_are_one_line_or_an_error() {
        let cases = [
            (Ok(" one\n two "), Ok("one two")),
            (Ok("\"quoted words\""), Ok("quoted words")),
            (Ok("<think>hm, \"so\"</think>\nthe answer"), Ok("the answer")),
            (Ok(" \n"), Err("it said nothing")),
            (Ok("\"\""), Err("it said nothing")),
            (Err("too slow"), Err("too slow")),
        ];
        for (said, expected) in cases {
            match (write(&Says(said), "hyde", "Be brief.", "why?".to_owned(), 9), expected) {
                (Ok(text), Ok(expected)) => assert_eq!(text, expected),
                (Err(error), Err(expected)) => assert!(error.to_string().ends_with(expected), "{error}"),
                (outcome, _) => panic!("{said:?} gave {outcome:?}"),
            }
        }
        let long = "word ".repeat(1_000).leak();
        let text = write(&Says(Ok(long)), "hyde", "", "why?".to_owned(), 9).unwrap();
        assert!(text.len() <= LONGEST_CHARACTERS, "{}", text.len());
    }
}
