//! What one edge must hold, as small keyed resources, and the deltas between two states of it.
//!
//! The hash of a snapshot does not depend on order or history: same objects, same hash (law 8). A snapshot is a
//! persistent value: a clone is cheap, and the difference of two costs what differs.

mod certified;
pub mod disk;
pub mod fetch;
#[cfg(fuzzing)]
pub mod fuzzing;
mod hash;
mod held;
mod ledger;
mod lines;
mod nodes;
pub mod publish;
pub mod serve;
pub mod tls;
pub mod wire;

use std::fmt;
use std::sync::Arc;

use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use serde::{Deserialize, Serialize};

pub use certified::Certified;
pub use hash::Hash;
pub use held::{Held, Mismatch};
pub use ledger::Ledger;

use crate::model::{Backend, BackendId, Certificate, CertificateId, Listener, ListenerName, ObjectId, Route};

/// Key of a resource within an edge.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Key {
    /// A listener.
    Listener(ListenerName),
    /// A certificate.
    Certificate(CertificateId),
    /// A backend.
    Backend(BackendId),
    /// A route.
    Route(ObjectId),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listener(name) => write!(f, "listener {name}"),
            Self::Certificate(id) => write!(f, "certificate {id}"),
            Self::Backend(id) => write!(f, "backend {id}"),
            Self::Route(id) => write!(f, "route {id}"),
        }
    }
}

/// One resource. References between resources are by key; a reference to an absent resource means "refused", never
/// "ignored" (an absent backend answers 503, an absent certificate leaves its listener without it).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resource {
    /// A listener.
    Listener(Listener),
    /// A certificate with its private key.
    Certificate(Certificate),
    /// A backend with its endpoints.
    Backend(Backend),
    /// A route with at least one attachment.
    Route(Route),
}

impl Resource {
    /// The key under which a snapshot holds this resource.
    pub fn key(&self) -> Key {
        match self {
            Self::Listener(listener) => Key::Listener(listener.name.clone()),
            Self::Certificate(certificate) => Key::Certificate(certificate.id.clone()),
            Self::Backend(backend) => Key::Backend(backend.id.clone()),
            Self::Route(route) => Key::Route(route.id.clone()),
        }
    }

    /// The listener, if it is one.
    pub fn as_listener(&self) -> Option<&Listener> {
        match self {
            Self::Listener(listener) => Some(listener),
            Self::Certificate(_) | Self::Backend(_) | Self::Route(_) => None,
        }
    }

    /// The same resource without private keys, for people.
    pub fn redacted(&self) -> Self {
        match self {
            Self::Certificate(certificate) => Self::Certificate(certificate.redacted()),
            other => other.clone(),
        }
    }

    /// The same resource without private keys and without header values that filters set, for pages that others than its
    /// owner may read.
    pub fn for_people(&self) -> Self {
        match self {
            Self::Route(route) => Self::Route(route.redacted()),
            other => other.redacted(),
        }
    }
}

/// All resources of one edge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    resources: OrdMap<Key, (Arc<Resource>, Hash)>,
    routes: usize,
    hash: Hash,
}

/// A change of a snapshot: resources that are new or different, and keys that are gone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta {
    /// Resources to add or replace.
    pub set: Vec<Arc<Resource>>,
    /// Keys to remove.
    pub remove: Vec<Key>,
}

impl Delta {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.remove.is_empty()
    }

    /// This delta and then another, as one.
    #[must_use]
    pub fn then(mut self, later: Self) -> Self {
        let touched: std::collections::BTreeSet<_> = later.keys().collect();
        self.set.retain(|resource| !touched.contains(&resource.key()));
        self.remove.retain(|key| !touched.contains(key));
        self.set.extend(later.set);
        self.remove.extend(later.remove);
        self
    }

    /// Every key that the delta touches.
    pub fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.set.iter().map(|resource| resource.key()).chain(self.remove.iter().cloned())
    }
}

impl Snapshot {
    /// A snapshot of these resources; of two with one key the later stays.
    pub fn from_resources(resources: impl IntoIterator<Item = Resource>) -> Self {
        let mut snapshot = Self::default();
        for resource in resources {
            snapshot.set(Arc::new(resource));
        }
        snapshot
    }

    /// Adds or replaces one resource; whether that changed anything.
    pub fn set(&mut self, resource: Arc<Resource>) -> bool {
        let hash = Hash::of(&resource);
        let key = resource.key();
        if self.resources.get(&key).is_some_and(|(_, old)| *old == hash) {
            return false;
        }
        let is_route = matches!(key, Key::Route(_));
        self.hash = self.hash.plus(hash);
        if let Some((_, old)) = self.resources.insert(key, (resource, hash)) {
            self.hash = self.hash.minus(old);
        } else if is_route {
            self.routes += 1;
        }
        true
    }

