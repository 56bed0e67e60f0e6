//! Sōzu's router as it was measured: which of the frontends, in the order of their insertion, a request reaches.

use std::collections::BTreeSet;

use super::naive::Request;
use crate::edge::plan::{Frontend, Lookup, PathKind, PortId, PortKind, Reason, Stage, Target};

/// Frontends in the order of their insertion.
#[derive(Default)]
pub(crate) struct Router {
    fronts: Vec<(PortId, Frontend)>,
    /// Ports whose connections go to the filter as they are.
    relays: BTreeSet<u16>,
}

/// What becomes of every request on a relayed port.
static RELAYED: Stage = Stage::Hop(Reason::Forced);

impl Router {
    pub(crate) fn of(target: &Target) -> Self {
        let fronts = target.chains.iter().flat_map(|(id, chain)| chain.frontends.iter().map(|front| (id.vhost.port, front.clone())));
        Self { fronts: fronts.collect(), relays: target.relays.keys().map(|port| port.number).collect() }
    }

    /// A port is bound: from now on these are its connections.
    pub(crate) fn bind(&mut self, port: PortId) {
        if port.kind == PortKind::Relay {
            self.relays.insert(port.number)
        } else {
            self.relays.remove(&port.number)
        };
    }

    /// A port is not bound any more.
    pub(crate) fn release(&mut self, port: PortId) {
        if port.kind == PortKind::Relay {
            self.relays.remove(&port.number);
        }
    }

    pub(crate) fn add(&mut self, port: PortId, front: Frontend) {
        assert!(self.position(port, &front).is_none(), "added twice: {front:?}");
        self.fronts.push((port, front));
    }

    pub(crate) fn remove(&mut self, port: PortId, front: &Frontend) {
        let position = self.position(port, front).expect("what is removed is there");
        self.fronts.remove(position);
    }

    /// A worker that restarts takes its frontends from a map by text; equals come before prefixes there.
    pub(crate) fn sort(&mut self) {
        let key = |(port, front): &(PortId, Frontend)| {
            let kind = if front.path.kind == PathKind::Equals { '=' } else { 'P' };
            format!("{port};{};{kind}{};{:?}", front.host, front.path.text, front.method)
        };
        self.fronts.sort_by_key(key);
    }

    fn position(&self, port: PortId, front: &Frontend) -> Option<usize> {
        let same = |held: &Frontend| (&held.host, &held.path, &held.method) == (&front.host, &front.path, &front.method);
        self.fronts.iter().position(|(of, held)| *of == port && same(held))
    }

    pub(crate) fn route(&self, request: &Request) -> Option<&Stage> {
        if self.relays.contains(&request.port) {
            return Some(&RELAYED);
        }
        let on_port: Vec<_> = self.fronts.iter().filter(|(port, _)| port.number == request.port).map(|(_, front)| front).collect();
        let Request { port, host, target, method, .. } = request;
        Lookup { port: *port, host, target, method }.choose(&on_port).map(|front| &front.stage)
    }
}
