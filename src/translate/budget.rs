//! What the routes of one namespace may have together of things that cost every edge, and the control plane, more than their
//! text: within the budget they are served, the oldest first, and what is beyond it is reported. So no tenant's manifests cost
//! the others their edge.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::queue::Entry;
use crate::model::ObjectId;

/// Regular expressions of one route.
pub(super) const EXPRESSIONS_OF_ROUTE: usize = 256;
/// Units that the regular expressions of all routes of a namespace take together: one of up to 15 bytes takes one, and 16
/// places for a byte more take another.
pub(super) const EXPRESSIONS_OF_NAMESPACE: usize = 1_024;
/// Pairs of a listener and a hostname that one route is attached by.
pub(super) const PLACES_OF_ROUTE: usize = 512;
/// Bytes of the hosts that the Ingresses of a namespace name, with what a claim has besides: its claims fit into one ConfigMap.
pub(super) const HOST_BYTES_OF_NAMESPACE: usize = 768 << 10;
/// Matches of one route, each counted at every place.
pub(super) const ENTRIES_OF_ROUTE: usize = 16_384;
/// The same of all routes of a namespace together.
pub(super) const ENTRIES_OF_NAMESPACE: usize = 262_144;

/// Something that there is a budget of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Good {
    /// Units of regular expressions.
    Expressions,
    /// Matches at places, which each edge has an entry for.
    Entries,
    /// Bytes of hosts that Ingresses name.
    Hosts,
}

impl Good {
    /// What a namespace may have of it.
    pub(super) fn of_namespace(self) -> usize {
        match self {
            Self::Expressions => EXPRESSIONS_OF_NAMESPACE,
            Self::Entries => ENTRIES_OF_NAMESPACE,
            Self::Hosts => HOST_BYTES_OF_NAMESPACE,
        }
    }
}

/// Who asks for something, and for how much.
type Asked = Option<(Entry<ObjectId>, usize)>;

/// What the routes of one namespace ask for of one good.
#[derive(Debug, Default)]
struct Account {
    /// The oldest first.
    routes: BTreeMap<Entry<ObjectId>, usize>,
    total: usize,
    /// The first that is beyond the budget.
    beyond: Option<Entry<ObjectId>>,
}

impl Account {
    fn admits(&self, entry: &Entry<ObjectId>) -> Option<bool> {
        self.routes.contains_key(entry).then(|| self.beyond.as_ref().is_none_or(|beyond| entry < beyond))
    }

    fn settle(&mut self, budget: usize) {
        let mut sum = 0;
        let exceeds = |(entry, count): (&Entry<ObjectId>, &usize)| {
            sum += count;
            (sum > budget).then(|| entry.clone())
        };
        self.beyond = if self.total <= budget { None } else { self.routes.iter().find_map(exceeds) };
    }

    /// The routes from one end of the budget on, before the other.
    fn between(&self, from: Option<&Entry<ObjectId>>, to: Option<&Entry<ObjectId>>) -> Vec<ObjectId> {
        let (first, last) = match (from, to) {
            (from, to) if from == to => return Vec::new(),
            (Some(from), Some(to)) => (from.min(to), Some(from.max(to))),
            (Some(one), None) | (None, Some(one)) => (one, None),
            (None, None) => return Vec::new(),
        };
        let range = (Bound::Included(first), last.map_or(Bound::Unbounded, Bound::Excluded));
        self.routes.range::<Entry<ObjectId>, _>(range).map(|((_, id), _)| id.clone()).collect()
    }
}

/// Budgets of all namespaces.
#[derive(Debug, Default)]
pub(super) struct Budgets(BTreeMap<(String, Good), Account>);

impl Budgets {
    /// Whether a route has what it asked for. Before it asked, expressions are not looked at, and nothing else is refused.
    pub(super) fn admits(&self, good: Good, entry: &Entry<ObjectId>) -> bool {
        let account = self.0.get(&(entry.1.namespace.clone(), good));
        account.and_then(|account| account.admits(entry)).unwrap_or(good != Good::Expressions)
    }

