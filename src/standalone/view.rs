//! The admin port's view of standalone mode: the world, and the edges on this machine.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::Value;
use tokio::sync::watch;

use crate::controller::view::WorldView;
use crate::model::EdgeId;
use crate::observe::admin::View;
use crate::store::Severity;

/// Files named, at most.
const NAMED: usize = 5;

pub(super) struct StandaloneView {
    pub world: WorldView,
    /// Sockets on which the edges show their metrics.
    pub edges: watch::Receiver<BTreeMap<EdgeId, PathBuf>>,
}

impl StandaloneView {
    /// Why nothing, or not all, of the directory was ever served; none when it was, whatever an edge does now.
    pub fn never_ready(&self) -> Option<String> {
        let world = self.world.world.borrow();
        let serves = world.edges.values().any(|publisher| publisher.acks().borrow().is_some());
        let sound = world.sound || world.refusals.values().flatten().all(|refusal| refusal.severity != Severity::Error);
        drop(world);
        self.unready().filter(|_| !(serves && sound))
    }
}

impl View for StandaloneView {
    fn ready(&self) -> bool {
        self.unready().is_none()
    }

    fn unready(&self) -> Option<String> {
        if let Some(reason) = self.world.unready() {
            return Some(reason);
        }
        let world = self.world.world.borrow();
        let refused = world.refusals.values().flatten().filter(|refusal| refusal.severity == Severity::Error);
        let files: BTreeSet<_> = refused.map(|refusal| refusal.file.as_str()).filter(|_| !world.sound).collect();
        (!files.is_empty()).then(|| {
            let more = files.len().saturating_sub(NAMED);
            let named: Vec<_> = files.into_iter().take(NAMED).collect();
            let more = if more > 0 { format!(" and {more} more files") } else { String::new() };
            format!("since the start, manifests are refused in {}{more}", named.join(", "))
        })
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
