//! What a client of the stream holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use imbl::OrdMap;

use super::wire::{REQUIREMENTS, Refusal, Requirement, Update};
use super::{Delta, Hash, Key, Resource, Snapshot};
use crate::model::Action;

/// A snapshot as far as this version understands it, and the hash by which the server knows it.
#[derive(Clone, Debug, Default)]
pub struct Held {
    snapshot: Snapshot,
    /// What the server calls the resources that are something else here: fields that this version does not know are
    /// missing, or the resource is closed.
    elsewhere: OrdMap<Key, Hash>,
    refused: OrdMap<Key, Refusal>,
}

/// An update that does not lead to the state that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// The content differs.
    #[error("an update does not lead to the state that it names")]
    Content,
    /// The first update is a difference to something that is not held.
    #[error("the first update is not a full one")]
    NotFull,
}

impl Held {
    /// A snapshot that is known to be the server's.
    pub fn new(snapshot: Snapshot) -> Self {
        Self { snapshot, ..Self::default() }
    }

    /// The snapshot.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Resources that require what this version does not know: a route answers 500, anything else is absent.
    pub fn refused(&self) -> impl Iterator<Item = &Refusal> {
        self.refused.values()
    }

    /// The server's hash of it.
    pub fn hash(&self) -> Hash {
        self.elsewhere
            .iter()
            .fold(self.snapshot.hash(), |sum, (key, theirs)| sum.plus(*theirs).minus(self.snapshot.hash_of(key).unwrap_or_default()))
    }

    /// The state after an update.
    ///
    /// # Errors
    /// When the update leads elsewhere; nothing of it is to be used then.
    pub fn after(&self, update: &Update) -> Result<Self, Mismatch> {
        self.after_knowing(update, REQUIREMENTS)
    }

    fn after_knowing(&self, update: &Update, known: &[Requirement]) -> Result<Self, Mismatch> {
        let mut held = if update.full { Self::default() } else { self.clone() };
        held.set(update, known);
        for key in &update.delta.remove {
            held.snapshot.remove(key);
            held.elsewhere.remove(key);
            held.refused.remove(key);
        }
        if held.hash() != update.hash {
            return Err(Mismatch::Content);
        }
        if update.full {
            // The same content shares what is held already, so that later differences stay cheap.
            let difference: Delta = self.snapshot.diff(&held.snapshot);
            held.snapshot = self.snapshot.clone();
            held.snapshot.apply(&difference);
        }
        Ok(held)
    }

    fn set(&mut self, update: &Update, known: &[Requirement]) {
        let required: BTreeMap<&Key, &[String]> = update.requires.iter().map(|row| (&row.key, row.names.as_slice())).collect();
        let mut theirs = update.hashes.iter();
        for resource in &update.delta.set {
            let key = resource.key();
            let named = required.get(&key).copied().unwrap_or_default();
            let unknown: Vec<&str> = named.iter().map(String::as_str).filter(|name| known.iter().all(|row| row.name != *name)).collect();
            let taken = if unknown.is_empty() {
                self.refused.remove(&key);
                Some(resource.clone())
            } else {
                let reason = format!("it requires {}, which this version of the edge does not know", unknown.join(", "));
                self.refused.insert(key.clone(), Refusal { key: key.clone(), reason });
                closed(resource)
            };
            match taken {
                Some(taken) => self.snapshot.set(taken),
                None => self.snapshot.remove(&key),
            };
            match theirs.next() {
                Some(hash) if Some(*hash) != self.snapshot.hash_of(&key) => self.elsewhere.insert(key, *hash),
                _ => self.elsewhere.remove(&key),
            };
        }
    }
}

