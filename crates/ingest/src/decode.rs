//! Bytes of unknown encoding to text.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_16BE, UTF_16LE};

use crate::fault::Fault;

/// The text of `bytes`: by its byte order mark, as UTF-8, or in the encoding that its bytes speak for.
pub(crate) fn decode(bytes: Vec<u8>) -> Result<String, Fault> {
    if let Some((encoding, _)) = Encoding::for_bom(&bytes) {
        return checked(encoding.decode(&bytes).0.into_owned());
    }
    if let Some(encoding) = unmarked_utf16(&bytes) {
        return checked(encoding.decode_without_bom_handling(&bytes).0.into_owned());
    }
    match String::from_utf8(bytes) {
        Ok(text) => checked(text),
        Err(error) => checked(guess(error.as_bytes())),
    }
}

/// How far into a file HTML may declare its encoding (HTML standard, 13.2.3.2).
const DECLARATION_BYTES: usize = 1_024;

fn guess(bytes: &[u8]) -> String {
    if let Some(encoding) = declared(&bytes[..bytes.len().min(DECLARATION_BYTES)]) {
        return encoding.decode_without_bom_handling(bytes).0.into_owned();
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(bytes, true);
    detector.guess(None, Utf8Detection::Allow).decode_without_bom_handling(bytes).0.into_owned()
}

/// The encoding that HTML names in a `meta` element, or XML in its first line.
fn declared(head: &[u8]) -> Option<&'static Encoding> {
    let head = encoding_rs::mem::decode_latin1(head).to_ascii_lowercase();
    if !head.trim_start().starts_with('<') {
        return None;
    }
    let (_, after) = head.split_once("charset=").or_else(|| head.split_once("encoding="))?;
    let label =
        after.trim_start_matches(['"', '\'', ' ']).split(['"', '\'', ' ', '>', ';', '/', '?']).next()?;
    // What says UTF-8 and is not is wrong about itself.
    Encoding::for_label(label.as_bytes()).filter(|encoding| *encoding != encoding_rs::UTF_8)
}

/// Western text in UTF-16 has a zero in every other byte.
fn unmarked_utf16(bytes: &[u8]) -> Option<&'static Encoding> {
    let sample = &bytes[..bytes.len().min(4_096) & !1];
    let zeros = |offset: usize| sample.iter().skip(offset).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd, half) = (zeros(0), zeros(1), sample.len() / 2);
    match (even * 10 > half * 7 && odd == 0, odd * 10 > half * 7 && even == 0) {
        (true, false) => Some(UTF_16BE),
        (false, true) => Some(UTF_16LE),
        _ => None,
    }
}

/// Text with more than a few control characters isn't text.
fn checked(text: String) -> Result<String, Fault> {
    let (mut controls, mut characters) = (0usize, 0usize);
    for character in text.chars().take(65_536) {
        let odd = character.is_control()
            && !matches!(character, '\t' | '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1b}' | '\u{85}');
        controls += usize::from(odd || character == '\u{fffd}');
        characters += 1;
    }
    match controls * 50 > characters {
        true => Err(Fault::Unsupported("a binary file")),
        false => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_found() {
        let utf16 = |text: &str, little: bool| -> Vec<u8> {
            text.encode_utf16()
                .flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() })
                .collect()
        };
        let marked = [vec![0xff, 0xfe], utf16("Grüße", true)].concat();
        let latin = "Der Müller grüßt die Bäcker, und die Bäcker grüßen zurück.";
        let cases = [
            ("Grüße, 日本".as_bytes().to_vec(), "Grüße, 日本"),
            ([b"\xef\xbb\xbf".as_slice(), b"marked"].concat(), "marked"),
            (marked, "Grüße"),
            (utf16("plain text without a mark", true), "plain text without a mark"),
            (utf16("plain text without a mark", false), "plain text without a mark"),
            (
                b"<meta charset=\"windows-1251\"><p>\xcf\xf0\xe8\xe2\xe5\xf2".to_vec(),
                "<meta charset=\"windows-1251\"><p>Привет",
            ),
            (latin.chars().map(|character| character as u8).collect(), latin),
        ];
        for (bytes, expected) in cases {
            assert_eq!(decode(bytes).unwrap(), expected);
        }
    }

    #[test]
    fn binary_content_is_refused() {
        let noise: Vec<u8> =
            (0..2_000u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        assert!(decode(noise).is_err());
    }
}
