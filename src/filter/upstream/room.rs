//! How many exchanges an endpoint may have at a time, and how many requests may wait for one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::Limits;

/// The exchanges of one endpoint.
pub(super) struct Room {
    free: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

/// The place of one exchange, given back when it is dropped.
pub(super) struct Taken {
    _permit: OwnedSemaphorePermit,
}

impl Room {
    /// For so many.
    pub(super) fn new(most: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))), waiting: Arc::default() }
    }

    /// A place, waited for in turn; none when too many wait, or it takes too long.
    pub(super) async fn take(&self, limits: &Limits) -> Option<Taken> {
        if let Ok(permit) = self.free.clone().try_acquire_owned() {
            return Some(Taken { _permit: permit });
        }
        // Few requests come here: the state of all must not be larger for it.
        Box::pin(self.wait(limits)).await
    }

    async fn wait(&self, limits: &Limits) -> Option<Taken> {
        let _waiting = Waiting::among(&self.waiting, limits.max_waiting)?;
        let permit = timeout(limits.wait, self.free.clone().acquire_owned()).await.ok()?.ok()?;
        Some(Taken { _permit: permit })
    }
}

/// One of those who wait.
pub(in crate::filter) struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    /// One more, unless there are `most`.
    pub(in crate::filter) fn among(all: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        all.fetch_update(Relaxed, Relaxed, |waiting| (waiting < most).then_some(waiting + 1)).ok()?;
        Some(Self(all.clone()))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
