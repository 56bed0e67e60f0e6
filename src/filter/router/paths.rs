//! The matches of one host, indexed by path so that a thousand prefixes cost a few look-ups.

use std::sync::Arc;

use super::Head;
use super::conditions::PathCondition;
use super::entry::Entry;
use super::texts::Texts;
use crate::filter::filters::is_call;
use crate::model::{HostRank, PathMatch};

/// Entries in descending order of rank.
type Entries = Arc<Vec<Arc<Entry>>>;

/// What one effective hostname holds, by specificity of the declared hostname, greatest first. Two routes may declare
/// different hostnames and meet on one: `*.com` and `*` both become the listener's `*.example.com`.
#[derive(Clone, Default)]
pub(super) struct HostRules(Vec<(HostRank, PathIndex)>);

/// The matches of one effective and one declared hostname.
#[derive(Clone, Default)]
struct PathIndex {
    exact: Texts<Entries>,
    /// Those of calls with an expression too, which come first.
    regex: Entries,
    /// Calls by service and method with a slash between, empty where any will do.
    calls: Texts<Entries>,
    /// Prefixes by length, longest first: the number of lengths bounds the look-ups per request.
    prefix: Vec<(usize, Texts<Entries>)>,
}

impl HostRules {
    /// The entry of greatest rank that the request satisfies, if it beats `best`.
    pub(super) fn find<'t>(&'t self, head: &Head<'_>, best: Option<&'t Arc<Entry>>) -> Option<&'t Arc<Entry>> {
        let mut best = best;
        for (rank, index) in &self.0 {
            if best.is_some_and(|best| best.rank.host > *rank) {
                break;
            }
            if let Some(found) = index.find(head)
                && best.is_none_or(|best| found.rank > best.rank)
            {
                best = Some(found);
            }
        }
        best
    }

    /// Adds an entry; of two with one rank, which are the same match, the later stays.
    pub(super) fn insert(&mut self, entry: &Arc<Entry>) {
        let rank = entry.rank.host;
        let at = self.0.partition_point(|(other, _)| *other > rank);
        if self.0.get(at).is_none_or(|(other, _)| *other != rank) {
            // Most hosts have one.
            self.0.reserve_exact(1);
            self.0.insert(at, (rank, PathIndex::default()));
        }
        if let Some((_, index)) = self.0.get_mut(at) {
            index.update(&entry.conditions.path, |entries| insert(entries, entry));
        }
    }

    /// Removes the entry of that rank.
    pub(super) fn remove(&mut self, entry: &Entry) {
        let Some((_, index)) = self.0.iter_mut().find(|(rank, _)| *rank == entry.rank.host) else { return };
        index.update(&entry.conditions.path, |entries| remove(entries, entry));
        self.0.retain(|(_, index)| !index.is_empty());
    }

    /// Whether no entry is left.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl PathIndex {
    /// A call beats exact beats expression beats prefix, longer beats shorter ([`crate::model::PathRank`]); within one path
    /// condition the lists are sorted by rank, so the first that holds is the greatest.
    fn find<'t>(&'t self, head: &Head<'_>) -> Option<&'t Arc<Entry>> {
        let path = head.path();
        if let Some(found) = self.call(head, path) {
            return Some(found);
        }
        if let Some(found) = self.exact.get(path).and_then(|entries| entries.iter().find(|entry| entry.conditions.hold(head))) {
            return Some(found);
        }
        if let Some(found) = self.regex.iter().find(|entry| entry.conditions.path.holds(path, false) && entry.conditions.hold(head)) {
            return Some(found);
        }
        let under = |(length, texts): &'t (usize, Texts<Entries>)| {
            let (prefix, rest) = path.split_at_checked(*length)?;
            if !(rest.is_empty() || rest.starts_with('/')) {
                return None;
            }
            texts.get(prefix)?.iter().find(|entry| entry.conditions.hold(head))
        };
        let (root, longer) = match self.prefix.split_last() {
            Some((root, longer)) if root.0 == 0 => (Some(root), longer),
            _ => (None, self.prefix.as_slice()),
        };
        longer.iter().find_map(under).or_else(|| under(root?))
    }

    /// Of those for gRPC calls, the greatest.
    fn call<'t>(&'t self, head: &Head<'_>, path: &str) -> Option<&'t Arc<Entry>> {
        let expressions = || self.regex.iter().take_while(|entry| matches!(entry.conditions.path, PathCondition::Call(_)));
        if (self.calls.is_empty() && expressions().next().is_none()) || !is_call(head.headers) {
            return None;
        }
        let named = PathMatch::called(path).and_then(|(service, method)| {
            let both = path.strip_prefix('/')?;
            Some([both, both.get(..=service.len())?, both.get(both.len() - method.len() - 1..)?])
        });
        let names = named.into_iter().flatten().chain(["/"]).filter_map(|names| self.calls.get(names));
        let exact = names.filter_map(|entries| entries.iter().find(|entry| entry.conditions.hold(head)));
        let matching = expressions().find(|entry| entry.conditions.path.holds(path, true) && entry.conditions.hold(head));
        exact.chain(matching).max_by(|a, b| a.rank.cmp(&b.rank))
    }

    fn update(&mut self, path: &PathCondition, change: impl FnOnce(&mut Vec<Arc<Entry>>)) {
        match path {
            PathCondition::Exact(path) => update(&mut self.exact, path, change),
            PathCondition::Call(call) => match call.names() {
                Some(names) => update(&mut self.calls, &names, change),
                None => change(Arc::make_mut(&mut self.regex)),
            },
            PathCondition::Regex(_) => change(Arc::make_mut(&mut self.regex)),
            PathCondition::Prefix(prefix) => {
                let at = self.prefix.partition_point(|(length, _)| *length > prefix.len());
                if self.prefix.get(at).is_none_or(|(length, _)| *length != prefix.len()) {
                    self.prefix.reserve_exact(1);
                    self.prefix.insert(at, (prefix.len(), Texts::default()));
                }
                if let Some((_, texts)) = self.prefix.get_mut(at) {
                    update(texts, prefix, change);
                }
                self.prefix.retain(|(_, texts)| !texts.is_empty());
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.calls.is_empty() && self.regex.is_empty() && self.prefix.is_empty()
    }
}

fn update(texts: &mut Texts<Entries>, text: &str, change: impl FnOnce(&mut Vec<Arc<Entry>>)) {
    texts.update(text, |entries| change(Arc::make_mut(entries)), |entries| !entries.is_empty());
}

fn insert(entries: &mut Vec<Arc<Entry>>, entry: &Arc<Entry>) {
    let at = entries.partition_point(|other| other.rank > entry.rank);
    match entries.get_mut(at) {
        Some(other) if other.rank == entry.rank => *other = entry.clone(),
        _ => entries.insert(at, entry.clone()),
    }
}

fn remove(entries: &mut Vec<Arc<Entry>>, entry: &Entry) {
    let at = entries.partition_point(|other| other.rank > entry.rank);
    if entries.get(at).is_some_and(|other| other.rank == entry.rank) {
        entries.remove(at);
    }
}
