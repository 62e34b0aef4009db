//! How a Rust file begins, and how long it may be.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::read_text;
use crate::finding::Finding;

const MOST_LINES: usize = 800;

pub(super) fn check(root: &Path, files: &[PathBuf]) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "rs")) {
        let Some(text) = read_text(root, file)? else {
            findings.push(Finding::of(file, "it is not UTF-8 text, as Rust is"));
            continue;
        };
        let says_what_for = text
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("//!"))
            .is_some_and(|words| !words.trim().is_empty());
        if !says_what_for {
            findings.push(Finding::at(
                file,
                1,
                "the first line is a `//!` comment that says what the file is for",
            ));
        }
        let lines = text.lines().count();
        if lines > MOST_LINES {
            let message = format!("{lines} lines are more than {MOST_LINES}: make it two files");
            findings.push(Finding::at(file, MOST_LINES + 1, message));
        }
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{lines, workspace};
    use super::*;

    #[test]
    fn beginnings_and_lengths_are_checked() {
        let long = |lines: usize| format!("//! Long.\n{}", "\n".repeat(lines - 1));
        let (limit, over) = (long(MOST_LINES), long(MOST_LINES + 1));
        let (dir, files) = workspace(&[
            ("good.rs", "//! Good.\n"),
            ("limit.rs", &limit),
            ("silent.rs", "\n//! Late.\n"),
            ("blank.rs", "//!\n//! Late.\n"),
            ("attribute.rs", "#![deny(warnings)]\n"),
            ("empty.rs", ""),
            ("over.rs", &over),
            ("other.txt", "no comment\n"),
        ]);
        let message = "the first line is a `//!` comment that says what the file is for";
        let mut expected: Vec<String> =
            ["silent", "blank", "attribute", "empty"].map(|name| format!("{name}.rs:1: {message}")).to_vec();
        expected.push("over.rs:801: 801 lines are more than 800: make it two files".to_owned());
        assert_eq!(lines(&check(dir.path(), &files).unwrap()), expected);
    }
}
