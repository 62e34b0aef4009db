//! What asking questions together saves, and what it loses: the same questions alone and as a batch, of a model that is
//! simulated, so that every prompt can be looked at.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use burnish_engine::{Ask, Batched, Engine, EngineError, Pinned, Sampling};
use burnish_types::{
    BoxFuture, Embedder, LanguageModel, Message, ModelError, ModelEvent, ModelRequest, ModelStream, Usage,
    fnv1a,
};
use futures_util::stream;
use serde::Serialize;
use serde_json::{Value, json};

use crate::EvalError;
use crate::bootstrap::{self, MeanInterval};
use crate::dataset::{CollectionQuery, Dataset};
use crate::retrieval::asked;

/// What stands before each of several questions in a prompt.
const SEVERAL: &str = "Question ";

/// The name of the simulated model.
pub const RESPONDENT: &str = "respondent";

/// Answers every question by repeating it, so that each answer shows whose it is, and keeps what it was asked. Of the
/// replies to several questions a share is garbled.
pub struct Respondent {
    embedder: Arc<dyn Embedder>,
    garbled: f64,
    seed: u64,
    seen: Mutex<Seen>,
}

/// What the model was asked.
#[derive(Clone, Debug, Default)]
struct Seen {
    requests: usize,
    garbled: usize,
    tokens: usize,
    /// What each question was last answered from.
    material: BTreeMap<String, Arc<str>>,
}

impl Respondent {
    /// One that counts tokens as `embedder` does.
    pub fn new(embedder: Arc<dyn Embedder>, garbled: f64, seed: u64) -> Self {
        Self { embedder, garbled, seed, seen: Mutex::default() }
    }

    fn take(&self) -> Seen {
        // A poisoned lock belongs to a thread that has failed already; the counts are whole all the same.
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    fn reply(&self, messages: &[Message]) -> (String, Usage) {
        let content =
            |message: Option<&Message>| message.map_or("", |message| message.content.as_str()).to_owned();
        let (material, said) = (content(messages.first()), content(messages.last()));
        let several: Vec<String> = said
            .lines()
            .filter_map(|line| Some(line.strip_prefix(SEVERAL)?.split_once(": ")?.1.to_owned()))
            .collect();
        let tokens = self.embedder.count_tokens(&material) + self.embedder.count_tokens(&said);
        let draw = fastrand::Rng::with_seed(self.seed ^ fnv1a(said.as_bytes())).f64();
        let garbles = !several.is_empty() && draw < self.garbled;
        let mut seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        seen.requests += 1;
        seen.garbled += usize::from(garbles);
        seen.tokens += tokens;
        let usage = |text: &str| Usage {
            input_tokens: tokens as u64,
            cached_input_tokens: 0,
            output_tokens: self.embedder.count_tokens(text) as u64,
        };
        if garbles {
            let text = "I had rather talk about something else.".to_owned();
            let usage = usage(&text);
            return (text, usage);
        }
        let material: Arc<str> = material.into();
        let text = if several.is_empty() {
            seen.material.insert(said.clone(), material);
            format!("{said} [1]")
        } else {
            let entry = |(place, question): (usize, &String)| json!({"question": place + 1, "answer": format!("{question} [1]")});
            let answers: Vec<Value> = several.iter().enumerate().map(entry).collect();
            seen.material.extend(several.into_iter().map(|question| (question, Arc::clone(&material))));
            json!({"answers": answers}).to_string()
        };
        drop(seen);
        let usage = usage(&text);
        (text, usage)
    }
}

impl LanguageModel for Respondent {
    fn name(&self) -> &str {
        RESPONDENT
    }

    fn stream(&self, request: ModelRequest) -> BoxFuture<'_, Result<ModelStream, ModelError>> {
        let (text, usage) = self.reply(&request.messages);
        let finished = ModelEvent::Finished { reason: "stop".to_owned(), usage: Some(usage) };
        let events: ModelStream = Box::pin(stream::iter([Ok(ModelEvent::Text(text)), Ok(finished)]));
        Box::pin(async { Ok(events) })
    }
}

