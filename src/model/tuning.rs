//! How a port treats its clients: what the EdgeProfile says of an edge, carried by each of its listeners.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::PathForm;

/// A variable for edge processes, and its value: their allocator gives back at once what the first snapshot needed for a
/// moment. By itself it waits, and looks again only when more is freed.
pub const ALLOCATOR: (&str, &str) = ("MIMALLOC_PURGE_DELAY", "0");

/// Variable of an edge for the number of threads that its filter proxy, a child of it, serves with (`filterWorkers`).
pub const FILTER_WORKERS: &str = "KAKEHI_FILTER_WORKERS";
/// Variable for the bytes that clients may make a filter proxy hold.
pub const FILTER_MEMORY: &str = "KAKEHI_FILTER_MEMORY";
/// Variable for the connections that a filter proxy serves at a time.
pub const FILTER_CONNECTIONS: &str = "KAKEHI_CONNECTIONS";
/// Variable for how many of them one client address may have.
pub const FILTER_CONNECTIONS_PER_ADDRESS: &str = "KAKEHI_CONNECTIONS_PER_ADDRESS";
/// Variable for the bytes of a buffer of the Sōzus that hand a filter proxy requests.
pub const FILTER_SOZU_BUFFER: &str = "KAKEHI_FILTER_SOZU_BUFFER";
/// Variable for the seconds in which requests may end once a filter proxy is told to.
pub const FILTER_DRAIN: &str = "KAKEHI_FILTER_DRAIN";

/// Variable of an edge for the form of its access log (`accessLog.format`).
pub const ACCESS_LOG: &str = "KAKEHI_ACCESS_LOG";
/// Variable of an edge for the fields of its lines (`accessLog.fields`), with commas between them.
pub const ACCESS_LOG_FIELDS: &str = "KAKEHI_ACCESS_LOG_FIELDS";
/// Variable for what an edge logs: a level, or levels per module (`log.edge`).
pub const LOG: &str = "KAKEHI_LOG";
/// Variable for what its Sōzus log (`log.sozu`).
pub const SOZU_LOG: &str = "KAKEHI_SOZU_LOG";

/// What the EdgeProfile says of a port. The default is that of an edge without a profile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Tuning {
    /// Everything goes through the filter proxy by request (`forceHop`).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub force_hop: bool,
    /// Connections are relayed to the filter proxy (`forceRelay`).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub force_relay: bool,
    /// Connections are relayed because Sōzu takes requests that it should refuse (`strictHTTP`).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub strict: bool,
    /// What becomes of paths that can be read in two ways (`pathNormalization`).
    #[serde(skip_serializing_if = "PathForm::is_keep")]
    pub paths: PathForm,
    /// Clients may send fields that backends take for a proxy's (`claimedFields`).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub keeps_claims: bool,
    /// How the client's address is found; none: it is the connection's (`clientAddress`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_address: Option<ClientAddress>,
    /// Seconds until a connection to an endpoint is given up (`connectTimeoutSeconds`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_seconds: Option<u32>,
    /// Requests that one HTTP/2 connection of a client may have open (`maxConcurrentStreams`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_streams: Option<u32>,
    /// Seconds after which a connection of a client is ended with its next answer (`maxConnectionAgeSeconds`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age_seconds: Option<u32>,
}

impl Tuning {
    /// Seconds until a connection to an endpoint is given up, where the profile does not say.
    pub const CONNECT_SECONDS: u32 = 3;
    /// Requests that one HTTP/2 connection may have open, where the profile does not say.
    pub const MAX_STREAMS: u32 = 100;

    /// Whether it says nothing.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How the address of a client is found. What clients say of themselves without being trusted is taken out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientAddress {
    /// Whose `X-Forwarded-*` fields are believed.
    pub trusted: Trusted,
    /// Connections begin with a header of the PROXY protocol, which says whose they are.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub proxy_protocol: bool,
}

/// The proxies in front of an edge.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trusted {
    /// Those with an address in these networks; nobody when empty.
    Networks(Vec<IpNet>),
    /// This many, one behind the other, of any address; at least 1.
    Hops(u8),
}

impl Default for Trusted {
    fn default() -> Self {
        Self::Networks(Vec::new())
    }
}

impl Trusted {
    /// Whether what a connection's peer says is believed.
    pub fn includes(&self, peer: IpAddr) -> bool {
        match self {
            Self::Networks(networks) => networks.iter().any(|network| network.contains(&peer)),
            Self::Hops(_) => true,
        }
    }
}
