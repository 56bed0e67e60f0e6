//! Requests and tunnels under way.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Uri};

use super::counted::counted;
use super::meter::Meter;
use super::queue::Queue;
use crate::filter::counters::{Counters, Gauge};
use crate::filter::hygiene::head_bytes;

/// What a request takes beside its head.
const REQUEST: usize = 2048;
/// What a field takes beside its line.
const FIELD: usize = 56;

/// A request or tunnel, counted and charged to its connection for as long as this lives.
pub(in crate::filter) struct Flight {
    meter: Arc<Meter>,
    /// Bytes of the head of the request.
    head: usize,
    charge: usize,
    /// Of its answer; none before the first part.
    queue: Option<Arc<Queue>>,
    active: Gauge,
}

impl Flight {
    /// A request with this head. The head is there twice: as it came, and as it goes on.
    pub(in crate::filter) fn new(meter: &Arc<Meter>, counters: &Arc<Counters>, uri: &Uri, headers: &HeaderMap) -> Self {
        let target = uri.path().len() + uri.query().map_or(0, str::len);
        let head = target + head_bytes(headers);
        let charge = REQUEST + 2 * head + FIELD * headers.len();
        meter.begin(head);
        meter.charge(charge);
        Self { meter: meter.clone(), head, charge, queue: None, active: Gauge::new(counters, |counters| &counters.active) }
    }

    /// Bytes of the head of the request: its target and its fields.
    pub(in crate::filter) fn head(&self) -> usize {
        self.head
    }

    /// All counters.
    pub(in crate::filter) fn counters(&self) -> &Counters {
        self.active.counters()
    }

    /// The connection.
    pub(in crate::filter) fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    /// Part of the answer, charged until it is written.
    pub(in crate::filter) fn answered(&mut self, bytes: Bytes) -> Bytes {
        counted(bytes, &self.meter, Some(self.queue.get_or_insert_default()))
    }

    /// Ready when the next part of the answer may be taken from the backend: little waits on the connection and memory is left, or
    /// nothing of this answer waits.
    pub(in crate::filter) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.queue {
            Some(queue) if self.meter.is_crowded() => queue.poll_empty(cx),
            _ => Poll::Ready(()),
        }
    }
}

impl Meter {
    /// Part of a request's body that is passed on, charged until nobody has it.
    pub(in crate::filter) fn uploaded(self: &Arc<Self>, bytes: Bytes) -> Bytes {
        self.passed(bytes.len());
        counted(bytes, self, None)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.meter.release(self.charge);
        self.meter.end();
    }
}