/// Both ways of asking.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BatchReport {
    /// How many questions were asked.
    pub n: usize,
    /// One by one.
    pub alone: Asked,
    /// As a batch.
    pub together: Asked,
    /// Prompt tokens of the batch as a share of those one by one.
    pub token_ratio: f64,
    /// Of the questions whose answer stood in their prompt alone, the share where it stood in the batch's prompt, too.
    pub answers_kept: Option<MeanInterval>,
    /// How many these are.
    pub answerable: usize,
}

/// What one way of asking took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Asked {
    /// Requests to the model.
    pub requests: usize,
    /// Replies that could not be read.
    pub garbled: usize,
    /// Tokens of all prompts.
    pub prompt_tokens: usize,
    /// Questions that were answered.
    pub answered: usize,
    /// Answers that stand at their own question.
    pub at_their_own: usize,
}

/// Asks the first `most` queries of `dataset` in a seeded order, whose metadata has `answers`, alone and as a batch, of an
/// engine whose one model is `respondent` and which holds the corpus.
///
/// # Errors
/// If there is nothing to ask.
pub async fn evaluate(
    engine: &Arc<Engine>,
    respondent: &Respondent,
    dataset: &Dataset,
    most: usize,
    seed: u64,
) -> Result<BatchReport, EvalError> {
    let mut queries: Vec<&CollectionQuery> = dataset.queries.iter().collect();
    fastrand::Rng::with_seed(seed).shuffle(&mut queries);
    queries.truncate(most);
    let asks: Vec<Ask> = queries.iter().map(|query| ask(query)).collect();
    respondent.take();
    let mut answers = Vec::with_capacity(asks.len());
    for ask in &asks {
        answers.extend(engine.answer_batch(vec![ask.clone()]).await);
    }
    let seen = respondent.take();
    let alone = report(&queries, &answers, &seen);
    let before = seen.material;
    let answers = engine.answer_batch(asks).await;
    let seen = respondent.take();
    let together = report(&queries, &answers, &seen);
    let holds = |material: &BTreeMap<String, Arc<str>>, query: &CollectionQuery| {
        let text = material.get(&query.text).map(|text| text.to_lowercase()).unwrap_or_default();
        query.answers().iter().any(|answer| text.contains(&answer.to_lowercase()))
    };
    let answerable: Vec<&&CollectionQuery> = queries.iter().filter(|query| holds(&before, query)).collect();
    let kept: Vec<f64> =
        answerable.iter().map(|query| f64::from(u8::from(holds(&seen.material, query)))).collect();
    Ok(BatchReport {
        n: queries.len(),
        token_ratio: together.prompt_tokens as f64 / alone.prompt_tokens.max(1) as f64,
        alone,
        together,
        answers_kept: bootstrap::mean(&kept, seed),
        answerable: answerable.len(),
    })
}

fn ask(query: &CollectionQuery) -> Ask {
    let mut asked = asked(query, 10);
    // As a prompt has it, so that what was asked is found again.
    asked.text = query.text.split_whitespace().collect::<Vec<_>>().join(" ");
    Ask { query: asked, pinned: Pinned::default(), sampling: Sampling::default() }
}

fn report(queries: &[&CollectionQuery], answers: &[Result<Batched, EngineError>], seen: &Seen) -> Asked {
    let own = queries.iter().zip(answers).filter(|(query, answered)| {
        let text = query.text.split_whitespace().collect::<Vec<_>>().join(" ");
        answered.as_ref().is_ok_and(|batched| batched.answer.text.starts_with(&text))
    });
    Asked {
        requests: seen.requests,
        garbled: seen.garbled,
        prompt_tokens: seen.tokens,
        answered: answers.iter().filter(|answered| answered.is_ok()).count(),
        at_their_own: own.count(),
    }
}
