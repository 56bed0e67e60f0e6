//! The pump: watch events of one kind in, changes out, with the store written in between.
//!
//! One per kind, the same for an API server and a directory. Deletions are reported, also those that only a re-list
//! reveals; what did not change is not reported. (kube's shared reflector streams do neither, and can stall: they dispatch
//! `Apply` and `InitDone` only, and wait without a waker for an object that is gone.)

use std::any::Any;
use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;

use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher;
use serde::de::DeserializeOwned;

use super::kinds::table;
use crate::api::{ApiKind, Change, Obj, Object};
use crate::model::Kind;

/// A Kubernetes type that can be pumped.
pub trait Pumped:
    ApiKind + kube::Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug + PartialEq + Send + Sync + 'static
{
}

impl<K> Pumped for K where
    K: ApiKind + kube::Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug + PartialEq + Send + Sync + 'static
{
}

/// The pump of one kind. It owns the store's writer.
pub struct Pump<K: Pumped> {
    writer: Writer<Obj<K>>,
    store: Store<Obj<K>>,
    /// What a re-list has named so far, while one is under way.
    relist: Option<HashMap<ObjectRef<Obj<K>>, Obj<K>>>,
}

impl<K: Pumped> Default for Pump<K> {
    fn default() -> Self {
        let writer = Writer::new(());
        let store = writer.as_reader();
        Self { writer, store, relist: None }
    }
}

impl<K: Pumped> Pump<K> {
    /// A handle to read the store.
    pub fn store(&self) -> Store<Obj<K>> {
        self.store.clone()
    }

    /// Writes one event to the store and says what it changed, ordered by object.
    ///
    /// During a re-list (`Init` to `InitDone`) nothing is written; its end writes and reports everything at once.
    pub fn apply(&mut self, event: watcher::Event<Obj<K>>) -> Vec<Change> {
        match event {
            watcher::Event::Init => {
                self.relist = Some(HashMap::new());
                Vec::new()
            }
            watcher::Event::InitApply(object) => {
                self.relist.get_or_insert_default().insert(ObjectRef::from_obj(&object), object);
                Vec::new()
            }
            watcher::Event::InitDone => self.finish_relist(),
            watcher::Event::Apply(object) => match &mut self.relist {
                Some(listed) => {
                    listed.insert(ObjectRef::from_obj(&object), object);
                    Vec::new()
                }
                None => self.write(&ObjectRef::from_obj(&object), &watcher::Event::Apply(object)),
            },
            watcher::Event::Delete(object) => match &mut self.relist {
                Some(listed) => {
                    listed.remove(&ObjectRef::from_obj(&object));
                    Vec::new()
                }
                None => self.write(&ObjectRef::from_obj(&object), &watcher::Event::Delete(object)),
            },
        }
    }

    fn write(&mut self, key: &ObjectRef<Obj<K>>, event: &watcher::Event<Obj<K>>) -> Vec<Change> {
        let old = self.store.get(key);
        self.writer.apply_watcher_event(event);
        change(old, self.store.get(key)).into_iter().collect()
    }

    fn finish_relist(&mut self) -> Vec<Change> {
        let old = self.store.state();
        self.writer.apply_watcher_event(&watcher::Event::Init);
        for object in self.relist.take().unwrap_or_default().into_values() {
            self.writer.apply_watcher_event(&watcher::Event::InitApply(object));
        }
        self.writer.apply_watcher_event(&watcher::Event::InitDone);
        let mut before: HashMap<_, _> = old.into_iter().map(|object| (ObjectRef::from_obj(&*object), object)).collect();
        let mut changes: Vec<Change> = Vec::new();
        for object in self.store.state() {
            changes.extend(change(before.remove(&ObjectRef::from_obj(&*object)), Some(object)));
        }
        changes.extend(before.into_values().filter_map(|object| change(Some(object), None)));
        changes.sort_by(|a, b| a.id.cmp(&b.id));
        changes
    }
}

