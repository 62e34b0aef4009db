//! Stage one: what a question's words and circumstances say, before anything is retrieved.

use burnish_types::{Query, UserContext};

use super::Values;
use super::lexicon::{self, Classes, Word};

/// How much of a text is read for its words: enough for any question, and a bound on time for what is none.
const READ_CHARACTERS: usize = 4_000;
const READ_WORDS: usize = 512;

const QUESTION_WORDS: [(&str, &str); 8] = [
    ("what", "wh_what"),
    ("which", "wh_which"),
    ("who", "wh_who"),
    ("when", "wh_when"),
    ("where", "wh_where"),
    ("how", "wh_how"),
    ("why", "wh_why"),
    ("is", "wh_is"),
];

/// Features that count the words of a class, from a place on.
const COUNTED: [(&str, Classes, usize); 31] = [
    ("both", lexicon::BOTH, 0),
    ("same", lexicon::SAME, 0),
    ("than", lexicon::THAN, 0),
    ("or", lexicon::OR, 0),
    ("and", lexicon::AND, 0),
    ("contrasts", lexicon::CONTRAST, 0),
    ("comparatives", lexicon::COMPARATIVE, 0),
    ("superlatives", lexicon::SUPERLATIVE, 0),
    ("aggregates", lexicon::AGGREGATE, 0),
    ("relatives", lexicon::RELATIVE, 2),
    ("of", lexicon::OF, 0),
    ("by", lexicon::BY, 0),
    ("to", lexicon::TO, 0),
    ("also", lexicon::ALSO, 0),
    ("what", lexicon::WHAT, 1),
    ("whom", lexicon::WHOM, 0),
    ("whose", lexicon::WHOSE, 1),
    ("definites", lexicon::DEFINITE, 0),
    ("indefinites", lexicon::INDEFINITE, 0),
    ("pointing", lexicon::POINTING, 0),
    ("third_person", lexicon::THIRD_PERSON, 0),
    ("first_person", lexicon::FIRST_PERSON, 0),
    ("second_person", lexicon::SECOND_PERSON, 0),
    ("prepositions", lexicon::PREPOSITION, 0),
    ("being_present", lexicon::BEING_PRESENT, 0),
    ("being_past", lexicon::BEING_PAST, 0),
    ("do_support", lexicon::DO, 0),
    ("having", lexicon::HAVING, 0),
    ("naming", lexicon::NAMING, 0),
    ("prior", lexicon::PRIOR, 0),
    ("roles", lexicon::ROLE, 0),
];

/// Puts the features of the question itself.
pub(crate) fn put(query: &Query, values: &mut Values) {
    let head = head(&query.text);
    put_shape(&query.text, head, values);
    let words = lexicon::words(head, READ_WORDS);
    for (name, class, from) in COUNTED {
        values.put(name, count(&words, from, |word| word.is(class)));
    }
    put_syntax(&words, values);
    put_entities(&words, head, values);
    put_intent(&words, head, values);
    put_language(&words, head, values);
    put_conversation(&words, query.conversation.len(), values);
    put_user(&query.user, values);
}

fn head(text: &str) -> &str {
    text.char_indices().nth(READ_CHARACTERS).map_or(text, |(end, _)| &text[..end])
}

/// The features of version 1, over the whole text and split at spaces, as they always were.
fn put_shape(text: &str, head: &str, values: &mut Values) {
    values.put("words", text.split_whitespace().count() as f64);
    values.put("characters", text.chars().count() as f64);
    let lead: Vec<&str> = text.split_whitespace().take(3).collect();
    for (word, name) in QUESTION_WORDS {
        values.flag(name, lead.iter().any(|candidate| candidate.eq_ignore_ascii_case(word)));
    }
    let digits = |word: &&str| word.contains(|sign: char| sign.is_ascii_digit());
    values.put("numbers", head.split_whitespace().filter(digits).count() as f64);
    values.put("quotes", (head.matches('"').count() / 2) as f64);
    let capital = |word: &&str| word.starts_with(char::is_uppercase);
    values.put("capitals", head.split_whitespace().skip(1).filter(capital).count() as f64);
    values.flag("code", looks_like_code(head));
}

