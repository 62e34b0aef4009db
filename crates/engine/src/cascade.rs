//! Two models as one: the first is asked, and where its answer does not do, the second. Whether that pays is for the log to say:
//! to the planner a cascade is a model like any other.

use std::sync::Arc;

use burnish_types::{
    BoxFuture, LanguageModel, ModelError, ModelEvent, ModelRequest, ModelStream, Money, Price,
};
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;

use crate::{EngineError, prompt};

/// What stands between the names of its models.
const SEPARATOR: char = '>';
/// How often the second model is taken to be asked, at first.
const SHARE: f64 = 0.5;
/// By how much one request moves that.
const STEP: f64 = 0.05;

/// A cascade of two models.
pub(crate) struct Cascade {
    name: String,
    first: Arc<dyn LanguageModel>,
    second: Arc<dyn LanguageModel>,
    /// How often the second one is asked, as a running mean.
    share: Arc<Mutex<f64>>,
}

/// The names of the two models, where `name` is that of a cascade.
pub fn cascade_of(name: &str) -> Option<[&str; 2]> {
    let (first, second) = name.split_once(SEPARATOR)?;
    Some([first.trim(), second.trim()])
}

/// Whether what the model `wrote` is an answer of the one that was `planned`, and not of one that stands in for it.
pub(crate) fn is_of(planned: &str, wrote: &str) -> bool {
    planned == wrote || cascade_of(planned).is_some_and(|models| models.contains(&wrote))
}

/// Adds the cascades that are among the names of models to choose from.
pub(crate) fn add(models: &mut Vec<Arc<dyn LanguageModel>>, named: &[String]) -> Result<(), EngineError> {
    for name in named.iter().filter(|name| cascade_of(name).is_some()) {
        let unknown = || EngineError::UnknownModel {
            name: name.clone(),
            known: models.iter().map(|model| model.name().to_owned()).collect(),
        };
        let cascade = Cascade::new(name, models).ok_or_else(unknown)?;
        if models.iter().all(|model| model.name() != name) {
            models.push(Arc::new(cascade));
        }
    }
    Ok(())
}

impl Cascade {
    /// The cascade called `name` over two of `models`; `None` where one of them is not there.
    pub(crate) fn new(name: &str, models: &[Arc<dyn LanguageModel>]) -> Option<Self> {
        let known = |name: &str| models.iter().find(|model| model.name() == name).cloned();
        let [first, second] = cascade_of(name)?;
        let (first, second) = (known(first)?, known(second)?);
        Some(Self { name: name.to_owned(), first, second, share: Arc::new(Mutex::new(SHARE)) })
    }
}

impl LanguageModel for Cascade {
    fn name(&self) -> &str {
        &self.name
    }

    fn fingerprint(&self) -> String {
        format!("{}\n{}", self.first.fingerprint(), self.second.fingerprint())
    }

    /// Of both, as often as both are asked.
    fn price(&self) -> Option<Price> {
        let (first, second, share) = (self.first.price()?, self.second.price()?, *self.share.lock());
        let sum = |first: Money, second: Money| {
            let more = (share * second.micros() as f64).ceil() as u64;
            first + Money::from_micros(more)
        };
        Some(Price {
            input: sum(first.input, second.input),
            cached_input: sum(first.cached_input, second.cached_input),
            output: sum(first.output, second.output),
        })
    }

    fn stream(&self, request: ModelRequest) -> BoxFuture<'_, Result<ModelStream, ModelError>> {
        Box::pin(async move {
            let tried = attempt(self.first.as_ref(), &request).await;
            let escalates = !tried.does;
            {
                let mut share = self.share.lock();
                *share += STEP * (f64::from(u8::from(escalates)) - *share);
            }
            if !escalates {
                return Ok(replayed(tried.events));
            }
            let (spent, said): (Vec<_>, Vec<_>) =
                tried.events.into_iter().partition(|event| matches!(event, ModelEvent::Spent(_)));
            match self.second.stream(request).await {
                Ok(events) => {
                    let spent = stream::iter(spent.into_iter().map(Ok));
                    let whole: ModelStream = Box::pin(spent.chain(events));
                    Ok(whole)
                }
                // What does not do is better than nothing.
                Err(error) if tried.whole => {
                    tracing::warn!(%error, "answering by the first model of a cascade, since the second does not");
                    Ok(replayed(spent.into_iter().chain(said).collect()))
                }
                Err(error) if spent.is_empty() => Err(error),
                Err(error) => {
                    let failure = stream::once(async move { Err(error) });
                    let whole: ModelStream = Box::pin(stream::iter(spent.into_iter().map(Ok)).chain(failure));
                    Ok(whole)
                }
            }
        })
    }
}

/// What the first model has said.
struct Attempt {
    events: Vec<ModelEvent>,
    /// Whether it came to its end, with anything said.
    whole: bool,
    /// Whether that will do.
    does: bool,
}

