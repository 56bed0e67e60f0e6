//! Listeners that exclude each other. Among those of a Gateway no winner is picked, all of them are conflicted
//! (`Gateway.spec.listeners`); those of ListenerSets give way to what comes before them (`ListenerSet`).

use std::collections::BTreeMap;

use super::listener::Judged;
use crate::model::{Hostname, Kind, ListenerName, Protocol};
use crate::report::Issue;

/// Listeners that a finding names at most.
const NAMED: usize = 8;

/// The listeners of one port that others can be in the way of.
#[derive(Default)]
struct Port(BTreeMap<Protocol, Listeners>);

/// Those of one protocol.
#[derive(Default)]
struct Listeners {
    all: Vec<ListenerName>,
    by_host: BTreeMap<Hostname, Vec<ListenerName>>,
}

/// Marks the listeners of one port that differ in protocol, or agree in protocol and hostname. The Gateway's own come first,
/// then those of ListenerSets in order of precedence. Listeners whose protocol is not supported are rejected anyway and hurt
/// nobody; in a ListenerSet they are told apart from the port's protocol all the same.
pub(super) fn mark(listeners: &mut [Judged]) {
    let mut ports: BTreeMap<i32, Port> = BTreeMap::new();
    for listener in listeners.iter().filter(|listener| !is_of_set(listener)) {
        ports.entry(listener.point.port).or_default().add(listener);
    }
    for listener in listeners {
        let port = ports.entry(listener.point.port).or_default();
        match port.conflict(listener) {
            Some(issue) => listener.add(issue),
            None if is_of_set(listener) => port.add(listener),
            None => {}
        }
    }
}

fn is_of_set(listener: &Judged) -> bool {
    listener.point.owner.kind == Kind::ListenerSet
}

impl Port {
    fn add(&mut self, listener: &Judged) {
        let Some(protocol) = listener.protocol else { return };
        let Listeners { all, by_host } = self.0.entry(protocol).or_default();
        all.push(listener.point.name.clone());
        if let Some(hostname) = &listener.point.hostname {
            by_host.entry(hostname.clone()).or_default().push(listener.point.name.clone());
        }
    }

    /// What is in the way of a listener, if anything is.
    fn conflict(&self, listener: &Judged) -> Option<Issue> {
        let (port, own) = (listener.point.port, listener.protocol);
        if own.is_none() && !is_of_set(listener) {
            return None;
        }
        let named = |of: &mut dyn Iterator<Item = &ListenerName>| {
            of.filter(|name| **name != listener.point.name).take(NAMED).cloned().collect::<Vec<_>>()
        };
        let strangers = self.0.iter().filter(|(protocol, _)| Some(**protocol) != own);
        let others = named(&mut strangers.flat_map(|(_, listeners)| &listeners.all));
        if !others.is_empty() {
            return Some(Issue::ProtocolConflict { port, others });
        }
        let twins = self.0.get(&own?)?.by_host.get(listener.point.hostname.as_ref()?)?;
        let others = named(&mut twins.iter());
        (!others.is_empty()).then_some(Issue::HostnameConflict { port, others })
    }
}
