//! Plain text: paragraphs between blank lines.

use crate::fault::Fault;
use crate::limits::Limits;
use crate::outline::{BlockKind, Outline, OutlineBuilder};

pub(crate) fn outline(text: &str, limits: &Limits) -> Result<Outline, Fault> {
    let mut builder = OutlineBuilder::new(limits);
    for paragraph in paragraphs(text) {
        builder.block(BlockKind::Paragraph, &paragraph)?;
    }
    builder.finish()
}

/// The paragraphs of `text`, with white space at the ends of their lines removed.
pub(crate) fn paragraphs(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut current = String::new();
    for line in text.lines().chain([""]) {
        let line = line.trim_end();
        if !line.trim_start().is_empty() {
            if !current.is_empty() {
                current.push('\n');
            }
            current.push_str(line);
        } else if !current.is_empty() {
            found.push(std::mem::take(&mut current));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_lines_part_paragraphs() {
        assert_eq!(paragraphs("a \r\nb\n \t\n\n  c\n"), ["a\nb", "  c"]);
        assert!(matches!(outline(" \n\n", &Limits::default()), Err(Fault::NoText)));
    }
}
