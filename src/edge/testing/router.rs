//! Sōzu's router as it was measured: which of the frontends, in the order of their insertion, a request reaches.

use std::collections::BTreeSet;

use super::naive::Request;
use crate::edge::plan::{Frontend, HostRule, PathKind, PortId, PortKind, Reason, Stage, Target};

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
        self.relays.remove(&port.number);
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
        let on_port = || self.fronts.iter().filter(|(port, _)| port.number == request.port).map(|(_, front)| front);
        let rest = request.host.split_once('.').map(|(_, rest)| rest);
        let exact = on_port().filter(|front| front.host == HostRule::Exact(request.host.clone()));
        let label = on_port().filter(|front| rest.is_some_and(|rest| front.host == HostRule::Label(rest.to_owned())));
        tree(exact, request).or_else(|| tree(label, request)).or_else(|| {
            let mut list = on_port().filter(|front| match &front.host {
                HostRule::Labels(suffix) => request.host.strip_suffix(&format!(".{suffix}")).is_some_and(|left| !left.is_empty()),
                HostRule::Any => true,
                HostRule::Exact(_) | HostRule::Label(_) => false,
            });
            list.find(|front| path(front, request) && method(front, request) != Some(false)).map(|front| &front.stage)
        })
    }
}

fn path(front: &Frontend, request: &Request) -> bool {
    match front.path.kind {
        PathKind::Prefix => request.target.starts_with(&front.path.text),
        PathKind::Equals => request.target == front.path.text,
    }
}

/// None: no method is named.
fn method(front: &Frontend, request: &Request) -> Option<bool> {
    front.method.as_ref().map(|method| *method == request.method)
}

fn tree<'a>(fronts: impl Iterator<Item = &'a Frontend>, request: &Request) -> Option<&'a Stage> {
    let mut length = 0;
    let mut won = None;
    for front in fronts.filter(|front| path(front, request)) {
        match (front.path.kind, method(front, request)) {
            (_, Some(false)) => {}
            (PathKind::Equals, Some(true)) => return Some(&front.stage),
            (PathKind::Equals, None) => (length, won) = (request.target.len(), Some(&front.stage)),
            (PathKind::Prefix, _) if front.path.text.len() >= length => (length, won) = (front.path.text.len(), Some(&front.stage)),
            (PathKind::Prefix, _) => {}
        }
    }
    won
}
