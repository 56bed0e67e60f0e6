//! The Service of an edge.

use std::collections::BTreeMap;
use std::net::IpAddr;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The Service of an edge.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = ("!has(self.type) || self.type != 'ClusterIP' || !has(self.externalTrafficPolicy)", "externalTrafficPolicy is for types LoadBalancer and NodePort"),
    validation = ("!has(self.type) || self.type == 'LoadBalancer' || (!has(self.loadBalancerClass) && !has(self.loadBalancerSourceRanges))", "loadBalancerClass and loadBalancerSourceRanges are for type LoadBalancer"),
    validation = ("!has(self.type) || self.type == 'LoadBalancer' || !has(self.allocateLoadBalancerNodePorts)", "allocateLoadBalancerNodePorts is for type LoadBalancer"),
    validation = ("!has(self.type) || self.type != 'ClusterIP' || !has(self.nodePorts)", "nodePorts are for types LoadBalancer and NodePort")
)]
pub struct ServiceProfile {
    /// Its type. Default: LoadBalancer.
    #[serde(rename = "type")]
    pub kind: Option<ServiceType>,
    /// Its annotations. Those of the Gateway (spec.infrastructure.annotations) win. Default: none.
    #[schemars(extend("maxProperties" = 64))]
    pub annotations: Option<BTreeMap<String, String>>,
    /// Its externalTrafficPolicy: with Local, pods see the client's address. Default: Cluster.
    pub external_traffic_policy: Option<TrafficPolicy>,
    /// Its loadBalancerClass. Default: the cluster's default load balancer.
    #[schemars(length(min = 1, max = 253))]
    pub load_balancer_class: Option<String>,
    /// Clients that the load balancer admits, as CIDRs. Default: all.
    #[schemars(length(max = 64))]
    pub load_balancer_source_ranges: Option<Vec<String>>,
    /// Whether a load balancer gets ports of the nodes. Default: true.
    pub allocate_load_balancer_node_ports: Option<bool>,
    /// Its families: IPv4, IPv6. Default: that of the cluster.
    #[schemars(length(min = 1, max = 2), extend("x-kubernetes-list-type" = "set"))]
    pub ip_families: Option<Vec<IpFamily>>,
    /// Its ipFamilyPolicy. Default: SingleStack.
    pub ip_family_policy: Option<IpFamilyPolicy>,
    /// Its externalIPs: addresses whose traffic the nodes take for it. Counts from the profile of a class alone, unless the operator
    /// is told otherwise (--allow-gateway-pods). Default: none.
    #[serde(rename = "externalIPs")]
    #[schemars(with = "Option<Vec<String>>", length(max = 16), inner(regex(pattern = r"^[0-9A-Fa-f:.]+$")), extend("x-kubernetes-list-type" = "set"))]
    pub external_ips: Option<Vec<IpAddr>>,
    /// Ports of the nodes for ports of listeners. Counts from the profile of a class alone, unless the operator is told otherwise
    /// (--allow-gateway-pods). Default: what the cluster allocates.
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["port"]))]
    pub node_ports: Option<Vec<NodePort>>,
}

/// A port of the nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodePort {
    /// Port of listeners. Where none listens it has no effect.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// Port of the nodes, within their range.
    #[schemars(range(min = 1, max = 65535))]
    pub node_port: i32,
}

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum IpFamily {
    /// IPv4.
    IPv4,
    /// IPv6.
    IPv6,
}

/// How many families a Service has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum IpFamilyPolicy {
    /// One.
    SingleStack,
    /// Two where the cluster has two.
    PreferDualStack,
    /// Two.
    RequireDualStack,
}

/// Type of the Service of an edge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceType {
    /// Reached from outside through a load balancer.
    #[default]
    LoadBalancer,
    /// Reached through a port of every node.
    NodePort,
    /// Reached inside the cluster.
    ClusterIP,
}

/// Which pods answer what arrives at a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TrafficPolicy {
    /// Those of all nodes.
    #[default]
    Cluster,
    /// Those of the node itself.
    Local,
}

over! { ServiceProfile {
    kind, annotations, external_traffic_policy, load_balancer_class, load_balancer_source_ranges, allocate_load_balancer_node_ports,
    ip_families, ip_family_policy, external_ips, node_ports,
} }
