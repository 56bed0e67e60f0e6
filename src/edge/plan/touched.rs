//! What a change touches, as far as a plan is concerned.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::hosts::port_of;
use super::index::path_of;
use super::regions::classes;
use super::target::PortId;
use crate::model::{BackendId, CertificateId, Hostname, Listener, ListenerName, Rank, Route};
use crate::snapshot::Resource;

/// What a change touches.
#[derive(Debug, Default)]
pub(super) struct Touched {
    /// Ports whose listeners changed in more than their certificates.
    pub ports: BTreeSet<PortId>,
    /// Ports whose listeners changed.
    pub listeners: BTreeSet<PortId>,
    /// Listeners whose routes, or what those ask of their port, changed.
    pub asked: BTreeSet<ListenerName>,
    /// Texts by listener and effective host.
    pub texts: BTreeMap<(ListenerName, Hostname), BTreeSet<String>>,
    /// Backends whose endpoints may have changed.
    pub backends: BTreeSet<BackendId>,
    /// Certificates.
    pub certificates: BTreeSet<CertificateId>,
    /// Hosts that certificates are shown for now and were not before, or the other way round.
    pub names: BTreeSet<Hostname>,
}

impl Touched {
    /// A listener was another one, is one, or is gone.
    pub(super) fn note_listeners(&mut self, old: Option<&Resource>, new: Option<&Resource>) {
        let without_certificates = |resource: Option<&Resource>| match resource {
            Some(Resource::Listener(listener)) => Some(Listener { certificates: Vec::new(), ..listener.clone() }),
            _ => None,
        };
        let (old, new) = (without_certificates(old), without_certificates(new));
        let ports = || old.iter().chain(&new).map(port_of);
        self.listeners.extend(ports());
        if old != new {
            self.ports.extend(ports());
        }
    }

    /// An entry of this host came or went.
    pub(super) fn note(&mut self, host: &(ListenerName, Hostname), rank: &Arc<Rank>, route: &Route) {
        let texts = self.texts.entry(host.clone()).or_default();
        texts.extend(path_of(rank, route).map(classes).into_iter().flatten().map(|class| class.text));
    }
}
