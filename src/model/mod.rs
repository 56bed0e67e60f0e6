//! The vocabulary between objects and proxies: what was decided, in Gateway API words.
//!
//! Nothing here knows Kubernetes types or Sōzu types, reads a clock or does I/O. Everything is a plain value with total
//! equality, so that it can be hashed, diffed, sent over a wire and compared in tests.

mod backend;
mod behaviour;
pub mod capacity;
mod certificate;
mod client_network;
mod fields;
mod filter;
mod hostname;
mod id;
mod listener;
mod name;
mod own;
mod path_form;
mod pattern;
mod rank;
mod route;
mod spelling;
mod tuning;

pub use backend::{Affinity, Backend, BackendProtocol, Endpoint, Topology};
pub use behaviour::{Allowed, Cors, Mirror, Origin, Retry, Timeouts};
pub use certificate::{Certificate, PrivateKey};
pub use client_network::ClientNetwork;
pub use fields::{CLAIMED_FIELDS, HOP_FIELD};
pub use filter::{Filter, HeaderEdit, PathModifier, Redirect, Rewrite, Scheme};
pub use hostname::{Hostname, HostnameError};
pub use id::{BackendId, BackendIdError, CertificateId, EdgeId, EdgeIdError, Kind, ListenerName, ObjectId};
pub use listener::{HEALTH_PORT, Listener, PROBE_PATH, Protocol, RESERVED_PORTS};
pub use name::Resolution;
pub use own::{OWN_ANNOTATIONS, OWN_LABELS};
pub use path_form::{Ambiguous, PathForm};
pub use pattern::{Expressions, Pattern, PatternError, Sizes, WeakPattern};
pub use rank::{Age, HostRank, PathRank, Rank};
pub use route::{
    Action, Attachment, BackendRef, BackendTarget, HeaderMatch, InvalidBackend, Match, PathMatch, Place, QueryMatch, Route, Rule,
    ValueMatch,
};
pub use spelling::nearest;
pub use tuning::{
    ACCESS_LOG, ACCESS_LOG_FIELDS, ALLOCATOR, ClientAddress, FILTER_CONNECTIONS, FILTER_CONNECTIONS_PER_ADDRESS, FILTER_DRAIN,
    FILTER_MEMORY, FILTER_SOZU_BUFFER, FILTER_WORKERS, LOG, SOZU_LOG, Trusted, Tuning,
};
