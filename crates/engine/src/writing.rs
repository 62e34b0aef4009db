//! The first language model, as strategies use it: a few words in one piece, from threads that may block.

use std::ops::AddAssign;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use burnish_retrieval::{Writer, Written};
use burnish_types::{LanguageModel, Message, ModelError, ModelEvent, ModelRequest, Money, Spending, Usage};
use futures_util::StreamExt;
use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};

/// Whoever asks waits this long for words to search with.
const PATIENCE: Duration = Duration::from_secs(20);

/// A model that is asked from a thread that may block. It has a small runtime of its own, so that it works the same
/// inside and outside an async program, and starts it with the first question.
pub(crate) struct ModelWriter {
    model: Arc<dyn LanguageModel>,
    patience: Duration,
    runtime: OnceLock<Option<Runtime>>,
}

impl ModelWriter {
    pub(crate) fn new(model: Arc<dyn LanguageModel>) -> Self {
        Self { model, patience: PATIENCE, runtime: OnceLock::new() }
    }

    fn runtime(&self) -> Option<&Runtime> {
        let start = || {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(1).thread_name("burnish-writer").enable_all().build().ok()
        };
        self.runtime.get_or_init(start).as_ref()
    }
}

impl Writer for ModelWriter {
    fn write(&self, messages: Vec<Message>, max_tokens: u32) -> Result<Written, String> {
        let runtime = self.runtime().ok_or_else(|| "no thread could be started for it".to_owned())?;
        // Rewritten words are best when they are the likeliest ones.
        let request = ModelRequest {
            messages,
            max_tokens: Some(max_tokens),
            temperature: Some(0.0),
            whole: true,
            ..ModelRequest::default()
        };
        let model = Arc::clone(&self.model);
        let (said, answer) = sync_channel(1);
        let task = runtime.spawn(async move {
            // Whoever asked may have given up.
            let _ = said.send(whole(model.as_ref(), request).await);
        });
        match answer.recv_timeout(self.patience) {
            Ok(whole) => {
                let Whole { text, spent, .. } = whole.map_err(|error| error.to_string())?;
                Ok(Written { text, usage: spent.usage, cost: spent.cost })
            }
            Err(RecvTimeoutError::Timeout) => {
                task.abort();
                let seconds = self.patience.as_secs_f64();
                Err(format!("the model `{}` said nothing whole within {seconds} s", self.model.name()))
            }
            Err(RecvTimeoutError::Disconnected) => {
                Err(format!("the model `{}` broke off", self.model.name()))
            }
        }
    }
}

impl Drop for ModelWriter {
    fn drop(&mut self) {
        // Waiting for tasks is not allowed where the engine may be dropped: in async code.
        if let Some(runtime) = self.runtime.take().flatten() {
            runtime.shutdown_background();
        }
    }
}

/// What was taken of a language model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spent {
    pub(crate) usage: Usage,
    /// None where a price is not known.
    pub(crate) cost: Option<Money>,
}

impl Default for Spent {
    fn default() -> Self {
        Self { usage: Usage::default(), cost: Some(Money::ZERO) }
    }
}

impl AddAssign for Spent {
    fn add_assign(&mut self, other: Self) {
        self.usage += other.usage;
        self.cost = both(self.cost, other.cost);
    }
}

/// The sum, where both are known.
pub(crate) fn both(left: Option<Money>, right: Option<Money>) -> Option<Money> {
    [left, right].into_iter().sum()
}

/// What all tries cost, where all their prices are known; none where nobody told of any.
pub(crate) fn cost(tries: &[Spending]) -> Option<Money> {
    if tries.is_empty() { None } else { tries.iter().map(|spending| spending.cost).sum() }
}

/// Says who wrote in place of the planned model, where another one did.
pub(crate) fn stand_in(planned: &str, tries: &[Spending]) -> Option<String> {
    let last = tries.last().filter(|last| last.model != planned)?;
    Some(format!("the model `{planned}` did not answer, and `{}` did", last.model))
}

/// All that a model said.
pub(crate) struct Whole {
    pub(crate) text: String,
    pub(crate) spent: Spent,
    /// Who said it, where the planned model did not.
    pub(crate) stand_in: Option<String>,
}

/// A writer for one request, which keeps count.
pub(crate) struct Metered<'a> {
    writer: &'a dyn Writer,
    spent: Mutex<Spent>,
}

impl<'a> Metered<'a> {
    pub(crate) fn new(writer: &'a dyn Writer) -> Self {
        Self { writer, spent: Mutex::default() }
    }

    pub(crate) fn spent(&self) -> Spent {
        *self.spent.lock()
    }
}

