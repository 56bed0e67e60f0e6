//! A snapshot by what a plan asks of it: the entries of a host by the texts that their paths are matched with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::OrdSet;

use super::asked::{Asked, is_patient, labels_of};
use super::few::Few;
use super::hosts::Listeners;
use super::native::is_plain_path;
use super::regions::classes;
use super::touched::Touched;
use crate::model::{
    Action, Backend, BackendId, BackendProtocol, BackendTarget, Certificate, CertificateId, HostRank, Hostname, Kind, ListenerName, Match,
    ObjectId, PathMatch, Rank, Route, Rule,
};
use crate::snapshot::{Certified, Delta, Key, Resource, Snapshot};

/// A snapshot with its indexes.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    snapshot: Snapshot,
    listeners: Listeners,
    /// By listener and effective host.
    hosts: BTreeMap<(ListenerName, Hostname), Entries>,
    /// Routes that name a backend.
    naming: BTreeMap<BackendId, Few<ObjectId, ()>>,
    /// What the routes of a listener ask of its port.
    asked: BTreeMap<ListenerName, Asked>,
    certified: Certified,
}

/// The (declared host, rule, match) entries of one effective host on one listener. A [`Rank`] names its entry.
#[derive(Clone, Debug, Default)]
pub(super) struct Entries {
    /// Entries by the texts of their path conditions.
    pub texts: Few<String, BTreeSet<Arc<Rank>>>,
    /// Number of entries with a path that Sōzu can compare.
    plain: usize,
    /// Number of entries that match by regular expression.
    pub regex: usize,
    /// Number of entries with a path that no request has.
    pub odd: usize,
    /// Specificity of the declared hosts, counted.
    pub host_ranks: Few<HostRank, usize>,
    /// One of the routes.
    route: Option<Key>,
    /// The others.
    routes: OrdSet<Key>,
}

impl Entries {
    /// Every entry that matches by a text, lowest rank first.
    pub fn all(&self) -> BTreeSet<&Arc<Rank>> {
        self.texts.values().flatten().collect()
    }

    /// The routes.
    pub fn routes(&self) -> OrdSet<Key> {
        let mut routes = self.routes.clone();
        routes.extend(self.route.clone());
        routes
    }
}

impl Index {
    pub(super) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    pub(super) fn listeners(&self) -> &Listeners {
        &self.listeners
    }

    /// The entries of a host on a listener.
    pub(super) fn entries(&self, listener: &ListenerName, host: &Hostname) -> Option<&Entries> {
        self.hosts.get(&(listener.clone(), host.clone()))
    }

    /// The hosts that certificates are shown for, where they are shown by name.
    pub(super) fn certified(&self) -> &Certified {
        &self.certified
    }

    /// The effective hosts of a listener's routes.
    pub(super) fn hosts(&self, listener: &ListenerName) -> impl Iterator<Item = &Hostname> {
        let from = (listener.clone(), Hostname::Any);
        self.hosts.range(from..).map(|(key, _)| key).take_while(move |(of, _)| of == listener).map(|(_, host)| host)
    }

    pub(super) fn certificate(&self, id: &CertificateId) -> Option<&Certificate> {
        match &**self.snapshot.get(&Key::Certificate(id.clone()))? {
            Resource::Certificate(certificate) => Some(certificate),
            _ => None,
        }
    }

    pub(super) fn backend(&self, id: &BackendId) -> Option<&Backend> {
        match &**self.snapshot.get(&Key::Backend(id.clone()))? {
            Resource::Backend(backend) => Some(backend),
            _ => None,
        }
    }

    /// What a backend speaks; an absent one answers 503 in any protocol.
    pub(super) fn protocol(&self, id: &BackendId) -> BackendProtocol {
        self.backend(id).map(|backend| backend.protocol).unwrap_or_default()
    }

    /// Whether clients of a listener's routes may come with HTTP/2 and prior knowledge.
    pub(super) fn wants_http2(&self, listener: &ListenerName) -> bool {
        self.asked.get(listener).is_some_and(|asked| !asked.http2.is_empty())
    }

    /// Whether a listener's routes may take longer than is usual.
    pub(super) fn is_patient(&self, listener: &ListenerName) -> bool {
        self.asked.get(listener).is_some_and(|asked| !asked.patient.is_empty())
    }

    /// Whether a listener has routes of a kind.
    pub(super) fn has_kind(&self, listener: &ListenerName, kind: Kind) -> bool {
        self.asked.get(listener).is_some_and(|asked| asked.kinds.contains_key(&kind))
    }

