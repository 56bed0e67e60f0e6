//! Values by text. A clone is cheap.

use imbl::HashMap;

/// So many texts are a list: most hosts have a few, a node of the map takes a kilobyte, and comparing is faster than hashing.
const FEW: usize = 8;

/// Values by text.
#[derive(Clone, Debug)]
pub(super) enum Texts<V> {
    /// In no order.
    Few(Vec<(Box<str>, V)>),
    /// More than that.
    Many(HashMap<Box<str>, V>),
}

impl<V> Default for Texts<V> {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl<V: Clone + Default> Texts<V> {
    /// The value of a text.
    pub(super) fn get(&self, text: &str) -> Option<&V> {
        match self {
            Self::Few(list) => list.iter().find(|(held, _)| **held == *text).map(|(_, value)| value),
            Self::Many(map) => map.get(text),
        }
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Few(list) => list.is_empty(),
            Self::Many(map) => map.is_empty(),
        }
    }

    /// Changes the value of one text, starting from the default; a text whose value `keep` refuses is dropped.
    pub(super) fn update(&mut self, text: &str, change: impl FnOnce(&mut V), keep: impl FnOnce(&V) -> bool) {
        match self {
            Self::Few(list) => {
                let known = list.iter().position(|(held, _)| **held == *text);
                let mut value = known.map(|at| list.swap_remove(at).1).unwrap_or_default();
                change(&mut value);
                if keep(&value) {
                    list.reserve_exact(1);
                    list.push((text.into(), value));
                }
                if list.len() > FEW {
                    *self = Self::Many(std::mem::take(list).into_iter().collect());
                }
            }
            Self::Many(map) => {
                let value = map.entry(text.into()).or_default();
                change(value);
                if !keep(value) {
                    map.remove(text);
                }
                if map.is_empty() {
                    *self = Self::default();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::Texts;

    proptest! {
        #[test]
        fn it_is_a_map(changes in prop::collection::vec((0_u8..20, 0_u8..3), 0..120)) {
            let (mut texts, mut map) = (Texts::<u8>::default(), BTreeMap::new());
            for (text, value) in changes {
                let text = text.to_string();
                texts.update(&text, |held| *held = value, |held| *held > 0);
                if value > 0 { map.insert(text, value) } else { map.remove(&text) };
                prop_assert_eq!(texts.is_empty(), map.is_empty());
                for text in (0..20).map(|number| number.to_string()) {
                    prop_assert_eq!(texts.get(&text), map.get(&text));
                }
            }
        }
    }
}
