//! A block as it is rendered: by minijinja, with nothing but what is handed in, in bounded time and space.

use std::io::{self, Write};

use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value};
use serde::Serialize;

use super::TemplateError;
use crate::block::BlockKind;
use crate::operation::Example;

/// The name of the one template of an environment.
const NAME: &str = "block";
/// Instructions that one rendering of a block may take.
const FUEL: u64 = 20_000;
/// The most bytes of a rendered block beside what is handed in.
const MOST_BYTES: usize = 1 << 20;
/// What blocks may do. Nothing of it names what is not handed in, or grows without end.
const TAGS: [&str; 6] = ["if", "elif", "else", "endif", "for", "endfor"];

/// What is filled into a prompt.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Inputs<'a> {
    /// What is asked.
    pub question: &'a str,
    /// The passages between their delimiters, as [`crate::delimited`] makes them.
    pub passages: &'a str,
    /// The numbers of passages that contradict each other, such as `[1] and [3]`.
    pub conflicts: Option<&'a str>,
    /// Answers to follow.
    pub examples: &'a [Example],
    /// The language of whoever asks, by its English name.
    pub language: Option<&'a str>,
    /// What an answer in JSON must look like.
    pub schema: Option<&'a str>,
}

impl Inputs<'_> {
    /// Their names.
    pub const NAMES: [&'static str; 6] =
        ["question", "passages", "conflicts", "examples", "language", "schema"];

    #[cfg(test)]
    pub(super) fn sample_for_tests() -> Self {
        Self::sample(&[])
    }

    /// Something of everything, for trying a template out.
    fn sample(examples: &[Example]) -> Inputs<'_> {
        Inputs {
            question: "What is it?",
            passages: "<passage 1>\n[1] Title\nText.\n</passage 1>",
            conflicts: Some("[1] and [2]"),
            examples,
            language: Some("German"),
            schema: Some("{}"),
        }
    }
}

/// A block that can be rendered.
#[derive(Debug)]
pub(crate) struct Compiled(Environment<'static>);

impl Compiled {
    /// Compiles a block, and renders it with much and with nothing to see that it can be.
    pub(crate) fn new(block: BlockKind, text: &str) -> Result<Self, TemplateError> {
        let needed = match block {
            BlockKind::Context => Some("passages"),
            BlockKind::Question => Some("question"),
            _ => None,
        };
        Self::showing(block, text, needed)
    }

    /// As [`Compiled::new`], of words that are added to a block.
    pub(crate) fn addition(block: BlockKind, text: &str) -> Result<Self, TemplateError> {
        Self::showing(block, text, None)
    }

    fn showing(block: BlockKind, text: &str, needed: Option<&'static str>) -> Result<Self, TemplateError> {
        check_tags(block, text)?;
        let broken = |error: minijinja::Error| TemplateError::Broken { block, reason: said(&error) };
        let mut environment = Environment::empty();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_fuel(Some(FUEL));
        environment.add_template_owned(NAME, text.to_owned()).map_err(broken)?;
        let mut variables: Vec<String> =
            environment.get_template(NAME).map_err(broken)?.undeclared_variables(false).into_iter().collect();
        variables.sort_unstable();
        if let Some(variable) = variables.iter().find(|variable| !Inputs::NAMES.contains(&variable.as_str()))
        {
            return Err(TemplateError::UnknownVariable { block, variable: variable.clone() });
        }
        if let Some(variable) = needed.filter(|needed| !variables.iter().any(|named| named == needed)) {
            return Err(TemplateError::Unshown { block, variable });
        }
        let compiled = Self(environment);
        let example = Example { question: "What was it?".to_owned(), answer: "This [1].".to_owned() };
        for inputs in [Inputs::sample(&[example]), Inputs::default()] {
            compiled
                .render(&inputs)
                .map_err(|error| TemplateError::Broken { block, reason: said(&error) })?;
        }
        Ok(compiled)
    }

    /// The block's words with what is filled in, without white space around them.
    pub(crate) fn render(&self, inputs: &Inputs<'_>) -> Result<String, minijinja::Error> {
        let mut written = Bounded {
            text: Vec::with_capacity(inputs.passages.len() + 1_024),
            left: MOST_BYTES + inputs.passages.len() + inputs.question.len(),
        };
        let values = Value::from(minijinja::value::Serde(inputs));
        self.0.get_template(NAME)?.render_captured_to(values, &mut written)?;
        // What was written is text, and what is cut off of it are whole characters.
        let text = String::from_utf8_lossy(&written.text);
        Ok(text.trim().to_owned())
    }
}

/// Takes so many bytes and no more.
struct Bounded {
    text: Vec<u8>,
    left: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self
            .left
            .checked_sub(bytes.len())
            .ok_or_else(|| io::Error::other(format!("it becomes longer than {MOST_BYTES} bytes")))?;
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn check_tags(block: BlockKind, text: &str) -> Result<(), TemplateError> {
    for part in text.split("{%").skip(1) {
        let inside = part.trim_start_matches(['-', '+']).trim_start();
        let name: String =
            inside.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
        if !TAGS.contains(&name.as_str()) {
            return Err(TemplateError::Tag { block, tag: name });
        }
    }
    Ok(())
}

fn said(error: &minijinja::Error) -> String {
    let line = error.line().map(|line| format!(" (line {line} of the block)")).unwrap_or_default();
    let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
    format!("{}{detail}{line}", error.kind())
}
