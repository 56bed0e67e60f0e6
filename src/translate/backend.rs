//! Backends: a Service port becomes the endpoints that may receive requests.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::external;
use super::facts::{Family, Readiness, ServiceFacts, ServicePort, SliceFacts};
use super::reader::Reader;
use crate::model::{Backend, BackendId, BackendProtocol, Endpoint, InvalidBackend, Kind, ObjectId, Topology};
use crate::report::{Finding, Issue, Limit, Scope};
use crate::snapshot::Resource;

/// Ports of one Service that are served, the first ones: each has the list of the Service's endpoints for itself.
const MAX_PORTS: usize = 64;

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
    let Some(service) = reader.service(&id.namespace, &id.service) else {
        let issue = Issue::BackendNotFound { namespace: id.namespace.clone(), name: id.service.clone(), port: None };
        return BackendOutcome::invalid(InvalidBackend::NotFound, issue);
    };
    let reached = match &service.external_name {
        Some(name) => external::reach(reader, id, &service, name),
        None => reach(reader, id, &service),
    };
    let Reached { protocol, endpoints, topology, findings } = match reached {
        Ok(reached) => reached,
        Err(failed) => return BackendOutcome::invalid(failed.0, failed.1),
    };
    BackendOutcome {
        state: BackendState::Resolved { empty: endpoints.is_empty() },
        resource: Some(Arc::new(Resource::Backend(Backend { id: id.clone(), protocol, affinity: service.affinity, endpoints, topology }))),
        findings,
    }
}

impl BackendOutcome {
    fn invalid(why: InvalidBackend, issue: Issue) -> Self {
        Self { state: BackendState::Invalid(why, issue), resource: None, findings: Vec::new() }
    }
}

/// Where a Service port leads.
pub(super) struct Reached {
    pub(super) protocol: BackendProtocol,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) topology: BTreeMap<IpAddr, Topology>,
    pub(super) findings: Vec<Finding>,
}

/// Why a Service port cannot be forwarded to.
pub(super) struct Unreachable(pub(super) InvalidBackend, pub(super) Issue);

/// By the EndpointSlices of the Service.
fn reach(reader: &mut Reader<'_>, id: &BackendId, service: &ServiceFacts) -> Result<Reached, Box<Unreachable>> {
    let port = port_of(service, id)?;
    let protocol = protocol(port, id)?;
    let slices = reader.slices(&id.namespace, &id.service);
    let mut findings: Vec<Finding> = remarks(id, port).collect();
    let mut of_services = BTreeSet::new();
    for (slice, facts) in &slices {
        let own: BTreeSet<IpAddr> = facts.endpoints.iter().map(|(ip, _)| *ip).filter(|ip| reader.is_endpoint_of_service(*ip)).collect();
        let refused = own.iter().map(|address| Issue::EndpointRefused { address: *address, range: "cluster" });
        let finding = |issue| Finding { object: slice.clone(), scope: Scope::Object, issue };
        findings.extend(facts.issues.iter().cloned().chain(refused).map(finding));
        of_services.extend(own);
    }
    let endpoints = endpoints(&slices, port, &service.families, &of_services);
    let mut topology = BTreeMap::new();
    let served: BTreeSet<IpAddr> = endpoints.iter().map(|endpoint| endpoint.ip).collect();
    for (ip, place) in slices.iter().flat_map(|(_, slice)| &slice.topology).filter(|(ip, _)| served.contains(ip)) {
        topology.entry(*ip).or_insert_with(|| place.clone());
    }
    Ok(Reached { protocol, endpoints, topology, findings })
}

/// The Service's port of this number.
pub(super) fn port_of<'a>(service: &'a ServiceFacts, id: &BackendId) -> Result<&'a ServicePort, Box<Unreachable>> {
    let of_number = service.ports.iter().enumerate().filter(|(_, port)| port.port == i32::from(id.port));
    // One number may be there for TCP and for UDP.
    let found = of_number.min_by_key(|(_, port)| port.protocol != "TCP");
    if found.is_some_and(|(place, _)| place >= MAX_PORTS) {
        let issue = Issue::Limit(Limit::TooManyPorts { backend: id.clone(), most: MAX_PORTS });
        return Err(Box::new(Unreachable(InvalidBackend::NotFound, issue)));
    }
    found.map(|(_, port)| port).ok_or_else(|| {
        let issue = Issue::BackendNotFound { namespace: id.namespace.clone(), name: id.service.clone(), port: Some(id.port) };
        Box::new(Unreachable(InvalidBackend::NotFound, issue))
    })
}

/// What is remarkable about a Service's port.
pub(super) fn remarks(id: &BackendId, port: &ServicePort) -> impl Iterator<Item = Finding> {
    port.app_protocol.iter().filter(|name| meaning(name).is_none()).map(|name| {
        let issue = Issue::UnknownAppProtocol { port: id.port, protocol: name.clone() };
        on_service(id, issue)
    })
}

/// A finding about the Service itself.
pub(super) fn on_service(id: &BackendId, issue: Issue) -> Finding {
    Finding { object: ObjectId::new(Kind::Service, &id.namespace, &id.service), scope: Scope::Object, issue }
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

/// The protocol towards the endpoints. HTTP/1.1 stands in for what is not known.
pub(super) fn protocol(port: &ServicePort, id: &BackendId) -> Result<BackendProtocol, Box<Unreachable>> {
    let strange = match (port.protocol.as_str(), port.app_protocol.as_deref()) {
        ("TCP", None) => return Ok(BackendProtocol::default()),
        ("TCP", Some(name)) => match meaning(name) {
            Some(Some(protocol)) => return Ok(protocol),
            None => return Ok(BackendProtocol::default()),
            Some(None) => name,
        },
        (other, _) => other,
    };
    let issue = Issue::UnsupportedBackendProtocol { backend: id.clone(), protocol: strange.to_owned() };
    Err(Box::new(Unreachable(InvalidBackend::UnsupportedProtocol, issue)))
}

/// IANA names are compared without regard to case (RFC 6335 §5.1).
fn meaning(name: &str) -> Option<Option<BackendProtocol>> {
    PROTOCOLS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, protocol)| *protocol)
}

/// The endpoints of the slices' port of this name: the ready ones of the preferred family that has any, else those that
/// terminate but still serve; none at an address of a Service, through which a hand-written slice would reach what no reference
/// may.
fn endpoints(
    slices: &[(ObjectId, Arc<SliceFacts>)],
    port: &ServicePort,
    families: &[Family],
    of_services: &BTreeSet<IpAddr>,
) -> Vec<Endpoint> {
    let all: BTreeSet<(Readiness, Family, IpAddr, u16)> = slices
        .iter()
        .flat_map(|(_, slice)| {
            let ports = slice.ports.iter().filter(|(name, _, protocol)| *name == port.name && protocol == "TCP");
            let endpoints = || slice.endpoints.iter().filter(|(ip, _)| !of_services.contains(ip));
            ports.flat_map(move |(_, number, _)| endpoints().map(|(ip, readiness)| (*readiness, Family::of(*ip), *ip, *number)))
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
