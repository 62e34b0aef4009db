//! Text that is written so that only a model reads it: words in disguise, and texts that are encoded.

use std::ops::Range;

use super::lexicon::LEXICON;
use super::reading::Reading;

/// The fewest letters of an encoded text.
const FEWEST: usize = 24;
/// The most bytes that are decoded of each encoded text, and the most texts.
const MOST: usize = 2_000;
const MOST_TEXTS: usize = 8;
/// Words that instructions have, rotated by 13 letters and backwards.
const ROTATED: [&str; 8] =
    ["vtaber", "vafgehpgvbaf", "vafgehpgvba", "cerivbhf", "flfgrz", "cebzcg", "nffvfgnag", "qvfertneq"];
const BACKWARDS: [&str; 8] =
    ["erongi", "snoitcurtsni", "noitcurtsni", "suoiverp", "metsys", "tpmorp", "tnatsissa", "drageris"];

/// A word in disguise that would be about instructions if it were written plainly.
pub(super) fn word(reading: &Reading) -> Option<Range<usize>> {
    let (disguised, meant) = (
        LEXICON.topic("disguised"),
        LEXICON.topic("drop") | LEXICON.topic("instruction") | LEXICON.topic("jailbreak"),
    );
    let found = reading.words.iter().find(|word| word.topics & disguised != 0 && word.topics & meant != 0)?;
    Some(found.place.clone())
}

/// Texts that may be encoded in a text, with the place of each.
pub(super) fn texts<'a>(
    text: &'a str,
    reading: &Reading,
) -> impl Iterator<Item = (Range<usize>, String)> + use<'a> {
    let has = |words: &[&str]| {
        reading.words.iter().enumerate().find(|(place, _)| words.contains(&reading.word(*place)))
    };
    let rotated = has(&ROTATED).map(|(_, word)| around(text, &word.place)).map(|place| {
        let meant = text[place.clone()].chars().map(rotate).collect();
        (place, meant)
    });
    let backwards = has(&BACKWARDS).map(|(_, word)| around(text, &word.place)).map(|place| {
        let meant = text[place.clone()].chars().rev().collect();
        (place, meant)
    });
    let entities = (text.matches("&#").count() >= 4).then(|| text.find("&#")).flatten().map(|start| {
        let place = around(text, &(start..start + 2));
        let meant = resolve_entities(&text[place.clone()]);
        (place, meant)
    });
    let encoded = runs(text).filter_map(|place| Some((place.clone(), decode(&text[place])?)));
    rotated.into_iter().chain(backwards).chain(entities).chain(encoded.take(MOST_TEXTS))
}

/// The line that a place stands in, or its nearer part where the line is long.
fn around(text: &str, place: &Range<usize>) -> Range<usize> {
    let before = &text[..place.start];
    let start = before
        .rfind('\n')
        .map_or(0, |end| end + 1)
        .max(text.floor_char_boundary(place.start.saturating_sub(MOST)));
    let end = text[place.end..].find('\n').map_or(text.len(), |end| place.end + end);
    let end = text.floor_char_boundary(end.min(place.end + MOST));
    let inside = &text[start..end];
    let (from, to) = (inside.len() - inside.trim_start().len(), inside.trim_end().len());
    start + from..start + to
}

fn rotate(letter: char) -> char {
    let by = |first: u8| char::from(first + (letter as u8 - first + 13) % 26);
    match letter {
        'a'..='z' => by(b'a'),
        'A'..='Z' => by(b'A'),
        other => other,
    }
}

fn resolve_entities(text: &str) -> String {
    let mut parts = text.split("&#");
    let mut resolved = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (number, rest) = part.split_once(';').unwrap_or((part, ""));
        let code = match number.strip_prefix(['x', 'X']) {
            Some(number) => u32::from_str_radix(number, 16),
            None => number.parse(),
        };
        resolved.extend(code.ok().and_then(char::from_u32));
        resolved.push_str(rest);
    }
    resolved
}

/// The places of long runs of letters as base64 and hexadecimal numbers have them.
fn runs(text: &str) -> impl Iterator<Item = Range<usize>> + use<'_> {
    let mut start = 0;
    text.split(|letter: char| {
        !(letter.is_ascii_alphanumeric() || matches!(letter, '+' | '/' | '-' | '_' | '='))
    })
    .filter_map(move |run| {
        let place = start..start + run.len();
        // Every sign that splits is as long as the next run begins after it.
        start = text[place.end..].chars().next().map_or(place.end, |sign| place.end + sign.len_utf8());
        (run.len() >= FEWEST).then(|| place.start..place.start + run.len().min(MOST))
    })
}

/// What a run says as hexadecimal numbers or base64, if it says anything that can be read.
fn decode(run: &str) -> Option<String> {
    let hexadecimal = || {
        let digits: Option<Vec<u8>> =
            run.chars().map(|digit| digit.to_digit(16).and_then(|value| u8::try_from(value).ok())).collect();
        let bytes = digits?
            .chunks_exact(2)
            .map(|pair| pair.iter().fold(0, |byte, digit| byte * 16 + digit))
            .collect();
        readable(bytes)
    };
    let base64 = || {
        let mut bytes = Vec::with_capacity(run.len());
        let (mut held, mut bits) = (0_u32, 0);
        for letter in run.bytes().filter(|letter| *letter != b'=') {
            let value = match letter {
                b'A'..=b'Z' => letter - b'A',
                b'a'..=b'z' => letter - b'a' + 26,
                b'0'..=b'9' => letter - b'0' + 52,
                b'+' | b'-' => 62,
                _ => 63,
            };
            held = (held << 6 | u32::from(value)) & 0xffff;
            bits += 6;
            if bits >= 8 {
                bits -= 8;
                bytes.push(u8::try_from(held >> bits & 0xff).unwrap_or_default());
            }
        }
        readable(bytes)
    };
    hexadecimal().or_else(base64)
}

fn readable(bytes: Vec<u8>) -> Option<String> {
    let text = String::from_utf8(bytes).ok()?;
    let letters = text.chars().filter(|letter| letter.is_alphabetic() || *letter == ' ').count();
    (text.contains(' ') && letters * 5 >= text.chars().count() * 4).then_some(text)
}
