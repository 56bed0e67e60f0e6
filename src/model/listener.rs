//! Listeners of an edge.

use serde::{Deserialize, Serialize};

use super::{CertificateId, Hostname, ListenerName, Tuning};

/// What a listener speaks to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Protocol {
    /// Plain HTTP.
    #[serde(rename = "HTTP")]
    Http,
    /// HTTP over TLS that ends at the edge.
    #[serde(rename = "HTTPS")]
    Https,
}

/// Port on which an edge pod answers probes and gives metrics.
pub const HEALTH_PORT: u16 = 19_902;
/// Path of a request by which a supervisor sees whether its filter proxy serves: without the header that Sōzu adds to what it
/// hands over, so that no client can send it.
pub const PROBE_PATH: &str = "/.kakehi/probe";

/// Ports that an edge needs for itself, and for what: no listener can have them. The same everywhere, so that what serves
/// in standalone mode serves on a cluster.
pub const RESERVED_PORTS: &[(u16, &str)] = &[(HEALTH_PORT, "probes and metrics")];

/// One accepted listener. Several listeners may share a port; they then speak the same protocol and differ in hostname.
///
/// A request belongs to the most specific listener of its port whose hostname covers the request's host, and sees only
/// the routes attached there (listener isolation).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Listener {
    /// Name, unique within the edge.
    pub name: ListenerName,
    /// Port that clients connect to.
    pub port: u16,
    /// Protocol.
    pub protocol: Protocol,
    /// Hosts it answers for.
    pub hostname: Hostname,
    /// Certificates, in the order of the Gateway; empty for HTTP.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateId>,
    /// Certificates come with routes of many owners, each for the names in it: it is shown for these and carries requests for
    /// these, and clients for whom there is none are shown nothing. Else one that is for no such name is better than none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub certificates_by_name: bool,
    /// How its port treats clients; the same for all listeners of an edge.
    #[serde(default, skip_serializing_if = "Tuning::is_default")]
    pub tuning: Tuning,
}
