//! A server for a test: a real engine with a small encoder that needs no files.

use std::sync::Arc;

use burnish_engine::{Engine, EngineSettings, Parts};
use burnish_server::{ServerError, ServerSettings, serve};
use burnish_types::{
    BoxFuture, EmbedError, Embedder, Embedding, LanguageModel, ModelError, ModelEvent, ModelRequest,
    ModelStream, Money, Price, SystemClock, Usage,
};
use futures_util::stream;
use reqwest::{Client, Method, RequestBuilder, Response, multipart};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

const DIMENSIONS: usize = 256;
pub(crate) const EMBEDDING_MODEL: &str = "words";
pub(crate) const MODEL: &str = "parrot";

pub(crate) const TEA: &str = "# Tea\n\n## Green tea\n\nGreen tea is brewed at eighty degrees for two minutes.\n\n\
                              ## Black tea\n\nBlack tea is brewed with boiling water for four minutes.\n";
pub(crate) const BREAD: &str = "Sourdough bread rises for twelve hours before it is baked in a hot oven.\n";

/// Hashes words into places of a vector: texts that share words are near one another.
struct Words;

impl Embedder for Words {
    fn model(&self) -> &str {
        EMBEDDING_MODEL
    }

    fn dimensions(&self) -> usize {
        DIMENSIONS
    }

    fn max_tokens(&self) -> usize {
        256
    }

    fn count_tokens(&self, text: &str) -> usize {
        text.split_whitespace().count()
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError> {
        Ok(texts.iter().map(|text| embed(text)).collect())
    }
}

fn embed(text: &str) -> Embedding {
    let mut vector = vec![0.0f32; DIMENSIONS];
    vector[0] = 0.01;
    for word in text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let hash = word
            .bytes()
            .fold(5381u32, |hash, byte| hash.wrapping_mul(33) ^ u32::from(byte.to_ascii_lowercase()));
        vector[1 + hash as usize % (DIMENSIONS - 1)] += 1.0;
    }
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    vector.iter().map(|value| value / length).collect()
}

/// A language model that says two things, and waits to be told or breaks off where a test wants that.
#[derive(Default)]
pub(crate) struct Parrot {
    /// [`MODEL`] where it has none.
    pub(crate) called: Option<&'static str>,
    /// Of a million tokens, in micro-units.
    pub(crate) price: Option<u64>,
    pub(crate) breaks_off: bool,
    pub(crate) before_the_first: Option<Arc<Notify>>,
    pub(crate) before_the_second: Option<Arc<Notify>>,
}

impl LanguageModel for Parrot {
    fn name(&self) -> &str {
        self.called.unwrap_or(MODEL)
    }

    fn price(&self) -> Option<Price> {
        let million = Money::from_micros(self.price?);
        Some(Price { input: million, cached_input: million, output: million })
    }

    fn stream(&self, _: ModelRequest) -> BoxFuture<'_, Result<ModelStream, ModelError>> {
        Box::pin(async {
            if let Some(told) = &self.before_the_first {
                told.notified().await;
            }
            let (told, breaks_off) = (self.before_the_second.clone(), self.breaks_off);
            let words = stream::unfold(0, move |place| {
                let told = told.clone();
                async move {
                    if breaks_off && place == 1 {
                        let (model, reason) = (MODEL.to_owned(), "at https://secret.example".to_owned());
                        return Some((Err(ModelError::Unreachable { model, reason }), place + 2));
                    }
                    let event = match place {
                        0 => ModelEvent::Text("So it".to_owned()),
                        1 => {
                            if let Some(told) = told {
                                told.notified().await;
                            }
                            ModelEvent::Text(" is. [1]".to_owned())
                        }
                        2 => {
                            let usage =
                                Some(Usage { input_tokens: 11, output_tokens: 4, ..Usage::default() });
                            ModelEvent::Finished { reason: "stop".to_owned(), usage }
                        }
                        _ => return None,
                    };
                    Some((Ok(event), place + 1))
                }
            });
            let words: ModelStream = Box::pin(words);
            Ok(words)
        })
    }
}

/// A running server. It ends with the test.
pub(crate) struct Server {
    pub(crate) address: String,
    pub(crate) client: Client,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<Result<(), ServerError>>,
    _data: TempDir,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(ServerSettings::default(), vec![Arc::new(Parrot::default())]).await
    }

    pub(crate) async fn with(settings: ServerSettings, models: Vec<Arc<dyn LanguageModel>>) -> Self {
        let data = tempfile::tempdir().unwrap();
        let parts = Parts { embedder: Arc::new(Words), models, clock: Arc::new(SystemClock) };
        let engine = Engine::open(EngineSettings::new(data.path()), parts).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(serve(engine, listener, settings, async {
            let _ = stopped.await;
        }));
        Self { address, client: Client::new(), stop: Some(stop), running, _data: data }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.address))
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    pub(crate) async fn get_json(&self, path: &str) -> Value {
        let response = self.get(path).await;
        assert_eq!(response.status(), 200, "{path}");
        response.json().await.unwrap()
    }

    pub(crate) async fn get_text(&self, path: &str) -> String {
        let response = self.get(path).await;
        assert!(response.status().is_success(), "{path}");
        response.text().await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Response {
        self.request(Method::POST, path).json(&body).send().await.unwrap()
    }

    pub(crate) async fn post_json(&self, path: &str, body: Value) -> Value {
        let response = self.post(path, body).await;
        let status = response.status();
        let answer: Value = response.json().await.unwrap();
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    /// Asks as a chat, and returns the response.
    pub(crate) async fn chat(&self, model: &str, question: &str, stream: bool) -> Response {
        let body = json!({
            "model": model, "stream": stream, "stream_options": {"include_usage": true},
            "messages": [{"role": "user", "content": question}],
        });
        self.post("/v1/chat/completions", body).await
    }

    pub(crate) async fn upload(&self, files: &[(&str, &[u8])]) -> Response {
        let mut form = multipart::Form::new();
        for (name, bytes) in files {
            form = form.part("file", multipart::Part::bytes(bytes.to_vec()).file_name((*name).to_owned()));
        }
        self.request(Method::POST, "/v1/documents").multipart(form).send().await.unwrap()
    }

    /// With two documents in it.
    pub(crate) async fn filled(self) -> Self {
        let response = self.upload(&[("tea.md", TEA.as_bytes()), ("bread.txt", BREAD.as_bytes())]).await;
        assert_eq!(response.status(), 200);
        self
    }

    /// Tells it to stop.
    pub(crate) fn stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }

    /// Waits until it has.
    pub(crate) async fn stopped(self) -> Result<(), ServerError> {
        self.running.await.unwrap()
    }
}

/// The data of each event of a stream.
pub(crate) fn events(body: &str) -> Vec<&str> {
    body.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect()
}
