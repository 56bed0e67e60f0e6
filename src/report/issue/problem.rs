//! Why something that an object refers to cannot be used.

use serde::Serialize;

/// Why an EdgeProfile cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, thiserror::Error)]
pub enum ProfileProblem {
    /// There is none of this name.
    #[error("does not exist")]
    NotFound,
    /// It does not fit the kind.
    #[error("cannot be read")]
    Unreadable,
    /// A class has no namespace of its own, so its reference names one.
    #[error("is in a namespace, which the reference must name (that of an IngressClass with scope: Namespace)")]
    NoNamespace,
}

/// Why a Secret gives no certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, thiserror::Error)]
pub enum CertificateProblem {
    /// There is no such Secret.
    #[error("there is no such Secret")]
    NotFound,
    /// The reference is not to a core Secret.
    #[error("only core Secrets are supported")]
    UnknownKind,
    /// `tls.crt` or `tls.key` is missing.
    #[error("tls.crt or tls.key is missing")]
    Incomplete,
    /// `tls.crt` is no PEM with certificates.
    #[error("tls.crt holds no readable certificate")]
    BadCertificate,
    /// A block of `tls.crt` is no certificate.
    #[error("block {number} of tls.crt is no readable certificate; all of the chain must be")]
    BadBlock {
        /// Which, from 1.
        number: usize,
    },
    /// Blocks of `tls.crt` do not begin on a line of their own, or have another label.
    #[error(
        "tls.crt has {blocks} certificates, but only {read} can be read: each \"-----BEGIN CERTIFICATE-----\" must stand alone on its line"
    )]
    LostBlocks {
        /// How many begin.
        blocks: usize,
        /// How many are read.
        read: usize,
    },
    /// The key belongs to a later certificate of the chain.
    #[error("tls.key belongs to block {number} of tls.crt; the server's certificate must be the first")]
    WrongOrder {
        /// Which, from 1.
        number: usize,
    },
    /// The leaf is of X.509 version 1 or 2.
    #[error(
        "tls.crt is an X.509 certificate of an old version, which TLS libraries refuse; version 3 is needed (as with subject alternative names)"
    )]
    OldVersion,
    /// The TLS library does not take it.
    #[error("tls.crt is a certificate that TLS servers cannot use")]
    Refused,
    /// `tls.key` holds no private key.
    #[error("tls.key holds no readable private key")]
    BadKey,
    /// `tls.key` needs a password.
    #[error("tls.key is encrypted; it must be a key without a password")]
    EncryptedKey,
    /// A key that can be read, of a kind that is not supported.
    #[error(
        "tls.key holds a private key of a kind that is not supported; RSA of 2048 to 8192 bits, ECDSA with P-256 or P-384, and Ed25519 are"
    )]
    UnsupportedKey,
    /// The key belongs to another certificate.
    #[error("tls.key does not belong to tls.crt")]
    KeyMismatch,
}
