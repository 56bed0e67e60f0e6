//! What the edges acknowledged, and which objects it concerns.

use std::collections::{BTreeMap, BTreeSet};

use imbl::OrdMap;

use super::world::{World, owner};
use crate::model::{EdgeId, ObjectId};
use crate::report::Acknowledgement;
use crate::snapshot::wire::{Ack, Refusal, Stamp};

/// Why the status of objects may have changed.
#[derive(Debug)]
pub enum Wake {
    /// These objects, or what was decided about them.
    Objects(Vec<ObjectId>),
    /// An edge acknowledged something, or is gone.
    Acknowledged(EdgeId, Option<Ack>),
}

/// The last word of every edge. A clone costs nothing.
#[derive(Clone, Debug, Default)]
pub struct Acks(OrdMap<EdgeId, Ack>);

impl Acks {
    /// Whether an edge said that it has come as far as a stamp.
    pub fn reached(&self, edge: &EdgeId, stamp: Stamp) -> bool {
        self.0.get(edge).is_some_and(|ack| ack.stamp >= stamp)
    }

    /// What the edges that serve an object said of it.
    pub fn said(&self, id: &ObjectId, world: &World) -> BTreeMap<EdgeId, Acknowledgement> {
        let mut said = BTreeMap::new();
        for (edge, stamp) in world.served_by(id) {
            let ack = self.0.get(edge);
            let refusals = ack.map(|ack| ack.refused.as_slice()).unwrap_or_default().iter();
            let refused = refusals.filter(|refusal| owner(edge, &refusal.key).as_ref() == Some(id));
            let refused = refused.map(|refusal| (refusal.key.clone(), refusal.reason.clone())).collect();
            said.insert(edge.clone(), Acknowledgement { programmed: self.reached(edge, stamp), refused });
        }
        said
    }
}

/// Turns wakes into objects whose status may have changed.
#[derive(Debug, Default)]
pub struct Awaited {
    /// What the edges said.
    pub acks: Acks,
    /// Objects that wait for an edge.
    waiting: BTreeMap<EdgeId, BTreeSet<ObjectId>>,
}

impl Awaited {
    /// Takes wakes in and names the objects. Those that an edge does not yet hold are named again once it has spoken.
    pub fn take(&mut self, wakes: impl IntoIterator<Item = Wake>, world: &World) -> BTreeSet<ObjectId> {
        let mut dirty = BTreeSet::new();
        for wake in wakes {
            match wake {
                Wake::Objects(ids) => dirty.extend(ids),
                Wake::Acknowledged(edge, ack) => dirty.extend(self.acknowledge(&edge, ack)),
            }
        }
        for id in &dirty {
            let withdrawn = world.withdrawn_from(id).map(|(edge, stamp, _)| (edge, stamp));
            for (edge, stamp) in world.served_by(id).chain(withdrawn) {
                if !self.acks.reached(edge, stamp) {
                    self.waiting.entry(edge.clone()).or_default().insert(id.clone());
                }
            }
        }
        dirty
    }

    fn acknowledge(&mut self, edge: &EdgeId, ack: Option<Ack>) -> BTreeSet<ObjectId> {
        let mut dirty = self.waiting.remove(edge).unwrap_or_default();
        // An edge that restarts keeps its last word: what it served it serves again before anything is known to be wrong.
        let Some(ack) = ack else { return dirty };
        let before: Vec<Refusal> = self.acks.0.get(edge).map(|old| old.refused.clone()).unwrap_or_default();
        if before != ack.refused {
            let changed = before.iter().chain(&ack.refused);
            dirty.extend(changed.filter_map(|refusal| owner(edge, &refusal.key)));
        }
        self.acks.0.insert(edge.clone(), ack);
        dirty
    }
}
