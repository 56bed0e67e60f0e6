//! The admin port's view of standalone mode: the world, and the edges on this machine.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;
use tokio::sync::watch;

use crate::controller::view::WorldView;
use crate::model::EdgeId;
use crate::observe::admin::View;

pub(super) struct StandaloneView {
    pub world: WorldView,
    /// Sockets on which the edges show their metrics.
    pub edges: watch::Receiver<BTreeMap<EdgeId, PathBuf>>,
}

impl View for StandaloneView {
    fn ready(&self) -> bool {
        self.world.ready()
    }

    fn report(&self) -> Value {
        self.world.report()
    }

    fn snapshot(&self) -> Value {
        self.world.snapshot()
    }

    fn plan(&self) -> Value {
        self.world.plan()
    }

    fn refresh(&self) {
        self.world.refresh();
    }

    fn edges(&self) -> Vec<PathBuf> {
        self.edges.borrow().values().cloned().collect()
    }
}
