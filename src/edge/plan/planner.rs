//! The planner: keeps the target in step with a snapshot, touching only what a change touches.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use super::hosts::{Listeners, port_of};
use super::regions::{self, Entry};
use super::target::{ClusterId, Frontend, HostRule, PortCertificate, PortId, Stage, Target, Upstream, Vhost, VhostId};
use super::{Reason, native};
use crate::model::{
    Action, BackendId, BackendProtocol, BackendTarget, CertificateId, Hostname, Listener, ListenerName, ObjectId, Protocol, Route,
};
use crate::snapshot::{Delta, Key, Resource, Snapshot};

/// Entries that Sōzu may have to scan for a request of no known host.
const LIST_LIMIT: usize = 64;
/// Wildcards that may stand before that list, as regular expressions.
const WILDCARD_LIMIT: usize = 16;

/// How to plan.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Send everything to the filter.
    pub force_hop: bool,
}

/// Holds the target of a snapshot and follows its changes.
#[derive(Clone, Debug, Default)]
pub struct Planner {
    options: Options,
    snapshot: Snapshot,
    target: Target,
    listeners: Listeners,
    /// Routes with an effective host in a virtual host, from whatever listener of its port.
    routes_of: BTreeMap<VhostId, BTreeSet<ObjectId>>,
    /// Routes attached to a listener.
    attached: BTreeMap<ListenerName, BTreeSet<ObjectId>>,
    /// Routes that name a backend.
    naming: BTreeMap<BackendId, BTreeSet<ObjectId>>,
    /// Virtual hosts with a native frontend to a backend.
    forwarding: BTreeMap<BackendId, BTreeSet<VhostId>>,
    /// Wildcard virtual hosts by port.
    wildcards: BTreeMap<PortId, BTreeSet<String>>,
}

/// What a delta makes necessary to plan again.
#[derive(Default)]
struct Dirty {
    ports: BTreeSet<PortId>,
    certificate_ports: BTreeSet<PortId>,
    vhosts: BTreeSet<VhostId>,
    clusters: BTreeSet<BackendId>,
}

impl Planner {
    /// A planner of the empty snapshot.
    pub fn new(options: Options) -> Self {
        Self { options, ..Self::default() }
    }

    /// What Sōzu must hold.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The snapshot that the target is planned from.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Follows a change. The cost grows with the virtual hosts that the change touches.
    pub fn apply(&mut self, delta: &Delta) {
        let mut dirty = Dirty::default();
        let keys: BTreeSet<Key> = delta.keys().collect();
        let held = |snapshot: &Snapshot| keys.iter().filter_map(|key| snapshot.get(key).cloned()).collect::<Vec<_>>();
        let before = held(&self.snapshot);
        for resource in &before {
            self.forget(resource, &mut dirty);
        }
        let spoke: BTreeMap<&Key, BackendProtocol> =
            keys.iter().filter_map(|key| if let Key::Backend(id) = key { Some((key, self.protocol(id))) } else { None }).collect();
        self.snapshot.apply(delta);
        let after = held(&self.snapshot);
        // Listeners first: the virtual hosts of a route depend on them.
        for resource in after.iter().filter(|resource| matches!(***resource, Resource::Listener(_))) {
            self.learn(resource, &mut dirty);
        }
        for resource in after.iter().filter(|resource| !matches!(***resource, Resource::Listener(_))) {
            self.learn(resource, &mut dirty);
        }
        for (key, before) in spoke {
            let Key::Backend(id) = key else { continue };
            if self.protocol(id) != before {
                let routes = self.naming.get(id).into_iter().flatten().filter_map(|route| self.route(route));
                dirty.vhosts.extend(routes.flat_map(|route| self.vhosts_of(route)));
            }
        }
        self.plan(dirty);
    }

    /// Takes a resource out of the indexes.
    fn forget(&mut self, resource: &Resource, dirty: &mut Dirty) {
        match resource {
            Resource::Listener(listener) => {
                self.unindex_attached(listener);
                self.listeners.remove(listener);
                dirty.ports.insert(port_of(listener));
            }
            Resource::Route(route) => {
                for id in self.vhosts_of(route) {
                    remove_from(&mut self.routes_of, &id, &route.id);
                    dirty.vhosts.insert(id);
                }
                for attachment in &route.attachments {
                    remove_from(&mut self.attached, &attachment.listener, &route.id);
                }
                for backend in named(route) {
                    remove_from(&mut self.naming, backend, &route.id);
                }
            }
            Resource::Backend(backend) => {
                dirty.clusters.insert(backend.id.clone());
            }
            Resource::Certificate(certificate) => self.mark_certificate(&certificate.id, dirty),
        }
    }

