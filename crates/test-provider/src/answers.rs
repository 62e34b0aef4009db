//! What is answered: a text that follows from the request and a seed, so that anyone can tell what it must be.

use serde_json::{Value, json};

use crate::knobs::{Rule, Rules};

/// Words of answers, some of them with characters of several bytes, and with markers as answers from documents have.
const WORDS: [&str; 32] = [
    "the",
    "cache",
    "keeps",
    "an",
    "answer",
    "for",
    "thirty",
    "minutes",
    "[1]",
    "and",
    "then",
    "drops",
    "it",
    "unless",
    "naïve",
    "readers",
    "ask",
    "again",
    "[2]",
    "日本語",
    "text",
    "costs",
    "more",
    "tokens",
    "than",
    "Grüße",
    "do",
    "😀",
    "so",
    "count",
    "them",
    "twice",
];

/// A request, whatever API it came by.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// Role and content of each message, oldest first.
    pub messages: Vec<(String, Value)>,
    /// The most tokens to write.
    pub max_tokens: Option<u64>,
    /// Whether each answer to it is another one.
    pub varies: bool,
    /// What the answer has to begin with, which is not said again.
    pub prefix: String,
    /// The tool that has to be called in place of an answer.
    pub tool: Option<String>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// Its tokens, with the white space before each.
    pub tokens: Vec<String>,
    /// `stop` or `length`.
    pub finish_reason: &'static str,
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
}

impl Said {
    /// The whole text.
    #[must_use]
    pub fn text(&self) -> String {
        self.tokens.concat()
    }
}

impl Asked {
    /// What an OpenAI-compatible request asks.
    #[must_use]
    pub fn from_openai(request: &Value) -> Self {
        let mut messages: Vec<(String, Value)> = list(&request["messages"])
            .iter()
            .map(|message| (word(&message["role"]), message["content"].clone()))
            .collect();
        let goes_on = request["continue_final_message"] == true
            || list(&request["messages"]).last().is_some_and(|message| message["prefix"] == true);
        let prefix = if goes_on { prefix(&mut messages) } else { String::new() };
        let tool = (request["tool_choice"] == "required")
            .then(|| list(&request["tools"]).first().map(|tool| word(&tool["function"]["name"])));
        Self {
            messages,
            max_tokens: request["max_completion_tokens"].as_u64().or(request["max_tokens"].as_u64()),
            varies: request["temperature"].as_f64().is_some_and(|free| free > 0.0)
                && request["seed"].is_null(),
            prefix,
            tool: tool.flatten(),
        }
    }

    /// What a request of Anthropic's Messages API asks.
    #[must_use]
    pub fn from_anthropic(request: &Value) -> Self {
        let system = Some(&request["system"]).filter(|system| !system.is_null());
        let said = list(&request["messages"]).iter();
        let said = said.map(|message| (word(&message["role"]), plain(&message["content"])));
        let mut messages: Vec<(String, Value)> =
            system.map(|system| ("system".to_owned(), plain(system))).into_iter().chain(said).collect();
        let prefix = prefix(&mut messages);
        let varies = request["temperature"].as_f64().is_some_and(|free| free > 0.0);
        let tool = (request["tool_choice"]["type"] == "any")
            .then(|| list(&request["tools"]).first().map(|tool| word(&tool["name"])));
        Self { messages, max_tokens: request["max_tokens"].as_u64(), varies, prefix, tool: tool.flatten() }
    }

    /// What a request of Gemini's `generateContent` asks.
    #[must_use]
    pub fn from_gemini(request: &Value) -> Self {
        let parts = |content: &Value| plain(&content["parts"]);
        let system = Some(&request["systemInstruction"]).filter(|system| !system.is_null());
        let said = list(&request["contents"]).iter().map(|content| {
            let role = if content["role"] == "model" { "assistant" } else { "user" };
            (role.to_owned(), parts(content))
        });
        let settings = &request["generationConfig"];
        let declarations = &request["tools"][0]["functionDeclarations"];
        let tool = (request["toolConfig"]["functionCallingConfig"]["mode"] == "ANY")
            .then(|| list(declarations).first().map(|declaration| word(&declaration["name"])));
        Self {
            messages: system
                .map(|system| ("system".to_owned(), parts(system)))
                .into_iter()
                .chain(said)
                .collect(),
            max_tokens: settings["maxOutputTokens"].as_u64(),
            varies: settings["temperature"].as_f64().is_some_and(|free| free > 0.0),
            prefix: String::new(),
            tool: tool.flatten(),
        }
    }

