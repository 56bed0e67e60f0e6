//! Translation: step by step equals from scratch, in any order.

use std::collections::BTreeMap;
use std::sync::Arc;

use kakehi::api::{Change, Object};
use kakehi::model::{EdgeId, ObjectId};
use kakehi::report::ObjectReport;
use kakehi::snapshot::Snapshot;
use kakehi::translate::{Changes, EdgeChange, Now, Settings, Translator};
use proptest::prelude::*;
use serde_json::json;

use super::universe::{Write, write};

const TODAY: i64 = 1_796_083_200;

/// What somebody knows who only ever saw changes.
#[derive(Default)]
struct Follower {
    snapshots: BTreeMap<EdgeId, Snapshot>,
    reports: BTreeMap<ObjectId, Arc<ObjectReport>>,
}

impl Follower {
    fn follow(&mut self, changes: Changes) {
        for (id, change) in changes.edges {
            match change {
                EdgeChange::Gone => assert!(self.snapshots.remove(&id).is_some(), "{id} was never there"),
                EdgeChange::Set { delta, edge } => {
                    let snapshot = self.snapshots.entry(id).or_default();
                    snapshot.apply(&delta);
                    assert_eq!(snapshot.hash(), edge.snapshot.hash());
                }
            }
        }
        for (id, report) in changes.reports {
            match report {
                Some(report) => assert_ne!(self.reports.insert(id, report.clone()), Some(report), "a report that did not change"),
                None => assert!(self.reports.remove(&id).is_some(), "a report that was never there"),
            }
        }
    }
}

fn scratch(world: &BTreeMap<ObjectId, Object>, backwards: bool) -> Translator {
    let mut translator = Translator::new(Settings::default());
    let mut changes: Vec<_> = world.iter().map(|(id, object)| Change { id: id.clone(), old: None, new: Some(object.clone()) }).collect();
    if backwards {
        changes.reverse();
    }
    translator.apply(changes, Now::from_unix(TODAY));
    translator
}

fn apply(world: &mut BTreeMap<ObjectId, Object>, Write { id, body }: Write, generation: usize) -> Change {
    let new = body.map(|(mut body, labels)| {
        body["metadata"] = json!({"name": id.name, "namespace": id.namespace, "generation": generation, "labels": labels});
        Object::from_value(id.kind, body).unwrap()
    });
    let old = match &new {
        Some(object) => world.insert(id.clone(), object.clone()),
        None => world.remove(&id),
    };
    Change { id, old, new }
}

fn check(translator: &Translator, world: &BTreeMap<ObjectId, Object>, follower: &Follower) {
    for backwards in [false, true] {
        let scratch = scratch(world, backwards);
        assert_eq!(translator.edges().collect::<Vec<_>>(), scratch.edges().collect::<Vec<_>>());
        assert_eq!(translator.reports(), scratch.reports());
    }
    assert!(translator.edges().map(|(id, edge)| (id, &edge.snapshot)).eq(&follower.snapshots));
    assert_eq!(translator.reports(), &follower.reports);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Whatever happened before, snapshots, hashes and reports are those that the same objects give to a translator that
    /// sees them for the first time, in any order; and whoever follows the changes knows them too.
    #[test]
    fn incremental_equals_from_scratch(batches in prop::collection::vec(prop::collection::vec(write(), 1..6), 1..14)) {
        let mut translator = Translator::new(Settings::default());
        let mut world = BTreeMap::new();
        let mut follower = Follower::default();
        for (generation, batch) in batches.into_iter().enumerate() {
            let changes: Vec<_> = batch.into_iter().map(|write| apply(&mut world, write, generation)).collect();
            follower.follow(translator.apply(changes, Now::from_unix(TODAY)));
            check(&translator, &world, &follower);
        }
        let ids: Vec<_> = world.keys().cloned().collect();
        let gone = ids.into_iter().map(|id| apply(&mut world, Write { id, body: None }, 0)).collect::<Vec<_>>();
        follower.follow(translator.apply(gone, Now::from_unix(TODAY)));
        check(&translator, &world, &follower);
        assert!(translator.edges().next().is_none() && translator.reports().is_empty() && translator.is_empty());
    }
}
