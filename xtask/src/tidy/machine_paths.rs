//! Paths of somebody's own machine, which mean nothing on another.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::read_text;
use crate::finding::Finding;

const PERSONAL: [&str; 3] = ["/work/", "/home/", "/root/"];

pub(super) fn check(root: &Path, files: &[PathBuf]) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| !is_lock(file)) {
        let Some(text) = read_text(root, file)? else { continue };
        for (number, line) in text.lines().enumerate() {
            if let Some(path) = personal_path(line) {
                let message = format!("`{path}…` is a path of one machine: make it relative, or a setting");
                findings.push(Finding::at(file, number + 1, message));
            }
        }
    }
    Ok(findings)
}

/// Lock files are written by programs, with whatever paths they need.
fn is_lock(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".lock") || name.ends_with("-lock.json")
}

/// The first of such paths in a line. It begins where a path begins, not within another one or an address,
/// and goes on with a name; a bare `/home/`, or `/home/$USER`, is nobody's.
fn personal_path(line: &str) -> Option<&'static str> {
    PERSONAL.into_iter().find(|prefix| {
        line.match_indices(prefix).any(|(start, _)| {
            let before = line[..start].chars().next_back();
            let after = line[start + prefix.len()..].chars().next();
            let within = before.is_some_and(|c| c.is_alphanumeric() || "_-.~})>*".contains(c));
            !within && after.is_some_and(|c| c.is_alphanumeric() || "_.".contains(c))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{lines, workspace};
    use super::*;

    #[test]
    fn paths_of_one_machine_are_found_and_others_are_not() {
        // Put together here, so that this file keeps the rule that it tests.
        let personal = |before: &str, folder: &str, after: &str| format!("{before}/{folder}/{after}");
        let cases = [
            (personal("", "home", "ada/notes"), true),
            (personal("see `", "work", "main` there"), true),
            (personal("file://", "root", ".cache"), true),
            (personal("PATH=", "home", "_x"), true),
            (personal("a:", "work", "x"), true),
            (personal("crates", "work", "x"), false),
            (personal("https://example.com", "home", "x"), false),
            (personal("${DIR}", "work", "x"), false),
            (personal("", "home", "$USER/x"), false),
            (personal("", "home", ""), false),
            (personal("", "homes", "x"), false),
            ("nothing".to_owned(), false),
        ];
        for (line, expected) in cases {
            assert_eq!(personal_path(&line).is_some(), expected, "{line}");
        }
    }

    #[test]
    fn text_files_are_searched_and_lock_files_are_not() {
        let line = ["first\nsecond /", "home/ada/x\n"].concat();
        let binary = format!("\0{line}");
        let (dir, files) = workspace(&[
            ("a.md", &line),
            ("Cargo.lock", &line),
            ("package-lock.json", &line),
            ("b.bin", &binary),
        ]);
        let expected = "a.md:2: `/home/…` is a path of one machine: make it relative, or a setting";
        assert_eq!(lines(&check(dir.path(), &files).unwrap()), [expected]);
    }
}
