//! Certificates with their private keys.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::CertificateId;

/// A PEM private key. `Debug` never shows it; serialisation does, for the wire between processes only, so every view for
/// people goes through [`Certificate::redacted`].
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PrivateKey(String);

impl PrivateKey {
    /// Wraps PEM text.
    pub fn new(pem: impl Into<String>) -> Self {
        Self(pem.into())
    }

    /// The PEM text, for the proxy that needs it.
    pub fn pem(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(redacted)")
    }
}

/// A certificate chain and its key, parsed and found to belong together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Certificate {
    /// The Secret it comes from.
    pub id: CertificateId,
    /// PEM of the leaf and then its chain, each certificate one text.
    pub chain: Vec<String>,
    /// The leaf's key.
    pub key: PrivateKey,
    /// Names that a listener without hostname shows it for, lower-case: the DNS names of the leaf; on the edge of an
    /// IngressClass the hosts that Ingresses name it for.
    pub names: Vec<String>,
    /// SHA-256 of the leaf in DER, lower-case hex.
    pub fingerprint: String,
    /// End of the leaf's validity, seconds since the Unix epoch.
    pub not_after: i64,
}

impl Certificate {
    /// Its names alone, for a stage that shows no certificates: without chain and key.
    pub fn without_key(&self) -> Self {
        Self { chain: Vec::new(), key: PrivateKey::new(""), ..self.clone() }
    }

    /// Whether it can be shown: it is not [`Certificate::without_key`].
    pub fn has_key(&self) -> bool {
        !self.key.pem().is_empty()
    }

    /// The same certificate with its key replaced by a note, for people.
    pub fn redacted(&self) -> Self {
        Self { key: PrivateKey::new("redacted"), ..self.clone() }
    }
}
