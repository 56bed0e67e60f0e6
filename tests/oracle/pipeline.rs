//! From a world to a snapshot as a user's manifests get there: files, the directory source, translation.

use std::collections::BTreeMap;

use kakehi::api::{Change, Object};
use kakehi::model::{EdgeId, ObjectId};
use kakehi::snapshot::Snapshot;
use kakehi::store::directory::{Directory, Settings as DirectorySettings};
use kakehi::translate::{Now, Settings, Translator};

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

    /// The snapshot of a world, by the changes that lead to it from the world before.
    pub fn hold(&mut self, world: &World, place: Place) -> Snapshot {
        let wanted: BTreeMap<_, _> = read(world, place).into_iter().map(|object| (object.id(), object)).collect();
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
        let edge = EdgeId { namespace: NAMESPACE.to_owned(), name: GATEWAY.to_owned() };
        let (_, edge) = self.translator.edges().find(|(id, _)| **id == edge).expect("the Gateway has an edge");
        edge.snapshot.clone()
    }
}

/// The snapshot of one world from scratch.
pub fn snapshot(world: &World, place: Place) -> Snapshot {
    Pipeline::new().hold(world, place)
}

/// The objects that a directory with the world's manifests gives. The source has nothing against any of them.
fn read(world: &World, place: Place) -> Vec<Object> {
    let directory = tempfile::tempdir().unwrap();
    let text = manifest::text(&manifest::objects(world, place));
    std::fs::write(directory.path().join("world.yaml"), &text).unwrap();
    let loaded = Directory::open(DirectorySettings::new(directory.path())).unwrap().load().unwrap();
    assert!(loaded.refusals.is_empty(), "refused: {:#?}\n{text}", loaded.refusals);
    loaded.objects
}
