//! The cells of an HTML table as they come, with spans over columns and rows.

use ego_tree::NodeId;

use crate::table::row_text;

/// Spans beyond this are mistakes or malice.
const WIDEST: usize = 1_000;

pub(crate) struct Grid {
    table: NodeId,
    header: Vec<String>,
    header_used: bool,
    row: Vec<String>,
    /// How many cells of the row are headings.
    headings: usize,
    cells: usize,
    open: Option<Cell>,
    /// For each column, in how many of the next rows a cell above stands, and its text.
    carried: Vec<(usize, String)>,
}

#[derive(Clone, Copy)]
struct Cell {
    heading: bool,
    columns: usize,
    rows: usize,
}

impl Grid {
    pub(crate) fn new(table: NodeId) -> Self {
        Self {
            table,
            header: Vec::new(),
            header_used: false,
            row: Vec::new(),
            headings: 0,
            cells: 0,
            open: None,
            carried: Vec::new(),
        }
    }

    pub(crate) fn table(&self) -> NodeId {
        self.table
    }

    pub(crate) fn in_cell(&self) -> bool {
        self.open.is_some()
    }

    pub(crate) fn open_cell(&mut self, heading: bool, columns: usize, rows: usize) {
        self.open = Some(Cell { heading, columns: columns.clamp(1, WIDEST), rows: rows.clamp(1, WIDEST) });
    }

    pub(crate) fn close_cell(&mut self, text: &str) {
        let Some(cell) = self.open.take() else { return };
        self.fill_carried();
        self.headings += usize::from(cell.heading);
        self.cells += 1;
        for column in 0..cell.columns {
            if self.row.len() >= WIDEST {
                break;
            }
            // The text of a wide cell is said once; the other columns stay in step.
            let text = if column == 0 { text.trim() } else { "" };
            self.carried.resize_with(self.carried.len().max(self.row.len() + 1), Default::default);
            self.carried[self.row.len()] = (cell.rows - 1, text.to_owned());
            self.row.push(text.to_owned());
        }
    }

    /// The row as text, unless it is empty or the header.
    pub(crate) fn close_row(&mut self) -> Option<String> {
        self.fill_carried();
        let row = std::mem::take(&mut self.row);
        let (headings, cells) = (std::mem::take(&mut self.headings), std::mem::take(&mut self.cells));
        if self.header.is_empty() && headings == cells && cells > 1 {
            self.header = row;
            return None;
        }
        self.header_used = true;
        let text = match (self.header.is_empty(), headings, row.split_first()) {
            (true, 1, Some((name, values))) if cells > 1 => {
                row_text(std::slice::from_ref(name), &[row_text(&[], values)])
            }
            _ => row_text(&self.header, &row),
        };
        (!text.is_empty()).then_some(text)
    }

    /// The header, where no row has said it.
    pub(crate) fn finish(self) -> Option<String> {
        (!self.header_used && !self.header.is_empty()).then(|| row_text(&[], &self.header))
    }

    /// Adds the cells that reach down from rows above to the place where the next cell stands.
    fn fill_carried(&mut self) {
        while let Some((rows, text)) = self.carried.get_mut(self.row.len()).filter(|(rows, _)| *rows > 0) {
            *rows -= 1;
            self.row.push(text.clone());
        }
    }
}
