//! Backends: a Service port becomes the endpoints that may receive requests.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::facts::{Family, Readiness, ServiceFacts, ServicePort, SliceFacts};
use super::reader::Reader;
use crate::model::{Backend, BackendId, BackendProtocol, Endpoint, InvalidBackend, Kind, ObjectId};
use crate::report::{Finding, Issue, Scope};
use crate::snapshot::Resource;

/// What a Service port comes to.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct BackendOutcome {
    /// What routes see of it.
    pub(super) state: BackendState,
    /// For snapshots; none when it is invalid.
    pub(super) resource: Option<Arc<Resource>>,
    /// Findings of its EndpointSlices.
    pub(super) findings: Vec<Finding>,
}

/// What routes see of a Service port. It stays the same while endpoints come and go.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum BackendState {
    /// It can be forwarded to.
    Resolved {
        /// Nothing may receive requests now.
        empty: bool,
    },
    /// It cannot.
    Invalid(InvalidBackend, Issue),
}

/// Resolves a Service port.
pub(super) fn resolve(reader: &mut Reader<'_>, id: &BackendId) -> BackendOutcome {
    let service = reader.service(&id.namespace, &id.service);
    let (service, port, protocol) = match port_of(service, id) {
        Ok(found) => found,
        Err((why, issue)) => return BackendOutcome { state: BackendState::Invalid(why, issue), resource: None, findings: Vec::new() },
    };
    let slices = reader.slices(&id.namespace, &id.service);
    let endpoints = endpoints(&slices, &port.name, &service.families);
    BackendOutcome {
        state: BackendState::Resolved { empty: endpoints.is_empty() },
        resource: Some(Arc::new(Resource::Backend(Backend { id: id.clone(), protocol, endpoints }))),
        findings: findings(id, &port, &slices),
    }
}

type Found = (Arc<ServiceFacts>, ServicePort, BackendProtocol);

fn port_of(service: Option<Arc<ServiceFacts>>, id: &BackendId) -> Result<Found, (InvalidBackend, Issue)> {
    let (namespace, name) = (id.namespace.clone(), id.service.clone());
    let Some(service) = service else {
        return Err((InvalidBackend::NotFound, Issue::BackendNotFound { namespace, name, port: None }));
    };
    if service.external_name {
        return Err((InvalidBackend::UnknownKind, Issue::ExternalName { namespace, name }));
    }
    let mut ports: Vec<_> = service.ports.iter().filter(|port| port.port == i32::from(id.port)).cloned().collect();
    // One number may be there for TCP and for UDP.
    ports.sort_by_key(|port| port.protocol != "TCP");
    let Some(port) = ports.into_iter().next() else {
        return Err((InvalidBackend::NotFound, Issue::BackendNotFound { namespace, name, port: Some(id.port) }));
    };
    match protocol(&port) {
        Ok(protocol) => Ok((service, port, protocol)),
        Err(protocol) => Err((InvalidBackend::UnsupportedProtocol, Issue::UnsupportedBackendProtocol { backend: id.clone(), protocol })),
    }
}

/// What values of `appProtocol` mean (Kubernetes, Service, "Application protocol"; Gateway API, GEP-1911). `None`: TLS.
const PROTOCOLS: [(&str, Option<BackendProtocol>); 10] = [
    ("http", Some(BackendProtocol::Http)),
    ("kubernetes.io/ws", Some(BackendProtocol::Http)),
    ("ws", Some(BackendProtocol::Http)),
    ("kubernetes.io/h2c", Some(BackendProtocol::H2c)),
    ("h2c", Some(BackendProtocol::H2c)),
    ("grpc", Some(BackendProtocol::H2c)),
    ("https", None),
    ("kubernetes.io/wss", None),
    ("wss", None),
    ("grpcs", None),
];

/// The protocol towards the endpoints, or what is asked for and not spoken. HTTP/1.1 stands in for what is not known.
fn protocol(port: &ServicePort) -> Result<BackendProtocol, String> {
    match (port.protocol.as_str(), port.app_protocol.as_deref()) {
        ("TCP", Some(name)) => match meaning(name) {
            Some(None) => Err(name.to_owned()),
            Some(Some(protocol)) => Ok(protocol),
            None => Ok(BackendProtocol::default()),
        },
        ("TCP", None) => Ok(BackendProtocol::default()),
        (other, _) => Err(other.to_owned()),
    }
}

/// IANA names are compared without regard to case (RFC 6335 §5.1).
fn meaning(name: &str) -> Option<Option<BackendProtocol>> {
    PROTOCOLS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, protocol)| *protocol)
}

/// The endpoints of the slices' port of this name: the ready ones of the preferred family that has any, else those that
/// terminate but still serve.
fn endpoints(slices: &[(ObjectId, Arc<SliceFacts>)], port: &str, families: &[Family]) -> Vec<Endpoint> {
    let all: BTreeSet<(Readiness, Family, IpAddr, u16)> = slices
        .iter()
        .flat_map(|(_, slice)| {
            let ports = slice.ports.iter().filter(|(name, _, protocol)| name == port && protocol == "TCP");
            ports.flat_map(|(_, number, _)| slice.endpoints.iter().map(|(ip, readiness)| (*readiness, Family::of(*ip), *ip, *number)))
        })
        .collect();
    let order = families.iter().copied().chain([Family::V4, Family::V6]);
    let usable = |readiness: Readiness| {
        order.clone().find_map(|family| {
            let of_family = all.iter().filter(|(ready, of, _, _)| *ready == readiness && *of == family);
            let endpoints: Vec<_> = of_family.map(|(_, _, ip, port)| Endpoint { ip: *ip, port: *port }).collect();
            (!endpoints.is_empty()).then_some(endpoints)
        })
    };
    usable(Readiness::Ready).or_else(|| usable(Readiness::LastResort)).unwrap_or_default()
}

/// What is wrong with the Service port and its slices, each on its own object.
fn findings(id: &BackendId, port: &ServicePort, slices: &[(ObjectId, Arc<SliceFacts>)]) -> Vec<Finding> {
    let finding = |object: ObjectId, issue: Issue| Finding { object, scope: Scope::Object, issue };
    let unknown = port.app_protocol.iter().filter(|name| meaning(name).is_none()).map(|name| {
        let issue = Issue::UnknownAppProtocol { port: id.port, protocol: name.clone() };
        finding(ObjectId::new(Kind::Service, &id.namespace, &id.service), issue)
    });
    let of_slices = slices.iter().flat_map(|(slice, facts)| facts.issues.iter().map(|issue| finding(slice.clone(), issue.clone())));
    unknown.chain(of_slices).collect()
}
