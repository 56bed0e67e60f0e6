//! Behaviours of a rule beyond edits: how long a request may take, how often it is sent, who else gets it, who may read
//! its answer.

use serde::{Deserialize, Serialize};

use super::BackendId;

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
