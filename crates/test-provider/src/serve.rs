//! Connections and what is answered on them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::answers::{Asked, Lots, Said, say, say_by};
use crate::dialect::Dialect;
use crate::http::{Connection, END, Request, STREAM, piece};
use crate::knobs::{Counts, Fault, Knobs};

/// What all connections see.
pub(crate) struct Shared {
    knobs: Mutex<Arc<Knobs>>,
    counts: Mutex<Counts>,
    requests: AtomicU64,
    /// Whether everything is to end.
    over: watch::Sender<bool>,
}

/// Whether the connection can be used for another request.
enum Then {
    GoOn,
    Close,
}

impl Shared {
    pub(crate) fn new(knobs: Knobs) -> Self {
        Self {
            knobs: Mutex::new(Arc::new(knobs)),
            counts: Mutex::default(),
            requests: AtomicU64::new(0),
            over: watch::Sender::new(false),
        }
    }

    pub(crate) fn knobs(&self) -> Arc<Knobs> {
        Arc::clone(&self.knobs.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn turn(&self, knobs: Knobs) {
        *self.knobs.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(knobs);
    }

    pub(crate) fn counts(&self) -> Counts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn end(&self) {
        self.over.send_replace(true);
    }

    fn count(&self, what: impl FnOnce(&mut Counts)) {
        what(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

pub(crate) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors: others have to end first.
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        if shared.knobs().dead {
            shared.count(|counts| counts.dead += 1);
            continue;
        }
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let mut over = shared.over.subscribe();
            tokio::select! {
                _ = over.wait_for(|over| *over) => {}
                () = serve(Connection::new(stream), &shared) => {}
            }
        });
    }
}

async fn serve(mut connection: Connection, shared: &Shared) {
    while let Some(request) = connection.request().await {
        let knobs = shared.knobs();
        let then = match Dialect::of(&request.path).filter(|_| request.method == "POST") {
            Some(_) if knobs.dead => {
                shared.count(|counts| counts.dead += 1);
                Then::Close
            }
            Some(dialect) => complete(&mut connection, shared, &knobs, dialect, &request).await,
            None => administer(&mut connection, shared, &knobs, &request).await,
        };
        if let Then::Close = then {
            return;
        }
    }
}

async fn administer(connection: &mut Connection, shared: &Shared, knobs: &Knobs, request: &Request) -> Then {
    let (status, body) = match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/admin/knobs") => (200, json!(knobs)),
        ("GET", "/admin/counts") => (200, json!(shared.counts())),
        ("PUT", "/admin/knobs") => match serde_json::from_slice::<Knobs>(&request.body) {
            Ok(knobs) => {
                let body = json!(knobs);
                shared.turn(knobs);
                (200, body)
            }
            Err(error) => (400, json!({"error": {"message": error.to_string()}})),
        },
        ("GET", "/v1/models") => {
            let models = knobs.models.iter();
            let models: Vec<Value> = models
                .map(|id| json!({"id": id, "object": "model", "created": 0, "owned_by": "test"}))
                .collect();
            (200, json!({"object": "list", "data": models}))
        }
        (method, path) => (404, json!({"error": {"message": format!("nothing is at {method} {path}")}})),
    };
    match connection.answer(status, "", "application/json", body.to_string().as_bytes()).await {
        true => Then::GoOn,
        false => Then::Close,
    }
}