    /// About as many tokens as the prompt has: one for four bytes.
    #[must_use]
    pub fn prompt_tokens(&self) -> u64 {
        let bytes = |content: &Value| match content {
            Value::String(text) => text.len(),
            other => other.to_string().len(),
        };
        self.messages.iter().map(|(_, content)| bytes(content).div_ceil(4) as u64 + 3).sum()
    }
}

/// The answer to `asked`; `request` tells requests apart whose answers vary.
#[must_use]
pub fn say(asked: &Asked, seed: u64, tokens: (u64, u64), request: u64) -> Said {
    let salt = if asked.varies { request + 1 } else { 0 };
    let said = json!(asked.messages).to_string();
    let mut lots = Lots::new(fold(said.as_bytes(), seed ^ salt.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
    let (least, most) = (tokens.0.min(tokens.1), tokens.0.max(tokens.1));
    let wanted = least + lots.next() % (most - least + 1);
    let allowed = wanted.min(asked.max_tokens.unwrap_or(u64::MAX));
    let mut written = 0;
    let mut tokens = Vec::new();
    for place in 0..allowed {
        let word = WORDS[(lots.next() % WORDS.len() as u64) as usize];
        let token = if place == 0 { word.to_owned() } else { format!(" {word}") };
        // What the caller has of the answer already is not said again.
        let known = asked.prefix.len().saturating_sub(written);
        written += token.len();
        match token.get(known.min(token.len())..) {
            Some("") => {}
            Some(rest) => tokens.push(rest.to_owned()),
            None => tokens.push(token),
        }
    }
    let finish_reason = if allowed < wanted { "length" } else { "stop" };
    Said { tokens, finish_reason, prompt_tokens: asked.prompt_tokens() }
}

/// The answer to `asked` by rules: right or wrong, as the prompt and the question have it.
#[must_use]
pub fn say_by(rules: &Rules, asked: &Asked, seed: u64) -> Said {
    let question = asked.messages.last().map(|(_, content)| content.to_string()).unwrap_or_default();
    let before = asked.messages.iter().rev().skip(1).map(|(_, content)| word(content));
    let prompt: String = before.collect::<Vec<_>>().join("\n");
    let met: Vec<&Rule> = rules.rules.iter().filter(|rule| prompt.contains(&rule.contains)).collect();
    let chance = rules.base + met.iter().map(|rule| rule.adds).sum::<f64>();
    let lot = Lots::new(fold(question.as_bytes(), seed)).share();
    let answer = if lot < chance { &rules.right } else { &rules.wrong };
    let said = met.iter().find_map(|rule| rule.says.clone()).unwrap_or_else(|| answer.clone());
    let more: u64 = met.iter().map(|rule| rule.words).sum();
    let words = said.split(' ').chain((0..more).map(|_| "so"));
    let tokens: Vec<String> = words
        .enumerate()
        .map(|(place, word)| if place == 0 { word.to_owned() } else { format!(" {word}") })
        .collect();
    Said { tokens, finish_reason: "stop", prompt_tokens: asked.prompt_tokens() }
}

/// A hash of `bytes` (FNV-1a) that `seed` changes.
pub(crate) fn fold(bytes: &[u8], seed: u64) -> u64 {
    let start = 0xCBF2_9CE4_8422_2325 ^ seed;
    bytes.iter().fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3))
}

/// Numbers drawn from a seed (SplitMix64).
pub(crate) struct Lots(u64);

