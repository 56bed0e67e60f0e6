//! Backends and their endpoints.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{BackendId, Kind};

/// What a backend speaks, from the Service port's `appProtocol`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum BackendProtocol {
    /// HTTP/1.1 (also `kubernetes.io/ws`: upgrades pass).
    #[default]
    Http,
    /// HTTP/2 with prior knowledge (`kubernetes.io/h2c`).
    H2c,
}

/// Which endpoint serves whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Affinity {
    /// Any endpoint serves anybody.
    #[default]
    None,
    /// A client's address has one endpoint as long as that is there (`Service.spec.sessionAffinity: ClientIP`). Endpoints are
    /// ranked anew for each request by a hash of both addresses, so there is nothing to remember, and nothing that
    /// `timeoutSeconds` could end.
    ClientIp,
}

/// One address that serves a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Endpoint {
    /// IP address.
    pub ip: IpAddr,
    /// Port as the EndpointSlice names it (the target port).
    pub port: u16,
}

/// Where an endpoint runs, as its EndpointSlice says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Topology {
    /// Name of the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<Arc<str>>,
    /// Its zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<Arc<str>>,
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known: Vec<&str> = [&self.node, &self.zone].into_iter().flatten().map(|name| &**name).collect();
        f.write_str(&known.join(", "))
    }
}

/// One port of one Service with the endpoints that may receive new requests.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Backend {
    /// Identity.
    pub id: BackendId,
    /// Protocol towards the endpoints, as the Service says.
    #[serde(default)]
    pub protocol: BackendProtocol,
    /// Which endpoint serves whom.
    #[serde(default, skip_serializing_if = "Affinity::is_none")]
    pub affinity: Affinity,
    /// Endpoints, sorted and without duplicates; empty means 503.
    pub endpoints: Vec<Endpoint>,
    /// Where they run, as far as that is known. It decides nothing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub topology: BTreeMap<IpAddr, Topology>,
}

impl Affinity {
    /// Whether any endpoint serves anybody.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
}

impl Backend {
    /// A backend without session affinity, of whose endpoints no more is known.
    pub fn new(id: BackendId, protocol: BackendProtocol, endpoints: Vec<Endpoint>) -> Self {
        Self { id, protocol, affinity: Affinity::None, endpoints, topology: BTreeMap::new() }
    }

    /// What is spoken with it for a route of this kind: gRPC is HTTP/2 alone, whatever the Service says.
    pub fn protocol_for(&self, kind: Kind) -> BackendProtocol {
        if kind == Kind::GrpcRoute { BackendProtocol::H2c } else { self.protocol }
    }
}
