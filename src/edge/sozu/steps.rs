//! From one target to another in steps, each of which leaves a Sōzu that can serve.
//!
//! What is needed comes first: listeners (not yet bound), certificates, clusters, backends, then frontends, of which a
//! replaced one goes directly before its successor comes; binding last. Then what is no longer needed goes, frontends
//! first.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use imbl::ordmap::DiffItem;
use sozu_command_lib::proto::command::request::RequestType;

use super::{Error, Shadow};
use crate::edge::plan::{
    Chain, ChainId, ClusterId, Frontend, HostRule, PathRule, PortCertificate, PortId, PortKind, Target, Upstream, bouncers,
};
use crate::model::Affinity;
use crate::snapshot::Key;

/// What a step is about: the unit that Sōzu can refuse.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Item {
    /// A listener's existence.
    Listener(PortId),
    /// A listener's limits.
    Limits(PortId),
    /// A listener's bound socket.
    Bound(PortId),
    /// A certificate by fingerprint.
    Certificate(PortId, String),
    /// A cluster.
    Cluster(ClusterId),
    /// The frontend of a relayed port.
    Relay(PortId),
    /// The frontend that takes requests with this field out, before any other.
    Bouncer(PortId, &'static str),
    /// A backend of a cluster; none is the filter's socket.
    Backend(ClusterId, Option<SocketAddr>),
    /// A frontend by what identifies it to Sōzu.
    Frontend(PortId, HostRule, PathRule, Option<String>),
}

/// One request, and whom it concerns.
#[derive(Clone)]
pub struct Step {
    /// What it is about.
    pub item: Item,
    /// The request.
    pub request: RequestType,
    /// Adds or changes, as opposed to removes.
    pub adds: bool,
    /// Must be in one file with the step before it.
    pub glued: bool,
    /// Resources that are refused when it is.
    pub keys: Arc<BTreeSet<Key>>,
}

/// Whether the order in which Sōzu holds its frontends is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As they were applied.
    Kept,
    /// A worker restarted and took them from a sorted map.
    Lost,
}

/// The steps from what a shadow holds to a target.
///
/// # Errors
/// When Sōzu's library cannot build a listener.
pub fn steps(shadow: &Shadow, target: &Target, order: Order) -> Result<Vec<Step>, Error> {
    let mut plan = Steps { shadow, first: Vec::new(), last: Vec::new(), certificates_gone: Vec::new() };
    plan.add_listeners(target)?;
    plan.certificates(target);
    plan.clusters(target);
    plan.bouncers(target);
    plan.chains(target, order);
    plan.relays(target);
    plan.bind(target);
    plan.last.append(&mut plan.certificates_gone);
    plan.remove_listeners(target);
    plan.remove_clusters(target);
    plan.first.append(&mut plan.last);
    Ok(plan.first)
}

struct Steps<'a> {
    shadow: &'a Shadow,
    first: Vec<Step>,
    last: Vec<Step>,
    certificates_gone: Vec<Step>,
}

