//! From a world to a snapshot as a user's manifests get there: files, the directory source, translation.

use std::collections::BTreeMap;

use kakehi::api::{Change, Object};
use kakehi::model::{EdgeId, ObjectId};
use kakehi::snapshot::Snapshot;
use kakehi::store::directory::{Directory, Settings as DirectorySettings};
use kakehi::translate::{IngressSettings, Now, Settings, Translator};
use serde_json::Value;

use super::manifest::{self, GATEWAY, NAMESPACE, Place};
use super::world::World;

/// Any day will do: no certificate expires here.
const TODAY: i64 = 1_790_000_000;

/// A translator that is led from world to world.
pub struct Pipeline {
    translator: Translator,
    held: BTreeMap<ObjectId, Object>,
}

impl Pipeline {
    pub fn new() -> Self {
        let settings = Settings { loopback_endpoints: true, default_address: Some([127, 0, 0, 1].into()), ..Settings::default() };
        Self { translator: Translator::new(settings), held: BTreeMap::new() }
    }

    /// One for Ingresses, whose edge has these ports.
    pub fn for_ingress(ports: (u16, u16), default_backend: Option<&str>) -> Self {
        let default_backend = default_backend.map(|text| text.parse().unwrap());
        let ingress = IngressSettings { ports, default_backend, ..IngressSettings::default() };
        let settings = Settings { loopback_endpoints: true, default_address: Some([127, 0, 0, 1].into()), ingress, ..Settings::default() };
        Self { translator: Translator::new(settings), held: BTreeMap::new() }
    }

    /// The snapshot of a world, by the changes that lead to it from the world before.
    pub fn hold(&mut self, world: &World, place: Place) -> Snapshot {
        let edge = EdgeId::of_gateway(NAMESPACE, GATEWAY);
        self.hold_objects(&manifest::objects(world, place), &edge)
    }

    /// The snapshot of an edge, by the changes that lead to these objects from those before.
    pub fn hold_objects(&mut self, objects: &[Value], edge: &EdgeId) -> Snapshot {
        let wanted: BTreeMap<_, _> = read(objects).into_iter().map(|object| (object.id(), object)).collect();
        let mut changes = Vec::new();
        for (id, old) in &self.held {
            if !wanted.contains_key(id) {
                changes.push(Change { id: id.clone(), old: Some(old.clone()), new: None });
            }
        }
        for (id, new) in &wanted {
            let old = self.held.get(id);
            if old != Some(new) {
                changes.push(Change { id: id.clone(), old: old.cloned(), new: Some(new.clone()) });
            }
        }
        self.held = wanted;
        self.translator.apply(changes, Now::from_unix(TODAY));
        let (_, edge) = self.translator.edges().find(|(id, _)| *id == edge).expect("the object has an edge");
        edge.snapshot.clone()
    }
}

/// The snapshot of one world from scratch.
pub fn snapshot(world: &World, place: Place) -> Snapshot {
    Pipeline::new().hold(world, place)
}

/// The objects that a directory with these manifests gives. The source has nothing against any of them.
fn read(objects: &[Value]) -> Vec<Object> {
    let directory = tempfile::tempdir().unwrap();
    let text = manifest::text(objects);
    std::fs::write(directory.path().join("world.yaml"), &text).unwrap();
    let loaded = Directory::open(DirectorySettings::new(directory.path())).unwrap().load().unwrap();
    assert!(loaded.refusals.is_empty(), "refused: {:#?}\n{text}", loaded.refusals);
    loaded.objects
}
