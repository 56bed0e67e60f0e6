//! Services and EndpointSlices.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::discovery::v1::Endpoint;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::ObjectMeta;

use super::refused::refused_range;
use crate::api::{EndpointSlice, Service};
use crate::model::{Affinity, Topology};
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServiceFacts {
    /// `spec.externalName` of a Service of that type, in lower case, without a dot at its end.
    pub(crate) external_name: Option<String>,
    /// `spec.clusterIPs`.
    pub(crate) cluster_ips: Vec<IpAddr>,
    /// `spec.ipFamilies`.
    pub(crate) families: Vec<Family>,
    pub(crate) affinity: Affinity,
    pub(crate) ports: Vec<ServicePort>,
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServicePort {
    /// Name, empty when it has none.
    pub(crate) name: String,
    pub(crate) port: i32,
    /// `targetPort`, when it is a number.
    pub(crate) target: Option<u16>,
    pub(crate) protocol: String,
    pub(crate) app_protocol: Option<String>,
}

impl ServiceFacts {
    pub(super) fn read(service: &Service) -> Self {
        let Some(spec) = &service.spec else { return Self::default() };
        let families = spec.ip_families.iter().flatten().filter_map(|family| Family::parse(family));
        let ports = spec.ports.iter().flatten().map(|port| ServicePort {
            name: port.name.clone().unwrap_or_default(),
            port: port.port,
            target: match &port.target_port {
                None => u16::try_from(port.port).ok(),
                Some(IntOrString::Int(number)) => u16::try_from(*number).ok().filter(|number| *number > 0),
                Some(IntOrString::String(_)) => None,
            },
            protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
            app_protocol: port.app_protocol.clone(),
        });
        let is_external = spec.type_.as_deref() == Some("ExternalName");
        let name = spec.external_name.as_deref().unwrap_or_default();
        let external_name = is_external.then(|| name.trim_end_matches('.').to_ascii_lowercase());
        let cluster_ips = spec.cluster_ips.iter().flatten().chain(&spec.cluster_ip).filter_map(|text| text.parse().ok()).collect();
        let affinity = if spec.session_affinity.as_deref() == Some("ClientIP") { Affinity::ClientIp } else { Affinity::None };
        Self { external_name, cluster_ips, families: families.collect(), affinity, ports: ports.collect() }
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
    /// Where they run, as far as it says so.
    pub(crate) topology: BTreeMap<IpAddr, Topology>,
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
        let mut facts = Self { service, ports: Vec::new(), endpoints: Vec::new(), topology: BTreeMap::new(), issues: Vec::new() };
        for port in slice.ports.iter().flatten() {
            let name = port.name.clone().unwrap_or_default();
            match port.port.and_then(|number| u16::try_from(number).ok()).filter(|number| *number > 0) {
                Some(number) => facts.ports.push((name, number, port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()))),
                None => facts.issues.push(Issue::EndpointPortMissing { name }),
            }
        }
        if Family::parse(&slice.address_type).is_none() {
            facts.issues.push(Issue::UnsupportedAddressType { address_type: slice.address_type.clone() });
            return facts;
        }
        for endpoint in &slice.endpoints {
            // Further addresses of one endpoint are the same pod (`Endpoint.addresses`): the first stands for it.
            let Some(address) = endpoint.addresses.first() else { continue };
            match address.parse().map(|ip| (ip, refused_range(ip, loopback))) {
                Ok((ip, None)) => {
                    facts.endpoints.push((ip, readiness(endpoint)));
                    let name = |text: &Option<String>| text.as_deref().map(Arc::from);
                    let topology = Topology { node: name(&endpoint.node_name), zone: name(&endpoint.zone) };
                    if topology != Topology::default() {
                        facts.topology.insert(ip, topology);
                    }
                }
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
