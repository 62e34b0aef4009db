//! Documents as Word writes them, reduced to what matters.

use std::io::{Cursor, Write};

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;

const STYLES: &str = r#"<w:styles xmlns:w="w">
<w:style w:styleId="berschrift1"><w:name w:val="heading 1"/></w:style>
<w:style w:styleId="Kapitel"><w:name w:val="Kapitel"/><w:basedOn w:val="berschrift1"/></w:style>
<w:style w:styleId="Titel"><w:name w:val="Title"/></w:style>
<w:style w:styleId="Liste"><w:name w:val="List Bullet"/><w:pPr><w:numPr/></w:pPr></w:style>
<w:style w:styleId="Loop"><w:basedOn w:val="Loop"/></w:style>
</w:styles>"#;

fn docx(parts: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in parts {
        archive.start_file(*name, SimpleFileOptions::default()).unwrap();
        archive.write_all(content.as_bytes()).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

fn read(body: &str) -> Outline {
    let document = format!("<w:document xmlns:w='w'><w:body>{body}</w:body></w:document>");
    let bytes = docx(&[("word/document.xml", &document), ("word/styles.xml", STYLES)]);
    outline(Cursor::new(bytes), &Limits::default()).unwrap()
}

/// One line a block: the page, the headings, and the text.
fn lines(body: &str) -> Vec<String> {
    let outline = read(body);
    let mut lines = Vec::new();
    for section in &outline.sections {
        for block in &section.blocks {
            let page = block.page.map(|page| format!("{page} ")).unwrap_or_default();
            lines.push(format!("{page}{}> {}", section.headings.join("/"), block.text));
        }
    }
    lines
}

fn paragraph(style: &str, text: &str) -> String {
    format!("<w:p><w:pPr><w:pStyle w:val='{style}'/></w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>")
}

fn row(cells: &[&str]) -> String {
    let cells = cells.iter().map(|cell| format!("<w:tc><w:p><w:r><w:t>{cell}</w:t></w:r></w:p></w:tc>"));
    format!("<w:tr>{}</w:tr>", cells.collect::<String>())
}

#[test]
fn headings_come_from_styles_in_any_language() {
    let body = [
        paragraph("Titel", "Report"),
        paragraph("berschrift1", "One"),
        paragraph("Normal", "Fish &amp; chips"),
        paragraph("Kapitel", "Two"),
        paragraph("Liste", "point"),
        paragraph("Loop", "round"),
    ];
    assert_eq!(lines(&body.concat()), ["One> Fish & chips", "Two> - point", "Two> round"]);
    assert_eq!(read(&body.concat()).title.as_deref(), Some("Report"));
}

#[test]
fn pages_are_counted_once() {
    let turned = "<w:p><w:r><w:t>a</w:t></w:r></w:p><w:p><w:r><w:br w:type=\"page\"/></w:r></w:p>\
        <w:p><w:r><w:lastRenderedPageBreak/><w:t>b</w:t></w:r></w:p>\
        <w:p><w:r><w:t>c</w:t><w:lastRenderedPageBreak/><w:t>d</w:t></w:r></w:p><w:p><w:r><w:t>e</w:t></w:r></w:p>";
    assert_eq!(lines(turned), ["1 > a", "2 > b", "2 > cd", "3 > e"]);
    assert_eq!(lines("<w:p><w:r><w:t>a</w:t></w:r></w:p>"), ["> a"], "no pages are made up");
}

#[test]
fn tables_read_row_by_row() {
    let look = "<w:tblPr><w:tblLook w:val='04A0'/></w:tblPr>";
    let cases = [
        (
            format!("<w:tbl>{}{}</w:tbl>", row(&["Name", "Ada"]), row(&["Born", "1815"])),
            vec!["> Name | Ada", "> Born | 1815"],
        ),
        (
            format!(
                "<w:tbl>{look}{}{}</w:tbl>",
                row(&["Name", "Town", "Year"]),
                row(&["Ada", "London", "1815"])
            ),
            vec!["> Name: Ada; Town: London; Year: 1815"],
        ),
    ];
    for (body, expected) in cases {
        assert_eq!(lines(&body), expected);
    }
}

#[test]
fn second_copies_and_deleted_text_are_left_out() {
    let body = "<w:p><w:r><w:t>kept</w:t></w:r><w:del><w:r><w:t>gone</w:t></w:r></w:del>\
        <mc:Fallback><w:r><w:t>copy</w:t></w:r></mc:Fallback><w:hyperlink><w:r><w:t> link</w:t></w:r></w:hyperlink></w:p>";
    assert_eq!(lines(body), ["> kept link"]);
}

#[test]
fn the_main_part_may_have_another_name_and_notes_follow() {
    let relations = r#"<Relationships><Relationship Type="http://x/officeDocument" Target="/word/document2.xml"/></Relationships>"#;
    let text = |text: &str| format!("<w:d><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:d>");
    let core = "<p><dc:title>Q&amp;A</dc:title><dc:creator>Ada</dc:creator></p>";
    let bytes = docx(&[
        ("_rels/.rels", relations),
        ("word/document2.xml", &text("body")),
        ("word/footnotes.xml", &text("note")),
        ("docProps/core.xml", core),
    ]);
    let outline = outline(Cursor::new(bytes), &Limits::default()).unwrap();
    let texts: Vec<_> =
        outline.sections.iter().flat_map(|section| &section.blocks).map(|block| &*block.text).collect();
    assert_eq!(texts, ["body", "note"]);
    assert_eq!(outline.title.as_deref(), Some("Q&A"));
    assert_eq!(outline.metadata["author"], MetadataValue::Text("Ada".to_owned()));
}

#[test]
fn bombs_are_refused_before_they_unpack() {
    let bomb = " ".repeat(9 << 20);
    let bytes = docx(&[("word/document.xml", &bomb)]);
    assert!(bytes.len() < 100_000);
    let limits = Limits { max_text_bytes: 1 << 20, ..Limits::default() };
    assert!(matches!(outline(Cursor::new(bytes), &limits), Err(Fault::TextTooLarge { .. })));
}
