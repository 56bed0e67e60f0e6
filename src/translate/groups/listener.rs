//! One listener, judged for itself.

use std::sync::Arc;

use super::certificates;
use crate::model::{CertificateId, Hostname, Kind, Listener, ListenerName, ObjectId, Protocol, RESERVED_PORTS, Tuning};
use crate::report::{ConditionType, Issue, RouteKind, Severity};
use crate::snapshot::Resource;
use crate::translate::facts::{GATEWAY_GROUP, GatewayFacts, ListenerFacts, Namespaces};
use crate::translate::reader::Reader;

/// Route kinds that each protocol carries.
const KINDS: &[(Protocol, &[&str])] = &[(Protocol::Http, &["HTTPRoute", "GRPCRoute"]), (Protocol::Https, &["HTTPRoute", "GRPCRoute"])];

/// What routes see of a listener.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AttachPoint {
    /// The Gateway, ListenerSet or IngressClass that declares it.
    pub(crate) owner: ObjectId,
    pub(crate) name: ListenerName,
    pub(crate) port: i32,
    /// None when it cannot be read: nothing intersects it.
    pub(crate) hostname: Option<Hostname>,
    pub(crate) kinds: Vec<RouteKind>,
    pub(crate) namespaces: Namespaces,
    /// Whether attached routes are served.
    pub(crate) serving: bool,
}

/// A listener with its verdict so far.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Judged {
    pub(super) point: AttachPoint,
    pub(super) protocol: Option<Protocol>,
    pub(super) issues: Vec<Issue>,
    /// Certificates that can be served.
    certificates: Vec<(CertificateId, Arc<Resource>)>,
}

/// Judges a listener that `owner`, the Gateway or a ListenerSet of it, declares.
pub(super) fn judge(reader: &mut Reader<'_>, owner: &ObjectId, gateway: &GatewayFacts, facts: &ListenerFacts) -> Judged {
    let mut issues = Vec::new();
    let protocol = match facts.protocol.as_str() {
        "HTTP" => Some(Protocol::Http),
        "HTTPS" => Some(Protocol::Https),
        other => {
            issues.push(Issue::UnsupportedProtocol { protocol: other.to_owned() });
            None
        }
    };
    issues.extend(port(facts.port));
    let hostname = Hostname::parse(facts.hostname.as_deref().unwrap_or_default()).ok();
    if hostname.is_none() {
        issues.push(Issue::InvalidHostname { hostname: facts.hostname.clone().unwrap_or_default() });
    }
    if let Namespaces::Selector(selector) = &facts.namespaces
        && let Some(operator) = selector.invalid()
    {
        issues.push(Issue::InvalidSelector { operator: operator.to_owned() });
    }
    let (kinds, invalid) = kinds(protocol, &facts.kinds);
    issues.extend(invalid);
    let mut served = Vec::new();
    if protocol == Some(Protocol::Https) {
        let (certificates, found) = certificates::resolve(reader, owner, facts.tls.as_ref(), hostname.as_ref());
        issues.extend(found);
        served = certificates;
        if gateway.validates_clients(facts.port) {
            issues.push(Issue::UnsupportedClientValidation);
        }
    }
    let serving = serves(&issues);
    let name = match owner.kind {
        Kind::ListenerSet => ListenerName::of_set(owner, &facts.name.0),
        _ => facts.name.clone(),
    };
    let (owner, namespaces) = (owner.clone(), facts.namespaces.clone());
    let point = AttachPoint { owner, name, port: facts.port, hostname, kinds, namespaces, serving };
    Judged { point, protocol, issues, certificates: served }
}

/// What is wrong with a port.
fn port(port: i32) -> Option<Issue> {
    let Some(number) = u16::try_from(port).ok().filter(|number| *number > 0) else { return Some(Issue::PortUnavailable { port }) };
    let (port, purpose) = RESERVED_PORTS.iter().find(|(reserved, _)| *reserved == number)?;
    Some(Issue::PortReserved { port: *port, purpose })
}

/// Kinds that the protocol carries and `allowedRoutes.kinds` names, and those that it cannot carry.
fn kinds(protocol: Option<Protocol>, allowed: &[RouteKind]) -> (Vec<RouteKind>, Vec<Issue>) {
    let carried = KINDS.iter().filter(|(of, _)| Some(*of) == protocol).flat_map(|(_, kinds)| *kinds);
    let carried: Vec<_> = carried.map(|kind| RouteKind { group: GATEWAY_GROUP.to_owned(), kind: (*kind).to_owned() }).collect();
    if protocol.is_none() || allowed.is_empty() {
        return (carried, Vec::new());
    }
    let invalid = allowed.iter().filter(|kind| !carried.contains(kind));
    let invalid = invalid.map(|kind| Issue::InvalidRouteKind { group: kind.group.clone(), kind: kind.kind.clone() }).collect();
    (carried.into_iter().filter(|kind| allowed.contains(kind)).collect(), invalid)
}

fn serves(issues: &[Issue]) -> bool {
    !issues.iter().any(|issue| issue.severity() == Severity::Error && issue.effect().condition != ConditionType::ResolvedRefs)
}

impl Judged {
    /// A listener without hostname or certificates of its own, with nothing wrong but perhaps its port.
    pub(crate) fn for_every_host(owner: ObjectId, name: ListenerName, port: u16, protocol: Protocol) -> Self {
        let issues: Vec<Issue> = self::port(i32::from(port)).into_iter().collect();
        let point = AttachPoint {
            owner,
            name,
            port: i32::from(port),
            hostname: Some(Hostname::Any),
            kinds: Vec::new(),
            namespaces: Namespaces::All,
            serving: serves(&issues),
        };
        Self { point, protocol: Some(protocol), issues, certificates: Vec::new() }
    }

    /// Adds an issue that the listener has because of others.
    pub(super) fn add(&mut self, issue: Issue) {
        self.issues.push(issue);
        self.point.serving = serves(&self.issues);
    }

    /// Whether it is right as it is written, whatever others hold.
    pub(super) fn is_valid(&self) -> bool {
        let written = self.issues.iter().filter(|issue| !matches!(issue, Issue::AddressTaken { .. }));
        serves(&written.cloned().collect::<Vec<_>>())
    }

    /// The port that it makes the edge listen on. A listener that lacks a certificate, or cannot check clients, is still
    /// there, without routes: its hosts must not fall to a less specific listener of its port.
    pub(super) fn bound_port(&self) -> Option<u16> {
        let fails_closed = |issue: &Issue| matches!(issue, Issue::NoCertificate | Issue::UnsupportedClientValidation);
        let others: Vec<_> = self.issues.iter().filter(|issue| !fails_closed(issue)).cloned().collect();
        u16::try_from(self.point.port).ok().filter(|_| serves(&others))
    }

    /// What the snapshot holds of it.
    pub(super) fn resources(&self, tuning: &Tuning) -> Vec<Arc<Resource>> {
        let (Some(protocol), Some(hostname), Some(port)) = (self.protocol, self.point.hostname.clone(), self.bound_port()) else {
            return Vec::new();
        };
        let certificates = self.certificates.iter().map(|(id, _)| id.clone()).collect();
        let (name, tuning) = (self.point.name.clone(), tuning.clone());
        let certificates_by_name = self.point.owner.kind == Kind::IngressClass && protocol == Protocol::Https;
        let listener = Listener { name, port, protocol, hostname, certificates, certificates_by_name, tuning };
        let listener = Arc::new(Resource::Listener(listener));
        std::iter::once(listener).chain(self.certificates.iter().map(|(_, resource)| resource.clone())).collect()
    }
}
