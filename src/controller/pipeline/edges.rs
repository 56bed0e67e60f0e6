//! What edges are told, from the first state to the last.

use tokio::time::{Instant, timeout};

use super::Pipeline;
use crate::controller::EdgeHost;
use crate::controller::follower::Follower;
use crate::controller::world::owner;
use crate::model::{EdgeId, ObjectId};
use crate::snapshot::publish::Publisher;
use crate::snapshot::wire::Stamp;
use crate::snapshot::{Delta, Key};
use crate::translate::EdgeChange;

impl<H: EdgeHost> Pipeline<H> {
    pub(super) async fn publish(&mut self, id: &EdgeId, change: EdgeChange) {
        let EdgeChange::Set { delta, edge } = change else {
            self.next.failed.remove(id);
            self.retries.forget(id);
            return self.withdraw(id).await;
        };
        let epoch = *self.epoch.borrow();
        let publisher = match self.edges.run(id, &edge.data, epoch).await {
            Ok(publisher) => publisher,
            Err(error) => return self.fail(id, &error),
        };
        self.retries.forget(id);
        if self.next.failed.remove(id).is_some() {
            tracing::info!(edge = %id, "the edge can be run again");
        }
        let Some(publisher) = publisher else { return };
        let started = publisher.current().0.seq == 0;
        if started {
            let (published, follower) = Follower::new(id.clone(), &publisher, self.wakes.clone(), self.metrics.clone());
            self.published.insert(id.clone(), published);
            tokio::spawn(follower.run());
        }
        let returns = self.leaving.remove(id);
        let delta = if started || returns { edge.snapshot.as_delta() } else { delta };
        let stamp = publisher.publish(&delta);
        if let Some(Err(_)) = self.published.get(id).map(|published| published.send((stamp, Instant::now()))) {
            tracing::debug!(edge = %id, "nobody follows the edge any more");
        }
        self.note(id, &publisher, &delta, stamp);
    }

    /// An edge is not to be any more. Its pods are told to serve nothing, so that its Gateway is gone when its traffic is.
    pub(super) async fn withdraw(&mut self, id: &EdgeId) {
        self.leaving.insert(id.clone());
        let patience = self.edges.patience();
        let Some(publisher) = self.next.edges.get(id).cloned().filter(|_| *self.epoch.borrow() > 0 && !patience.is_zero()) else {
            drop(self.end(id).await);
            return;
        };
        let remove = publisher.current().1.iter().map(|(key, _)| key.clone()).collect();
        let delta = Delta { set: Vec::new(), remove };
        let stamp = publisher.publish(&delta);
        self.note(id, &publisher, &delta, stamp);
        self.next.served.remove(&(id.owner(), id.clone()));
        self.next.withdrawn.insert((id.owner(), id.clone()), (stamp, Instant::now()));
        let id = id.clone();
        self.left.spawn(async move {
            let mut acks = publisher.acks();
            let reached = acks.wait_for(|ack| ack.as_ref().is_some_and(|ack| ack.stamp >= stamp));
            // Whoever has not answered by now is not waited for.
            drop(timeout(patience, reached).await);
            id
        });
    }

    /// Ends an edge, unless it is to be again. Returns the objects that it kept waiting.
    pub(super) async fn end(&mut self, id: &EdgeId) -> Vec<ObjectId> {
        if !self.leaving.remove(id) {
            return Vec::new();
        }
        self.edges.stop(id).await;
        self.published.remove(id);
        self.metrics.forget_edge(id);
        let mut waiting: Vec<_> = self.next.withdrawn.keys().filter(|(_, edge)| edge == id).map(|(object, _)| object.clone()).collect();
        waiting.push(id.owner());
        self.next.forget_edge(id);
        waiting
    }

    /// Remembers from which state on an edge serves what the delta changed.
    pub(super) fn note(&mut self, id: &EdgeId, publisher: &Publisher, delta: &Delta, stamp: Stamp) {
        let world = &mut self.next;
        world.edges.insert(id.clone(), publisher.clone());
        for object in delta.keys().filter_map(|key| owner(id, &key)) {
            world.withdrawn.remove(&(object.clone(), id.clone()));
            world.served.insert((object, id.clone()), stamp);
        }
        let now = Instant::now();
        for key in &delta.remove {
            if let Key::Route(route) = key {
                world.served.remove(&(route.clone(), id.clone()));
                world.withdrawn.insert((route.clone(), id.clone()), (stamp, now));
            }
        }
    }
}
