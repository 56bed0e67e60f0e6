//! What several objects want and only one can have: the oldest first.

use std::collections::{BTreeMap, BTreeSet};

/// Who wants what. `V` orders the rivals for one prize.
#[derive(Debug)]
pub(super) struct Contest<K, V>(BTreeMap<K, BTreeSet<V>>);

impl<K, V> Default for Contest<K, V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord + Clone, V: Ord + Clone> Contest<K, V> {
    /// All who want it, in order.
    pub(super) fn rivals(&self, prize: &K) -> impl Iterator<Item = &V> {
        self.0.get(prize).into_iter().flatten()
    }

    /// Replaces what somebody wanted before by what it wants now. `verdict` says what others see of a prize; returned are the
    /// prizes of which they see something else now.
    pub(super) fn replace<S: PartialEq>(
        &mut self,
        old: &BTreeSet<(K, V)>,
        new: &BTreeSet<(K, V)>,
        verdict: impl Fn(&Self, &K) -> S,
    ) -> Vec<K> {
        let prizes: BTreeSet<_> = old.symmetric_difference(new).map(|(prize, _)| prize.clone()).collect();
        let before: Vec<_> = prizes.iter().map(|prize| verdict(self, prize)).collect();
        for (prize, rival) in old.difference(new) {
            let Some(rivals) = self.0.get_mut(prize) else { continue };
            rivals.remove(rival);
            if rivals.is_empty() {
                self.0.remove(prize);
            }
        }
        for (prize, rival) in new.difference(old) {
            self.0.entry(prize.clone()).or_default().insert(rival.clone());
        }
        prizes.into_iter().zip(before).filter(|(prize, before)| verdict(self, prize) != *before).map(|(prize, _)| prize).collect()
    }

    /// Whether nobody wants anything.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
