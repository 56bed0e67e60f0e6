//! Behaviours of a rule beyond edits: how long a request may take, how often it is sent, who else gets it, who may read
//! its answer.

use serde::{Deserialize, Serialize};

use super::{BackendId, Scheme};

/// Bounds in milliseconds; 0: none; absent: the proxy's own (`HTTPRouteTimeouts`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Timeouts {
    /// From the head of the request to the end of the answer, however often it is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<u64>,
    /// From sending the request to the end of the backend's answer, each time it is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<u64>,
}

/// A copy of requests to another backend, whose answers nobody waits for (`HTTPRequestMirrorFilter`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Mirror {
    /// Where the copies go: one endpoint each.
    pub backend: BackendId,
    /// So many of [`Mirror::denominator`] requests are copied, each drawn for itself. Not above it.
    pub numerator: u32,
    /// Greater than zero.
    pub denominator: u32,
}

/// Who may read answers across origins, and how they may ask (`HTTPCORSFilter`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cors {
    /// Origins that may.
    pub origins: Allowed<Origin>,
    /// They may send credentials.
    pub credentials: bool,
    /// Methods, beyond those that need no leave.
    pub methods: Allowed<String>,
    /// Request headers, lower-case.
    pub headers: Allowed<String>,
    /// Response headers that they may read, lower-case.
    pub exposed: Allowed<String>,
    /// For how many seconds browsers keep these answers.
    pub max_age: u32,
}

/// What a policy allows.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Allowed<T> {
    /// Everything (`*`).
    All,
    /// These, and nothing when empty.
    These(Vec<T>),
}

/// An origin.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// Scheme.
    pub scheme: Scheme,
    /// Host, lower-case. A `*` at its start takes any number of labels; alone it takes every host.
    pub host: String,
    /// Port, the well-known one where none is written.
    pub port: u16,
}

/// When and how often a request is sent again (`HTTPRouteRetry`): when no connection is made, when it breaks before an
/// answer, when the answer takes too long, and when it has one of these codes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Retry {
    /// Statuses that are not taken for an answer, from 400 to 599.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<u16>,
    /// How often it is sent again, at most.
    pub attempts: u32,
    /// Shortest pause before it is, in milliseconds.
    pub backoff: u64,
}
