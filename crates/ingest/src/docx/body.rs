//! The text of a Word document's main part, or of its notes, as blocks in reading order.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::styles::{Role, Styles, outline_level};
use super::{attribute, malformed, reference_text};
use crate::fault::Fault;
use crate::limits::Deadline;
use crate::outline::{BlockKind, OutlineBuilder};
use crate::table::row_text;

/// Elements whose text is not the document's: what changes have replaced, and second copies for older programs.
const SKIPPED: [&str; 6] = ["Fallback", "moveFrom", "del", "pPrChange", "rPrChange", "tblPrChange"];

/// Tables and text boxes nest by hand, and nobody goes deeper by hand.
const DEEPEST: usize = 64;

/// The bit of `tblLook` that says that the first row is special (ECMA-376, 17.4.55).
const FIRST_ROW: u32 = 0x20;

/// Adds the text of `xml` to `builder`, and returns the title that stands in it.
pub(super) fn read(
    xml: &str,
    styles: &Styles,
    builder: &mut OutlineBuilder<'_>,
    deadline: &Deadline,
) -> Result<Option<String>, Fault> {
    let mut body = Body::new(styles, builder, has_pages(xml));
    let mut reader = Reader::from_str(xml);
    for count in 0_usize.. {
        if count % 1_024 == 0 {
            deadline.check()?;
        }
        match reader.read_event().map_err(malformed)? {
            Event::Start(tag) => body.open(&tag)?,
            Event::Empty(tag) => {
                body.open(&tag)?;
                body.close(tag.local_name().as_ref())?;
            }
            Event::End(tag) => body.close(tag.local_name().as_ref())?,
            Event::Text(text) => body.text(&text.xml10_content()),
            Event::CData(text) => body.text(&text.xml10_content()),
            Event::GeneralRef(reference) => body.text(&reference_text(&reference)),
            Event::Eof => break,
            _ => {}
        }
    }
    Ok(body.title)
}

/// Whether the document says where its pages end. Word notes that when it has laid the pages out; other programs
/// only know the breaks that the author has set.
fn has_pages(xml: &str) -> bool {
    xml.contains("lastRenderedPageBreak") || xml.contains("w:type=\"page\"")
}

struct Body<'a, 'b> {
    styles: &'a Styles,
    builder: &'a mut OutlineBuilder<'b>,
    title: Option<String>,
    paragraphs: Vec<Paragraph>,
    tables: Vec<Table>,
    /// How many skipped elements are open within one another.
    skipped: usize,
    runs: usize,
    in_text: bool,
    page: Option<u32>,
    /// Whether the page has no text yet.
    blank: bool,
}

#[derive(Default)]
struct Paragraph {
    text: String,
    role: Role,
    page: Option<u32>,
}

#[derive(Default)]
struct Table {
    rows: Vec<(Vec<String>, Option<u32>)>,
    row: Vec<String>,
    cell: String,
    /// How many more columns the cell takes.
    span: usize,
    /// Whether the cell goes on from the row above.
    merged: bool,
    header: bool,
    first_row: bool,
}

impl<'a, 'b> Body<'a, 'b> {
    fn new(styles: &'a Styles, builder: &'a mut OutlineBuilder<'b>, pages: bool) -> Self {
        Self {
            styles,
            builder,
            title: None,
            paragraphs: Vec::new(),
            tables: Vec::new(),
            skipped: 0,
            runs: 0,
            in_text: false,
            page: pages.then_some(1),
            blank: true,
        }
    }

    fn open(&mut self, tag: &BytesStart<'_>) -> Result<(), Fault> {
        let name = tag.local_name();
        if self.skipped > 0 || SKIPPED.contains(&name.as_ref()) {
            self.skipped += usize::from(SKIPPED.contains(&name.as_ref()));
            return Ok(());
        }
        if self.tables.len() + self.paragraphs.len() > DEEPEST {
            return Err(malformed("its tables or text boxes nest too deeply"));
        }
        match name.as_ref() {
            "p" => self.paragraphs.push(Paragraph { page: self.page, ..Paragraph::default() }),
            "r" => self.runs += 1,
            "t" => self.in_text = true,
            "tab" if self.runs > 0 => self.push(" "),
            "cr" => self.push("\n"),
            "noBreakHyphen" => self.push("-"),
            "br" if attribute(tag, "type").as_deref() == Some("page") => self.turn_page(true),
            "br" => self.push("\n"),
            "lastRenderedPageBreak" => self.turn_page(false),
            "tbl" => self.tables.push(Table::default()),
            name => self.property(name, tag),
        }
        Ok(())
    }

    /// What an element says of the paragraph or table around it.
    fn property(&mut self, name: &str, tag: &BytesStart<'_>) {
        let value = attribute(tag, "val");
        if let Some(table) = self.tables.last_mut() {
            match name {
                "tblHeader" => table.header |= table.rows.is_empty(),
                "tblLook" => table.first_row = is_first_row(tag, value.as_deref()),
                "gridSpan" => {
                    table.span = value.as_deref().and_then(|span| span.parse().ok()).unwrap_or(1).min(100)
                }
                "vMerge" => table.merged = value.as_deref() != Some("restart"),
                _ => {}
            }
        }
        let Some(paragraph) = self.paragraphs.last_mut() else { return };
        match name {
            "pStyle" => {
                let role = self.styles.role(value.as_deref().unwrap_or_default());
                paragraph.role.level = paragraph.role.level.or(role.level);
                paragraph.role.listed |= role.listed;
            }
            "outlineLvl" => {
                paragraph.role.level = value.as_deref().and_then(outline_level).or(paragraph.role.level);
            }
            "numId" => paragraph.role.listed = value.as_deref() != Some("0"),
            "pageBreakBefore" if !matches!(value.as_deref(), Some("0" | "false" | "off")) => {
                self.turn_page(false)
            }
            _ => {}
        }
    }

