//! What the proxy counts: atomics that a metrics page reads.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use tokio::time::Instant;

use super::body::Upload;
use super::logged::Logged;
use super::unanswering::Unanswering;
use crate::traffic::{Count, Report, Tally};

/// Counts since the process started, over all workers.
#[derive(Debug, Default)]
pub struct Counters {
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
    /// Connections that were closed at once because there are too many and none idles.
    pub refused_when_full: AtomicU64,
    /// Because their client's address has too many.
    pub refused_by_address: AtomicU64,
    /// Because too much is held.
    pub refused_for_memory: AtomicU64,
    /// Idle connections that were closed for others.
    pub closed_when_full: AtomicU64,
    /// Connections that were closed because too much is held.
    pub closed_for_memory: AtomicU64,
    /// Those whose client took nothing for too long, or sent one head for too long.
    pub closed_as_stalled: AtomicU64,
    /// Those that reached their greatest age.
    pub closed_by_age: AtomicU64,
    /// Those that had requests or tunnels open at the end of the drain.
    pub closed_by_drain: AtomicU64,
    /// Bytes of requests that have ended, and of their answers.
    pub bytes: [AtomicU64; 2],
    /// Connections whose TLS handshake failed.
    pub tls_failures: AtomicU64,
    /// Requests that were answered 503 because too much is held.
    pub shed_for_memory: AtomicU64,
    /// Because their backend has too many open and waiting, or none came to be served in time.
    pub shed_by_backend: AtomicU64,
    /// Because too many wait for the first snapshot.
    pub shed_at_start: AtomicU64,
    /// Endpoints to which no connection could be made when one was last tried.
    pub unreached: Unanswering,
}

impl Counters {
    /// The counts of now, beside those of the traffic.
    pub fn report(&self, traffic: Vec<Count>) -> Report {
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        let closed = [&self.closed_when_full, &self.closed_for_memory, &self.closed_as_stalled, &self.closed_by_age, &self.closed_by_drain];
        Report {
            traffic,
            refused: self.refused.load(Relaxed),
            connected: self.connected.load(Relaxed),
            connect_errors: self.connect_errors.load(Relaxed),
            upstream_errors: self.upstream_errors.load(Relaxed),
            timeouts: self.timeouts.load(Relaxed),
            replays: self.replays.load(Relaxed),
            retries: self.retries.load(Relaxed),
            mirrored: self.mirrored.load(Relaxed),
            mirror_errors: self.mirror_errors.load(Relaxed),
            active: self.active.load(Relaxed),
            bytes: self.bytes.each_ref().map(read),
            tls_failures: read(&self.tls_failures),
            refused_connections: [&self.refused_when_full, &self.refused_by_address, &self.refused_for_memory].map(read),
            closed_connections: closed.map(read),
            unreached: self.unreached.list(),
            shed_requests: [&self.shed_for_memory, &self.shed_by_backend, &self.shed_at_start].map(read),
            ..Report::default()
        }
    }
}

/// A request under way. It is counted when this is dropped: when the last byte of its response is on its way, or the client
/// is gone.
pub(super) struct Observed {
    /// Whom it is counted for.
    pub(super) tally: Arc<Tally>,
    /// The answer's status; 0 until it is known.
    pub(super) status: u16,
    /// When it began.
    pub(super) since: Instant,
    /// Bytes of its head, of what came of its body, and of the answer.
    pub(super) head: usize,
    pub(super) upload: Option<Rc<Upload>>,
    pub(super) sent: u64,
    counters: Arc<Counters>,
    /// What the access log is to say of it; nothing without one.
    pub(super) logged: Option<Box<Logged>>,
}

impl Observed {
    /// A request that begins now.
    pub(super) fn new(tally: Arc<Tally>, counters: &Arc<Counters>, head: usize) -> Self {
        Self { tally, status: 0, since: Instant::now(), head, upload: None, sent: 0, counters: counters.clone(), logged: None }
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        let took = self.since.elapsed();
        self.tally.add(self.status, took);
        let bytes = [self.head as u64 + self.upload.as_ref().map_or(0, |upload| upload.bytes.get()), self.sent];
        for (all, bytes) in self.counters.bytes.iter().zip(bytes) {
            all.fetch_add(bytes, Relaxed);
        }
        if let Some(logged) = self.logged.take() {
            logged.log(self.status, took, bytes);
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
