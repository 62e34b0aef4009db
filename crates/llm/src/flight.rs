//! Single flight: of identical requests that come at one time one is made, and all are given its answer.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, Weak};

use burnish_types::{ModelError, ModelEvent, ModelRequest, ModelStream, Money, Spending, Usage};
use futures_util::stream;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::session::Session;

/// The requests under way, by all that they say.
#[derive(Default)]
pub(crate) struct Flights {
    under_way: Mutex<HashMap<String, Weak<Flight>>>,
}

/// One request under way. It ends when nobody listens any more.
struct Flight {
    flights: Arc<Flights>,
    key: String,
    heard: Mutex<Vec<Result<ModelEvent, ModelError>>>,
    /// How much was heard, and whether that is all.
    grown: watch::Sender<(usize, bool)>,
    task: OnceLock<AbortHandle>,
}

impl Flights {
    /// The answer to `request`, which `session` gets unless it is under way already.
    pub(crate) fn join(
        self: &Arc<Self>,
        request: &ModelRequest,
        session: impl FnOnce() -> Session,
    ) -> ModelStream {
        let key = key(request);
        let mut under_way = self.under_way.lock();
        if let Some(flight) = under_way.get(&key).and_then(Weak::upgrade) {
            return listen(flight, false);
        }
        let flight = Arc::new(Flight {
            flights: Arc::clone(self),
            key: key.clone(),
            heard: Mutex::default(),
            grown: watch::Sender::new((0, false)),
            task: OnceLock::new(),
        });
        under_way.insert(key, Arc::downgrade(&flight));
        drop(under_way);
        let task = tokio::spawn(fly(Arc::downgrade(&flight), session()));
        // Set once, right here.
        let _ = flight.task.set(task.abort_handle());
        listen(flight, true)
    }

    fn land(&self, key: &str, flight: *const Flight) {
        let mut under_way = self.under_way.lock();
        if under_way.get(key).is_some_and(|known| std::ptr::eq(known.as_ptr(), flight)) {
            under_way.remove(key);
        }
    }
}

async fn fly(flight: Weak<Flight>, mut session: Session) {
    loop {
        let event = session.next().await;
        let Some(flight) = flight.upgrade() else { return };
        let Some(event) = event else {
            flight.flights.land(&flight.key, Arc::as_ptr(&flight));
            flight.grown.send_modify(|(_, over)| *over = true);
            return;
        };
        let mut heard = flight.heard.lock();
        heard.push(event);
        let length = heard.len();
        drop(heard);
        flight.grown.send_modify(|(grown, _)| *grown = length);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.flights.land(&self.key, self);
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

/// All events of a flight from its beginning. It is paid for by the one that `pays`.
fn listen(flight: Arc<Flight>, pays: bool) -> ModelStream {
    let grown = flight.grown.subscribe();
    Box::pin(stream::unfold((flight, grown, 0), move |(flight, mut grown, place)| async move {
        loop {
            let event = flight.heard.lock().get(place).cloned();
            match event {
                // Who answered is everybody's to know; the tokens are paid for once.
                Some(Ok(ModelEvent::Spent(spending))) if !pays => {
                    let free = Spending { usage: Usage::default(), cost: Some(Money::ZERO), ..spending };
                    return Some((Ok(ModelEvent::Spent(free)), (flight, grown, place + 1)));
                }
                Some(event) => return Some((event, (flight, grown, place + 1))),
                None => {
                    let (length, over) = *grown.borrow_and_update();
                    if length > place {
                        continue;
                    }
                    if over || grown.changed().await.is_err() {
                        return None;
                    }
                }
            }
        }
    }))
}

/// Everything that two requests have to have in common; compared as a whole, so that no two are mixed up.
fn key(request: &ModelRequest) -> String {
    let ModelRequest { messages, max_tokens, temperature, suggested, whole, passthrough, verbatim, purse: _ } =
        request;
    json!([messages, max_tokens, temperature, suggested, whole, passthrough, verbatim]).to_string()
}