/// The change from `old` to `new`, unless they are the same.
fn change<K: Pumped>(old: Option<Arc<Obj<K>>>, new: Option<Arc<Obj<K>>>) -> Option<Change> {
    match (&old, &new) {
        (None, None) => return None,
        (Some(old), Some(new)) if same(old, new) => return None,
        _ => {}
    }
    let (old, new) = (old.map(K::wrap), new.map(K::wrap));
    let id = new.as_ref().or(old.as_ref())?.id();
    Some(Change { id, old, new })
}

/// Same version of the same object; by content where a source gives no versions.
fn same<K: Pumped>(old: &Obj<K>, new: &Obj<K>) -> bool {
    let version = |object: &Obj<K>| object.metadata.uid.clone().zip(object.metadata.resource_version.clone());
    match (version(old), version(new)) {
        (Some(old), Some(new)) => old == new,
        _ => old == new,
    }
}

/// A pump whose kind is known at run time only.
pub trait AnyPump: Send {
    /// [`Pump::apply`]; objects of another kind are left out.
    fn apply(&mut self, event: watcher::Event<Object>) -> Vec<Change>;

    /// Its [`Pump::store`].
    fn store(&self) -> Box<dyn Any>;
}

impl<K: Pumped> AnyPump for Pump<K> {
    fn apply(&mut self, event: watcher::Event<Object>) -> Vec<Change> {
        let typed = |object: Object| {
            let shared = Arc::clone(K::unwrap(&object)?);
            drop(object);
            Some(Arc::unwrap_or_clone(shared))
        };
        let event = match event {
            watcher::Event::Init => Some(watcher::Event::Init),
            watcher::Event::InitDone => Some(watcher::Event::InitDone),
            watcher::Event::InitApply(object) => typed(object).map(watcher::Event::InitApply),
            watcher::Event::Apply(object) => typed(object).map(watcher::Event::Apply),
            watcher::Event::Delete(object) => typed(object).map(watcher::Event::Delete),
        };
        debug_assert!(event.is_some(), "an event reached the pump of another kind");
        event.map(|event| Pump::apply(self, event)).unwrap_or_default()
    }

    fn store(&self) -> Box<dyn Any> {
        Box::new(Pump::store(self))
    }
}

/// The pumps of all kinds, for a source that delivers all of them.
pub struct Pumps(HashMap<Kind, Box<dyn AnyPump>>);

impl Default for Pumps {
    fn default() -> Self {
        Self(table().map(|row| (row.kind, (row.pump)())).collect())
    }
}

impl IntoIterator for Pumps {
    type Item = (Kind, Box<dyn AnyPump>);
    type IntoIter = std::collections::hash_map::IntoIter<Kind, Box<dyn AnyPump>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Pumps {
    /// [`Pump::apply`] for the kind of the object. `Init` and `InitDone` go to every pump.
    pub fn apply(&mut self, event: watcher::Event<Object>) -> Vec<Change> {
        let kind = match &event {
            watcher::Event::Init => return self.0.values_mut().flat_map(|pump| pump.apply(watcher::Event::Init)).collect(),
            watcher::Event::InitDone => {
                let mut changes: Vec<_> = self.0.values_mut().flat_map(|pump| pump.apply(watcher::Event::InitDone)).collect();
                changes.sort_by(|a, b| a.id.cmp(&b.id));
                return changes;
            }
            watcher::Event::InitApply(object) | watcher::Event::Apply(object) | watcher::Event::Delete(object) => object.kind(),
        };
        self.0.get_mut(&kind).map(|pump| pump.apply(event)).unwrap_or_default()
    }

    /// The store of one kind.
    pub fn store<K: Pumped>(&self) -> Option<Store<Obj<K>>> {
        self.0.get(&K::KIND)?.store().downcast().ok().map(|store| *store)
    }
}

#[cfg(test)]
mod tests;
