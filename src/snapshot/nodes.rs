//! The nodes of one edge that are connected, and what each acknowledged.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::wire::{Ack, Refusal};

/// All connected nodes of an edge.
pub(super) struct Nodes {
    seated: watch::Sender<Seats>,
    together: watch::Sender<Option<Ack>>,
}

struct Seats {
    /// Number of connections ever.
    connections: u64,
    /// When the last node went, or when the first was looked for.
    empty_since: Instant,
    by_node: BTreeMap<String, Seated>,
}

struct Seated {
    connection: u64,
    ack: Option<Ack>,
    /// Dropped when another connection takes the place.
    _leave: oneshot::Sender<()>,
}

/// A connected node. It is gone when this is dropped.
pub(super) struct Seat {
    nodes: Arc<Nodes>,
    node: String,
    connection: u64,
}

impl Nodes {
    /// Nobody is connected.
    pub fn new() -> Arc<Self> {
        let seats = Seats { connections: 0, empty_since: Instant::now(), by_node: BTreeMap::new() };
        Arc::new(Self { seated: watch::Sender::new(seats), together: watch::Sender::new(None) })
    }

    /// What all connected nodes have acknowledged: the least of their stamps with everything that any of them refuses;
    /// `None` while there is no node, or one that has not acknowledged anything.
    pub fn acks(&self) -> watch::Receiver<Option<Ack>> {
        self.together.subscribe()
    }

    /// Every connected node with its newest ack.
    pub fn list(&self) -> BTreeMap<String, Option<Ack>> {
        self.seated.borrow().by_node.iter().map(|(node, seated)| (node.clone(), seated.ack.clone())).collect()
    }

    /// For how long no node has been connected; `None` while one is.
    pub fn absence(&self) -> Option<Duration> {
        let seats = self.seated.borrow();
        seats.by_node.is_empty().then(|| seats.empty_since.elapsed())
    }

    /// A connection of a node takes the place of the one before, which learns it by the receiver.
    pub fn seat(self: &Arc<Self>, node: &str) -> (Seat, oneshot::Receiver<()>) {
        let (leave, replaced) = oneshot::channel();
        let mut connection = 0;
        self.change(|seats| {
            seats.connections += 1;
            connection = seats.connections;
            seats.by_node.insert(node.to_owned(), Seated { connection, ack: None, _leave: leave });
        });
        (Seat { nodes: self.clone(), node: node.to_owned(), connection }, replaced)
    }

    fn change(&self, change: impl FnOnce(&mut Seats)) {
        self.seated.send_modify(|seats| {
            change(seats);
            let together = together(&seats.by_node);
            self.together.send_if_modified(|known| {
                let news = *known != together;
                *known = together;
                news
            });
        });
    }
}

impl Seat {
    /// Notes what the node acknowledged.
    pub fn acknowledge(&self, ack: Ack) {
        self.nodes.change(|seats| {
            let seated = seats.by_node.get_mut(&self.node).filter(|seated| seated.connection == self.connection);
            if let Some(seated) = seated {
                seated.ack = Some(ack);
            }
        });
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.nodes.change(|seats| {
            if seats.by_node.get(&self.node).is_some_and(|seated| seated.connection == self.connection) {
                seats.by_node.remove(&self.node);
                seats.empty_since = Instant::now();
            }
        });
    }
}

fn together(by_node: &BTreeMap<String, Seated>) -> Option<Ack> {
    let stamp = by_node.values().map(|seated| seated.ack.as_ref().map(|ack| ack.stamp)).min()??;
    let mut refused: BTreeMap<_, Refusal> = BTreeMap::new();
    for refusal in by_node.values().filter_map(|seated| seated.ack.as_ref()).flat_map(|ack| &ack.refused) {
        refused.entry(refusal.key.clone()).or_insert_with(|| refusal.clone());
    }
    Some(Ack { stamp, refused: refused.into_values().collect() })
}

#[cfg(test)]
mod tests {
    use super::Nodes;
    use crate::snapshot::wire::{Ack, Stamp};

    fn ack(seq: u64) -> Ack {
        Ack { stamp: Stamp { epoch: 1, seq }, refused: Vec::new() }
    }

    #[test]
    fn an_edge_has_acknowledged_what_all_its_nodes_have() {
        let nodes = Nodes::new();
        let acks = nodes.acks();
        let together = || acks.borrow().as_ref().map(|ack| ack.stamp.seq);
        let (a, mut a_replaced) = nodes.seat("a");
        assert_eq!(together(), None);
        assert_eq!(nodes.absence(), None);
        a.acknowledge(ack(3));
        assert_eq!(together(), Some(3));
        let (b, _b_replaced) = nodes.seat("b");
        assert_eq!(together(), None, "a node that has said nothing has acknowledged nothing");
        b.acknowledge(ack(2));
        assert_eq!(together(), Some(2));

        let (again, _again_replaced) = nodes.seat("a");
        assert!(a_replaced.try_recv().is_err(), "its sender is gone");
        again.acknowledge(ack(5));
        a.acknowledge(ack(1));
        drop(a);
        assert_eq!(together(), Some(2), "the replaced connection has no say any more");
        drop(b);
        assert_eq!(together(), Some(5));
        drop(again);
        assert_eq!(together(), None);
        assert!(nodes.absence().is_some());
    }
}
