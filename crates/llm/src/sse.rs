//! Server-sent events, byte by byte: an incremental parser of `text/event-stream` as WHATWG's HTML
//! standard §9.2.6 defines it, for streams that may be cut into pieces anywhere.

use std::borrow::Cow;

/// Splits a byte stream into events and gives the data of each.
///
/// It departs from the standard in one place: an event that the end of the stream cuts off before its
/// blank line is still given by [`Self::finish`], since providers forget that line after `[DONE]`. Names
/// and ids of events are not kept, since no provider's answer depends on them.
#[derive(Debug, Default)]
pub(crate) struct EventParser {
    line: Vec<u8>,
    data: Option<String>,
    after_carriage_return: bool,
    started: bool,
}

impl EventParser {
    /// Takes the next bytes and gives the events that they complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut events = Vec::new();
        let mut rest = bytes;
        while let Some(&first) = rest.first() {
            // The second half of CR LF, perhaps in another piece than the first.
            if std::mem::take(&mut self.after_carriage_return) && first == b'\n' {
                rest = &rest[1..];
                continue;
            }
            let Some(end) = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
                self.line.extend_from_slice(rest);
                break;
            };
            self.after_carriage_return = rest[end] == b'\r';
            let line = &rest[..end];
            rest = &rest[end + 1..];
            // Nearly every line comes whole.
            events.extend(match self.line.is_empty() {
                true => self.end_line(line),
                false => {
                    self.line.extend_from_slice(line);
                    let line = std::mem::take(&mut self.line);
                    self.end_line(&line)
                }
            });
        }
        events
    }

    /// Gives the event that the end of the stream cut off, if there is one.
    pub(crate) fn finish(&mut self) -> Option<String> {
        if !self.line.is_empty() {
            let line = std::mem::take(&mut self.line);
            self.end_line(&line);
        }
        self.data.take()
    }

    /// The bytes held of an event that is not complete.
    pub(crate) fn pending(&self) -> usize {
        self.line.len() + self.data.as_ref().map_or(0, String::len)
    }

    /// Takes the line into the event; gives the event where the line is blank.
    fn end_line(&mut self, line: &[u8]) -> Option<String> {
        let line = match std::mem::replace(&mut self.started, true) {
            false => line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line),
            true => line,
        };
        if line.is_empty() {
            return self.data.take();
        }
        let (field, value) = match line.iter().position(|&byte| byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &b""[..]),
        };
        if field == b"data" {
            let value = value.strip_prefix(b" ").unwrap_or(value);
            // Much faster where nothing is wrong, which is nearly always so.
            let value = str::from_utf8(value).map_or_else(|_| String::from_utf8_lossy(value), Cow::Borrowed);
            match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(&value);
                }
                None => self.data = Some(value.into_owned()),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
        let mut parser = EventParser::default();
        let mut events: Vec<String> = pieces.into_iter().flat_map(|piece| parser.push(piece)).collect();
        events.extend(parser.finish());
        assert_eq!(parser.pending(), 0);
        events
    }

    #[test]
    fn streams_are_parsed_as_the_standard_says() {
        let cases: [(&str, &[&str]); 15] = [
            ("data: a\n\ndata: b\n\n", &["a", "b"]),
            ("data: a\r\n\r\ndata: b\r\n\r\n", &["a", "b"]),
            ("data: a\r\rdata: b\r\r", &["a", "b"]),
            ("data:a\n\n", &["a"]),
            ("data:  a \n\n", &[" a "]),
            ("data: a\ndata: b\ndata\n\n", &["a\nb\n"]),
            (": a comment\n\n:\n\ndata: a\n\n", &["a"]),
            ("event: x\nid: 1\nretry: 5\ndata: a\n\nevent: y\n\n", &["a"]),
            ("data: {\"a\": \"b:c\"}\n\n", &["{\"a\": \"b:c\"}"]),
            ("\u{FEFF}data: a\n\n", &["a"]),
            ("data: \u{FEFF}a\n\n", &["\u{FEFF}a"]),
            ("data: a\n\ndata: [DONE]", &["a", "[DONE]"]),
            ("data:\n\n", &[""]),
            ("dat: a\n\n data: b\n\nDATA: c\n\n", &[]),
            ("", &[]),
        ];
        for (stream, expected) in cases {
            assert_eq!(parse([stream.as_bytes()]), expected, "{stream:?}");
        }
        assert_eq!(parse([&b"data: \xFFa\n\n"[..]]), ["\u{FFFD}a"]);
    }

    proptest! {
        #[test]
        fn where_a_stream_is_cut_changes_nothing(
            pieces in proptest::collection::vec(
                prop_oneof!["data: ?", "[\r\n]{1,2}", ":", "[a-zé€😀 {}\":]{0,6}", "\\PC{0,4}", "\u{FEFF}"], 0..30),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..12),
        ) {
            let stream: Vec<u8> = pieces.concat().into_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let whole = parse([stream.as_slice()]);
            let cut = parse(cuts.windows(2).map(|ends| &stream[ends[0]..ends[1]]));
            prop_assert_eq!(&whole, &cut);
            prop_assert_eq!(&whole, &parse(stream.chunks(1)));
        }
    }
}
