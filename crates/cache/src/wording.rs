//! A question as words: their stems, numbers, names, negations, and what it asks for.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::LazyLock;

/// Words of a text that are looked at.
const MOST_WORDS: usize = 96;

/// Words that carry no topic.
const FUNCTION_WORDS: &str = "a about an and are as at be been being but by can could d did do does for from get getting \
    got had has have he her his how i if in into is it its just ll m many me more most much my of on one ones or other \
    our out over own re really s same she should so some such t than that the their them then there these they this \
    those to too up us ve very was way we were what when where which while who whom whose why will with would you your \
    am any also";
const QUESTION_WORDS: &str = "what which who whom whose when where why how";
const NEGATIONS: &str = "ain aren cannot cant couldn didn didnt doesn doesnt don dont hadn hasn haven isn isnt lack \
    lacking neither never no nobody none nor not nothing nt shouldn unable wasn weren without won wont wouldn";
/// Pairs of words of which one in the place of the other turns a question round.
const OPPOSITES: &str = "good bad;best worst;better worse;increase decrease;increase reduce;increasing decreasing;gain \
    lose;gain loss;high low;higher lower;highest lowest;big small;bigger smaller;biggest smallest;large small;larger \
    smaller;largest smallest;long short;longer shorter;longest shortest;fast slow;faster slower;fastest slowest;old \
    new;old young;older newer;older younger;oldest newest;oldest youngest;hot cold;hotter colder;warm cold;male \
    female;man woman;men women;boy girl;boys girls;husband wife;mother father;mom dad;son daughter;brother sister;buy \
    sell;buying selling;open close;open closed;opening closing;start stop;start end;starting stopping;begin end;first \
    last;before after;left right;up down;in out;on off;enable disable;enabling disabling;enabled disabled;allow \
    block;allow forbid;block unblock;install uninstall;installing uninstalling;add remove;adding removing;import \
    export;importing exporting;upload download;uploading downloading;push pull;true false;pros cons;advantage \
    disadvantage;advantages disadvantages;benefit drawback;benefits drawbacks;easy hard;easy difficult;easier \
    harder;win lose;winning losing;love hate;like dislike;legal illegal;possible impossible;safe dangerous;safe \
    unsafe;rich poor;strong weak;stronger weaker;heavy light;dark light;black white;early late;earlier later;earliest \
    latest;east west;eastern western;north south;northern southern;maximum minimum;max min;more less;more fewer;most \
    least;many few;positive negative;accept reject;accept refuse;encrypt decrypt;lock unlock;locking \
    unlocking;connect disconnect;include exclude;internal external;inside outside;public private;single \
    multiple;hire fire;lend borrow;teach learn;send receive;sending receiving;save delete;create delete;creating \
    deleting;create destroy;show hide;raise lower;rise fall;wet dry;full empty;ascending descending;success \
    failure;succeed fail;healthy unhealthy;happy sad;alive dead;live die;birth death;past future;marry divorce;attack \
    defend;day night;summer winter;sunrise sunset;liberal conservative;introvert extrovert;introverts \
    extroverts;offline online;manual automatic;manually automatically;synchronous asynchronous;sync \
    async;client server;front back;top bottom;hard soft;thin thick;wide narrow;deep shallow;loose tight;cheap \
    expensive;cheaper dearer;cheapest dearest;always never;all none;with without;encode decode;compress \
    decompress;mount unmount;subscribe unsubscribe;follow unfollow;activate deactivate;activating \
    deactivating;login logout;debit credit;asset liability;emigrate immigrate;arrive depart;arrival \
    departure;entrance exit;enter leave;enter exit;ask answer;tall short;taller shorter;tallest shortest;near far;above \
    below;over under;ancient modern;true fake;real fake;natural artificial;direct indirect;active passive;major \
    minor;primary secondary;senior junior;asymmetric symmetric;static dynamic;virtual physical;local remote;guilty \
    innocent;friend enemy;war peace;sweet sour;freeze melt;freeze thaw;expand shrink;expand collapse;merge \
    split;encourage discourage;approve deny;approve reject;grant revoke;granting revoking;deposit withdraw;hire \
    dismiss;promote demote;upgrade downgrade;upgrading downgrading;income expense;profit loss;inhale \
    exhale;visible invisible;ahead behind;forward backward;forwards backwards;horizontal vertical;odd even;plus \
    minus;multiply divide;sooner later;required optional;mandatory optional;maximize minimize;lengthen \
    shorten;strengthen weaken;speed slow;attach detach;backup restore;pause resume;shut open;tighten loosen";

static LEXICON: LazyLock<Lexicon> = LazyLock::new(|| {
    let words = |text: &'static str| text.split_whitespace().collect::<HashSet<_>>();
    let pairs = OPPOSITES.split(';').filter_map(|pair| pair.split_once(' '));
    let mut opposites: HashMap<&str, Vec<&str>> = HashMap::new();
    for (one, other) in pairs.map(|(one, other)| (one.trim(), other.trim())) {
        opposites.entry(one).or_default().push(other);
        opposites.entry(other).or_default().push(one);
    }
    Lexicon {
        function_words: words(FUNCTION_WORDS),
        question_words: words(QUESTION_WORDS),
        negations: words(NEGATIONS),
        opposites,
    }
});

struct Lexicon {
    function_words: HashSet<&'static str>,
    question_words: HashSet<&'static str>,
    negations: HashSet<&'static str>,
    opposites: HashMap<&'static str, Vec<&'static str>>,
}

