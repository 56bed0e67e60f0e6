//! From an edge to the objects that run it on a cluster: Deployment or DaemonSet, Service, ServiceAccount, ConfigMap, NetworkPolicy, disruption
//! budget and autoscaler, all in the Gateway's own namespace, or in the operator's ([`Place`]); there for the edge of an
//! IngressClass in any case.
//!
//! [`objects`] is pure: the same edge gives the same objects. `controller::lane` applies them.

mod daemon_set;
mod deployment;
mod identity;
pub mod names;
mod network;
mod objects;
mod pod;
mod service;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::api::EdgeProfileSpec;
use crate::api::edge_profile::{PodNetwork, ServiceType, WorkloadKind};
use crate::model::{EdgeId, Kind};
use crate::translate::EdgeData;

pub use identity::Claimed;
pub use objects::{Part, objects};

/// Audience of the token by which an edge shows who it is.
pub const TOKEN_AUDIENCE: &str = "kakehi-snapshot";

/// Where the edges of Gateways run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Place {
    /// In the namespace of their Gateway, which owns what is made.
    #[default]
    Gateway,
    /// In the operator's namespace: it needs rights to make Deployments and DaemonSets there alone. Owners cannot be in another namespace, so
    /// each object carries the Gateway's uid, and nothing that a tenant writes reaches its pods.
    Operator,
}

/// What every edge of an installation has in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Installation {
    /// Name of the controller, which tells installations apart.
    pub controller: String,
    /// Image of container edge.
    pub edge_image: String,
    /// Image of container sozu.
    pub sozu_image: String,
    /// Pull policy of both; that of Kubernetes when absent.
    pub pull_policy: Option<String>,
    /// Where edges fetch their snapshots: `https://HOST:PORT`.
    pub snapshot_url: String,
    /// How edges log: a level, or per module.
    pub log: String,
    /// How their Sōzus log; by default errors alone.
    pub sozu_log: Option<String>,
    /// Names of Secrets with credentials of registries, in the namespaces of edges.
    pub pull_secrets: Vec<String>,
    /// Namespace of the operator, in which the edges of IngressClasses run.
    pub namespace: String,
    /// Where those of Gateways run.
    pub place: Place,
    /// Whether edges have NetworkPolicies.
    pub network_policies: bool,
}

impl Installation {
    /// Where an edge runs.
    pub fn namespace_of<'a>(&'a self, edge: &'a EdgeId) -> &'a str {
        match (edge.kind(), self.place) {
            (Kind::IngressClass, _) | (_, Place::Operator) => &self.namespace,
            (_, Place::Gateway) => &edge.namespace,
        }
    }

    /// The name of an edge's objects. No two edges of a namespace have the same.
    pub fn name_of(&self, edge: &EdgeId) -> String {
        match (edge.kind(), self.place) {
            (Kind::IngressClass, _) => names::of_class(&edge.name),
            (_, Place::Operator) => names::with_namespace(edge),
            (_, Place::Gateway) => names::of_gateway(&edge.name, edge.namespace == self.namespace),
        }
    }

    /// The labels that select an edge's pods. They never change.
    pub fn selector_of(&self, edge: &EdgeId) -> BTreeMap<String, String> {
        names::selector(&self.name_of(edge))
    }

    /// Whether the Gateway or IngressClass can own what is made for its edge.
    fn is_owned(&self, edge: &EdgeId) -> bool {
        edge.kind() == Kind::IngressClass || self.namespace_of(edge) == edge.namespace
    }
}

/// One edge to be run.
#[derive(Clone, Debug, PartialEq)]
pub struct EdgeSpec {
    /// Which.
    pub id: EdgeId,
    /// Uid of its Gateway or IngressClass, which owns everything that is made.
    pub uid: String,
    /// TCP ports of its listeners.
    pub ports: BTreeSet<u16>,
    /// The address that it is to have; any when absent.
    pub address: Option<IpAddr>,
    /// Labels for everything.
    pub labels: BTreeMap<String, String>,
    /// Annotations for everything.
    pub annotations: BTreeMap<String, String>,
    /// Parameters.
    pub profile: Arc<EdgeProfileSpec>,
}

impl EdgeSpec {
    /// What translation says of an edge, as something to be made.
    pub fn new(id: EdgeId, data: &EdgeData) -> Self {
        Self {
            id,
            uid: data.uid.clone(),
            ports: data.ports.clone(),
            address: data.addresses.first().copied(),
            labels: data.labels.clone(),
            annotations: data.annotations.clone(),
            profile: data.profile.clone(),
        }
    }

    /// Which network its pods are in.
    fn network(&self) -> PodNetwork {
        self.profile.placement.as_ref().and_then(|placement| placement.network).unwrap_or_default()
    }

    /// The part that makes its pods.
    pub fn workload(&self) -> Part {
        match self.profile.placement.as_ref().and_then(|placement| placement.workload).unwrap_or_default() {
            WorkloadKind::Deployment => Part::Deployment,
            WorkloadKind::DaemonSet => Part::DaemonSet,
        }
    }

    /// Whether clients reach it at the addresses of the nodes that its pods are on: its ports are theirs, and no load balancer was
    /// asked for.
    pub fn is_at_nodes(&self) -> bool {
        let service = self.profile.service.as_ref().and_then(|service| service.kind).unwrap_or_default();
        self.network() != PodNetwork::Pod && service != ServiceType::LoadBalancer
    }

    /// Fewest pods that run.
    fn pods(&self) -> i32 {
        const DEFAULT: i32 = 2;
        match &self.profile.autoscaling {
            Some(scaling) => scaling.min_replicas.unwrap_or(DEFAULT.min(scaling.max_replicas)),
            None => self.profile.replicas.unwrap_or(DEFAULT),
        }
    }
}
