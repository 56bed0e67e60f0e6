//! Which rule takes a request: the table of one edge, compiled from its snapshot.
//!
//! Pure: no clock, no network. A [`Table`] is a persistent value, so a change costs what changes and readers keep the
//! table they began with.

mod conditions;
mod entry;
mod hosts;
mod paths;
mod patterns;
mod query;
#[cfg(test)]
mod tests;
mod texts;

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::{HeaderMap, Response};
use imbl::HashMap;

pub use self::query::first as first_parameter;
pub use entry::{Action, Candidate, Candidates, Rule};

use self::entry::{Compiled, Entry};
use self::hosts::HostIndex;
use self::paths::HostRules;
use self::patterns::Patterns;
use super::filters::cors;
use crate::model::{Backend, BackendId, Endpoint, Kind, Listener, ListenerName, ObjectId};
use crate::snapshot::wire::Refusal;
use crate::snapshot::{Certified, Delta, Key, Resource, Snapshot};
use crate::traffic::{Pair, Routed};

/// What a decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Port of the listener.
    pub port: u16,
    /// Host as [`host_of`] makes it.
    pub host: &'a str,
    /// Method.
    pub method: &'a str,
    /// Path and query, as the client wrote them.
    pub target: &'a str,
    /// Header fields.
    pub headers: &'a HeaderMap,
}

/// The host of an authority (the `Host` field or an absolute target's): lower-case, without port, else as it is.
pub fn host_of(authority: &str) -> Cow<'_, str> {
    let host = match authority.rfind(':') {
        Some(colon) if !authority.get(colon..).is_some_and(|port| port.contains(']')) => authority.get(..colon).unwrap_or(authority),
        _ => authority,
    };
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) { Cow::Owned(host.to_ascii_lowercase()) } else { Cow::Borrowed(host) }
}

impl<'a> Head<'a> {
    /// The path: the target up to `?`.
    pub fn path(&self) -> &'a str {
        self.target.split_once('?').map_or(self.target, |(path, _)| path)
    }

    /// The query: the target after `?`, empty without one.
    pub fn query(&self) -> &'a str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }
}

/// What a request meets.
#[derive(Debug)]
pub enum Decision<'t> {
    /// No rule takes it: 404.
    NotFound,
    /// A rule takes it, but no certificate is shown for its host ([`Listener::certificates_by_name`]): 421.
    Misdirected,
    /// A fixed answer.
    Answer(Found<'t>, u16),
    /// A redirect.
    Redirect(Found<'t>, &'t crate::filter::filters::Redirect),
    /// One of these backends.
    Forward(Found<'t>, &'t Candidates),
}

/// The match that won.
#[derive(Clone, Copy, Debug)]
pub struct Found<'t> {
    /// The listener that the request belongs to.
    pub listener: &'t Listener,
    /// The rule.
    pub rule: &'t Arc<Rule>,
    /// Bytes of the path that a prefix match took, `/` being 0.
    pub prefix: Option<usize>,
}

impl<'t> Decision<'t> {
    /// The match that won, if one did.
    pub fn found(&self) -> Option<&Found<'t>> {
        match self {
            Self::NotFound | Self::Misdirected => None,
            Self::Answer(found, _) | Self::Redirect(found, _) | Self::Forward(found, _) => Some(found),
        }
    }
}

/// Everything the filter proxy knows about one edge. A clone is cheap.
#[derive(Clone, Default)]
pub struct Table {
    ports: HashMap<u16, HostIndex<Vec<ListenerName>>>,
    listeners: HashMap<ListenerName, Arc<Listener>>,
    hosts: HashMap<ListenerName, HostIndex<Arc<HostRules>>>,
    routes: HashMap<ObjectId, Arc<Compiled>>,
    backends: HashMap<BackendId, Arc<Held>>,
    refused: HashMap<Key, Arc<str>>,
    patterns: Patterns,
    certified: Certified,
}

