//! The vocabulary of plans: what Sōzu must hold, in words of our own.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use serde::{Serialize, Serializer};

use super::{Reason, RelayReason};
use crate::model::{Affinity, BackendId, Certificate, CertificateId, Hostname, Protocol, Tuning};
use crate::snapshot::Key;

/// A port with what Sōzu makes of it. A port that changes its protocol or mode is another port here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortId {
    /// TCP port.
    pub number: u16,
    /// What Sōzu understands of the bytes.
    pub kind: PortKind,
}

/// What Sōzu understands of a port's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortKind {
    /// Requests.
    Http,
    /// TLS and requests.
    Https,
    /// Nothing: connections go to the filter proxy as they are.
    Relay,
}

impl From<Protocol> for PortKind {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Http => Self::Http,
            Protocol::Https => Self::Https,
        }
    }
}

impl fmt::Display for PortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            PortKind::Http => "http",
            PortKind::Https => "https",
            PortKind::Relay => "relay",
        };
        write!(f, "{kind}:{}", self.number)
    }
}

/// Everything that Sōzu must hold. Maps are persistent: a clone is cheap, and two targets are compared by what differs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Target {
    /// Listeners of Sōzu, and the keys that ask for them. Of a relayed port both are there: the relay, and what reads
    /// requests; see [`Target::is_bound`].
    pub ports: OrdMap<PortId, Arc<BTreeSet<Key>>>,
    /// Limits of the listeners that read requests.
    pub limits: OrdMap<PortId, PortLimits>,
    /// Why ports are relayed; those that Sōzu reads itself are not in it.
    pub relays: OrdMap<PortId, RelayReason>,
    /// Certificates that the filter proxy needs, because it ends TLS on a port.
    pub relayed: OrdSet<CertificateId>,
    /// Certificates of which the filter proxy needs the names only, to refuse hosts without one where Sōzu ends TLS.
    pub named: OrdSet<CertificateId>,
    /// Certificates by port and fingerprint.
    pub certificates: OrdMap<(PortId, String), Arc<PortCertificate>>,
    /// Clusters.
    pub clusters: OrdMap<ClusterId, Upstream>,
    /// Frontends.
    pub chains: OrdMap<ChainId, Arc<Chain>>,
}

impl Target {
    /// Whether a port takes connections. While it is relayed, the listener that would read its requests is there without:
    /// Sōzu goes on reading the connections that it had before, and the filter decides what comes by them.
    pub fn is_bound(&self, port: PortId) -> bool {
        let relay = PortId { kind: PortKind::Relay, ..port };
        self.ports.contains_key(&port) && (port == relay || !self.ports.contains_key(&relay))
    }

    /// The ports that take connections.
    pub fn bound(&self) -> impl Iterator<Item = PortId> {
        self.ports.keys().copied().filter(|port| self.is_bound(*port))
    }

    /// Whether what clients claim on a port passes; none where the port is not there, or Sōzu does not read it.
    pub fn keeps_claims(&self, port: PortId) -> Option<bool> {
        let read = port.kind != PortKind::Relay && self.ports.contains_key(&port);
        read.then(|| self.limits.get(&port).is_some_and(|limits| limits.keeps_claims))
    }
}

/// Limits of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortLimits {
    /// Seconds until a connection to a backend is given up.
    pub connect_seconds: u32,
    /// Requests that one HTTP/2 connection may have open.
    pub max_streams: u32,
    /// Sōzu passes on what clients claim in a proxy's name.
    pub keeps_claims: bool,
    /// Some requests may take longer than [`USUAL_SILENCE`](super::USUAL_SILENCE).
    pub patient: bool,
}

impl Default for PortLimits {
    fn default() -> Self {
        Self { connect_seconds: Tuning::CONNECT_SECONDS, max_streams: Tuning::MAX_STREAMS, keeps_claims: false, patient: false }
    }
}

/// A certificate as one port uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortCertificate {
    /// Chain and key.
    pub certificate: Arc<Certificate>,
    /// Names it is offered for: the hostnames of the listeners that use it, or its own for a listener without hostname.
    pub names: BTreeSet<String>,
    /// Every Secret that holds this certificate.
    pub owners: BTreeSet<Key>,
}

/// A cluster of Sōzu: a set of upstream addresses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClusterId {
    /// The filter proxy, by requests.
    Hop,
    /// The filter proxy, by connections.
    Relay,
    /// A backend.
    Backend(BackendId),
}