/// What stands for a resource that must not be served as it is: a route keeps its place and answers 500.
fn closed(resource: &Resource) -> Option<Arc<Resource>> {
    let Resource::Route(route) = resource else { return None };
    let mut route = route.clone();
    for rule in &mut route.rules {
        rule.filters.clear();
        rule.action = Action::Answer(500);
    }
    Some(Arc::new(Resource::Route(route)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Held;
    use crate::model::{Action, Backend, BackendId, BackendProtocol, Kind, Match, ObjectId, PathMatch, Route, Rule};
    use crate::snapshot::wire::{Have, Requirement, Requires, Stamp, Update};
    use crate::snapshot::{Delta, Hash, Resource};

    fn route(name: &str) -> Resource {
        let matches = vec![Match { path: PathMatch::Prefix("/".into()), method: None, headers: Vec::new(), query: Vec::new() }];
        let action = Action::Forward(Vec::new());
        let rule = Rule { name: None, host: None, fallback: false, matches, filters: Vec::new(), action };
        Resource::Route(Route {
            id: ObjectId::new(Kind::HttpRoute, "n", name),
            created: 1,
            file: None,
            attachments: Vec::new(),
            rules: vec![rule],
            written: Vec::new(),
        })
    }

    fn backend() -> Resource {
        let id = BackendId { namespace: "n".into(), service: "s".into(), port: 80 };
        Resource::Backend(Backend::new(id, BackendProtocol::Http, Vec::new()))
    }

    /// An update of a later version: resources with what they are called there and what they require.
    fn update(full: bool, set: Vec<Resource>, hashes: Vec<Hash>, requires: &[&str]) -> Update {
        let hash = hashes.iter().fold(Hash::default(), |sum, hash| sum.plus(*hash));
        let names: Vec<String> = requires.iter().map(|name| (*name).to_owned()).collect();
        let requires = set.iter().map(|resource| Requires { key: resource.key(), names: names.clone() }).collect();
        let delta = Delta { set: set.into_iter().map(Arc::new).collect(), remove: Vec::new() };
        Update { stamp: Stamp { epoch: 1, seq: 1 }, full, delta, hash, hashes, requires }
    }

    #[test]
    fn what_is_unknown_is_ignored_and_still_told_apart() {
        let theirs = Hash::of(&route("as a later version writes it"));
        let held = Held::default().after(&update(true, vec![route("a")], vec![theirs], &[])).unwrap();
        assert_eq!(held.hash(), theirs, "it asks for differences to what the server has, not to what it understood");
        assert_eq!(held.snapshot().get(&route("a").key()).unwrap().as_ref(), &route("a"));
        assert_eq!(held.refused().count(), 0);

        let mut gone = update(false, Vec::new(), Vec::new(), &[]);
        gone.delta.remove.push(route("a").key());
        let held = held.after(&gone).unwrap();
        assert!(held.snapshot().is_empty());
        assert_eq!(Have { stamp: gone.stamp, hash: held.hash() }.hash, Hash::default());
    }

    #[test]
    fn what_requires_the_unknown_is_closed_and_refused() {
        let sent = vec![route("a"), backend()];
        let hashes: Vec<Hash> = sent.iter().map(Hash::of).collect();
        let update = update(true, sent, hashes, &["token-check"]);
        let held = Held::default().after(&update).unwrap();
        assert_eq!(held.hash(), update.hash);
        let Some(Resource::Route(closed)) = held.snapshot().get(&route("a").key()).map(AsRef::as_ref) else { panic!("kept") };
        assert_eq!(closed.rules[0].action, Action::Answer(500), "its requests do not fall to another route");
        assert!(held.snapshot().get(&backend().key()).is_none());
        assert!(held.refused().all(|refusal| refusal.reason.contains("token-check")) && held.refused().count() == 2);

        let row = || Requirement { name: "token-check", of: |_| true };
        assert_eq!(Requires::of(&update.delta, &[row()]), update.requires, "the table is what makes the server say so");
        let knowing = Held::default().after_knowing(&update, &[row()]).unwrap();
        assert_eq!((knowing.snapshot().len(), knowing.refused().count()), (2, 0));
    }

    #[test]
    fn an_update_that_leads_elsewhere_is_refused() {
        let mut wrong = update(true, vec![backend()], vec![Hash::of(&backend())], &[]);
        wrong.hash = Hash::of(&route("a"));
        assert!(Held::default().after(&wrong).is_err());
    }
}
