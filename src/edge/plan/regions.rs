//! Entries of a virtual host, ordered by rank, become frontends.
//!
//! What Sōzu does with the frontends of one host was measured (`tests/sozu/order.rs`): the longest prefix wins, of equal
//! ones the last inserted; an equal path without method wins over what was inserted before it; an equal path with the
//! request's method wins at once. So for each text prefixes come before equals, and entries without method before those
//! with one. Then the longest text wins as path rank wants it, and within one text this module keeps only what rank lets
//! win.

use std::collections::{BTreeMap, BTreeSet};

use super::native::{NativeRule, is_plain_path};
use super::target::{Frontend, HostRule, PathKind, PathRule, Stage};
use super::{Reason, Vhost};
use crate::model::{Match, PathMatch, Rank};
use crate::snapshot::Key;

/// One (attachment hostname, rule, match) of a virtual host.
pub(super) struct Entry<'a> {
    pub rank: Rank,
    pub owner: Key,
    pub matched: &'a Match,
    pub rule: Result<NativeRule, Reason>,
}

/// The frontends of a TREE host. `entries` are in descending rank; `stopper`: requests that no entry takes go to the filter.
pub(super) fn tree(host: &HostRule, entries: &[Entry], stopper: bool, forced: bool) -> Vhost {
    let owners: BTreeSet<Key> = entries.iter().map(|entry| entry.owner.clone()).collect();
    if let Some(reason) = whole(entries, forced) {
        return Vhost { frontends: vec![everything(host, reason)], owners };
    }
    let mut regions = Regions::default();
    for entry in entries {
        regions.offer_all(entry);
    }
    if stopper {
        regions.offer(root(), None, Stage::Hop(Reason::Isolation), None);
    }
    Vhost { frontends: regions.into_tree(host), owners }
}

/// The frontends of the list for every host, in descending rank: there the first that matches wins.
pub(super) fn list(entries: &[Entry], limit: usize, forced: bool) -> Vhost {
    let owners: BTreeSet<Key> = entries.iter().map(|entry| entry.owner.clone()).collect();
    if let Some(reason) = whole(entries, forced) {
        return Vhost { frontends: vec![everything(&HostRule::Any, reason)], owners };
    }
    let mut regions = Regions::default();
    for entry in entries {
        regions.offer_all(entry);
    }
    if regions.list.len() > limit {
        return Vhost { frontends: vec![everything(&HostRule::Any, Reason::LongList)], owners };
    }
    Vhost { frontends: regions.into_list(&HostRule::Any), owners }
}

/// The one frontend that sends every request of a host to the filter.
pub(super) fn everything(host: &HostRule, reason: Reason) -> Frontend {
    Frontend { host: host.clone(), path: root(), method: None, stage: Stage::Hop(reason), owner: None }
}

fn root() -> PathRule {
    PathRule { text: "/".to_owned(), kind: PathKind::Prefix }
}

/// Why the host as a whole goes to the filter, if it does.
fn whole(entries: &[Entry], forced: bool) -> Option<Reason> {
    if forced {
        return Some(Reason::Forced);
    }
    for entry in entries {
        match &entry.matched.path {
            PathMatch::Regex(_) => return Some(Reason::PathRegex),
            PathMatch::Exact(path) | PathMatch::Prefix(path) if !is_plain_path(path) => return Some(Reason::PathBytes),
            PathMatch::Exact(_) | PathMatch::Prefix(_) => {}
        }
    }
    let by_path = entries.is_sorted_by(|before, after| before.rank.path >= after.rank.path);
    (!by_path).then_some(Reason::HostSpecificity)
}

/// The conditions on the raw target that together mean a path condition.
fn classes(path: &PathMatch) -> Vec<PathRule> {
    let rule = |text: String, kind| PathRule { text, kind };
    match path {
        PathMatch::Prefix(prefix) if prefix == "/" => vec![root()],
        PathMatch::Prefix(prefix) => vec![
            rule(prefix.clone(), PathKind::Equals),
            rule(format!("{prefix}/"), PathKind::Prefix),
            rule(format!("{prefix}?"), PathKind::Prefix),
        ],
        PathMatch::Exact(path) => vec![rule(path.clone(), PathKind::Equals), rule(format!("{path}?"), PathKind::Prefix)],
        PathMatch::Regex(_) => Vec::new(),
    }
}

/// Regions in the order in which they were offered, without those that can never win.
#[derive(Default)]
struct Regions {
    list: Vec<(PathRule, Option<String>, Stage, Option<Key>)>,
    taken: BTreeMap<PathRule, Taken>,
}

/// The methods for which a path condition is decided.
#[derive(Default)]
struct Taken {
    all: bool,
    methods: BTreeSet<String>,
}

impl Regions {
    fn offer_all(&mut self, entry: &Entry) {
        for class in classes(&entry.matched.path) {
            let stage = stage(entry, &class);
            self.offer(class, entry.matched.method.clone(), stage, Some(entry.owner.clone()));
        }
    }

    fn offer(&mut self, class: PathRule, method: Option<String>, stage: Stage, owner: Option<Key>) {
        let taken = self.taken.entry(class.clone()).or_default();
        let free = match &method {
            _ if taken.all => false,
            None => !std::mem::replace(&mut taken.all, true),
            Some(method) => taken.methods.insert(method.clone()),
        };
        if free {
            self.list.push((class, method, stage, owner));
        }
    }

    fn into_list(self, host: &HostRule) -> Vec<Frontend> {
        self.list.into_iter().map(|(path, method, stage, owner)| Frontend { host: host.clone(), path, method, stage, owner }).collect()
    }

    fn into_tree(self, host: &HostRule) -> Vec<Frontend> {
        let mut frontends = self.into_list(host);
        frontends.sort_by(|a, b| (&a.path, &a.method).cmp(&(&b.path, &b.method)));
        frontends
    }
}

fn stage(entry: &Entry, class: &PathRule) -> Stage {
    let decided = || {
        if !entry.matched.headers.is_empty() {
            return Err(Reason::HeaderMatch);
        }
        if !entry.matched.query.is_empty() {
            return Err(Reason::QueryMatch);
        }
        let rule = entry.rule.as_ref().map_err(Clone::clone)?;
        let rewrite = rule.rewrite(entry.matched, class)?;
        Ok(Stage::Native { backend: rule.backend.clone(), edits: rule.edits.clone(), rewrite })
    };
    decided().unwrap_or_else(Stage::Hop)
}
