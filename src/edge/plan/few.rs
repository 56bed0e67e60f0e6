//! A sorted map that is mostly small.

use std::borrow::Borrow;
use std::collections::BTreeMap;

/// So many entries are a list: a node of a tree has room for eleven, and of most maps here there are thousands with one entry.
const FEW: usize = 8;

/// Values by key, in order of the keys.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Few<K, V> {
    /// Sorted.
    List(Vec<(K, V)>),
    /// More than a few.
    Tree(BTreeMap<K, V>),
}

impl<K, V> Default for Few<K, V> {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl<K: Ord, V> Few<K, V> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::List(list) => list.len(),
            Self::Tree(tree) => tree.len(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Entries in order of the keys.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let (list, tree) = match self {
            Self::List(list) => (Some(list), None),
            Self::Tree(tree) => (None, Some(tree)),
        };
        list.into_iter().flatten().map(|(key, value)| (key, value)).chain(tree.into_iter().flatten())
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    pub(super) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        match self {
            Self::List(list) => list.iter().find(|(held, _)| held.borrow() == key).map(|(_, value)| value),
            Self::Tree(tree) => tree.get(key),
        }
    }

    pub(super) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        match self {
            Self::List(list) => {
                let at = list.iter().position(|(held, _)| held.borrow() == key)?;
                Some(list.remove(at).1)
            }
            Self::Tree(tree) => tree.remove(key),
        }
    }

    /// Changes the value of a key, starting from the default; an entry that `keep` refuses is dropped.
    pub(super) fn update(&mut self, key: K, change: impl FnOnce(&mut V), keep: impl FnOnce(&V) -> bool)
    where
        V: Default,
    {
        let mut value = self.remove(&key).unwrap_or_default();
        change(&mut value);
        if keep(&value) {
            self.insert(key, value);
        }
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        match self {
            Self::Tree(tree) => {
                tree.insert(key, value);
            }
            Self::List(list) => match list.binary_search_by(|(held, _)| held.cmp(&key)) {
                Ok(at) => {
                    if let Some((_, held)) = list.get_mut(at) {
                        *held = value;
                    }
                }
                Err(_) if list.len() == FEW => {
                    let mut tree: BTreeMap<K, V> = std::mem::take(list).into_iter().collect();
                    tree.insert(key, value);
                    *self = Self::Tree(tree);
                }
                Err(at) => {
                    list.reserve_exact(1);
                    list.insert(at, (key, value));
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::Few;

    proptest! {
        #[test]
        fn it_is_a_sorted_map(changes in prop::collection::vec((0_u8..20, 0_u8..3), 0..120)) {
            let (mut few, mut map) = (Few::<u8, u8>::default(), BTreeMap::new());
            for (key, value) in changes {
                few.update(key, |held| *held = value, |held| *held > 0);
                if value > 0 { map.insert(key, value) } else { map.remove(&key) };
                prop_assert!(few.iter().eq(map.iter()));
                prop_assert_eq!((few.len(), few.get(&key)), (map.len(), map.get(&key)));
            }
        }
    }
}
