//! How a row of a table reads as text, whatever format the table came in.

/// `header: value; header: value` where there is a header for every cell, else the cells between bars. Empty cells
/// are left out at the end of a row, and everywhere where the header tells which ones stay.
pub(crate) fn row_text(header: &[String], cells: &[String]) -> String {
    if header.is_empty() || cells.len() > header.len() {
        let filled = cells.iter().rposition(|cell| !cell.trim().is_empty()).map_or(0, |last| last + 1);
        return cells[..filled].iter().map(|cell| cell.trim()).collect::<Vec<_>>().join(" | ");
    }
    let mut text = String::new();
    for (name, cell) in header.iter().zip(cells) {
        let (name, cell) = (name.trim(), cell.trim());
        if cell.is_empty() {
            continue;
        }
        if !text.is_empty() {
            text.push_str("; ");
        }
        if !name.is_empty() {
            text.push_str(name);
            text.push_str(": ");
        }
        text.push_str(cell);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_read_well() {
        let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let cases: [(&[&str], &[&str], &str); 7] = [
            (&["Team", "Cups"], &["Blues", "1"], "Team: Blues; Cups: 1"),
            (&["Team", "Cups"], &["Blues", " "], "Team: Blues"),
            (&["Team", "Cups", "Since"], &["Blues"], "Team: Blues"),
            (&["", "Cups"], &["Blues", "1"], "Blues; Cups: 1"),
            (&["Team"], &["Blues", "1"], "Blues | 1"),
            (&[], &["", "a", ""], " | a"),
            (&[], &["", ""], ""),
        ];
        for (header, cells, expected) in cases {
            assert_eq!(row_text(&own(header), &own(cells)), expected);
        }
    }
}
