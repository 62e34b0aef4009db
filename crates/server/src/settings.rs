//! What bounds a request, with the values that a single machine is fine with.

use std::time::Duration;

/// Settings of the server.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// The longest JSON body in bytes.
    pub max_body_bytes: usize,
    /// The longest upload in bytes, all its files together.
    pub max_upload_bytes: usize,
    /// The longest question in characters.
    pub max_query_chars: usize,
    /// The most questions of one batch.
    pub max_batch_requests: usize,
    /// The most questions of a batch that are answered while the caller waits.
    pub max_inline_batch: usize,
    /// Requests that are worked on at one time, streams until their last byte; more are turned away.
    pub max_concurrent_requests: usize,
    /// How long a request may take until its answer begins to be sent. Uploads take as long as they take.
    pub request_timeout: Duration,
    /// How long requests that are under way at shutdown may still take.
    pub shutdown_grace: Duration,
    /// Host names that the server goes by, beside `localhost` and plain addresses.
    ///
    /// Requests that name another host are refused, which keeps a web site from reaching a local server through
    /// a name of its own (DNS rebinding). On an address that is not of the loopback and with no names given,
    /// every name is accepted.
    pub host_names: Vec<String>,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            max_body_bytes: 1 << 20,
            max_upload_bytes: 64 << 20,
            max_query_chars: 8_192,
            max_batch_requests: 10_000,
            max_inline_batch: 32,
            max_concurrent_requests: 256,
            request_timeout: Duration::from_secs(60),
            shutdown_grace: Duration::from_secs(20),
            host_names: Vec::new(),
        }
    }
}
