//! Listeners that exclude each other: no winner is picked, all of them are conflicted (`Gateway.spec.listeners`).

use std::collections::BTreeMap;

use super::listener::Judged;
use crate::model::{Hostname, ListenerName, Protocol};
use crate::report::Issue;

/// Marks the listeners of one port that differ in protocol, or agree in protocol and hostname. Listeners whose protocol
/// is not supported are rejected anyway and hurt nobody.
pub(super) fn mark(listeners: &mut [Judged]) {
    let mut ports: BTreeMap<i32, Vec<(ListenerName, Protocol, Option<Hostname>)>> = BTreeMap::new();
    for listener in listeners.iter() {
        if let Some(protocol) = listener.protocol {
            let entry = (listener.point.name.clone(), protocol, listener.point.hostname.clone());
            ports.entry(listener.point.port).or_default().push(entry);
        }
    }
    for listener in listeners {
        let port = listener.point.port;
        let neighbours = ports.get(&port).into_iter().flatten().filter(|(name, _, _)| *name != listener.point.name);
        let (same, other): (Vec<_>, Vec<_>) = neighbours.partition(|(_, protocol, _)| Some(*protocol) == listener.protocol);
        let twins = same.into_iter().filter(|(_, _, hostname)| hostname.is_some() && *hostname == listener.point.hostname);
        let twins: Vec<_> = twins.map(|(name, _, _)| name.clone()).collect();
        let others: Vec<_> = other.into_iter().map(|(name, _, _)| name.clone()).collect();
        match listener.protocol {
            Some(_) if !others.is_empty() => listener.add(Issue::ProtocolConflict { port, others }),
            Some(_) if !twins.is_empty() => listener.add(Issue::HostnameConflict { port, others: twins }),
            _ => {}
        }
    }
}
