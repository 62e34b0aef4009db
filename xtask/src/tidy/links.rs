//! Relative links of the documents lead to files.

use std::path::{Component, Path, PathBuf};

use anyhow::Result;

use super::read_text;
use crate::finding::Finding;

pub(super) fn check(root: &Path, files: &[PathBuf]) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| is_document(file)) {
        let text = read_text(root, file)?.unwrap_or_default();
        for (line, target) in targets(&text) {
            let Some(path) = local_path(file, &target) else { continue };
            if !is_inside(&path) || !root.join(&path).exists() {
                let message = format!("the link to `{target}` leads to no file: correct it, or take it out");
                findings.push(Finding::at(file, line, message));
            }
        }
    }
    Ok(findings)
}

/// Documents for readers; Markdown elsewhere may be a test's input, broken links and all.
fn is_document(file: &Path) -> bool {
    let at_root = file.parent().is_some_and(|parent| parent.as_os_str().is_empty());
    let for_readers = at_root || file.starts_with("docs") || file.starts_with("handbook");
    for_readers && file.extension().is_some_and(|extension| extension == "md")
}

/// Where a link of `file` leads within the repository, relative to its root; `None` for other places and
/// for places in the same file.
fn local_path(file: &Path, target: &str) -> Option<PathBuf> {
    let path = target.split(['#', '?']).next().unwrap_or_default();
    let scheme =
        path.split_once(':').is_some_and(|(scheme, _)| scheme.bytes().all(|b| b.is_ascii_alphanumeric()));
    if path.is_empty() || scheme || path.starts_with("//") {
        return None;
    }
    let path = path.replace("%20", " ");
    Some(match path.strip_prefix('/') {
        Some(from_root) => PathBuf::from(from_root),
        None => file.parent().unwrap_or(Path::new("")).join(path),
    })
}

fn is_inside(path: &Path) -> bool {
    let mut depth = 0i32;
    path.components().all(|component| {
        depth += match component {
            Component::Normal(_) => 1,
            Component::ParentDir => -1,
            _ => 0,
        };
        depth >= 0
    })
}

/// The targets of a Markdown text's links and images with their lines, code left out.
fn targets(text: &str) -> Vec<(usize, String)> {
    let mut targets = Vec::new();
    let mut fence: Option<String> = None;
    for (number, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        let mark: String = trimmed.chars().take_while(|&c| c == '`').collect();
        let mark = if mark.is_empty() { trimmed.chars().take_while(|&c| c == '~').collect() } else { mark };
        match &fence {
            Some(open) => {
                if mark.starts_with(open.as_str()) {
                    fence = None;
                }
                continue;
            }
            None if mark.len() >= 3 => {
                fence = Some(mark);
                continue;
            }
            None => {}
        }
        let line = without_code(line);
        targets.extend(inline_targets(&line).chain(definition(&line)).map(|target| (number + 1, target)));
    }
    targets
}

/// A line with its code spans blanked out. A span that goes on in the next line is not seen as one.
fn without_code(line: &str) -> String {
    let mut kept = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(start) = rest.find('`') {
        let ticks: String = rest[start..].chars().take_while(|&c| c == '`').collect();
        let inside = &rest[start + ticks.len()..];
        kept.push_str(&rest[..start]);
        match inside.find(&ticks) {
            Some(end) => rest = &inside[end + ticks.len()..],
            None => rest = inside,
        }
    }
    kept.push_str(rest);
    kept
}

/// `[text](target "title")`, and the same for images.
fn inline_targets(line: &str) -> impl Iterator<Item = String> {
    line.split("](").skip(1).filter_map(|after| {
        if let Some(bracketed) = after.strip_prefix('<') {
            return bracketed.split_once('>').map(|(target, _)| target.to_owned());
        }
        let (target, _) = after.split_once(')')?;
        target.split_whitespace().next().map(str::to_owned)
    })
}

/// `[label]: target`, but no footnote.
fn definition(line: &str) -> Option<String> {
    let (label, target) = line.trim_start().strip_prefix('[')?.split_once("]:")?;
    let target = target.split_whitespace().next()?.trim_matches(['<', '>']);
    (!label.starts_with('^') && !label.contains(']')).then(|| target.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{lines, workspace};
    use super::*;

    #[test]
    fn targets_are_found_where_markdown_has_them() {
        let text = "[a](a.md) and ![b](<b c.png>) [c](c.md#part \"Title\")\n\
                    `[code](no.md)` ``[x](`no.md)``\n\
                    ```md\n[fenced](no.md)\n```\n~~~\n[tilde](no.md)\n```\n~~~\n\
                    [label]: d.md\n[^1]: note\n[e](https://e.example/x)\n- [f][label]";
        let expected =
            [(1, "a.md"), (1, "b c.png"), (1, "c.md#part"), (10, "d.md"), (12, "https://e.example/x")];
        assert_eq!(targets(text), expected.map(|(line, target)| (line, target.to_owned())));
    }

    #[test]
    fn links_that_lead_nowhere_are_named() {
        let text = "[up](../README.md) [self](#part) [web](https://a.example) [mail](mailto:a@b.example)\n\
                    [root](/docs/b.md) [dir](decisions/) [query](b.md?plain=1#x)\n\
                    [gone](gone.md#x)\n[out](../../README.md)\n[space](a%20b.md)";
        let (dir, files) = workspace(&[
            ("docs/a.md", text),
            ("docs/b.md", "[no](nowhere.md)"),
            ("docs/decisions/0001-x.md", ""),
            ("docs/a b.md", ""),
            ("README.md", "[gone](gone.md)"),
            ("crates/ingest/tests/page.md", "[gone](gone.md)"),
        ]);
        let expected = [
            ("docs/a.md:3", "gone.md#x"),
            ("docs/a.md:4", "../../README.md"),
            ("docs/b.md:1", "nowhere.md"),
            ("README.md:1", "gone.md"),
        ]
        .map(|(place, target)| {
            format!("{place}: the link to `{target}` leads to no file: correct it, or take it out")
        });
        assert_eq!(lines(&check(dir.path(), &files).unwrap()), expected);
    }
}
