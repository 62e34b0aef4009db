//! Comma, semicolon, tab and bar separated values: one block a row, each naming its columns.

use csv::{ReaderBuilder, StringRecord};

use crate::fault::Fault;
use crate::limits::Limits;
use crate::outline::{BlockKind, Outline, OutlineBuilder};
use crate::table::row_text;

const DELIMITERS: [u8; 4] = [b',', b'\t', b';', b'|'];

/// How many bytes, and how many rows of them, the dialect is found from.
const SAMPLE_BYTES: usize = 64 << 10;
const SAMPLE_ROWS: usize = 100;

pub(crate) fn outline(text: &str, limits: &Limits) -> Result<Outline, Fault> {
    let mut builder = OutlineBuilder::new(limits);
    let dialect = Dialect::of(text);
    let mut header: Option<Vec<String>> = None;
    let mut number = 0;
    for record in dialect.records(text) {
        let cells: Vec<String> = record?.iter().map(clean).collect();
        if cells.iter().all(String::is_empty) {
            continue;
        }
        if header.is_none() {
            if dialect.is_caption(&cells) {
                let caption = cells.concat();
                builder.block(BlockKind::Paragraph, &caption)?;
                builder.outline().title.get_or_insert(caption);
                continue;
            }
            if dialect.is_header(&cells) {
                header = Some(cells);
                continue;
            }
        }
        number += 1;
        builder.row(&row_text(header.get_or_insert_default(), &cells), number)?;
    }
    // A header without rows is all that the file says.
    if let (0, Some(header)) = (number, header) {
        builder.block(BlockKind::Row, &row_text(&[], &header))?;
    }
    builder.finish()
}

/// Whether `text` looks like a table even though its name doesn't say so: only tabs are rare enough in prose.
pub(crate) fn is_table(text: &str) -> bool {
    let dialect = Dialect::of(text);
    dialect.delimiter == Some(b'\t') && text.lines().nth(2).is_some()
}

fn clean(cell: &str) -> String {
    cell.split_whitespace().collect::<Vec<_>>().join(" ")
}

struct Dialect {
    /// `None` for a single column.
    delimiter: Option<u8>,
    quotes: bool,
    /// The usual number of columns.
    width: usize,
}

impl Dialect {
    fn of(text: &str) -> Self {
        let sample = &text[..text.floor_char_boundary(SAMPLE_BYTES)];
        // An odd number of quotes means that they are not used for quoting: inches, say.
        let quotes = text.bytes().filter(|byte| *byte == b'"').count() % 2 == 0;
        let mut best = Self { delimiter: None, quotes, width: 1 };
        let mut best_score = 0.0;
        for delimiter in DELIMITERS {
            let (width, agreement) = usual_width(sample, delimiter, quotes);
            // What splits rows most evenly is the delimiter; of equals, what splits them more finely.
            let score = agreement + (width as f64).min(20.0) / 1_000.0;
            if width > 1 && agreement >= 0.5 && score > best_score {
                best_score = score;
                best = Self { delimiter: Some(delimiter), quotes, width };
            }
        }
        best
    }

    fn records<'a>(&self, text: &'a str) -> impl Iterator<Item = Result<StringRecord, Fault>> + use<'a> {
        // The unit separator stands for "none": what holds it is no text that people wrote.
        let records = reader(text, self.delimiter.unwrap_or(0x1f), self.quotes && self.delimiter.is_some());
        records.into_records().map(|record| record.map_err(|error| Fault::malformed("CSV", error)))
    }

    /// A title that stands alone above the header.
    fn is_caption(&self, cells: &[String]) -> bool {
        self.width > 1 && cells.iter().filter(|cell| !cell.is_empty()).count() == 1 && !cells[0].is_empty()
    }

    /// Names are not numbers, and a table of one column needs none.
    fn is_header(&self, cells: &[String]) -> bool {
        self.delimiter.is_some() && cells.iter().all(|cell| cell.parse::<f64>().is_err())
    }
}

fn reader(text: &str, delimiter: u8, quoting: bool) -> csv::Reader<&[u8]> {
    ReaderBuilder::new()
        .delimiter(delimiter)
        .quoting(quoting)
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes())
}

/// The most frequent number of cells a row, and the share of rows that have it.
fn usual_width(sample: &str, delimiter: u8, quotes: bool) -> (usize, f64) {
    let records = reader(sample, delimiter, quotes).into_records().take(SAMPLE_ROWS);
    let widths: Vec<usize> = records.filter_map(Result::ok).map(|record| record.len()).collect();
    let share =
        |width: usize| widths.iter().filter(|other| **other == width).count() as f64 / widths.len() as f64;
    let most = |best: (usize, f64), width: &usize| {
        if share(*width) > best.1 { (*width, share(*width)) } else { best }
    };
    widths.iter().fold((1, 0.0), most)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One line a block, rows with their numbers.
    fn rows(text: &str) -> Vec<String> {
        let outline = outline(text, &Limits::default()).unwrap();
        let blocks = outline.sections.into_iter().flat_map(|section| section.blocks);
        blocks.map(|block| block.row.map_or(String::new(), |row| format!("{row}> ")) + &block.text).collect()
    }

    #[test]
    fn rows_name_their_columns() {
        let cases: [(&str, &[&str]); 6] = [
            (
                "name,town\nAda,London\nBo,\"Oslo, N\"\n",
                &["1> name: Ada; town: London", "2> name: Bo; town: Oslo, N"],
            ),
            ("a;b\n1,5;2\n", &["1> a: 1,5; b: 2"]),
            ("Cups\t\nTeam\tCups\nBlues\t1\n", &["Cups", "1> Team: Blues; Cups: 1"]),
            ("1,2\n3,4\n", &["1> 1 | 2", "2> 3 | 4"]),
            ("one\ntwo, three\nfour\nfive\n", &["1> one", "2> two, three", "3> four", "4> five"]),
            (
                "name,town\nAda\nBo,Oslo,7\nCy,Rome\n",
                &["1> name: Ada", "2> Bo | Oslo | 7", "3> name: Cy; town: Rome"],
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(rows(text), expected, "{text}");
        }
    }

    #[test]
    fn unpaired_quotes_swallow_nothing() {
        let found = rows("size\tname\n\"24 inch\tscreen\n12\tphone\n");
        assert_eq!(found.len(), 2);
    }
}
