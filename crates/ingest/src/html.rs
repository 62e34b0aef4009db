//! HTML: the main text with its headings, lists and tables, without what is hidden or only leads elsewhere.

use std::collections::HashSet;

use burnish_types::MetadataValue;
use ego_tree::iter::Edge;
use ego_tree::{NodeId, NodeRef};
use html5ever::driver::{ParseOpts, parse_document};
use html5ever::tendril::{StrTendril, TendrilSink};
use scraper::node::Element;
use scraper::{Html, HtmlTreeSink, Node};

use crate::fault::Fault;
use crate::grid::Grid;
use crate::limits::{Deadline, Limits, check_memory};
use crate::outline::{BlockKind, Outline, OutlineBuilder};

/// How much is parsed between two looks at the clock: deep nesting makes each tag slower than the one before.
const STEP_BYTES: usize = 8 << 10;

/// An element with its attributes and its text takes about this much memory.
const NODE_BYTES: u64 = 200;

/// Elements whose content is no text for readers.
const SKIPPED: [&str; 17] = [
    "script", "style", "template", "noscript", "nav", "svg", "math", "iframe", "object", "select", "button",
    "input", "textarea", "canvas", "audio", "video", "dialog",
];

/// Elements that end the paragraph before them.
const BLOCKS: [&str; 35] = [
    "address",
    "article",
    "aside",
    "blockquote",
    "body",
    "caption",
    "center",
    "dd",
    "details",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figcaption",
    "figure",
    "footer",
    "form",
    "header",
    "hr",
    "li",
    "main",
    "menu",
    "ol",
    "p",
    "pre",
    "section",
    "summary",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "tr",
    "ul",
];

pub(crate) fn outline(text: &str, limits: &Limits) -> Result<Outline, Fault> {
    check_memory(text.as_bytes(), b"<", NODE_BYTES, limits)?;
    let deadline = Deadline::start(limits);
    let document = parse(text, &deadline)?;
    let survey = Survey::of(&document);
    let mut walk = Walk::new(&survey, limits);
    walk.describe(&document);
    for (count, edge) in survey.main.unwrap_or_else(|| document.tree.root()).traverse().enumerate() {
        if count % 1_024 == 0 {
            deadline.check()?;
        }
        walk.edge(edge)?;
    }
    walk.finish()
}

fn parse(text: &str, deadline: &Deadline) -> Result<Html, Fault> {
    let mut parser = parse_document(HtmlTreeSink::new(Html::new_document()), ParseOpts::default());
    let mut rest = text;
    while !rest.is_empty() {
        deadline.check()?;
        let (step, after) = rest.split_at(rest.floor_char_boundary(STEP_BYTES));
        parser.process(StrTendril::from(step));
        rest = after;
    }
    Ok(parser.finish())
}

/// What must be known of the whole tree before it is walked.
struct Survey<'a> {
    /// The element that holds the page's own content, where it says so.
    main: Option<NodeRef<'a, Node>>,
    /// Tables that hold tables are there for the layout.
    layout_tables: HashSet<NodeId>,
    title: Option<String>,
    first_heading: Option<String>,
}

impl<'a> Survey<'a> {
    fn of(document: &'a Html) -> Self {
        let mut survey = Self { main: None, layout_tables: HashSet::new(), title: None, first_heading: None };
        let mut tables: Vec<NodeId> = Vec::new();
        for edge in document.tree.root().traverse() {
            let (node, opens) = match edge {
                Edge::Open(node) => (node, true),
                Edge::Close(node) => (node, false),
            };
            let Node::Element(element) = node.value() else { continue };
            match (element.name(), opens) {
                ("table", true) => {
                    survey.layout_tables.extend(tables.last());
                    tables.push(node.id());
                }
                ("table", false) => {
                    tables.pop();
                }
                ("title", true) if survey.title.is_none() && !inside_svg(node) => {
                    survey.title = text_of(node)
                }
                ("h1", true) if survey.first_heading.is_none() => survey.first_heading = text_of(node),
                _ if opens && survey.main.is_none() && is_main(element) && text_of(node).is_some() => {
                    survey.main = Some(node);
                }
                _ => {}
            }
        }
        survey
    }
}

