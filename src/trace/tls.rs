//! Which certificate a client is shown, and which requests its connection may carry.

use super::Request;
use crate::edge::plan::{PortCertificate, Target};
use crate::filter::router::Table;
use crate::model::CertificateId;
use crate::snapshot::Key;

/// What TLS does to a request.
pub(super) struct Tls {
    /// Secrets of what is shown.
    pub(super) shown: Vec<CertificateId>,
    /// The connection was made for another host: 421.
    pub(super) misdirected: bool,
}

/// Where Sōzu ends TLS: a connection carries the hosts that its certificate names.
pub(super) fn native(target: &Target, request: &Request) -> Tls {
    let offered = offered(target, request);
    let owners = offered.iter().flat_map(|certificate| &certificate.owners);
    let shown = owners.filter_map(|key| match key {
        Key::Certificate(id) => Some(id.clone()),
        _ => None,
    });
    let named = |host: &str| offered.is_some_and(|certificate| patterns(host).any(|pattern| certificate.names.contains(&pattern)));
    Tls { shown: shown.collect(), misdirected: request.host != request.server_name && !named(&request.host) }
}

/// Where the filter proxy ends TLS: a connection carries the hosts of its listener.
pub(super) fn relayed(table: &Table, request: &Request) -> Tls {
    let made_for = table.listener(request.port, &request.server_name);
    let wanted = table.listener(request.port, &request.host);
    let shown = made_for.map(|listener| listener.certificates.clone()).unwrap_or_default();
    let misdirected = wanted.is_some_and(|wanted| made_for.is_none_or(|made_for| made_for.name != wanted.name));
    Tls { shown, misdirected }
}

/// The certificate of the port for the URL's host, by its own name before a wildcard.
fn offered<'t>(target: &'t Target, request: &Request) -> Option<&'t PortCertificate> {
    let of_port = || target.certificates.iter().filter(|((port, _), _)| port.number == request.port).map(|(_, certificate)| &**certificate);
    patterns(&request.server_name).find_map(|pattern| of_port().find(|certificate| certificate.names.contains(&pattern)))
}

/// What names a host in a certificate: itself, and a wildcard for its first label.
fn patterns(host: &str) -> impl Iterator<Item = String> {
    [Some(host.to_owned()), host.split_once('.').map(|(_, suffix)| format!("*.{suffix}"))].into_iter().flatten()
}
