//! The NetworkPolicy of an edge.

use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::objects::metadata;
use super::{EdgeSpec, Installation};
use crate::model::HEALTH_PORT;

/// Everything, and what of it no edge has any business with: link-local addresses, at which clouds give out credentials.
const EVERYWHERE: [(&str, &[&str]); 2] =
    [("0.0.0.0/0", &["169.254.0.0/16", "168.63.129.16/32"]), ("::/0", &["fe80::/10", "fd00:ec2::254/128", "fd20:ce::254/128"])];

/// In: the ports of listeners and that of probes and metrics. Out: endpoints may be anywhere, in pods and beyond, and so may
/// DNS and the operator; only the addresses of clouds' metadata are left out.
pub(super) fn policy(edge: &EdgeSpec, installation: &Installation) -> NetworkPolicy {
    let ports = edge.ports.iter().copied().chain([HEALTH_PORT]).map(|port| NetworkPolicyPort {
        port: Some(IntOrString::Int(i32::from(port))),
        protocol: Some("TCP".to_owned()),
        ..Default::default()
    });
    let ingress = NetworkPolicyIngressRule { ports: Some(ports.collect()), ..Default::default() };
    let pods = NetworkPolicyPeer { namespace_selector: Some(LabelSelector::default()), ..Default::default() };
    let blocks = EVERYWHERE.map(|(cidr, except)| NetworkPolicyPeer {
        ip_block: Some(IPBlock { cidr: cidr.to_owned(), except: Some(except.iter().map(|&cidr| cidr.to_owned()).collect()) }),
        ..Default::default()
    });
    let egress = NetworkPolicyEgressRule { to: Some([pods].into_iter().chain(blocks).collect()), ..Default::default() };
    let spec = NetworkPolicySpec {
        pod_selector: Some(LabelSelector { match_labels: Some(installation.selector_of(&edge.id)), ..Default::default() }),
        policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
        ingress: Some(vec![ingress]),
        egress: Some(vec![egress]),
    };
    NetworkPolicy { metadata: metadata(edge, installation), spec: Some(spec) }
}
