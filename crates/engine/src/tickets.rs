//! What was served and may still be judged by whoever asked: the latest ones.

use std::collections::{HashMap, VecDeque};

use burnish_types::RequestId;

/// So many are open.
const OPEN: usize = 4_096;

/// What is needed once a request is judged.
pub(crate) struct Tickets<T> {
    open: HashMap<RequestId, T>,
    /// In the order in which they were served.
    order: VecDeque<RequestId>,
}

impl<T> Default for Tickets<T> {
    fn default() -> Self {
        Self { open: HashMap::new(), order: VecDeque::new() }
    }
}

impl<T> Tickets<T> {
    /// Keeps the ticket of a request, in the place of the oldest one where there are too many.
    pub(crate) fn keep(&mut self, request: RequestId, ticket: T) {
        self.open.insert(request, ticket);
        self.order.push_back(request);
        if self.order.len() > OPEN
            && let Some(oldest) = self.order.pop_front()
        {
            self.open.remove(&oldest);
        }
    }

    /// The ticket of a request, once.
    pub(crate) fn take(&mut self, request: RequestId) -> Option<T> {
        self.open.remove(&request)
    }
}