/// A question, taken apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Wording {
    /// In lower case, in order.
    pub(crate) words: Vec<String>,
    /// Their stems, in order, as hashes.
    pub(crate) stems: Vec<u32>,
    /// The stems of those that carry a topic, in order.
    pub(crate) content: Vec<u32>,
    /// The same without repetition, ascending.
    pub(crate) topics: Vec<u32>,
    /// Words with a digit, sorted.
    pub(crate) numbers: Vec<String>,
    /// Stems of words with a capital that is not that of the first word, ascending.
    pub(crate) names: Vec<u32>,
    /// How many words negate.
    pub(crate) negations: usize,
    /// The first question word.
    pub(crate) asks: Option<&'static str>,
    /// Trigrams of characters, ascending.
    pub(crate) trigrams: Vec<u32>,
}

impl Wording {
    pub(crate) fn new(text: &str) -> Self {
        let text = text.replace('’', "'").replace("can't", "can not").replace("Can't", "can not");
        let text = text.replace("n't", " not");
        let lexicon = &*LEXICON;
        let mut wording = Self::default();
        let mut names = BTreeSet::new();
        let raw = text.split(|sign: char| !sign.is_alphanumeric()).filter(|word| !word.is_empty());
        for (place, raw) in raw.take(MOST_WORDS).enumerate() {
            let word = raw.to_lowercase();
            let stem = hash(stem(&word).as_bytes());
            let negates = lexicon.negations.contains(word.as_str());
            let question = lexicon.question_words.get(word.as_str());
            let function = lexicon.function_words.contains(word.as_str());
            wording.negations += usize::from(negates);
            wording.asks = wording.asks.or(question.copied());
            if word.contains(|sign: char| sign.is_ascii_digit()) {
                wording.numbers.push(word.clone());
            }
            if !function && question.is_none() && !negates {
                wording.content.push(stem);
            }
            let capital = raw.chars().next().is_some_and(char::is_uppercase);
            if place > 0 && capital && !function && question.is_none() {
                names.insert(stem);
            }
            wording.stems.push(stem);
            wording.words.push(word);
        }
        wording.topics = set(wording.content.iter().copied());
        wording.numbers.sort_unstable();
        wording.names = names.into_iter().collect();
        let padded: Vec<char> = format!(" {} ", wording.words.join(" ")).chars().collect();
        wording.trigrams = set(padded.windows(3).map(|signs| {
            signs
                .iter()
                .fold(0_u32, |hash, sign| hash.wrapping_mul(0x9E37_79B1).wrapping_add(*sign as u32 + 1))
        }));
        wording
    }

    /// Whether a word of one stands where the other has its opposite.
    pub(crate) fn opposes(&self, other: &Self) -> bool {
        let lacks = |wording: &Self, word: &str| !wording.words.iter().any(|known| known == word);
        self.words.iter().filter(|word| lacks(other, word)).any(|word| {
            let opposites = LEXICON.opposites.get(word.as_str()).into_iter().flatten();
            opposites.into_iter().any(|opposite| lacks(self, opposite) && !lacks(other, opposite))
        })
    }
}

/// Ascending, without repetition.
fn set(values: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut values: Vec<u32> = values.collect();
    values.sort_unstable();
    values.dedup();
    values
}

/// FNV-1a.
fn hash(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811C_9DC5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// English endings taken off as far as two forms of a word should meet; what is left need not be a word.
fn stem(word: &str) -> String {
    const ENDINGS: [(&str, &str); 8] = [
        ("ies", "y"),
        ("sses", "ss"),
        ("ing", ""),
        ("edly", ""),
        ("ed", ""),
        ("ly", ""),
        ("es", ""),
        ("s", ""),
    ];
    let mut stem = word.to_owned();
    if word.is_ascii() && word.len() > 3 {
        let cut = ENDINGS.iter().find(|(ending, _)| {
            let short = word.len() == 4;
            word.ends_with(ending)
                && word.len() - ending.len() >= 3
                && (*ending == "s" || !short)
                && !(*ending == "s" && word.ends_with("ss"))
        });
        if let Some((ending, instead)) = cut {
            stem.truncate(word.len() - ending.len());
            stem.push_str(instead);
        }
    }
    if stem.is_ascii() && stem.len() > 3 && stem.ends_with('e') {
        stem.pop();
    }
    stem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_a_word_meet() {
        let cases = [
            ("configuring", "configure"),
            ("files", "file"),
            ("queries", "query"),
            ("walked", "walks"),
            ("classes", "class"),
            ("dogs", "dog"),
        ];
        for (one, other) in cases {
            assert_eq!(stem(one), stem(other), "{one} and {other}");
        }
        for (one, other) in [("glass", "gla"), ("user", "use"), ("cat", "cats "), ("naïve", "naïves")] {
            assert_ne!(stem(one), stem(other), "{one} and {other}");
        }
    }

    #[test]
    fn a_question_is_taken_apart() {
        let wording = Wording::new("Why can’t I open port 8080 in Berlin?");
        assert_eq!(wording.words.join(" "), "why can not i open port 8080 in berlin");
        assert_eq!((wording.negations, wording.asks), (1, Some("why")));
        assert_eq!(wording.numbers, ["8080"]);
        assert_eq!(wording.names, [hash(b"berlin")]);
        assert_eq!(wording.content.len(), 4);
    }

    #[test]
    fn opposites_are_seen_in_either_direction() {
        let cases = [
            ("How do I enable TLS?", "How do I disable TLS?", true),
            ("the largest city", "the smallest city", true),
            ("open and close files", "close and open files", false),
            ("How do I enable TLS?", "How can I enable TLS?", false),
        ];
        for (one, other, expected) in cases {
            let (one, other) = (Wording::new(one), Wording::new(other));
            assert_eq!((one.opposes(&other), other.opposes(&one)), (expected, expected), "{one:?}");
        }
    }
}