    /// The most labels that a host of a listener's routes has, a wildcard counting as one.
    pub(super) fn most_labels(&self, listener: &ListenerName) -> usize {
        self.asked.get(listener).and_then(|asked| asked.labels.last_key_value()).map_or(0, |(labels, _)| *labels)
    }

    fn route(&self, id: &ObjectId) -> Option<&Route> {
        match &**self.snapshot.get(&Key::Route(id.clone()))? {
            Resource::Route(route) => Some(route),
            _ => None,
        }
    }

    /// The rule and match that a rank names.
    pub(super) fn find(&self, rank: &Rank) -> Option<(Key, &Rule, &Match)> {
        let (object, kind) = &rank.object.0;
        let (namespace, name) = object.split_once('/')?;
        let route = self.route(&ObjectId::new(*kind, namespace, name))?;
        let rule = route.rules.get(rank.rule.0)?;
        Some((Key::Route(route.id.clone()), rule, rule.matches.get(rank.index.0)?))
    }

    /// Follows a change to a snapshot.
    pub(super) fn follow(&mut self, delta: &Delta, next: Snapshot) -> Touched {
        let mut touched = Touched::default();
        let keys: BTreeSet<Key> = delta.keys().collect();
        let mut protocols = BTreeMap::new();
        let mut held = BTreeMap::new();
        for key in &keys {
            if let Key::Backend(id) = key {
                protocols.insert(id, self.protocol(id));
            }
            if let Some(resource) = self.snapshot.get(key).cloned() {
                self.forget(&resource, &mut touched);
                held.insert(key, resource);
            }
        }
        self.snapshot = next;
        for key in &keys {
            let resource = self.snapshot.get(key).cloned();
            if let Some(resource) = &resource {
                self.learn(resource, &mut touched);
            }
            if let Key::Certificate(id) = key {
                touched.names.extend(match resource.as_deref() {
                    Some(Resource::Certificate(certificate)) => self.certified.set(certificate),
                    _ => self.certified.remove(id),
                });
            }
            touched.note_listeners(held.get(key).map(|old| &**old), resource.as_deref());
        }
        for (id, before) in protocols {
            if self.protocol(id) != before {
                let routes: Vec<Route> =
                    self.naming.get(id).into_iter().flat_map(Few::keys).filter_map(|route| self.route(route)).cloned().collect();
                for route in &routes {
                    each_entry(route, |host, rank| touched.note(host, rank, route));
                    self.note_http2(route);
                    touched.asked.extend(Self::listeners_of(route).into_iter().cloned());
                }
            }
        }
        touched
    }

    /// Notes whether a route's clients may come with HTTP/2 and prior knowledge: they may where its backends do.
    fn note_http2(&mut self, route: &Route) {
        let wants = named(route).into_iter().any(|backend| self.protocol(backend) == BackendProtocol::H2c);
        for attachment in &route.attachments {
            let asked = self.asked.entry(attachment.listener.clone()).or_default();
            if wants {
                asked.http2.insert(route.id.clone())
            } else {
                asked.http2.remove(&route.id)
            };
        }
    }

    /// The listeners of a route, each once.
    fn listeners_of(route: &Route) -> BTreeSet<&ListenerName> {
        route.attachments.iter().map(|attachment| &attachment.listener).collect()
    }

    fn forget(&mut self, resource: &Resource, touched: &mut Touched) {
        match resource {
            Resource::Listener(listener) => {
                self.listeners.remove(listener);
            }
            Resource::Route(route) => {
                each_entry(route, |host, rank| {
                    touched.note(host, rank, route);
                    if let Some(entries) = self.hosts.get_mut(host) {
                        entries.remove(rank, route);
                        if entries.is_empty() {
                            self.hosts.remove(host);
                            if let Some(asked) = self.asked.get_mut(&host.0) {
                                take_one(&mut asked.labels, &labels_of(&host.1));
                            }
                        }
                    }
                });
                touched.asked.extend(Self::listeners_of(route).into_iter().cloned());
                for listener in Self::listeners_of(route) {
                    if let Some(asked) = self.asked.get_mut(listener) {
                        asked.http2.remove(&route.id);
                        asked.patient.remove(&route.id);
                        take_one(&mut asked.kinds, &route.id.kind);
                        if *asked == Asked::default() {
                            self.asked.remove(listener);
                        }
                    }
                }
                for backend in named(route) {
                    if let Some(routes) = self.naming.get_mut(backend) {
                        routes.remove(&route.id);
                        if routes.is_empty() {
                            self.naming.remove(backend);
                        }
                    }
                }
            }
            Resource::Backend(backend) => {
                touched.backends.insert(backend.id.clone());
            }
            Resource::Certificate(certificate) => {
                touched.certificates.insert(certificate.id.clone());
            }
        }
    }