impl ClusterId {
    /// Name of [`ClusterId::Hop`].
    pub const HOP: &str = "kakehi-hop";
    /// Name of [`ClusterId::Relay`].
    pub const RELAY: &str = "kakehi-relay";
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hop => f.write_str(Self::HOP),
            Self::Relay => f.write_str(Self::RELAY),
            Self::Backend(id) => id.fmt(f),
        }
    }
}

impl Serialize for ClusterId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Where a cluster leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// The unix socket of the filter proxy for requests.
    Hop,
    /// The unix socket of the filter proxy for connections.
    Relay,
    /// TCP addresses, sorted, each once, none answers 503; and which of them serves whom.
    Endpoints(Arc<[SocketAddr]>, Affinity),
}

/// A virtual host: one host pattern on one port. For [`Hostname::Any`] it is the ordered list that Sōzu consults last.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VhostId {
    /// The port.
    pub port: PortId,
    /// The effective host pattern, a wildcard of one label written as one of any depth: Sōzu has one place for both.
    pub host: Hostname,
}

impl fmt::Display for VhostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.port, self.host)
    }
}

/// What may be inserted without regard to anything else: the frontends of one text of a virtual host, or the whole list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainId {
    /// The virtual host.
    pub vhost: VhostId,
    /// The text of their path conditions; none for the list.
    pub text: Option<String>,
}

/// Frontends in the order of their insertion, which Sōzu gives a meaning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// Frontends; path, method and host are unique among them.
    pub frontends: Vec<Frontend>,
    /// The resources that ask for those that have no owner of their own.
    pub owners: OrdSet<Key>,
}

/// One routing entry of Sōzu.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frontend {
    /// Hosts.
    pub host: HostRule,
    /// Path.
    pub path: PathRule,
    /// Method; none takes every method.
    pub method: Option<String>,
    /// Who decides.
    pub stage: Stage,
    /// The resource that asks for it; none: the owners of its chain.
    pub owner: Option<Key>,
}

/// Host patterns that Sōzu knows, in the order in which it consults them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostRule {
    /// One host.
    Exact(String),
    /// Hosts with exactly one label before this suffix.
    Label(String),
    /// Hosts with one or more labels before this suffix; in the list that is consulted last.
    Labels(String),
    /// Every host; in the list that is consulted last.
    Any,
}

impl fmt::Display for HostRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Label(suffix) => write!(f, "*.{suffix}"),
            Self::Labels(suffix) => write!(f, "**.{suffix}"),
            Self::Any => f.write_str("*"),
        }
    }
}

/// A path condition on the raw request target, query included.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathRule {
    /// The text.
    pub text: String,
    /// How it compares.
    pub kind: PathKind,
}

/// How a path condition compares. The order is the order of insertion for one text: a prefix inserted after an equal text
/// would win over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathKind {
    /// The target starts with the text.
    Prefix,
    /// The target is the text.
    Equals,
}

impl fmt::Display for PathRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            PathKind::Prefix => write!(f, "{}*", self.text),
            PathKind::Equals => f.write_str(&self.text),
        }
    }
}

/// Who decides a request that matches a frontend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Sōzu forwards it.
    Native {
        /// The backend.
        backend: BackendId,
        /// Header edits; a removal comes before what is appended to the same name.
        edits: Arc<Vec<Edit>>,
        /// Template of the path towards the backend.
        rewrite: Option<String>,
    },
    /// The filter proxy decides.
    Hop(Reason),
}

impl Stage {
    /// The cluster it names.
    pub fn cluster(&self) -> ClusterId {
        match self {
            Self::Native { backend, .. } => ClusterId::Backend(backend.clone()),
            Self::Hop(_) => ClusterId::Hop,
        }
    }

    /// Whether both say the same to Sōzu; reasons do not reach it.
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Hop(_), Self::Hop(_)) => true,
            _ => self == other,
        }
    }
}

impl Frontend {
    /// Whether both are one entry to Sōzu, and equal.
    pub fn same(&self, other: &Self) -> bool {
        let counted_alike = matches!(self.stage, Stage::Hop(_)) || self.owner == other.owner;
        self.path == other.path && self.method == other.method && self.host == other.host && self.stage.same(&other.stage) && counted_alike
    }
}

/// One header edit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Edit {
    /// Requests or responses.
    pub side: Side,
    /// Header name, lower-case.
    pub name: String,
    /// The value to append; none removes every line of the name. Removals happen before additions.
    pub value: Option<String>,
}

/// Which message an edit concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// Towards the backend.
    Request,
    /// Towards the client.
    Response,
}
