//! The first language model, as strategies use it: a few words in one piece, from threads that may block.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use burnish_retrieval::Writer;
use burnish_types::{LanguageModel, Message, ModelError, ModelEvent, ModelRequest};
use futures_util::StreamExt;
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
    fn write(&self, messages: Vec<Message>, max_tokens: u32) -> Result<String, String> {
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
            Ok(text) => text.map_err(|error| error.to_string()),
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

async fn whole(model: &dyn LanguageModel, request: ModelRequest) -> Result<String, ModelError> {
    let mut stream = model.stream(request).await?;
    let mut text = String::new();
    while let Some(event) = stream.next().await {
        if let ModelEvent::Text(more) = event? {
            text.push_str(&more);
        }
    }
    Ok(text)
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
                    End::Finished => Box::pin(stream::empty()),
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
                (Ok(text), Ok(expected)) => assert_eq!(text, expected),
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
            assert_eq!(writer.write(Vec::new(), 7).unwrap(), "two words");
            assert_eq!(writer.write(Vec::new(), 7).unwrap(), "two words");
        });
    }
}
