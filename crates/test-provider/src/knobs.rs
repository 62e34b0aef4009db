//! What can be turned while the provider runs, and what it counts.

use serde::{Deserialize, Serialize};

/// How the provider behaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Knobs {
    /// What answers and faults follow from. Providers with the same seed give the same answers.
    pub seed: u64,
    /// Names of the models that are listed; every name is answered.
    pub models: Vec<String>,
    /// The shortest and the longest answer, in tokens.
    pub tokens: (u64, u64),
    /// Milliseconds until the first token.
    pub first_token_ms: f64,
    /// Milliseconds between tokens; 0 sends all at once.
    pub token_ms: f64,
    /// How often what goes wrong.
    pub faults: Faults,
    /// What a refusal for too many requests says in `Retry-After`, in seconds; none says nothing.
    pub retry_after: Option<u64>,
    /// The longest prompt in tokens; longer ones are refused as such.
    pub context_tokens: Option<u64>,
    /// Fields of a request's body that it is refused for.
    pub refused_fields: Vec<String>,
    /// The key that requests must bring.
    pub key: Option<String>,
    /// By which rules answers are right or wrong; none answers by words in no order.
    pub rules: Option<Rules>,
    /// Whether connections are closed as soon as they come, and requests on open ones left unanswered.
    pub dead: bool,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            seed: 0,
            models: vec!["test-model".to_owned()],
            tokens: (8, 40),
            first_token_ms: 0.0,
            token_ms: 0.0,
            faults: Faults::default(),
            retry_after: None,
            context_tokens: None,
            refused_fields: Vec::new(),
            key: None,
            rules: None,
            dead: false,
        }
    }
}

/// Answers that are right as often as what the prompt says makes them. For one and the same question a better prompt is right
/// wherever a worse one is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// How often an answer is right to a prompt of which no rule speaks, from 0 to 1.
    pub base: f64,
    /// What changes that.
    pub rules: Vec<Rule>,
    /// What a right answer is, and a wrong one.
    pub right: String,
    /// The same.
    pub wrong: String,
}

/// What a prompt that says something does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// What it says outside of the question.
    pub contains: String,
    /// How much more often an answer is right then.
    pub adds: f64,
    /// How many words longer an answer is.
    pub words: u64,
    /// What is answered then, whatever else holds.
    pub says: Option<String>,
}

/// Shares of the requests, from 0 to 1, that go wrong in each way; each request in one way at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Nothing is ever answered.
    pub hang: f64,
    /// A status from 500 to 504.
    pub server_error: f64,
    /// Status 429.
    pub rate_limit: f64,
    /// The answer breaks off in its midst.
    pub cut: f64,
    /// What is no answer stands in place of one, from the start or after some tokens.
    pub garbage: f64,
}

/// One way of going wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Hang,
    ServerError,
    RateLimit,
    Cut,
    Garbage,
}

impl Faults {
    /// The fault of a request whose lot, uniform in [0, 1), is `lot`.
    pub(crate) fn at(&self, lot: f64) -> Option<Fault> {
        let shares = [
            (self.hang, Fault::Hang),
            (self.server_error, Fault::ServerError),
            (self.rate_limit, Fault::RateLimit),
            (self.cut, Fault::Cut),
            (self.garbage, Fault::Garbage),
        ];
        let mut upper = 0.0;
        shares.into_iter().find_map(|(share, fault)| {
            upper += share;
            (lot < upper).then_some(fault)
        })
    }
}

/// Requests by what came of them. Those of a dead provider are `dead`; connections that it closed are no requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All.
    pub requests: u64,
    /// Answered whole.
    pub answered: u64,
    /// Refused for what they asked.
    pub refused: u64,
    /// Never answered, on purpose.
    pub hung: u64,
    /// Answered with a server's error.
    pub server_errors: u64,
    /// Refused as one too many.
    pub rate_limited: u64,
    /// Broken off.
    pub cut: u64,
    /// Answered with garbage.
    pub garbage: u64,
    /// Left unanswered, or not let in, while dead.
    pub dead: u64,
    /// Given up by the client.
    pub abandoned: u64,
    /// Tokens of the prompts of all answers, those that were cut or abandoned among them: what a provider bills.
    pub prompt_tokens: u64,
    /// Tokens of all those answers, as if each had been written to its end.
    pub answer_tokens: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_kept_apart() {
        let faults = Faults { hang: 0.1, server_error: 0.1, rate_limit: 0.05, cut: 0.05, garbage: 0.02 };
        let cases = [
            (0.0, Some(Fault::Hang)),
            (0.15, Some(Fault::ServerError)),
            (0.22, Some(Fault::RateLimit)),
            (0.28, Some(Fault::Cut)),
            (0.31, Some(Fault::Garbage)),
            (0.33, None),
            (0.99, None),
        ];
        for (lot, expected) in cases {
            assert_eq!(faults.at(lot), expected, "{lot}");
        }
    }
}