    fn close(&mut self, name: &str) -> Result<(), Fault> {
        if SKIPPED.contains(&name) {
            self.skipped = self.skipped.saturating_sub(1);
            return Ok(());
        }
        if self.skipped > 0 {
            return Ok(());
        }
        match name {
            "p" => self.close_paragraph(),
            "r" => {
                self.runs = self.runs.saturating_sub(1);
                Ok(())
            }
            "t" => {
                self.in_text = false;
                Ok(())
            }
            "tc" => {
                if let Some(table) = self.tables.last_mut() {
                    table.close_cell();
                }
                Ok(())
            }
            "tr" => {
                if let Some(table) = self.tables.last_mut() {
                    let row = std::mem::take(&mut table.row);
                    table.rows.push((row, self.page));
                }
                Ok(())
            }
            "tbl" => self.close_table(),
            _ => Ok(()),
        }
    }

    fn text(&mut self, text: &str) {
        if self.in_text && self.skipped == 0 {
            self.push(text);
        }
    }

    fn push(&mut self, text: &str) {
        let Some(paragraph) = self.paragraphs.last_mut() else { return };
        if paragraph.text.trim().is_empty() {
            paragraph.page = self.page;
        }
        paragraph.text.push_str(text);
        self.blank &= text.trim().is_empty();
    }

    /// An author's break always ends the page. A rendered one is often the echo of that, and then there is no text
    /// between the two.
    fn turn_page(&mut self, explicit: bool) {
        if let Some(page) = self.page.as_mut().filter(|_| explicit || !self.blank) {
            *page += 1;
            self.blank = true;
        }
    }

    fn close_paragraph(&mut self) -> Result<(), Fault> {
        let Some(paragraph) = self.paragraphs.pop() else { return Ok(()) };
        let text = paragraph.text.trim();
        if text.is_empty() {
            return Ok(());
        }
        if let Some(table) = self.tables.last_mut() {
            table.say(text);
            return Ok(());
        }
        self.builder.page(paragraph.page);
        match paragraph.role {
            Role { level: Some(level), .. } => {
                if level == 0 {
                    self.title.get_or_insert_with(|| text.to_owned());
                }
                self.builder.heading(level, text)
            }
            Role { listed: true, .. } => self.builder.block(BlockKind::ListItem, &format!("- {text}")),
            _ => self.builder.block(BlockKind::Paragraph, text),
        }
    }

    fn close_table(&mut self) -> Result<(), Fault> {
        let Some(table) = self.tables.pop() else { return Ok(()) };
        let header = table.has_header();
        let mut rows = table.rows.into_iter();
        let names = if header { rows.next().map(|(names, _)| names).unwrap_or_default() } else { Vec::new() };
        for (row, page) in rows {
            let text = row_text(&names, &row);
            // A table in a cell of another one is part of that cell.
            if let Some(outer) = self.tables.last_mut() {
                outer.say(&text);
            } else {
                self.builder.page(page);
                self.builder.block(BlockKind::Row, &text)?;
            }
        }
        Ok(())
    }
}

impl Table {
    fn say(&mut self, text: &str) {
        if !self.cell.is_empty() {
            self.cell.push(' ');
        }
        self.cell.extend(
            text.split_inclusive('\n').map(|line| line.trim_end_matches('\n')).flat_map(|line| [line, " "]),
        );
        self.cell.truncate(self.cell.trim_end().len());
    }

    fn close_cell(&mut self) {
        let above =
            || self.rows.last().and_then(|(row, _)| row.get(self.row.len())).cloned().unwrap_or_default();
        let text = if self.merged && self.cell.is_empty() { above() } else { std::mem::take(&mut self.cell) };
        self.merged = false;
        self.row.push(text);
        let span = std::mem::take(&mut self.span);
        self.row.extend((1..span).map(|_| String::new()));
    }

    /// The first row holds the columns' names if the author said so. That it looks special is Word's default, and
    /// means little in tables of two columns, which mostly pair names and values.
    fn has_header(&self) -> bool {
        let Some((first, _)) = self.rows.first() else { return false };
        let names = first.iter().all(|cell| !cell.is_empty() && cell.parse::<f64>().is_err());
        self.rows.len() > 1 && (self.header || self.first_row && first.len() > 2 && names)
    }
}

fn is_first_row(tag: &BytesStart<'_>, value: Option<&str>) -> bool {
    let bits = value.and_then(|value| u32::from_str_radix(value, 16).ok()).unwrap_or(0);
    attribute(tag, "firstRow").map_or(bits & FIRST_ROW != 0, |value| value == "1" || value == "true")
}
