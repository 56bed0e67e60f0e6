//! Which certificate a client is shown, and which requests its connection may carry.

use std::collections::{BTreeMap, BTreeSet};

use super::{Request, Why};
use crate::edge::plan::{PortCertificate, Target};
use crate::filter::router::Table;
use crate::model::{CertificateId, Listener};
use crate::snapshot::{Key, Resource, Snapshot};

/// What TLS does to a request.
pub(super) struct Tls {
    /// Secrets of what is shown.
    pub(super) shown: Vec<CertificateId>,
    /// Why the request is not decided by its host: the connection is not for it, or there is none.
    pub(super) bars: Option<Bar>,
}

/// What keeps a request from being decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Bar {
    /// The connection was made for another host: 421.
    Misdirected,
    /// The client is shown no certificate.
    Closed(Why),
}

/// Where Sōzu ends TLS: a connection carries the hosts that its certificate names. Sōzu drops clients that name no host.
pub(super) fn native(target: &Target, request: &Request) -> Tls {
    let Some(server_name) = &request.server_name else {
        return Tls { shown: Vec::new(), bars: Some(Bar::Closed(Why::NoServerName)) };
    };
    let of_port = target.certificates.iter().filter(|((port, _), _)| port.number == request.port);
    let offers = of_port.map(|(_, certificate)| {
        let PortCertificate { names, owners, .. } = &**certificate;
        let owners = owners.iter().filter_map(|key| match key {
            Key::Certificate(id) => Some(id.clone()),
            _ => None,
        });
        Offer { names: names.clone(), owners: owners.collect() }
    });
    by_name(&offers.collect::<Vec<_>>(), server_name, request)
}

/// A certificate as it is offered on a port.
#[derive(Default)]
struct Offer {
    names: BTreeSet<String>,
    owners: Vec<CertificateId>,
}

/// Where certificates are offered by name: a connection carries its own host and those that its certificate is offered for.
fn by_name(offers: &[Offer], server_name: &str, request: &Request) -> Tls {
    let offered = patterns(server_name).find_map(|pattern| offers.iter().find(|offer| offer.names.contains(&pattern)));
    let named = |host: &str| offered.is_some_and(|offer| patterns(host).any(|pattern| offer.names.contains(&pattern)));
    let misdirected = request.host != *server_name && !named(&request.host);
    Tls { shown: offered.map(|offer| offer.owners.clone()).unwrap_or_default(), bars: misdirected.then_some(Bar::Misdirected) }
}

/// What a listener with certificates by name offers: one that is in several Secrets is one, for the names of all.
fn offers(snapshot: &Snapshot, listener: &Listener) -> Vec<Offer> {
    let mut offers: BTreeMap<&str, Offer> = BTreeMap::new();
    for id in &listener.certificates {
        if let Some(Resource::Certificate(certificate)) = snapshot.get(&Key::Certificate(id.clone())).map(|resource| &**resource) {
            let offer = offers.entry(&certificate.fingerprint).or_default();
            offer.names.extend(certificate.names.iter().cloned());
            offer.owners.push(id.clone());
        }
    }
    offers.into_values().collect()
}

/// Where the filter proxy ends TLS: a connection carries the hosts of its listener. For a client that names no host that is
/// the listener without hostname; if there is none, but only one listener, its certificates are shown, and every host is
/// carried.
pub(super) fn relayed(table: &Table, snapshot: &Snapshot, request: &Request) -> Tls {
    let of_port = || super::listeners(snapshot).filter(|listener| listener.port == request.port);
    let made_for = match &request.server_name {
        Some(name) => table.listener(request.port, name),
        None => table.listener_for_any(request.port),
    };
    let alone = of_port().next().filter(|_| request.server_name.is_none() && of_port().count() == 1);
    let of = made_for.map(|listener| &**listener).or(alone);
    if let (Some(of), Some(server_name)) = (of.filter(|of| of.certificates_by_name), &request.server_name) {
        let tls = by_name(&offers(snapshot, of), server_name, request);
        let closed = tls.shown.is_empty().then_some(Bar::Closed(Why::NoCertificate));
        return Tls { bars: closed.or(tls.bars), ..tls };
    }
    // Without a name there is no certificate by name.
    let shown = of.filter(|of| !of.certificates_by_name).map(|listener| listener.certificates.clone()).unwrap_or_default();
    if shown.is_empty() {
        let why = if request.server_name.is_some() { Why::NoCertificate } else { Why::NoServerName };
        return Tls { shown, bars: Some(Bar::Closed(why)) };
    }
    let wanted = table.listener(request.port, &request.host);
    let misdirected = matches!((made_for, wanted), (Some(made_for), Some(wanted)) if made_for.name != wanted.name);
    Tls { shown, bars: misdirected.then_some(Bar::Misdirected) }
}

/// What names a host in a certificate: itself, and a wildcard for its first label.
fn patterns(host: &str) -> impl Iterator<Item = String> {
    [Some(host.to_owned()), host.split_once('.').map(|(_, suffix)| format!("*.{suffix}"))].into_iter().flatten()
}