fn is_main(element: &Element) -> bool {
    element.name() == "main" || element.attr("role") == Some("main")
}

fn inside_svg(node: NodeRef<'_, Node>) -> bool {
    node.parent()
        .and_then(|parent| parent.value().as_element().map(|element| element.name() == "svg"))
        .unwrap_or(false)
}

/// The text below `node` in one line, unless there is none.
fn text_of(node: NodeRef<'_, Node>) -> Option<String> {
    let texts = node.descendants().filter_map(|below| below.value().as_text().map(|text| &**text));
    let text = texts.collect::<Vec<&str>>().join("").split_whitespace().collect::<Vec<_>>().join(" ");
    (!text.is_empty()).then_some(text)
}

struct Walk<'a> {
    builder: OutlineBuilder<'a>,
    survey: &'a Survey<'a>,
    text: String,
    /// White space was read that only counts when text follows.
    space: bool,
    /// The element whose content is passed over.
    skipping: Option<NodeId>,
    heading: Option<NodeId>,
    /// How many `pre`, and how many elements of the page's own content, are open.
    preformatted: usize,
    content: usize,
    /// The number of the last item of each open list; `None` where items have no numbers.
    lists: Vec<Option<u64>>,
    marker: Option<String>,
    grid: Option<Grid>,
}

impl<'a> Walk<'a> {
    fn new(survey: &'a Survey<'a>, limits: &'a Limits) -> Self {
        Self {
            builder: OutlineBuilder::new(limits),
            survey,
            text: String::new(),
            space: false,
            skipping: None,
            heading: None,
            preformatted: 0,
            content: 0,
            lists: Vec::new(),
            marker: None,
            grid: None,
        }
    }

    /// Notes the title, the author and the language.
    fn describe(&mut self, document: &Html) {
        let outline = self.builder.outline();
        outline.title = self.survey.title.clone().or_else(|| self.survey.first_heading.clone());
        let mut note = |name: &str, value: Option<&str>| {
            if let Some(value) = value.map(str::trim).filter(|value| !value.is_empty()) {
                outline.metadata.insert(name.to_owned(), MetadataValue::Text(value.to_owned()));
            }
        };
        note("language", document.root_element().value().attr("lang"));
        let elements = document.tree.values().filter_map(Node::as_element);
        for element in
            elements.filter(|element| element.name() == "meta" && element.attr("name") == Some("author"))
        {
            note("author", element.attr("content"));
        }
    }

    fn edge(&mut self, edge: Edge<'_, Node>) -> Result<(), Fault> {
        match edge {
            Edge::Open(node) if self.skipping.is_none() => match node.value() {
                Node::Text(text) => {
                    self.push(text);
                    Ok(())
                }
                Node::Element(element) => self.open(node.id(), element),
                _ => Ok(()),
            },
            Edge::Close(node) if self.skipping.is_none_or(|skipped| skipped == node.id()) => {
                if self.skipping.take().is_some() {
                    return Ok(());
                }
                node.value().as_element().map_or(Ok(()), |element| self.close(node.id(), element))
            }
            _ => Ok(()),
        }
    }

    fn open(&mut self, id: NodeId, element: &Element) -> Result<(), Fault> {
        let name = element.name();
        if self.is_skipped(element) {
            self.skipping = Some(id);
            return Ok(());
        }
        if name == "br" {
            self.line_break();
            return Ok(());
        }
        self.content += usize::from(is_content(element));
        if self.is_inline(name) {
            self.space |= is_block(name);
            return self.open_cell(name, element);
        }
        if is_block(name) {
            self.flush()?;
        }
        match name {
            "pre" => self.preformatted += 1,
            "ul" | "menu" => self.lists.push(None),
            "ol" => {
                self.lists.push(Some(element.attr("start").and_then(|start| start.parse().ok()).unwrap_or(1)))
            }
            "li" => self.marker = Some(self.next_marker()),
            "table" if !self.survey.layout_tables.contains(&id) => self.grid = Some(Grid::new(id)),
            _ if heading_level(name).is_some() => self.heading = Some(id),
            _ => {}
        }
        self.open_cell(name, element)
    }

