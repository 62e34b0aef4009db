//! What a question says of how it wants to be answered.

use std::collections::BTreeMap;

use burnish_types::{AnswerFormat, Characteristics};
use whatlang::{Lang, detect};

/// Shorter texts are not enough to tell a language by.
const LEAST_LETTERS: usize = 20;
/// How sure the language must be.
const LEAST_CONFIDENCE: f64 = 0.9;
/// What is taken where nothing is said.
const NEUTRAL: f64 = 0.5;
/// How long an answer is wanted where a question says that it should be short, or long.
const SHORT: f64 = 0.1;
const LONG: f64 = 0.9;
const EXPERT: f64 = 0.9;
const NOVICE: f64 = 0.1;

/// What else is known of a question than its words.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// The question.
    pub question: &'a str,
    /// What is known of whoever asks: `expertise` (`expert`, `novice`, or a number in [0, 1]), `format`, `language`.
    pub attributes: &'a BTreeMap<String, String>,
    /// How likely it takes several passages.
    pub complexity: f64,
    /// What kind of question it is, in the words of [`crate::TOPICS`].
    pub kind: &'a str,
}

/// What can be told before anything is found.
pub fn of_question(asking: &Asking<'_>) -> Characteristics {
    let words = Words::of(asking.question);
    let attribute = |name: &str| asking.attributes.get(name).map(|value| value.trim());
    let format = attribute("format").or_else(|| attribute("preferred_format"));
    Characteristics {
        complexity: asking.complexity.clamp(0.0, 1.0),
        expertise: attribute("expertise").and_then(expertise).unwrap_or_else(|| words.expertise()),
        length: words.length(),
        format: format.and_then(named_format).or_else(|| words.format()),
        language: match attribute("language") {
            Some(told) => named_language(told),
            None => detected_language(asking.question),
        },
        topics: topics(asking, &words),
        ..Characteristics::default()
    }
}

/// A question's words in small letters, with a space around each.
struct Words(String);

impl Words {
    fn of(question: &str) -> Self {
        let split = question.to_lowercase();
        let words = split.split(|letter: char| !letter.is_alphanumeric() && letter != '\'');
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        Self(format!(" {} ", words.join(" ")))
    }

    /// Whether it says any of these, word by word.
    fn say(&self, any: &[&str]) -> bool {
        any.iter().any(|words| self.0.contains(&format!(" {words} ")))
    }

    fn length(&self) -> f64 {
        const BRIEFLY: [&str; 9] = [
            "briefly",
            "in short",
            "in brief",
            "in one sentence",
            "in a sentence",
            "in one word",
            "tl dr",
            "tldr",
            "shortly",
        ];
        const AT_LENGTH: [&str; 9] = [
            "in detail",
            "detailed",
            "in depth",
            "thoroughly",
            "comprehensive",
            "comprehensively",
            "at length",
            "exhaustive",
            "elaborate",
        ];
        match (self.say(&BRIEFLY), self.say(&AT_LENGTH)) {
            (true, false) => SHORT,
            (false, true) => LONG,
            _ => NEUTRAL,
        }
    }

    fn expertise(&self) -> f64 {
        const PLAINLY: [&str; 6] =
            ["in simple terms", "in plain words", "for beginners", "like i'm five", "eli5", "for a beginner"];
        if self.say(&PLAINLY) { NOVICE } else { NEUTRAL }
    }

    fn format(&self) -> Option<AnswerFormat> {
        const FORMS: [(AnswerFormat, &[&str]); 4] = [
            (AnswerFormat::Json, &["as json", "in json", "json object", "json array"]),
            (AnswerFormat::Table, &["as a table", "in a table", "as table", "tabulate", "in tabular form"]),
            (AnswerFormat::Steps, &["step by step", "numbered steps", "as steps", "in steps"]),
            (
                AnswerFormat::Bullets,
                &["bullet points", "as a list", "bullets", "bullet list", "in bullet points", "as bullets"],
            ),
        ];
        FORMS.into_iter().find(|(_, said)| self.say(said)).map(|(format, _)| format)
    }
}

