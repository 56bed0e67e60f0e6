//! The certificates of a port, and what follows for hosts that have none.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::OrdSet;

use super::hosts::{place_of, port_of};
use super::index::{Entries, Index};
use super::target::{PortCertificate, PortId, VhostId};
use crate::model::{CertificateId, Hostname, Listener, Protocol};
use crate::snapshot::Key;

/// What a port offers, by fingerprint. Two Secrets with one certificate are one certificate to Sōzu.
pub(super) fn of_port(index: &Index, port: PortId) -> BTreeMap<String, PortCertificate> {
    let mut wanted: BTreeMap<String, PortCertificate> = BTreeMap::new();
    let listeners = index.listeners().of(port).filter(|listener| listener.protocol == Protocol::Https);
    for (listener, id) in listeners.flat_map(|listener| listener.certificates.iter().map(move |id| (listener, id))) {
        let Some(certificate) = index.certificate(id) else { continue };
        let entry = wanted.entry(certificate.fingerprint.clone()).or_insert_with(|| PortCertificate {
            certificate: Arc::new(certificate.clone()),
            names: BTreeSet::new(),
            owners: BTreeSet::new(),
        });
        match &listener.hostname {
            Hostname::Any => entry.names.extend(certificate.names.iter().cloned()),
            Hostname::Exact(name) => {
                entry.names.insert(name.clone());
            }
            Hostname::Wildcard(suffix) | Hostname::Label(suffix) => {
                entry.names.insert(format!("*.{suffix}"));
            }
        }
        entry.owners.insert(Key::Certificate(id.clone()));
    }
    wanted
}

/// The certificates of which the filter proxy needs all, because it ends TLS; and those of which it needs the names.
pub(super) fn of_filter(index: &Index, is_relayed: impl Fn(PortId) -> bool) -> (OrdSet<CertificateId>, OrdSet<CertificateId>) {
    let (relayed, own): (Vec<_>, Vec<_>) = index.listeners().all().partition(|listener| is_relayed(port_of(listener)));
    let of = |listeners: Vec<&Listener>| listeners.iter().flat_map(|listener| listener.certificates.iter().cloned()).collect();
    (of(relayed), of(own.into_iter().filter(|listener| listener.certificates_by_name).collect()))
}

/// Whether a host has no certificate of its routes' namespace on a listener that shows certificates by name. Sōzu would show one
/// of its own, and serve the host all the same.
pub(super) fn lacks(index: &Index, listener: &Listener, host: &Hostname, entries: &Entries) -> bool {
    let covered = |key: &Key| match key {
        Key::Route(id) => index.certified().covers(host, &id.namespace),
        _ => true,
    };
    listener.certificates_by_name && !entries.routes().iter().all(covered)
}

/// The virtual hosts that names of certificates are for, where certificates are shown by name.
pub(super) fn vhosts(index: &Index, names: &BTreeSet<Hostname>) -> BTreeSet<VhostId> {
    let mut vhosts = BTreeSet::new();
    for listener in index.listeners().all().filter(|listener| listener.certificates_by_name) {
        let mut add = |host: &Hostname| vhosts.insert(VhostId { port: port_of(listener), host: place_of(host.clone()) });
        for name in names {
            add(name);
        }
        if names.iter().all(|name| matches!(name, Hostname::Exact(_))) {
            continue;
        }
        for host in index.hosts(&listener.name) {
            if let Hostname::Exact(name) = host
                && name.split_once('.').is_some_and(|(_, suffix)| names.contains(&Hostname::Label(suffix.to_owned())))
            {
                add(host);
            }
        }
    }
    vhosts
}
