//! Listeners of a port and the hosts they own.

use std::collections::BTreeMap;

use super::target::PortId;
use crate::model::{Hostname, Listener, ListenerName, Tuning};

/// The listeners of an edge.
#[derive(Clone, Debug, Default)]
pub(super) struct Listeners(BTreeMap<PortId, BTreeMap<ListenerName, Listener>>);

pub(super) fn port_of(listener: &Listener) -> PortId {
    PortId { number: listener.port, kind: listener.protocol.into() }
}

impl Listeners {
    pub(super) fn insert(&mut self, listener: Listener) {
        self.0.entry(port_of(&listener)).or_default().insert(listener.name.clone(), listener);
    }

    pub(super) fn remove(&mut self, listener: &Listener) {
        let port = port_of(listener);
        if let Some(listeners) = self.0.get_mut(&port) {
            listeners.remove(&listener.name);
            if listeners.is_empty() {
                self.0.remove(&port);
            }
        }
    }

    /// The listeners of a port.
    pub(super) fn of(&self, port: PortId) -> impl Iterator<Item = &Listener> {
        self.0.get(&port).into_iter().flat_map(BTreeMap::values)
    }

    /// How a port treats clients; its listeners, being of one edge, all say the same.
    pub(super) fn tuning(&self, port: PortId) -> Option<&Tuning> {
        self.of(port).next().map(|listener| &listener.tuning)
    }

    /// Every listener.
    pub(super) fn all(&self) -> impl Iterator<Item = &Listener> {
        self.0.values().flat_map(BTreeMap::values)
    }

    /// The listener of this name.
    pub(super) fn named(&self, name: &ListenerName) -> Option<&Listener> {
        self.0.values().find_map(|listeners| listeners.get(name))
    }

    /// The listener that owns every host that `host` covers: the most specific one that covers it. Hosts of a narrower
    /// listener within `host` belong to that one; its stopper keeps them apart.
    pub(super) fn owner(&self, port: PortId, host: &Hostname) -> Option<&Listener> {
        self.of(port).filter(|listener| listener.hostname.covers(host)).min_by(|a, b| {
            match (a.hostname == b.hostname, a.hostname.covers(&b.hostname)) {
                (true, _) => a.name.cmp(&b.name),
                (false, true) => std::cmp::Ordering::Greater,
                (false, false) => std::cmp::Ordering::Less,
            }
        })
    }

    /// Whether requests for hosts of `host` that its listener does not take would reach another listener of the port.
    pub(super) fn has_broader(&self, port: PortId, host: &Hostname) -> bool {
        self.of(port).any(|listener| listener.hostname != *host && listener.hostname.covers(host))
    }
}

/// The place of a host pattern among the virtual hosts: Sōzu has one for both kinds of wildcard.
pub(super) fn place_of(host: Hostname) -> Hostname {
    match host {
        Hostname::Label(suffix) => Hostname::Wildcard(suffix),
        other => other,
    }
}
