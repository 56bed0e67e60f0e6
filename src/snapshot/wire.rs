//! The snapshot stream: one JSON text per line, deltas one way, acks the other.
//!
//! The control plane serves it to an edge, and the edge's supervisor serves it on to its filter proxy: one protocol. Over
//! TLS the client says [`Hello`] first and is answered with updates or with one [`Refused`]. An empty line means only that
//! the other side is there.
//!
//! Between versions: a reader ignores fields that it does not know, so every [`Update`] says what each resource hashes to
//! as it was sent. What must not be ignored is named in [`Update::requires`]. A new variant of an enum needs a new version.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Delta, Hash, Key, Resource};

/// The versions of the wire that this program speaks, newest first: its own and, once there is one, the version before.
pub const VERSIONS: &[u32] = &[1];

/// What a resource may require of its reader: a field that restricts access and is younger than version 1 has a row here,
/// with the resources that make use of it. There is none yet.
pub const REQUIREMENTS: &[Requirement] = &[];

/// A row of [`REQUIREMENTS`].
pub struct Requirement {
    /// Its name on the wire.
    pub name: &'static str,
    /// Whether a resource has it.
    pub of: fn(&Resource) -> bool,
}

/// The newest version that two sides share. Whoever speaks a version speaks the one before it too.
pub fn agree(ours: &[u32], theirs: u32) -> Option<u32> {
    ours.iter().copied().find(|version| *version == theirs || theirs.checked_sub(1) == Some(*version))
}

/// Which state a message speaks of. `epoch` counts leaders, `seq` counts changes within an epoch; later is greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// Leader's epoch.
    pub epoch: u64,
    /// Change number within the epoch.
    pub seq: u64,
}

/// The first line of a client over TLS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Newest version of the wire that the client speaks.
    pub wire: u32,
    /// The edge whose snapshot it wants, as `NAMESPACE/NAME`.
    pub edge: String,
    /// What proves that it may have it.
    pub token: Token,
    /// What it holds already.
    #[serde(default)]
    pub have: Option<Have>,
}

/// A bearer token, hidden from logs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(pub String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// A state that a client holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Have {
    /// Its stamp.
    pub stamp: Stamp,
    /// Its hash.
    pub hash: Hash,
}

/// The only line to a client that is turned away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Why.
    pub refused: String,
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
    /// Hashes of `delta.set`, in its order, as the server knows these resources. Empty: the reader is of the same
    /// version and can tell by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hashes: Vec<Hash>,
    /// What readers of these resources must know. A reader that does not must not serve the resource as if it did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<Requires>,
}

/// What one resource requires of its reader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requires {
    /// The resource.
    pub key: Key,
    /// Names of [`REQUIREMENTS`].
    pub names: Vec<String>,
}

impl Requires {
    /// What these resources require.
    pub fn of(delta: &Delta, table: &[Requirement]) -> Vec<Self> {
        let requires = delta.set.iter().map(|resource| {
            let names = table.iter().filter(|row| (row.of)(resource)).map(|row| row.name.to_owned()).collect();
            Self { key: resource.key(), names }
        });
        if table.is_empty() { Vec::new() } else { requires.filter(|requires| !requires.names.is_empty()).collect() }
    }
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

#[cfg(test)]
mod tests {
    use super::{Hello, agree};

    #[test]
    fn neighbouring_versions_agree() {
        assert_eq!(agree(&[1], 1), Some(1));
        assert_eq!(agree(&[1], 2), Some(1), "the client speaks the version before its own");
        assert_eq!(agree(&[3, 2], 3), Some(3));
        assert_eq!(agree(&[3, 2], 2), Some(2));
        assert_eq!(agree(&[3, 2], 4), Some(3));
        assert_eq!(agree(&[3, 2], 1), None);
        assert_eq!(agree(&[3, 2], 5), None);
        assert_eq!(agree(&[1], 0), None);
    }

    #[test]
    fn a_token_is_in_no_log() {
        let hello: Hello = serde_json::from_str(r#"{"wire":1,"edge":"n/g","token":"s3cret","later":true}"#).unwrap();
        assert!(!format!("{hello:?}").contains("s3cret"));
    }
}