/// A backend as its Service has it, and as gRPC has it, once that is asked for.
#[derive(Debug)]
struct Held {
    backend: Arc<Backend>,
    calls: OnceLock<Arc<Backend>>,
}

impl Table {
    /// The table of a whole snapshot.
    pub fn from_snapshot(snapshot: &Snapshot) -> Self {
        let mut table = Self::default();
        table.apply(&snapshot.as_delta());
        table
    }

    /// Applies a change and returns the endpoints that it took away from a backend.
    pub fn apply(&mut self, delta: &Delta) -> Vec<Endpoint> {
        let mut gone = Vec::new();
        for resource in &delta.set {
            self.remove(&resource.key(), &mut gone);
            match &**resource {
                Resource::Listener(listener) => self.add_listener(listener),
                Resource::Route(route) => self.add_route(route),
                Resource::Backend(backend) => {
                    gone.retain(|endpoint| backend.endpoints.binary_search(endpoint).is_err());
                    let held = Held { backend: Arc::new(backend.clone()), calls: OnceLock::new() };
                    self.backends.insert(backend.id.clone(), Arc::new(held));
                }
                Resource::Certificate(certificate) => {
                    self.certified.set(certificate);
                }
            }
        }
        for key in &delta.remove {
            self.remove(key, &mut gone);
        }
        gone
    }

    /// Which rule takes a request.
    pub fn decide(&self, head: &Head<'_>) -> Decision<'_> {
        let Some((listener, entry)) = self.find(head) else { return Decision::NotFound };
        let found = Found { listener, rule: &entry.rule, prefix: entry.conditions.path.prefix() };
        if listener.certificates_by_name && !self.certified.covers_name(head.host, &entry.rule.route.namespace) {
            return Decision::Misdirected;
        }
        match &entry.rule.action {
            _ if entry.conditions.broken => Decision::Answer(found, 500),
            Action::Answer(status) => Decision::Answer(found, *status),
            Action::Redirect(redirect) => Decision::Redirect(found, redirect),
            Action::Forward(candidates) => Decision::Forward(found, candidates),
        }
    }

    /// The answer to a CORS preflight, and whose policy it says: that of the rule which the request would reach that the browser
    /// asks for, else of the one that takes the preflight itself. It goes before all that a rule does otherwise, also where
    /// that is to fail: else browsers would not get as far as the status.
    pub fn preflight<'t>(&'t self, head: &Head<'_>) -> Option<(Found<'t>, Response<Bytes>)> {
        let wanted = cors::wanted(head.method, head.headers)?;
        let asked_for = wanted.to_str().ok().into_iter();
        asked_for.chain([head.method]).find_map(|method| {
            let found = *self.decide(&Head { method, ..*head }).found()?;
            let policy = found.rule.filters.cors.as_ref()?;
            Some((found, policy.preflight(wanted, head.headers)))
        })
    }

    /// Whether any listener has this port.
    pub fn has_port(&self, port: u16) -> bool {
        self.ports.contains_key(&port)
    }

    /// A listener of a port, for what all of them say alike: protocol and tuning.
    pub fn any_listener(&self, port: u16) -> Option<&Arc<Listener>> {
        self.listeners.get(self.ports.get(&port)?.values().flatten().next()?)
    }

    /// The listener that requests for a host belong to.
    pub fn listener(&self, port: u16, host: &str) -> Option<&Arc<Listener>> {
        self.listeners.get(self.owner(port, host)?)
    }

    /// The listener without hostname, where clients come that name no host.
    pub fn listener_for_any(&self, port: u16) -> Option<&Arc<Listener>> {
        self.listeners.get(self.ports.get(&port)?.any()?.first()?)
    }

    fn owner(&self, port: u16, host: &str) -> Option<&ListenerName> {
        self.ports.get(&port)?.covering(host).find_map(|names| names.first())
    }

