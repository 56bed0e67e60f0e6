//! The pods of an edge.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, LocalObjectReference, ResourceRequirements, Toleration, TopologySpreadConstraint};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Requests and limits of the containers of an edge pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// Container edge: supervisor and filter proxy. Default: requests of 50m CPU and 64Mi, a memory limit of 1Gi.
    pub edge: Option<ResourceRequirements>,
    /// Container sozu. Default: requests of 50m CPU and 64Mi, a memory limit of 1Gi.
    pub sozu: Option<ResourceRequirements>,
}

/// Where the pods of an edge run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// What makes the pods. When it changes, the pods of the new kind serve before those of the other kind end. Default: Deployment.
    pub workload: Option<WorkloadKind>,
    /// Which network the pods are in. Default: Pod.
    pub network: Option<PodNetwork>,
    /// Labels of nodes, to which kubernetes.io/os: linux is added. Default: any node with Linux.
    pub node_selector: Option<BTreeMap<String, String>>,
    /// Taints that are tolerated. Default: none.
    pub tolerations: Option<Vec<Toleration>>,
    /// Affinities. Default: pods of one edge prefer different nodes.
    pub affinity: Option<Affinity>,
    /// Topology spread constraints. Default: those of the cluster.
    pub topology_spread_constraints: Option<Vec<TopologySpreadConstraint>>,
    /// Priority class. Default: that of the cluster.
    pub priority_class_name: Option<String>,
}

/// What makes the pods of an edge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WorkloadKind {
    /// A Deployment: as many pods as replicas or autoscaling say.
    #[default]
    Deployment,
    /// A DaemonSet: a pod on each node that nodeSelector, affinity and tolerations let it be on.
    DaemonSet,
}

/// Which network the pods of an edge are in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PodNetwork {
    /// Their own.
    #[default]
    Pod,
    /// Their own, and the ports of listeners are ports of the node too: one pod of the edge a node. A listener that comes or goes replaces pods.
    HostPorts,
    /// That of the node, whose ports the listeners take: one pod of any edge a node. The node must let users without privileges have low
    /// ports (net.ipv4.ip_unprivileged_port_start).
    Host,
}

/// Images of an edge.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageOverrides {
    /// Image of container edge. Default: the controller's own.
    #[schemars(length(min = 1, max = 512))]
    pub edge: Option<String>,
    /// Image of container sozu. Default: that of the installation.
    #[schemars(length(min = 1, max = 512))]
    pub sozu: Option<String>,
    /// Pull policy of both. Default: that of the installation.
    pub pull_policy: Option<PullPolicy>,
    /// Secrets with credentials of registries, in the Gateway's namespace. Default: none.
    pub pull_secrets: Option<Vec<LocalObjectReference>>,
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PullPolicy {
    /// At every start.
    Always,
    /// When the node lacks it.
    IfNotPresent,
    /// Never.
    Never,
}

over! { Resources { edge, sozu } }
over! { Placement { workload, network, node_selector, tolerations, affinity, topology_spread_constraints, priority_class_name } }
over! { ImageOverrides { edge, sozu, pull_policy, pull_secrets } }
