//! Names in a text, and whether a passage is about something that a text names. By the look of words alone:
//! where a script has no capital letters there are no names.

use crate::PassageText;

/// Words that stand within a name without a capital.
const CONNECTIVES: [&str; 18] = [
    "of", "the", "and", "de", "la", "von", "van", "di", "for", "in", "on", "&", "du", "del", "der", "a",
    "to", "et",
];
/// Words at the start of a question that are capitalised and name nothing.
const QUESTION_WORDS: [&str; 31] = [
    "what", "which", "who", "whom", "whose", "when", "where", "why", "how", "is", "are", "was", "were", "do",
    "does", "did", "in", "on", "the", "a", "an", "of", "for", "at", "by", "from", "to", "and", "between",
    "has", "can",
];
/// A passage opens with a name that stands among this many first words…
const OPENING_WORDS: usize = 8;
/// …and begins at one of these.
const OPENING_STARTS: usize = 3;
/// How sure it is that a passage which opens with a name is about it, beside one that has it as its title.
const OPENING_STRENGTH: f32 = 0.7;
/// Shorter titles name too much.
const SMALLEST_TITLE_CHARACTERS: usize = 3;

/// The words of a text as they stand, split where neither letter nor digit stands.
pub(crate) fn raw_words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

/// Runs of capitalised words, connectives and numbers within them included, each once, in order.
pub(crate) fn names(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut current: Vec<&str> = Vec::new();
    for token in text.split_whitespace() {
        let tail = token.trim_start_matches(|c: char| !c.is_alphanumeric());
        let bare = tail.trim_end_matches(|c: char| !c.is_alphanumeric());
        if tail.len() < token.len() {
            close(&mut current, &mut found);
        }
        let word = bare.strip_suffix("'s").or_else(|| bare.strip_suffix("’s")).unwrap_or(bare);
        let capital = word.starts_with(char::is_uppercase);
        let within =
            !current.is_empty() && (word.starts_with(char::is_numeric) || CONNECTIVES.contains(&token));
        match capital || within {
            true => current.push(if bare.is_empty() { token } else { word }),
            false => close(&mut current, &mut found),
        }
        let initial = word.chars().count() == 1 && &tail[bare.len()..] == ".";
        let possessive = word.len() < bare.len();
        if possessive || (bare.len() < tail.len() && !initial) {
            close(&mut current, &mut found);
        }
    }
    close(&mut current, &mut found);
    found
}

/// Ends a name: connectives at its end are none of it.
fn close(current: &mut Vec<&str>, found: &mut Vec<String>) {
    while current.last().is_some_and(|word| CONNECTIVES.contains(word)) {
        current.pop();
    }
    let name = current.join(" ");
    if !name.is_empty() && !found.contains(&name) {
        found.push(name);
    }
    current.clear();
}

/// What a question asks about: its quoted parts and its names, without the question words before them; of names
/// that `and` joins each one, too.
pub(crate) fn asked_names(question: &str) -> Vec<String> {
    let quoted = question.split(['"', '“', '”']).skip(1).step_by(2).map(str::to_owned);
    let mut found: Vec<String> = Vec::new();
    for name in quoted.chain(names(question)) {
        let words: Vec<&str> = name.split_whitespace().collect();
        let lead = words.iter().take_while(|word| is_question_word(word)).count();
        let whole = words[lead..].join(" ");
        let parts = whole.split(" and ").map(str::to_owned);
        for name in std::iter::once(whole.clone()).chain(parts) {
            if !name.is_empty() && !found.contains(&name) {
                found.push(name);
            }
        }
    }
    found
}

fn is_question_word(word: &str) -> bool {
    QUESTION_WORDS.contains(&word.to_lowercase().as_str())
}

/// What a passage is about by its title: the first part of it, without what tells it from its namesakes.
pub(crate) fn subject(passage: &PassageText) -> &str {
    let title = passage.title.split(" › ").next().unwrap_or_default().trim();
    match title.rsplit_once('(') {
        Some((before, rest)) if rest.ends_with(')') && !before.trim().is_empty() => before.trim(),
        _ => title,
    }
}

/// A text with the names in it, against which passages are held.
pub(crate) struct Mentions {
    words: Vec<String>,
    names: Vec<Vec<String>>,
    own: String,
}

impl Mentions {
    /// `own` is the subject of the text itself, which it does not merely mention.
    pub(crate) fn new(text: &str, names: &[String], own: &str) -> Self {
        let lower = |name: &String| raw_words(name).map(str::to_lowercase).collect::<Vec<_>>();
        Self {
            words: raw_words(text).map(str::to_owned).collect(),
            names: names.iter().map(lower).filter(|name| name.len() > 1).collect(),
            own: own.to_owned(),
        }
    }