fn looks_like_code(text: &str) -> bool {
    ["::", "()", "{", "_", "->", ".rs", ".py", ".js", ".toml", ".json"].iter().any(|mark| text.contains(mark))
}

fn put_syntax(words: &[Word], values: &mut Values) {
    let first = |class| words.first().is_some_and(|word| word.is(class));
    let asked = words.iter().position(|word| word.is(lexicon::QUESTION));
    values.flag("wh_first", asked == Some(0));
    values.flag("wh_none", asked.is_none());
    values.put("wh_place", asked.map_or(0.0, |place| place as f64 / words.len() as f64));
    values.flag("yes_no", first(lexicon::AUXILIARY) && !first(lexicon::GREETING));
    values.flag("imperative", is_imperative(words));
    let possessives = count(words, 0, |word| word.possessive);
    values.put("possessives", possessives);
    let nested = count(words, 2, |word| word.is(lexicon::OF | lexicon::RELATIVE)) + possessives;
    values.put("nesting", (nested - 1.0).max(0.0));
    let pairs = |first, second| {
        words.windows(2).filter(|pair| pair[0].is(first) && pair[1].is(second) && !pair[1].apart).count()
            as f64
    };
    values.put("described_roles", pairs(lexicon::DEFINITE | lexicon::INDEFINITE, lexicon::ROLE));
    let link = lexicon::RELATIVE | lexicon::OF | lexicon::PREPOSITION;
    values.put("role_links", pairs(lexicon::ROLE, link));
    let ending = |suffix: &'static str| {
        count(words, 0, move |word| word.lower.len() > suffix.len() + 2 && word.lower.ends_with(suffix))
    };
    values.put("participles", ending("ed"));
    values.put("gerunds", ending("ing"));
    values.put("adverbs", ending("ly"));
    values.put("clauses", count(words, 1, |word| word.apart));
    values.put("years", count(words, 0, is_year));
    let letters: usize = words.iter().map(|word| word.lower.chars().count()).sum();
    values.put("word_length", if words.is_empty() { 0.0 } else { letters as f64 / words.len() as f64 });
    values.flag("shared", shares(words));
    values.flag("alternatives", offers_alternatives(words));
}

fn is_imperative(words: &[Word]) -> bool {
    let polite = words.first().is_some_and(|word| word.lower == "please");
    words.get(usize::from(polite)).is_some_and(|word| word.is(lexicon::ORDER))
        // A lone noun phrase such as `list` or `name` orders nothing.
        && words.len() > 1 + usize::from(polite)
}

fn is_year(word: &Word) -> bool {
    word.lower.len() == 4 && word.lower.parse::<u16>().is_ok_and(|year| (1000..2100).contains(&year))
}

/// `Are A and B both …`, `Were A and B of the same …`.
fn shares(words: &[Word]) -> bool {
    let any = |class| words.iter().any(|word| word.is(class));
    words.first().is_some_and(|word| word.is(lexicon::AUXILIARY))
        && (any(lexicon::BOTH | lexicon::SAME) && any(lexicon::AND))
}

/// `Which …, A or B?`: an `or` in the second half of a question that asks to choose.
fn offers_alternatives(words: &[Word]) -> bool {
    let asks = words.iter().any(|word| matches!(word.lower.as_str(), "which" | "who" | "what" | "between"));
    asks && words.iter().skip(words.len() / 2).any(|word| word.is(lexicon::OR))
}

