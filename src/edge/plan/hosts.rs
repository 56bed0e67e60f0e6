//! Listeners of a port and the hosts they own.

use std::collections::{BTreeMap, BTreeSet};

use super::target::PortId;
use crate::model::{Hostname, Listener, ListenerName, Tuning};

/// The listeners of an edge.
#[derive(Clone, Debug, Default)]
pub(super) struct Listeners(BTreeMap<PortId, OfPort>);

/// The listeners of a port.
#[derive(Clone, Debug, Default)]
struct OfPort {
    by_name: BTreeMap<ListenerName, Listener>,
    by_host: BTreeMap<Hostname, BTreeSet<ListenerName>>,
}

pub(super) fn port_of(listener: &Listener) -> PortId {
    PortId { number: listener.port, kind: listener.protocol.into() }
}

impl OfPort {
    fn remove(&mut self, name: &ListenerName) {
        let Some(old) = self.by_name.remove(name) else { return };
        if let Some(names) = self.by_host.get_mut(&old.hostname) {
            names.remove(name);
            if names.is_empty() {
                self.by_host.remove(&old.hostname);
            }
        }
    }
}

impl Listeners {
    pub(super) fn insert(&mut self, listener: Listener) {
        let port = self.0.entry(port_of(&listener)).or_default();
        port.remove(&listener.name);
        port.by_host.entry(listener.hostname.clone()).or_default().insert(listener.name.clone());
        port.by_name.insert(listener.name.clone(), listener);
    }

    pub(super) fn remove(&mut self, listener: &Listener) {
        let id = port_of(listener);
        if let Some(port) = self.0.get_mut(&id) {
            port.remove(&listener.name);
            if port.by_name.is_empty() {
                self.0.remove(&id);
            }
        }
    }

    /// The listeners of a port.
    pub(super) fn of(&self, port: PortId) -> impl Iterator<Item = &Listener> {
        self.0.get(&port).into_iter().flat_map(|port| port.by_name.values())
    }

    /// How a port treats clients; its listeners, being of one edge, all say the same.
    pub(super) fn tuning(&self, port: PortId) -> Option<&Tuning> {
        self.of(port).next().map(|listener| &listener.tuning)
    }

    /// Every listener.
    pub(super) fn all(&self) -> impl Iterator<Item = &Listener> {
        self.0.values().flat_map(|port| port.by_name.values())
    }

    /// The listener of this name.
    pub(super) fn named(&self, name: &ListenerName) -> Option<&Listener> {
        self.0.values().find_map(|port| port.by_name.get(name))
    }

    /// The listeners of a port that cover a host, the most specific first. Not all of the port's are looked at: it may have
    /// thousands, and each of them hosts.
    pub(super) fn covering<'a>(&'a self, port: PortId, host: &Hostname) -> impl Iterator<Item = &'a Listener> + use<'a> {
        let port = self.0.get(&port);
        let hosts = host.covering().into_iter();
        let names = hosts.flat_map(move |host| port.and_then(|port| port.by_host.get(&host)).into_iter().flatten());
        names.filter_map(move |name| port?.by_name.get(name))
    }

    /// The listener that owns every host that `host` covers: the most specific one that covers it. Hosts of a narrower
    /// listener within `host` belong to that one; its stopper keeps them apart.
    pub(super) fn owner(&self, port: PortId, host: &Hostname) -> Option<&Listener> {
        self.covering(port, host).next()
    }

    /// Whether requests for hosts of `host` that its listener does not take would reach another listener of the port.
    pub(super) fn has_broader(&self, port: PortId, host: &Hostname) -> bool {
        self.covering(port, host).any(|listener| listener.hostname != *host)
    }
}

/// The place of a host pattern among the virtual hosts: Sōzu has one for both kinds of wildcard.
pub(super) fn place_of(host: Hostname) -> Hostname {
    match host {
        Hostname::Label(suffix) => Hostname::Wildcard(suffix),
        other => other,
    }
}
