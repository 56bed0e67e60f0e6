//! What one answer has waiting to be written.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;

/// Bytes of all answers on one connection that may wait to be written; an answer that has nothing waiting may add a part beyond that,
/// so that none is held up by others whose client does not take them.
pub(super) const CONNECTION_QUEUE: usize = 1024 * 1024;

/// Bytes that wait.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: AtomicUsize,
    waker: AtomicWaker,
}

impl Queue {
    pub(super) fn add(self: &Arc<Self>, bytes: usize) -> Arc<Self> {
        self.waiting.fetch_add(bytes, Relaxed);
        self.clone()
    }

    pub(super) fn sub(&self, bytes: usize) {
        if self.waiting.fetch_sub(bytes, Relaxed) == bytes {
            self.waker.wake();
        }
    }

    /// Ready when nothing waits. One task at a time asks.
    pub(super) fn poll_empty(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.waker.register(cx.waker());
        if self.waiting.load(Relaxed) == 0 { Poll::Ready(()) } else { Poll::Pending }
    }
}
