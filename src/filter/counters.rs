//! What the proxy counts: atomics that a metrics page reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use http::StatusCode;

/// Counts since the process started, over all workers.
#[derive(Debug, Default)]
pub struct Counters {
    /// Answers by status class: 1xx (tunnels), 2xx, 3xx, 4xx, 5xx.
    pub answers: [AtomicU64; 5],
    /// Requests that no rule took.
    pub unmatched: AtomicU64,
    /// Requests that hygiene refused.
    pub refused: AtomicU64,
    /// Connections to backends that were made.
    pub connected: AtomicU64,
    /// Connections to backends that could not be made.
    pub connect_errors: AtomicU64,
    /// Exchanges with backends that broke before a response head.
    pub upstream_errors: AtomicU64,
    /// Exchanges with backends that took too long.
    pub timeouts: AtomicU64,
    /// Requests sent once more because a reused connection was dead.
    pub replays: AtomicU64,
    /// Requests sent again because their rule says so.
    pub retries: AtomicU64,
    /// Copies that were sent to mirrors.
    pub mirrored: AtomicU64,
    /// Copies that came to nothing: no connection, no answer, or too many of them at a time.
    pub mirror_errors: AtomicU64,
    /// Copies that are on their way now.
    pub mirroring: AtomicI64,
    /// Requests and tunnels that are open now.
    pub active: AtomicI64,
    /// Connections from Sōzu that are open now.
    pub connections: AtomicI64,
}

impl Counters {
    /// Counts an answer.
    pub(super) fn answered(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        if let Some(counter) = self.answers.get(class) {
            counter.fetch_add(1, Relaxed);
        }
    }
}

/// Adds one.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

/// Adds one to a gauge for as long as it lives.
pub(super) struct Gauge {
    counters: Arc<Counters>,
    of: fn(&Counters) -> &AtomicI64,
}

impl Gauge {
    pub(super) fn new(counters: &Arc<Counters>, of: fn(&Counters) -> &AtomicI64) -> Self {
        of(counters).fetch_add(1, Relaxed);
        Self { counters: counters.clone(), of }
    }

    /// All counters.
    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }
}

impl Drop for Gauge {
    fn drop(&mut self) {
        (self.of)(&self.counters).fetch_sub(1, Relaxed);
    }
}
