//! The Service of an edge.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::objects::metadata;
use super::{EdgeSpec, Installation};
use crate::api::edge_profile::{ServiceType, TrafficPolicy};

/// The Service: a port per port of the listeners, straight to the same port of the pods.
pub(super) fn service(edge: &EdgeSpec, installation: &Installation) -> Service {
    let profile = edge.profile.service.clone().unwrap_or_default();
    let kind = profile.kind.unwrap_or_default();
    let balanced = kind == ServiceType::LoadBalancer;
    let node_ports = profile.node_ports.clone().filter(|_| kind != ServiceType::ClusterIP).unwrap_or_default();
    let ports = edge.ports.iter().map(|port| ServicePort {
        node_port: node_ports.iter().find(|fixed| fixed.port == i32::from(*port)).map(|fixed| fixed.node_port),
        name: Some(format!("port-{port}")),
        port: i32::from(*port),
        target_port: Some(IntOrString::Int(i32::from(*port))),
        protocol: Some("TCP".to_owned()),
        ..Default::default()
    });
    let mut metadata = metadata(edge, installation);
    let own = profile.annotations.unwrap_or_default();
    metadata.annotations = Some(own.into_iter().chain(metadata.annotations.unwrap_or_default()).collect());
    let spec = ServiceSpec {
        type_: Some(format!("{kind:?}")),
        selector: Some(installation.selector_of(&edge.id)),
        ports: Some(ports.collect()),
        load_balancer_ip: edge.address.filter(|_| balanced).map(|ip| ip.to_string()),
        load_balancer_class: profile.load_balancer_class.filter(|_| balanced),
        load_balancer_source_ranges: profile.load_balancer_source_ranges.filter(|_| balanced),
        allocate_load_balancer_node_ports: profile.allocate_load_balancer_node_ports.filter(|_| balanced),
        ip_families: profile.ip_families.map(|families| families.iter().map(|family| format!("{family:?}")).collect()),
        ip_family_policy: profile.ip_family_policy.map(|policy| format!("{policy:?}")),
        external_ips: profile.external_ips.map(|addresses| addresses.iter().map(ToString::to_string).collect()),
        external_traffic_policy: (kind != ServiceType::ClusterIP)
            .then(|| format!("{:?}", profile.external_traffic_policy.unwrap_or(TrafficPolicy::Cluster))),
        ..Default::default()
    };
    Service { metadata, spec: Some(spec), status: None }
}