    /// Enters a resource into the indexes.
    fn learn(&mut self, resource: &Resource, dirty: &mut Dirty) {
        match resource {
            Resource::Listener(listener) => {
                self.listeners.insert(listener.clone());
                dirty.ports.insert(port_of(listener));
                self.index_attached(listener);
            }
            Resource::Route(route) => {
                for attachment in &route.attachments {
                    self.attached.entry(attachment.listener.clone()).or_default().insert(route.id.clone());
                }
                for backend in named(route) {
                    self.naming.entry(backend.clone()).or_default().insert(route.id.clone());
                }
                for id in self.vhosts_of(route) {
                    self.routes_of.entry(id.clone()).or_default().insert(route.id.clone());
                    dirty.vhosts.insert(id);
                }
            }
            Resource::Backend(backend) => {
                dirty.clusters.insert(backend.id.clone());
            }
            Resource::Certificate(certificate) => self.mark_certificate(&certificate.id, dirty),
        }
    }

    /// A listener comes: its routes get virtual hosts on its port.
    fn index_attached(&mut self, listener: &Listener) {
        for route in self.attached_routes(&listener.name) {
            for id in self.vhosts_of(&route) {
                self.routes_of.entry(id).or_default().insert(route.id.clone());
            }
        }
    }

    /// A listener goes: its routes lose their virtual hosts on its port, unless another of their listeners gives the same.
    fn unindex_attached(&mut self, listener: &Listener) {
        let port = port_of(listener);
        for route in self.attached_routes(&listener.name) {
            let mut lost: BTreeSet<VhostId> = BTreeSet::new();
            let mut kept: BTreeSet<VhostId> = BTreeSet::new();
            for attachment in &route.attachments {
                let ids = attachment.hostnames.iter().map(|(_, host)| VhostId { port, host: host.clone() });
                if attachment.listener == listener.name {
                    lost.extend(ids);
                } else if self.listeners.of(port).any(|other| other.name == attachment.listener) {
                    kept.extend(ids);
                }
            }
            for id in lost.difference(&kept) {
                remove_from(&mut self.routes_of, id, &route.id);
            }
        }
    }

    fn attached_routes(&self, listener: &ListenerName) -> Vec<Route> {
        let ids = self.attached.get(listener).into_iter().flatten();
        ids.filter_map(|id| self.route(id)).cloned().collect()
    }

    fn mark_certificate(&self, id: &CertificateId, dirty: &mut Dirty) {
        let listeners = self.listeners.all().filter(|listener| listener.certificates.contains(id));
        dirty.certificate_ports.extend(listeners.map(port_of));
    }

    /// The virtual hosts in which a route has entries, by the listeners as they are now.
    fn vhosts_of(&self, route: &Route) -> BTreeSet<VhostId> {
        let mut ids = BTreeSet::new();
        for attachment in &route.attachments {
            let Some(listener) = self.listener(&attachment.listener) else { continue };
            let port = port_of(listener);
            ids.extend(attachment.hostnames.iter().map(|(_, host)| VhostId { port, host: host.clone() }));
        }
        ids
    }

    fn listener(&self, name: &ListenerName) -> Option<&Listener> {
        self.listeners.named(name)
    }

    fn route(&self, id: &ObjectId) -> Option<&Route> {
        match self.snapshot.get(&Key::Route(id.clone())).map(|resource| &**resource) {
            Some(Resource::Route(route)) => Some(route),
            _ => None,
        }
    }

    fn protocol(&self, id: &BackendId) -> BackendProtocol {
        match self.snapshot.get(&Key::Backend(id.clone())).map(|resource| &**resource) {
            Some(Resource::Backend(backend)) => backend.protocol,
            _ => BackendProtocol::Http,
        }
    }

    fn plan(&mut self, mut dirty: Dirty) {
        for port in &dirty.ports {
            self.plan_port(*port);
            dirty.certificate_ports.insert(*port);
            let on_port = |id: &&VhostId| id.port == *port;
            dirty.vhosts.extend(self.routes_of.keys().filter(on_port).cloned());
            dirty.vhosts.extend(self.target.vhosts.keys().filter(on_port).cloned());
            dirty.vhosts.extend(self.listeners.of(*port).map(|listener| VhostId { port: *port, host: listener.hostname.clone() }));
            dirty.vhosts.insert(VhostId { port: *port, host: Hostname::Any });
        }
        for port in &dirty.certificate_ports {
            self.plan_certificates(*port);
        }
        let (lists, trees): (BTreeSet<VhostId>, BTreeSet<VhostId>) = dirty.vhosts.into_iter().partition(|id| id.host == Hostname::Any);
        let mut lists: BTreeSet<PortId> = lists.into_iter().map(|id| id.port).collect();
        for id in trees {
            let vhost = self.tree(&id);
            if self.note_wildcard(&id, vhost.is_some()) {
                lists.insert(id.port);
            }
            self.replace(id, vhost, &mut dirty.clusters);
        }
        for port in lists {
            let vhost = self.list(port);
            self.replace(VhostId { port, host: Hostname::Any }, vhost, &mut dirty.clusters);
        }
        for id in dirty.clusters {
            self.plan_cluster(&id);
        }
    }

