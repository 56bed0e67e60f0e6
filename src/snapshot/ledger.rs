//! Which resources are held, without holding them.

use std::collections::BTreeMap;

use super::{Delta, Hash, Key};

/// The keys of a snapshot with the hashes of what they name: enough to tell what a full update changes, and whether a
/// snapshot is the publisher's, for a reader that makes something else of the resources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    hashes: BTreeMap<Key, Hash>,
    hash: Hash,
}

impl Ledger {
    /// Follows a difference; that of it which changes anything.
    pub fn follow(&mut self, delta: Delta) -> Delta {
        let Delta { mut set, mut remove } = delta;
        set.retain(|resource| self.set(resource.key(), Hash::of(resource)));
        remove.retain(|key| self.remove(key));
        Delta { set, remove }
    }

    /// Takes the place of everything that is held; what that changes.
    pub fn replace(&mut self, all: Delta) -> Delta {
        let wanted: std::collections::BTreeSet<Key> = all.keys().collect();
        let gone = self.hashes.keys().filter(|key| !wanted.contains(*key)).cloned();
        let remove = gone.chain(all.remove.iter().cloned()).collect();
        self.follow(Delta { set: all.set, remove })
    }

    fn set(&mut self, key: Key, hash: Hash) -> bool {
        let old = self.hashes.insert(key, hash);
        if old == Some(hash) {
            return false;
        }
        self.hash = self.hash.plus(hash).minus(old.unwrap_or_default());
        true
    }

    fn remove(&mut self, key: &Key) -> bool {
        let Some(old) = self.hashes.remove(key) else { return false };
        self.hash = self.hash.minus(old);
        true
    }

    /// The hash of the snapshot.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// Number of resources.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether there is no resource.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::Ledger;
    use crate::model::{Backend, BackendId, BackendProtocol};
    use crate::snapshot::{Delta, Resource, Snapshot};

    fn resource((port, protocol): (u16, bool)) -> Resource {
        let id = BackendId { namespace: "n".into(), service: "s".into(), port };
        let protocol = if protocol { BackendProtocol::H2c } else { BackendProtocol::Http };
        Resource::Backend(Backend::new(id, protocol, Vec::new()))
    }

    proptest! {
        #[test]
        fn what_it_says_changes_is_the_difference_of_snapshots(
            states in prop::collection::vec((prop::collection::btree_map(0_u16..6, any::<bool>(), 0..6), any::<bool>()), 1..8),
        ) {
            let (mut ledger, mut held) = (Ledger::default(), Snapshot::default());
            for (state, full) in states {
                let next = Snapshot::from_resources(state.into_iter().map(resource));
                let sorted = |mut delta: Delta| {
                    delta.set.sort_by_key(|resource: &Arc<Resource>| resource.key());
                    delta.remove.sort();
                    delta
                };
                let difference = held.diff(&next);
                let said = if full { ledger.replace(next.as_delta()) } else { ledger.follow(difference.clone()) };
                prop_assert_eq!(sorted(said), sorted(difference));
                prop_assert_eq!((ledger.hash(), ledger.len()), (next.hash(), next.len()));
                held = next;
            }
        }
    }
}
