//! Whether Sōzu reads a port's requests itself, or relays its connections.

use std::collections::BTreeMap;

use super::asked::labels;
use super::index::Index;
use super::target::{PortId, PortKind};
use super::{Options, RelayReason};
use crate::model::{Hostname, Kind, Listener, ListenerName};

/// Why a port is relayed, if it is.
pub(super) fn relay(index: &Index, port: PortId, options: &Options) -> Option<RelayReason> {
    let listeners: Vec<&Listener> = index.listeners().of(port).collect();
    if listeners.is_empty() {
        return None;
    }
    let tuning = index.listeners().tuning(port);
    if options.force_relay || tuning.is_some_and(|tuning| tuning.force_relay) {
        return Some(RelayReason::Forced);
    }
    if tuning.is_some_and(|tuning| tuning.strict) {
        return Some(RelayReason::Strict);
    }
    if tuning.is_some_and(|tuning| !tuning.paths.is_keep()) {
        return Some(RelayReason::Paths);
    }
    if let Some(client) = tuning.and_then(|tuning| tuning.client_address.as_ref()) {
        return Some(if client.proxy_protocol { RelayReason::ProxyProtocol } else { RelayReason::ClientAddress });
    }
    if tuning.is_some_and(|tuning| tuning.max_age_seconds.is_some()) {
        return Some(RelayReason::MaxAge);
    }
    let of_any = |reason: fn(&Index, &Listener) -> Option<RelayReason>| listeners.iter().find_map(|listener| reason(index, listener));
    of_any(http2).or_else(|| match port.kind {
        PortKind::Https => of_any(alone).or_else(|| together(index, port)),
        PortKind::Http | PortKind::Relay => None,
    })
}

/// What the backends behind any listener ask for.
fn http2(index: &Index, listener: &Listener) -> Option<RelayReason> {
    let calls = index.has_kind(&listener.name, Kind::GrpcRoute).then_some(RelayReason::Grpc);
    calls.or_else(|| index.wants_http2(&listener.name).then_some(RelayReason::Http2))
}

/// What one TLS listener asks for.
fn alone(index: &Index, listener: &Listener) -> Option<RelayReason> {
    match &listener.hostname {
        // Hosts of Ingresses are named one by one, and so are their certificates: no client without a name is theirs.
        Hostname::Any if !listener.certificates.is_empty() && !listener.certificates_by_name => Some(RelayReason::NoHostname),
        Hostname::Any => None,
        _ if listener.certificates.len() > 1 => Some(RelayReason::SeveralCertificates),
        Hostname::Wildcard(suffix) => {
            let deep =
                labels(suffix) + 1 < index.most_labels(&listener.name) || certified(index, listener).any(|name| is_below(&name, suffix));
            deep.then_some(RelayReason::WildcardDepth)
        }
        Hostname::Label(_) | Hostname::Exact(_) => None,
    }
}

/// Whether listeners of a port are in each other's way: Sōzu decides by the certificate that it showed, not by listener.
fn together(index: &Index, port: PortId) -> Option<RelayReason> {
    let listeners = || index.listeners().of(port);
    // Another listener that covers all of a host.
    let covered = |one: &Listener, host: &Hostname| index.listeners().covering(port, host).any(|other| other.name != one.name);
    if listeners().any(|one| covered(one, &one.hostname)) {
        return Some(RelayReason::NestedHostnames);
    }
    let mut shown: BTreeMap<String, &ListenerName> = BTreeMap::new();
    for listener in listeners() {
        for certificate in listener.certificates.iter().filter_map(|id| index.certificate(id)) {
            let before = shown.insert(certificate.fingerprint.clone(), &listener.name);
            if before.is_some_and(|name| *name != listener.name) {
                return Some(RelayReason::SharedCertificate);
            }
        }
    }
    let within = |one: &Listener, host: &Hostname| {
        !matches!(host, Hostname::Exact(_)) && listeners().any(|other| other.name != one.name && host.covers(&other.hostname))
    };
    let shared = listeners().any(|one| certified(index, one).any(|host| covered(one, &host) || within(one, &host)));
    shared.then_some(RelayReason::SharedCertificate)
}

/// The hosts for which a listener's certificates are valid.
fn certified<'a>(index: &'a Index, listener: &'a Listener) -> impl Iterator<Item = Hostname> + 'a {
    let certificates = listener.certificates.iter().filter_map(|id| index.certificate(id));
    // In a certificate a wildcard stands for one label.
    certificates.flat_map(|certificate| &certificate.names).filter_map(|name| Hostname::parse_ingress(name).ok())
}

/// Whether a certificate's name has several labels before a suffix.
fn is_below(name: &Hostname, suffix: &str) -> bool {
    let (Hostname::Exact(inner) | Hostname::Label(inner) | Hostname::Wildcard(inner)) = name else { return false };
    let more = usize::from(!matches!(name, Hostname::Exact(_)));
    inner.strip_suffix(suffix).is_some_and(|left| left.ends_with('.')) && labels(inner) + more > labels(suffix) + 1
}
