//! The memo table: outcomes with the reads that they came from, and who read what.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use super::super::reader::{Read, Reader};
use super::{Graph, Node};
use crate::model::Kind;

/// Outcomes by what they are of.
pub(super) type Memo<K, V> = HashMap<K, Remembered<V>>;

/// An outcome, with what was read for it.
#[derive(Debug)]
pub(super) struct Remembered<V> {
    pub(super) outcome: Arc<V>,
    /// Sorted, and no larger than need be: most have a handful, and there are as many as objects.
    reads: Box<[Read]>,
}

impl Graph {
    /// Computes something, and says what was read for it.
    pub(super) fn compute<V>(&mut self, translate: impl FnOnce(&mut Reader<'_>) -> V) -> (V, Box<[Read]>) {
        self.computed += 1;
        let mut reader = Reader::new(self);
        let outcome = translate(&mut reader);
        (outcome, reader.into_reads())
    }

    /// Keeps an outcome and indexes its reads. Returns the outcome before, if there was one, and now.
    pub(super) fn remember<K: Eq + Hash + Clone, V: PartialEq>(
        &mut self,
        node: Node,
        memo: fn(&mut Self) -> &mut Memo<K, V>,
        key: &K,
        (outcome, reads): (V, Box<[Read]>),
    ) -> (Option<Arc<V>>, Arc<V>) {
        let old = memo(self).remove(key);
        let before = old.as_ref().map_or(&[][..], |old| &old.reads);
        self.index(&node, before, &reads);
        let old = old.map(|old| old.outcome);
        let outcome = match &old {
            Some(same) if **same == outcome => same.clone(),
            _ => {
                self.changed.insert(node);
                Arc::new(outcome)
            }
        };
        memo(self).insert(key.clone(), Remembered { outcome: outcome.clone(), reads });
        (old, outcome)
    }

    /// Notes that a node reads these now, and no longer those.
    fn index(&mut self, node: &Node, before: &[Read], after: &[Read]) {
        for read in before.iter().filter(|read| after.binary_search(read).is_err()) {
            let Some(nodes) = self.dependents.get_mut(read) else { continue };
            nodes.remove(node);
            if nodes.is_empty() {
                self.dependents.remove(read);
                match read {
                    Read::Certificate(id) => self.orphans.insert(Node::Certificate(id.clone())),
                    Read::Backend(id) => self.orphans.insert(Node::Backend(id.clone())),
                    Read::Name(name) => {
                        self.resolutions.remove(name);
                        self.names.remove(name)
                    }
                    Read::Object(id) if id.kind == Kind::Secret => self.secrets.remove(id).is_some(),
                    _ => false,
                };
            }
        }
        for read in after.iter().filter(|read| before.binary_search(read).is_err()) {
            if let Read::Name(name) = read {
                self.names.insert(name.clone());
            }
            if let Read::Object(id) = read
                && id.kind == Kind::Secret
            {
                self.secrets.insert(id.clone());
            }
            self.dependents.entry(read.clone()).or_default().insert(node.clone());
        }
    }

    /// Forgets a node that is `gone`, and what it read.
    pub(super) fn forget(&mut self, gone: bool, node: &Node) {
        if !gone {
            return;
        }
        let reads = match node {
            Node::Text(_) => None,
            Node::Certificate(id) => self.certificates.remove(id).map(|known| known.reads),
            Node::Backend(id) => self.backends.remove(id).map(|known| known.reads),
            Node::Class(name) => self.classes.remove(name).map(|known| known.reads),
            Node::Draft(edge) => self.drafts.remove(edge).map(|known| known.reads),
            Node::Application(id) => self.applications.remove(id).map(|known| known.reads),
            Node::Group(edge) => self.groups.remove(edge).map(|known| known.reads),
            Node::Route(id) => self.routes.remove(id).map(|known| known.reads),
            Node::Lost(id) => self.lost.remove(id).map(|known| known.reads),
        };
        self.index(node, reads.as_deref().unwrap_or_default(), &[]);
        self.changed.insert(node.clone());
    }

    /// Forgets what nobody reads any more.
    pub(super) fn drop_orphans(&mut self) {
        while let Some(node) = self.orphans.pop_first() {
            let read = match &node {
                Node::Certificate(id) => Read::Certificate(id.clone()),
                Node::Backend(id) => Read::Backend(id.clone()),
                Node::Text(_)
                | Node::Class(_)
                | Node::Draft(_)
                | Node::Application(_)
                | Node::Group(_)
                | Node::Route(_)
                | Node::Lost(_) => continue,
            };
            let unread = !self.dependents.contains_key(&read);
            self.forget(unread, &node);
        }
    }
}