    fn open_cell(&mut self, name: &str, element: &Element) -> Result<(), Fault> {
        if matches!(name, "td" | "th") && self.grid.is_some() {
            self.flush()?;
            let span = |name: &str| element.attr(name).and_then(|span| span.trim().parse().ok()).unwrap_or(1);
            if let Some(grid) = &mut self.grid {
                grid.open_cell(name == "th", span("colspan"), span("rowspan"));
            }
        }
        Ok(())
    }

    fn close(&mut self, id: NodeId, element: &Element) -> Result<(), Fault> {
        let name = element.name();
        self.content -= usize::from(is_content(element));
        if self.heading == Some(id) {
            self.heading = None;
            let text = self.take();
            return self.builder.heading(heading_level(name).unwrap_or(6), &text);
        }
        if self.grid.is_some() {
            match name {
                "td" | "th" => return self.close_cell(),
                "tr" => return self.close_row(),
                "table" => return self.close_table(id),
                _ => {}
            }
        }
        if self.is_inline(name) {
            self.space |= is_block(name);
            return Ok(());
        }
        if name == "pre" {
            self.preformatted = self.preformatted.saturating_sub(1);
            let code = self.take();
            return self.builder.block(BlockKind::Code, &code);
        }
        if is_block(name) {
            self.flush()?;
        }
        if matches!(name, "ul" | "ol" | "menu") {
            self.lists.pop();
            self.marker = None;
        }
        Ok(())
    }

    fn close_cell(&mut self) -> Result<(), Fault> {
        let text = self.take();
        if let Some(grid) = &mut self.grid {
            grid.close_cell(&text);
        }
        Ok(())
    }

    fn close_row(&mut self) -> Result<(), Fault> {
        self.flush()?;
        match self.grid.as_mut().and_then(Grid::close_row) {
            Some(row) => self.builder.block(BlockKind::Row, &row),
            None => Ok(()),
        }
    }

    fn close_table(&mut self, id: NodeId) -> Result<(), Fault> {
        self.flush()?;
        let Some(grid) = self.grid.take_if(|grid| grid.table() == id) else { return Ok(()) };
        match grid.finish() {
            Some(header) => self.builder.block(BlockKind::Row, &header),
            None => Ok(()),
        }
    }

    /// Within headings and cells everything is one line.
    fn is_inline(&self, name: &str) -> bool {
        self.heading.is_some()
            || self.grid.as_ref().is_some_and(Grid::in_cell) && !matches!(name, "td" | "th" | "tr")
    }

    fn is_skipped(&self, element: &Element) -> bool {
        let name = element.name();
        let hidden = element.attr("hidden").is_some()
            || element.attr("aria-hidden") == Some("true")
            || element.attr("role") == Some("navigation")
            || element.attr("style").is_some_and(|style| style.replace(' ', "").contains("display:none"));
        // What stands beside the content is about the site; within it, it is about the content.
        let beside = self.content == 0 && matches!(name, "aside" | "footer");
        hidden || beside || SKIPPED.contains(&name) || matches!(name, "head" | "title")
    }

    fn next_marker(&mut self) -> String {
        match self.lists.last_mut() {
            Some(Some(number)) => {
                *number = number.saturating_add(1);
                format!("{}. ", *number - 1)
            }
            _ => "- ".to_owned(),
        }
    }

    fn push(&mut self, text: &str) {
        if self.preformatted > 0 {
            return self.text.push_str(text);
        }
        for character in text.chars() {
            // A no-break space keeps words together on a line, which is nothing to readers of chunks.
            if character.is_whitespace() {
                self.space = true;
                continue;
            }
            if std::mem::take(&mut self.space) && !self.text.is_empty() && !self.text.ends_with('\n') {
                self.text.push(' ');
            }
            self.text.push(character);
        }
    }

