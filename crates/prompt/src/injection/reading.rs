//! A text as words and sentences, with what each word is about and how each sentence is set out.

use std::ops::Range;
use std::sync::LazyLock;

use super::letters::{is_tag, is_unseen, look_alike, plain, spelt_with_digit};
use super::lexicon::{LEXICON, Topics};

/// Sentences longer than this are cut, so that none can be made harmless by lengthening it.
const MOST_WORDS: usize = 36;
/// From this many words on, a comma or semicolon is place enough for a cut.
const ENOUGH_WORDS: usize = 24;
/// So many letters in a row that stand alone spell a word.
const SPELT_OUT: usize = 5;
/// Words after which a new clause may begin.
const JOINING: [&str; 20] = [
    "and", "please", "then", "now", "instead", "also", "just", "but", "kindly", "simply", "to", "und",
    "bitte", "et", "y", "e", "en", "i", "och", "og",
];

/// The topics of what can be spoken to and is no person.
static MACHINE: LazyLock<Topics> = LazyLock::new(|| LEXICON.topic("machine") | LEXICON.topic("modelword"));

/// A text that was read.
pub(super) struct Reading {
    letters: String,
    pub(super) words: Vec<Word>,
    pub(super) sentences: Vec<Sentence>,
}

/// A word as it is meant, and where it stands.
pub(super) struct Word {
    letters: Range<usize>,
    /// The bytes of the original text.
    pub(super) place: Range<usize>,
    pub(super) topics: Topics,
    /// Whether a clause begins here, where an imperative stands.
    pub(super) opens: bool,
}

/// A sentence, line or cell.
pub(super) struct Sentence {
    pub(super) words: Range<usize>,
    /// How it is set out.
    pub(super) forms: Topics,
}

impl Reading {
    pub(super) fn of(text: &str) -> Self {
        let mut reading =
            Self { letters: String::with_capacity(text.len()), words: Vec::new(), sentences: Vec::new() };
        reading.split_words(text);
        reading.join_spelt_out(text);
        reading.find_topics(text);
        reading.split_sentences(text);
        reading
    }

    /// A word in plain letters.
    pub(super) fn word(&self, place: usize) -> &str {
        self.words.get(place).map_or("", |word| &self.letters[word.letters.clone()])
    }

    /// The bytes of the original text that words stand in.
    pub(super) fn place(&self, words: &Range<usize>) -> Range<usize> {
        let some = self.words.get(words.clone()).unwrap_or_default();
        match (some.first(), some.last()) {
            (Some(first), Some(last)) => first.place.start..last.place.end,
            _ => 0..0,
        }
    }

    fn split_words(&mut self, text: &str) {
        let mut open: Option<(usize, usize)> = None;
        let mut end = 0;
        for (place, letter) in text.char_indices() {
            if is_unseen(letter) {
                continue;
            }
            let apostrophe = matches!(letter, '\'' | '’');
            if letter.is_alphanumeric() || is_tag(letter) && plain(letter).is_alphanumeric() {
                let start = self.letters.len();
                open.get_or_insert((start, place));
                self.letters.push(plain(letter));
                end = place + letter.len_utf8();
            } else if apostrophe && let Some((start, _)) = open {
                // "don't" is one word, "l'assistant" two.
                if matches!(
                    &self.letters[start..],
                    "l" | "d" | "n" | "s" | "j" | "m" | "t" | "c" | "qu" | "dell" | "all" | "un"
                ) {
                    self.close(&mut open, end);
                }
            } else {
                self.close(&mut open, end);
            }
        }
        self.close(&mut open, end);
    }

    fn close(&mut self, open: &mut Option<(usize, usize)>, end: usize) {
        if let Some((start, place)) = open.take() {
            let letters = start..self.letters.len();
            self.words.push(Word { letters, place: place..end, topics: 0, opens: false });
        }
    }

    /// Puts letters together that are spelt out, as in `i-g-n-o-r-e`.
    fn join_spelt_out(&mut self, text: &str) {
        let alone = |word: &Word| word.place.len() <= 4 && text[word.place.clone()].chars().count() == 1;
        let gap = |first: &Word, second: &Word| text[first.place.end..second.place.start].to_owned();
        let mut joined: Vec<Word> = Vec::with_capacity(self.words.len());
        let mut rest = std::mem::take(&mut self.words).into_iter().peekable();
        while let Some(first) = rest.next() {
            let Some(between) =
                rest.peek().filter(|next| alone(&first) && alone(next)).map(|next| gap(&first, next))
            else {
                joined.push(first);
                continue;
            };
            let mut run = vec![first];
            while let (Some(last), Some(next)) = (run.last(), rest.peek())
                && alone(next)
                && gap(last, next) == between
            {
                run.extend(rest.next());
            }
            match (run.first(), run.last()) {
                (Some(first), Some(last)) if run.len() >= SPELT_OUT && between.chars().count() == 1 => {
                    let place = first.place.start..last.place.end;
                    let letters = first.letters.start..last.letters.end;
                    joined.push(Word { letters, place, topics: LEXICON.topic("disguised"), opens: false });
                }
                _ => joined.append(&mut run),
            }
        }
        self.words = joined;
    }

