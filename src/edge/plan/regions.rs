//! Entries of a virtual host, in descending rank, become frontends.
//!
//! What Sōzu does with the frontends of one host was measured (`tests/sozu/order.rs`): the longest prefix wins, of equal
//! ones the last inserted; an equal path without method wins over what was inserted before it; an equal path with the
//! request's method wins at once. So for each text prefixes come before equals, and entries without method before those
//! with one. Then the longest text wins as path rank wants it, and within one text this module keeps only what rank lets
//! win.

use std::collections::{BTreeMap, BTreeSet};

use super::Reason;
use super::native::NativeRule;
use super::target::{Frontend, HostRule, PathKind, PathRule, Stage};
use crate::model::{Match, PathMatch};
use crate::snapshot::Key;

/// One entry, with what can be said of its rule alone.
pub(super) struct Entry<'a> {
    pub owner: Key,
    pub matched: &'a Match,
    /// Its rule has a CORS policy.
    pub across: bool,
    pub rule: Result<NativeRule, Reason>,
}

/// The frontends of one text of a host that Sōzu finds by name. `stopper`: what no entry takes goes to the filter.
pub(super) fn tree<'a>(host: &HostRule, text: &str, entries: impl IntoIterator<Item = Entry<'a>>, stopper: bool) -> Vec<Frontend> {
    let mut regions = Regions::default();
    for entry in entries {
        for class in classes(&entry.matched.path).into_iter().filter(|class| class.text == text) {
            regions.offer_entry(class, &entry);
        }
    }
    if stopper && text == ROOT {
        regions.offer(root(), None, Stage::Hop(Reason::Isolation), None);
    }
    let mut frontends = regions.into_frontends(host);
    frontends.sort_by(|a, b| (&a.path, &a.method).cmp(&(&b.path, &b.method)));
    frontends
}

/// The frontends of the list for every host: there the first that matches wins.
pub(super) fn list<'a>(entries: impl IntoIterator<Item = Entry<'a>>) -> Vec<Frontend> {
    let mut regions = Regions::default();
    for entry in entries {
        for class in classes(&entry.matched.path) {
            regions.offer_entry(class, &entry);
        }
    }
    regions.into_frontends(&HostRule::Any)
}

/// The one frontend that sends every request of a host to the filter.
pub(super) fn everything(host: &HostRule, reason: Reason) -> Frontend {
    Frontend { host: host.clone(), path: root(), method: None, stage: Stage::Hop(reason), owner: None }
}

/// The method of CORS preflights.
const PREFLIGHT: &str = "OPTIONS";

/// The text of the path that every path starts with.
pub(super) const ROOT: &str = "/";

fn root() -> PathRule {
    PathRule { text: ROOT.to_owned(), kind: PathKind::Prefix }
}

/// The conditions on the raw target that together mean a path condition; none for what Sōzu cannot compare.
pub(super) fn classes(path: &PathMatch) -> Vec<PathRule> {
    let rule = |text: String, kind| PathRule { text, kind };
    match path {
        PathMatch::Prefix(prefix) if prefix == ROOT => vec![root()],
        PathMatch::Prefix(prefix) => vec![
            rule(prefix.clone(), PathKind::Equals),
            rule(format!("{prefix}/"), PathKind::Prefix),
            rule(format!("{prefix}?"), PathKind::Prefix),
        ],
        PathMatch::Exact(path) => vec![rule(path.clone(), PathKind::Equals), rule(format!("{path}?"), PathKind::Prefix)],
        PathMatch::Regex(_) | PathMatch::Call { .. } => Vec::new(),
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
    fn offer_entry(&mut self, class: PathRule, entry: &Entry) {
        let (stage, method) = (stage(entry, &class), entry.matched.method.clone());
        if entry.across && method.is_some() {
            // The filter finds the policy for the method that a preflight asks for.
            self.offer(class.clone(), Some(PREFLIGHT.to_owned()), Stage::Hop(Reason::Cors), Some(entry.owner.clone()));
        }
        self.offer(class, method, stage, Some(entry.owner.clone()));
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

    fn into_frontends(self, host: &HostRule) -> Vec<Frontend> {
        let frontend = |(path, method, stage, owner)| Frontend { host: host.clone(), path, method, stage, owner };
        self.list.into_iter().map(frontend).collect()
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
