//! Listeners that exclude each other. Among those of a Gateway no winner is picked, all of them are conflicted
//! (`Gateway.spec.listeners`); those of ListenerSets give way to what comes before them (`ListenerSet`).

use std::collections::BTreeMap;

use super::listener::Judged;
use crate::model::{Hostname, Kind, ListenerName, Protocol};
use crate::report::Issue;

/// A listener as far as others can be in its way.
struct Entry {
    name: ListenerName,
    protocol: Protocol,
    hostname: Option<Hostname>,
}

/// Marks the listeners of one port that differ in protocol, or agree in protocol and hostname. The Gateway's own come first,
/// then those of ListenerSets in order of precedence. Listeners whose protocol is not supported are rejected anyway and hurt
/// nobody; in a ListenerSet they are told apart from the port's protocol all the same.
pub(super) fn mark(listeners: &mut [Judged]) {
    let mut ports: BTreeMap<i32, Vec<Entry>> = BTreeMap::new();
    for listener in listeners.iter().filter(|listener| !is_of_set(listener)) {
        ports.entry(listener.point.port).or_default().extend(entry(listener));
    }
    for listener in listeners {
        let found = conflict(listener, ports.get(&listener.point.port).map(Vec::as_slice).unwrap_or_default());
        match found {
            Some(issue) => listener.add(issue),
            None if is_of_set(listener) => ports.entry(listener.point.port).or_default().extend(entry(listener)),
            None => {}
        }
    }
}

fn is_of_set(listener: &Judged) -> bool {
    listener.point.owner.kind == Kind::ListenerSet
}

fn entry(listener: &Judged) -> Option<Entry> {
    Some(Entry { name: listener.point.name.clone(), protocol: listener.protocol?, hostname: listener.point.hostname.clone() })
}

/// What is in the way of a listener, if anything is.
fn conflict(listener: &Judged, others: &[Entry]) -> Option<Issue> {
    let port = listener.point.port;
    let protocol = listener.protocol;
    if protocol.is_none() && !is_of_set(listener) {
        return None;
    }
    let neighbours = || others.iter().filter(|other| other.name != listener.point.name);
    let names = |of: &mut dyn Iterator<Item = &Entry>| of.map(|other| other.name.clone()).collect::<Vec<_>>();
    let strangers = names(&mut neighbours().filter(|other| Some(other.protocol) != protocol));
    let is_twin =
        |other: &&Entry| Some(other.protocol) == protocol && other.hostname.is_some() && other.hostname == listener.point.hostname;
    let twins = names(&mut neighbours().filter(is_twin));
    if !strangers.is_empty() {
        Some(Issue::ProtocolConflict { port, others: strangers })
    } else if !twins.is_empty() {
        Some(Issue::HostnameConflict { port, others: twins })
    } else {
        None
    }
}