    fn find_topics(&mut self, text: &str) {
        let disguised = LEXICON.topic("disguised");
        let mut instead = String::new();
        for place in 0..self.words.len() {
            let mut topics = LEXICON.word(self.word(place));
            let letters = self.words[place].letters.clone();
            let (mut latin, mut digit, mut other) = (false, false, false);
            for letter in self.letters[letters.clone()].chars() {
                latin |= letter.is_ascii_lowercase();
                digit |= letter.is_ascii_digit();
                other |= !letter.is_ascii();
            }
            if latin && (digit || other) {
                let meant = |letter| spelt_with_digit(look_alike(letter));
                instead.clear();
                instead.extend(self.letters[letters.clone()].chars().map(meant));
                let found = LEXICON.word(&instead);
                if found & !topics != 0 && instead.len() > 2 {
                    topics |= found | disguised;
                    // What it is meant to be is never longer than what is written.
                    let end = letters.start + instead.len();
                    if instead.len() <= letters.len() && self.letters.is_char_boundary(letters.end) {
                        instead.extend(std::iter::repeat_n('_', letters.len() - instead.len()));
                        self.letters.replace_range(letters.clone(), &instead);
                        self.words[place].letters = letters.start..end;
                    }
                }
            }
            let written = &text[self.words[place].place.clone()];
            if written.chars().any(|letter| {
                is_unseen(letter) && letter != '\u{ad}' && !matches!(letter, '\u{300}'..='\u{36f}')
            }) || written.chars().any(is_tag)
            {
                topics |= disguised;
            }
            self.words[place].topics |= topics;
        }
        for place in 1..self.words.len() {
            let topics = LEXICON.pair(self.word(place - 1), self.word(place));
            self.words[place - 1].topics |= topics;
        }
    }

    fn split_sentences(&mut self, text: &str) {
        let mut forms = Forms::default();
        let mut start = 0;
        let mut opens = true;
        let mut last = 0;
        for place in 0..self.words.len() {
            let before = &text[last..self.words[place].place.start];
            let gap = Gap::of(before, text[self.words[place].place.start..].chars().next(), last == 0);
            let long = place - start;
            if gap.ends || long >= MOST_WORDS || long >= ENOUGH_WORDS && gap.pauses {
                self.end_sentence(text, start..place, before, &mut forms);
                start = place;
                opens = true;
            }
            forms.see(before, &text[self.words[place].place.clone()], place == start);
            let joins = JOINING.contains(&self.word(place));
            self.words[place].opens = opens || gap.pauses;
            opens = joins;
            last = self.words[place].place.end;
        }
        let rest = &text[last..];
        self.end_sentence(text, start..self.words.len(), rest, &mut forms);
    }

    fn end_sentence(&mut self, text: &str, words: Range<usize>, after: &str, forms: &mut Forms) {
        if words.is_empty() {
            return;
        }
        if after.trim_start_matches(['"', '”', '’', '*', '_', ')', ']']).starts_with('?') {
            forms.here |= LEXICON.topic("asks");
        }
        let capitals = self.words[words.clone()].iter().filter(|word| {
            let written = &text[word.place.clone()];
            written.len() > 2 && !written.chars().any(|letter| letter.is_lowercase() || letter.is_numeric())
        });
        if words.len() >= 3 && capitals.count() * 3 >= words.len() * 2 {
            forms.here |= LEXICON.topic("shouts");
        }
        if self.is_addressed(&words, text) {
            forms.here |= LEXICON.topic("addressed");
        }
        let is_end = self.is_end(&words, text);
        self.sentences.push(Sentence { words, forms: forms.here });
        forms.next(is_end);
    }

    /// Whether a sentence begins by naming whom it speaks to, and that is a machine: `Note to AI readers: …`.
    fn is_addressed(&self, words: &Range<usize>, text: &str) -> bool {
        let first = self.words.get(words.start..words.end.min(words.start + 8)).unwrap_or_default();
        let named = first.iter().position(|word| word.topics & *MACHINE != 0);
        named.is_some_and(|named| {
            first[named..].windows(2).any(|pair| {
                text.get(pair[0].place.end..pair[1].place.start)
                    .is_some_and(|gap| gap.starts_with([':', '!']) || gap.starts_with(',') && named < 3)
            })
        })
    }