    /// How sure it is, in [0, 1], that `passage` is about something that the text names: 1 where its title
    /// stands in the text, less where it opens with a name of several words.
    pub(crate) fn strength(&self, passage: &PassageText) -> f32 {
        let title = subject(passage);
        if title == self.own && !title.is_empty() {
            return 0.0;
        }
        if self.has_title(title) {
            return 1.0;
        }
        let opening: Vec<String> =
            raw_words(&passage.text).take(OPENING_WORDS).map(str::to_lowercase).collect();
        let starts = &opening[..OPENING_STARTS.min(opening.len())];
        let opens = |name: &Vec<String>| {
            name.first().is_some_and(|first| starts.contains(first))
                && name.iter().all(|word| opening.contains(word))
        };
        if self.names.iter().any(opens) { OPENING_STRENGTH } else { 0.0 }
    }

    fn has_title(&self, title: &str) -> bool {
        let wanted: Vec<&str> = raw_words(title).collect();
        let is_name =
            wanted.iter().any(|word| word.starts_with(|c: char| c.is_uppercase() || c.is_numeric()))
                && !wanted.iter().all(|word| is_question_word(word))
                && title.chars().count() >= SMALLEST_TITLE_CHARACTERS;
        is_name && self.words.windows(wanted.len()).any(|run| run == wanted)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_found_as_a_reader_finds_them() {
        let cases: [(&str, &[&str]); 9] = [
            ("", &[]),
            ("nothing here has a name", &[]),
            (
                "It was directed by Jeff Tremaine and written by Spike Jonze.",
                &["It", "Jeff Tremaine", "Spike Jonze"],
            ),
            ("the University of Oslo in the north", &["University of Oslo"]),
            ("lives in Norway, Maine (Oxford County)", &["Norway", "Maine", "Oxford County"]),
            ("by J. G. Ballard. Later", &["J G Ballard", "Later"]),
            ("Osbourne's company and Apollo 11 again", &["Osbourne", "Apollo 11"]),
            ("the band \"Queen\" met Queen", &["Queen"]),
            ("Die Straße nach Ävör und zurück", &["Die Straße", "Ävör"]),
        ];
        for (text, expected) in cases {
            assert_eq!(names(text), expected, "{text:?}");
        }
    }

    #[test]
    fn questions_ask_about_names_and_quotations() {
        let cases: [(&str, &[&str]); 4] = [
            ("Were Allure and Vogue founded in the same year?", &["Allure and Vogue", "Allure", "Vogue"]),
            ("Who sang the song \"the golden boy\" with Queen?", &["golden boy", "Queen"]),
            ("What is the height of the tower?", &[]),
            ("In which city is Tesla?", &["Tesla"]),
        ];
        for (question, expected) in cases {
            assert_eq!(asked_names(question), expected, "{question:?}");
        }
    }

    #[test]
    fn passages_are_about_what_their_title_or_opening_says() {
        let text = "The Road was written by Cormac McCarthy, an American writer born on Rhode Island.";
        let mentions = Mentions::new(text, &names(text), "The Road");
        let cases = [
            ("Cormac McCarthy", "A writer.", 1.0),
            ("Cormac McCarthy (writer) › Life", "A writer.", 1.0),
            ("The Road (film)", "Cormac McCarthy wrote it.", 0.0),
            ("", "Cormac (Charles) McCarthy was a writer.", OPENING_STRENGTH),
            ("Notes", "He met Cormac McCarthy there.", OPENING_STRENGTH),
            ("Notes", "In the end he met Cormac McCarthy.", 0.0),
            ("Cormac", "A name.", 1.0),
            ("McCarthy Cormac", "Reversed.", 0.0),
            ("writer", "No name.", 0.0),
            ("An", "Too little.", 0.0),
            ("", "", 0.0),
        ];
        for (title, text, expected) in cases {
            let passage = PassageText { title: title.to_owned(), text: text.to_owned() };
            assert_eq!(mentions.strength(&passage), expected, "{title:?} {text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_has_names_of_its_own_words(text in "\\PC{0,200}|([A-Za-zé.'’\"() 0-9-]{0,200})") {
            let found = names(&text);
            let words: Vec<&str> = raw_words(&text).collect();
            for name in found.iter().chain(&asked_names(&text)) {
                prop_assert!(raw_words(name).all(|word| words.contains(&word)), "{name:?}");
            }
            let passage = PassageText { title: text.clone(), text: text.clone() };
            prop_assert!((0.0..=1.0).contains(&Mentions::new(&text, &found, "").strength(&passage)));
        }
    }
}