    /// Replaces what a route asked for. Returns the routes that have it now and had it not, or the other way round.
    pub(super) fn replace(&mut self, good: Good, (namespace, old, new): (&str, Asked, Asked)) -> BTreeSet<ObjectId> {
        if old == new {
            return BTreeSet::new();
        }
        let [left, entered] = [&old, &new].map(|asked| asked.as_ref().map(|(entry, _)| entry.clone()));
        let had = left.as_ref().or(entered.as_ref()).map(|entry| self.admits(good, entry));
        let key = (namespace.to_owned(), good);
        let account = self.0.entry(key.clone()).or_default();
        let before = account.beyond.clone();
        if let Some(count) = old.as_ref().and_then(|(entry, _)| account.routes.remove(entry)) {
            account.total -= count;
        }
        if let Some((entry, count)) = &new {
            account.total += count;
            account.routes.insert(entry.clone(), *count);
        }
        account.settle(good.of_namespace());
        let mut changed: BTreeSet<_> = account.between(before.as_ref(), account.beyond.as_ref()).into_iter().collect();
        if account.routes.is_empty() {
            self.0.remove(&key);
        }
        let has = entered.as_ref().or(left.as_ref()).map(|entry| self.admits(good, entry));
        if let Some((_, id)) = entered.or(left) {
            if had == has {
                changed.remove(&id)
            } else {
                changed.insert(id)
            };
        }
        changed
    }

    /// Whether no route asks for anything.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::{Budgets, EXPRESSIONS_OF_NAMESPACE, Good};
    use crate::model::{Age, Kind, ObjectId};

    fn entry(age: i64, name: u8) -> (Age, ObjectId) {
        (Age::Created(age), ObjectId::new(Kind::HttpRoute, "n", format!("r{name}")))
    }

    proptest! {
        /// Whatever came first, the oldest routes that fit together have what they ask for; every change of that is told.
        #[test]
        fn the_oldest_that_fit_are_served(steps in prop::collection::vec((0..6_u8, prop::option::of((0..3_i64, 1..5_usize))), 1..40)) {
            let unit = EXPRESSIONS_OF_NAMESPACE / 8;
            let (mut budgets, mut asked) = (Budgets::default(), BTreeMap::new());
            for (name, wanted) in steps {
                let before: BTreeSet<u8> = (0..6).filter(|name| asked.get(name).is_some_and(|(entry, _)| budgets.admits(Good::Expressions, entry))).collect();
                let old = asked.remove(&name);
                let new = wanted.map(|(age, count)| (entry(age, name), count * unit));
                asked.extend(new.clone().map(|new| (name, new)));
                let told = budgets.replace(Good::Expressions, ("n", old, new));
                let mut oldest: Vec<_> = asked.iter().collect();
                oldest.sort_by_key(|(_, (entry, _))| entry.clone());
                let mut sum = 0;
                let fitting = oldest.into_iter().take_while(|(_, (_, count))| { sum += count; sum <= EXPRESSIONS_OF_NAMESPACE });
                let fitting: BTreeSet<u8> = fitting.map(|(name, _)| *name).collect();
                let after: BTreeSet<u8> = (0..6).filter(|name| asked.get(name).is_some_and(|(entry, _)| budgets.admits(Good::Expressions, entry))).collect();
                prop_assert_eq!(&after, &fitting);
                let differ: BTreeSet<_> = before.symmetric_difference(&after).map(|name| entry(0, *name).1).collect();
                let own = entry(0, name).1;
                prop_assert!(told == differ || told.difference(&differ).eq([&own]), "{told:?} {differ:?}");
            }
            for (_, old) in asked {
                budgets.replace(Good::Expressions, ("n", Some(old), None));
            }
            prop_assert!(budgets.is_empty());
        }
    }
}