impl Lots {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Uniform in [0, 1).
    pub(crate) fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Takes the last message off as what the answer begins with, if it is the assistant's.
fn prefix(messages: &mut Vec<(String, Value)>) -> String {
    match messages.pop_if(|(role, _)| role == "assistant") {
        Some((_, content)) => word(&content),
        None => String::new(),
    }
}

/// Content that is nothing but text, as text.
fn plain(content: &Value) -> Value {
    let parts = list(content);
    let texts: Vec<&str> = parts.iter().filter_map(|part| part["text"].as_str()).collect();
    if !parts.is_empty() && texts.len() == parts.len() { json!(texts.concat()) } else { content.clone() }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(request: Value) -> Said {
        say(&Asked::from_openai(&request), 7, (10, 20), 3)
    }

    #[test]
    fn the_same_question_has_the_same_answer_by_every_api() {
        let question = json!([{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]);
        let openai = asked(json!({"messages": question}));
        let anthropic = json!({"system": "s", "messages": [{"role": "user", "content": "q"}]});
        let gemini = json!({
            "systemInstruction": {"parts": [{"text": "s"}]},
            "contents": [{"role": "user", "parts": [{"text": "q"}]}],
        });
        assert_eq!(say(&Asked::from_anthropic(&anthropic), 7, (10, 20), 9), openai);
        assert_eq!(say(&Asked::from_gemini(&gemini), 7, (10, 20), 9), openai);
        assert_ne!(asked(json!({"messages": [{"role": "user", "content": "r"}]})).text(), openai.text());
        assert!((10..=20).contains(&openai.tokens.len()));
    }

    #[test]
    fn by_rules_a_better_prompt_is_right_wherever_a_worse_one_is() {
        let rule = |contains: &str, adds| Rule { contains: contains.to_owned(), adds, ..Rule::default() };
        let mut rules = Rules {
            base: 0.4,
            rules: vec![rule("Cite.", 0.3), rule("Shout.", -0.2)],
            right: "Right. [1]".to_owned(),
            wrong: "Wrong.".to_owned(),
        };
        let share = |rules: &Rules, prompt: &str| {
            let answers = (0..1_000).map(|place| {
                let messages = json!([{"role": "system", "content": prompt}, {"role": "user", "content": format!("q{place}")}]);
                say_by(rules, &Asked::from_openai(&json!({"messages": messages})), 5).text() == "Right. [1]"
            });
            answers.collect::<Vec<bool>>()
        };
        let (plain, cited) = (share(&rules, "Answer."), share(&rules, "Answer. Cite."));
        let count = |answers: &[bool]| answers.iter().filter(|right| **right).count();
        assert!((350..450).contains(&count(&plain)) && (650..750).contains(&count(&cited)));
        assert!(plain.iter().zip(&cited).all(|(plain, cited)| !plain || *cited));
        assert!((150..250).contains(&count(&share(&rules, "Answer. Shout."))));
        rules.rules[0].says = Some("Something else".to_owned());
        rules.rules[0].words = 2;
        let asked = Asked::from_openai(
            &json!({"messages": [{"role": "system", "content": "Cite."}, {"role": "user", "content": "q"}]}),
        );
        assert_eq!(say_by(&rules, &asked, 5).text(), "Something else so so");
    }

    #[test]
    fn answers_are_cut_continued_and_varied_as_asked() {
        let question = json!({"role": "user", "content": "q"});
        let whole = asked(json!({"messages": [question]}));
        let short = asked(json!({"messages": [question], "max_tokens": 3}));
        assert_eq!((short.tokens.as_slice(), short.finish_reason), (&whole.tokens[..3], "length"));
        let text = whole.text();
        let ends = (0..=text.len()).filter(|end| text.is_char_boundary(*end));
        for end in ends {
            let begun = json!({"role": "assistant", "content": text[..end]});
            let rest = asked(json!({"messages": [question, begun], "continue_final_message": true}));
            assert_eq!(format!("{}{}", &text[..end], rest.text()), text, "from {end}");
        }
        let free = json!({"messages": [question], "temperature": 0.7});
        assert_ne!(asked(free).text(), text);
        let seeded = json!({"messages": [question], "temperature": 0.7, "seed": 1});
        assert_eq!(asked(seeded).text(), text);
    }
}
