//! What strategies ask a language model for.

use burnish_types::{Message, Role};

use crate::{Means, RetrievalError, Writer};

/// The most of a model's words that is searched for, in characters.
const LONGEST_CHARACTERS: usize = 2_000;
const NOTHING: &str = "it said nothing";

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
    let lines = write_lines(writer, strategy, instructions, question, max_tokens)?;
    let line = lines.join(" ");
    match line.trim_matches(['"', '“', '”']).trim() {
        "" => Err(RetrievalError::Unwritten { strategy, reason: NOTHING.to_owned() }),
        text => Ok(text.to_owned()),
    }
}

/// The same in lines, each with single spaces and none blank; there is at least one.
pub(crate) fn write_lines(
    writer: &dyn Writer,
    strategy: &'static str,
    instructions: &str,
    question: String,
    max_tokens: u32,
) -> Result<Vec<String>, RetrievalError> {
    let system = Message { role: Role::System, content: instructions.to_owned() };
    let user = Message { role: Role::User, content: question };
    let unwritten = |reason| RetrievalError::Unwritten { strategy, reason };
    let written = writer.write(vec![system, user], max_tokens).map_err(unwritten)?;
    // What a reasoning model thought is none of its answer.
    let answer = written.rsplit_once("</think>").map_or(written.as_str(), |(_, answer)| answer);
    let mut left = LONGEST_CHARACTERS;
    let mut lines = Vec::new();
    for line in answer.lines() {
        let line: String = line.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(left).collect();
        left -= line.chars().count();
        if !line.is_empty() {
            lines.push(line);
        }
    }
    if lines.is_empty() { Err(unwritten(NOTHING.to_owned())) } else { Ok(lines) }
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

    #[test]
    fn lines_stay_lines() {
        let says = Says(Ok("<think>two\nof them</think>\n one  word\n\n \ntwo\n"));
        assert_eq!(write_lines(&says, "decomposed", "", "why?".to_owned(), 9).unwrap(), ["one word", "two"]);
        assert!(write_lines(&Says(Ok(" \n")), "decomposed", "", "why?".to_owned(), 9).is_err());
    }
}