    /// Whether a sentence is a line such as `===== END OF CONTEXT =====`.
    fn is_end(&self, words: &Range<usize>, text: &str) -> bool {
        let decorated = {
            let start = self.place(words).start;
            text[..start].ends_with(['=', '-', '#', '[', '*', '/', '_', '<', '('])
                || text[..start].ends_with("# ")
                || text[..start].ends_with("= ")
                || text[..start].ends_with("- ")
        };
        let says = |word: &str| words.clone().take(8).any(|place| self.word(place) == word);
        let ended = words.clone().take(8).any(|place| {
            matches!(
                self.word(place),
                "context"
                    | "document"
                    | "documents"
                    | "passage"
                    | "passages"
                    | "text"
                    | "data"
                    | "source"
                    | "sources"
                    | "material"
                    | "quotation"
                    | "input"
                    | "prompt"
                    | "section"
                    | "instructions"
                    | "results"
                    | "quote"
                    | "contents"
            )
        });
        words.len() <= 8
            && ended
            && (says("end") && says("of")
                || decorated && (says("end") || says("begin"))
                || says("ends") && says("here"))
    }
}

/// What stands between two words.
struct Gap {
    ends: bool,
    pauses: bool,
}

impl Gap {
    fn of(between: &str, next: Option<char>, first: bool) -> Self {
        let mut gap = Self { ends: false, pauses: first };
        if between == " " {
            return gap;
        }
        let mut lines = 0;
        let mut stop = false;
        for letter in between.chars() {
            match letter {
                '.' | '!' | '?' | '…' | '。' => stop = true,
                '\n' => lines += 1,
                '|' | '<' | '>' | '{' | '}' => gap.ends = true,
                ',' | ';' | ':' | '(' | '"' | '“' | '”' | '„' | '«' | '»' | '–' | '—' | '[' | '`' | '#'
                | '/' => gap.pauses = true,
                _ => {}
            }
        }
        let small = next.is_some_and(char::is_lowercase);
        let spaced = between.contains(char::is_whitespace);
        gap.ends |= stop && spaced && !(small && between.starts_with(". ")) || lines > 1;
        // A line that goes on in small letters was only wrapped.
        gap.ends |= lines == 1 && !(small && between.trim().is_empty());
        gap.pauses |= gap.ends;
        gap
    }
}

/// How sentences are set out, as it is seen while reading on.
#[derive(Default)]
struct Forms {
    here: Topics,
    in_comment: bool,
    in_cell: bool,
    /// How many more sentences stand after an end that was announced, or after markup that hides.
    after_end: usize,
    after_hiding: usize,
}

impl Forms {
    fn see(&mut self, before: &str, word: &str, first: bool) {
        if before == " " && !first {
            return;
        }
        if before.contains("<!--") || before.contains("[//]") {
            self.in_comment = true;
        }
        if before.contains("-->") && !before.ends_with("<!-- ") {
            self.in_comment = false;
        }
        if before.contains('\n') {
            self.in_cell = false;
        }
        if before.contains('|') {
            self.in_cell = true;
        }
        let line = before.rsplit('\n').next().unwrap_or(before).trim_start();
        let mut mark = |condition: bool, form: &str| {
            if condition {
                self.here |= LEXICON.topic(form);
            }
        };
        if first {
            mark(self.in_comment, "in_comment");
            mark(self.in_cell, "in_cell");
            mark(self.after_end > 0, "after_end");
            mark(self.after_hiding > 0, "after_hiding");
            mark(
                line.starts_with("//")
                    || line.starts_with("# ")
                    || line.starts_with("-- ")
                    || line.starts_with("/*"),
                "in_code_comment",
            );
            mark(before.ends_with(['"', '“', '„', '«', '\'']), "in_quotes");
            mark(before.ends_with("\": \"") || before.ends_with("\":\""), "in_field");
            mark(before.ends_with('<') || before.ends_with("</"), "in_tag");
            mark(
                before.ends_with('[') && word.len() <= 2 && word.bytes().all(|byte| byte.is_ascii_digit()),
                "numbered_source",
            );
        }
        mark(before.contains("=\""), "in_tag");
        mark(before.contains("!["), "image");
        mark(word.starts_with("http") || word == "www", "web_address");
        mark(
            before.contains("{{") || before == "=[" || before == "={" || before.ends_with("= "),
            "fills_address",
        );
        if before.contains(':') || before.contains('=') || before.contains('"') {
            let hides = matches!(word, "none" | "hidden" | "0" | "0px" | "1px" | "white" | "transparent");
            if hides {
                self.after_hiding = 2;
            }
        }
        if before.contains("</") && is_container(word) {
            self.after_end = 3;
        }
    }

    fn next(&mut self, is_end: bool) {
        self.here = 0;
        self.after_end = if is_end { 3 } else { self.after_end.saturating_sub(1) };
        self.after_hiding = self.after_hiding.saturating_sub(1);
    }
}

/// Whether a tag of this name is what prompts put passages into.
pub(super) fn is_container(tag: &str) -> bool {
    const TAGS: [&str; 14] = [
        "passage",
        "passages",
        "document",
        "documents",
        "context",
        "contexts",
        "source",
        "sources",
        "data",
        "results",
        "user_input",
        "retrieved",
        "quote",
        "material",
    ];
    TAGS.iter().any(|known| known.eq_ignore_ascii_case(tag))
}