impl Writer for Metered<'_> {
    fn write(&self, messages: Vec<Message>, max_tokens: u32) -> Result<Written, String> {
        let written = self.writer.write(messages, max_tokens)?;
        let mut spent = self.spent.lock();
        *spent += Spent { usage: written.usage, cost: written.cost };
        Ok(written)
    }
}

/// Waits for all that a model says.
pub(crate) async fn whole(model: &dyn LanguageModel, request: ModelRequest) -> Result<Whole, ModelError> {
    let mut stream = model.stream(request).await?;
    let (mut text, mut used, mut tries) = (String::new(), Usage::default(), Vec::new());
    while let Some(event) = stream.next().await {
        match event? {
            ModelEvent::Text(more) => text.push_str(&more),
            ModelEvent::Spent(spending) => tries.push(spending),
            ModelEvent::Finished { usage, .. } => used = usage.unwrap_or(used),
            // Nothing but words was asked for.
            ModelEvent::Extra(_) => {}
        }
    }
    let spent = Spent { usage: used, cost: cost(&tries) };
    Ok(Whole { text, spent, stand_in: stand_in(model.name(), &tries) })
}

#[cfg(test)]
mod tests {
    use burnish_types::{BoxFuture, ModelStream};
    use futures_util::stream;

    use super::*;

    /// Says these pieces, then ends, fails or falls silent.
    struct Scripted {
        pieces: &'static [&'static str],
        end: End,
    }

    const USED: Usage = Usage { input_tokens: 30, cached_input_tokens: 0, output_tokens: 2 };

    #[derive(Clone, Copy)]
    enum End {
        Finished,
        Failed,
        Silent,
        Refused,
    }

    impl LanguageModel for Scripted {
        fn name(&self) -> &str {
            "scripted"
        }

        fn stream(&self, request: ModelRequest) -> BoxFuture<'_, Result<ModelStream, ModelError>> {
            assert_eq!((request.max_tokens, request.temperature), (Some(7), Some(0.0)));
            let failed = || ModelError::Unreachable { model: "scripted".into(), reason: "gone".into() };
            let end = self.end;
            let text =
                stream::iter(self.pieces.iter().map(|piece| Ok(ModelEvent::Text((*piece).to_owned()))));
            Box::pin(async move {
                let rest: ModelStream = match end {
                    End::Finished => {
                        let cost = Some(Money::from_micros(50));
                        let spending = Spending { model: "scripted".to_owned(), usage: USED, cost };
                        let finished = ModelEvent::Finished { reason: "stop".to_owned(), usage: Some(USED) };
                        Box::pin(stream::iter([Ok(ModelEvent::Spent(spending)), Ok(finished)]))
                    }
                    End::Failed => Box::pin(stream::once(async move { Err(failed()) })),
                    End::Silent => Box::pin(stream::pending()),
                    End::Refused => return Err(failed()),
                };
                Ok(Box::pin(text.chain(rest)) as ModelStream)
            })
        }
    }

    fn writer(end: End) -> ModelWriter {
        let mut writer = ModelWriter::new(Arc::new(Scripted { pieces: &["two ", "words"], end }));
        writer.patience = Duration::from_millis(100);
        writer
    }

    #[test]
    fn a_model_is_waited_for_within_bounds() {
        let cases = [
            (End::Finished, Ok("two words")),
            (End::Failed, Err("gone")),
            (End::Refused, Err("gone")),
            (End::Silent, Err("within 0.1 s")),
        ];
        for (end, expected) in cases {
            match (writer(end).write(Vec::new(), 7), expected) {
                (Ok(written), Ok(expected)) => {
                    assert_eq!((written.text.as_str(), written.usage), (expected, USED));
                    assert_eq!(written.cost, Some(Money::from_micros(50)));
                }
                (Err(reason), Err(expected)) => assert!(reason.contains(expected), "{reason}"),
                (outcome, _) => panic!("{outcome:?}"),
            }
        }
    }

    #[test]
    fn it_works_and_ends_inside_async_code() {
        let inside = tokio::runtime::Builder::new_current_thread().build().unwrap();
        inside.block_on(async {
            let writer = writer(End::Finished);
            assert_eq!(writer.write(Vec::new(), 7).unwrap().text, "two words");
            assert_eq!(writer.write(Vec::new(), 7).unwrap().text, "two words");
        });
    }

    #[test]
    fn what_a_request_takes_is_counted() {
        let writer = writer(End::Finished);
        let metered = Metered::new(&writer);
        assert_eq!(metered.spent(), Spent::default());
        for _ in 0..3 {
            metered.write(Vec::new(), 7).unwrap();
        }
        let usage = Usage { input_tokens: 90, cached_input_tokens: 0, output_tokens: 6 };
        assert_eq!(metered.spent(), Spent { usage, cost: Some(Money::from_micros(150)) });
    }
}
