//! Titles, and what stands in for them.

/// Whether `title` is one: programs fill it in when their users don't.
pub(crate) fn is_title(title: &str) -> bool {
    let lower = title.trim().to_lowercase();
    let endings =
        [".doc", ".docx", ".dvi", ".indd", ".pdf", ".ps", ".qxd", ".tex", ".tmp", ".txt", ".xls", ".xlsx"];
    let made_up =
        ["microsoft word -", "untitled", "word document"].iter().any(|start| lower.starts_with(start));
    lower.chars().count() > 2 && !made_up && !endings.iter().any(|ending| lower.ends_with(ending))
}

/// The file's name without folder and extension.
pub(crate) fn file_title(name: &str) -> String {
    let file = name.rsplit(['/', '\\']).next().unwrap_or(name);
    match file.rsplit_once('.') {
        Some((stem, _)) if !stem.is_empty() => stem.to_owned(),
        _ => file.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_not_file_names() {
        for (title, expected) in
            [("Annual Report", true), ("Microsoft Word - a.doc", false), ("x.dvi", false)]
        {
            assert_eq!(is_title(title), expected, "{title}");
        }
    }

    #[test]
    fn files_lend_their_names() {
        for (name, expected) in
            [("a/b.c.pdf", "b.c"), ("a\\b.txt", "b"), (".profile", ".profile"), ("x", "x")]
        {
            assert_eq!(file_title(name), expected);
        }
    }
}
