//! Who wants a thing that only one can have: the oldest.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::Age;

/// One who wants a thing, with the time since when.
pub(super) type Entry<W> = (Age, W);

/// Per thing everybody who wants it, the oldest first.
#[derive(Debug)]
pub(super) struct Queues<T, W>(BTreeMap<T, BTreeSet<Entry<W>>>);

impl<T, W> Default for Queues<T, W> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: Ord + Clone, W: Ord + Clone> Queues<T, W> {
    /// The one who has it.
    pub(super) fn first(&self, thing: &T) -> Option<&W> {
        self.0.get(thing)?.first().map(|(_, who)| who)
    }

    /// All who want it, the oldest first.
    pub(super) fn all(&self, thing: &T) -> impl Iterator<Item = &W> {
        self.0.get(thing).into_iter().flatten().map(|(_, who)| who)
    }

    /// The things that somebody wants, from `first` on.
    pub(super) fn things<'a>(&'a self, first: &T) -> impl Iterator<Item = &'a T> + use<'a, T, W> {
        self.0.range(first.clone()..).map(|(thing, _)| thing)
    }

    /// Replaces what somebody wanted by what he wants now. Returns the things that somebody else has now, who differs from the
    /// one before in what `seen` shows of him.
    pub(super) fn replace<S: PartialEq>(
        &mut self,
        old: &BTreeSet<(T, Entry<W>)>,
        new: &BTreeSet<(T, Entry<W>)>,
        seen: impl Fn(&W) -> S,
    ) -> Vec<T> {
        let things: BTreeSet<T> = old.symmetric_difference(new).map(|(thing, _)| thing.clone()).collect();
        let before: Vec<_> = things.iter().map(|thing| self.first(thing).map(&seen)).collect();
        for (thing, entry) in old.difference(new) {
            let entries = self.0.entry(thing.clone()).or_default();
            entries.remove(entry);
            if entries.is_empty() {
                self.0.remove(thing);
            }
        }
        for (thing, entry) in new.difference(old) {
            self.0.entry(thing.clone()).or_default().insert(entry.clone());
        }
        let pairs = things.into_iter().zip(before);
        pairs.filter(|(thing, before)| self.first(thing).map(&seen) != *before).map(|(thing, _)| thing).collect()
    }

    /// Whether nobody wants anything.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
