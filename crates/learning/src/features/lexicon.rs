//! Closed classes of English words, and a text as words that know their classes.

use std::collections::HashMap;
use std::sync::LazyLock;

/// A set of word classes, one bit each.
pub(crate) type Classes = u64;

macro_rules! classes {
    ($($name:ident = $words:literal;)*) => {
        #[expect(non_camel_case_types, clippy::upper_case_acronyms, reason = "only the places are wanted, to number the bits")]
        enum Place { $($name),* }
        $(pub(crate) const $name: Classes = 1 << (Place::$name as u32);)*
        /// Each class with its words.
        const MEMBERS: &[(Classes, &str)] = &[$(($name, $words)),*];
    };
}

classes! {
    QUESTION = "what which who whom whose when where why how";
    RELATIVE = "that which who whom whose where";
    AUXILIARY = "is are was were am do does did has have had can could will would should may might shall must";
    BEING_PRESENT = "is are am";
    BEING_PAST = "was were";
    DO = "do does did";
    HAVING = "has have had";
    BOTH = "both";
    SAME = "same";
    THAN = "than";
    OR = "or";
    AND = "and";
    OF = "of";
    BY = "by";
    TO = "to";
    ALSO = "also";
    WHAT = "what";
    WHOM = "whom";
    WHOSE = "whose";
    DEFINITE = "the";
    INDEFINITE = "a an";
    DEMONSTRATIVE = "this these that those";
    ONE = "one ones";
    POINTING = "this these";
    THIRD_PERSON = "he she him her his hers they them their theirs it its";
    FIRST_PERSON = "i me my we us our i'm i've";
    SECOND_PERSON = "you your";
    ROLE = "director author writer actor actress singer band film movie book novel wife husband spouse mother father parent son \
        daughter child brother sister founder creator president minister king queen album song team player company \
        subsidiary firm owner manager supplier customer product project department employer employee town city county \
        country state club school university magazine newspaper composer musician rapper producer series show character \
        novelist poet politician game airport river mountain building studio league coach footballer guitarist group \
        artist inventor architect designer editor leader";
    PREPOSITION = "in on at from with for as during between under after before into over about against among through until within";
    COMPARATIVE = "older younger larger smaller bigger higher lower longer shorter taller earlier later closer farther further \
        greater fewer more less better worse faster slower cheaper stronger weaker newer";
    SUPERLATIVE = "most least largest smallest biggest highest lowest longest shortest tallest oldest youngest best worst \
        fastest slowest cheapest newest latest earliest";
    CONTRAST = "versus vs differ differs differed difference differences different compare compared comparing comparison \
        similar similarity similarities distinguish distinguishes either neither";
    AGGREGATE = "total totals average median sum count altogether combined overall every all list enumerate";
    NAMING = "called named known titled nicknamed";
    ORDER = "list show give find get tell explain describe compare summarize summarise write translate define name \
        enumerate count calculate compute draft outline identify create set configure install run build make fix enable \
        disable add remove update delete deploy connect upgrade use check open start stop generate recommend suggest";
    ACTION = "set setup configure install run build make fix enable disable add remove update delete deploy connect \
        upgrade use reset change convert write create implement export import migrate debug troubleshoot prevent stop \
        start apply calculate get cook clean register restart restore";
    GREETING = "hi hello hey thanks thank ok okay bye sorry great cool hmm";
    PRIOR = "earlier previous previously above former latter again instead";
    MEANING = "mean means meaning define definition defined stands";
    STEPS = "steps step procedure tutorial instructions walkthrough guide";
    FUNCTION_WORD = "a about an and are as at be been but by can could did do does for from had has have he her his how i in is it \
        its many me much my not of on or our she should so than that the their them there these they this those to was we were what \
        when where which who whom whose why will with would you your";
    FOREIGN = "der das und ist wie wer wann warum nicht ein eine mit von für auf im zu den dem le les est quel quelle qui que où \
        une dans pour et du el los las del cuál cual qué cómo quién por una en para il di che per come dove quando perché \
        gli o os um uma não como é wat hoe het een";
}