    fn learn(&mut self, resource: &Resource, touched: &mut Touched) {
        match resource {
            Resource::Listener(listener) => {
                self.listeners.insert(listener.clone());
            }
            Resource::Route(route) => {
                each_entry(route, |host, rank| {
                    touched.note(host, rank, route);
                    let entries = self.hosts.entry(host.clone()).or_default();
                    if entries.is_empty() {
                        *self.asked.entry(host.0.clone()).or_default().labels.entry(labels_of(&host.1)).or_default() += 1;
                    }
                    entries.insert(rank, route);
                });
                touched.asked.extend(Self::listeners_of(route).into_iter().cloned());
                for listener in Self::listeners_of(route) {
                    let asked = self.asked.entry(listener.clone()).or_default();
                    *asked.kinds.entry(route.id.kind).or_default() += 1;
                    if route.rules.iter().any(is_patient) {
                        asked.patient.insert(route.id.clone());
                    }
                }
                self.note_http2(route);
                for backend in named(route) {
                    self.naming.entry(backend.clone()).or_default().insert(route.id.clone(), ());
                }
            }
            Resource::Backend(backend) => {
                touched.backends.insert(backend.id.clone());
            }
            Resource::Certificate(certificate) => {
                touched.certificates.insert(certificate.id.clone());
            }
        }
    }
}

impl Entries {
    fn insert(&mut self, rank: &Arc<Rank>, route: &Route) {
        let Some(path) = path_of(rank, route) else { return };
        *self.counter(path) += 1;
        self.host_ranks.update(rank.host, |count| *count += 1, |_| true);
        let key = Key::Route(route.id.clone());
        match &self.route {
            None if !self.routes.contains(&key) => self.route = Some(key),
            Some(one) if *one == key => {}
            _ => {
                self.routes.insert(key);
            }
        }
        for class in classes(path) {
            self.texts.update(
                class.text,
                |ranks| {
                    ranks.insert(rank.clone());
                },
                |_| true,
            );
        }
    }

    fn remove(&mut self, rank: &Arc<Rank>, route: &Route) {
        let Some(path) = path_of(rank, route) else { return };
        *self.counter(path) -= 1;
        self.host_ranks.update(rank.host, |count| *count = count.saturating_sub(1), |count| *count > 0);
        let key = Key::Route(route.id.clone());
        if self.route.as_ref() == Some(&key) {
            self.route = None;
        } else {
            self.routes.remove(&key);
        }
        for class in classes(path) {
            self.texts.update(
                class.text,
                |ranks| {
                    ranks.remove(rank);
                },
                |ranks| !ranks.is_empty(),
            );
        }
    }

    fn counter(&mut self, path: &PathMatch) -> &mut usize {
        match path {
            PathMatch::Regex(_) | PathMatch::Call { .. } => &mut self.regex,
            PathMatch::Exact(text) | PathMatch::Prefix(text) if !is_plain_path(text) => &mut self.odd,
            PathMatch::Exact(_) | PathMatch::Prefix(_) => &mut self.plain,
        }
    }

    fn is_empty(&self) -> bool {
        self.host_ranks.is_empty()
    }
}

pub(super) fn path_of<'a>(rank: &Rank, route: &'a Route) -> Option<&'a PathMatch> {
    Some(&route.rules.get(rank.rule.0)?.matches.get(rank.index.0)?.path)
}

/// Visits the entries of a route by listener and effective host, each once.
fn each_entry(route: &Route, mut visit: impl FnMut(&(ListenerName, Hostname), &Arc<Rank>)) {
    for attachment in &route.attachments {
        let pairs: BTreeSet<&(Hostname, Hostname)> = attachment.hostnames.iter().collect();
        for (declared, effective) in pairs {
            let host = (attachment.listener.clone(), effective.clone());
            for (number, rule) in route.rules.iter().enumerate().filter(|(_, rule)| rule.is_for(declared)) {
                for (index, matched) in rule.matches.iter().enumerate() {
                    visit(&host, &Arc::new(route.rank(declared, number, index, matched)));
                }
            }
        }
    }
}

/// The backends that a route's rules name.
fn named(route: &Route) -> BTreeSet<&BackendId> {
    let mut named = BTreeSet::new();
    for rule in &route.rules {
        let Action::Forward(refs) = &rule.action else { continue };
        for reference in refs {
            if let BackendTarget::Service(id) = &reference.target {
                named.insert(id);
            }
        }
    }
    named
}

/// Counts one less, and nothing rather than zero.
fn take_one<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}