    /// Removes one resource; whether it was there.
    pub fn remove(&mut self, key: &Key) -> bool {
        let Some((_, old)) = self.resources.remove(key) else { return false };
        self.hash = self.hash.minus(old);
        self.routes -= usize::from(matches!(key, Key::Route(_)));
        true
    }

    /// Applies a delta.
    pub fn apply(&mut self, delta: &Delta) {
        for resource in &delta.set {
            self.set(resource.clone());
        }
        for key in &delta.remove {
            self.remove(key);
        }
    }

    /// The resource under a key.
    pub fn get(&self, key: &Key) -> Option<&Arc<Resource>> {
        self.resources.get(key).map(|(resource, _)| resource)
    }

    /// The hash of the resource under a key.
    pub fn hash_of(&self, key: &Key) -> Option<Hash> {
        self.resources.get(key).map(|(_, hash)| *hash)
    }

    /// All resources in key order.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Arc<Resource>)> {
        self.resources.iter().map(|(key, (resource, _))| (key, resource))
    }

    /// The certificates in key order. Nothing else is visited.
    pub fn certificates(&self) -> impl Iterator<Item = &Certificate> {
        let first = Key::Certificate(CertificateId { namespace: String::new(), name: String::new() });
        let from = self.resources.range(first..).map(|(_, (resource, _))| &**resource);
        from.map_while(|resource| if let Resource::Certificate(certificate) = resource { Some(certificate) } else { None })
    }

    /// The same snapshot as people may read it: see [`Resource::for_people`].
    #[must_use]
    pub fn for_people(&self) -> Self {
        Self::from_resources(self.iter().map(|(_, resource)| resource.for_people()))
    }

    /// Number of resources.
    pub fn len(&self) -> usize {
        self.resources.len()
    }

    /// Number of routes.
    pub fn routes(&self) -> usize {
        self.routes
    }

    /// Whether there is no resource.
    pub fn is_empty(&self) -> bool {
        self.resources.is_empty()
    }

    /// Content hash: the wrapping sum of the resources' hashes, so one change costs one resource.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// The whole snapshot as a delta from nothing.
    pub fn as_delta(&self) -> Delta {
        Delta { set: self.resources.values().map(|(resource, _)| resource.clone()).collect(), remove: Vec::new() }
    }

    /// What leads from `self` to `target`. Parts that the two share are not visited.
    pub fn diff(&self, target: &Self) -> Delta {
        let mut delta = Delta::default();
        for item in self.resources.diff(&target.resources) {
            match item {
                DiffItem::Add(_, (resource, _)) => delta.set.push(resource.clone()),
                DiffItem::Update { old: (_, (_, old)), new: (_, (resource, new)) } => {
                    if old != new {
                        delta.set.push(resource.clone());
                    }
                }
                DiffItem::Remove(key, _) => delta.remove.push(key.clone()),
            }
        }
        delta
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Resource, Snapshot};
    use crate::model::{Backend, BackendId, BackendProtocol, Certificate, CertificateId, Kind, ObjectId, PrivateKey, Route};

    #[test]
    fn routes_are_counted_and_certificates_found_as_the_snapshot_changes() {
        let backend = |port| {
            let id = BackendId { namespace: "n".into(), service: "s".into(), port };
            Resource::Backend(Backend::new(id, BackendProtocol::Http, Vec::new()))
        };
        let certificate = |name: &str, not_after| {
            let id = CertificateId { namespace: "n".into(), name: name.into() };
            let (chain, key, names) = (Vec::new(), PrivateKey::new(""), Vec::new());
            Resource::Certificate(Certificate { id, chain, key, names, fingerprint: String::new(), not_after })
        };
        let route = |name: &str| {
            let id = ObjectId::new(Kind::HttpRoute, "n", name);
            Resource::Route(Route { id, created: 0, file: None, attachments: Vec::new(), rules: Vec::new(), written: Vec::new() })
        };
        let all = [backend(1), route("a"), certificate("b", 2), backend(2), certificate("a", 1), route("b")];
        let mut snapshot = Snapshot::from_resources(all);
        let ends = |snapshot: &Snapshot| snapshot.certificates().map(|one| one.not_after).collect::<Vec<_>>();
        assert_eq!((snapshot.routes(), ends(&snapshot)), (2, vec![1, 2]));
        assert!(snapshot.set(Arc::new(certificate("a", 3))) && !snapshot.set(Arc::new(route("b"))));
        assert!(snapshot.remove(&route("a").key()) && !snapshot.remove(&route("a").key()));
        assert!(snapshot.remove(&certificate("b", 2).key()) && snapshot.remove(&backend(1).key()));
        assert_eq!((snapshot.routes(), ends(&snapshot)), (1, vec![3]));
    }
}