static LEXICON: LazyLock<HashMap<&'static str, Classes>> = LazyLock::new(|| {
    let mut lexicon = HashMap::new();
    for (class, words) in MEMBERS {
        for word in words.split_whitespace() {
            *lexicon.entry(word).or_default() |= class;
        }
    }
    lexicon
});

/// A word with its classes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Word {
    /// In lower case, with `'` for every apostrophe and without a possessive ending.
    pub(crate) lower: String,
    pub(crate) classes: Classes,
    /// It begins with an upper-case letter.
    pub(crate) capital: bool,
    /// It ends in `'s` or `s'`, or such an ending stands beside it.
    pub(crate) possessive: bool,
    /// Something other than a space or a hyphen stands between it and the word before it.
    pub(crate) apart: bool,
}

impl Word {
    pub(crate) fn is(&self, classes: Classes) -> bool {
        self.classes & classes != 0
    }
}

/// The words of `text`: letters and digits, with apostrophes and hyphens inside; at most `limit`.
pub(crate) fn words(text: &str, limit: usize) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let mut rest = text;
    while words.len() < limit {
        let Some(start) = rest.find(char::is_alphanumeric) else { break };
        let (gap, tail) = rest.split_at(start);
        let (raw, after) = tail.split_at(length(tail));
        rest = after;
        let apart = gap.chars().any(|sign| !sign.is_whitespace() && sign != '-');
        // Corpora that were taken apart into tokens write `director 's`.
        if raw == "s" && gap.ends_with(['\'', '’']) {
            if let Some(owner) = words.last_mut() {
                owner.possessive = true;
            }
            continue;
        }
        words.push(word(raw, apart, after));
    }
    words
}

fn word(raw: &str, apart: bool, after: &str) -> Word {
    let mut lower = raw.to_lowercase().replace('’', "'");
    let mut possessive = after.starts_with(['\'', '’']) && lower.ends_with('s');
    if let Some(owner) = lower.strip_suffix("'s") {
        lower = owner.to_owned();
        possessive = true;
    }
    let classes = LEXICON.get(lower.as_str()).copied().unwrap_or_default();
    let possessive = possessive && classes & (QUESTION | THIRD_PERSON) == 0;
    Word { classes, capital: raw.starts_with(char::is_uppercase), possessive, apart, lower }
}

/// How many bytes of `text`, which begins with a letter or a digit, belong to its first word.
fn length(text: &str) -> usize {
    let mut end = 0;
    let mut signs = text.char_indices().peekable();
    while let Some((at, sign)) = signs.next() {
        let inside =
            matches!(sign, '\'' | '’' | '-') && signs.peek().is_some_and(|(_, next)| next.is_alphanumeric());
        if !(sign.is_alphanumeric() || inside) {
            break;
        }
        end = at + sign.len_utf8();
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_know_where_they_end() {
        let cases: [(&str, &[&str]); 6] = [
            ("", &[]),
            ("?!", &[]),
            ("Who's the well-known one?", &["who", "the", "well-known", "one"]),
            ("the director 's cut", &["the", "director", "cut"]),
            ("rock'n'roll, x86", &["rock'n'roll", "x86"]),
            ("Straße 北京", &["straße", "北京"]),
        ];
        for (text, expected) in cases {
            let found: Vec<String> = words(text, 100).into_iter().map(|word| word.lower).collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn owners_are_seen() {
        let owners = |text| words(text, 100).iter().filter(|word| word.possessive).count();
        for (text, expected) in [
            ("Ada's mother's book", 2),
            ("the director 's cut", 1),
            ("the wives' tale", 1),
            ("who's there", 0),
        ] {
            assert_eq!(owners(text), expected, "{text}");
        }
    }
}
