//! What the routes of one namespace may have together of things that cost every edge, and the control plane, more than their
//! text: within the budget they are served, the oldest first, and what is beyond it is reported. So no tenant's manifests cost
//! the others their edge. What is costly is scarce for all namespaces together too, and is shared between them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::queue::Entry;
use crate::model::ObjectId;

/// Regular expressions of one route.
pub(super) const EXPRESSIONS_OF_ROUTE: usize = 256;
/// Units that the regular expressions of all routes of a namespace take together: one of up to 15 bytes takes one, and 16
/// places for a byte more take another.
pub(super) const EXPRESSIONS_OF_NAMESPACE: usize = 1_024;
/// The same of all namespaces together: each expression is a fraction of a millisecond for the control plane.
pub(super) const EXPRESSIONS_OF_ALL: usize = 8_192;
/// Pairs of a listener and a hostname that one route is attached by.
pub(super) const PLACES_OF_ROUTE: usize = 512;
/// Bytes of the hosts that the Ingresses of a namespace name, with what a claim has besides: its claims fit into one ConfigMap.
pub(super) const HOST_BYTES_OF_NAMESPACE: usize = 768 << 10;
/// Matches of one route, each counted at every place.
pub(super) const ENTRIES_OF_ROUTE: usize = 16_384;
/// The same of all routes of a namespace together.
pub(super) const ENTRIES_OF_NAMESPACE: usize = 100_000;
/// The same of all namespaces together: each is up to 30 microseconds and 2 kB for the edge that has it, and 500 bytes
/// here (`make bench-tenants`).
pub(super) const ENTRIES_OF_ALL: usize = 200_000;

/// As many as most routes have: a route with more is attached once they are granted, so that none is built in vain.
const ENTRIES_UNASKED: usize = 32;

/// Regular expressions of one route that are costly to compile.
pub(super) const COSTLY_OF_ROUTE: usize = 8;
/// The same of all routes of a namespace together.
pub(super) const COSTLY_OF_NAMESPACE: usize = 32;
/// The same of all namespaces together: each is some milliseconds for the control plane, and up to 64 KiB for an edge.
pub(super) const COSTLY_OF_ALL: usize = 128;

/// Something that there is a budget of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Good {
    /// Units of regular expressions.
    Expressions,
    /// Regular expressions that are costly to compile.
    Costly,
    /// Matches at places, which each edge has an entry for.
    Entries,
    /// Bytes of hosts that Ingresses name.
    Hosts,
}

impl Good {
    /// What a namespace may have of it.
    fn of_namespace(self) -> usize {
        match self {
            Self::Expressions => EXPRESSIONS_OF_NAMESPACE,
            Self::Costly => COSTLY_OF_NAMESPACE,
            Self::Entries => ENTRIES_OF_NAMESPACE,
            Self::Hosts => HOST_BYTES_OF_NAMESPACE,
        }
    }

    /// What all namespaces may have of it together.
    fn of_all(self) -> Option<usize> {
        match self {
            Self::Expressions => Some(EXPRESSIONS_OF_ALL),
            Self::Costly => Some(COSTLY_OF_ALL),
            Self::Entries => Some(ENTRIES_OF_ALL),
            Self::Hosts => None,
        }
    }

    /// Whether a route has it that did not ask for it. Expressions are not looked at before.
    fn is_given_unasked(self) -> bool {
        matches!(self, Self::Entries | Self::Hosts)
    }

