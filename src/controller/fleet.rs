//! Edges of a cluster: every replica holds what each is to have, and the leader serves it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::mpsc;

use super::EdgeHost;
use super::finalizer::PATIENCE;
use super::lane::Order;
use crate::model::EdgeId;
use crate::provision::EdgeSpec;
use crate::snapshot::publish::Publisher;
use crate::snapshot::serve::Publishers;
use crate::translate::EdgeData;

/// The publishers of all edges.
#[derive(Default)]
pub struct Fleet {
    edges: BTreeMap<EdgeId, Publisher>,
    served: Publishers,
    /// Where it is said which edges are to be made, and what was said last.
    orders: Option<mpsc::UnboundedSender<Order>>,
    ordered: BTreeMap<EdgeId, EdgeData>,
}

impl Fleet {
    /// No edges yet. `served` is what a server of snapshots looks in.
    pub fn new(served: Publishers) -> Self {
        Self { served, ..Self::default() }
    }

    /// The same, with edges made on the cluster.
    #[must_use]
    pub fn made_by(self, orders: mpsc::UnboundedSender<Order>) -> Self {
        Self { orders: Some(orders), ..self }
    }

    /// Orders an edge, unless that was done already in these very words.
    fn order(&mut self, id: &EdgeId, data: &EdgeData) {
        let Some(orders) = self.orders.as_ref().filter(|_| self.ordered.get(id) != Some(data)) else { return };
        self.ordered.insert(id.clone(), data.clone());
        drop(orders.send(Order::Want(Box::new(EdgeSpec::new(id.clone(), data)))));
    }
}

impl EdgeHost for Fleet {
    type Error = Infallible;

    async fn run(&mut self, id: &EdgeId, data: &EdgeData, epoch: u64) -> Result<Option<Publisher>, Infallible> {
        self.order(id, data);
        let publisher = self.edges.entry(id.clone()).or_insert_with(|| {
            let publisher = Publisher::new(epoch);
            self.served.insert(id.clone(), publisher.clone());
            publisher
        });
        Ok(Some(publisher.clone()))
    }

    fn patience(&self) -> Duration {
        PATIENCE
    }

    async fn stop(&mut self, id: &EdgeId) {
        self.edges.remove(id);
        self.served.remove(id);
        if let (Some(orders), Some(_)) = (&self.orders, self.ordered.remove(id)) {
            drop(orders.send(Order::Gone(id.clone())));
        }
    }

    async fn stop_all(&mut self) {
        self.edges.clear();
    }
}
