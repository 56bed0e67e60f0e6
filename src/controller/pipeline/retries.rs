//! Edges that cannot be run, and when each is tried again: after a second at first, then later each time, every half minute at last.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::Pipeline;
use crate::controller::EdgeHost;
use crate::controller::acks::Wake;
use crate::controller::world::owner;
use crate::model::EdgeId;
use crate::translate::EdgeChange;

/// First and longest wait before an edge is tried again.
const WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// The edges that wait for their next try.
#[derive(Debug, Default)]
pub(super) struct Retries(BTreeMap<EdgeId, Retry>);

#[derive(Debug)]
struct Retry {
    due: Instant,
    /// What was waited before that.
    wait: Duration,
}

impl Retries {
    /// An edge cannot be run: it is tried again later than the time before.
    pub(super) fn fail(&mut self, id: &EdgeId) {
        let wait = self.0.get(id).map_or(WAIT.0, |retry| (retry.wait * 2).min(WAIT.1));
        self.0.insert(id.clone(), Retry { due: Instant::now() + wait, wait });
    }

    /// An edge runs, or is not to run any more.
    pub(super) fn forget(&mut self, id: &EdgeId) {
        self.0.remove(id);
    }

    /// Waits until an edge is to be tried again. Returns the first of them.
    pub(super) async fn next(&self) -> EdgeId {
        match self.0.iter().min_by_key(|(_, retry)| retry.due) {
            Some((id, retry)) => {
                sleep_until(retry.due).await;
                id.clone()
            }
            None => std::future::pending().await,
        }
    }
}

impl<H: EdgeHost> Pipeline<H> {
    /// An edge cannot be run. It is told once, and once more when it can.
    pub(super) fn fail(&mut self, id: &EdgeId, error: &H::Error) {
        self.retries.fail(id);
        if self.next.failed.insert(id.clone(), error.to_string()) != Some(error.to_string()) {
            tracing::error!(edge = %id, %error, "cannot run the edge; tried again");
        }
    }

    /// Tries once more to run an edge.
    pub(super) async fn again(&mut self, id: &EdgeId) {
        let Some((_, edge)) = self.translator.edges().find(|(known, _)| *known == id) else { return self.retries.forget(id) };
        let (edge, delta) = (Box::new(edge.clone()), edge.snapshot.as_delta());
        let objects = delta.keys().filter_map(|key| owner(id, &key)).collect();
        self.publish(id, EdgeChange::Set { delta, edge }).await;
        self.tell();
        drop(self.wakes.send(Wake::Objects(objects)));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, timeout};

    use super::Retries;
    use crate::model::EdgeId;

    #[tokio::test(start_paused = true)]
    async fn an_edge_is_tried_again_later_each_time_until_it_runs() {
        let (one, other) = (EdgeId::of_gateway("demo", "one"), EdgeId::of_gateway("demo", "other"));
        let mut retries = Retries::default();
        for expected in [1, 2, 4, 8, 16, 30, 30] {
            let failed = Instant::now();
            retries.fail(&one);
            assert_eq!((retries.next().await, failed.elapsed().as_secs()), (one.clone(), expected));
        }
        retries.fail(&one);
        retries.fail(&other);
        assert_eq!(retries.next().await, other, "the one that is due first");
        retries.forget(&other);
        retries.forget(&one);
        assert!(timeout(Duration::from_secs(3600), retries.next()).await.is_err(), "none waits");
        retries.fail(&one);
        let failed = Instant::now();
        assert_eq!((retries.next().await, failed.elapsed().as_secs()), (one, 1), "it ran meanwhile");
    }
}
