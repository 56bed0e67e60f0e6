//! The snapshot stream: one JSON text per line, deltas one way, acks the other.
//!
//! The control plane serves it to an edge, and the edge's supervisor serves it on to its filter proxy: one protocol.

use serde::{Deserialize, Serialize};

use super::{Delta, Hash, Key};

/// Which state a message speaks of. `epoch` counts leaders, `seq` counts changes within an epoch; later is greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// Leader's epoch.
    pub epoch: u64,
    /// Change number within the epoch.
    pub seq: u64,
}

/// Server to client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// The state after this update.
    pub stamp: Stamp,
    /// The delta starts from nothing: what the client holds and the delta does not name is to go.
    #[serde(default)]
    pub full: bool,
    /// The change.
    pub delta: Delta,
    /// Hash of the whole snapshot after it.
    pub hash: Hash,
}

/// Client to server: everything up to `stamp` is applied, except these keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// The state that was applied.
    pub stamp: Stamp,
    /// All keys that the client holds back at this state, whatever update brought them.
    #[serde(default)]
    pub refused: Vec<Refusal>,
}

/// A resource that the data plane refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The resource.
    pub key: Key,
    /// Why, for people.
    pub reason: String,
}