    fn line_break(&mut self) {
        match self.is_inline("br") {
            true => self.space = true,
            false => self.text.push('\n'),
        }
    }

    fn take(&mut self) -> String {
        self.space = false;
        std::mem::take(&mut self.text)
    }

    /// Ends the paragraph that is under way.
    fn flush(&mut self) -> Result<(), Fault> {
        let text = self.take();
        if text.trim().is_empty() {
            return Ok(());
        }
        match (self.preformatted, self.marker.take()) {
            (1.., _) => self.builder.block(BlockKind::Code, &text),
            (_, Some(marker)) => self.builder.block(BlockKind::ListItem, &format!("{marker}{text}")),
            _ if !self.lists.is_empty() => self.builder.block(BlockKind::ListItem, &text),
            _ => self.builder.block(BlockKind::Paragraph, &text),
        }
    }

    fn finish(mut self) -> Result<Outline, Fault> {
        self.flush()?;
        self.builder.finish()
    }
}

fn is_content(element: &Element) -> bool {
    is_main(element) || element.name() == "article"
}

fn is_block(name: &str) -> bool {
    BLOCKS.contains(&name) || heading_level(name).is_some()
}

fn heading_level(name: &str) -> Option<u8> {
    match name.as_bytes() {
        [b'h', digit @ b'1'..=b'6'] => Some(digit - b'0'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(source: &str) -> Vec<String> {
        let outline = outline(source, &Limits::default()).unwrap();
        let line = |headings: &[String], text: &str| [headings.join("/").as_str(), text].join("> ");
        let sections = outline.sections.iter();
        sections
            .flat_map(|section| section.blocks.iter().map(|block| line(&section.headings, &block.text)))
            .collect()
    }

    #[test]
    fn the_readable_part_is_kept() {
        let cases: [(&str, &[&str]); 9] = [
            ("<title>T</title><h1>A <b>b</b></h1><p>One\n two<p>Three", &["A b> One two", "A b> Three"]),
            (
                "<nav>away</nav><p hidden>x</p><script>y</script><p style='display: none'>z</p>Text<footer>f</footer>",
                &["> Text"],
            ),
            ("<div>chrome</div><main><p>Kept</p></main>", &["> Kept"]),
            ("<ul><li>a<li>b<ol start=3><li>c</ol></ul>d", &["> - a", "> - b", "> 3. c", "> d"]),
            ("<table><tr><th>Team<th>Cups<tr><td>Blues<td>1</table>", &["> Team: Blues; Cups: 1"]),
            ("<table><tr><td><table><tr><td>in</table></table>", &["> in"]),
            ("<table><caption>Cap</caption><tr><th>Born<td>1815</table>", &["> Cap", "> Born: 1815"]),
            ("<pre>a\n  b</pre>c<br>d", &["> a\n  b", "> c\nd"]),
            ("<h2>Only</h2><h2>Headings</h2>", &["> Only", "> Headings"]),
        ];
        for (source, expected) in cases {
            assert_eq!(blocks(source), expected, "{source}");
        }
    }

    #[test]
    fn metadata_is_read() {
        let source = "<html lang=en><head><title> A  title </title><meta name=author content=Ada></head><p>x";
        let outline = outline(source, &Limits::default()).unwrap();
        assert_eq!(outline.title.as_deref(), Some("A title"));
        assert_eq!(outline.metadata["language"], MetadataValue::Text("en".to_owned()));
        assert_eq!(outline.metadata["author"], MetadataValue::Text("Ada".to_owned()));
    }

    #[test]
    fn deep_nesting_ends_at_the_deadline_and_many_tags_at_the_memory() {
        let deep = "<div>".repeat(60_000);
        let limits = Limits { max_seconds: 0, ..Limits::default() };
        assert!(matches!(outline(&deep, &limits), Err(Fault::TooSlow { .. })));
        let limits = Limits { max_memory_bytes: 1 << 20, ..Limits::default() };
        assert!(matches!(outline(&deep, &limits), Err(Fault::MemoryTooLarge { .. })));
    }
}
