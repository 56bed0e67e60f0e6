//! From an edge to the objects that run it on a cluster: Deployment, Service, ServiceAccount, ConfigMap, disruption budget
//! and autoscaler, all in the Gateway's own namespace; in the operator's for the edge of an IngressClass.
//!
//! [`objects`] is pure: the same edge gives the same objects. `controller::lane` applies them.

mod deployment;
pub mod names;
mod objects;
mod pod;
mod service;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::api::EdgeProfileSpec;
use crate::model::{EdgeId, Kind};
use crate::translate::EdgeData;

pub use objects::{Part, objects};

/// Audience of the token by which an edge shows who it is.
pub const TOKEN_AUDIENCE: &str = "kakehi-snapshot";

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
    /// Namespace of the operator, in which the edges of IngressClasses run.
    pub namespace: String,
}

impl Installation {
    /// Where an edge runs: in its Gateway's namespace.
    pub fn namespace_of<'a>(&'a self, edge: &'a EdgeId) -> &'a str {
        match edge.kind() {
            Kind::IngressClass => &self.namespace,
            _ => &edge.namespace,
        }
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

    /// Fewest pods that run.
    fn pods(&self) -> i32 {
        const DEFAULT: i32 = 2;
        match &self.profile.autoscaling {
            Some(scaling) => scaling.min_replicas.unwrap_or(DEFAULT.min(scaling.max_replicas)),
            None => self.profile.replicas.unwrap_or(DEFAULT),
        }
    }
}
