//! Whose the hosts of an IngressClass's edge are. The class's EdgeProfile may say; else the namespace that has the claim; else,
//! of a host that is free, the namespace of the oldest Ingress that names it.
//!
//! A claim is kept for the namespace that was accepted first, so that nobody takes a host over by naming it in an Ingress that
//! happens to be older. Claims are lines of ConfigMaps in the operator's namespace, which the leader writes after translation
//! has accepted a host. Translation reads them like any object: the same objects give the same owners on every replica.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::reader::Read;
use crate::api::{ConfigMap, ReservedHosts};
use crate::model::{EdgeId, Hostname};

/// A host of the edge of an IngressClass.
pub type Host = (EdgeId, Hostname);

/// Where the ConfigMaps with claims are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimsPlace {
    /// Their namespace, in which tenants must not write.
    pub namespace: String,
    /// What their names begin with; the rest is the namespace that they are the claims of.
    pub prefix: String,
}

impl ClaimsPlace {
    /// The claims of the operator in a namespace whose replicas share this Lease.
    pub fn of(namespace: &str, lease: &str) -> Self {
        Self { namespace: namespace.to_owned(), prefix: format!("{lease}-hosts-") }
    }

    /// The namespace whose claims the ConfigMap of this namespace and name holds.
    pub fn claimant<'a>(&self, namespace: &str, name: &'a str) -> Option<&'a str> {
        name.strip_prefix(self.prefix.as_str()).filter(|rest| namespace == self.namespace && !rest.is_empty())
    }

    /// The name of the ConfigMap with the claims of a namespace.
    pub fn name(&self, claimant: &str) -> String {
        format!("{}{claimant}", self.prefix)
    }
}

/// The claims of one namespace: hosts, each with the time since when, in seconds since the Unix epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims(pub BTreeMap<Host, i64>);

impl Claims {
    /// Reads a ConfigMap: per class a text with a host and a time on each line. Lines that say something else are left out.
    pub fn read(map: &ConfigMap) -> Self {
        let mut claims = BTreeMap::new();
        for (class, text) in map.data.iter().flatten() {
            let line = |line: &str| {
                let (host, since) = line.split_once(' ')?;
                let host = if host == "*" { Hostname::Any } else { Hostname::parse_ingress(host).ok()? };
                Some(((EdgeId::of_class(class), host), since.trim().parse().ok()?))
            };
            claims.extend(text.lines().filter_map(line));
        }
        Self(claims)
    }

    /// What [`Self::read`] reads.
    pub fn data(&self) -> BTreeMap<String, String> {
        let mut data = BTreeMap::<String, String>::new();
        for ((edge, host), since) in &self.0 {
            let text = data.entry(edge.name.clone()).or_default();
            text.push_str(&match host {
                Hostname::Label(suffix) => format!("*.{suffix} {since}\n"),
                host => format!("{host} {since}\n"),
            });
        }
        data
    }

    /// The claims that a namespace is to have now: those that it has of what it is to have stay as they are.
    pub fn kept(&self, wanted: &BTreeSet<Host>, now: i64) -> Self {
        Self(wanted.iter().map(|host| (host.clone(), self.0.get(host).copied().unwrap_or(now))).collect())
    }
}

/// The claims of all namespaces, by host.
#[derive(Debug, Default)]
pub(super) struct Claimed(BTreeMap<Host, BTreeSet<(i64, String)>>);

impl Claimed {
    /// The namespace that has a host. If two leaders wrote claims at the same time, the earlier one counts.
    pub(super) fn owner(&self, host: &Host) -> Option<&String> {
        self.0.get(host)?.first().map(|(_, namespace)| namespace)
    }

    /// Replaces the claims of a namespace. Returns what reads differently now.
    pub(super) fn apply(&mut self, claimant: &str, old: Option<&Claims>, new: Option<&Claims>) -> Vec<Read> {
        let entries = |claims: Option<&Claims>| claims.map(|claims| claims.0.clone()).unwrap_or_default();
        let (old, new) = (entries(old), entries(new));
        for (host, since) in old.iter().filter(|(host, since)| new.get(*host) != Some(since)) {
            let Some(entries) = self.0.get_mut(host) else { continue };
            entries.remove(&(*since, claimant.to_owned()));
            if entries.is_empty() {
                self.0.remove(host);
            }
        }
        for (host, since) in new.iter().filter(|(host, since)| old.get(*host) != Some(since)) {
            self.0.entry(host.clone()).or_default().insert((*since, claimant.to_owned()));
        }
        let hosts: BTreeSet<_> = old.keys().chain(new.keys()).filter(|host| old.get(*host) != new.get(*host)).cloned().collect();
        hosts.into_iter().map(|(edge, host)| Read::Host(edge, host)).collect()
    }

    /// Whether nothing is claimed.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Hosts that the profile of a class gives to namespaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reserved {
    exact: BTreeMap<Hostname, String>,
    /// By suffix.
    below: BTreeMap<String, String>,
}

impl Reserved {
    /// What a profile says; of what is no host, nothing.
    pub(super) fn read(declared: &[ReservedHosts]) -> Arc<Self> {
        let mut reserved = Self::default();
        for ReservedHosts { namespace, hosts } in declared {
            for host in hosts.iter().filter_map(|host| Hostname::parse(host).ok()) {
                match host {
                    Hostname::Wildcard(suffix) => reserved.below.entry(suffix).or_insert_with(|| namespace.clone()),
                    host => reserved.exact.entry(host).or_insert_with(|| namespace.clone()),
                };
            }
        }
        Arc::new(reserved)
    }

