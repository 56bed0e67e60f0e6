//! Services of type ExternalName: a name outside the cluster becomes addresses, which DNS gave.
//!
//! Who may create Services must not reach by one what a backend reference could not reach: other namespaces without a
//! ReferenceGrant, the proxy's own machine or link. So names within the cluster are refused, and of what DNS says, addresses of
//! Services and special addresses.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::backend::{Reached, Unreachable, on_service, port_of, protocol, remarks};
use super::facts::{Family, ServiceFacts, refused_range};
use super::reader::Reader;
use crate::model::{BackendId, BackendProtocol, Endpoint, InvalidBackend, Resolution};
use crate::report::Issue;

/// By what DNS says of the name.
pub(super) fn reach(reader: &mut Reader<'_>, id: &BackendId, service: &ServiceFacts, name: &str) -> Result<Reached, Box<Unreachable>> {
    let (namespace, of_service) = (id.namespace.clone(), id.service.clone());
    if !reader.settings().external_names || name.is_empty() {
        return Err(Box::new(Unreachable(InvalidBackend::UnknownKind, Issue::ExternalName { namespace, name: of_service })));
    }
    if is_cluster_name(name) {
        let issue = Issue::ClusterName { namespace, name: of_service, external: name.to_owned() };
        return Err(Box::new(Unreachable(InvalidBackend::NotPermitted, issue)));
    }
    let (port, protocol, mut findings) = match service.ports.as_slice() {
        // Such a Service needs no ports: then the reference alone says which.
        [] => (id.port, BackendProtocol::default(), Vec::new()),
        _ => {
            let port = port_of(service, id)?;
            let target = port.target.ok_or_else(|| {
                let issue = Issue::BackendPortNotFound { namespace, name: of_service, port: port.name.clone() };
                Box::new(Unreachable(InvalidBackend::NotFound, issue))
            })?;
            (target, protocol(port, id)?, remarks(id, port).collect())
        }
    };
    let known = reader.resolution(name);
    let Resolution { addresses, failure } =
        known.unwrap_or(Resolution { failure: Some("it was not asked for yet".into()), ..Default::default() });
    if let Some(problem) = failure {
        let issue = Issue::NameNotResolved { external: name.to_owned(), problem, kept: !addresses.is_empty() };
        findings.push(on_service(id, issue));
    }
    let (mut usable, mut refused): (Vec<IpAddr>, Vec<_>) = (Vec::new(), Vec::new());
    for address in addresses {
        match refusal(reader, address) {
            None => usable.push(address),
            Some(range) => refused.push(on_service(id, Issue::EndpointRefused { address, range })),
        }
    }
    findings.extend(refused);
    // Both families lead to the same machines: one of them counts, as with EndpointSlices.
    let first = usable.iter().map(|ip| Family::of(*ip)).min();
    let of_first = usable.into_iter().filter(|ip| Some(Family::of(*ip)) == first);
    let endpoints = of_first.map(|ip| Endpoint { ip, port }).collect();
    Ok(Reached { protocol, endpoints, topology: BTreeMap::new(), findings })
}

/// The name of the range that keeps an address from being a backend.
fn refusal(reader: &mut Reader<'_>, address: IpAddr) -> Option<&'static str> {
    let special = refused_range(address, reader.settings().loopback_endpoints);
    special.or_else(|| reader.is_cluster_address(address).then_some("cluster"))
}

/// Whether this is the shape of a Service's or pod's name, whatever the cluster's domain (Kubernetes, "DNS for Services and
/// Pods"): `service.namespace.svc…`, `pod.service.namespace.svc…`, `pod.namespace.pod…`.
fn is_cluster_name(name: &str) -> bool {
    let label = |index: usize| name.split('.').nth(index);
    label(2) == Some("svc") || label(3) == Some("svc") || label(2) == Some("pod")
}

#[cfg(test)]
mod tests {
    use super::is_cluster_name;

    #[test]
    fn names_within_the_cluster_are_known_by_their_shape() {
        for name in ["db.prod.svc", "db.prod.svc.cluster.local", "db-0.db.prod.svc.example.org", "10-0-0-1.prod.pod.cluster.local"] {
            assert!(is_cluster_name(name), "{name}");
        }
        for name in ["example.com", "svc.example.com", "db.svc.example.com", "db.prod", "a.b.c.d.svc.e", "10.0.0.1"] {
            assert!(!is_cluster_name(name), "{name}");
        }
    }
}