/// Runs of capitalised words, function words within them left out, and quoted parts without capitals.
fn put_entities(words: &[Word], head: &str, values: &mut Values) {
    let (mut entities, mut entity_words, mut running) = (0u32, 0u32, false);
    for (place, word) in words.iter().enumerate() {
        // Any sentence begins with a capital; the word itself must speak for a name.
        let common =
            word.is(lexicon::FUNCTION_WORD | lexicon::QUESTION | lexicon::ORDER | lexicon::PREPOSITION);
        let named = word.capital && !(common && (place == 0 || word.apart)) && word.lower != "i";
        entities += u32::from(named && (!running || word.apart));
        entity_words += u32::from(named);
        running = named;
    }
    let quoted = head.split('"').skip(1).step_by(2).filter(|part| {
        !part.trim().is_empty() && !part.split_whitespace().any(|word| word.starts_with(char::is_uppercase))
    });
    values.put("entities", f64::from(entities) + quoted.count().min(head.matches('"').count() / 2) as f64);
    values.put("entity_words", f64::from(entity_words));
    let identifiers = head.split_whitespace().filter(|word| is_identifier(word)).count();
    values.put("identifiers", identifiers as f64);
}

/// A code, a version, a path, an address or a file's name: what one looks up by its very signs.
fn is_identifier(word: &str) -> bool {
    let word = word.trim_matches(|sign: char| !sign.is_alphanumeric());
    let has = |of: fn(&char) -> bool| word.chars().any(|sign| of(&sign));
    let digits = has(char::is_ascii_digit);
    let upper = word.chars().filter(char::is_ascii_uppercase).count();
    let inner = |mark: &str| word.contains(mark) && word.len() > mark.len() + 2;
    let dotted = word.split('.').count() > 1 && word.split('.').all(|part| !part.is_empty());
    let ordinal = ["st", "nd", "rd", "th", "s"].iter().any(|ending| {
        word.strip_suffix(ending).is_some_and(|head| head.chars().all(|sign| sign.is_ascii_digit()))
    });
    !ordinal
        && ((digits && upper > 0)
            || (digits && dotted && word.matches('.').count() > 1)
            || (dotted && has(|sign| sign.is_ascii_lowercase()) && word.len() > 4)
            || ["_", "::", "://", "@", "/"].iter().any(|mark| inner(mark)))
}

fn put_intent(words: &[Word], head: &str, values: &mut Values) {
    let word = |place: usize| words.get(place).map_or("", |word| word.lower.as_str());
    let counting = words.windows(2).any(|pair| {
        (pair[0].lower == "how" && matches!(pair[1].lower.as_str(), "many" | "much"))
            || (pair[0].lower == "number" && pair[1].is(lexicon::OF))
    });
    values.flag("how_many", counting);
    values.flag("asks_definition", asks_definition(words, head));
    let how_to = words.windows(3).any(|three| {
        three[0].lower == "how"
            && (three[1].is(lexicon::TO)
                || (matches!(three[1].lower.as_str(), "do" | "can" | "should" | "could" | "would" | "must")
                    && matches!(three[2].lower.as_str(), "i" | "you" | "we" | "one" | "people")))
    });
    let order = is_imperative(words) && words.iter().take(2).any(|word| word.is(lexicon::ACTION));
    values.flag("asks_procedure", how_to || order || count(words, 0, |word| word.is(lexicon::STEPS)) > 0.0);
    values.flag("greeting", words.first().is_some_and(|word| word.is(lexicon::GREETING)));
    let follows = matches!(word(0), "and" | "also" | "then" | "so" | "but")
        || (matches!(word(0), "what" | "how") && word(1) == "about")
        || (matches!(word(0), "why" | "how" | "really" | "when" | "where" | "who") && words.len() == 1);
    values.flag("follow_up", follows);
}

