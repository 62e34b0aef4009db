//! The first language model, as strategies use it: a few words in one piece, from threads that may block.

use std::ops::AddAssign;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use burnish_retrieval::Writer;
use burnish_types::{
    LanguageModel, Message, ModelError, ModelEvent, ModelRequest, Money, SharedPurse, Spending, Usage,
};
use futures_util::StreamExt;
use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};

use crate::cascade;

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

impl ModelWriter {
    /// What the model says, or why it says nothing, and what that took.
    fn write(
        &self,
        messages: Vec<Message>,
        max_tokens: u32,
        purse: Option<SharedPurse>,
    ) -> (Result<String, String>, Spent) {
        let Some(runtime) = self.runtime() else {
            return (Err("no thread could be started for it".to_owned()), Spent::default());
        };
        // Rewritten words are best when they are the likeliest ones.
        let request = ModelRequest {
            messages,
            max_tokens: Some(max_tokens),
            temperature: Some(0.0),
            whole: true,
            purse,
            ..ModelRequest::default()
        };
        let model = Arc::clone(&self.model);
        let (said, answer) = sync_channel(1);
        let task = runtime.spawn(async move {
            // Whoever asked may have given up.
            let _ = said.send(whole(model.as_ref(), request).await);
        });
        let reason = match answer.recv_timeout(self.patience) {
            Ok(Ok(Whole { text, spent, .. })) => return (Ok(text), spent),
            Ok(Err(Vain { error, tries })) => return (Err(error.to_string()), Spent::in_vain(tries)),
            Err(RecvTimeoutError::Timeout) => {
                task.abort();
                let seconds = self.patience.as_secs_f64();
                format!("the model `{}` said nothing whole within {seconds} s", self.model.name())
            }
            Err(RecvTimeoutError::Disconnected) => format!("the model `{}` broke off", self.model.name()),
        };
        (Err(reason), Spent::default())
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

/// What was taken of language models.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spent {
    pub(crate) usage: Usage,
    /// None where a price is not known.
    pub(crate) cost: Option<Money>,
    /// What was asked of them.
    pub(crate) tries: Vec<Spending>,
}

impl Default for Spent {
    fn default() -> Self {
        Self { usage: Usage::default(), cost: Some(Money::ZERO), tries: Vec::new() }
    }
}

impl Spent {
    /// By tries of which the last one led to an answer that took `usage`.
    pub(crate) fn on_answer(usage: Usage, tries: Vec<Spending>) -> Self {
        // What nobody told of costs nothing that is known.
        let cost = if tries.is_empty() { None } else { tries.iter().map(|spending| spending.cost).sum() };
        Self { usage, cost, tries }
    }

    /// By tries that led to nothing.
    pub(crate) fn in_vain(tries: Vec<Spending>) -> Self {
        let mut usage = Usage::default();
        tries.iter().for_each(|spending| usage += spending.usage);
        Self { usage, cost: tries.iter().map(|spending| spending.cost).sum(), tries }
    }
}

impl AddAssign for Spent {
    fn add_assign(&mut self, other: Self) {
        self.usage += other.usage;
        self.cost = [self.cost, other.cost].into_iter().sum();
        self.tries.extend(other.tries);
    }
}

/// A model that did not answer, and what trying took.
#[derive(Debug)]
pub(crate) struct Vain {
    pub(crate) error: ModelError,
    pub(crate) tries: Vec<Spending>,
}

/// Says who wrote in place of the planned model, where another one did.
pub(crate) fn stand_in(planned: &str, tries: &[Spending]) -> Option<String> {
    let last = tries.last().filter(|last| !cascade::is_of(planned, &last.model))?;
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
    writer: &'a ModelWriter,
    /// What the request is paid from.
    purse: Option<SharedPurse>,
    spent: Mutex<Spent>,
}

impl<'a> Metered<'a> {
    pub(crate) fn new(writer: &'a ModelWriter, purse: Option<SharedPurse>) -> Self {
        Self { writer, purse, spent: Mutex::default() }
    }

    pub(crate) fn spent(&self) -> Spent {
        self.spent.lock().clone()
    }
}

impl Writer for Metered<'_> {
    fn write(&self, messages: Vec<Message>, max_tokens: u32) -> Result<String, String> {
        let (written, spent) = self.writer.write(messages, max_tokens, self.purse.clone());
        *self.spent.lock() += spent;
        written
    }
}

/// Waits for all that a model says.
pub(crate) async fn whole(model: &dyn LanguageModel, request: ModelRequest) -> Result<Whole, Vain> {
    let (mut text, mut used, mut tries) = (String::new(), Usage::default(), Vec::new());
    let mut stream = match model.stream(request).await {
        Ok(stream) => stream,
        Err(error) => return Err(Vain { error, tries }),
    };
    while let Some(event) = stream.next().await {
        match event {
            Ok(ModelEvent::Text(more)) => text.push_str(&more),
            Ok(ModelEvent::Spent(spending)) => tries.push(spending),
            Ok(ModelEvent::Finished { usage, .. }) => used = usage.unwrap_or(used),
            // Nothing but words was asked for.
            Ok(ModelEvent::Extra(_)) => {}
            Err(error) => return Err(Vain { error, tries }),
        }
    }
    let stand_in = stand_in(model.name(), &tries);
    Ok(Whole { text, spent: Spent::on_answer(used, tries), stand_in })
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
            let (written, spent) = writer(end).write(Vec::new(), 7, None);
            match (written, expected) {
                (Ok(written), Ok(expected)) => {
                    assert_eq!((written.as_str(), spent.usage), (expected, USED));
                    assert_eq!(spent.cost, Some(Money::from_micros(50)));
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
            assert_eq!(writer.write(Vec::new(), 7, None).0.unwrap(), "two words");
            assert_eq!(writer.write(Vec::new(), 7, None).0.unwrap(), "two words");
        });
    }

    #[test]
    fn what_a_request_takes_is_counted() {
        let writer = writer(End::Finished);
        let metered = Metered::new(&writer, None);
        assert_eq!(metered.spent(), Spent::default());
        for _ in 0..3 {
            metered.write(Vec::new(), 7).unwrap();
        }
        let usage = Usage { input_tokens: 90, cached_input_tokens: 0, output_tokens: 6 };
        let spent = metered.spent();
        assert_eq!((spent.usage, spent.cost), (usage, Some(Money::from_micros(150))));
        assert_eq!(spent.tries.len(), 3);
    }
}
