//! A provider of language models for tests and measurements: its answers follow from the request and a seed, and
//! delays, faults, rate limits and its own death come on demand. It speaks OpenAI's, Anthropic's and Gemini's APIs.
//! No crate of the product depends on it.

mod answers;
mod dialect;
mod http;
mod knobs;
mod serve;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::AbortHandle;

pub use answers::{Asked, Said, say, say_by};
pub use knobs::{Counts, Faults, Knobs, Rule, Rules};

use serve::Shared;

/// A running provider; it ends when it is dropped.
pub struct Provider {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

impl Provider {
    /// Listens on a free port of the loopback.
    ///
    /// # Errors
    /// If no port can be had.
    pub async fn start(knobs: Knobs) -> io::Result<Self> {
        Self::listen(TcpListener::bind("127.0.0.1:0").await?, knobs)
    }

    /// Listens where it is told to.
    ///
    /// # Errors
    /// If the listener has no address.
    pub fn listen(listener: TcpListener, knobs: Knobs) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::new(knobs));
        let accepting = tokio::spawn(serve::accept(listener, Arc::clone(&shared))).abort_handle();
        Ok(Self { address, shared, accepting })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address up to and including `/v1`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Turns the knobs; requests that are under way keep theirs.
    pub fn turn(&self, knobs: Knobs) {
        self.shared.turn(knobs);
    }

    /// How the knobs stand.
    #[must_use]
    pub fn knobs(&self) -> Arc<Knobs> {
        self.shared.knobs()
    }

    /// What was asked so far, by what came of it.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.counts()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.accepting.abort();
        self.shared.end();
    }
}
