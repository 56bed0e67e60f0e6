//! The planner: keeps the target in step with a snapshot, touching only what a change touches.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use imbl::OrdSet;
use serde::{Deserialize, Serialize};

use super::hosts::{place_of, port_of};
use super::index::{Entries, Index};
use super::planned::{Planned, Texts};
use super::regions::{self, Entry, ROOT};
use super::target::{Chain, ChainId, ClusterId, HostRule, PortId, PortKind, PortLimits, Stage, Target, Upstream, VhostId};
use super::touched::Touched;
use super::{Reason, RelayReason, certificates, mode, native, whole};
use crate::model::{BackendId, Filter, Hostname, Listener, ListenerName, Rank};
use crate::snapshot::{Delta, Key, Snapshot};

/// Frontends that Sōzu may have to scan for a request of no known host.
const LIST_LIMIT: usize = 64;
/// Wildcards that may stand before that list, as regular expressions.
const WILDCARD_LIMIT: usize = 16;

/// How to plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// Send everything to the filter.
    pub force_hop: bool,
    /// Relay every port.
    pub force_relay: bool,
}

/// Holds the target of a snapshot and follows its changes.
#[derive(Clone, Debug, Default)]
pub struct Planner {
    options: Options,
    index: Index,
    target: Target,
    /// What was decided about each virtual host that Sōzu finds by name.
    planned: BTreeMap<VhostId, Planned>,
    /// Why ports, by what they carry, are relayed.
    relayed: BTreeMap<PortId, RelayReason>,
    /// Number of chains with a native frontend to a backend.
    forwarding: BTreeMap<BackendId, usize>,
    /// Every listener's key as a set, which its chains share.
    alone: BTreeMap<ListenerName, OrdSet<Key>>,
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
        self.index.snapshot()
    }

    /// Follows a change.
    pub fn apply(&mut self, delta: &Delta) {
        let mut next = self.snapshot().clone();
        next.apply(delta);
        self.follow(delta, next);
    }

    /// Follows a change to a snapshot, which is kept as it is: it shares with its owner's. The cost grows with the paths that
    /// the change touches, not with their host's.
    pub fn follow(&mut self, delta: &Delta, next: Snapshot) {
        let Touched { ports, listeners, asked, texts, mut backends, certificates, names } = self.index.follow(delta, next);
        if !listeners.is_empty() {
            let named = self.index.listeners().all().map(|listener| listener.name.clone());
            self.alone = named.map(|name| (name.clone(), OrdSet::unit(Key::Listener(name)))).collect();
        }
        let mut vhosts: BTreeMap<VhostId, Texts> = BTreeMap::new();
        for ((name, host), texts) in texts {
            if let Some(listener) = self.index.listeners().named(&name) {
                let id = VhostId { port: port_of(listener), host: place_of(host) };
                match vhosts.entry(id).or_insert_with(|| Texts::These(BTreeSet::new())) {
                    Texts::All => {}
                    Texts::These(held) => held.extend(texts),
                }
            }
        }
        vhosts.extend(certificates::vhosts(&self.index, &names).into_iter().map(|id| (id, Texts::All)));
        let holds = |listener: &&Listener| listener.certificates.iter().any(|id| certificates.contains(id));
        let mut certificate_ports: BTreeSet<PortId> = self.index.listeners().all().filter(holds).map(port_of).chain(listeners).collect();
        let asked = asked.iter().filter_map(|name| self.index.listeners().named(name)).map(port_of);
        let touched = certificate_ports.iter().copied().chain(vhosts.keys().map(|id| id.port)).chain(asked).collect();
        let ports = self.plan_modes(ports, touched);
        for port in ports {
            self.plan_port(port);
            vhosts.extend(self.vhosts_on(port).into_iter().map(|id| (id, Texts::All)));
            certificate_ports.insert(port);
        }
        if !certificate_ports.is_empty() {
            self.plan_relayed_certificates();
        }
        for port in certificate_ports {
            self.plan_certificates(port);
        }
        let mut lists = BTreeSet::new();
        for (id, texts) in vhosts {
            if id.host == Hostname::Any || self.plan_vhost(&id, texts, &mut backends) {
                lists.insert(id.port);
            }
        }
        for port in lists {
            self.plan_list(port, &mut backends);
        }
        for id in backends {
            self.plan_cluster(&id);
        }
    }

    /// Every virtual host that a port has, had, or may need a stopper for; its list too.
    fn vhosts_on(&self, port: PortId) -> BTreeSet<VhostId> {
        let mut hosts: BTreeSet<Hostname> = BTreeSet::from([Hostname::Any]);
        for listener in self.index.listeners().of(port) {
            hosts.insert(listener.hostname.clone());
            hosts.extend(self.index.hosts(&listener.name).cloned());
        }
        let held = self.planned.keys().filter(|id| id.port == port).cloned();
        hosts.into_iter().map(|host| VhostId { port, host: place_of(host) }).chain(held).collect()
    }

    /// Decides again on the limits of ports and which are relayed, of `touched` and `changed` ones; the changed ones, with those
    /// whose mode is another now.
    fn plan_modes(&mut self, mut changed: BTreeSet<PortId>, touched: BTreeSet<PortId>) -> BTreeSet<PortId> {
        for port in touched.union(&changed).copied().collect::<Vec<_>>() {
            self.plan_limits(port);
            let reason = mode::relay(&self.index, port, &self.options);
            let old = match reason {
                Some(reason) => self.relayed.insert(port, reason),
                None => self.relayed.remove(&port),
            };
            if old.as_ref() != self.relayed.get(&port) {
                changed.insert(port);
            }
        }
        changed
    }

    fn plan_port(&mut self, port: PortId) {
        let owners = self.listener_keys(port);
        if owners.is_empty() {
            self.target.ports.remove(&port);
        } else {
            self.target.ports.insert(port, Arc::new(owners.iter().cloned().collect()));
        }
        self.plan_relay(port.number);
        let ports = !self.target.ports.is_empty();
        let relays = !self.target.relays.is_empty();
        for (needed, id, upstream) in [(ports, ClusterId::Hop, Upstream::Hop), (relays, ClusterId::Relay, Upstream::Relay)] {
            if needed {
                self.target.clusters.insert(id, upstream);
            } else {
                self.target.clusters.remove(&id);
            }
        }
    }

    /// The limits of a port, if it is there.
    fn plan_limits(&mut self, port: PortId) {
        let patient = self.index.listeners().of(port).any(|listener| self.index.is_patient(&listener.name));
        match self.index.listeners().tuning(port) {
            Some(tuning) => {
                let usual = PortLimits::default();
                let connect_seconds = tuning.connect_seconds.unwrap_or(usual.connect_seconds);
                let max_streams = tuning.max_streams.unwrap_or(usual.max_streams);
                self.target.limits.insert(port, PortLimits { connect_seconds, max_streams, keeps_claims: tuning.keeps_claims, patient })
            }
            None => self.target.limits.remove(&port),
        };
    }

    /// The relay of a port's connections, whatever they carry.
    fn plan_relay(&mut self, number: u16) {
        let relay = PortId { number, kind: PortKind::Relay };
        let carried = [PortKind::Http, PortKind::Https].map(|kind| PortId { number, kind });
        let reason = carried.iter().find_map(|port| self.relayed.get(port));
        let owners = carried.iter().filter(|port| self.relayed.contains_key(port)).flat_map(|port| self.listener_keys(*port));
        let owners: BTreeSet<Key> = owners.collect();
        match reason {
            Some(reason) => {
                self.target.relays.insert(relay, reason.clone());
                self.target.ports.insert(relay, Arc::new(owners));
            }
            None => {
                self.target.relays.remove(&relay);
                self.target.ports.remove(&relay);
            }
        }
    }

    /// The certificates of which the filter proxy knows.
    fn plan_relayed_certificates(&mut self) {
        let (whole, names) = certificates::of_filter(&self.index, |port| self.relayed.contains_key(&port));
        for (held, wanted) in [(&mut self.target.relayed, whole), (&mut self.target.named, names)] {
            if *held != wanted {
                *held = wanted;
            }
        }
    }

    fn listener_keys(&self, port: PortId) -> OrdSet<Key> {
        self.index.listeners().of(port).map(|listener| Key::Listener(listener.name.clone())).collect()
    }

    fn plan_certificates(&mut self, port: PortId) {
        let wanted = if self.relayed.contains_key(&port) { BTreeMap::new() } else { certificates::of_port(&self.index, port) };
        let all = self.target.certificates.range((port, String::new())..);
        let held: Vec<String> = all.take_while(|((of, _), _)| *of == port).map(|((_, print), _)| print.clone()).collect();
        for fingerprint in held.into_iter().filter(|print| !wanted.contains_key(print)) {
            self.target.certificates.remove(&(port, fingerprint));
        }
        for (fingerprint, certificate) in wanted {
            let id = (port, fingerprint);
            if self.target.certificates.get(&id).is_none_or(|held| **held != certificate) {
                self.target.certificates.insert(id, Arc::new(certificate));
            }
        }
    }

    /// Plans texts of a host that Sōzu finds by name; whether a wildcard host came or went.
    fn plan_vhost(&mut self, id: &VhostId, texts: Texts, backends: &mut BTreeSet<BackendId>) -> bool {
        let (host, one_label) = match &id.host {
            Hostname::Any => return false,
            Hostname::Exact(name) => (HostRule::Exact(name.clone()), None),
            Hostname::Wildcard(suffix) | Hostname::Label(suffix) => {
                (HostRule::Label(suffix.clone()), Some(Hostname::Label(suffix.clone())))
            }
        };
        let relayed = self.relayed.contains_key(&id.port);
        let owner = self.index.listeners().owner(id.port, &id.host).filter(|_| !relayed);
        let entries_of = |host: &Hostname| owner.and_then(|owner| self.index.entries(&owner.name, host));
        let (deep, flat) = (entries_of(&id.host), one_label.as_ref().and_then(entries_of));
        let entries = deep.or(flat);
        let whole = match (deep, flat) {
            (Some(_), Some(_)) => Some(Reason::WildcardDepth),
            _ => owner.zip(entries).and_then(|of| self.whole(of, one_label.as_ref().unwrap_or(&id.host))),
        };
        let stopper = owner.is_some_and(|owner| owner.hostname == id.host) && self.index.listeners().has_broader(id.port, &id.host);
        let mut planned = self.planned.remove(id).unwrap_or_default();
        let was = planned.is_deep();
        planned.deep = one_label.is_some() && (deep.is_some() || stopper);
        let texts = match texts {
            Texts::These(texts) if whole.is_none() && planned.whole.is_none() => texts,
            _ => {
                let wanted = entries.into_iter().filter(|_| whole.is_none()).flat_map(|entries| entries.texts.keys());
                wanted.chain(planned.texts.keys()).map(String::as_str).chain([ROOT]).map(str::to_owned).collect()
            }
        };
        let listener = owner.map(|owner| self.alone.get(&owner.name).cloned().unwrap_or_default()).unwrap_or_default();
        let mut chains = Vec::new();
        for text in &texts {
            let chain = match (&whole, entries) {
                (Some(reason), Some(entries)) if text == ROOT => Chain {
                    frontends: vec![regions::everything(&host, reason.clone())],
                    owners: [Some(entries), flat].into_iter().flatten().fold(listener.clone(), |all, of| all.union(of.routes())),
                },
                (Some(_), _) => Chain::default(),
                (None, entries) => {
                    let ranks = entries.and_then(|entries| entries.texts.get(text)).into_iter().flatten().rev();
                    Chain {
                        frontends: regions::tree(&host, text, ranks.filter_map(|rank| self.entry(rank)), stopper),
                        owners: listener.clone(),
                    }
                }
            };
            chains.push((text.clone(), chain));
        }
        planned.whole = whole;
        for (text, chain) in chains {
            if chain.frontends.is_empty() {
                planned.texts.remove(&text);
            } else {
                planned.texts.insert(text.clone(), ());
            }
            self.replace(ChainId { vhost: id.clone(), text: Some(text) }, chain, backends);
        }
        let is = planned.is_deep();
        if !planned.texts.is_empty() {
            self.planned.insert(id.clone(), planned);
        }
        was != is
    }

    /// Why the filter proxy serves a listener's host as a whole, if it does.
    fn whole(&self, (listener, entries): (&Listener, &Entries), host: &Hostname) -> Option<Reason> {
        whole::of_host(&self.index, &self.options, (listener, host), entries)
    }

    fn entry(&self, rank: &Rank) -> Option<Entry<'_>> {
        let (owner, rule, matched) = self.index.find(rank)?;
        let across = rule.filters.iter().any(|filter| matches!(filter, Filter::Cors(_)));
        Some(Entry { owner, matched, across, rule: native::judge(rule, |backend| self.index.protocol(backend)) })
    }

    /// The list that Sōzu consults last: wildcards of several labels, then the routes for every host.
    fn plan_list(&mut self, port: PortId, backends: &mut BTreeSet<BackendId>) {
        let relayed = self.relayed.contains_key(&port);
        let owner = self.index.listeners().owner(port, &Hostname::Any).filter(|_| !relayed);
        let entries = owner.and_then(|owner| self.index.entries(&owner.name, &Hostname::Any));
        let wildcards: Vec<&String> = self.wildcards(port).collect();
        let everything = |reason| vec![regions::everything(&HostRule::Any, reason)];
        let frontends = match entries {
            _ if relayed => everything(Reason::Relayed),
            None if wildcards.is_empty() => Vec::new(),
            None => everything(Reason::WildcardDepth),
            Some(entries) => match whole::of_all(&self.index, &self.options, port, entries) {
                Some(reason) => everything(reason),
                // Sōzu does not choose among these by the host.
                None if owner.is_some_and(|owner| owner.certificates_by_name) => everything(Reason::NoCertificate),
                None if wildcards.len() > WILDCARD_LIMIT => everything(Reason::WildcardDepth),
                // Every text has a frontend.
                None if entries.texts.len() > LIST_LIMIT => everything(Reason::LongList),
                None => {
                    let list = regions::list(entries.all().into_iter().rev().filter_map(|rank| self.entry(rank)));
                    let deep = |suffix: &&String| regions::everything(&HostRule::Labels((*suffix).clone()), Reason::WildcardDepth);
                    if list.len() > LIST_LIMIT { everything(Reason::LongList) } else { wildcards.iter().map(deep).chain(list).collect() }
                }
            },
        };
        let routes = entries.map(Entries::routes).unwrap_or_default();
        let owners = self.listener_keys(port).union(routes);
        self.replace(ChainId { vhost: VhostId { port, host: Hostname::Any }, text: None }, Chain { frontends, owners }, backends);
    }

    /// Suffixes of the wildcard hosts of a port that take several labels.
    fn wildcards(&self, port: PortId) -> impl Iterator<Item = &String> {
        let from = VhostId { port, host: Hostname::Wildcard(String::new()) };
        let of_port = self.planned.range(from..).map_while(move |(id, planned)| match &id.host {
            Hostname::Wildcard(suffix) if id.port == port => Some((suffix, planned)),
            _ => None,
        });
        of_port.filter(|(_, planned)| planned.is_deep()).map(|(suffix, _)| suffix)
    }

    /// Puts a chain in the place of the one before, and notes which clusters that may concern.
    fn replace(&mut self, id: ChainId, chain: Chain, backends: &mut BTreeSet<BackendId>) {
        let held = self.target.chains.get(&id).cloned();
        if held.as_ref().map_or(chain.frontends.is_empty(), |held| **held == chain) {
            return;
        }
        let old = held.as_deref().map(native_backends).unwrap_or_default();
        let new = native_backends(&chain);
        for backend in old.difference(&new) {
            let count = self.forwarding.get(backend).copied().unwrap_or_default();
            if count > 1 {
                self.forwarding.insert(backend.clone(), count - 1)
            } else {
                self.forwarding.remove(backend)
            };
        }
        for backend in new.difference(&old) {
            *self.forwarding.entry(backend.clone()).or_default() += 1;
        }
        backends.extend(old.symmetric_difference(&new).cloned());
        if chain.frontends.is_empty() {
            self.target.chains.remove(&id);
        } else {
            self.target.chains.insert(id, Arc::new(chain));
        }
    }

    fn plan_cluster(&mut self, id: &BackendId) {
        let cluster = ClusterId::Backend(id.clone());
        if !self.forwarding.contains_key(id) {
            self.target.clusters.remove(&cluster);
            return;
        }
        let backend = self.index.backend(id);
        let endpoints = backend.into_iter().flat_map(|backend| &backend.endpoints);
        let addresses: BTreeSet<SocketAddr> = endpoints.map(|endpoint| SocketAddr::new(endpoint.ip, endpoint.port)).collect();
        let affinity = backend.map(|backend| backend.affinity).unwrap_or_default();
        let upstream = Upstream::Endpoints(addresses.into_iter().collect(), affinity);
        if self.target.clusters.get(&cluster) != Some(&upstream) {
            self.target.clusters.insert(cluster, upstream);
        }
    }
}

fn native_backends(chain: &Chain) -> BTreeSet<BackendId> {
    let native = |stage: &Stage| if let Stage::Native { backend, .. } = stage { Some(backend.clone()) } else { None };
    chain.frontends.iter().filter_map(|frontend| native(&frontend.stage)).collect()
}