    fn plan_port(&mut self, port: PortId) {
        let owners: BTreeSet<Key> = self.listeners.of(port).map(|listener| Key::Listener(listener.name.clone())).collect();
        if owners.is_empty() {
            self.target.ports.remove(&port);
        } else {
            self.target.ports.insert(port, Arc::new(owners));
        }
        if self.target.ports.is_empty() {
            self.target.clusters.remove(&ClusterId::Hop);
        } else {
            self.target.clusters.insert(ClusterId::Hop, Upstream::Hop);
        }
    }

    /// The certificates of a port. Two Secrets with one certificate are one certificate to Sōzu.
    fn plan_certificates(&mut self, port: PortId) {
        let mut wanted: BTreeMap<String, PortCertificate> = BTreeMap::new();
        let listeners = self.listeners.of(port).filter(|listener| listener.protocol == Protocol::Https);
        for (listener, id) in listeners.flat_map(|listener| listener.certificates.iter().map(move |id| (listener, id))) {
            let key = Key::Certificate(id.clone());
            let Some(Resource::Certificate(certificate)) = self.snapshot.get(&key).map(|resource| &**resource) else { continue };
            let entry = wanted.entry(certificate.fingerprint.clone()).or_insert_with(|| PortCertificate {
                certificate: Arc::new(certificate.clone()),
                names: BTreeSet::new(),
                owners: BTreeSet::new(),
            });
            match &listener.hostname {
                Hostname::Any => entry.names.extend(certificate.names.iter().cloned()),
                hostname => {
                    entry.names.insert(hostname.to_string());
                }
            }
            entry.owners.insert(key);
        }
        let held: Vec<String> = self
            .target
            .certificates
            .range((port, String::new())..)
            .take_while(|((of, _), _)| *of == port)
            .map(|((_, print), _)| print.clone())
            .collect();
        for fingerprint in held {
            if !wanted.contains_key(&fingerprint) {
                self.target.certificates.remove(&(port, fingerprint));
            }
        }
        for (fingerprint, certificate) in wanted {
            let id = (port, fingerprint);
            if self.target.certificates.get(&id).is_none_or(|held| **held != certificate) {
                self.target.certificates.insert(id, Arc::new(certificate));
            }
        }
    }