/// Asks a model, and looks whether its answer does: it is whole, finds something, and cites what it was told to cite.
async fn attempt(model: &dyn LanguageModel, request: &ModelRequest) -> Attempt {
    let (mut events, mut text, mut ended, mut calls) = (Vec::new(), String::new(), None, false);
    match model.stream(request.clone()).await {
        Ok(mut stream) => {
            while let Some(event) = stream.next().await {
                match event {
                    Ok(event) => {
                        match &event {
                            ModelEvent::Text(more) => text.push_str(more),
                            ModelEvent::Extra(_) => calls = true,
                            ModelEvent::Finished { reason, .. } => ended = Some(reason.clone()),
                            ModelEvent::Spent(_) => {}
                        }
                        events.push(event);
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the first model of a cascade broke off");
                        break;
                    }
                }
            }
        }
        Err(error) => tracing::warn!(%error, "the first model of a cascade does not answer"),
    }
    let whole = ended.is_some() && (calls || !text.trim().is_empty());
    let cites = !prompt::asks_to_cite(&request.messages) || prompt::has_marker(&text);
    let answers = ended.as_deref() == Some("stop") && !text.contains(prompt::NOT_FOUND) && cites;
    // Whether a call of a tool is the right one is not for words to tell.
    Attempt { events, whole, does: whole && (calls || answers) }
}

fn replayed(events: Vec<ModelEvent>) -> ModelStream {
    Box::pin(stream::iter(events.into_iter().map(Ok)))
}

#[cfg(test)]
mod tests {
    use burnish_types::{Message, Role, Spending, Usage};

    use super::*;

    /// Says one thing, or fails.
    struct Says(&'static str, Result<&'static str, ()>);

    impl LanguageModel for Says {
        fn name(&self) -> &str {
            self.0
        }

        fn price(&self) -> Option<Price> {
            let million = Money::from_micros(if self.0 == "small" { 100 } else { 1_000 });
            Some(Price { input: million, cached_input: million, output: million })
        }

        fn stream(&self, _: ModelRequest) -> BoxFuture<'_, Result<ModelStream, ModelError>> {
            Box::pin(async {
                let model = self.0.to_owned();
                let gone = ModelError::Unreachable { model: model.clone(), reason: "gone".to_owned() };
                let text = self.1.map_err(|()| gone)?;
                let spending = Spending { model, usage: Usage::default(), cost: Some(Money::from_micros(1)) };
                Ok(replayed(vec![
                    ModelEvent::Text(text.to_owned()),
                    ModelEvent::Spent(spending),
                    ModelEvent::Finished { reason: "stop".to_owned(), usage: None },
                ]))
            })
        }
    }

    async fn ask(first: Result<&'static str, ()>, second: Result<&'static str, ()>) -> Result<String, usize> {
        let models: [Arc<dyn LanguageModel>; 2] =
            [Arc::new(Says("small", first)), Arc::new(Says("large", second))];
        let cascade = Cascade::new("small > large", &models).unwrap();
        let content = "Cite passages by their numbers, such as [1].".to_owned();
        let messages = vec![Message { role: Role::System, content }];
        let request = ModelRequest { messages, ..ModelRequest::default() };
        let mut stream = cascade.stream(request).await.map_err(|_| 0_usize)?;
        let (mut text, mut spent) = (String::new(), 0_usize);
        while let Some(event) = stream.next().await {
            match event.map_err(|_| spent)? {
                ModelEvent::Text(more) => text.push_str(&more),
                ModelEvent::Spent(_) => spent += 1,
                _ => {}
            }
        }
        Ok(format!("{text} {spent}"))
    }

    #[tokio::test]
    async fn the_second_is_asked_where_the_first_does_not_do() {
        let missing = "I don't find that in your documents.";
        for (first, second, expected) in [
            (Ok("It is so. [1]"), Ok("So it is. [2]"), Ok("It is so. [1] 1")),
            (Ok("It is so."), Ok("So it is. [2]"), Ok("So it is. [2] 2")),
            (Ok(missing), Ok("So it is. [2]"), Ok("So it is. [2] 2")),
            (Err(()), Ok("So it is. [2]"), Ok("So it is. [2] 1")),
            (Ok("It is so."), Err(()), Ok("It is so. 1")),
            (Err(()), Err(()), Err(0)),
        ] {
            assert_eq!(ask(first, second).await, expected.map(str::to_owned), "{first:?} {second:?}");
        }
    }

    #[tokio::test]
    async fn its_price_follows_how_often_both_are_asked() {
        let models: [Arc<dyn LanguageModel>; 2] =
            [Arc::new(Says("small", Ok("Fine. [1]"))), Arc::new(Says("large", Ok("Better. [1]")))];
        assert!(Cascade::new("small > huge", &models).is_none() && Cascade::new("small", &models).is_none());
        let cascade = Cascade::new("small > large", &models).unwrap();
        assert_eq!(cascade.price().unwrap().input, Money::from_micros(600));
        for _ in 0..200 {
            drop(cascade.stream(ModelRequest::default()).await.unwrap());
        }
        assert_eq!(cascade.price().unwrap().input, Money::from_micros(101));
        assert!(is_of("small > large", "large") && is_of("small", "small") && !is_of("small", "large"));
    }
}