    /// The namespace that a host is given to.
    pub(crate) fn owner(&self, host: &Hostname) -> Option<&String> {
        if let Some(owner) = self.exact.get(host) {
            return Some(owner);
        }
        let mut suffix = match host {
            Hostname::Exact(name) => name.split_once('.')?.1,
            Hostname::Label(suffix) => suffix,
            Hostname::Any | Hostname::Wildcard(_) => return None,
        };
        loop {
            if let Some(owner) = self.below.get(suffix) {
                return Some(owner);
            }
            suffix = suffix.split_once('.')?.1;
        }
    }
}

/// The hosts that each namespace is to have claims of.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    owners: BTreeMap<Host, String>,
    by_namespace: BTreeMap<String, Arc<BTreeSet<Host>>>,
}

impl Holdings {
    /// Notes who is served for a host now, if any namespace is. Returns the namespaces whose hosts differ.
    pub(super) fn note(&mut self, host: &Host, owner: Option<String>) -> Vec<String> {
        let before = match &owner {
            Some(owner) => self.owners.insert(host.clone(), owner.clone()),
            None => self.owners.remove(host),
        };
        if before == owner {
            return Vec::new();
        }
        if let Some(hosts) = before.as_ref().and_then(|before| self.by_namespace.get_mut(before)) {
            Arc::make_mut(hosts).remove(host);
        }
        if let Some(before) = before.as_ref().filter(|before| self.by_namespace.get(*before).is_some_and(|hosts| hosts.is_empty())) {
            self.by_namespace.remove(before);
        }
        if let Some(owner) = &owner {
            Arc::make_mut(self.by_namespace.entry(owner.clone()).or_default()).insert(host.clone());
        }
        before.into_iter().chain(owner).collect()
    }

    /// The hosts of a namespace.
    pub(super) fn of(&self, namespace: &str) -> Arc<BTreeSet<Host>> {
        self.by_namespace.get(namespace).cloned().unwrap_or_default()
    }

    /// Whether no namespace has any.
    pub(super) fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::{Claimed, Claims, ClaimsPlace, Reserved};
    use crate::api::{ConfigMap, ReservedHosts};
    use crate::model::{EdgeId, Hostname};

    fn host(text: &str) -> (EdgeId, Hostname) {
        (EdgeId::of_class("web"), Hostname::parse_ingress(text).unwrap())
    }

    #[test]
    fn claims_are_read_as_they_are_written() {
        let claims = Claims(BTreeMap::from([(host("a.x.io"), 1), (host("*.x.io"), 2), (host(""), 3)]));
        let data = claims.data();
        assert_eq!(data, BTreeMap::from([("web".to_owned(), "* 3\n*.x.io 2\na.x.io 1\n".to_owned())]));
        let with = |data| Claims::read(&ConfigMap { data: Some(data), ..ConfigMap::default() });
        assert_eq!(with(data), claims);
        let strange = "a.x.io 1\nA_ 2\nb.x.io\n\n*.x.io 2 3\nc.x.io x\n* 3\n".to_owned();
        assert_eq!(with(BTreeMap::from([("web".to_owned(), strange)])).0.len(), 2);
    }

    #[test]
    fn kept_claims_keep_their_time() {
        let claims = Claims(BTreeMap::from([(host("a.x.io"), 1), (host("b.x.io"), 2)]));
        let kept = claims.kept(&BTreeSet::from([host("b.x.io"), host("c.x.io")]), 9);
        assert_eq!(kept.0, BTreeMap::from([(host("b.x.io"), 2), (host("c.x.io"), 9)]));
    }

    #[test]
    fn the_earlier_of_two_claims_counts_in_any_order() {
        let of = |since| Claims(BTreeMap::from([(host("a.x.io"), since)]));
        for order in [[("late", 2), ("early", 1)], [("early", 1), ("late", 2)]] {
            let mut claimed = Claimed::default();
            order.into_iter().for_each(|(namespace, since)| drop(claimed.apply(namespace, None, Some(&of(since)))));
            assert_eq!(claimed.owner(&host("a.x.io")).unwrap(), "early");
            claimed.apply("early", Some(&of(1)), None);
            assert_eq!(claimed.owner(&host("a.x.io")).unwrap(), "late");
            claimed.apply("late", Some(&of(2)), None);
            assert!(claimed.is_empty());
        }
    }

    #[test]
    fn only_maps_of_the_place_are_claims() {
        let place = ClaimsPlace { namespace: "operator".into(), prefix: "kakehi-hosts-".into() };
        assert_eq!(place.claimant("operator", &place.name("a")), Some("a"));
        assert_eq!(place.claimant("tenant", "kakehi-hosts-a"), None);
        assert_eq!((place.claimant("operator", "kakehi-hosts-"), place.claimant("operator", "other")), (None, None));
    }

    #[test]
    fn a_profile_gives_names_and_what_is_below_them() {
        let of = |namespace: &str, hosts: &[&str]| ReservedHosts {
            namespace: namespace.into(),
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        };
        let reserved = Reserved::read(&[of("a", &["x.io", "*.x.io", "bad_"]), of("b", &["*.b.x.io", "c.x.io", "x.io"]), of("c", &["*"])]);
        for (text, owner) in [
            ("x.io", Some("a")),
            ("y.x.io", Some("a")),
            ("*.x.io", Some("a")),
            ("y.b.x.io", Some("b")),
            ("*.b.x.io", Some("b")),
            ("b.x.io", Some("a")),
            ("c.x.io", Some("b")),
            ("io", None),
            ("", Some("c")),
        ] {
            assert_eq!(reserved.owner(&host(text).1).map(String::as_str), owner, "{text}");
        }
    }
}
