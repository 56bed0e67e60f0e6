//! Backends: a Service port becomes the endpoints that may receive requests.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::facts::{Family, Readiness, ServiceFacts, ServicePort, SliceFacts};
use super::reader::Reader;
use crate::model::{Backend, BackendId, BackendProtocol, Endpoint, InvalidBackend, ObjectId};
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
        findings: findings(&slices),
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

/// The protocol towards the endpoints. An `appProtocol` that is not known is HTTP/1.1, as without one.
fn protocol(port: &ServicePort) -> Result<BackendProtocol, String> {
    match (port.protocol.as_str(), port.app_protocol.as_deref()) {
        ("TCP", Some("kubernetes.io/h2c")) => Ok(BackendProtocol::H2c),
        ("TCP", Some(tls @ ("https" | "wss" | "kubernetes.io/wss"))) => Err(tls.to_owned()),
        ("TCP", _) => Ok(BackendProtocol::Http),
        (other, _) => Err(other.to_owned()),
    }
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

fn findings(slices: &[(ObjectId, Arc<SliceFacts>)]) -> Vec<Finding> {
    let of_slice = |(id, slice): &(ObjectId, Arc<SliceFacts>)| {
        let finding = |issue: &Issue| Finding { object: id.clone(), scope: Scope::Object, issue: issue.clone() };
        slice.issues.iter().map(finding).collect::<Vec<_>>()
    };
    slices.iter().flat_map(of_slice).collect()
}
