//! Bytes that are held over all workers.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// How many bytes may be held, and how many are.
#[derive(Debug)]
pub(in crate::filter) struct Budget {
    limit: usize,
    held: AtomicUsize,
}

impl Budget {
    /// Of so many bytes, none held.
    pub(in crate::filter) fn new(limit: usize) -> Self {
        Self { limit, held: AtomicUsize::new(0) }
    }

    pub(super) fn add(&self, bytes: usize) {
        self.held.fetch_add(bytes, Relaxed);
    }

    pub(super) fn sub(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Relaxed);
    }

    /// Bytes that are held.
    pub(in crate::filter) fn held(&self) -> usize {
        self.held.load(Relaxed)
    }

    /// Whether nothing more may come in.
    pub(in crate::filter) fn is_full(&self) -> bool {
        self.held() >= self.limit
    }

    /// How much is held beyond what shedding goes down to: a sixteenth below the limit, so that it is not called for at once.
    pub(super) fn excess(&self) -> usize {
        self.held().saturating_sub(self.limit - self.limit / 16)
    }
}