    /// A backend, as routes of this kind reach it.
    pub fn backend(&self, id: &BackendId, kind: Kind) -> Option<&Arc<Backend>> {
        let held = self.backends.get(id)?;
        let protocol = held.backend.protocol_for(kind);
        if protocol == held.backend.protocol {
            return Some(&held.backend);
        }
        Some(held.calls.get_or_init(|| Arc::new(Backend { protocol, ..Backend::clone(&held.backend) })))
    }

    /// Whether requests of this pair can still come.
    pub fn serves(&self, pair: &Pair) -> bool {
        let Routed::By(id) = &pair.route else { return true };
        let Some(backend) = &pair.backend else { return self.routes.contains_key(id) };
        let entries = self.routes.get(id).into_iter().flat_map(|compiled| &compiled.places);
        let mut actions = entries.map(|(_, _, entry)| &entry.rule.action);
        actions.any(|action| matches!(action, Action::Forward(candidates) if candidates.lead_to(backend)))
    }

    /// What is held back, with the reason; sorted by key.
    pub fn refused(&self) -> Vec<Refusal> {
        let mut refused: Vec<Refusal> =
            self.refused.iter().map(|(key, reason)| Refusal { key: key.clone(), reason: reason.to_string() }).collect();
        refused.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        refused
    }

    /// The listener is the most specific of the port; a host without a rule there falls through to less specific
    /// hostnames of the same listener, never to another listener. The `*` of `OPTIONS *` is no path, so nothing takes it,
    /// as in Sōzu.
    fn find(&self, head: &Head<'_>) -> Option<(&Arc<Listener>, &Arc<Entry>)> {
        if !head.target.starts_with('/') {
            return None;
        }
        let name = self.owner(head.port, head.host)?;
        let best = self.hosts.get(name)?.covering(head.host).fold(None, |best, rules| rules.find(head, best))?;
        Some((self.listeners.get(name)?, best))
    }

    fn add_listener(&mut self, listener: &Listener) {
        let add = |names: &mut Vec<ListenerName>| {
            let at = names.partition_point(|name| *name < listener.name);
            names.insert(at, listener.name.clone());
        };
        self.ports.entry(listener.port).or_default().update(&listener.hostname, add, |_| true);
        self.listeners.insert(listener.name.clone(), Arc::new(listener.clone()));
    }

    fn add_route(&mut self, route: &crate::model::Route) {
        let compiled = Compiled::new(route, &mut self.patterns);
        for (listener, hostname, entry) in &compiled.places {
            let hosts = self.hosts.entry(listener.clone()).or_default();
            hosts.update(hostname, |rules| Arc::make_mut(rules).insert(entry), |_| true);
        }
        if !compiled.problems.is_empty() {
            self.refused.insert(Key::Route(route.id.clone()), compiled.problems.join("; ").into());
        }
        self.routes.insert(route.id.clone(), Arc::new(compiled));
    }

    fn remove(&mut self, key: &Key, gone: &mut Vec<Endpoint>) {
        self.refused.remove(key);
        match key {
            Key::Listener(name) => self.remove_listener(name),
            Key::Route(id) => self.remove_route(id),
            Key::Backend(id) => gone.extend(self.backends.remove(id).iter().flat_map(|held| &held.backend.endpoints)),
            Key::Certificate(id) => {
                self.certified.remove(id);
            }
        }
    }

    fn remove_listener(&mut self, name: &ListenerName) {
        let Some(listener) = self.listeners.remove(name) else { return };
        let Some(index) = self.ports.get_mut(&listener.port) else { return };
        index.update(&listener.hostname, |names| names.retain(|other| other != name), |names| !names.is_empty());
        if index.is_empty() {
            self.ports.remove(&listener.port);
        }
    }

    fn remove_route(&mut self, id: &ObjectId) {
        let Some(compiled) = self.routes.remove(id) else { return };
        for (listener, hostname, entry) in &compiled.places {
            let Some(hosts) = self.hosts.get_mut(listener) else { continue };
            hosts.update(hostname, |rules| Arc::make_mut(rules).remove(entry), |rules| !rules.is_empty());
            if hosts.is_empty() {
                self.hosts.remove(listener);
            }
        }
    }
}
