//! The certificates of a port.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::index::Index;
use super::target::{PortCertificate, PortId};
use crate::model::{Hostname, Protocol};
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