    /// Whether so many are not given before they are granted.
    fn waits(self, count: usize) -> bool {
        self == Self::Entries && count > ENTRIES_UNASKED
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
    /// Whether a route that asked is within the budget, and for how much it asked.
    fn admits(&self, entry: &Entry<ObjectId>) -> Option<(bool, usize)> {
        let asked = self.routes.get(entry)?;
        Some((self.beyond.as_ref().is_none_or(|beyond| entry < beyond), *asked))
    }

    fn replace(&mut self, old: Asked, new: Asked) {
        if let Some(count) = old.and_then(|(entry, _)| self.routes.remove(&entry)) {
            self.total -= count;
        }
        if let Some((entry, count)) = new {
            self.total += count;
            self.routes.insert(entry, count);
        }
    }

    /// What it asks for, as far as a namespace may have it.
    fn wanted(&self, good: Good) -> usize {
        self.total.min(good.of_namespace())
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

/// A good and a namespace.
type Name = (Good, String);

/// Budgets of all namespaces. What is asked for counts from the next [`Budgets::settle`] on, so that nothing is granted in between
/// that is taken back at once.
#[derive(Debug, Default)]
pub(super) struct Budgets {
    accounts: BTreeMap<Name, Account>,
    /// What routes asked for when it was settled last, and what they ask for since.
    asked: BTreeMap<Name, BTreeMap<ObjectId, (Asked, Asked)>>,
    /// What all namespaces ask for, each for no more than it may have.
    wanted: BTreeMap<Good, usize>,
    /// Goods of which the namespaces ask for more together than there is.
    scarce: BTreeSet<Good>,
}

impl Budgets {
    /// Whether a route that asks for so many has what it asked for.
    pub(super) fn admits(&self, good: Good, entry: &Entry<ObjectId>, count: usize) -> bool {
        let account = self.accounts.get(&(good, entry.1.namespace.clone()));
        match account.and_then(|account| account.admits(entry)) {
            Some((admitted, asked)) => admitted && (count <= asked || !good.waits(count)),
            None => good.is_given_unasked() && !good.waits(count),
        }
    }

    /// Replaces what a route asks for.
    pub(super) fn replace(&mut self, good: Good, (id, old, new): (&ObjectId, Asked, Asked)) {
        if old != new {
            let asked = self.asked.entry((good, id.namespace.clone())).or_default();
            asked.entry(id.clone()).or_insert((old, None)).1 = new;
        }
    }

    /// Decides about what was asked for. Returns the routes that have it now and had it not, or the other way round.
    pub(super) fn settle(&mut self) -> BTreeSet<(Good, ObjectId)> {
        let mut had = BTreeMap::new();
        let mut unsettled = BTreeSet::new();
        for (name, asked) in std::mem::take(&mut self.asked) {
            for (id, (old, new)) in asked {
                // A route that was made anew is another entry: it was told by that.
                if let Some((entry, count)) = new.as_ref().or(old.as_ref()) {
                    had.insert((name.0, id), (self.admits(name.0, entry, *count), (entry.clone(), *count)));
                }
                let account = self.accounts.entry(name.clone()).or_default();
                let before = account.wanted(name.0);
                account.replace(old, new);
                let wanted = self.wanted.entry(name.0).or_default();
                *wanted = *wanted - before + account.wanted(name.0);
            }
            unsettled.insert(name);
        }
        let shares = self.shares(&mut unsettled);
        let mut changed = BTreeSet::new();
        for name in unsettled {
            let Some(account) = self.accounts.get_mut(&name) else { continue };
            let before = account.beyond.clone();
            account.settle(shares.get(&name).copied().unwrap_or(name.0.of_namespace()));
            changed.extend(account.between(before.as_ref(), account.beyond.as_ref()).into_iter().map(|id| (name.0, id)));
            if account.routes.is_empty() {
                self.accounts.remove(&name);
            }
        }
        for (route, (had, (entry, count))) in had {
            if had == self.admits(route.0, &entry, count) {
                changed.remove(&route);
            } else {
                changed.insert(route);
            }
        }
        changed
    }

    /// What namespaces may have of goods of which they ask for too much together. All of these are to be settled, and all that were
    /// so before.
    fn shares(&mut self, unsettled: &mut BTreeSet<Name>) -> BTreeMap<Name, usize> {
        let mut shares = BTreeMap::new();
        let goods: BTreeSet<Good> = unsettled.iter().map(|(good, _)| *good).collect();
        for (good, most) in goods.into_iter().filter_map(|good| Some((good, good.of_all()?))) {
            let of_good = || self.accounts.range((good, String::new())..).take_while(|((of, _), _)| *of == good);
            let is_scarce = self.wanted.get(&good).is_some_and(|wanted| *wanted > most);
            if is_scarce {
                let even = share(most, good, of_good());
                shares.extend(share_rest(most, good, of_good(), &even));
            }
            if is_scarce || self.scarce.contains(&good) {
                unsettled.extend(of_good().map(|(name, _)| name.clone()));
            }
            if is_scarce {
                self.scarce.insert(good)
            } else {
                self.scarce.remove(&good)
            };
        }
        shares
    }

    /// Whether no route asks for anything.
    pub(super) fn is_empty(&self) -> bool {
        self.accounts.is_empty() && self.asked.is_empty()
    }
}

/// As much to each namespace as to every other that asks for as much; what cannot be divided goes to the oldest.
fn share<'a>(most: usize, good: Good, accounts: impl Iterator<Item = (&'a Name, &'a Account)>) -> BTreeMap<Name, usize> {
    let mut asking: Vec<_> = accounts.map(|(name, account)| (account.wanted(good), account.routes.first_key_value(), name)).collect();
    asking.sort();
    let (mut left, mut open) = (most, asking.len());
    let mut shares = BTreeMap::new();
    let mut level = 0;
    for (wanted, _, name) in &asking {
        level = left / open.max(1);
        if *wanted > level {
            break;
        }
        shares.insert((*name).clone(), *wanted);
        (left, open) = (left - wanted, open - 1);
    }
    let mut others: Vec<_> = asking.iter().skip(shares.len()).map(|(_, oldest, name)| (oldest, *name)).collect();
    others.sort();
    let rest = left - level * others.len();
    shares.extend(others.into_iter().enumerate().map(|(place, (_, name))| (name.clone(), level + usize::from(place < rest))));
    shares
}

/// What namespaces use of their shares, as no route is divided. What is left goes to the oldest routes that fit, so that it is used
/// even when each share is too small for any route. Example: 60 namespaces whose only route asks for a fortieth of all.
fn share_rest<'a>(
    most: usize,
    good: Good,
    accounts: impl Iterator<Item = (&'a Name, &'a Account)>,
    shares: &BTreeMap<Name, usize>,
) -> BTreeMap<Name, usize> {
    let (mut used, mut waiting) = (BTreeMap::new(), BTreeMap::new());
    for (name, account) in accounts {
        let share = shares.get(name).copied().unwrap_or_default();
        let (mut sum, mut routes) = (0, account.routes.iter().peekable());
        while let Some((_, count)) = routes.next_if(|(_, count)| sum + **count <= share) {
            sum += count;
        }
        used.insert(name.clone(), sum);
        waiting.extend(routes.next().map(|(entry, count)| (entry, (name, *count, routes))));
    }
    let mut left = most - used.values().sum::<usize>();
    while let Some((_, (name, count, mut routes))) = waiting.pop_first() {
        let Some(sum) = used.get_mut(name).filter(|sum| count <= left && **sum + count <= good.of_namespace()) else { continue };
        (*sum, left) = (*sum + count, left - count);
        waiting.extend(routes.next().map(|(entry, count)| (entry, (name, *count, routes))));
    }
    used
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::{Budgets, COSTLY_OF_ALL, COSTLY_OF_NAMESPACE, EXPRESSIONS_OF_NAMESPACE, Good};
    use crate::model::{Age, Kind, ObjectId};

    fn entry(age: i64, name: u8) -> (Age, ObjectId) {
        (Age::Created(age), ObjectId::new(Kind::HttpRoute, "n", format!("r{name}")))
    }

    proptest! {
        /// Whatever came first, the oldest routes that fit together have what they ask for; every change of that is told.
        #[test]
        fn the_oldest_that_fit_are_served(steps in prop::collection::vec((0..6_u8, prop::option::of((0..3_i64, 1..5_usize)), any::<bool>()), 1..40)) {
            let unit = EXPRESSIONS_OF_NAMESPACE / 8;
            let (mut budgets, mut asked) = (Budgets::default(), BTreeMap::new());
            // What each route was told when it was translated last.
            let mut told = BTreeMap::new();
            let mut stepped = BTreeSet::new();
            for (name, wanted, settles) in steps {
                let old = asked.remove(&name);
                let new = wanted.map(|(age, count)| (entry(age, name), count * unit));
                told.remove(&name);
                told.extend(new.as_ref().map(|(entry, _)| (name, budgets.admits(Good::Expressions, entry, 0))));
                asked.extend(new.clone().map(|new| (name, new)));
                budgets.replace(Good::Expressions, (&entry(0, name).1, old, new));
                stepped.insert(name);
                if !settles {
                    continue;
                }
                let news = budgets.settle();
                let mut oldest: Vec<_> = asked.iter().collect();
                oldest.sort_by_key(|(_, (entry, _))| entry.clone());
                let mut sum = 0;
                let fitting = oldest.into_iter().take_while(|(_, (_, count))| { sum += count; sum <= EXPRESSIONS_OF_NAMESPACE });
                let fitting: BTreeSet<u8> = fitting.map(|(name, _)| *name).collect();
                for (name, (entry, _)) in &asked {
                    let (has, is_news) = (budgets.admits(Good::Expressions, entry, 0), news.contains(&(Good::Expressions, entry.1.clone())));
                    prop_assert_eq!(has, fitting.contains(name));
                    prop_assert!(is_news || told.get(name) == Some(&has), "{} was told otherwise, and is not told", entry.1);
                    prop_assert!(!is_news || told.get(name) != Some(&has) || stepped.contains(name), "{} is told in vain", entry.1);
                    told.insert(*name, has);
                }
                stepped.clear();
            }
            for (name, old) in asked {
                budgets.replace(Good::Expressions, (&entry(0, name).1, Some(old), None));
            }
            budgets.settle();
            prop_assert!(budgets.is_empty());
        }

        /// Namespaces that ask for little have it, the others have as much as each other but for what routes cannot be divided into,
        /// no more is given than there is, and what is left is too little for the next route of any namespace.
        #[test]
        fn what_is_scarce_is_shared(asked in prop::collection::vec(prop::collection::vec(1..5_usize, 1..40), 1..60), first in any::<bool>()) {
            let mut budgets = Budgets::default();
            let entry = |space: usize, route: usize| (Age::Created(i64::try_from(route).unwrap()), ObjectId::new(Kind::HttpRoute, format!("n{space}"), format!("r{route}")));
            for (space, routes) in asked.iter().enumerate() {
                for (route, count) in routes.iter().enumerate() {
                    let entry = entry(space, route);
                    budgets.replace(Good::Costly, (&entry.1.clone(), None, Some((entry, *count))));
                }
                // In steps or at once: the outcome is the same.
                if first {
                    budgets.settle();
                }
            }
            budgets.settle();
            let given = |space: usize| asked[space].iter().enumerate().filter(|(route, _)| budgets.admits(Good::Costly, &entry(space, *route), 0)).map(|(_, count)| count).sum::<usize>();
            let wanted = |space: usize| asked[space].iter().sum::<usize>();
            let all: Vec<usize> = (0..asked.len()).map(given).collect();
            let capped: usize = (0..asked.len()).map(|space| wanted(space).min(COSTLY_OF_NAMESPACE)).sum();
            let share = if capped > COSTLY_OF_ALL { COSTLY_OF_ALL / asked.len() } else { COSTLY_OF_NAMESPACE };
            let left = COSTLY_OF_ALL.checked_sub(all.iter().sum());
            prop_assert!(left.is_some(), "{all:?}");
            for (space, given) in all.iter().enumerate() {
                // Routes are not divided: what they ask for is less than 5.
                prop_assert!(*given == wanted(space) || *given + 4 >= share.min(COSTLY_OF_NAMESPACE), "{given} of {} {share}", wanted(space));
                let next = asked[space].iter().enumerate().find(|(route, _)| !budgets.admits(Good::Costly, &entry(space, *route), 0));
                let fits = next.is_some_and(|(_, count)| Some(*count) <= left && given + count <= COSTLY_OF_NAMESPACE);
                prop_assert!(!fits, "{next:?} of {space} with {left:?} left");
            }
        }
    }

    /// A share that is too small for any route is not lost.
    #[test]
    fn what_no_share_has_room_for_goes_to_the_oldest() {
        let mut budgets = Budgets::default();
        let asks = COSTLY_OF_ALL / 8;
        let entry = |space: i64| (Age::Created(space), ObjectId::new(Kind::HttpRoute, format!("n{space}"), "r"));
        for space in 0..12 {
            budgets.replace(Good::Costly, (&entry(space).1, None, Some((entry(space), asks))));
        }
        budgets.settle();
        let served: Vec<i64> = (0..12).filter(|space| budgets.admits(Good::Costly, &entry(*space), 0)).collect();
        assert_eq!(served, (0..8).collect::<Vec<_>>());
        // One that gives back what it had makes room for the next.
        budgets.replace(Good::Costly, (&entry(3).1, Some((entry(3), asks)), None));
        assert_eq!(budgets.settle(), [3, 8].map(|space| (Good::Costly, entry(space).1)).into());
    }
}
