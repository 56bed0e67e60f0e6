use std::collections::HashMap;

use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event::{self, Apply, Delete, Init, InitApply, InitDone};
use proptest::prelude::*;
use serde_json::json;

use super::{Pump, Pumps};
use crate::api::{ConfigMap, Obj, Object, Secret};

type Map = Obj<ConfigMap>;

/// Version `version` of the ConfigMap `name`, as an API server sends it.
fn map(name: &str, version: u32) -> Map {
    let metadata = json!({"name": name, "namespace": "ns", "uid": name, "resourceVersion": version.to_string()});
    Obj::from_value(json!({"metadata": metadata, "data": {"version": version.to_string()}})).unwrap()
}

fn version(object: &Option<Object>) -> String {
    object.as_ref().map_or("-".to_owned(), |object| object.metadata().resource_version.clone().unwrap_or_default())
}

/// The changes that events cause, one text per change; each must agree with the store at the time it is told.
fn pumped(pump: &mut Pump<ConfigMap>, events: Vec<Event<Map>>) -> Vec<String> {
    let store = pump.store();
    let mut told = Vec::new();
    for event in events {
        for change in pump.apply(event) {
            let stored = store.get(&ObjectRef::new(&change.id.name).within(&change.id.namespace)).map(Object::ConfigMap);
            assert_eq!(stored, change.new, "the store is written before the change is told");
            told.push(format!("{} {}→{}", change.id.name, version(&change.old), version(&change.new)));
        }
    }
    told
}

fn synced(objects: Vec<Map>) -> Pump<ConfigMap> {
    let mut pump = Pump::default();
    let list = std::iter::once(Init).chain(objects.into_iter().map(InitApply)).chain([InitDone]);
    pumped(&mut pump, list.collect());
    pump
}

#[test]
fn the_first_list_is_told_when_it_is_complete() {
    let mut pump = Pump::default();
    assert_eq!(pumped(&mut pump, vec![Init, InitApply(map("b", 1)), InitApply(map("a", 1))]), [""; 0]);
    assert_eq!(pumped(&mut pump, vec![InitDone]), ["a -→1", "b -→1"]);
}

#[test]
fn deletions_are_told() {
    let mut pump = synced(vec![map("a", 1), map("b", 1)]);
    assert_eq!(pumped(&mut pump, vec![Delete(map("a", 2))]), ["a 1→-"]);
    assert_eq!(pumped(&mut pump, vec![Delete(map("a", 2)), Delete(map("c", 1))]), [""; 0]);
}

#[test]
fn a_re_list_tells_what_vanished_and_what_changed_only() {
    let mut pump = synced(vec![map("a", 1), map("b", 1), map("c", 1)]);
    let list = vec![Init, InitApply(map("a", 1)), InitApply(map("c", 2)), InitApply(map("d", 2)), InitDone];
    assert_eq!(pumped(&mut pump, list), ["b 1→-", "c 1→2", "d -→2"]);
}

#[test]
fn apply_and_delete_in_a_row_are_each_told_once() {
    let mut pump = synced(vec![]);
    let events = vec![Apply(map("a", 1)), Delete(map("a", 2)), Apply(map("a", 3)), Apply(map("a", 3)), Apply(map("a", 4))];
    assert_eq!(pumped(&mut pump, events), ["a -→1", "a 1→-", "a -→3", "a 3→4"]);
}

#[test]
fn a_re_list_that_starts_again_forgets_the_first_attempt() {
    let mut pump = synced(vec![map("a", 1)]);
    let events = vec![Init, InitApply(map("b", 1)), Init, InitApply(map("a", 1)), InitDone];
    assert_eq!(pumped(&mut pump, events), [""; 0]);
}

#[test]
fn events_during_a_re_list_count_when_it_is_complete() {
    let mut pump = synced(vec![map("a", 1), map("b", 1)]);
    let events = vec![Init, InitApply(map("a", 1)), InitApply(map("b", 1)), Delete(map("a", 2)), Apply(map("c", 2))];
    assert_eq!(pumped(&mut pump, events), [""; 0]);
    assert_eq!(pumped(&mut pump, vec![InitDone]), ["a 1→-", "c -→2"]);
}

#[test]
fn without_versions_content_counts() {
    let bare = |data: &str| Obj::from_value(json!({"metadata": {"name": "a", "namespace": "ns"}, "data": {"key": data}})).unwrap();
    let mut pump = synced(vec![]);
    let changes = [bare("x"), bare("x"), bare("y")].map(|object| pump.apply(Apply(object)).len());
    assert_eq!(changes, [1, 0, 1]);
}

#[test]
fn an_object_created_anew_is_told_though_its_version_is_the_same() {
    let mut pump = synced(vec![map("a", 1)]);
    let mut anew = map("a", 1);
    anew.metadata.uid = Some("other".into());
    assert_eq!(pumped(&mut pump, vec![Apply(anew)]), ["a 1→1"]);
}

#[test]
fn each_kind_has_its_pump_and_store() {
    let mut pumps = Pumps::default();
    pumps.apply(Init);
    pumps.apply(InitApply(Object::ConfigMap(map("a", 1).into())));
    let changes = pumps.apply(InitDone);
    assert_eq!(changes.len(), 1);
    assert_eq!(pumps.store::<ConfigMap>().unwrap().state().len(), 1);
    assert_eq!(pumps.store::<Secret>().unwrap().state().len(), 0);
}

fn any_event() -> impl Strategy<Value = Event<Map>> {
    let object = ("[a-d]", 1..4_u32).prop_map(|(name, version)| map(&name, version));
    prop_oneof![
        3 => object.clone().prop_map(Apply),
        2 => object.clone().prop_map(Delete),
        1 => Just(Init),
        2 => object.prop_map(InitApply),
        1 => Just(InitDone),
    ]
}

proptest! {
    /// Whoever applies the changes holds what the store holds, and every change starts from what he holds.
    #[test]
    fn changes_replay_the_store(events in prop::collection::vec(any_event(), 0..60)) {
        let mut pump = Pump::default();
        let mut held: HashMap<String, Object> = HashMap::new();
        for event in events {
            for change in pump.apply(event) {
                prop_assert_eq!(held.get(&change.id.name), change.old.as_ref());
                prop_assert_ne!(&change.old, &change.new);
                match change.new {
                    Some(object) => held.insert(change.id.name, object),
                    None => held.remove(&change.id.name),
                };
            }
            let store = pump.store().state().into_iter().map(|object| (object.name().to_owned(), Object::ConfigMap(object)));
            prop_assert_eq!(&store.collect::<HashMap<_, _>>(), &held);
        }
    }
}
