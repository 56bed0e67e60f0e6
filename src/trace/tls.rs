//! Which certificate a client is shown, and which requests its connection may carry.

use super::{Request, Why};
use crate::edge::plan::{PortCertificate, Target};
use crate::filter::router::Table;
use crate::model::CertificateId;
use crate::snapshot::{Key, Snapshot};

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
    let offered = offered(target, request.port, server_name);
    let owners = offered.iter().flat_map(|certificate| &certificate.owners);
    let shown = owners.filter_map(|key| match key {
        Key::Certificate(id) => Some(id.clone()),
        _ => None,
    });
    let named = |host: &str| offered.is_some_and(|certificate| patterns(host).any(|pattern| certificate.names.contains(&pattern)));
    let misdirected = request.host != *server_name && !named(&request.host);
    Tls { shown: shown.collect(), bars: misdirected.then_some(Bar::Misdirected) }
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
    let shown = made_for.map(|listener| &**listener).or(alone).map(|listener| listener.certificates.clone()).unwrap_or_default();
    if shown.is_empty() {
        let why = if request.server_name.is_some() { Why::NoCertificate } else { Why::NoServerName };
        return Tls { shown, bars: Some(Bar::Closed(why)) };
    }
    let wanted = table.listener(request.port, &request.host);
    let misdirected = matches!((made_for, wanted), (Some(made_for), Some(wanted)) if made_for.name != wanted.name);
    Tls { shown, bars: misdirected.then_some(Bar::Misdirected) }
}

/// The certificate of the port for a server name, by its own name before a wildcard.
fn offered<'t>(target: &'t Target, number: u16, server_name: &str) -> Option<&'t PortCertificate> {
    let of_port = || target.certificates.iter().filter(|((port, _), _)| port.number == number).map(|(_, certificate)| &**certificate);
    patterns(server_name).find_map(|pattern| of_port().find(|certificate| certificate.names.contains(&pattern)))
}

/// What names a host in a certificate: itself, and a wildcard for its first label.
fn patterns(host: &str) -> impl Iterator<Item = String> {
    [Some(host.to_owned()), host.split_once('.').map(|(_, suffix)| format!("*.{suffix}"))].into_iter().flatten()
}