fn topics(asking: &Asking<'_>, words: &Words) -> Vec<String> {
    const SUMMARY: [&str; 12] = [
        "summarise",
        "summarize",
        "summary",
        "summaries",
        "sum up",
        "overview",
        "recap",
        "key points",
        "main points",
        "gist",
        "tl dr",
        "tldr",
    ];
    const TABLE: [&str; 7] = ["table", "column", "columns", "row", "rows", "spreadsheet", "csv"];
    const CODE: [&str; 14] = [
        "code",
        "snippet",
        "function",
        "api call",
        "command line",
        "stack trace",
        "regex",
        "sql",
        "curl",
        "python",
        "javascript",
        "rust",
        "shell",
        "yaml",
    ];
    let looks_like_code = asking.question.contains('`') || asking.question.contains("()");
    let said = [
        ("summary", words.say(&SUMMARY)),
        ("table", words.say(&TABLE) && words.format() != Some(AnswerFormat::Table)),
        ("code", looks_like_code || words.say(&CODE)),
    ];
    // What is asked for by name says more than what kind of question it is.
    let named: Vec<String> =
        said.into_iter().filter(|(_, said)| *said).map(|(topic, _)| topic.to_owned()).collect();
    if named.is_empty() { vec![asking.kind.to_owned()] } else { named }
}

fn expertise(told: &str) -> Option<f64> {
    match told.to_lowercase().as_str() {
        "expert" | "advanced" | "professional" => Some(EXPERT),
        "intermediate" => Some(NEUTRAL),
        "novice" | "beginner" | "basic" => Some(NOVICE),
        number => number.parse().ok().filter(|value| (0.0..=1.0).contains(value)),
    }
}

fn named_format(told: &str) -> Option<AnswerFormat> {
    let told = told.to_lowercase();
    AnswerFormat::NAMES.into_iter().find(|(name, _)| *name == told).map(|(_, format)| format)
}

/// By its English name, its own name, or its code of two or three letters; English is what models answer in anyway.
fn named_language(told: &str) -> Option<String> {
    let code = told.split(['-', '_']).next().unwrap_or_default().to_lowercase();
    let two = CODES.iter().find(|(two, _)| *two == code).map(|(_, three)| *three);
    let known = Lang::from_code(two.unwrap_or(&code)).or_else(|| {
        let is_it = |lang: &&Lang| {
            lang.eng_name().eq_ignore_ascii_case(told) || lang.name().to_lowercase() == told.to_lowercase()
        };
        Lang::all().iter().find(is_it).copied()
    });
    not_english(known?)
}

fn detected_language(question: &str) -> Option<String> {
    if question.chars().filter(|letter| letter.is_alphabetic()).count() < LEAST_LETTERS {
        return None;
    }
    let found = detect(question)?;
    let sure = found.is_reliable() && found.confidence() >= LEAST_CONFIDENCE;
    not_english(found.lang()).filter(|_| sure)
}

fn not_english(lang: Lang) -> Option<String> {
    (lang != Lang::Eng).then(|| match lang {
        Lang::Cmn => "Chinese".to_owned(),
        lang => lang.eng_name().to_owned(),
    })
}

/// The codes of two letters (ISO 639-1) of what whatlang knows by three.
const CODES: [(&str, &str); 24] = [
    ("en", "eng"),
    ("de", "deu"),
    ("fr", "fra"),
    ("es", "spa"),
    ("it", "ita"),
    ("pt", "por"),
    ("nl", "nld"),
    ("pl", "pol"),
    ("cs", "ces"),
    ("sv", "swe"),
    ("da", "dan"),
    ("fi", "fin"),
    ("nb", "nob"),
    ("hu", "hun"),
    ("ro", "ron"),
    ("tr", "tur"),
    ("el", "ell"),
    ("ru", "rus"),
    ("uk", "ukr"),
    ("ar", "ara"),
    ("hi", "hin"),
    ("ja", "jpn"),
    ("ko", "kor"),
    ("zh", "cmn"),
];