impl Steps<'_> {
    fn add(&mut self, item: Item, request: RequestType, keys: &Arc<BTreeSet<Key>>) {
        if !self.shadow.refuses(&item, &request) {
            self.first.push(Step { item, request, adds: true, glued: false, keys: keys.clone() });
        }
    }

    /// Nothing is removed that was refused.
    fn removal(&self, item: Item, request: RequestType) -> Option<Step> {
        let held = !self.shadow.is_refused(&item);
        held.then(|| Step { item, request, adds: false, glued: false, keys: Arc::default() })
    }

    fn remove(&mut self, item: Item, request: RequestType) {
        let step = self.removal(item, request);
        self.last.extend(step);
    }

    fn add_listeners(&mut self, target: &Target) -> Result<(), Error> {
        for (port, keys) in &target.ports {
            let (wire, limits) = (self.shadow.wire(), target.limits.get(port).copied().unwrap_or_default());
            if !self.shadow.applied().ports.contains_key(port) {
                self.add(Item::Listener(*port), wire.add_listener(*port, limits)?, keys);
            } else if port.kind != PortKind::Relay && self.shadow.applied().limits.get(port) != Some(&limits) {
                self.add(Item::Limits(*port), wire.limit_listener(*port, limits), keys);
            }
        }
        Ok(())
    }

    /// They come and go with their listener, whatever its routes are; those for claims also with what the port says of them.
    fn bouncers(&mut self, target: &Target) {
        let (wire, applied) = (self.shadow.wire(), self.shadow.applied());
        let of = |keeps: Option<bool>| keeps.map(bouncers).into_iter().flatten();
        for (port, keys) in &target.ports {
            let (before, after) = (applied.keeps_claims(*port), target.keeps_claims(*port));
            for bouncer in of(after).filter(|bouncer| !before.is_some_and(|keeps| bouncer.stands(keeps))) {
                self.add(Item::Bouncer(*port, &bouncer.name), wire.add_bouncer(*port, bouncer), keys);
            }
        }
        for port in applied.ports.keys() {
            let (before, after) = (applied.keeps_claims(*port), target.keeps_claims(*port));
            for bouncer in of(before).filter(|bouncer| !after.is_some_and(|keeps| bouncer.stands(keeps))) {
                self.remove(Item::Bouncer(*port, &bouncer.name), wire.remove_bouncer(*port, bouncer));
            }
        }
    }

    fn relays(&mut self, target: &Target) {
        for (port, keys) in &target.ports {
            if port.kind == PortKind::Relay && !self.shadow.applied().ports.contains_key(port) {
                self.add(Item::Relay(*port), self.shadow.wire().add_relay(*port), keys);
            }
        }
    }

    /// Two ports of one number share an address for a moment: the old one lets go directly after, so that there is always
    /// one at which connections can queue.
    fn bind(&mut self, target: &Target) {
        let (wire, applied) = (self.shadow.wire(), self.shadow.applied());
        for (port, keys) in &target.ports {
            if applied.is_bound(*port) || !target.is_bound(*port) {
                continue;
            }
            self.add(Item::Bound(*port), wire.activate(*port), keys);
            let rival = applied.bound().find(|old| old.number == port.number);
            let release = rival.and_then(|old| self.removal(Item::Bound(old), wire.deactivate(old)));
            self.first.extend(release.map(|step| Step { glued: true, ..step }));
        }
    }

    fn remove_listeners(&mut self, target: &Target) {
        let (wire, applied) = (self.shadow.wire(), self.shadow.applied());
        for port in applied.ports.keys() {
            if target.ports.contains_key(port) {
                continue;
            }
            if applied.is_bound(*port) && target.ports.keys().all(|new| new.number != port.number) {
                self.remove(Item::Bound(*port), wire.deactivate(*port));
            }
            if port.kind == PortKind::Relay {
                self.remove(Item::Relay(*port), wire.remove_relay(*port));
            }
            self.remove(Item::Listener(*port), wire.remove_listener(*port));
        }
    }

    /// A new certificate that shares a name with one that goes takes its place in one step.
    fn certificates(&mut self, target: &Target) {
        let wire = self.shadow.wire();
        let applied = &self.shadow.applied().certificates;
        let mut going: Vec<(&(PortId, String), &Arc<PortCertificate>)> = Vec::new();
        let mut coming = Vec::new();
        for item in applied.diff(&target.certificates) {
            match item {
                DiffItem::Remove(id, held) => going.push((id, held)),
                DiffItem::Add(id, wanted) => coming.push((id, wanted, None)),
                DiffItem::Update { old: (id, _), new: (_, wanted) } => coming.push((id, wanted, Some(id.1.clone()))),
            }
        }
        for (id, wanted, same) in coming {
            let keys = Arc::new(wanted.owners.clone());
            let shares =
                |((port, _), held): &(&(PortId, String), &Arc<PortCertificate>)| *port == id.0 && !held.names.is_disjoint(&wanted.names);
            let predecessor = || going.iter().position(shares).map(|place| going.swap_remove(place).0.1.clone());
            let old = same.or_else(predecessor).filter(|print| !self.shadow.is_refused(&Item::Certificate(id.0, print.clone())));
            let request = match &old {
                Some(old) => wire.replace_certificate(id.0, old, wanted),
                None => wire.add_certificate(id.0, wanted),
            };
            self.add(Item::Certificate(id.0, id.1.clone()), request, &keys);
        }
        for ((port, print), _) in going {
            let step = self.removal(Item::Certificate(*port, print.clone()), wire.remove_certificate(*port, print));
            self.certificates_gone.extend(step);
        }
    }

    fn clusters(&mut self, target: &Target) {
        let wire = self.shadow.wire();
        for item in self.shadow.applied().clusters.diff(&target.clusters) {
            let (id, old, new) = match item {
                DiffItem::Add(id, new) => (id, None, new),
                DiffItem::Update { old: (id, old), new: (_, new) } => (id, Some(old), new),
                DiffItem::Remove(..) => continue,
            };
            let keys = Arc::new(match id {
                ClusterId::Hop | ClusterId::Relay => BTreeSet::new(),
                ClusterId::Backend(id) => BTreeSet::from([Key::Backend(id.clone())]),
            });
            let affinity = affinity_of(new);
            if old.is_none_or(|old| affinity_of(old) != affinity) {
                self.add(Item::Cluster(id.clone()), super::Wire::add_cluster(id, affinity), &keys);
            }
            let before: &[SocketAddr] = match old {
                Some(Upstream::Endpoints(addresses, _)) => addresses,
                _ => &[],
            };
            match new {
                Upstream::Hop => self.add(Item::Backend(id.clone(), None), wire.add_hop_backend(), &keys),
                Upstream::Relay => self.add(Item::Backend(id.clone(), None), wire.add_relay_backend(), &keys),
                Upstream::Endpoints(after, _) => {
                    for address in after.iter().filter(|address| before.binary_search(address).is_err()) {
                        let item = Item::Backend(id.clone(), Some(*address));
                        self.add(item, super::Wire::add_backend(id, *address), &keys);
                    }
                    for address in before.iter().filter(|address| after.binary_search(address).is_err()) {
                        let item = Item::Backend(id.clone(), Some(*address));
                        self.remove(item, super::Wire::remove_backend(id, *address));
                    }
                }
            }
        }
    }

    /// A cluster goes with its backends.
    fn remove_clusters(&mut self, target: &Target) {
        for item in self.shadow.applied().clusters.diff(&target.clusters) {
            if let DiffItem::Remove(id, _) = item {
                self.remove(Item::Cluster(id.clone()), super::Wire::remove_cluster(id));
            }
        }
    }

    fn chains(&mut self, target: &Target, order: Order) {
        let nothing = Chain::default();
        // Frontends that go, go before the backends that the steps so far let go.
        let backends = std::mem::take(&mut self.last);
        if order == Order::Lost {
            for (id, chain) in &self.shadow.applied().chains {
                self.chain(id, chain, target.chains.get(id).map_or(&nothing, |chain| chain), order);
            }
        }
        for item in self.shadow.applied().chains.diff(&target.chains) {
            match item {
                DiffItem::Add(id, new) => self.chain(id, &nothing, new, order),
                DiffItem::Update { old: (id, old), new: (_, new) } if order == Order::Kept => self.chain(id, old, new, order),
                DiffItem::Remove(id, old) if order == Order::Kept => self.chain(id, old, &nothing, order),
                DiffItem::Update { .. } | DiffItem::Remove(..) => {}
            }
        }
        self.last.extend(backends);
    }

    /// What can stay is the longest start of the new chain that the old one holds in the same order; the rest is inserted
    /// anew behind it.
    fn chain(&mut self, id: &ChainId, old: &Chain, new: &Chain, order: Order) {
        let (shadow, port) = (self.shadow, id.vhost.port);
        let wire = shadow.wire();
        let before: Vec<&Frontend> = old.frontends.iter().filter(|front| !shadow.is_refused(&item(port, front))).collect();
        let is_wanted = |front: &&Frontend| !shadow.refuses(&item(port, front), &wire.add_frontend(port, front));
        let after: Vec<&Frontend> = new.frontends.iter().filter(is_wanted).collect();
        let in_place = order == Order::Kept || before.len() < 2;
        let mut rest = before.iter();
        let kept = if in_place { after.iter().take_while(|new| rest.any(|old| old.same(new))).count() } else { 0 };
        for frontend in &before {
            if !after.iter().any(|new| is_successor(frontend, new)) {
                self.remove(item(port, frontend), wire.remove_frontend(port, frontend));
            }
        }
        let owners: Arc<BTreeSet<Key>> = Arc::new(new.owners.iter().cloned().collect());
        for frontend in after.into_iter().skip(kept) {
            let old = before.iter().find(|old| is_successor(old, frontend));
            if let Some(old) = old {
                self.first.extend(self.removal(item(port, old), wire.remove_frontend(port, old)));
            }
            let keys = frontend.owner.as_ref().map_or_else(|| owners.clone(), |owner| Arc::new(BTreeSet::from([owner.clone()])));
            let request = wire.add_frontend(port, frontend);
            self.first.push(Step { item: item(port, frontend), request, adds: true, glued: old.is_some(), keys });
        }
    }
}

fn affinity_of(upstream: &Upstream) -> Affinity {
    match upstream {
        Upstream::Endpoints(_, affinity) => *affinity,
        Upstream::Hop | Upstream::Relay => Affinity::None,
    }
}

/// Whether both are one entry to Sōzu, which the first must leave before the second can come.
fn is_successor(old: &Frontend, new: &Frontend) -> bool {
    old.path == new.path && old.method == new.method && old.host == new.host
}

fn item(port: PortId, frontend: &Frontend) -> Item {
    Item::Frontend(port, frontend.host.clone(), frontend.path.clone(), frontend.method.clone())
}
