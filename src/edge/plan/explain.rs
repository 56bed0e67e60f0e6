//! A plan for people: what goes where, and why.

use std::collections::BTreeMap;

use serde::Serialize;

use super::target::{Frontend, Side, Stage, Target, Upstream};
use super::{Options, Planner};
use crate::snapshot::{Key, Snapshot};

/// A plan, in words; no private keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Listeners of Sōzu by port, and the listeners of the Gateway that share them.
    pub ports: BTreeMap<String, Vec<String>>,
    /// Why ports are relayed: their connections go to the filter as they are.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub relays: BTreeMap<String, String>,
    /// Virtual hosts and their regions, in the order of insertion.
    pub vhosts: BTreeMap<String, Vec<Region>>,
    /// Clusters and their addresses.
    pub clusters: BTreeMap<String, Vec<String>>,
    /// Certificates by port: fingerprint and the names they are offered for.
    pub certificates: BTreeMap<String, BTreeMap<String, Vec<String>>>,
}

/// One routing entry of Sōzu.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Region {
    /// Host pattern; `**` takes any number of labels.
    pub host: String,
    /// Target; a `*` at the end marks a prefix.
    pub path: String,
    /// Method; absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The cluster.
    pub to: String,
    /// Template of the new path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<String>,
    /// Header edits: `side: name` is a removal, `side: name: value` an addition.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub edits: Vec<String>,
    /// Why the filter decides; absent: Sōzu does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The resource that asks for it; absent: all of the virtual host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

/// Plans a snapshot from nothing and says it in words.
pub fn explain(snapshot: &Snapshot, options: &Options) -> Explanation {
    let mut planner = Planner::new(*options);
    planner.apply(&snapshot.as_delta());
    Explanation::of(planner.target())
}

impl Explanation {
    /// A target in words.
    pub fn of(target: &Target) -> Self {
        let mut certificates: BTreeMap<String, BTreeMap<String, Vec<String>>> = BTreeMap::new();
        for ((port, fingerprint), certificate) in &target.certificates {
            let names = certificate.names.iter().cloned().collect();
            certificates.entry(port.to_string()).or_default().insert(fingerprint.clone(), names);
        }
        let mut vhosts: BTreeMap<String, Vec<Region>> = BTreeMap::new();
        for (id, chain) in target.chains.iter().filter(|(id, _)| target.is_bound(id.vhost.port)) {
            vhosts.entry(id.vhost.to_string()).or_default().extend(chain.frontends.iter().map(Region::of));
        }
        let addresses = |upstream: &Upstream| match upstream {
            Upstream::Hop | Upstream::Relay => vec!["the filter's unix socket".to_owned()],
            Upstream::Endpoints(endpoints, _) => endpoints.iter().map(ToString::to_string).collect(),
        };
        let listeners = |keys: &std::collections::BTreeSet<Key>| keys.iter().map(ToString::to_string).collect();
        Self {
            ports: target
                .ports
                .iter()
                .filter(|(port, _)| target.is_bound(**port))
                .map(|(port, keys)| (port.to_string(), listeners(keys)))
                .collect(),
            relays: target.relays.iter().map(|(port, reason)| (port.to_string(), reason.to_string())).collect(),
            vhosts,
            clusters: target.clusters.iter().map(|(id, upstream)| (id.to_string(), addresses(upstream))).collect(),
            certificates,
        }
    }
}

impl Region {
    /// An entry in words.
    pub fn of(frontend: &Frontend) -> Self {
        let (rewrite, edits, reason) = match &frontend.stage {
            Stage::Hop(reason) => (None, Vec::new(), Some(reason.to_string())),
            Stage::Native { edits, rewrite, .. } => {
                let edits = edits.iter().map(|edit| {
                    let side = match edit.side {
                        Side::Request => "request",
                        Side::Response => "response",
                    };
                    match &edit.value {
                        None => format!("{side}: {}", edit.name),
                        Some(value) => format!("{side}: {}: {value}", edit.name),
                    }
                });
                (rewrite.clone(), edits.collect(), None)
            }
        };
        Self {
            host: frontend.host.to_string(),
            path: frontend.path.to_string(),
            method: frontend.method.clone(),
            to: frontend.stage.cluster().to_string(),
            rewrite,
            edits,
            reason,
            owner: frontend.owner.as_ref().map(ToString::to_string),
        }
    }
}