    /// The entries of a virtual host, in descending rank: those of the listener that owns it.
    fn entries(&self, id: &VhostId) -> Vec<Entry<'_>> {
        let Some(owner) = self.listeners.owner(id.port, &id.host) else { return Vec::new() };
        let mut entries = Vec::new();
        for route in self.routes_of.get(id).into_iter().flatten().filter_map(|route| self.route(route)) {
            let pairs = route
                .attachments
                .iter()
                .filter(|attachment| attachment.listener == owner.name)
                .flat_map(|attachment| &attachment.hostnames);
            let declared: BTreeSet<&Hostname> =
                pairs.filter(|(_, effective)| *effective == id.host).map(|(declared, _)| declared).collect();
            if declared.is_empty() {
                continue;
            }
            let key = Key::Route(route.id.clone());
            for (number, rule) in route.rules.iter().enumerate() {
                let judged = native::judge(rule, |backend| self.protocol(backend));
                for (index, matched) in rule.matches.iter().enumerate() {
                    entries.extend(declared.iter().map(|declared| Entry {
                        rank: route.rank(declared, number, index, matched),
                        owner: key.clone(),
                        matched,
                        rule: judged.clone(),
                    }));
                }
            }
        }
        entries.sort_by(|a, b| b.rank.cmp(&a.rank));
        entries
    }

    /// The frontends of a host that Sōzu finds by name; none when there is nothing to hold.
    fn tree(&self, id: &VhostId) -> Option<Vhost> {
        let host = match &id.host {
            Hostname::Any => return None,
            Hostname::Exact(name) => HostRule::Exact(name.clone()),
            Hostname::Wildcard(suffix) => HostRule::Label(suffix.clone()),
        };
        let entries = self.entries(id);
        let listener = self.listeners.owner(id.port, &id.host).filter(|owner| owner.hostname == id.host);
        let stopper = listener.is_some() && self.listeners.has_broader(id.port, &id.host);
        if entries.is_empty() && !stopper {
            return None;
        }
        let mut vhost = regions::tree(&host, &entries, stopper, self.options.force_hop);
        if let Some(listener) = listener {
            vhost.owners.insert(Key::Listener(listener.name.clone()));
        }
        Some(vhost)
    }

    /// The list that Sōzu consults last: wildcards of several labels, then the routes for every host.
    fn list(&self, port: PortId) -> Option<Vhost> {
        let id = VhostId { port, host: Hostname::Any };
        let entries = self.entries(&id);
        let wildcards = self.wildcards.get(&port);
        let number = wildcards.map_or(0, BTreeSet::len);
        let mut vhost = match (entries.is_empty(), number) {
            (true, 0) => return None,
            (true, _) => Vhost { frontends: vec![regions::everything(&HostRule::Any, Reason::WildcardDepth)], owners: BTreeSet::new() },
            (false, ..=WILDCARD_LIMIT) => {
                let mut vhost = regions::list(&entries, LIST_LIMIT, self.options.force_hop);
                let deep = |suffix: &String| regions::everything(&HostRule::Labels(suffix.clone()), Reason::WildcardDepth);
                vhost.frontends.splice(0..0, wildcards.into_iter().flatten().map(deep)).for_each(drop);
                vhost
            }
            (false, _) => {
                let owners = entries.iter().map(|entry| entry.owner.clone()).collect();
                Vhost { frontends: vec![regions::everything(&HostRule::Any, Reason::WildcardDepth)], owners }
            }
        };
        vhost.owners.extend(self.listeners.of(port).map(|listener| Key::Listener(listener.name.clone())));
        Some(vhost)
    }

    /// Remembers whether a wildcard host exists on its port; whether that changed.
    fn note_wildcard(&mut self, id: &VhostId, exists: bool) -> bool {
        let Hostname::Wildcard(suffix) = &id.host else { return false };
        let wildcards = self.wildcards.entry(id.port).or_default();
        if exists { wildcards.insert(suffix.clone()) } else { wildcards.remove(suffix) }
    }

    /// Puts a virtual host in the place of the one before, and notes which clusters it needs.
    fn replace(&mut self, id: VhostId, vhost: Option<Vhost>, clusters: &mut BTreeSet<BackendId>) {
        let old = native_backends(self.target.vhosts.get(&id).map_or(&[][..], |vhost| &vhost.frontends));
        let new = native_backends(vhost.as_ref().map_or(&[][..], |vhost| &vhost.frontends));
        for backend in old.difference(&new) {
            remove_from(&mut self.forwarding, backend, &id);
        }
        for backend in new.difference(&old) {
            self.forwarding.entry(backend.clone()).or_default().insert(id.clone());
        }
        clusters.extend(old.symmetric_difference(&new).cloned());
        match vhost {
            Some(vhost) if self.target.vhosts.get(&id).is_some_and(|held| **held == vhost) => {}
            Some(vhost) => {
                self.target.vhosts.insert(id, Arc::new(vhost));
            }
            None => {
                self.target.vhosts.remove(&id);
            }
        }
    }

    fn plan_cluster(&mut self, id: &BackendId) {
        let cluster = ClusterId::Backend(id.clone());
        if !self.forwarding.contains_key(id) {
            self.target.clusters.remove(&cluster);
            return;
        }
        let endpoints = match self.snapshot.get(&Key::Backend(id.clone())).map(|resource| &**resource) {
            Some(Resource::Backend(backend)) => {
                backend.endpoints.iter().map(|endpoint| SocketAddr::new(endpoint.ip, endpoint.port)).collect()
            }
            _ => BTreeSet::new(),
        };
        let upstream = Upstream::Endpoints(Arc::new(endpoints));
        if self.target.clusters.get(&cluster) != Some(&upstream) {
            self.target.clusters.insert(cluster, upstream);
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

fn native_backends(frontends: &[Frontend]) -> BTreeSet<BackendId> {
    frontends
        .iter()
        .filter_map(|frontend| match &frontend.stage {
            Stage::Native { backend, .. } => Some(backend.clone()),
            Stage::Hop(_) => None,
        })
        .collect()
}

fn remove_from<K: Ord, V: Ord>(index: &mut BTreeMap<K, BTreeSet<V>>, key: &K, value: &V) {
    if let Some(values) = index.get_mut(key) {
        values.remove(value);
        if values.is_empty() {
            index.remove(key);
        }
    }
}
