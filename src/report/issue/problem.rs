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
    /// `tls.key` is no PEM with a private key of a supported type.
    #[error("tls.key holds no readable private key")]
    BadKey,
    /// The key belongs to another certificate.
    #[error("tls.key does not belong to tls.crt")]
    KeyMismatch,
}
