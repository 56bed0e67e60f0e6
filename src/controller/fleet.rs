//! Edges of a cluster: every replica holds what each is to have, and the leader serves it.

use std::collections::BTreeMap;
use std::convert::Infallible;

use super::EdgeHost;
use crate::model::EdgeId;
use crate::snapshot::publish::Publisher;
use crate::snapshot::serve::Publishers;
use crate::translate::EdgeData;

/// The publishers of all edges.
#[derive(Default)]
pub struct Fleet {
    edges: BTreeMap<EdgeId, Publisher>,
    served: Publishers,
}

impl Fleet {
    /// No edges yet. `served` is what a server of snapshots looks in.
    pub fn new(served: Publishers) -> Self {
        Self { edges: BTreeMap::new(), served }
    }
}

impl EdgeHost for Fleet {
    type Error = Infallible;

    async fn run(&mut self, id: &EdgeId, _data: &EdgeData, epoch: u64) -> Result<Option<Publisher>, Infallible> {
        let publisher = self.edges.entry(id.clone()).or_insert_with(|| {
            let publisher = Publisher::new(epoch);
            self.served.insert(id.clone(), publisher.clone());
            publisher
        });
        Ok(Some(publisher.clone()))
    }

    async fn stop(&mut self, id: &EdgeId) {
        self.edges.remove(id);
        self.served.remove(id);
    }

    async fn stop_all(&mut self) {
        self.edges.clear();
    }
}