async fn complete(
    connection: &mut Connection,
    shared: &Shared,
    knobs: &Knobs,
    dialect: Dialect,
    request: &Request,
) -> Then {
    let number = shared.requests.fetch_add(1, Ordering::Relaxed);
    shared.count(|counts| counts.requests += 1);
    let Ok(body) = serde_json::from_slice::<Value>(&request.body) else {
        return refuse(connection, shared, dialect, 400, "the body is not JSON", "invalid_request_error")
            .await;
    };
    if knobs.key.as_ref().is_some_and(|key| !request.keys.contains(key)) {
        return refuse(connection, shared, dialect, 401, "the key is wrong", "invalid_api_key").await;
    }
    let asked = dialect.read(&body);
    if knobs.context_tokens.is_some_and(|most| asked.prompt_tokens() > most) {
        let message = "This model's maximum context length is exceeded: prompt is too long";
        return refuse(connection, shared, dialect, 400, message, "context_length_exceeded").await;
    }
    if let Some(field) = knobs.refused_fields.iter().find(|field| !body[field.as_str()].is_null()) {
        let message = format!("Unsupported parameter: '{field}'");
        return refuse(connection, shared, dialect, 400, &message, "unsupported_parameter").await;
    }
    let mut lots = Lots::new(knobs.seed.wrapping_mul(31).wrapping_add(number));
    match knobs.faults.at(lots.share()) {
        Some(Fault::Hang) => {
            shared.count(|counts| counts.hung += 1);
            connection.left().await;
            Then::Close
        }
        Some(Fault::ServerError) => {
            shared.count(|counts| counts.server_errors += 1);
            let status = [500, 502, 503, 504][(lots.next() % 4) as usize];
            let body = dialect.refusal(status, "a fault on demand", "server_error").to_string();
            after(connection.answer(status, "", "application/json", body.as_bytes()).await)
        }
        Some(Fault::RateLimit) => {
            shared.count(|counts| counts.rate_limited += 1);
            let body = dialect.refusal(429, "a rate limit on demand", "rate_limit_exceeded").to_string();
            let headers = knobs.retry_after.map(|seconds| format!("retry-after: {seconds}\r\n"));
            let headers = headers.unwrap_or_default();
            after(connection.answer(429, &headers, "application/json", body.as_bytes()).await)
        }
        fault => {
            let said = match &knobs.rules {
                Some(rules) => say_by(rules, &asked, knobs.seed),
                None => say(&asked, knobs.seed, knobs.tokens, number),
            };
            shared.count(|counts| {
                counts.prompt_tokens += said.prompt_tokens;
                counts.answer_tokens += said.tokens.len() as u64;
            });
            let fault = fault.map(|fault| (fault, lots.share()));
            let answering = answer(connection, knobs, dialect, request, &body, &asked, &said, fault);
            let taken = answering.await;
            shared.count(|counts| match fault {
                Some((Fault::Garbage, _)) => counts.garbage += 1,
                Some(_) => counts.cut += 1,
                None if taken => counts.answered += 1,
                None => counts.abandoned += 1,
            });
            if fault.is_some() { Then::Close } else { after(taken) }
        }
    }
}

async fn refuse(
    connection: &mut Connection,
    shared: &Shared,
    dialect: Dialect,
    status: u16,
    message: &str,
    code: &str,
) -> Then {
    shared.count(|counts| counts.refused += 1);
    let body = dialect.refusal(status, message, code).to_string();
    after(connection.answer(status, "", "application/json", body.as_bytes()).await)
}

fn after(taken: bool) -> Then {
    if taken { Then::GoOn } else { Then::Close }
}

/// Sends the answer, or as much of it as the fault lets through, which comes with the share of the answer before it.
#[expect(clippy::too_many_arguments, reason = "one answer has this many sides, and one caller")]
async fn answer(
    connection: &mut Connection,
    knobs: &Knobs,
    dialect: Dialect,
    request: &Request,
    body: &Value,
    asked: &Asked,
    said: &Said,
    fault: Option<(Fault, f64)>,
) -> bool {
    let tool = asked.tool.as_deref();
    wait(knobs.first_token_ms).await;
    if !dialect.streams(&request.path, body) {
        wait(knobs.token_ms * said.tokens.len().saturating_sub(1) as f64).await;
        let whole = dialect.whole(body, said, tool).to_string();
        let bytes = match fault {
            None => return connection.answer(200, "", "application/json", whole.as_bytes()).await,
            Some((Fault::Garbage, _)) => {
                return connection.answer(200, "", "application/json", b"{\"choices\": [oops").await;
            }
            Some((_, share)) => &whole.as_bytes()[..(whole.len() as f64 * share) as usize],
        };
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
        let head = format!("{head}content-length: {}\r\n\r\n", whole.len());
        return connection.send(head.as_bytes()).await && connection.send(bytes).await;
    }
    let [first, tokens, last] = dialect.events(body, said, tool);
    // A fault comes before the last token, since an answer is whole after it.
    let before = fault.map(|(_, share)| (tokens.len() as f64 * share) as usize);
    let mut bytes = format!("{STREAM}{}", first.iter().map(|event| piece(event)).collect::<String>());
    for (place, token) in tokens.iter().enumerate().take(before.unwrap_or(usize::MAX)) {
        bytes.push_str(&piece(token));
        if knobs.token_ms > 0.0 && place + 1 < tokens.len() {
            if !connection.send(bytes.as_bytes()).await {
                return false;
            }
            bytes.clear();
            wait(knobs.token_ms).await;
        }
    }
    match fault {
        Some((Fault::Garbage, _)) => bytes.push_str(&piece("data: {\"choices\": [oops\n\n")),
        Some(_) => {}
        None => {
            bytes.extend(last.iter().map(|event| piece(event)));
            bytes.push_str(END);
        }
    }
    connection.send(bytes.as_bytes()).await
}

async fn wait(ms: f64) {
    if ms > 0.0 {
        sleep(Duration::from_secs_f64(ms / 1_000.0)).await;
    }
}
