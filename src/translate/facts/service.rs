//! Services and EndpointSlices.

use std::net::IpAddr;

use k8s_openapi::api::discovery::v1::Endpoint;
use kube::api::ObjectMeta;

use crate::api::{EndpointSlice, Service};
use crate::report::Issue;

/// The label by which a slice names its Service.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// An IP family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Family {
    V4,
    V6,
}

/// A Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceFacts {
    pub(crate) external_name: bool,
    /// `spec.ipFamilies`.
    pub(crate) families: Vec<Family>,
    pub(crate) ports: Vec<ServicePort>,
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServicePort {
    /// Name, empty when it has none.
    pub(crate) name: String,
    pub(crate) port: i32,
    pub(crate) protocol: String,
    pub(crate) app_protocol: Option<String>,
}

impl ServiceFacts {
    pub(super) fn read(service: &Service) -> Self {
        let Some(spec) = &service.spec else { return Self { external_name: false, families: Vec::new(), ports: Vec::new() } };
        let families = spec.ip_families.iter().flatten().filter_map(|family| Family::parse(family));
        let ports = spec.ports.iter().flatten().map(|port| ServicePort {
            name: port.name.clone().unwrap_or_default(),
            port: port.port,
            protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
            app_protocol: port.app_protocol.clone(),
        });
        let external_name = spec.type_.as_deref() == Some("ExternalName");
        Self { external_name, families: families.collect(), ports: ports.collect() }
    }
}

impl Family {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "IPv4" => Some(Self::V4),
            "IPv6" => Some(Self::V6),
            _ => None,
        }
    }

    /// The family of an address.
    pub(crate) fn of(ip: IpAddr) -> Self {
        if ip.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// An EndpointSlice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SliceFacts {
    /// Name of its Service, in its own namespace.
    pub(crate) service: Option<String>,
    /// (name, port, protocol); the name is empty when it has none.
    pub(crate) ports: Vec<(String, u16, String)>,
    pub(crate) endpoints: Vec<(IpAddr, Readiness)>,
    /// Endpoints that are not used, and why.
    pub(crate) issues: Vec<Issue>,
}

/// Whether an endpoint may receive new requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Readiness {
    Ready,
    /// Terminating but still serving: used when the Service has no ready endpoint left.
    LastResort,
    No,
}

impl SliceFacts {
    pub(super) fn read(metadata: &ObjectMeta, slice: &EndpointSlice, loopback: bool) -> Self {
        let service = metadata.labels.as_ref().and_then(|labels| labels.get(SERVICE_LABEL)).cloned();
        let ports = slice.ports.iter().flatten().filter_map(|port| {
            let number = port.port.and_then(|number| u16::try_from(number).ok()).filter(|number| *number > 0)?;
            Some((port.name.clone().unwrap_or_default(), number, port.protocol.clone().unwrap_or_else(|| "TCP".to_owned())))
        });
        let mut facts = Self { service, ports: ports.collect(), endpoints: Vec::new(), issues: Vec::new() };
        if Family::parse(&slice.address_type).is_none() {
            facts.issues.push(Issue::UnsupportedAddressType { address_type: slice.address_type.clone() });
            return facts;
        }
        for endpoint in &slice.endpoints {
            // Further addresses of one endpoint are the same pod (`Endpoint.addresses`): the first stands for it.
            let Some(address) = endpoint.addresses.first() else { continue };
            match address.parse().map(|ip| (ip, refused_range(ip, loopback))) {
                Ok((ip, None)) => facts.endpoints.push((ip, readiness(endpoint))),
                Ok((address, Some(range))) => facts.issues.push(Issue::EndpointRefused { address, range }),
                Err(_) => facts.issues.push(Issue::InvalidEndpoint { address: address.clone() }),
            }
        }
        facts
    }
}

/// `EndpointConditions`: ready unset means ready; a Service with publishNotReadyAddresses says ready although terminating.
fn readiness(endpoint: &Endpoint) -> Readiness {
    let conditions = endpoint.conditions.as_ref();
    let ready = conditions.and_then(|conditions| conditions.ready);
    let terminating = conditions.and_then(|conditions| conditions.terminating).unwrap_or_default();
    let serving = conditions.and_then(|conditions| conditions.serving).or(ready).unwrap_or(true);
    match (ready, terminating) {
        (Some(true), _) | (None, false) => Readiness::Ready,
        (_, true) if serving => Readiness::LastResort,
        _ => Readiness::No,
    }
}

/// The name of the range that keeps an address from being a backend: requests of one tenant must not reach the proxy's
/// own machine or link by a hand-written slice.
fn refused_range(ip: IpAddr, loopback: bool) -> Option<&'static str> {
    let ip = ip.to_canonical();
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    match ip {
        _ if ip.is_loopback() && !loopback => Some("loopback"),
        _ if ip.is_unspecified() => Some("unspecified"),
        _ if ip.is_multicast() => Some("multicast"),
        _ if link_local => Some("link-local"),
        IpAddr::V4(ip) if ip.is_broadcast() => Some("broadcast"),
        _ => None,
    }
}