/// `What is X`, `define X`, `what does X mean`, `meaning of X`, where X is short and not a relation.
fn asks_definition(words: &[Word], head: &str) -> bool {
    let lower = |place: usize| words.get(place).map_or("", |word| word.lower.as_str());
    let what_is = matches!(lower(0), "what" | "what's") && matches!(lower(1), "is" | "are" | "was" | "were");
    let relation = |word: &Word| {
        word.possessive
            || word.is(lexicon::OF
                | lexicon::BY
                | lexicon::RELATIVE
                | lexicon::SUPERLATIVE
                | lexicon::CONTRAST)
            || word.is(lexicon::PREPOSITION
                | lexicon::NAMING
                | lexicon::THIRD_PERSON
                | lexicon::OR
                | lexicon::AGGREGATE)
    };
    // `What is the X` asks for a value more often than for a meaning.
    let plain = what_is && words.len() <= 6 && lower(2) != "the" && !words.iter().skip(2).any(relation);
    let contracted =
        lower(0) == "what" && head.trim_start().get(4..6).is_some_and(|rest| rest == "'s" || rest == "’s");
    let short = contracted && words.len() <= 5 && lower(1) != "the" && !words.iter().skip(1).any(relation);
    let does = lower(0) == "what" && matches!(lower(1), "does" | "do" | "did");
    let means = words.last().is_some_and(|word| word.is(lexicon::MEANING))
        || words.windows(2).any(|pair| {
            matches!(pair[0].lower.as_str(), "meaning" | "definition") && pair[1].is(lexicon::OF)
                || (pair[0].lower == "stand" && pair[1].lower == "for")
        });
    plain || short || (lower(0) == "define" && words.len() > 1) || means && (does || words.len() <= 8)
}

fn put_language(words: &[Word], head: &str, values: &mut Values) {
    let share = |class| count(words, 0, |word| word.is(class)) / words.len().max(1) as f64;
    let (function, foreign) = (share(lexicon::FUNCTION_WORD), share(lexicon::FOREIGN));
    let letters = head.chars().filter(|sign| sign.is_alphabetic());
    let (latin, all) = letters.fold((0u32, 0u32), |(latin, all), letter| {
        (latin + u32::from(letter.is_ascii() || ('\u{c0}'..='\u{24f}').contains(&letter)), all + 1)
    });
    let latin = if all == 0 { 1.0 } else { f64::from(latin) / f64::from(all) };
    values.put("function_words", function);
    values.put("foreign_words", foreign);
    values.put("latin", latin);
    values.put("english", latin * (0.5 + 2.0 * (function - 2.0 * foreign)).clamp(0.0, 1.0));
}

fn put_conversation(words: &[Word], turns: usize, values: &mut Values) {
    values.put("turns", turns as f64);
    // Any word that carries meaning of its own may be what a later pronoun stands for; in few words without a
    // name none is likely to.
    let carries = |word: &Word| word.classes & !(lexicon::ORDER | lexicon::ACTION) == 0;
    let nameless = words.len() <= 6 && !words.iter().skip(1).any(|word| word.capital);
    let first = words.iter().skip(1).position(carries).filter(|_| !nameless);
    let before = first.map_or(words.len(), |place| place + 1);
    let stands_for =
        |word: &Word| word.is(lexicon::THIRD_PERSON | lexicon::PRIOR | lexicon::DEMONSTRATIVE | lexicon::ONE);
    let open = count(&words[..before], 0, stands_for);
    values.put("open_pronouns", open);
    // A question so short stands for itself only where nothing was said before.
    values.flag("short_turn", turns > 0 && words.len() <= 5);
}

fn put_user(user: &UserContext, values: &mut Values) {
    values.flag("has_user", user.user.is_some());
    values.flag("has_tenant", user.tenant.is_some());
    if let Some(expertise) = user.attributes.get("expertise").and_then(|said| expertise(said)) {
        values.put("expertise", expertise);
    }
}

/// A number in [0, 1], or a word for it.
fn expertise(said: &str) -> Option<f64> {
    let said = said.trim().to_lowercase();
    match said.as_str() {
        "novice" | "beginner" | "layman" | "none" => Some(0.1),
        "basic" | "junior" | "low" => Some(0.3),
        "intermediate" | "medium" => Some(0.5),
        "advanced" | "senior" | "high" => Some(0.8),
        "expert" | "professional" => Some(1.0),
        number => number.parse::<f64>().ok().filter(|value| (0.0..=1.0).contains(value)),
    }
}

fn count(words: &[Word], from: usize, which: impl Fn(&Word) -> bool) -> f64 {
    words.iter().skip(from).filter(|word| which(word)).count() as f64
}
